from __future__ import annotations

from datetime import timedelta

import pytest

from challenge.errors import BadInput
from challenge.models import EventKind
from challenge.stats.experiments import experiment, goals
from tests.integration.stats.conftest import MONDAY, Town

LATER = MONDAY + timedelta(hours=50)


def test_each_variant_is_held_against_the_first_among_those_who_had_the_chance(town: Town) -> None:
    for number in range(12):
        person = town.person(variant="ab"[number % 2], sent={1: 20.0 if number < 10 else 49.0})
        if number in (0, 1, 3, 5):
            town.did(person, EventKind.clicked, 1, 21)
    town.person(sent={1: 20})
    with town.database.read() as session:
        found = experiment(session, "ms-strength", 3, LATER, "variant", "clicked-1")
    a, b = found.arms
    assert ((a.word, a.signed_up, a.rate.count, a.rate.of), a.against_first) == (("a", 6, 1, 5), None)
    assert (b.word, b.rate.count, b.rate.of) == ("b", 3, 5)
    assert b.against_first is not None
    assert b.against_first.difference == pytest.approx(0.4)
    assert not b.against_first.is_decided
    assert found.to_dict()["arms"][1]["against_first"]["p_b_better"] == pytest.approx(b.against_first.p_b_better)


def test_each_goal_can_be_asked_and_no_other(town: Town) -> None:
    town.person(form_variant="a")
    with town.database.read() as session:
        for goal in goals(3):
            assert experiment(session, "ms-strength", 3, LATER, "form_variant", goal).arms[0].signed_up == 1
        assert experiment(session, "ms-strength", 3, LATER, "variant", "joined").arms == ()
        for kind, goal in (("variant", "rich"), ("shoe", "joined")):
            with pytest.raises(BadInput):
                experiment(session, "ms-strength", 3, LATER, kind, goal)
