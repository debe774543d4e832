"""What did a check find, and what is to be done? The words that every check, the command and the dashboard's page share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """`not_checked` is never good news: nobody looked."""

    ok = "ok"
    not_checked = "not checked"
    warning = "warning"
    problem = "problem"


@dataclass(frozen=True)
class Finding:
    """One look at one thing. `check` is a stable name, `to_do` is empty when nothing is."""

    check: str
    state: State
    words: str
    to_do: str = ""


_WORST = (State.problem, State.warning, State.not_checked, State.ok)


def worst(states: Iterable[State]) -> State:
    """The state that decides; `not checked` when nobody looked at all."""
    found = set(states)
    return next((state for state in _WORST if state in found), State.not_checked)


def ok(check: str, words: str) -> Finding:
    return Finding(check, State.ok, words)


def warning(check: str, words: str, to_do: str) -> Finding:
    return Finding(check, State.warning, words, to_do)


def problem(check: str, words: str, to_do: str) -> Finding:
    return Finding(check, State.problem, words, to_do)


def not_checked(check: str, words: str, to_do: str) -> Finding:
    return Finding(check, State.not_checked, words, to_do)
