"""Which people get further? The same counts side by side: by source, by any other dimension, by week of sign-up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

from sqlmodel import Session

from challenge.errors import BadInput
from challenge.stats.blocks import Block, total
from challenge.stats.filter import DIMENSIONS, EVERYBODY, Filter
from challenge.stats.funnel import Crowd, Rate, rate_of
from challenge.stats.keep import load


@dataclass(frozen=True)
class Group:
    """The people with one word of a dimension. `confirm`, `finish` and `join` are of the sign-ups who had the chance (as
    in `funnel.Step`: of those who never said yes, when it would have been), `join_early` joined and are not among them
    yet. `revenue`: currency -> sum, in the smallest unit (cents), and `revenue_per_signup` the same divided by all
    sign-ups, as of now."""

    word: str
    signed_up: int
    confirmed: int
    started: int
    finished: int
    joined: int
    confirm: Rate
    finish: Rate
    join: Rate
    join_early: int
    revenue: dict[str, int]
    revenue_per_signup: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Cohort:
    """The sign-ups of one week, from Monday `week` on. Per day: `days`, done of those who had the chance; `early`, done
    by others; `not_yet`, those who said yes and did not have the chance yet (as in `funnel.Step`)."""

    week: date
    signed_up: int
    confirmed: int
    finished: int
    joined: int
    days: tuple[Rate, ...]
    early: tuple[int, ...]
    not_yet: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"week": self.week.isoformat()}


@dataclass(frozen=True)
class StillIn:
    """Who is still in on one day (day 0: said yes). `at_risk` were in the day before and had the chance, `left` of them
    did nothing from this day on; `share` of all who began are still in (Kaplan and Meier, JASA 53, 1958), unknown where
    nobody had the chance yet."""

    day: int
    at_risk: int
    left: int
    not_yet: int
    share: float | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class _Tally:
    """Counts while they are added up over blocks."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    money: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, block: Block, sets: dict[str, int], people: int) -> None:
        for name, there in sets.items():
            self.counts[name] += (people & there).bit_count()
        for family, slices in block.sets.items():
            if family.startswith("paid:") and (amount := total(slices, people)):
                self.money[family.removeprefix("paid:")] += amount

    def rate(self, step: str) -> Rate:
        return rate_of(self.counts[f"reached:{step}"], self.counts[f"of:{step}"])


def _sets(block: Block, length: int, now: datetime) -> dict[str, int]:
    """What is counted of each group: who is there, who had the chance, and who of these got there."""
    sets = {name: block.get(name) for name in ("people", "confirmed", "done:1", "finished", "joined")}
    for step, mail in (("confirmed", "confirm"), ("finished", str(length)), ("joined", "finish")):
        sets[f"of:{step}"] = block.get("people") & block.had_chance(mail, length, now)
        sets[f"reached:{step}"] = sets[f"of:{step}"] & sets[step]
    return sets


def groups(
    session: Session, challenge: str, length: int, now: datetime, dimension: str, filter: Filter = EVERYBODY
) -> tuple[Group, ...]:
    """The people of a filter by the words of one dimension (`source`, `position`, …), most sign-ups first."""
    if dimension not in DIMENSIONS:
        raise BadInput("by", f"by must be one of: {', '.join(DIMENSIONS)}.")
    tallies: dict[str, _Tally] = defaultdict(_Tally)
    for block, people in Crowd(load(session, challenge, length, now), length, filter, now):
        sets = _sets(block, length, now)
        for word, there in block.family(f"words:{dimension}").items():
            if mine := there & people:
                tallies[word].add(block, sets, mine)
    found = [_group(word, tally) for word, tally in tallies.items()]
    return tuple(sorted(found, key=lambda group: (-group.signed_up, group.word)))


def choices(session: Session, challenge: str, length: int, now: datetime) -> dict[str, tuple[str, ...]]:
    """What there is to filter by: dimension -> its words, those of most people first; one word alone is no choice."""
    found: dict[str, dict[str, int]] = {name: defaultdict(int) for name in DIMENSIONS}
    for block in load(session, challenge, length, now):
        for name, counts in found.items():
            for word, people in block.family(f"words:{name}").items():
                counts[word] += people.bit_count()
    return {name: _most_first(words) for name, words in found.items() if len(words) > 1}


