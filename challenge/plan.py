"""Which rows must exist? Holds `journey.plan` against the deliveries and writes the difference; the dispatch tick calls.

An enrollment is looked at when its `plan_at` has come: something happened to it, or its daily mail was closed.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, insert, or_, update
from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from challenge.alerts import raise_alert
from challenge.db import Database, among
from challenge.journey import ALREADY, Fact, Owed, Plan, Rhythm, is_beside, plan
from challenge.models import (
    OPEN_STATES,
    Delivery,
    DeliveryState,
    Enrollment,
    EnrollmentState,
    Event,
    EventKind,
    UtcDateTime,
)
from challenge.programme.definition import Challenge

BATCH = 100  # on SQLite nobody else writes meanwhile: about 15 ms
_FACTS = (
    EventKind.signed_up,
    EventKind.signed_up_again,
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
    EventKind.joined,
)
FAILED_WAITS = timedelta(hours=1)
_AWAY = (OperationalError, InterfaceError, InternalError)  # the database's own trouble: the next tick tries again
_NOT_YET_GIVEN_AWAY = (DeliveryState.scheduled, DeliveryState.claimed)
_DUE = (
    select(Enrollment.id, Enrollment.state)
    .where(
        col(Enrollment.plan_at) <= bindparam("now", type_=UtcDateTime()),
        Enrollment.challenge == bindparam("challenge"),
    )
    .order_by(col(Enrollment.plan_at))
)
log = logging.getLogger(__name__)
_EMPTY = {"claimed_by": "", "attempts": 0, "strikes": 0, "resends": 0, "reason": "", "receipt": "", "edition": ""}


def plan_due(database: Database, challenge: Challenge, now: datetime, limit: int = BATCH) -> int:
    """Plans up to `limit` enrollments whose time has come; returns how many. Safe in several processes at once.

    Who cannot be planned, be it the program's fault, holds up nobody else: they are put off and an alert is raised."""
    try:
        with database.write() as session:
            return _plan_found(session, _DUE.limit(limit), challenge, now)
    except _AWAY:
        raise
    except Exception:  # somebody among them; who it is shows when each is planned alone
        log.exception("A batch cannot be planned; each of it is planned alone.", extra={"action": "plan_failed"})
    with database.read() as session:
        ids = session.exec(_DUE.limit(limit), params=_at(challenge, now)).all()
    return sum(_plan_alone(database, challenge, now, id or 0) for id, _ in ids)


def _plan_alone(database: Database, challenge: Challenge, now: datetime, id: int) -> int:
    try:
        with database.write() as session:
            return _plan_found(session, _DUE.where(col(Enrollment.id) == id), challenge, now)
    except _AWAY:
        raise
    except Exception as error:  # the others must not wait for this one
        log.exception("A person cannot be planned.", extra={"action": "plan_failed", "enrollment_id": id})
        with database.write() as session:
            session.exec(update(Enrollment).where(col(Enrollment.id) == id).values(plan_at=now + FAILED_WAITS))
            raise_alert(
                session, "planning", f"Person {id} cannot be planned ({type(error).__name__}); the log says why."
            )
        return 1


def _plan_found(session: Session, query: Any, challenge: Challenge, now: datetime) -> int:
    found = session.exec(query.with_for_update(skip_locked=True), params=_at(challenge, now)).all()
    return _plan(session, [(id or 0, EnrollmentState(state)) for id, state in found], challenge.length, now)


def _at(challenge: Challenge, now: datetime) -> dict[str, Any]:
    return {"now": now, "challenge": challenge.slug}


def plan_now(session: Session, enrollment: Enrollment, days: int, now: datetime) -> None:
    """Plans one enrollment in the caller's transaction: what was asked for is a row when the page says so."""
    session.flush()
    _plan(session, [(enrollment.id or 0, enrollment.state)], days, now)
    session.expire(enrollment)


def plan_for(database: Database, challenge: Challenge, now: datetime, seconds: float) -> int:
    """Plans what is due for about `seconds` of real time; returns how many. Makes way for other writers in between."""
    until, planned = time.monotonic() + seconds, 0
    while True:
        count = plan_due(database, challenge, now)
        planned += count
        if count < BATCH or time.monotonic() > until:
            return planned
        time.sleep(0.005)


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
        row.state, row.reason, row.closed_at, row.claimed_by = state, reason, now, ""
        session.add(row)
    return rows


