"""Rates are true from the first day on: held against the rate people were given, and against plain lists of them."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from challenge.models import Enrollment, EnrollmentState, Event, EventKind, Subscriber
from challenge.stats.experiments import experiment
from challenge.stats.filter import Filter
from challenge.stats.funnel import Funnel, Step, funnel
from challenge.stats.groups import Cohort, Group, StillIn, cohorts, groups, survival
from tests.integration.stats.conftest import MONDAY, Town

LENGTH = 3
MAILS = {"confirmed": "confirm", "day-1": "1", "day-2": "2", "day-3": "3", "finished": "3", "joined": "joined"}
MORNINGS = {"confirm": 0, "1": 1, "2": 2, "3": 3, "finish": 4, "joined": 4}
AT_ONCE = {12: (12, 12), 24: (29, 31), 29: (39, 51), 200: (80, 160)}  # counting whoever did it as soon as they did


@dataclass
class Life:
    """Somebody, in hours after Monday noon. `mails`: name -> when it left; `done`: day -> when; `ended` as `stopped`."""

    signed_up: float
    confirmed: float | None = None
    mails: dict[str, float] = field(default_factory=dict)
    done: dict[int, float] = field(default_factory=dict)
    joined: float | None = None
    stopped: float | None = None
    ended: float | None = None

    def until(self, hours: float) -> Life:
        """As far as it has come."""

        def past(at: float | None) -> float | None:
            return at if at is not None and at <= hours else None

        return Life(
            self.signed_up,
            past(self.confirmed),
            {name: at for name, at in self.mails.items() if at <= hours},
            {day: at for day, at in self.done.items() if at <= hours},
            past(self.joined),
            past(self.stopped),
            past(self.ended),
        )

    def reached(self, step: str) -> bool:
        if step == "confirmed":
            return self.confirmed is not None
        if step == "joined":
            return self.joined is not None
        return len(self.done) == LENGTH if step == "finished" else int(step[4:]) in self.done

    def had_chance(self, mail: str, hours: float) -> bool:
        days = 9 if mail == "joined" else 1
        name = "finish" if mail == "joined" else mail
        if name in self.mails:
            return hours - self.mails[name] >= 24 * days
        is_out = self.stopped is not None or (mail == "confirm" and self.confirmed is not None)
        return is_out and (hours + 12) // 24 >= (self.signed_up + 12) // 24 + MORNINGS[mail] + days + 1

    @property
    def last_day(self) -> int:
        """The last day whose mail brought a deed."""
        deeds = [*self.done.values(), *([] if self.joined is None else [self.joined])]
        by_time = [int(day) for day, at in self.mails.items() if day.isdigit() and any(at <= deed for deed in deeds)]
        return max([*self.done, *by_time], default=0)

    @property
    def state(self) -> EnrollmentState:
        if self.stopped is not None:
            return EnrollmentState.stopped
        if self.ended is not None:
            return EnrollmentState.ended
        return EnrollmentState.pending if self.confirmed is None else EnrollmentState.active


def come(town: Town, lives: Sequence[Life], hours: float, source: str) -> list[Life]:
    """Writes those who signed up by then, as far as they have come."""
    found = [life.until(hours) for life in lives if life.signed_up <= hours]
    with town.database.write() as session:
        people = []
        for place, life in enumerate(found):
            email, at = f"{source}{place}@example.com", MONDAY + timedelta(hours=life.signed_up)
            people.append(Subscriber(email=email, email_key=email, timezone="UTC", hour=8, created_at=at))
        session.add_all(people)
        session.flush()
        runs = [
            Enrollment(
                subscriber_id=someone.id or 0,
                challenge="ms-strength",
                state=life.state,
                source=source,
                variant="a",
                signed_up_at=someone.created_at,
                confirmed_at=None if life.confirmed is None else MONDAY + timedelta(hours=life.confirmed),
            )
            for someone, life in zip(people, found, strict=True)
        ]
        session.add_all(runs)
        session.flush()
        for run, life in zip(runs, found, strict=True):
            number = run.id or 0
            for name, hour in life.mails.items():
                mail, key = ("day", f"day-{name}") if name.isdigit() else (name, name)
                town._mail(session, number, mail, key, hour)
            deeds = [(EventKind.completed, day, hour) for day, hour in life.done.items()]
            for kind, day, hour in [*deeds, *([(EventKind.joined, None, life.joined)] if life.joined else [])]:
                at = MONDAY + timedelta(hours=hour)
                session.add(Event(enrollment_id=number, kind=kind, day=day, occurred_at=at, recorded_at=at))
    return found


def numbers(town: Town, hours: float, source: str) -> tuple[Funnel, tuple[Cohort, ...], tuple[StillIn, ...]]:
    asked = ("ms-strength", LENGTH, MONDAY + timedelta(hours=hours))
    with town.database.read() as session:
        filter = Filter(source=source)
        return (
            funnel(session, *asked, filter=filter),
            cohorts(session, *asked, filter=filter),
            survival(session, *asked, filter=filter),
        )


def step_of(found: Funnel, name: str) -> Step:
    return next(step for step in found.steps if step.name == name)


def steadily(step: str, hours: int) -> Iterator[Life]:
    """Four an hour, of whom two take the step: one within the hour, the other twenty hours later."""
    for hour in range(hours):
        for wait in (0.5, 20.0, None, None):
            life = Life(hour, hour, {"confirm": hour, "1": hour + 1, "2": hour + 2, "3": hour + 3, "finish": hour + 4})
            life.done = {day: hour + day + 0.25 for day in (1, 2, 3)}
            at = None if wait is None else life.mails["finish" if step == "joined" else MAILS[step]] + wait
            if step == "confirmed":
                life = Life(hour, at, {"confirm": hour})
            elif step == "joined":
                life.joined, life.ended = at, at
            else:
                day = LENGTH if step == "finished" else int(step[4:])
                del life.done[day]
                if at is not None:
                    life.done[day] = at
            yield life


@pytest.mark.parametrize("step", MAILS)
def test_a_young_rate_is_that_of_the_old(town: Town, step: str) -> None:
    """People come every hour and half of them take the step. Counted at once, they made 12 of 12 at the twelfth hour, 29
    of 31 after a day, and 39 of 51 five hours later, until nobody was young any more."""
    lives, first = list(steadily(step, 40)), MORNINGS[MAILS[step]]
    for hour, of in ((12, 0), (24, 4), (29, 24), (200, 160)):
        source = f"{step}-{hour}-"
        hours = hour + first + (8 * 24 if step == "joined" else 0)
        people = come(town, lives, hours, source)
        at_once = [life.reached(step) for life in people if life.reached(step) or life.had_chance(MAILS[step], hours)]
        assert (sum(at_once), len(at_once)) == AT_ONCE[hour] or step == "joined"
        found, weeks, still = numbers(town, hours, source)
        mine = step_of(found, step)
        assert (mine.reached, mine.of) == (of // 2, of)
        assert mine.rate == (0.5 if of else None)
        assert mine.count == mine.reached + mine.early
        if step.startswith("day-"):
            day = int(step[4:])
            assert sum(week.days[day - 1].of for week in weeks) == of
            assert sum(week.days[day - 1].count for week in weeks) == of // 2
            assert (found.days[day - 1].reached, found.days[day - 1].of) == (of // 2, of)
        if step == "day-3":
            assert (still[3].at_risk, still[3].left) == (of, of // 2)
        goal = step.replace("day-", "done-")
        with town.database.read() as session:
            now = MONDAY + timedelta(hours=hours)
            (arm,) = experiment(session, "ms-strength", LENGTH, now, "variant", goal, Filter(source=source)).arms
        assert (arm.rate.count, arm.rate.of) == (of // 2, of)


def daily(days: int) -> Iterator[Life]:
    """Seven a day, at noon, mails in the morning. One never says yes, one stops before the first day; of the others one
    does day 1, one two days, three all days, and one of these joins, at once, which ends it."""
    for day in range(days):
        start = 24.0 * day
        mails = {"confirm": start, **{str(n): start + 24 * n - 4 for n in (1, 2, 3)}, "finish": start + 24 * 4 - 4}
        yield Life(start, None, {"confirm": start})
        yield Life(start, start, {"confirm": start}, stopped=start + 1)
        for did in (1, 2, 3, 3):
            done = {n: mails[str(n)] + (0.5 if n % 2 else 20) for n in range(1, did + 1)}
            yield Life(start, start, mails, done)
        joins = Life(start, start, mails, {n: mails[str(n)] + 0.5 for n in (1, 2, 3)})
        joins.joined = joins.ended = mails["finish"] + 0.5
        yield joins


def test_those_who_stop_are_counted_with_those_who_came_with_them(town: Town) -> None:
    """At midnight all of one day are in or none: the rates are those they were given, on every day."""
    lives, told = list(daily(10)), 0
    for day in range(1, 24, 2):
        hours, source = 24.0 * day + 12, f"midnight-{day}-"
        come(town, lives, hours, source)
        found, weeks, _ = numbers(town, hours, source)
        for name, true in (
            ("day-1", 5 / 6),
            ("day-2", 4 / 6),
            ("day-3", 3 / 6),
            ("finished", 3 / 6),
            ("joined", 1 / 6),
        ):
            mine = step_of(found, name)
            assert mine.rate == (pytest.approx(true) if mine.of else None), (day, name)
            told += mine.of > 0
        for week in weeks:
            rates = [rate.rate for rate in week.days if rate.of]
            assert rates == pytest.approx([5 / 6, 4 / 6, 3 / 6][: len(rates)])
        with town.database.read() as session:
            asked = ("ms-strength", LENGTH, MONDAY + timedelta(hours=hours), "source")
            (group,) = groups(session, *asked, Filter(source=source))
        assert group.joined == group.join_early + group.join.count
        for rate, true in ((group.confirm, 6 / 7), (group.finish, 3 / 6), (group.join, 1 / 6)):
            assert rate.rate == (pytest.approx(true) if rate.of else None), day
        assert (group.confirm.of, group.join.of) == (7 * min(day, 10), 6 * min(max(day - 12, 0), 10))
    assert told > 20


def anybody(dice: random.Random) -> Life:
    """Anything that can happen, in whole hours."""
    start = float(dice.randrange(0, 300))
    life = Life(start, start + dice.randrange(30) if dice.random() < 0.8 else None)
    if dice.random() < 0.9:
        life.mails["confirm"] = start
    if life.confirmed is not None:
        at = life.confirmed
        for name in ("1", "2", "3", "finish"):
            at += dice.randrange(12, 36)
            if dice.random() < 0.1:
                break
            life.mails[name] = at
            if name.isdigit() and dice.random() < 0.7:
                life.done[int(name)] = at + dice.randrange(40)
        if dice.random() < 0.2:
            life.joined = at + dice.randrange(40)
            life.ended = life.joined if dice.random() < 0.5 else None
    if dice.random() < 0.2:
        life.stopped = start + dice.randrange(1, 120)
        life.mails = {name: at for name, at in life.mails.items() if at <= life.stopped}
    return life


def all_of(town: Town, hours: int) -> tuple[Group, ...]:
    with town.database.read() as session:
        return groups(session, "ms-strength", LENGTH, MONDAY + timedelta(hours=hours), "source")


@pytest.mark.parametrize("hours", [30, 100, 200, 450])
def test_every_number_is_that_of_plain_lists(town: Town, hours: int) -> None:
    dice = random.Random(hours)
    people = come(town, [anybody(dice) for _ in range(150)], hours, "all")
    found, weeks, still = numbers(town, hours, "all")
    confirmed = [life for life in people if life.confirmed is not None]
    (group,) = all_of(town, hours)
    for rate, step, mail, base in (
        (group.confirm, "confirmed", "confirm", people),
        (group.finish, "finished", "3", confirmed),
        (group.join, "joined", "joined", confirmed),
    ):
        could = [life for life in base if life.had_chance(mail, hours)]
        assert (rate.count, rate.of) == (sum(life.reached(step) for life in could), len(could)), step
    assert group.join_early == group.joined - group.join.count
    before, steps = people, list(MAILS)
    for name, mail in MAILS.items():
        base = people if name == "confirmed" else confirmed
        here = [life for life in people if life.reached(name)]
        asked = [life for life in base if life.had_chance(mail, hours)]
        reached = [life for life in asked if life.reached(name)]
        mine = step_of(found, name)
        assert (mine.count, mine.reached, mine.of) == (len(here), len(reached), len(asked)), name
        assert (mine.early, mine.not_yet) == (len(here) - len(reached), len(base) - len(asked)), name
        assert mine.rate == (len(reached) / len(asked) if asked else None)
        further = steps[steps.index(name) :]
        assert mine.lost == sum(not any(map(life.reached, further)) for life in asked if life in before)
        before = here
        if name.startswith("day-"):
            day = found.days[int(name[4:]) - 1]
            sent = [life for life in people if mail in life.mails]
            old = [life for life in sent if hours - life.mails[mail] >= 24]
            assert (day.done, day.of, day.not_yet) == (len(here), len(old), len(sent) - len(old))
            assert (day.reached, day.early) == (
                sum(life.reached(name) for life in old),
                len(here) - sum(life.reached(name) for life in old),
            )
            rates = [(week.days[day.day - 1], week.early[day.day - 1], week.not_yet[day.day - 1]) for week in weeks]
            assert sum(rate.of for rate, _, _ in rates) == len(asked)
            assert sum(rate.count for rate, _, _ in rates) == len(reached)
            assert sum(early for _, early, _ in rates) == mine.early
            assert sum(not_yet for _, _, not_yet in rates) == mine.not_yet
            known = [life for life in confirmed if life.had_chance(str(LENGTH), hours)]
            were_in = [life for life in known if life.last_day >= day.day - 1]
            left = [life for life in were_in if life.last_day < day.day]
            assert (still[day.day].at_risk, still[day.day].left) == (len(were_in), len(left))
            assert still[0].censored == len(confirmed) - len(known)
            assert still[day.day].share == (
                pytest.approx(1 - sum(life.last_day < day.day for life in known) / len(known)) if known else None
            )
    assert sum(step.lost for step in found.steps[1:]) <= len(people)
