"""Are the mails themselves what the mailbox providers ask for? Each mail is composed as it would be sent, and read again."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from email import message_from_bytes
from email.message import Message as Parsed
from urllib.parse import urlsplit

from challenge.doctor.finding import Finding, ok, problem, warning
from challenge.errors import ChallengeError
from challenge.programme.definition import Challenge
from challenge.programme.lint import Finding as LintFinding
from challenge.programme.lint import lint as lint_words
from challenge.rendering.links import Address
from challenge.rendering.lint import lint as lint_mails
from challenge.rendering.marked_up import parsed as tree_of
from challenge.rendering.message import Composer, Letter
from challenge.rendering.templates import FOLDERS, Content
from challenge.settings import Settings

MOST_BYTES = 80_000  # Gmail clips at about 102 KB of HTML as it was sent
_ONCE = (
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
)
_FEEDBACK = re.compile(r"[^:\s]+:[^:\s]+:[^:\s]+:[A-Za-z0-9]{5,15}")
_SPAMMY = re.compile(
    r"\b(?:act now|buy now|click here|100% free|free!!|risk[- ]free|limited time|urgent|winner|congratulations|cash|guarantee\w*"
    r"|miracle|cure|lose weight|no cost|order now|special promotion|this isn't spam)\b|!{2,}|\${2,}",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?:https?://|www\.)([\w.-]+)", re.IGNORECASE)
_FAKE = re.compile(r"^\s*(?:re|fwd?|aw)\s*:", re.IGNORECASE)


def mails(settings: Settings, challenge: Challenge, now: datetime) -> Iterator[Finding]:
    """Every mail of the challenge in the first language: headers, size, links, words, looks; and the content's own lint."""
    try:
        composer = Composer(settings, challenge)
        composer.templates.check()
        composed = {key: composer.compose(_letter(key, mail, day, now)).data for key, mail, day in _all(challenge)}
    except ChallengeError as error:
        yield problem(
            "mails", f"The mails cannot be composed: {error}", "Correct the setting or the template it names."
        )
        return
    parsed = {key: message_from_bytes(data) for key, data in composed.items()}
    yield from _of_all("headers", parsed, lambda mail: _header_faults(mail, settings))
    yield from _of_all("one-click", parsed, _one_click_faults)
    yield _sizes(parsed)
    yield from _of_all("links", parsed, lambda mail: _link_faults(mail, settings, challenge))
    yield from _of_all("words", parsed, _word_faults)
    looks = lint_mails(composer.templates, composer.links)
    yield _linted("mail looks", "hidden text, contrast, pictures without words, size, mail programs", looks)
    yield _linted("content", "reading, safety, subjects, review", lint_words(challenge))


def _all(challenge: Challenge) -> Iterator[tuple[str, str, int]]:
    for name in sorted(path.parent.name for path in FOLDERS.glob("*/subject.txt")):
        if name == "day":
            yield from ((f"day-{number}", name, number) for number in range(1, challenge.length + 1))
        else:
            yield name, name, 1


def _letter(key: str, mail: str, day: int, now: datetime) -> Letter:
    content = Content(mail, day=day, done=tuple(range(1, day)), has_name=True)
    return Letter(Address(1, 1, key), "ana@example.com", "Ana", content, now.replace(microsecond=0))


_ADVICE = {
    "headers": "Correct the sender's settings.",
    "one-click": "Set CHALLENGE_BASE_URL to an https address: one-click unsubscribing needs it.",
    "links": "Change the template: links lead to this service or to the programme, and the text part has them too.",
    "words": "Say it in plain words.",
}


def _of_all(check: str, parsed: dict[str, Parsed], faults_of: Callable[[Parsed], Iterable[str]]) -> Iterator[Finding]:
    """One finding per fault, with the mails that have it."""
    where: dict[str, list[str]] = {}
    for key, mail in parsed.items():
        for fault in dict.fromkeys(faults_of(mail)):
            where.setdefault(fault, []).append(key)
    if not where:
        yield ok(f"mail {check}", f"{len(parsed)} mails, nothing to say.")
    level = warning if check == "words" else problem
    for fault, keys in where.items():
        told = "all mails" if len(keys) == len(parsed) else ", ".join(keys)
        yield level(f"mail {check}", f"{told}: {fault}.", _ADVICE[check])


