"""The exercise index: who gets which exercise, and in which position."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import pytest

from challenge.programme.definition import shipped
from challenge.programme.exercises import Exercise, Goal, Kind, Load, Move, Picture, Position, choose, find


def move(position: Position) -> Move:
    return Move(
        position=position,
        title=f"{position} move",
        steps=("Move.",),
        dose="10 times.",
        repetitions=10,
        sets=1,
        hold_seconds=0,
        rest_seconds=60,
        feel="Work.",
        easier="Less.",
        harder="More.",
        stop="it hurts.",
        picture=Picture(f"{position}.png", "A person moves."),
    )


def exercise(slug: str, positions: str, goals: str, muscles: str = "hips", symptoms: str = "weak") -> Exercise:
    moves = {Position(word): move(Position(word)) for word in positions.split()}
    return Exercise(
        slug=slug,
        title=slug,
        kind=Kind.strength,
        load=Load.light,
        muscles=(muscles,),
        goals=tuple(Goal(word) for word in goals.split()),
        symptoms=(symptoms,),
        why="It helps.",
        moves=MappingProxyType(moves),
    )


SIT = exercise("sit", "seated", "walk")
STAND = exercise("stand", "standing seated", "stairs", "thighs", "stiff")
LIE = exercise("lie", "lying", "walk stairs")


@dataclass(frozen=True)
class Shelf:
    exercises: Mapping[str, Exercise]


SHELF = Shelf({one.slug: one for one in (SIT, STAND, LIE)})


@pytest.mark.parametrize(
    ("position", "goal", "expected"),
    [
        ("seated", None, SIT),  # both can be done seated: the first of the file
        ("seated", "walk", SIT),
        ("seated", "stairs", STAND),
        ("standing", "walk", STAND),  # the position outranks the goal
        ("lying", "steady", LIE),  # nobody serves the goal: the position still holds
        ("lying", None, LIE),
    ],
)
def test_it_chooses_by_position_and_then_by_goal(position: str, goal: str | None, expected: Exercise) -> None:
    assert choose([SIT, STAND, LIE], position, goal) is expected


def test_it_leaves_nobody_without_an_exercise() -> None:
    assert choose([SIT, STAND], "lying", None) is SIT


@pytest.mark.parametrize(
    ("one", "wanted", "given"),
    [
        (STAND, "standing", Position.standing),
        (STAND, "lying", Position.seated),
        (SIT, "standing", Position.seated),
        (LIE, "standing", Position.lying),
    ],
)
def test_it_falls_back_to_sitting_then_to_whatever_there_is(one: Exercise, wanted: str, given: Position) -> None:
    assert one.move_for(wanted).position is given


@pytest.mark.parametrize(
    ("question", "slugs"),
    [
        ({}, ["sit", "stand", "lie"]),
        ({"position": "seated"}, ["sit", "stand"]),
        ({"goal": "stairs"}, ["stand", "lie"]),
        ({"muscle": "thighs"}, ["stand"]),
        ({"symptom": "weak"}, ["sit", "lie"]),
        ({"symptom": "weak", "position": "lying"}, ["lie"]),
        ({"goal": "stairs", "muscle": "thighs", "position": "standing", "symptom": "stiff"}, ["stand"]),
        ({"position": "hovering"}, []),
        ({"goal": "fly"}, []),
        ({"muscle": ""}, []),
    ],
)
def test_it_finds_what_answers_every_question(question: dict[str, str], slugs: list[str]) -> None:
    assert [one.slug for one in find(SHELF, **question)] == slugs


def test_it_has_plain_words_for_every_choice() -> None:
    assert [position.label for position in Position] == ["Sitting", "Standing", "Lying down"]
    assert [goal.label for goal in Goal] == ["Walk better", "Climb stairs", "Feel steadier", "Less stiffness"]


@pytest.mark.parametrize("goal", Goal)
@pytest.mark.parametrize("position", Position)
def test_it_serves_every_position_on_every_day_of_the_shipped_challenge(position: Position, goal: Goal) -> None:
    for day in shipped().days:
        pair = day.exercises_for(position, goal)
        assert [one.position for _, one in pair] == [position, position]


def test_it_lets_the_goal_change_the_shipped_days() -> None:
    partners = {goal: [day.exercises_for("seated", goal)[1][0].slug for day in shipped().days] for goal in Goal}
    assert partners[Goal.stairs] != partners[Goal.stiffness] != partners[Goal.steady]