def facts_of(session: Session, ids: Sequence[int]) -> dict[int, list[Fact]]:
    """The events that planning goes by, in the order they were recorded; that somebody joined also when they did so in
    another of their runs."""
    found: dict[int, list[Fact]] = defaultdict(list)
    query = (
        select(Event.enrollment_id, Event.kind, Event.occurred_at, Event.day, Event.detail)  # type: ignore[call-overload]
        .where(among(session, col(Event.enrollment_id), ids), col(Event.kind).in_(_FACTS))
        .order_by(col(Event.id))
    )
    for number, kind, at, day, told in session.exec(query):
        if kind is EventKind.joined:
            found[number] += _joined(told)
            continue
        rhythm = Rhythm(told["timezone"], told["hour"], told["pace"]) if "timezone" in told else None
        of = "imported" if told.get("imported") else told.get("of", "")
        found[number].append(Fact(kind, at, day or 0, told.get("key", ""), of, rhythm))
    for number, told in session.exec(_JOINED_ELSEWHERE.where(among(session, col(Enrollment.id), ids))):
        found[number or 0] += _joined(told)
    return found


_OTHER = aliased(Enrollment)
_JOINED_ELSEWHERE = (
    select(Enrollment.id, Event.detail)
    .join(_OTHER, (col(_OTHER.subscriber_id) == col(Enrollment.subscriber_id)) & (col(_OTHER.id) != col(Enrollment.id)))
    .join(Event, (col(Event.enrollment_id) == col(_OTHER.id)) & (col(Event.kind) == EventKind.joined))
)


def _joined(told: Mapping[str, Any]) -> list[Fact]:
    """Counts from when it was told: what went out before was owed."""
    return [Fact(EventKind.joined, datetime.fromisoformat(told["told_at"]))] if "told_at" in told else []


@dataclass(frozen=True)
class _Row:
    """A delivery, as far as planning cares."""

    id: int
    state: DeliveryState
    planned_at: datetime


@dataclass
class _Changes:
    """What a batch of plans changes: written in a few statements, for an object and a statement each cost ten times the
    planning itself. A row that a worker took meanwhile is left alone."""

    cancelled: list[dict[str, Any]] = field(default_factory=list)
    moved: list[dict[str, Any]] = field(default_factory=list)
    revived: list[dict[str, Any]] = field(default_factory=list)
    new: list[dict[str, Any]] = field(default_factory=list)
    people: list[dict[str, Any]] = field(default_factory=list)

    def write(self, session: Session) -> None:
        """Closes before it opens: a person has one open daily mail at a time."""
        connection = session.connection()
        for statement, rows in (
            (_CANCEL, self.cancelled),
            (_MOVE, self.moved),
            (_REVIVE, self.revived),
            (_ADD, self.new),
            (_LOOK_AGAIN, self.people),
        ):
            if rows:
                connection.execute(statement, rows)


_ROW = Delivery.__table__  # type: ignore[attr-defined]
_PEOPLE = Enrollment.__table__  # type: ignore[attr-defined]
_IS_THIS = _ROW.c.id == bindparam("row")
_CANCEL = (
    update(_ROW)
    .where(_IS_THIS, or_(*(_ROW.c.state == state for state in _NOT_YET_GIVEN_AWAY)))  # many rows at once cannot say IN
    .values(state=DeliveryState.cancelled, reason="no longer owed", closed_at=bindparam("now"), claimed_by="")
)
_MOVE = (
    update(_ROW)
    .where(_IS_THIS, _ROW.c.state == DeliveryState.scheduled)
    .values(planned_at=bindparam("at"), due_at=bindparam("at"))
)
_REVIVE = (
    update(_ROW)
    .where(_IS_THIS, _ROW.c.state == DeliveryState.cancelled)
    .values(
        state=DeliveryState.scheduled, planned_at=bindparam("at"), due_at=bindparam("at"), closed_at=None, reason=""
    )
)
_ADD = insert(_ROW)
_LOOK_AGAIN = (
    update(_PEOPLE)
    .where(_PEOPLE.c.id == bindparam("person"))
    .values(state=bindparam("new_state"), plan_at=bindparam("look_again_at"))
)


