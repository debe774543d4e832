from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from challenge.models import Delivery, EnrollmentState, EventKind
from challenge.stats.filter import EVERYBODY, Filter
from challenge.stats.funnel import Funnel, Step, funnel
from tests.integration.stats.conftest import MONDAY, Town


def numbers(town: Town, hours: float, filter: Filter = EVERYBODY) -> Funnel:
    with town.database.read() as session:
        return funnel(session, "ms-strength", 3, MONDAY + timedelta(hours=hours), filter)


def step(found: Funnel, name: str) -> Step:
    return next(step for step in found.steps if step.name == name)


def test_it_says_nothing_about_nobody(town: Town) -> None:
    found = numbers(town, 0)
    assert (found.signed_up, found.confirmed, found.joined) == (0, 0, 0)
    assert [step.name for step in found.steps] == [
        "signed_up",
        "confirmed",
        "day-1",
        "day-2",
        "day-3",
        "finished",
        "joined",
    ]
    assert all(step.rate is None for step in found.steps)


def test_who_had_no_chance_yet_is_not_in_the_denominator(town: Town) -> None:
    old = town.person(sent={1: 20})
    town.person(sent={1: 20})
    early = town.person(sent={1: 43})
    town.person(sent={1: 43})
    town.person(sent={})
    town.did(old, EventKind.completed, 1, 21)
    town.did(early, EventKind.completed, 1, 43.5)
    found = step(numbers(town, 44), "day-1")
    assert (found.count, found.early, found.reached, found.of, found.not_yet, found.lost) == (2, 1, 1, 2, 3, 1)
    assert found.rate == 0.5
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high
    later = step(numbers(town, 67), "day-1")
    assert (later.count, later.early, later.reached, later.of, later.not_yet, later.lost) == (2, 0, 2, 4, 1, 2)


def test_who_stopped_before_a_mail_has_had_the_chance_when_it_would_be_a_day_old(town: Town) -> None:
    town.person(state=EnrollmentState.stopped)
    assert [
        (step(numbers(town, hours), "day-1").of, step(numbers(town, hours), "day-1").not_yet) for hours in (1, 60)
    ] == [(0, 1), (1, 0)]


def test_that_the_journey_ended_is_no_chance(town: Town) -> None:
    """It ends at once for those who joined: they must not be the first to be counted."""
    number = town.person(sent={1: 20, 2: 44, 3: 68}, state=EnrollmentState.ended)
    town.did(number, EventKind.joined, hours=93)
    found = step(numbers(town, 94), "joined")
    assert (found.count, found.early, found.of, found.not_yet) == (1, 1, 0, 1)


def test_whoever_is_done_early_is_not_in_the_rate_yet(town: Town) -> None:
    number = town.person(sent={1: 20})
    town.did(number, EventKind.completed, 1, 20.5)
    day = numbers(town, 21).days[0]
    assert (day.done, day.early, day.reached, day.of, day.not_yet, day.rate) == (1, 1, 0, 0, 1, None)
    assert day.median_minutes == 30
    day = numbers(town, 44).days[0]
    assert (day.done, day.early, day.reached, day.of, day.not_yet, day.rate) == (1, 0, 1, 1, 0, 1.0)


def test_somebody_who_was_asked_an_hour_ago_is_not_lost(town: Town) -> None:
    town.person(confirmed=None, confirm_sent=0)
    assert (step(numbers(town, 1), "confirmed").of, step(numbers(town, 1), "confirmed").not_yet) == (0, 1)
    assert (step(numbers(town, 25), "confirmed").of, step(numbers(town, 25), "confirmed").lost) == (1, 1)


def test_opens_are_a_range(town: Town) -> None:
    both, proxy, machine = (town.person(sent={1: 1}) for _ in range(3))
    town.did(both, EventKind.opened, 1, 2, who="proxy")
    town.did(both, EventKind.opened, 1, 3, who="person")
    town.did(proxy, EventKind.opened, 1, 2, who="proxy")
    town.did(machine, EventKind.opened, 1, 2, who="machine")
    day = numbers(town, 30).days[0]
    assert (day.sent, day.opened_people, day.opened_proxy, day.clicked) == (3, 1, 1, 0)


def test_a_bounce_was_sent_but_not_delivered(town: Town) -> None:
    number = town.person(sent={1: 1, 2: 25})
    town.did(number, EventKind.bounced, 1, 2, delivery_id=1)
    assert [(day.sent, day.delivered) for day in numbers(town, 30).days] == [(1, 0), (1, 1), (0, 0)]


def test_the_median_is_that_of_the_people_who_got_there(town: Town) -> None:
    for hours in (1, 2, 50, 0.5):
        town.person(confirmed=hours)
    town.person(confirmed=None)
    assert step(numbers(town, 60), "confirmed").median_minutes == 60


def test_all_days_done_in_any_order_is_finished(town: Town) -> None:
    number = town.person(sent={1: 20, 2: 44, 3: 68})
    for day, hours in ((1, 21), (3, 69), (2, 70)):
        town.did(number, EventKind.completed, day, hours)
    found = numbers(town, 71)
    assert found.finished == 1
    assert step(found, "finished").median_minutes == 69 * 60
    town.did(number, EventKind.undone, 2, 71)
    assert numbers(town, 72).finished == 0


def test_filters_and_sources_agree(town: Town) -> None:
    town.person(source="podcast", utm_source="podcast", position="seated")
    town.person(source="podcast", position="standing", hours=24)
    town.person(position="standing", zone="Europe/Vienna", confirmed=None)
    assert numbers(town, 30).by_source == {"podcast": (2, 2, 0), "direct": (1, 0, 0)}
    wanted: list[tuple[dict[str, Any], int]] = [
        ({"source": "podcast"}, 2),
        ({"source": "direct"}, 1),
        ({"utm_source": "(none)"}, 2),
        ({"position": "standing"}, 2),
        ({"position": "standing", "country": "US"}, 1),
        ({"country": "AT"}, 1),
        ({"since": date(2027, 3, 2)}, 1),
        ({"until": date(2027, 3, 1)}, 2),
        ({"source": "nowhere"}, 0),
    ]
    for words, count in wanted:
        assert numbers(town, 30, Filter(**words)).signed_up == count, words


def test_another_challenge_is_not_counted(town: Town) -> None:
    town.person()
    with town.database.read() as session:
        assert funnel(session, "another", 3, MONDAY).signed_up == 0


def test_people_are_counted_across_blocks(town: Town) -> None:
    town.person()
    town.person(id=5000)
    assert numbers(town, 2).confirmed == 2


def test_of_two_copies_sent_in_one_moment_the_first_counts_in_whatever_order_they_are_read(town: Town) -> None:
    number = town.person(sent={1: 1})
    with town.database.write() as session:
        town._mail(session, number, "day", "resend:1:day-1", 1)
    town.did(number, EventKind.bounced, 1, 2, delivery_id=1)
    with town.database.write() as session:
        session.get_one(
            Delivery, 1
        ).receipt = "250 once more"  # PostgreSQL reads a row that was changed after the others
    assert [day.delivered for day in numbers(town, 30).days] == [0, 0, 0]
