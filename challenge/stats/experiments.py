"""Which version works? Two or more variants side by side, each against the first, with a rule that may be looked at daily.

A person counts for a goal once the chance has been, as in the funnel: nobody is said to have failed on the first day.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from challenge.errors import BadInput
from challenge.stats.blocks import Block
from challenge.stats.filter import EVERYBODY, NONE, Filter
from challenge.stats.funnel import Crowd, Rate, rate_of
from challenge.stats.inference import Comparison, compare
from challenge.stats.keep import load

KINDS = ("variant", "form_variant")


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


def goals(length: int) -> dict[str, tuple[str, str, str]]:
    """Goal -> (the step's bits, of which people, the mail that gives the chance)."""
    found = {"confirmed": ("confirmed", "people", "confirm")}
    for day in range(1, length + 1):
        found[f"opened-{day}"] = (f"opened_people:{day}", f"sent:{day}", str(day))
        found[f"clicked-{day}"] = (f"clicked:{day}", f"sent:{day}", str(day))
        found[f"done-{day}"] = (f"done:{day}", "confirmed", str(day))
    return found | {
        "finished": ("finished", "confirmed", str(length)),
        "joined": ("joined", "confirmed", "finish"),
    }


def experiment(
    session: Session, challenge: str, length: int, now: datetime, kind: str, goal: str, filter: Filter = EVERYBODY
) -> Experiment:
    """Raises BadInput for a kind or a goal there is not."""
    known = goals(length)
    if kind not in KINDS:
        raise BadInput("kind", f"kind must be one of: {', '.join(KINDS)}.")
    if goal not in known:
        raise BadInput("goal", f"goal must be one of: {', '.join(known)}.")
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for block, people in Crowd(load(session, challenge, length, now), filter, now):
        for word, there in block.words[kind].items():
            if word != NONE:
                _add(counts[word], block, people & there, known[goal], now)
    words = sorted(word for word, count in counts.items() if count[0])
    return Experiment(kind, goal, tuple(_arm(word, counts[word], counts[words[0]], words[0]) for word in words))


def _add(count: list[int], block: Block, people: int, goal: tuple[str, str, str], now: datetime) -> None:
    bits, base, mail = goal
    reached = people & block.get(bits)
    asked = reached | (people & block.get(base) & block.had_chance(mail, now))
    for place, found in enumerate((people, reached, asked)):
        count[place] += found.bit_count()


def _arm(word: str, count: list[int], first: list[int], first_word: str) -> Arm:
    against = None if word == first_word else compare(first[1], first[2], count[1], count[2])
    return Arm(word, count[0], rate_of(count[1], count[2]), against)