def _most_first(words: dict[str, int]) -> tuple[str, ...]:
    return tuple(sorted(words, key=lambda word: (-words[word], word)))


def cohorts(
    session: Session, challenge: str, length: int, now: datetime, filter: Filter = EVERYBODY
) -> tuple[Cohort, ...]:
    """Week by week, the oldest first. Weeks begin on Monday (UTC)."""
    weeks: dict[date, list[tuple[Block, int]]] = defaultdict(list)
    for block, people in Crowd(load(session, challenge, length, now), length, filter, now):
        for week, there in _weeks(block).items():
            if mine := there & people:
                weeks[week].append((block, mine))
    return tuple(_cohort(week, parts, length, now) for week, parts in sorted(weeks.items()))


def _weeks(block: Block) -> dict[date, int]:
    """Monday -> those who signed up in its week."""
    found: dict[date, int] = defaultdict(int)
    for word, people in block.family("days").items():
        day = date.fromisoformat(word)
        found[day - timedelta(days=day.weekday())] |= people
    return found


def survival(
    session: Session, challenge: str, length: int, now: datetime, filter: Filter = EVERYBODY
) -> tuple[StillIn, ...]:
    """Day by day, who is still in: did, rested or clicked on that day's mail or a later one."""
    return tuple(_survival(Crowd(load(session, challenge, length, now), length, filter, now)))


def _survival(crowd: Crowd) -> Iterator[StillIn]:
    began, length, share = crowd.count("confirmed"), crowd.length, 1.0
    yield StillIn(0, began, 0, 0, share)
    for day in range(1, length + 1):
        asked = crowd.sum(partial(_asked, day=day, length=length, now=crowd.now))
        left = asked - crowd.sum(partial(_went_on, day=day, length=length, now=crowd.now))
        before = crowd.sum(partial(_active, day=day - 1, length=length))
        share *= 1 - left / asked if asked else 1
        yield StillIn(day, asked, left, before - asked, share if asked else None)


def _active(block: Block, day: int, length: int) -> int:
    """Those who did something for this day's mail or a later one; for day 0, all who said yes."""
    if day == 0:
        return block.get("confirmed")
    later = 0
    for number in range(day, length + 1):
        later |= block.get(f"done:{number}") | block.get(f"clicked:{number}") | block.get(f"rested:{number}")
    return later & block.get("confirmed")


def _asked(block: Block, day: int, length: int, now: datetime) -> int:
    return _active(block, day - 1, length) & block.had_chance(str(day), length, now)


def _went_on(block: Block, day: int, length: int, now: datetime) -> int:
    return _active(block, day, length) & block.had_chance(str(day), length, now)


def _group(word: str, tally: _Tally) -> Group:
    count = tally.counts
    people = count["people"]
    return Group(
        word=word,
        signed_up=people,
        confirmed=count["confirmed"],
        started=count["done:1"],
        finished=count["finished"],
        joined=count["joined"],
        confirm=tally.rate("confirmed"),
        finish=tally.rate("finished"),
        join=tally.rate("joined"),
        join_early=count["joined"] - count["reached:joined"],
        revenue=dict(tally.money),
        revenue_per_signup={currency: amount / people for currency, amount in tally.money.items()},
    )


def _cohort(week: date, parts: list[tuple[Block, int]], length: int, now: datetime) -> Cohort:
    def total(names: str) -> int:
        return sum((people & block.get(names)).bit_count() for block, people in parts)

    days, early, not_yet = [], [], []
    for day in range(1, length + 1):
        could = [(block, people & _could_do(block, day, length, now)) for block, people in parts]
        done = sum((people & block.get(f"done:{day}")).bit_count() for block, people in could)
        rate = rate_of(done, sum(people.bit_count() for _, people in could))
        days.append(rate)
        early.append(total(f"done:{day}") - rate.count)
        not_yet.append(total("confirmed") - rate.of)
    return Cohort(
        week=week,
        signed_up=total("people"),
        confirmed=total("confirmed"),
        finished=total("finished"),
        joined=total("joined"),
        days=tuple(days),
        early=tuple(early),
        not_yet=tuple(not_yet),
    )


def _could_do(block: Block, day: int, length: int, now: datetime) -> int:
    return block.get("confirmed") & block.had_chance(str(day), length, now)
