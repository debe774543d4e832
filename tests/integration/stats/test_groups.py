from __future__ import annotations

from datetime import date, timedelta

import pytest

from challenge.errors import BadInput
from challenge.models import EventKind
from challenge.stats.filter import Filter
from challenge.stats.groups import choices, cohorts, groups, survival
from tests.integration.stats.conftest import MONDAY, Town


def test_it_shows_what_each_source_brings(town: Town) -> None:
    for number in range(4):
        person = town.person(source="podcast" if number < 3 else "", sent={1: 20}, finish_sent=190)
        if number < 2:
            town.did(person, EventKind.joined, hours=200, detail={"amount": 4900 + number, "currency": "USD"})
    with town.database.read() as session:
        podcast, direct = groups(session, "ms-strength", 3, MONDAY + timedelta(hours=300), "source")
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


def test_survival_is_that_of_kaplan_and_meier(town: Town) -> None:
    """Four begin: one leaves after day 1, one was sent day 2 an hour ago, two go on to day 3, one of them by a rest."""
    sent = {1: 20.0, 2: 44.0, 3: 68.0}
    leaves, waits, goes_on, rests = (
        town.person(sent=sent),
        town.person(sent={1: 20, 2: 91}),
        *(town.person(sent=sent) for _ in range(2)),
    )
    for person in (leaves, waits, goes_on):
        town.did(person, EventKind.completed, 1, 21)
    town.did(goes_on, EventKind.completed, 3, 70)
    town.did(rests, EventKind.rested, 3, 70)
    with town.database.read() as session:
        found = survival(session, "ms-strength", 3, MONDAY + timedelta(hours=92))
    assert [(day.at_risk, day.left, day.not_yet) for day in found] == [(4, 0, 0), (4, 0, 0), (3, 1, 1), (2, 0, 0)]
    assert [round(day.share or 0, 6) for day in found] == [1, 1, round(2 / 3, 6), round(2 / 3, 6)]
    with town.database.read() as session:
        nobody = survival(session, "ms-strength", 3, MONDAY, Filter(source="nowhere"))
    assert [day.at_risk for day in nobody] == [0, 0, 0, 0]
    assert [day.share for day in nobody][1:] == [None, None, None]
