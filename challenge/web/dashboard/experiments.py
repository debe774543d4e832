"""Which version works? Each test of variants, with a verdict that stays right when somebody looks every day."""

from __future__ import annotations

from dataclasses import dataclass

from flask import render_template

from challenge.access.roles import May
from challenge.programme.definition import Challenge
from challenge.stats import groups
from challenge.stats.experiments import SIGNED_UP, USUAL, Experiment, experiments, goals_of
from challenge.web import service
from challenge.web.dashboard.door import needs, room
from challenge.web.dashboard.numbers import ask_of, filters_of

_TITLES = {"form_variant": "Headline of the landing page", "variant": "The mails and their subject lines"}
_GOALS = {
    SIGNED_UP: "Signed up, of the visitors",
    "confirmed": "Said yes",
    "finished": "Did all days",
    "joined": "Joined",
    "opened": "Opened the mail of day",
    "clicked": "Clicked in the mail of day",
    "done": "Did day",
}


@dataclass(frozen=True)
class Shown:
    """One test as the page tells it. `words`: variant -> the lines that make it, empty for one the challenge's file does
    not have (any more)."""

    title: str
    goal: str
    test: Experiment
    words: dict[str, tuple[str, ...]]


@room.get("/experiments", endpoint="experiments")
@needs(May.read_numbers)
def page() -> str:
    """Every test there is or was, for one goal."""
    found = service()
    with found.database.read() as rows:
        ask = ask_of(rows)
        tests = experiments(*ask.whose, ask.goal, ask.filter)
        choices = groups.choices(*ask.whose)
    known = goals_of("form_variant", found.challenge.length)
    return render_template(
        "dashboard/experiments.html",
        tests=[Shown(_TITLES[test.kind], goal_name(test.goal), test, _words(found.challenge, test)) for test in tests],
        waiting=_waiting(found.challenge, tests),
        goals=[(name, goal_name(name)) for name in known],
        goal=ask.goal,
        **filters_of(ask.filter, choices),
    )


def goal_name(goal: str) -> str:
    """`Did day 1`."""
    name, _, day = goal.partition("-")
    return f"{_GOALS[name]} {day}" if day else _GOALS[name]


def _words(challenge: Challenge, test: Experiment) -> dict[str, tuple[str, ...]]:
    return {arm.word: _lines(challenge, test.kind, arm.word) for arm in test.arms}


def _lines(challenge: Challenge, kind: str, word: str) -> tuple[str, ...]:
    variants = challenge.variants
    if word not in ("a", *(variants.landing if kind == "form_variant" else variants.of_mails)):
        return ()
    if kind == "form_variant":
        return (variants.headline(word, challenge.headline),)
    subjects = sorted({mail for lines in variants.subjects.values() for mail in lines})
    mails = sorted({mail for folders in variants.mails.values() for mail in folders})
    return (
        *(variants.subject(word, mail, challenge.subjects[mail]) for mail in subjects),
        *(_sent_as(mail, variants.mails.get(word, {}).get(mail, "")) for mail in mails),
    )


def _sent_as(mail: str, folder: str) -> str:
    return f"{mail}: the mail in mails/{folder}" if folder else f"{mail}: as it is"


def _waiting(challenge: Challenge, tests: tuple[Experiment, ...]) -> list[str]:
    """Tests that the challenge's file has and nobody has met."""
    there = {"form_variant": challenge.variants.landing, "variant": challenge.variants.of_mails}
    met = {test.kind for test in tests}
    return [_TITLES[kind] for kind in USUAL if there[kind] and kind not in met]
