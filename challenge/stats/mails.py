"""What became of each mail, after which did people leave, and on which day? All mails, not the days' only.

Counts are of runs, but for `sent`. Whoever is stopped left once: for one reason, after one mail, on one day; so each table
adds up to the funnel's `stopped`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime
from typing import Any

from sqlmodel import Session

from challenge.stats.blocks import NO_MAIL, Block, total
from challenge.stats.filter import EVERYBODY, Filter
from challenge.stats.funnel import Crowd, Funnel, Rate, funnel, opened_for_certain, rate_of, seen
from challenge.stats.journeys import WAYS_TO_LEAVE
from challenge.stats.keep import load

BEFORE, AFTER = ("confirm", "welcome"), ("nudge", "rest", "finish", "invitation", "comeback", "already")
_WITHOUT_PICTURE = "confirm"  # nobody who has not said yes is tracked


@dataclass(frozen=True)
class MailNumbers:
    """One mail: `confirm`, `welcome`, `day-1` … `day-N`, `nudge`, `rest`, `finish`, `invitation`, `comeback`, `already`; `(none)` for
    those who left before any.

    `sent`: mails, copies too, without uncertain, as the audit counts them; `runs` they went to. `delivered`, `untracked`,
    `seen_of`, `opened_least`, `opened_most`, `clicked_seen` and `clicked` as in `funnel.DayNumbers`; nothing is seen of the
    confirmation, which has no picture and no counted link. `bounced`: runs of whom it was refused or came back, be it for
    once. `click`: clicked, of those who can be seen and have had it for a day.

    `left`: runs that are stopped, after this mail: by the link of this one (`unsubscribed`) or when no other had come since,
    because it came back (`left_bounced`: the mailbox is dead), because they called it spam (`complained`, whatever they did
    before), or otherwise (`left_other`: at the desk, or another run of theirs). `stop`: unsubscribed, of those who have had
    it for a day; `not_yet` have not."""

    mail: str
    sent: int
    runs: int
    delivered: int
    bounced: int
    untracked: int
    seen_of: int
    opened_least: int
    opened_most: int
    clicked: int
    clicked_seen: int
    click: Rate
    unsubscribed: int
    left_bounced: int
    complained: int
    left_other: int
    left: int
    stop: Rate
    not_yet: int


@dataclass(frozen=True)
class Leaving:
    """One day (UTC, challenge time): to how many runs a mail went, and how many left, why. None: nobody knows when, for a
    start that another one replaced was stopped by nothing they did."""

    day: date | None
    mailed: int
    unsubscribed: int
    bounced: int
    complained: int
    other: int
    left: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"day": self.day.isoformat() if self.day else None}


@dataclass(frozen=True)
class Numbers(Funnel):
    """What `challenge stats --json` and `/api/v1/stats` tell: the funnel, each mail, and who left day by day."""

    mails: tuple[MailNumbers, ...]
    leaving: tuple[Leaving, ...]

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"leaving": [row.to_dict() for row in self.leaving]}


def all_numbers(session: Session, challenge: str, length: int, now: datetime, filter: Filter = EVERYBODY) -> Numbers:
    """The funnel and what this file counts, as of one moment."""
    asked = (session, challenge, length, now, filter)
    found = funnel(*asked)
    return Numbers(
        **{field.name: getattr(found, field.name) for field in fields(found)},
        mails=each_mail(*asked),
        leaving=leaving(*asked),
    )


def each_mail(
    session: Session, challenge: str, length: int, now: datetime, filter: Filter = EVERYBODY
) -> tuple[MailNumbers, ...]:
    """In the order of the way; a mail that is no day's and that nobody got or left after is not told."""
    crowd = Crowd(load(session, challenge, length, now), length, filter, now)
    return tuple(_each(crowd))


def _each(crowd: Crowd) -> Iterator[MailNumbers]:
    days = [str(day) for day in range(1, crowd.length + 1)]
    for name in (*BEFORE, *days, *AFTER, NO_MAIL):
        row = _numbers(crowd, name)
        if row.sent or row.left or row.bounced or name in days:
            yield row


def _numbers(crowd: Crowd, name: str) -> MailNumbers:
    is_seen = name != _WITHOUT_PICTURE
    runs, untracked = crowd.count(f"sent:{name}"), crowd.count(f"sent:{name}", "untracked")
    had = [(block, people & block.had(name, crowd.now)) for block, people in crowd]
    left = {why: crowd.sum(lambda block, why=why: _left(block, why, name)) for why in WAYS_TO_LEAVE}  # type: ignore[misc]
    of = _count((people for _, people in had))
    return MailNumbers(
        mail=f"day-{name}" if name.isdigit() else name,
        sent=runs + sum(total(block.family(f"copies:{name}"), people) for block, people in crowd),
        runs=runs,
        delivered=crowd.count(f"delivered:{name}"),
        bounced=crowd.count(f"bounced:{name}"),
        untracked=untracked,
        seen_of=runs - untracked if is_seen else 0,
        opened_least=crowd.sum(lambda block: seen(block, name) & opened_for_certain(block, name)) if is_seen else 0,
        opened_most=crowd.sum(
            lambda block: seen(block, name) & (opened_for_certain(block, name) | block.get(f"opened_proxy:{name}"))
        )
        if is_seen
        else 0,
        clicked=crowd.count(f"clicked:{name}"),
        clicked_seen=crowd.sum(lambda block: seen(block, name) & block.get(f"clicked:{name}")),
        click=rate_of(
            _count(people & seen(block, name) & block.get(f"clicked:{name}") for block, people in had),
            _count(people & seen(block, name) for block, people in had) if is_seen else 0,
        ),
        unsubscribed=left["unsubscribed"],
        left_bounced=left["bounced"],
        complained=left["complained"],
        left_other=left["other"],
        left=sum(left.values()),
        stop=rate_of(_count(people & _left(block, "unsubscribed", name) for block, people in had), of),
        not_yet=runs - of,
    )


def _left(block: Block, why: str, name: str) -> int:
    return block.family(f"left:{why}").get(name, 0)


def _count(parts: Iterable[int]) -> int:
    return sum(people.bit_count() for people in parts)


def leaving(
    session: Session, challenge: str, length: int, now: datetime, filter: Filter = EVERYBODY
) -> tuple[Leaving, ...]:
    """The days on which a mail left or somebody did, the oldest first."""
    days: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for block, people in Crowd(load(session, challenge, length, now), length, filter, now):
        for what in ("mailed", *(f"left_on:{why}" for why in WAYS_TO_LEAVE)):
            for day, there in block.family(what).items():
                if mine := there & people:
                    days[day][what.removeprefix("left_on:")] += mine.bit_count()
    return tuple(
        Leaving(
            day=date.fromisoformat(day) if day else None,
            **{what: counts[what] for what in ("mailed", *WAYS_TO_LEAVE)},
            left=sum(counts[why] for why in WAYS_TO_LEAVE),
        )
        for day, counts in sorted(days.items())
    )
