"""How far do people get? The numbers of the dashboard, `challenge stats`, the API and the CSV, from one place."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from challenge.models import Delivery, DeliveryState, Enrollment, Event, EventKind, Subscriber

_PEOPLE = ("person",)


@dataclass(frozen=True)
class DayNumbers:
    """One day. `sent` without uncertain; `opened_proxy`: only proxies opened it; `done`: not undone, not unsure."""

    day: int
    sent: int
    opened_people: int
    opened_proxy: int
    clicked: int
    done: int
    rested: int


@dataclass(frozen=True)
class Funnel:
    """Counts of enrollments. `by_source`: source -> (signed up, confirmed, finished)."""

    signed_up: int
    confirmed: int
    finished: int
    joined: int
    stopped: int
    days: tuple[DayNumbers, ...]
    by_source: dict[str, tuple[int, int, int]]
    zones: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def funnel(session: Session, challenge: str, length: int) -> Funnel:
    """The funnel of one challenge of `length` days."""
    enrolled = select(Enrollment.id).where(Enrollment.challenge == challenge)
    confirmed = _count(session, enrolled.where(col(Enrollment.confirmed_at).is_not(None)))
    done = _done(session, enrolled)
    finished = {person for person, days in done.items() if len(days) >= length}
    return Funnel(
        signed_up=_count(session, enrolled),
        confirmed=confirmed,
        finished=len(finished),
        joined=len(_people_with(session, enrolled, EventKind.joined, None)),
        stopped=_count(session, enrolled.where(Enrollment.state == "stopped")),
        days=tuple(_day(session, enrolled, number, done) for number in range(1, length + 1)),
        by_source=_by_source(session, challenge, finished),
        zones=_zones(session, challenge),
    )


def _count(session: Session, query: Any) -> int:
    return session.exec(select(func.count()).select_from(query.subquery())).one()


def _day(session: Session, enrolled: Any, number: int, done: dict[int, set[int]]) -> DayNumbers:
    people = _people_with(session, enrolled, EventKind.opened, number, who=_PEOPLE)
    proxies = _people_with(session, enrolled, EventKind.opened, number, who=("proxy",))
    clicked = _people_with(session, enrolled, EventKind.clicked, number, who=_PEOPLE)
    sent = select(Delivery.id).where(
        Delivery.key == f"day-{number}", Delivery.state == DeliveryState.sent, col(Delivery.enrollment_id).in_(enrolled)
    )
    return DayNumbers(
        day=number,
        sent=_count(session, sent),
        opened_people=len(people),
        opened_proxy=len(proxies - people),
        clicked=len(clicked),
        done=sum(number in days for days in done.values()),
        rested=_rested(session, enrolled, number),
    )


def _people_with(
    session: Session,
    enrolled: Any,
    kind: EventKind,
    day: int | None,
    who: tuple[str, ...] = ("person", "proxy", "machine", "unsure"),
) -> set[int]:
    query = select(Event.enrollment_id).where(
        col(Event.kind) == kind, col(Event.who).in_(who), col(Event.enrollment_id).in_(enrolled)
    )
    if day is not None:
        query = query.where(Event.day == day)
    return set(session.exec(query.distinct()))


def _done(session: Session, enrolled: Any) -> dict[int, set[int]]:
    """Per enrollment, the days done and not taken back; what a machine may have pressed does not count."""
    query = (
        columns(col(Event.enrollment_id), col(Event.kind), col(Event.day), col(Event.who), col(Event.detail))
        .where(col(Event.kind).in_((EventKind.completed, EventKind.undone)), col(Event.enrollment_id).in_(enrolled))
        .order_by(col(Event.id))
    )
    done: dict[int, set[int]] = defaultdict(set)
    for person, kind, day, who, detail in session.execute(query):
        if kind is EventKind.completed and who != "unsure":
            done[person].add(day or 0)
        elif kind is EventKind.undone and detail.get("of", "completed") == "completed":
            done[person].discard(day or 0)
    return done


def _rested(session: Session, enrolled: Any, number: int) -> int:
    query = columns(col(Event.enrollment_id), col(Event.kind), col(Event.detail)).where(
        col(Event.kind).in_((EventKind.rested, EventKind.undone)),
        col(Event.day) == number,
        col(Event.enrollment_id).in_(enrolled),
    )
    balance: dict[int, int] = defaultdict(int)
    for person, kind, detail in session.execute(query):
        if kind is EventKind.rested:
            balance[person] += 1
        elif detail.get("of") == "rested":
            balance[person] -= 1
    return sum(count > 0 for count in balance.values())


def _by_source(session: Session, challenge: str, finished: set[int]) -> dict[str, tuple[int, int, int]]:
    query = select(Enrollment.id, Enrollment.source, Enrollment.confirmed_at).where(Enrollment.challenge == challenge)
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for number, source, confirmed_at in session.exec(query):
        counts = found[source or "direct"]
        counts[0] += 1
        counts[1] += confirmed_at is not None
        counts[2] += number in finished
    ordered = sorted(found.items(), key=lambda item: (-item[1][0], item[0]))
    return {source: (counts[0], counts[1], counts[2]) for source, counts in ordered}


def _zones(session: Session, challenge: str) -> int:
    query = (
        select(func.count(func.distinct(Subscriber.timezone))).join(Enrollment).where(Enrollment.challenge == challenge)
    )
    return session.exec(query).one()
