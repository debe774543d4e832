"""What did the relay mean, and whose business is it: the person's, the relay's, or ours? Asked by the ledger.

A reply is judged by three things that contradict each other in the field: the basic code rules whether to come back, the
enhanced code (RFC 3463) rules the reason, and where both are vague the documented words decide. Two thirds of all 5xx are
policy, size or a full mailbox and say nothing against an address; only a plain "this mailbox does not exist" ends one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

_FIRST_RETRY = 1800  # RFC 5321 4.5.4.1: at least 30 minutes
_GREYLIST_RETRY = 600  # RFC 6647 2.5: most greylists open within minutes
_HOST_RETRY = 300  # the host is busy, the person has nothing to do with it
_FULL_RETRY = 4 * 3600  # nobody tidies a mailbox within minutes
_LONGEST_HINT = 3600


class Stage(StrEnum):
    """How far the dialogue had come. Before `dot` a message is provably unsent, after it only the reply knows."""

    connect = "connect"
    banner = "banner"
    ehlo = "ehlo"
    starttls = "starttls"
    auth = "auth"
    mail = "mail"
    rcpt = "rcpt"
    data = "data"
    body = "body"
    dot = "dot"
    done = "done"


class Verdict(StrEnum):
    """What follows from a reply."""

    accepted = "accepted"  # the relay has it, and answers for it from here on (RFC 5321 6.1)
    retry_untouched = "retry_untouched"  # the relay's trouble: the same again later, no strike
    defer = "defer"  # this mailbox, later
    mailbox_full = "mailbox_full"  # soft; only after several different days does it end anything
    dead_address = "dead_address"  # there is no such mailbox: suppress it
    strike = "strike"  # refused for good this time; several in a row end the address
    sender_refused = "sender_refused"  # policy or reputation: stop, alert, never blame the person
    our_fault = "our_fault"  # our message or our dialogue is wrong: stop this mail, alert
    configuration = "configuration"  # credentials, TLS, relaying: stop the queue, count no attempt


class Reply(NamedTuple):
    """One complete reply. `enhanced` is `5.1.1` or empty; `text` is without codes, lines joined by a space."""

    code: int
    enhanced: str
    text: str
    stage: Stage

    @classmethod
    def read(cls, code: int, raw: bytes, stage: Stage) -> Reply:
        """From the code and the lines (joined by LF) as they came over the wire."""
        words = raw.decode("utf-8", "replace")
        found = _LEADING.match(words)
        enhanced = found[1] if found else ""
        if not enhanced and (tail := _QMAIL.search(words)):
            enhanced = tail[1]
        return cls(code, enhanced, _CONTROLS.sub(" ", _LEADING.sub("", words)).strip()[:1000], stage)

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to do, why (words for the row and the dashboard), and after how many seconds to come back; 0 = never."""

    verdict: Verdict
    reason: str
    first_retry_seconds: int = 0


def classify(reply: Reply) -> Judgement:
    """The first rule that fits decides; every reply fits one."""
    if 200 <= reply.code < 300:
        return Judgement(Verdict.accepted, "accepted")
    said = _Said(reply)
    rules = _TEMPORARY if reply.code < 500 else _PERMANENT
    for fits, verdict, reason, seconds in (*_EITHER, *rules):
        if fits(said):
            return Judgement(verdict, reason, said.hinted(seconds))
    raise AssertionError("the last rule of either table fits everything")


_LEADING = re.compile(r"(?m)^[ \t]*([245]\.\d{1,3}\.\d{1,3})(?![\d.])[ \t]*")
_QMAIL = re.compile(r"\(#([45]\.\d\.\d{1,2})\)")
_CONTROLS = re.compile(r"[\x00-\x20\x7f-\x9f]+")
_QUOTED = re.compile(r"<[^>]*>|\S+@\S+")  # somebody may live at no-such-user@spam.example
_WAIT = re.compile(r"\b(\d{1,5}) ?(s|sec|second|m|min|minute)(?:s|\b)")


def _words(pattern: str) -> Callable[[str], bool]:
    found = re.compile(pattern).search
    return lambda text: found(text) is not None


