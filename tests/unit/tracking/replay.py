"""The labelled requests of replay.txt as sightings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from challenge.tracking.classify import Context, Sighting, classify, observe
from challenge.tracking.networks import networks

START = datetime(2027, 3, 1, 8, tzinfo=UTC)
KEY = b"k" * 32
AGENTS = {
    "apple": "Mozilla/5.0",
    "webkit": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    "safari": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "android": "Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
    "chrome": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
    "edge": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
    "firefox": "Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "outlook": "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)",
    "thunderbird": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.4.0",
    "gmail": "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)",
    "gmailprefetch": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0",
    "yahoo": "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html",
    "headless": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/131.0.0.0 Safari/537.36",
    "curl": "curl/8.5.0",
    "python": "python-requests/2.32.3",
    "bot": "Mozilla/5.0 (compatible; LinkCheckBot/1.0; +https://example.com/bot)",
    "none": "",
}
HEADERS = {
    "prefetch": {"Sec-Purpose": "prefetch"},
    "prerender": {"Sec-Purpose": "prefetch;prerender"},
    "purpose": {"Purpose": "preview"},
    "moz": {"X-Moz": "prefetch"},
}


@dataclass(frozen=True)
class Request:
    """One line: when after delivery, the sighting, and who it must be taken for."""

    after: timedelta
    sighting: Sighting
    who: str


def request(line: str) -> Request:
    told, _, who = line.partition(" -> ")
    seconds, link, agent, address, *more = told.split()
    flag = more[0] if more else ""
    method = "HEAD" if flag == "HEAD" else "POST" if link == "done" else "GET"
    headers = {"User-Agent": AGENTS[agent]} | HEADERS.get(flag, {})
    after = timedelta(seconds=float(seconds))
    return Request(after, Sighting(link, START + after, observe(method, headers, address, KEY, networks())), who)


def sequences() -> dict[str, list[Request]]:
    """Name -> requests in the order of time."""
    found: dict[str, list[Request]] = {}
    name = ""
    for line in (Path(__file__).parent / "replay.txt").read_text().splitlines():
        if line.startswith(": "):
            name = line[2:]
            found[name] = []
        elif line and not line.startswith("#"):
            found[name].append(request(line))
    return found


def verdicts(requests: list[Request], told: list[Request] | None = None) -> list[str]:
    """Who each request is taken for, when the others were told in the order of `told`."""
    others = tuple(other.sighting for other in (requests if told is None else told))
    return [str(classify(one.sighting, Context(one.after, others)).who) for one in requests]
