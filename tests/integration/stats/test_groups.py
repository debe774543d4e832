from __future__ import annotations

from datetime import date, timedelta

import pytest

from challenge.errors import BadInput
from challenge.models import EnrollmentState, EventKind
from challenge.stats.filter import EVERYBODY, Filter
from challenge.stats.funnel import funnel
from challenge.stats.groups import StillIn, choices, cohorts, groups, survival
from tests.integration.stats.conftest import MONDAY, Town


def test_it_shows_what_each_source_brings(town: Town) -> None:
    for number in range(4):
        person = town.person(source="podcast" if number < 3 else "", sent={1: 20}, finish_sent=190)
        if number < 2:
            town.did(person, EventKind.joined, hours=200, detail={"amount": 4900 + number, "currency": "USD"})
    with town.database.read() as session:
        podcast, direct = groups(session, "ms-strength", 3, MONDAY + timedelta(hours=406), "source")
    assert (podcast.word, podcast.signed_up, podcast.joined) == ("podcast", 3, 2)
    assert (podcast.join.rate, podcast.join_early) == (2 / 3, 0)
    assert podcast.revenue == {"USD": 9801}
    assert podcast.revenue_per_signup == {"USD": 3267.0}
    assert (direct.word, direct.revenue, direct.join.count) == ("direct", {}, 0)


def test_it_refuses_a_dimension_there_is_not(town: Town) -> None:
    with town.database.read() as session, pytest.raises(BadInput):
        groups(session, "ms-strength", 3, MONDAY, "shoe size")


def test_a_choice_has_two_words_or_more(town: Town) -> None:
    town.person(position="seated", source="podcast")
    town.person(position="standing", source="podcast")
    town.person(position="standing", source="podcast")
    with town.database.read() as session:
        assert choices(session, "ms-strength", 3, MONDAY) == {"position": ("standing", "seated")}


def test_cohorts_are_weeks_that_keep_the_not_there_yet_apart(town: Town) -> None:
    old = town.person(sent={1: 20, 2: 44, 3: 68})
    town.person(sent={1: 20, 2: 44, 3: 68})
    town.person(hours=24 * 7, sent={})
    town.did(old, EventKind.completed, 1, 21)
    with town.database.read() as session:
        first, second = cohorts(session, "ms-strength", 3, MONDAY + timedelta(hours=24 * 7 + 2))
    assert (first.week, second.week) == (date(2027, 3, 1), date(2027, 3, 8))
    assert [(day.count, day.of) for day in first.days] == [(1, 2), (0, 2), (0, 2)]
    assert first.not_yet == (0, 0, 0)
    assert [(day.count, day.of, day.rate) for day in second.days] == [(0, 0, None)] * 3
    assert second.not_yet == (1, 1, 1)


def still_in(town: Town, hours: float, filter: Filter = EVERYBODY) -> tuple[StillIn, ...]:
    with town.database.read() as session:
        return survival(session, "ms-strength", 3, MONDAY + timedelta(hours=hours), filter)


def test_who_is_still_in_is_told_of_those_who_cannot_return(town: Town) -> None:
    """One leaves after day 1; one comes back on day 3; one rests; one stops after day 1; two can still return, one of them
    stopped this morning; one says "done" for day 1 when the mail of day 2 has come."""
    sent = {1: 20.0, 2: 44.0, 3: 68.0}
    leaves, comes_back, rests, late = (town.person(sent=sent) for _ in range(4))
    stops = town.person(sent={1: 20}, state=EnrollmentState.stopped)
    town.person(hours=48, sent={1: 68})
    town.person(hours=48, sent={1: 68}, state=EnrollmentState.stopped)
    for person in (leaves, comes_back, stops):
        town.did(person, EventKind.completed, 1, 21)
    town.did(late, EventKind.completed, 1, 45)
    town.did(comes_back, EventKind.completed, 3, 70)
    town.did(rests, EventKind.rested, 3, 70)
    early = still_in(town, 80)
    assert [(day.at_risk, day.censored) for day in early] == [(0, 7), (0, 0), (0, 0), (0, 0)]
    found = still_in(town, 109)
    assert [(day.at_risk, day.left, day.censored) for day in found] == [(5, 0, 2), (5, 0, 0), (5, 2, 0), (3, 1, 0)]
    assert [round(day.share or 0, 6) for day in found] == [1, 1, 0.6, 0.4]
    assert found[2].low is not None
    assert found[2].low < 0.6 < (found[2].high or 0)
    assert [day.share for day in still_in(town, 109, Filter(source="nowhere"))] == [None] * 4


def test_a_young_list_does_not_raise_who_is_still_in(town: Town) -> None:
    """Of every hour's four, one falls silent after each day: at any hour a half are in after day 2, and not more, though the
    eager ones among the young have done day 3 before the silent ones are known to be gone."""
    for hour in range(48):
        for last in range(4):
            person = town.person(hours=hour, confirmed=0, sent={day: hour + day for day in (1, 2, 3)})
            for day in range(1, last + 1):
                town.did(person, EventKind.completed, day, hour + day + 0.5)
    for hours in (27, 30, 40, 60, 80):
        found = still_in(town, hours)
        assert [day.share for day in found] == pytest.approx([1, 0.75, 0.5, 0.25]), hours


def test_every_page_has_one_join_rate_of_those_who_said_yes(town: Town) -> None:
    """Two of four who said yes join; two joined without; one said yes this week."""
    for number in range(4):
        person = town.person(source="podcast", sent={1: 20}, finish_sent=92)
        if number < 2:
            town.did(person, EventKind.joined, hours=150)
    for _ in range(2):
        town.did(town.person(source="podcast", confirmed=None), EventKind.joined, hours=150)
    young = town.person(source="podcast", hours=200, sent={1: 220}, finish_sent=292)
    town.did(young, EventKind.joined, hours=293)
    with town.database.read() as session:
        before = funnel(session, "ms-strength", 3, MONDAY + timedelta(hours=92 + 9 * 24 - 1)).steps[-1]
    assert (before.reached, before.of, before.early) == (0, 0, 3)
    asked = ("ms-strength", 3, MONDAY + timedelta(hours=92 + 9 * 24))
    with town.database.read() as session:
        (podcast,) = groups(session, *asked, "source")
        joined = funnel(session, *asked).steps[-1]
    assert (podcast.join.count, podcast.join.of) == (joined.reached, joined.of) == (2, 4)
    assert (podcast.joined, podcast.join_early, podcast.join_other) == (5, 1, 2)
    assert (joined.count, joined.early, joined.other) == (5, 1, 2)
