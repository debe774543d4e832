"""Which version works? Two or more variants side by side, each against the first, with a rule that may be looked at daily.

A person counts for a goal once the chance has been, as in the funnel: nobody is said to have failed, and nobody to have
got there, on the first day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlmodel import Session

from challenge.errors import BadInput
from challenge.stats.blocks import Block
from challenge.stats.filter import EVERYBODY, NONE, Filter
from challenge.stats.funnel import Crowd, Rate, asked_for_yes, opened_for_certain, rate_of, seen
from challenge.stats.inference import Comparison, compare
from challenge.stats.keep import load
from challenge.stats.visits import visits_by

KINDS = ("variant", "form_variant")
SIGNED_UP = "signed_up"
USUAL = {"form_variant": SIGNED_UP, "variant": "done-1"}


@dataclass(frozen=True)
class Arm:
    """One variant: its people, the goal's rate among those who had the chance, and how it compares with the first."""

    word: str
    signed_up: int
    rate: Rate
    against_first: Comparison | None


@dataclass(frozen=True)
class Experiment:
    """The arms of one kind of variant for one goal, in the order of their names."""

    kind: str
    goal: str
    arms: tuple[Arm, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Goal:
    """Who got there, of whom, and the mail that gives the chance."""

    reached: Callable[[Block], int]
    base: Callable[[Block], int]
    mail: str


def goals(length: int) -> dict[str, Goal]:
    """The goals of a mail test, by name. For the landing page there is one more, `signed_up`, of those who visited. Who was
    never asked is not among those who could say yes; who switched tracking off, not among those who can be seen to open."""
    found = {"confirmed": Goal(_has("confirmed"), asked_for_yes, "confirm")}
    for day in range(1, length + 1):
        is_seen = partial(seen, mail=day)
        found[f"opened-{day}"] = Goal(partial(opened_for_certain, mail=day), is_seen, str(day))
        found[f"clicked-{day}"] = Goal(_has(f"clicked:{day}"), is_seen, str(day))
        found[f"done-{day}"] = Goal(_has(f"done:{day}"), _has("confirmed"), str(day))
    return found | {
        "finished": Goal(_has("finished"), _has("confirmed"), str(length)),
        "joined": Goal(_has("joined"), _has("confirmed"), "joined"),
    }


def _has(name: str) -> Callable[[Block], int]:
    return lambda block: block.get(name)


def experiment(
    session: Session, challenge: str, length: int, now: datetime, kind: str, goal: str, filter: Filter = EVERYBODY
) -> Experiment:
    """Raises BadInput for a kind or a goal there is not."""
    if kind not in KINDS:
        raise BadInput("kind", f"kind must be one of: {', '.join(KINDS)}.")
    known = goals(length)
    if goal not in goals_of(kind, length):
        raise BadInput("goal", f"goal must be one of: {', '.join(goals_of(kind, length))}.")
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for block, people in Crowd(load(session, challenge, length, now), length, filter, now):
        for word, there in block.family(f"words:{kind}").items():
            if word != NONE and goal == SIGNED_UP:
                counts[word][0] += (people & there & ~(block.get("by_api") | block.get("by_import"))).bit_count()
            elif word != NONE:
                had = people & there & block.had_chance(known[goal].mail, length, now)
                _add(counts[word], block, people & there, had, known[goal])
    if goal == SIGNED_UP:
        _visited(session, challenge, counts, filter)
    words = sorted(word for word, count in counts.items() if count[0] or count[2])
    return Experiment(kind, goal, tuple(_arm(word, counts[word], counts[words[0]], words[0]) for word in words))


def experiments(
    session: Session, challenge: str, length: int, now: datetime, goal: str = "", filter: Filter = EVERYBODY
) -> tuple[Experiment, ...]:
    """The test of the landing page and that of the mails, those that have people; without a goal, and where a goal is
    not theirs, each for its usual one. Raises BadInput."""
    if goal and goal not in goals_of("form_variant", length):
        raise BadInput("goal", f"goal must be one of: {', '.join(goals_of('form_variant', length))}.")
    both = (
        experiment(session, challenge, length, now, kind, goal if goal in goals_of(kind, length) else usual, filter)
        for kind, usual in USUAL.items()
    )
    return tuple(one for one in both if one.arms)


def goals_of(kind: str, length: int) -> tuple[str, ...]:
    """What a test of this kind can be about, in the order of the way."""
    return (*([SIGNED_UP] if kind == "form_variant" else []), *goals(length))


def _visited(session: Session, challenge: str, counts: dict[str, list[int]], filter: Filter) -> None:
    """Of how many visitors: nobody knows where a visitor cannot have the filter's word, and where more signed up than
    visited, for then they came through a form on another site."""
    visited = visits_by(session, challenge, "form_variant", filter) or {}
    for word in [word for word in visited if word != NONE and word not in counts and visited[word].visitors]:
        counts[word] = [0, 0, 0]
    for word, count in counts.items():
        visitors = visited[word].visitors if word in visited else 0
        if visitors >= count[0]:
            count[1:] = count[0], visitors


def _add(count: list[int], block: Block, people: int, had_chance: int, goal: Goal) -> None:
    asked = had_chance & goal.base(block)
    for place, found in enumerate((people, asked & goal.reached(block), asked)):
        count[place] += found.bit_count()


def _arm(word: str, count: list[int], first: list[int], first_word: str) -> Arm:
    against = None if word == first_word else compare(first[1], first[2], count[1], count[2])
    return Arm(word, count[0], rate_of(count[1], count[2]), against)
