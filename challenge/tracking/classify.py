"""Was it a person, a proxy that fetches for people, or a machine? Pure; asked when an open or a click is recorded.

The verdict never changes what the visitor gets. What is kept is enough to judge again, and never the address: an agent
class, the flags of the request, and a short keyed hash of the /24 or /48 it came from.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

RULES = "1"
BURST_SECONDS = 10
BURST_LINKS = 3
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


class Who(StrEnum):
    """Who did it, as far as can be told."""

    person = "person"
    proxy = "proxy"
    machine = "machine"
    unsure = "unsure"


@dataclass(frozen=True)
class Evidence:
    """What is kept of a request."""

    method: str
    agent: str
    prefetch: bool
    source: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Verdict:
    """Who, and by which rules."""

    who: Who
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Sighting:
    """One open or click of one mail, for the rule of bursts."""

    link: str
    source: str
    at: datetime


def observe(method: str, headers: Mapping[str, str], address: str, key: bytes) -> Evidence:
    """What is kept of a request; `key` makes the hash worthless to anybody else."""
    agent = headers.get("User-Agent", "").strip()
    name = next((name for name, pattern in _AGENTS if pattern.search(agent)), "browser") if agent else "missing"
    words = " ".join(headers.get(header, "") for header in ("Sec-Purpose", "Purpose", "X-Moz", "X-Purpose")).lower()
    prefetch = any(word in words for word in ("prefetch", "preview", "prerender"))
    return Evidence(method, name, prefetch, _source(address, key))


def classify(evidence: Evidence) -> Verdict:
    """The verdict on one request by itself (REFERENCE: method, prefetch, agent, proxies)."""
    if evidence.method == "HEAD":
        return Verdict(Who.machine, ("HEAD request",))
    if evidence.prefetch:
        return Verdict(Who.machine, ("prefetch header",))
    if evidence.agent == "missing":
        return Verdict(Who.machine, ("no user agent",))
    if evidence.agent in ("gmail_prefetch", "headless", "tool"):
        return Verdict(Who.machine, (evidence.agent.replace("_", " "),))
    if evidence.agent in ("gmail_proxy", "yahoo_proxy", "apple_privacy"):
        return Verdict(Who.proxy, (evidence.agent.replace("_", " "),))
    return Verdict(Who.person, ("a browser",))


def is_burst(sightings: Iterable[Sighting], at: datetime, source: str) -> bool:
    """Whether the sightings of one mail from one network around `at` are a scanner's: three links within ten seconds,
    or the unsubscribe link together with another."""
    near = timedelta(seconds=BURST_SECONDS)
    links = {seen.link for seen in sightings if seen.source == source and abs(seen.at - at) <= near}
    links.discard("open")
    return len(links) >= BURST_LINKS or ("unsubscribe" in links and len(links) > 1)


def _source(address: str, key: bytes) -> str:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return ""
    network = ipaddress.ip_network(f"{ip}/{24 if ip.version == 4 else 48}", strict=False)
    return hashlib.blake2b(str(network).encode(), key=key[:64], digest_size=6).hexdigest()
