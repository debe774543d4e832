"""Which exercise suits this person? The exercise index, asked by the day (two a day) and by the index page.

An `Exercise` is a purpose (stronger outer hips); a `Move` is that purpose in one position (the seated clamshell).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Position(StrEnum):
    """How the person does the day; chosen at sign-up, changed any day."""

    seated = "seated"
    standing = "standing"
    lying = "lying"

    @property
    def label(self) -> str:
        return _POSITION_LABELS[self]


class Load(StrEnum):
    """`hard` asks a muscle for a day off afterwards, `light` does not."""

    light = "light"
    hard = "hard"


class Kind(StrEnum):
    """What an exercise does for a muscle."""

    stretch = "stretch"
    strength = "strength"
    mobility = "mobility"
    balance = "balance"


class Sides(StrEnum):
    """Whether a dose is for both sides at once or for each, and when a person changes sides then."""

    together = "together"
    alternating = "alternating"
    one_then_other = "one then other"


class Goal(StrEnum):
    """What the person wants from the challenge."""

    walk = "walk"
    stairs = "stairs"
    steady = "steady"
    stiffness = "stiffness"

    @property
    def label(self) -> str:
        return _GOAL_LABELS[self]


_POSITION_LABELS = {Position.seated: "Sitting", Position.standing: "Standing", Position.lying: "Lying down"}
_GOAL_LABELS = {
    Goal.walk: "Walk better",
    Goal.stairs: "Climb stairs",
    Goal.steady: "Feel steadier",
    Goal.stiffness: "Less stiffness",
}
# Somebody lying down can more often sit than stand, and nobody is left without a move.
_FALLBACK = (Position.seated, Position.standing)


@dataclass(frozen=True)
class Picture:
    """A PNG in the challenge's `pictures` folder; its drawing is the SVG of the same name."""

    file: str
    alt: str


@dataclass(frozen=True)
class Move:
    """One exercise in one position. `repetitions` (of each side, unless `sides` are together) and `sets` are the dose of
    the first day, times are in seconds."""

    position: Position
    title: str
    steps: tuple[str, ...]
    dose: str
    repetitions: int
    sets: int
    hold_seconds: int
    rest_seconds: int
    feel: str
    easier: str
    harder: str
    stop: str
    picture: Picture
    sides: Sides = Sides.together


@dataclass(frozen=True)
class Exercise:
    """One purpose, with a move for each position in which it makes sense (at least one)."""

    slug: str
    title: str
    kind: Kind
    load: Load
    muscles: tuple[str, ...]
    goals: tuple[Goal, ...]
    symptoms: tuple[str, ...]
    why: str
    moves: Mapping[Position, Move]

    def move_for(self, position: Position | str) -> Move:
        """The move in this position, else seated, else standing, else the first there is."""
        for wanted in (position, *_FALLBACK):
            if wanted in self.moves:
                return self.moves[Position(wanted)]
        return next(iter(self.moves.values()))


class Catalogue(Protocol):
    """Whatever holds exercises by slug, such as a `Challenge`."""

    @property
    def exercises(self) -> Mapping[str, Exercise]: ...


def find(
    catalogue: Catalogue,
    position: Position | str | None = None,
    goal: Goal | str | None = None,
    symptom: str | None = None,
    muscle: str | None = None,
) -> list[Exercise]:
    """Exercises that answer every question asked, in the order of the file; an unknown word finds nothing."""
    return [
        exercise
        for exercise in catalogue.exercises.values()
        if (position is None or position in exercise.moves)
        and (goal is None or goal in exercise.goals)
        and (symptom is None or symptom in exercise.symptoms)
        and (muscle is None or muscle in exercise.muscles)
    ]


def choose(candidates: Sequence[Exercise], position: Position | str, goal: Goal | str | None) -> Exercise:
    """The first candidate that has the position and serves the goal.

    The position outranks the goal: a person who cannot stand today is not asked to, whatever they wish for.
    """
    return max(candidates, key=lambda exercise: (position in exercise.moves, goal in exercise.goals))
