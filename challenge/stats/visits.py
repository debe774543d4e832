"""How many looked at the landing page? Sums of `visit`, under the part of a filter that a visitor can have."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, func
from sqlalchemy import select as columns
from sqlmodel import Session, col

from challenge.models import Visit
from challenge.stats.filter import EVERYBODY, NONE, Filter


@dataclass(frozen=True)
class Visits:
    """`visitors` are different browsers a day, `views` all sights of the page; `machines` were no people."""

    visitors: int
    views: int
    machines: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def visits(session: Session, challenge: str, filter: Filter = EVERYBODY) -> Visits | None:
    """None when the filter asks for what no visitor has: a position, a country, a mail variant."""
    found = visits_by(session, challenge, None, filter)
    return None if found is None else found.get("", Visits(0, 0, 0))


def visits_by(
    session: Session, challenge: str, dimension: str | None, filter: Filter = EVERYBODY
) -> dict[str, Visits] | None:
    """Word of the dimension -> visits; without a dimension all under the empty word."""
    if not filter.fits_visits or (dimension and not hasattr(Visit, dimension)):
        return None
    word: Any = getattr(Visit, dimension) if dimension else func.max("")
    query = (
        columns(word, col(Visit.who), func.sum(col(Visit.visitors)), func.sum(col(Visit.views)))
        .where(col(Visit.challenge) == challenge, *_conditions(filter))
        .group_by(*([word] if dimension else []), col(Visit.who))
    )
    counts: dict[str, dict[str, tuple[int, int]]] = {}
    for name, who, visitors, views in session.execute(query):
        counts.setdefault((name or NONE) if dimension else "", {})[who] = (int(visitors), int(views))
    nobody = (0, 0)
    return {name: _told(by.get("person", nobody), by.get("machine", nobody)) for name, by in counts.items()}


def _told(people: tuple[int, int], machines: tuple[int, int]) -> Visits:
    return Visits(people[0], people[1], machines[0])


def _conditions(filter: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        col(getattr(Visit, name)) == ("" if word == NONE else word) for name, word in filter.words.items()
    ]
    if filter.since:
        found.append(col(Visit.day) >= filter.since.isoformat())
    if filter.until:
        found.append(col(Visit.day) <= filter.until.isoformat())
    return found
