"""How far do people get? The numbers of the dashboard, `challenge stats`, the API and the CSV, from one place.

A rate is of the people whose chance has been (`Block.had_chance`): by when they got the step's mail, never by what they
did with it. The others are `not_yet`, those too who reached the step already: they are `early`, and as many of them are
still missing who will not. Counted at once, they alone would make a young rate 100 %.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import reduce
from operator import and_
from typing import Any

from sqlmodel import Session

from challenge.stats.blocks import Block
from challenge.stats.filter import EVERYBODY, Filter
from challenge.stats.inference import wilson
from challenge.stats.keep import load
from challenge.stats.visits import Visits, visits


@dataclass(frozen=True)
class Rate:
    """`count` of `of` people, the rate with its Wilson interval at 95 %; None when nobody had the chance."""

    count: int
    of: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Step:
    """One step of the way: `signed_up` (of the visitors; without a rate where they are not known, or fewer than those who
    signed up, for forms on other sites bring people without a visit), `confirmed`, `day-1` … `day-N`, `finished`, `joined`.

    `of` had the chance and `reached` of them are here: `rate`. `not_yet` did not have it yet; `early` are here without:
    `count` is `early` and `reached`. `lost`: reached the step before, had the chance and did not reach this one.
    `median_minutes`: half of those who got here needed no longer, from sign-up to the yes, from a day's mail to "done",
    from the yes to all days done, from the last day done to joining.
    """

    name: str
    day: int | None
    count: int
    early: int
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
    """One day. `sent` without uncertain; `delivered`: sent and no bounce came; `opened_proxy`: only proxies opened it,
    so people opened it between `opened_people` and `opened_people + opened_proxy`; `done`: not undone, not unsure.
    `early`, `reached`, `of`, `not_yet`, `rate`, `low`, `high` and `median_minutes` are about done, as in `Step`, here of
    those the mail was sent to."""

    day: int
    sent: int
    delivered: int
    opened_people: int
    opened_proxy: int
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
    """Counts of enrollments, and the visits before them (None under a filter that no visitor can have). `by_source`: source -> (signed up, confirmed, finished)."""

    visits: Visits | None
    signed_up: int
    confirmed: int
    finished: int
    joined: int
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
        self._had_chance: dict[str, list[int]] = {}
        self._medians: dict[str, int | None] = {}

    def __iter__(self) -> Iterator[tuple[Block, int]]:
        return iter(self._parts)

    def count(self, *names: str) -> int:
        """People who reached all of these steps."""
        if names not in self._counts:
            self._counts[names] = self.sum(lambda block: reduce(and_, map(block.get, names), -1))
        return self._counts[names]

    def asked(self, mail: str, *names: str) -> int:
        """People who had the chance that this mail gives, and reached all of these steps."""
        if mail not in self._had_chance:
            self._had_chance[mail] = [people & block.had_chance(mail, self.length, self.now) for block, people in self]
        pairs = zip(self, self._had_chance[mail], strict=True)
        return sum(reduce(and_, map(block.get, names), had).bit_count() for (block, _), had in pairs)

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
    seen = visits(session, challenge, filter)
    return Funnel(
        visits=seen,
        signed_up=crowd.count(),
        confirmed=crowd.count("confirmed"),
        finished=crowd.count("finished"),
        joined=crowd.count("joined"),
        stopped=crowd.count("stopped"),
        days=tuple(_day(crowd, number) for number in range(1, length + 1)),
        steps=tuple(_steps(crowd, seen)),
        by_source=_by_source(crowd),
        zones=len({zone for block, people in crowd for zone, there in block.family("zones").items() if there & people}),
    )


def _day(crowd: Crowd, day: int) -> DayNumbers:
    sent, done = crowd.count(f"sent:{day}"), crowd.count(f"done:{day}")
    rate = rate_of(crowd.asked(str(day), f"sent:{day}", f"done:{day}"), crowd.asked(str(day), f"sent:{day}"))
    return DayNumbers(
        day=day,
        sent=sent,
        delivered=crowd.count(f"delivered:{day}"),
        opened_people=crowd.count(f"opened_people:{day}"),
        opened_proxy=crowd.sum(lambda block: block.get(f"opened_proxy:{day}") & ~block.get(f"opened_people:{day}")),
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


def _steps(crowd: Crowd, seen: Visits | None) -> Iterator[Step]:
    """Each step, the people it is about (`base`) and the mail that gives the chance."""
    signed_up, length = crowd.count(), crowd.length
    is_known = seen is not None and seen.visitors >= signed_up
    of = seen.visitors if seen is not None and is_known else signed_up
    rate = rate_of(signed_up, of) if is_known else Rate(signed_up, of, None, None, None)
    yield _as_step("signed_up", None, signed_up, rate, 0, of - signed_up, None)
    way: list[tuple[str, int | None, str, str, str]] = [("confirmed", None, "confirmed", "people", "confirm")]
    way += [(f"day-{day}", day, f"done:{day}", "confirmed", str(day)) for day in range(1, length + 1)]
    way += [("finished", None, "finished", "confirmed", str(length)), ("joined", None, "joined", "confirmed", "finish")]
    before = "people"
    for name, day, bits, base, mail in way:
        yield _step(crowd, name, day, bits, base, mail, before)
        before = bits


def _step(crowd: Crowd, name: str, day: int | None, bits: str, base: str, mail: str, before: str) -> Step:
    rate = rate_of(crowd.asked(mail, base, bits), crowd.asked(mail, base))
    lost = crowd.asked(mail, base, before) - crowd.asked(mail, base, before, bits)
    return _as_step(name, day, crowd.count(bits), rate, crowd.count(base) - rate.of, lost, crowd.median(bits))


def _as_step(
    name: str, day: int | None, count: int, rate: Rate, not_yet: int, lost: int, median_minutes: int | None
) -> Step:
    return Step(
        name=name,
        day=day,
        count=count,
        early=count - rate.count,
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
