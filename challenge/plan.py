"""Which rows must exist? Holds `journey.plan` against the deliveries and writes the difference; the dispatch tick calls.

An enrollment is looked at when its `plan_at` has come: something happened to it, or its daily mail was closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlmodel import Session, col, select

from challenge.db import Database
from challenge.journey import Fact, Owed, Plan, Rhythm, is_copy, plan
from challenge.models import OPEN_STATES, Delivery, DeliveryState, Enrollment, EnrollmentState, Event, EventKind
from challenge.programme.definition import Challenge

_BATCH = 200
_FACTS = (
    EventKind.signed_up,
    EventKind.confirmed,
    EventKind.completed,
    EventKind.undone,
    EventKind.rested,
    EventKind.paused,
    EventKind.resumed,
    EventKind.changed,
    EventKind.missed,
    EventKind.unsubscribed,
    EventKind.suppressed,
    EventKind.complained,
    EventKind.resent,
)
_NOT_YET_GIVEN_AWAY = (DeliveryState.scheduled, DeliveryState.claimed)


def plan_due(database: Database, challenge: Challenge, now: datetime, limit: int = _BATCH) -> int:
    """Plans up to `limit` enrollments whose time has come; returns how many. Safe in several processes at once."""
    with database.write() as session:
        query = (
            select(Enrollment)
            .where(col(Enrollment.plan_at) <= now, Enrollment.challenge == challenge.slug)
            .order_by(col(Enrollment.plan_at))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        enrollments = session.exec(query).all()
        ids = [enrollment.id or 0 for enrollment in enrollments]
        facts, rows = facts_of(session, ids), _rows(session, ids)
        for enrollment in enrollments:
            number = enrollment.id or 0
            _write_difference(session, enrollment, plan(challenge.length, facts[number], now), rows[number], now)
        return len(enrollments)


def plan_now(session: Session, enrollment: Enrollment, days: int, now: datetime) -> None:
    """Plans one enrollment in the caller's transaction: what was asked for is a row when the page says so."""
    session.flush()
    number = enrollment.id or 0
    facts, rows = facts_of(session, [number]), _rows(session, [number])
    _write_difference(session, enrollment, plan(days, facts[number], now), rows[number], now)


def is_plan_due(session: Session, now: datetime) -> bool:
    """Whether somebody's plan must be looked at."""
    return session.exec(select(Enrollment.id).where(col(Enrollment.plan_at) <= now).limit(1)).first() is not None


def current_plan(session: Session, enrollment: Enrollment, days: int, now: datetime) -> Plan:
    """What this enrollment is owed and what comes next in a challenge of `days` days."""
    return plan(days, facts_of(session, [enrollment.id or 0])[enrollment.id or 0], now)


def cancel_open(
    session: Session,
    enrollment_id: int,
    now: datetime,
    *,
    reason: str,
    state: DeliveryState = DeliveryState.cancelled,
) -> list[Delivery]:
    """Closes what has not been handed to a relay. A worker that holds a claim finds it gone before its final dot."""
    query = select(Delivery).where(
        Delivery.enrollment_id == enrollment_id, col(Delivery.state).in_(_NOT_YET_GIVEN_AWAY)
    )
    rows = list(session.exec(query.with_for_update()).all())
    for row in rows:
        _close(session, row, state, reason, now)
    return rows


def facts_of(session: Session, ids: Sequence[int]) -> dict[int, list[Fact]]:
    """The events that planning goes by, in the order they were recorded."""
    found: dict[int, list[Fact]] = defaultdict(list)
    query = select(Event).where(col(Event.enrollment_id).in_(ids), col(Event.kind).in_(_FACTS)).order_by(col(Event.id))
    for event in session.exec(query):
        found[event.enrollment_id].append(_fact(event))
    return found


def _fact(event: Event) -> Fact:
    told = event.detail
    rhythm = Rhythm(told["timezone"], told["hour"], told["pace"]) if "timezone" in told else None
    of = "imported" if told.get("imported") else told.get("of", "")
    return Fact(event.kind, event.occurred_at, event.day or 0, told.get("key", ""), of, rhythm)


def _rows(session: Session, ids: Sequence[int]) -> dict[int, dict[str, Delivery]]:
    rows: dict[int, dict[str, Delivery]] = defaultdict(dict)
    for row in session.exec(select(Delivery).where(col(Delivery.enrollment_id).in_(ids))):
        rows[row.enrollment_id][row.key] = row
    return rows


def _write_difference(
    session: Session, enrollment: Enrollment, wanted: Plan, rows: dict[str, Delivery], now: datetime
) -> None:
    keys = {owed.key for owed in wanted.all}
    for key, row in rows.items():
        if key not in keys and row.state in _NOT_YET_GIVEN_AWAY:
            _close(session, row, DeliveryState.cancelled, "no longer owed", now)
    session.flush()
    _write_wanted(session, enrollment, wanted.all if wanted.state in ("pending", "active", "ended") else (), rows, now)
    if wanted.state == "ended" and enrollment.state is EnrollmentState.active:
        enrollment.state = EnrollmentState.ended
    elif wanted.state == "active" and enrollment.state is EnrollmentState.ended:
        enrollment.state = EnrollmentState.active
    enrollment.plan_at = wanted.look_again_at
    session.add(enrollment)


def _write_wanted(
    session: Session, enrollment: Enrollment, wanted: Iterable[Owed], rows: dict[str, Delivery], now: datetime
) -> None:
    """In order; stops behind an open daily mail, for the sequence has one open mail at a time. Copies stand beside it."""
    stands_still = False
    for owed in wanted:
        if stands_still and not is_copy(owed.key):
            continue
        row = rows.get(owed.key)
        if owed.mail == "confirm" and enrollment.state is not EnrollmentState.pending:
            continue  # the yes came first: nobody needs to be asked any more
        if row is None or row.state is DeliveryState.cancelled:
            row = _schedule(session, enrollment, owed, row, now)
        elif row.state is DeliveryState.scheduled and row.planned_at != owed.due_at:
            row.planned_at = row.due_at = owed.due_at
            session.add(row)
        stands_still = stands_still or (owed.is_daily and row.state in OPEN_STATES)


def _schedule(session: Session, enrollment: Enrollment, owed: Owed, row: Delivery | None, now: datetime) -> Delivery:
    if row is None:
        row = Delivery(
            enrollment_id=enrollment.id or 0,
            key=owed.key,
            mail=owed.mail,
            is_daily=owed.is_daily,
            planned_at=owed.due_at,
            due_at=owed.due_at,
            created_at=now,
        )
    row.state, row.planned_at, row.due_at = DeliveryState.scheduled, owed.due_at, owed.due_at
    row.closed_at, row.reason = None, ""
    session.add(row)
    session.flush()
    return row


def _close(session: Session, row: Delivery, state: DeliveryState, reason: str, now: datetime) -> None:
    row.state, row.reason, row.closed_at, row.claimed_by = state, reason, now, ""
    session.add(row)
