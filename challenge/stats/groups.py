"""Which people get further? The same counts side by side: by source, by any other dimension, by week of sign-up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlmodel import Session

from challenge.errors import BadInput
from challenge.money import main_units
from challenge.stats.blocks import Block, total
from challenge.stats.filter import DIMENSIONS, EVERYBODY, Filter
from challenge.stats.funnel import Crowd, Rate, asked_for_yes, rate_of
from challenge.stats.inference import kaplan_meier
from challenge.stats.keep import load


@dataclass(frozen=True)
class Group:
    """The people with one word of a dimension. `confirm`, `finish` and `join` are those of `funnel.Step`: of those who were
    asked, and of those who said yes, as far as they had the chance. `join_early` joined and are not among them yet,
    `join_other` joined without having said yes. `revenue`: currency -> sum, in the smallest unit (cents), less what was paid
    back, and `revenue_per_signup` the same divided by all sign-ups, as of now."""

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
    join_other: int
    revenue: dict[str, int]
    revenue_per_signup: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Money in the currency's main unit, and once more in its smallest."""
        return asdict(self) | {
            "revenue": {currency: main_units(amount, currency) for currency, amount in self.revenue.items()},
            "revenue_per_signup": {
                currency: main_units(amount, currency) for currency, amount in self.revenue_per_signup.items()
            },
            "revenue_smallest_unit": dict(self.revenue),
        }


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
    """Who is still in on one day (day 0: said yes). `at_risk` were in the day before, `left` of them did nothing from this
    day on, for good: nobody returns. `share` of all who began are still in, with the interval at 95 % (Kaplan and Meier);
    None while nobody's last mail is a day old. `censored` (on day 0) are those who can still return."""

    day: int
    at_risk: int
    left: int
    censored: int
    share: float | None
    low: float | None
    high: float | None

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
    said_yes = block.get("confirmed")
    bases = (
        ("confirmed", "confirm", asked_for_yes(block)),
        ("finished", str(length), said_yes),
        ("joined", "joined", said_yes),
    )
    for step, mail, base in bases:
        sets[f"of:{step}"] = base & block.had_chance(mail, length, now)
        sets[f"reached:{step}"] = sets[f"of:{step}"] & sets[step]
    sets["yes:joined"] = said_yes & sets["joined"]
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
    """Day by day, who is still in: did, rested, clicked or joined since that day's mail.

    The end is absorbing: the day after somebody's last deed. That it was the last is known when no day mail can follow: the
    last one is a day old, or would be, had they not stopped (or not paused, two weeks earlier). Until then all who said yes
    are censored, whatever they did so far. To censor only those who fell silent, where they fell silent, would leave the
    eager ones among the young in and raise the curve.
    """
    return tuple(_survival(Crowd(load(session, challenge, length, now), length, filter, now)))


def _survival(crowd: Crowd) -> Iterator[StillIn]:
    length, known = crowd.length, crowd.had_chance(str(crowd.length))
    active = [
        sum((people & _active(block, day, length)).bit_count() for block, people in known) for day in range(length + 1)
    ]
    steps = [(active[day - 1], active[day - 1] - active[day]) for day in range(1, length + 1)]
    yield StillIn(0, active[0], 0, crowd.count("confirmed") - active[0], *((1.0,) * 3 if active[0] else (None,) * 3))
    for day, ((at_risk, left), still) in enumerate(zip(steps, kaplan_meier(steps), strict=True), start=1):
        told = (still.share, still.low, still.high) if active[0] else (None, None, None)
        yield StillIn(day, at_risk, left, 0, *told)


def _active(block: Block, day: int, length: int) -> int:
    """Those who did something since this day's mail; for day 0, all who said yes."""
    if day == 0:
        return block.get("confirmed")
    later = 0
    for number in range(day, length + 1):
        later |= block.get(f"went_to:{number}") | block.get(f"clicked:{number}") | block.get(f"reminded:{number}")
    return later & block.get("confirmed")


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
        join_early=count["yes:joined"] - count["reached:joined"],
        join_other=count["joined"] - count["yes:joined"],
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
