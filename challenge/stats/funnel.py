"""How far do people get? The numbers of the dashboard, `challenge stats`, the API and the CSV, from one place.

All counts are of runs: one person's way through the challenge; who takes it again has another.

A rate is of the runs whose chance has been (`Block.had_chance`): by when they got the step's mail, never by what they
did with it. The others are `not_yet`, those too who reached the step already: they are `early`, and as many of them are
still missing who will not. Counted at once, they alone would make a young rate 100 %. What is done after the chance counts
too, so a young rate can still grow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import reduce
from operator import and_, or_
from typing import Any

from sqlmodel import Session

from challenge.stats.blocks import Block
from challenge.stats.filter import EVERYBODY, Filter
from challenge.stats.inference import wilson
from challenge.stats.keep import load
from challenge.stats.unknown import Unknown, unknown
from challenge.stats.visits import Visits, visits


@dataclass(frozen=True)
class Rate:
    """`count` of `of` runs, the rate with its Wilson interval at 95 %; None when nobody had the chance."""

    count: int
    of: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Step:
    """One step of the way: `signed_up` (by a form, of its visitors; without a rate where they are not known, or fewer than
    those who signed up, for some forms on other sites bring people without a visit), `confirmed` (of those who were
    asked), `day-1` … `day-N`, `finished`, `joined` (of those who said yes).

    `of` had the chance and `reached` of them are here: `rate`. `not_yet` did not have it yet; `early` are here without.
    `other` are here, and never in the rate: they came by API or import, were never asked, or joined without having said
    yes. `count` is all three. `lost`: reached the step before, had the chance, and reached neither this one nor a later one;
    so nobody is lost twice. `median_minutes`: half of those who got here needed no longer, from sign-up to the yes, from a
    day's mail to "done", from the yes to all days done, from the last day done to joining (not those who joined before).
    """

    name: str
    day: int | None
    count: int
    early: int
    other: int
    reached: int
    of: int
    not_yet: int
    lost: int
    rate: float | None
    low: float | None
    high: float | None
    median_minutes: int | None


@dataclass(frozen=True)
class DayNumbers:
    """One day. `sent` without uncertain; `delivered`: sent and no bounce came; `opened_proxy`: only proxies opened it;
    `clicked`: on a link that does not end it; `done`: not undone, not unsure.

    Who switched tracking off (`untracked`) is never seen to open: `seen_of` are the others it was sent to, of whom at least
    `opened_least` opened it (they did, or clicked, or did the day before another mail came) and `opened_most` at most (those
    too whose mail a proxy fetched); `clicked_seen` of them clicked.
    `early`, `reached`, `of`, `not_yet`, `rate`, `low`, `high` and `median_minutes` are about done, as in `Step`, here of
    those the mail was sent to."""

    day: int
    sent: int
    delivered: int
    opened_people: int
    opened_proxy: int
    untracked: int
    seen_of: int
    opened_least: int
    opened_most: int
    clicked_seen: int
    clicked: int
    done: int
    rested: int
    early: int
    reached: int
    of: int
    not_yet: int
    rate: float | None
    low: float | None
    high: float | None
    median_minutes: int | None


@dataclass(frozen=True)
class Funnel:
    """Counts of runs, and the visits before them (None under a filter that no visitor can have). `by_form`, `by_api` and
    `by_import` are those who `signed_up`. `unasked`: confirmed, for their yes was imported. `joined_without_yes`: joined, and
    never said yes to the mails. `unknown`: joined, but nobody here is known by what was told (None under a filter: nobody
    knows whether they fit). `by_source`: source -> (signed up, confirmed, finished)."""

    visits: Visits | None
    signed_up: int
    by_form: int
    by_api: int
    by_import: int
    confirmed: int
    unasked: int
    finished: int
    joined: int
    joined_without_yes: int
    unknown: Unknown | None
    stopped: int
    days: tuple[DayNumbers, ...]
    steps: tuple[Step, ...]
    by_source: dict[str, tuple[int, int, int]]
    zones: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Crowd:
    """The people of one challenge under one filter: what every count is taken from."""

    def __init__(self, blocks: Sequence[Block], length: int, filter: Filter, now: datetime) -> None:
        self.length, self.now = length, now
        pairs = ((block, block.matching(filter)) for block in blocks)
        self._parts = [(block, people) for block, people in pairs if people]
        self._counts: dict[tuple[str, ...], int] = {}
        self._had_chance: dict[str, list[tuple[Block, int]]] = {}
        self._medians: dict[str, int | None] = {}

    def __iter__(self) -> Iterator[tuple[Block, int]]:
        return iter(self._parts)

    def count(self, *names: str) -> int:
        """People who reached all of these steps."""
        if names not in self._counts:
            self._counts[names] = self.sum(lambda block: reduce(and_, map(block.get, names), -1))
        return self._counts[names]

    def had_chance(self, mail: str) -> list[tuple[Block, int]]:
        """Each block with those of its people who had the chance that this mail gives."""
        if mail not in self._had_chance:
            self._had_chance[mail] = [
                (block, people & block.had_chance(mail, self.length, self.now)) for block, people in self
            ]
        return self._had_chance[mail]

    def asked(self, mail: str, *names: str) -> int:
        """People who had the chance that this mail gives, and reached all of these steps."""
        return sum(reduce(and_, map(block.get, names), had).bit_count() for block, had in self.had_chance(mail))

    def sum(self, of: Callable[[Block], int]) -> int:
        """People in a set that is worked out for each block."""
        return sum((people & of(block)).bit_count() for block, people in self._parts)

    def median(self, step: str) -> int | None:
        """The lower median of the minutes waited: down the slices from the highest, keeping the half it lies in."""
        if step not in self._medians:
            self._medians[step] = self._find_median(step)
        return self._medians[step]

    def _find_median(self, step: str) -> int | None:
        left = [(block.family(f"waits:{step}"), people & block.get(f"waited:{step}")) for block, people in self]
        left = [(slices, people) for slices, people in left if people]
        size = sum(people.bit_count() for _, people in left)
        if not size:
            return None
        rank, minutes = (size + 1) // 2, 0
        highest = max((int(place) for slices, _ in left for place in slices), default=-1)
        for place in map(str, range(highest, -1, -1)):
            ones = [(slices, people & slices.get(place, 0)) for slices, people in left]
            above = sum(people.bit_count() for _, people in ones)
            if rank <= size - above:
                size -= above
                left = [(slices, people ^ some) for (slices, people), (_, some) in zip(left, ones, strict=True)]
            else:
                rank, size, minutes, left = rank - (size - above), above, minutes | 1 << int(place), ones
        return minutes


def rate_of(count: int, of: int) -> Rate:
    """A rate with its interval."""
    if not of:
        return Rate(count, of, None, None, None)
    sure = wilson(count, of)
    return Rate(count, of, count / of, sure.low, sure.high)


def funnel(session: Session, challenge: str, length: int, now: datetime, filter: Filter = EVERYBODY) -> Funnel:
    """The funnel of one challenge of `length` days as of `now` (challenge time)."""
    crowd = Crowd(load(session, challenge, length, now), length, filter, now)
    visited = visits(session, challenge, filter)
    return Funnel(
        visits=visited,
        signed_up=crowd.count(),
        by_form=crowd.count() - crowd.count("by_api") - crowd.count("by_import"),
        by_api=crowd.count("by_api"),
        by_import=crowd.count("by_import"),
        confirmed=crowd.count("confirmed"),
        unasked=crowd.count("unasked", "confirmed"),
        finished=crowd.count("finished"),
        joined=crowd.count("joined"),
        joined_without_yes=crowd.count("joined") - crowd.count("joined", "confirmed"),
        unknown=unknown(session) if filter.is_empty else None,
        stopped=crowd.count("stopped"),
        days=tuple(_day(crowd, number) for number in range(1, length + 1)),
        steps=tuple(_steps(crowd, visited)),
        by_source=_by_source(crowd),
        zones=len({zone for block, people in crowd for zone, there in block.family("zones").items() if there & people}),
    )


def _day(crowd: Crowd, day: int) -> DayNumbers:
    sent, done = crowd.count(f"sent:{day}"), crowd.count(f"done:{day}")
    rate = rate_of(crowd.asked(str(day), f"sent:{day}", f"done:{day}"), crowd.asked(str(day), f"sent:{day}"))
    untracked = crowd.count(f"sent:{day}", "untracked")
    return DayNumbers(
        day=day,
        sent=sent,
        delivered=crowd.count(f"delivered:{day}"),
        opened_people=crowd.count(f"opened_people:{day}"),
        opened_proxy=crowd.sum(lambda block: block.get(f"opened_proxy:{day}") & ~block.get(f"opened_people:{day}")),
        untracked=untracked,
        seen_of=sent - untracked,
        opened_least=crowd.sum(lambda block: seen(block, day) & opened_for_certain(block, day)),
        opened_most=crowd.sum(
            lambda block: seen(block, day) & (opened_for_certain(block, day) | block.get(f"opened_proxy:{day}"))
        ),
        clicked_seen=crowd.sum(lambda block: seen(block, day) & block.get(f"clicked:{day}")),
        clicked=crowd.count(f"clicked:{day}"),
        done=done,
        rested=crowd.count(f"rested:{day}"),
        early=done - rate.count,
        reached=rate.count,
        of=rate.of,
        not_yet=sent - rate.of,
        rate=rate.rate,
        low=rate.low,
        high=rate.high,
        median_minutes=crowd.median(f"done:{day}"),
    )


def seen(block: Block, mail: int | str) -> int:
    """Those a mail (a day's number, or another's name) was sent to, but for those who switched tracking off."""
    sent = block.get(f"sent:{mail}")
    return sent ^ (sent & block.get("untracked"))


def opened_for_certain(block: Block, mail: int | str) -> int:
    """Nobody clicks in a mail that is shut, nor does its day before another mail came."""
    marks = ("opened_people", "clicked", "way_out", "in_time")
    return reduce(or_, (block.get(f"{mark}:{mail}") for mark in marks))


def asked_for_yes(block: Block) -> int:
    """All but those whose yes was imported: they were never asked."""
    return block.get("people") ^ (block.get("people") & block.get("unasked"))


@dataclass(frozen=True)
class _Way:
    """A step: who is there, whom its rate is of, the mail that gives the chance."""

    name: str
    day: int | None
    bits: str
    base: Callable[[Block], int]
    mail: str


def _steps(crowd: Crowd, visited: Visits | None) -> Iterator[Step]:
    signed_up, length = crowd.count(), crowd.length
    other = crowd.count("by_api") + crowd.count("by_import")
    by_form = signed_up - other
    is_known = visited is not None and visited.visitors >= by_form
    of = visited.visitors if visited is not None and is_known else by_form
    rate = rate_of(by_form, of) if is_known else Rate(by_form, of, None, None, None)
    yield _as_step("signed_up", None, signed_up, other, rate, 0, of - by_form, None)
    way = [_Way("confirmed", None, "confirmed", asked_for_yes, "confirm")]
    way += [_Way(f"day-{day}", day, f"done:{day}", _said_yes, str(day)) for day in range(1, length + 1)]
    way += [
        _Way("finished", None, "finished", _said_yes, str(length)),
        _Way("joined", None, "joined", _said_yes, "joined"),
    ]
    before = "people"
    for place, step in enumerate(way):
        yield _step(crowd, step, before, [later.bits for later in way[place:]])
        before = step.bits


def _said_yes(block: Block) -> int:
    return block.get("confirmed")


def _step(crowd: Crowd, step: _Way, before: str, from_here: Sequence[str]) -> Step:
    """`from_here`: the bits of this step and of all later ones."""
    asked = crowd.had_chance(step.mail)
    rate = rate_of(_count(asked, lambda block: step.base(block) & block.get(step.bits)), _count(asked, step.base))
    lost = _count(asked, lambda block: _stayed(block, step.base(block) & block.get(before), from_here))
    base, here = crowd.sum(step.base), crowd.sum(lambda block: step.base(block) & block.get(step.bits))
    count = crowd.count(step.bits)
    return _as_step(step.name, step.day, count, count - here, rate, base - rate.of, lost, crowd.median(step.bits))


def _count(parts: Iterable[tuple[Block, int]], of: Callable[[Block], int]) -> int:
    return sum((people & of(block)).bit_count() for block, people in parts)


def _stayed(block: Block, people: int, from_here: Sequence[str]) -> int:
    """Those of these people who reached none of the steps."""
    further = reduce(or_, map(block.get, from_here))
    return people ^ (people & further)


def _as_step(
    name: str, day: int | None, count: int, other: int, rate: Rate, not_yet: int, lost: int, median_minutes: int | None
) -> Step:
    return Step(
        name=name,
        day=day,
        count=count,
        early=count - other - rate.count,
        other=other,
        reached=rate.count,
        of=rate.of,
        not_yet=not_yet,
        lost=lost,
        rate=rate.rate,
        low=rate.low,
        high=rate.high,
        median_minutes=median_minutes,
    )


def _by_source(crowd: Crowd) -> dict[str, tuple[int, int, int]]:
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for block, people in crowd:
        for source, there in block.family("words:source").items():
            if mine := there & people:
                counts = found[source]
                counts[0] += mine.bit_count()
                counts[1] += (mine & block.get("confirmed")).bit_count()
                counts[2] += (mine & block.get("finished")).bit_count()
    ordered = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
    return {source: (counts[0], counts[1], counts[2]) for source, counts in ordered}
