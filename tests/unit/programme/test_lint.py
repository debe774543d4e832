"""The lint: each rule is broken once in the challenge that ships, and names the place and the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import pytest

from challenge.programme.definition import Challenge, Day, shipped
from challenge.programme.exercises import Exercise, Load, Move, Position, Sides
from challenge.programme.lint import MAX_WORDS, Finding, lint


def errors(challenge: Challenge) -> list[Finding]:
    return [finding for finding in lint(challenge) if finding.level == "error"]


def with_move(challenge: Challenge, slug: str, change: Callable[[Move], Move]) -> Challenge:
    """The challenge with the seated move of one exercise changed, in the index and in the days."""
    old = challenge.exercises[slug]
    moves = dict(old.moves) | {Position.seated: change(old.moves[Position.seated])}
    return with_exercise(challenge, replace(old, moves=MappingProxyType(moves)))


def with_exercise(challenge: Challenge, new: Exercise) -> Challenge:
    def renewed(day: Day) -> Day:
        stretch, partner = (tuple(new if one.slug == new.slug else one for one in slot) for slot in day.slots)
        return replace(day, slots=(stretch, partner))

    exercises = MappingProxyType(dict(challenge.exercises) | {new.slug: new})
    return replace(challenge, exercises=exercises, days=tuple(map(renewed, challenge.days)))


def with_day(challenge: Challenge, number: int, change: Callable[[Day], Day]) -> Challenge:
    return replace(challenge, days=tuple(change(day) if day.number == number else day for day in challenge.days))


def test_it_finds_nothing_once_a_clinician_has_signed() -> None:
    assert lint(replace(shipped(), reviewed_by="Dr. B, 2026-12-01")) == []


def test_it_warns_until_then() -> None:
    (finding,) = lint(shipped())
    assert (finding.level, finding.where) == ("warning", "reviewed_by")
    assert "clinician" in finding.advice


HARD_WORDS = "Neuromuscular facilitation necessitates individualised rehabilitation methodologies. " * 12
LONG = "Sit " + "and sit " * 10 + "down."
BROKEN: dict[str, tuple[Callable[[Challenge], Challenge], str, str]] = {
    "hard words": (
        lambda one: with_day(one, 2, lambda day: replace(day, intro=HARD_WORDS.strip())),
        "day 2",
        "reads like school grade",
    ),
    "a long sentence in a step": (
        lambda one: with_move(one, "march", lambda move: replace(move, steps=(LONG,))),
        "exercise.march.seated",
        "a sentence of 22 words",
    ),
    "a long sentence in the consent": (
        lambda one: replace(one, consent=replace(one.consent, challenge=LONG)),
        "consent",
        "a sentence of 22 words",
    ),
    "no safety": (lambda one: replace(one, safety=("Take care.",)), "safety", "1 safety lines"),
    "no word on when to stop": (
        lambda one: with_move(one, "march", lambda move: replace(move, stop=" ")),
        "exercise.march.seated",
        "does not say when to stop",
    ),
    "a picture without words": (
        lambda one: with_move(one, "march", lambda move: replace(move, picture=replace(move.picture, alt="March"))),
        "exercise.march.seated",
        "alt does not say the movement",
    ),
    "a day without its stretch": (
        lambda one: with_day(one, 3, lambda day: replace(day, slots=(day.slots[1], day.slots[1]))),
        "day 3",
        "does not stretch the inner thighs",
    ),
    "another muscle's stretch": (
        lambda one: replace(one, daily_stretch="calves"),
        "day 1",
        "inner-thigh-lean does not stretch the calves",
    ),
    "hips hard two days running": (
        lambda one: with_day(one, 2, lambda day: replace(day, slots=(day.slots[0], one.day(1).slots[1]))),
        "day 2",
        "outer hips may work hard on day 1 and again today",
    ),
    "too many repetitions": (
        lambda one: with_move(one, "open-hips", lambda move: replace(move, repetitions=40, dose="Do it 40 times.")),
        "exercise.open-hips.seated",
        "outside the published dose",
    ),
    "too short a rest": (
        lambda one: with_move(one, "open-hips", lambda move: replace(move, rest_seconds=10)),
        "exercise.open-hips.seated",
        "outside the published dose",
    ),
    "words that contradict the number": (
        lambda one: with_move(one, "march", lambda move: replace(move, repetitions=12)),
        "exercise.march.seated",
        "dose does not say the 12",
    ),
    "each side, and no word of it for the timer": (
        lambda one: with_move(one, "march", lambda move: replace(move, sides=Sides.together)),
        "exercise.march.seated",
        "dose says each side",
    ),
    "sides that the dose does not tell of": (
        lambda one: with_move(one, "open-hips", lambda move: replace(move, sides=Sides.alternating)),
        "exercise.open-hips.seated",
        "dose does not say each side",
    ),
    "a subject that tells": (
        lambda one: replace(one, subjects=MappingProxyType({"day": "Your MS day {number}"})),
        "subjects.day",
        "says 'ms'",
    ),
    "a day's title that tells": (
        lambda one: with_day(one, 4, lambda day: replace(day, title="Therapy and rest")),
        "subjects.day",
        "says 'therapy'",
    ),
}


@pytest.mark.parametrize(("spoil", "where", "text"), BROKEN.values(), ids=BROKEN.keys())
def test_it_finds_what_must_not_ship(spoil: Callable[[Challenge], Challenge], where: str, text: str) -> None:
    matching = [finding for finding in errors(spoil(shipped())) if finding.where == where and text in finding.text]
    assert matching
    assert all(finding.advice for finding in matching)


def test_it_finds_two_pictures_with_the_same_words() -> None:
    alt = shipped().exercises["steady"].moves[Position.seated].picture.alt
    spoilt = with_move(shipped(), "march", lambda move: replace(move, picture=replace(move.picture, alt=alt)))
    assert [finding.where for finding in errors(spoilt)] == ["exercise.steady.seated"]


def test_it_lets_a_light_exercise_repeat_on_the_next_day() -> None:
    light = replace(shipped().exercises["open-hips"], load=Load.light)
    repeated = with_day(shipped(), 2, lambda day: replace(day, slots=(day.slots[0], (light,))))
    assert errors(repeated) == []


def test_it_allows_just_as_many_words_as_it_says() -> None:
    limit = " ".join(["Sit"] * MAX_WORDS) + "."
    assert errors(replace(shipped(), tagline=limit)) == []
    assert [finding.where for finding in errors(replace(shipped(), tagline=f"Oh {limit}"))] == ["tagline"]
