"""How are somebody's mornings written as a calendar (RFC 5545)? Asked by the page `mine`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

_LONGEST_LINE = 75  # octets, RFC 5545 3.1
_STEP = timedelta(minutes=15)  # clocks change on a quarter of an hour
_DAY = timedelta(days=1)


class Entry(NamedTuple):
    """One morning: `key` tells it from the others when the calendar is read again."""

    key: str
    at: datetime
    summary: str
    description: str


def written(entries: Sequence[Entry], timezone: str, owner: int, now: datetime) -> str:
    """The calendar of one enrollment (`owner`), with wall times in the person's zone."""
    rows = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Challenge//Mornings", "CALSCALE:GREGORIAN"]
    if entries:
        rows += _zone(timezone, entries[0].at - _DAY, entries[-1].at + _DAY)
    for entry in entries:
        rows += [
            "BEGIN:VEVENT",
            f"UID:{entry.key}.{owner}@challenge",
            f"DTSTAMP:{now:%Y%m%dT%H%M%SZ}",
            f"DTSTART;TZID={timezone}:{_wall(entry.at.astimezone(ZoneInfo(timezone)))}",
            "DURATION:PT15M",
            f"SUMMARY:{_escaped(entry.summary)}",
            f"DESCRIPTION:{_escaped(entry.description)}",
            "END:VEVENT",
        ]
    return "".join(f"{_folded(row)}\r\n" for row in [*rows, "END:VCALENDAR"])


def _zone(timezone: str, first: datetime, last: datetime) -> Iterator[str]:
    """What the zone's clocks do from `first` to `last`, for programs that do not know its name (3.6.5)."""
    yield from ("BEGIN:VTIMEZONE", f"TZID:{timezone}")
    at = first.replace(minute=0, second=0, microsecond=0)
    before = at.astimezone(ZoneInfo(timezone))
    yield from _observance(before, before, before)
    while at < last:
        at += _STEP
        after = at.astimezone(before.tzinfo)
        if after.utcoffset() != before.utcoffset():
            yield from _observance(before + _STEP, before, after)
        before = after
    yield "END:VTIMEZONE"


def _observance(start: datetime, before: datetime, after: datetime) -> Iterator[str]:
    """From `start` on, as the clocks before would have shown it."""
    kind = "DAYLIGHT" if after.dst() else "STANDARD"
    yield f"BEGIN:{kind}"
    yield f"DTSTART:{_wall(start)}"
    yield f"TZOFFSETFROM:{before:%z}"
    yield f"TZOFFSETTO:{after:%z}"
    yield f"TZNAME:{after.tzname()}"
    yield f"END:{kind}"


def _wall(local: datetime) -> str:
    return f"{local:%Y%m%dT%H%M%S}"


def _escaped(text: str) -> str:
    for sign in "\\;,":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("\n", "\\n")


def _folded(row: str) -> str:
    """Lines of at most 75 octets; no letter is cut in two."""
    lines, line = [], ""
    for letter in row:
        if len(f"{line}{letter}".encode()) > _LONGEST_LINE:
            lines.append(line)
            line = " "
        line += letter
    return "\r\n".join([*lines, line])
