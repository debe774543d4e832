"""The calendar as RFC 5545 wants it: the zone written out, lines of 75 octets, signs escaped."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from challenge.web.calendar import Entry, written

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)


def calendar(first: datetime, timezone: str, *, days: int = 5, title: str = "A soft start") -> str:
    wall = [first + timedelta(days=day) for day in range(days)]
    entries = [Entry(f"day-{n}", at.astimezone(UTC), f"Day {n}: {title}", "Look.") for n, at in enumerate(wall, 1)]
    return written(entries, timezone, 7, NOW)


def observances(text: str) -> list[dict[str, str]]:
    found = re.findall(r"BEGIN:(STANDARD|DAYLIGHT)\r\n(.*?)END:", text, re.S)
    return [{"kind": kind, **dict(row.split(":", 1) for row in rows.split("\r\n") if row)} for kind, rows in found]


@pytest.mark.parametrize(
    ("timezone", "begins", "changes"),
    [
        ("Europe/Berlin", "2027-03-26T08:00", [("DAYLIGHT", "20270328T020000", "+0100", "+0200")]),
        ("America/New_York", "2027-11-05T08:00", [("STANDARD", "20271107T020000", "-0400", "-0500")]),
        ("Australia/Lord_Howe", "2027-04-02T08:00", [("STANDARD", "20270404T020000", "+1100", "+1030")]),
        ("Asia/Kolkata", "2027-03-26T08:00", []),
        ("UTC", "2027-03-26T08:00", []),
    ],
)
def test_it_tells_the_zone_with_its_changes(
    timezone: str, begins: str, changes: list[tuple[str, str, str, str]]
) -> None:
    first = datetime.fromisoformat(begins).replace(tzinfo=ZoneInfo(timezone))
    text = calendar(first, timezone)
    start, *told = observances(text)
    assert start["TZOFFSETFROM"] == start["TZOFFSETTO"] == f"{first:%z}"
    assert [(one["kind"], one["DTSTART"], one["TZOFFSETFROM"], one["TZOFFSETTO"]) for one in told] == changes
    walls = re.findall(rf"DTSTART;TZID={timezone}:(\S+)", text)
    assert walls == [f"{first + timedelta(days=day):%Y%m%dT%H%M%S}" for day in range(5)]
    assert min(walls) > start["DTSTART"]
    assert text.index("END:VTIMEZONE") < text.index("BEGIN:VEVENT")


def test_it_folds_long_lines_between_letters_and_escapes() -> None:
    title = "Ü" * 80 + "; a, b \\ c\nd"
    text = calendar(datetime(2027, 3, 26, 8, tzinfo=UTC), "UTC", days=1, title=title)
    assert max(len(line.encode()) for line in text.split("\r\n")) == 75
    assert "\n" not in text.replace("\r\n", "")
    whole = text.replace("\r\n ", "")
    assert "SUMMARY:Day 1: " + "Ü" * 80 + "\\; a\\, b \\\\ c\\nd\r\n" in whole


def test_it_is_a_calendar_without_days_too() -> None:
    text = written([], "UTC", 7, NOW)
    assert text.splitlines()[0] == "BEGIN:VCALENDAR"
    assert text.endswith("END:VCALENDAR\r\n")
    assert "VEVENT" not in text