_says_unknown = _words(
    r"\b(user|recipient|mailbox|account|address|alias|customer)\b.{0,30}\b(unknown|does ?n[o']t exist|not exist|not found|no longer (exists|valid)|invalid)"
    r"|\b(unknown|invalid|no such|non-?existent) (user|recipient|mailbox|account|address|local ?part|person|customer|alias)"
    r"|no mailbox (here )?by that name|not a (known|valid) (user|mailbox|recipient)|(is )?not our customer"
    r"|no such (address|user|recipient|mailbox|person)|isn't (a )?known|user not known"
)
_says_full = _words(
    r"over ?quota|quota (is )?(exceeded|full)|exceed\w* (its |the |their |storage )*quota|mailbox( is|.s)? (is )?full|\bmailbox full|storage (limit|space)|out of storage|disk quota|insufficient storage in"
)
_says_policy = _words(
    r"\bspam|spamhaus|spamcop|barracuda|blacklist|blocklist|block list|\bblocked\b|\bdnsbl\b|\brbl\b|reputation|\bpolicy\b|dmarc|\bdkim\b|\bspf\b|unsolicited|\bcontent (rejected|denied)|poor (sender|ip)|banned"
)
_says_relay = _words(
    r"relay(ing)? (access )?(denied|not permitted|prohibited|not allowed)|unable to relay|cannot relay|(authentication|auth|login|log in) (is )?(first|required)|not authenticated|must (first )?(authenticate|issue a starttls)|need to authenticate"
)
_says_greylist = _words(
    r"gr[ea]y-?\s?list|try (again|later)? ?(again )?in \d+|temporarily deferred due to unknown sender"
)
_says_too_fast = _words(
    r"at a rate|too (many|fast|frequent)|rate limit|prevents additional|receiving (mail|email) too|throttl"
)
_says_closed = _words(r"inactive|disabled|suspended|closed|deactivated|discontinued|no longer (active|in use)")
_says_too_big = _words(r"too (large|big|long)|size (limit|exceed)|exceed\w* .{0,40}\bsize|message size|maximum size")


class _Said:
    """A reply, taken apart for the rules: own addresses out of the text, lower case, enhanced code without its class."""

    __slots__ = ("code", "detail", "reply", "text")

    def __init__(self, reply: Reply) -> None:
        self.reply, self.code = reply, reply.code
        self.detail = reply.enhanced.partition(".")[2]
        self.text = _QUOTED.sub(" ", reply.text.lower())

    @property
    def is_about_sender(self) -> bool:
        """At MAIL nobody has been named yet but us."""
        return self.reply.stage is Stage.mail or self.detail in ("1.7", "1.8")

    @property
    def is_vague(self) -> bool:
        """No enhanced code, or one that says "other"."""
        return self.detail in ("", "0.0", "1.0", "2.0", "3.0", "5.0")

    def hinted(self, seconds: int) -> int:
        """The wait the greylist itself asks for, where it names one."""
        if seconds == _GREYLIST_RETRY and (hint := _WAIT.search(self.text)):
            asked = int(hint[1]) * (60 if hint[2].startswith("m") else 1)
            return min(max(asked, _HOST_RETRY), _LONGEST_HINT)
        return seconds


_NO_MAILBOX = ("1.1", "1.2", "1.3", "1.6", "1.10")
_Rule = tuple[Callable[[_Said], bool], Verdict, str, int]

_EITHER: tuple[_Rule, ...] = (
    (lambda s: s.code in (530, 534, 535, 538), Verdict.configuration, "the relay wants other credentials or TLS", 0),
    (lambda s: s.code == 421, Verdict.retry_untouched, "the relay is closing the connection", _HOST_RETRY),
    (lambda s: s.code < 400, Verdict.retry_untouched, "the relay answered something else", _FIRST_RETRY),
)

