"""Was it a person, a proxy that fetches for people, or a machine? Pure; asked when an open, a click or a press of "I did
it" is recorded, and again whenever something new is known about the same mail.

The verdict never changes what the visitor gets. What is kept is enough to judge again, and never the address: an agent
class, the flags of the request, the mail filter's network it matched, and a hash of the /24 or /48 under a key that is
thrown away after two days.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any

from challenge.tracking.networks import Networks

RULES = "3"
BURST = timedelta(seconds=10)
BURST_LINKS = 3
SCAN_AFTER_DELIVERY = timedelta(minutes=10)
OPEN, UNSUBSCRIBE, DONE = "open", "unsubscribe", "done"
_AGENTS = (
    ("gmail_prefetch", re.compile(r"Chrome/42\.0\.2311\.135 .*Edge/12\.246")),
    ("gmail_proxy", re.compile(r"GoogleImageProxy")),
    ("yahoo_proxy", re.compile(r"YahooMailProxy")),
    ("apple_privacy", re.compile(r"^Mozilla/5\.0$")),
    ("headless", re.compile(r"Headless|PhantomJS|Puppeteer|Playwright|Selenium", re.IGNORECASE)),
    (
        "tool",
        re.compile(
            r"curl|wget|python|Go-http|Java/|okhttp|libwww|axios|node-fetch|bot\b|spider|crawl|scanner", re.IGNORECASE
        ),
    ),
)
_PURPOSES = ("Sec-Purpose", "Purpose", "X-Moz", "X-Purpose")
HEADERS = ("User-Agent", *_PURPOSES)
_SEEN = {
    "missing": "a press, by an unnamed program",
    "tool": "a press, by a program",
    "headless": "a press, by a program",
}
_PROXIES = ("gmail_proxy", "yahoo_proxy", "apple_privacy")


class Who(StrEnum):
    """Who did it, as far as can be told. `unsure`: a scanner may have pressed the button."""

    person = "person"
    proxy = "proxy"
    machine = "machine"
    unsure = "unsure"


@dataclass(frozen=True)
class Evidence:
    """What is kept of a request. `network` is the mail filter's it matched (empty: none), `certain` whether only
    machines are there, `networks` the version of the list, `source` the hash of where it came from."""

    method: str
    agent: str
    prefetch: bool
    source: str
    network: str = ""
    certain: bool = False
    networks: str = ""

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Evidence:
        """What an event kept, also one of an older version."""
        return cls(
            method=str(kept.get("method", "GET")),
            agent=str(kept.get("agent", "browser")),
            prefetch=bool(kept.get("prefetch")),
            source=str(kept.get("source", "")),
            network=str(kept.get("network", "")),
            certain=bool(kept.get("certain")),
            networks=str(kept.get("networks", "")),
        )


@dataclass(frozen=True)
class Sighting:
    """One request about one mail. `link`: `open`, the name of the link, or `done` for the button; `at` is real time."""

    link: str
    at: datetime
    evidence: Evidence


@dataclass(frozen=True)
class Context:
    """What else is known: how long after the mail's delivery it came (None: not known), and the other requests about
    the same mail, in any order and however often each was told."""

    after_delivery: timedelta | None = None
    others: tuple[Sighting, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """Who, why, and by which version of the rules."""

    who: Who
    reasons: tuple[str, ...]
    rules: str = RULES


def observe(method: str, headers: Mapping[str, str], address: str, key: bytes, known: Networks) -> Evidence:
    """What is kept of a request, of whose headers HEADERS are looked at. `key` makes the hash worthless to anybody else, and
    after two days to us."""
    words = " ".join(headers.get(header, "") for header in _PURPOSES).lower()
    prefetch = any(word in words for word in ("prefetch", "preview", "prerender"))
    match = known.match(address)
    return Evidence(
        method,
        _agent_class(headers.get("User-Agent", "")),
        prefetch,
        source_of(address, key),
        match.name if match else "",
        bool(match and match.certain),
        known.version,
    )


@lru_cache(maxsize=512)
def _agent_class(agent: str) -> str:
    if not agent.strip():
        return "missing"
    return next((name for name, pattern in _AGENTS if pattern.search(agent.strip())), "browser")


def classify(event: Sighting, context: Context) -> Verdict:
    """The verdict on one request. The rules in order: method, prefetch, no agent; a filter's own network; image
    proxies; a burst or a probe of the same mail; a filter that also carries people, soon after delivery; tools.

    A press of the button carries what only its page shows, so the name of a program says nothing against it: people press
    through switches, voices and programs of their own. Only a burst or a filter's network make it `unsure`."""
    verdict = _judge(event, context)
    if event.link == DONE and verdict.who is Who.machine:
        return Verdict(Who.unsure, verdict.reasons)
    return verdict


def _judge(event: Sighting, context: Context) -> Verdict:
    kept = event.evidence
    if reason := _by_itself(kept, is_press=event.link == DONE):
        return Verdict(Who.machine, (reason,))
    if kept.agent in _PROXIES and event.link == OPEN:
        return Verdict(Who.proxy, (kept.agent.replace("_", " "),))
    if reason := _among_others(event, context.others):
        return Verdict(Who.machine, (reason,))
    soon = context.after_delivery is not None and context.after_delivery <= SCAN_AFTER_DELIVERY
    if kept.network and soon:
        return Verdict(Who.machine, (f"{kept.network}, within ten minutes of delivery",))
    if kept.agent in ("headless", "tool") and event.link != DONE:
        return Verdict(Who.machine, (kept.agent,))
    return Verdict(
        Who.person, (f"{kept.network}, later than a scan" if kept.network else _SEEN.get(kept.agent, "a browser"),)
    )


def _by_itself(kept: Evidence, *, is_press: bool) -> str:
    """Why the request alone is a machine's, or nothing."""
    if kept.method == "HEAD":
        return "HEAD request"
    if kept.prefetch:
        return "prefetch header"
    if kept.agent == "missing" and not is_press:
        return "no user agent"
    if kept.certain:
        return f"network of {kept.network}"
    return "gmail prefetch" if kept.agent == "gmail_prefetch" else ""


def _among_others(event: Sighting, others: Iterable[Sighting]) -> str:
    """Why the requests around this one make it a machine's, or nothing."""
    source = event.evidence.source
    if not source:
        return ""
    near = [
        other
        for other in others
        if other.link != OPEN and other.evidence.source == source and abs(other.at - event.at) <= BURST
    ]
    if event.link != DONE and any(other.evidence.method == "HEAD" and other.at <= event.at for other in near):
        return "a HEAD request just before"
    for start in {event.at, *(other.at for other in near if other.at <= event.at)}:
        links = {other.link for other in near if start <= other.at <= start + BURST} | {event.link}
        links -= {OPEN, DONE}  # a picture that is loaded says nothing about the links
        if len(links) >= BURST_LINKS or (UNSUBSCRIBE in links and len(links) > 1):
            return "several links of one mail within ten seconds"
    return ""


def source_of(address: str, key: bytes) -> str:
    """A hash of the /24 or /48 an address lies in; empty when it is none."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    length = 24 if ip.version == 4 else 48
    rest = ip.max_prefixlen - length
    network = f"{type(ip)(int(ip) >> rest << rest)}/{length}"
    return hashlib.blake2b(network.encode(), key=key[:64], digest_size=6).hexdigest()