def _header_faults(mail: Parsed, settings: Settings) -> Iterator[str]:
    counts = Counter(name.lower() for name in mail.keys())  # noqa: SIM118 - a Message repeats its names
    yield from (f"{name} is there {count} times" for name, count in counts.items() if name in _ONCE and count > 1)
    for name in ("from", "to", "subject", "date", "message-id", "feedback-id", "list-id"):
        if not counts[name]:
            yield f"{name} is missing"
    if not _FEEDBACK.fullmatch(str(mail["feedback-id"])):
        yield f"Feedback-ID {mail['feedback-id']} is not a:b:c:sender"
    if len(str(mail["message-id"])) > 500 or not str(mail["message-id"]).endswith(f"@{settings.sender_domain}>"):
        yield "the Message-ID is too long, or not of our domain"
    if sum(len(name) + len(str(value)) for name, value in mail.items()) > 30_000:
        yield "the headers are longer than 30 KB"
    if str(mail["from"]).count("@") != 1:
        yield "From does not hold one address"


def _one_click_faults(mail: Parsed) -> Iterator[str]:
    """RFC 8058 3.1; and DKIM over both headers, where it signs (4)."""
    addresses = re.findall(r"<([^>]*)>", str(mail["list-unsubscribe"] or ""))
    if not any(address.startswith("https:") for address in addresses):
        yield "List-Unsubscribe has no https address (CHALLENGE_BASE_URL)"
    if str(mail["list-unsubscribe-post"]) != "List-Unsubscribe=One-Click":
        yield "List-Unsubscribe-Post is missing"
    for signature in mail.get_all("dkim-signature", []):
        signed = {name.strip().lower() for name in re.sub(r"(?s).*\bh=([^;]*).*", r"\1", str(signature)).split(":")}
        if not {"list-unsubscribe", "list-unsubscribe-post"} <= signed:
            yield "the signature does not cover both List-Unsubscribe headers"


def _sizes(parsed: dict[str, Parsed]) -> Finding:
    sizes = {key: len(_raw(mail, "text/html")) for key, mail in parsed.items()}
    key, most = max(sizes.items(), key=lambda one: one[1])
    words = f"The largest HTML part is {most / 1000:.0f} KB ({key}); Gmail clips at about 102 KB."
    if most > MOST_BYTES:
        return problem("mail size", words, "Shorten it: what is clipped hides the unsubscribe link.")
    return ok("mail size", words)


def _link_faults(mail: Parsed, settings: Settings, challenge: Challenge) -> Iterator[str]:
    anchors = tree_of(_part(mail, "text/html")).all("a")
    text = _part(mail, "text/plain")
    known = {urlsplit(settings.public_url).hostname, urlsplit(challenge.invitation_url).hostname}
    for anchor in anchors:
        link = anchor.attributes.get("href", "")
        parts = urlsplit(link)
        said = _ADDRESS.match(anchor.text)
        if said and said[1].lower().rstrip(".") != parts.hostname:
            yield f"a link says {said[1]} and leads to {parts.hostname}"
        if parts.scheme == "mailto":
            continue
        if parts.scheme not in ("http", "https") or parts.hostname not in known:
            yield f"a link leads to {parts.hostname or link[:40]}"
        elif link not in text:
            yield f"a link of the HTML part is not in the text part ({parts.path.partition('/')[2].partition('/')[0]})"
    if not any("/unsubscribe/" in link for link in (anchor.attributes.get("href", "") for anchor in anchors)):
        yield "there is no link to unsubscribe"


def _word_faults(mail: Parsed) -> Iterator[str]:
    subject = " ".join(str(mail["subject"]).split())
    if _FAKE.match(subject):
        yield "the subject pretends to be an answer"
    letters = [letter for letter in subject if letter.isalpha()]
    if len(letters) > 8 and sum(letter.isupper() for letter in letters) > len(letters) * 0.6:
        yield "the subject shouts"
    spoken = " ".join([subject, tree_of(_part(mail, "text/html")).text])
    yield from (f"“{found[0]}” is a word of spam" for found in _SPAMMY.finditer(spoken))


def _linted(check: str, about: str, found: Sequence[LintFinding]) -> Finding:
    """What `challenge lint` says, in one line: the first fault, and how many there are."""
    if not found:
        return ok(check, f"Nothing to say ({about}).")
    first = next((one for one in found if one.level == "error"), found[0])
    words = f"{first.where}: {first.text}{f', and {len(found) - 1} more' if len(found) > 1 else ''}."
    level = problem if first.level == "error" else warning
    return level(check, words, f"{first.advice}. `challenge lint` tells all.")


def _raw(mail: Parsed, kind: str) -> str:
    return next((str(part.get_payload()) for part in mail.walk() if part.get_content_type() == kind), "")


def _part(mail: Parsed, kind: str) -> str:
    for part in mail.walk():
        if part.get_content_type() == kind:
            raw = part.get_payload(decode=True)
            return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""
    return ""