_TEMPORARY: tuple[_Rule, ...] = (
    (lambda s: s.code in (432, 454), Verdict.retry_untouched, "the relay cannot check credentials now", _HOST_RETRY),
    (
        lambda s: s.detail == "3.1" and "mailbox" not in s.text,
        Verdict.retry_untouched,
        "the receiving system has no room",
        _FIRST_RETRY,
    ),
    (lambda s: s.detail == "2.2" or _says_full(s.text), Verdict.mailbox_full, "mailbox full", _FULL_RETRY),
    (lambda s: _says_greylist(s.text), Verdict.defer, "greylisted", _GREYLIST_RETRY),
    (lambda s: s.is_about_sender, Verdict.retry_untouched, "the relay does not take our sender now", _FIRST_RETRY),
    (lambda s: s.detail == "2.1", Verdict.defer, "the mailbox receives too much now", _FIRST_RETRY),
    (lambda s: s.detail.startswith("3."), Verdict.retry_untouched, "the receiving system is in trouble", _FIRST_RETRY),
    (lambda s: s.detail.startswith("7."), Verdict.retry_untouched, "policy holds us back for now", _FIRST_RETRY),
    (lambda _: True, Verdict.defer, "deferred", _FIRST_RETRY),
)

_PERMANENT: tuple[_Rule, ...] = (
    (lambda s: _says_relay(s.text), Verdict.configuration, "the relay does not relay for us", 0),
    (lambda s: s.detail in ("6.7", "6.10"), Verdict.strike, "an internationalised address the relay cannot serve", 0),
    (lambda s: s.detail == "2.2", Verdict.mailbox_full, "mailbox full", _FULL_RETRY),
    (lambda s: s.detail == "3.4", Verdict.our_fault, "the message is too big", 0),
    (
        lambda s: s.detail == "2.1" and _says_too_fast(s.text),
        Verdict.defer,
        "the mailbox receives too much now",
        _FIRST_RETRY,
    ),
    (
        lambda s: s.reply.stage is not Stage.mail and s.detail in _NO_MAILBOX and _says_unknown(s.text),
        Verdict.dead_address,
        "no such mailbox",
        0,
    ),
    (lambda s: s.detail.startswith("7."), Verdict.sender_refused, "refused by policy or reputation", 0),
    (lambda s: _says_policy(s.text), Verdict.sender_refused, "refused by policy or reputation", 0),
    (lambda s: s.detail in ("1.7", "1.8"), Verdict.sender_refused, "our sender address is refused", 0),
    (lambda s: s.detail.startswith("6."), Verdict.our_fault, "the relay cannot read our message", 0),
    (
        lambda s: s.reply.stage is not Stage.mail and s.detail in _NO_MAILBOX,
        Verdict.dead_address,
        "no such mailbox",
        0,
    ),
    (lambda s: s.reply.stage is not Stage.mail and s.code == 556, Verdict.dead_address, "the domain takes no mail", 0),
    (lambda s: s.detail == "2.1" and _says_closed(s.text), Verdict.dead_address, "the mailbox is closed", 0),
    (
        lambda s: s.reply.stage in (Stage.rcpt, Stage.dot) and s.is_vague and _says_unknown(s.text),
        Verdict.dead_address,
        "no such mailbox",
        0,
    ),
    (lambda s: s.is_vague and _says_full(s.text), Verdict.mailbox_full, "mailbox full", _FULL_RETRY),
    (lambda s: s.is_vague and _says_too_big(s.text), Verdict.our_fault, "the message is too big", 0),
    (
        lambda s: s.code == 552 and s.is_vague and s.reply.stage is Stage.rcpt,
        Verdict.mailbox_full,
        "mailbox full",
        _FULL_RETRY,
    ),
    # Outlook.com says 5.5.0 for mailboxes that are gone; anything else under 5.5 is about our commands.
    (
        lambda s: s.detail.startswith("5.") and "mailbox unavailable" not in s.text,
        Verdict.our_fault,
        "the relay does not understand our commands",
        0,
    ),
    (
        lambda s: not s.detail and s.code in (500, 501, 502, 503, 504, 555),
        Verdict.our_fault,
        "the relay does not understand our commands",
        0,
    ),
    (lambda s: s.is_about_sender, Verdict.sender_refused, "our sender address is refused", 0),
    (lambda _: True, Verdict.strike, "refused", 0),
)