def _plan(session: Session, people: Sequence[tuple[int, EnrollmentState]], days: int, now: datetime) -> int:
    ids = [id for id, _ in people]
    facts, rows, changes = facts_of(session, ids), _rows(session, ids), _Changes()
    for id, state in people:
        wanted = plan(days, facts[id], now)
        _compare(changes, id, state, wanted, rows[id], now)
        changes.people.append(
            {
                "person": id,
                "new_state": _state_after(state, wanted),
                "look_again_at": wanted.look_again_at or _when_gone_early(wanted, rows[id]),
            }
        )
    changes.write(session)
    return len(people)


def _when_gone_early(wanted: Plan, rows: dict[str, _Row]) -> datetime | None:
    """A mail that left before the person moved it closes nothing any more, so nothing else would wake the planner."""
    coming = next((owed for owed in wanted.upcoming if owed.is_daily), None)
    row = rows.get(coming.key) if coming else None
    is_gone = row is not None and row.state not in (*OPEN_STATES, DeliveryState.cancelled)
    return coming.due_at if coming and is_gone else None


def _rows(session: Session, ids: Sequence[int]) -> dict[int, dict[str, _Row]]:
    rows: dict[int, dict[str, _Row]] = defaultdict(dict)
    query = select(Delivery.enrollment_id, Delivery.key, Delivery.id, Delivery.state, Delivery.planned_at)  # type: ignore[call-overload]
    for number, key, *row in session.exec(query.where(among(session, col(Delivery.enrollment_id), ids))):
        rows[number][key] = _Row(*row)
    return rows


def _state_after(state: EnrollmentState, wanted: Plan) -> EnrollmentState:
    if wanted.state == "ended" and state is EnrollmentState.active:
        return EnrollmentState.ended
    if wanted.state == "active" and state is EnrollmentState.ended:
        return EnrollmentState.active
    return state


def _compare(
    changes: _Changes, person: int, state: EnrollmentState, wanted: Plan, rows: dict[str, _Row], now: datetime
) -> None:
    """Closes what is no longer owed, then opens what is, in order; stops behind an open daily mail, for the sequence has
    one open mail at a time. What stands beside it is no part of that."""
    keys = {owed.key for owed in wanted.all}
    for key, row in rows.items():
        if key not in keys and row.state in _NOT_YET_GIVEN_AWAY:
            changes.cancelled.append({"row": row.id, "now": now})
    stands_still = False
    for owed in _may_have_a_row(wanted):
        if stands_still and not is_beside(owed.key):
            continue
        if owed.mail == "confirm" and state is not EnrollmentState.pending:
            continue  # the yes came first: nobody needs to be asked any more
        is_open = _open(changes, person, owed, rows.get(owed.key), now)
        stands_still = stands_still or (owed.is_daily and is_open)


def _may_have_a_row(wanted: Plan) -> Sequence[Owed]:
    if wanted.state == "stopped":
        return ()
    if wanted.state == "paused":  # the answer to a sign-up says so
        return [owed for owed in wanted.owed if owed.mail == ALREADY]
    return wanted.all


def _open(changes: _Changes, person: int, owed: Owed, row: _Row | None, now: datetime) -> bool:
    """Sees to it that there is a row; whether it is open then."""
    if row is None:
        changes.new.append(_new(person, owed, now))
    elif row.state is DeliveryState.cancelled:
        changes.revived.append({"row": row.id, "at": owed.due_at})
    elif row.state is DeliveryState.scheduled and row.planned_at != owed.due_at:
        changes.moved.append({"row": row.id, "at": owed.due_at})
    else:
        return row.state in OPEN_STATES
    return True


def _new(person: int, owed: Owed, now: datetime) -> dict[str, Any]:
    return {
        "enrollment_id": person,
        "key": owed.key,
        "mail": owed.mail,
        "is_daily": owed.is_daily,
        "state": DeliveryState.scheduled,
        "planned_at": owed.due_at,
        "due_at": owed.due_at,
        "created_at": now,
        **_EMPTY,
    }
