"""Who is due now? Claims rows for a worker, brings back what the dead held, moves missed mornings. The tick calls it.

Several dispatchers may tick on one database: every step is a conditional change of rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, Select, bindparam, func, text
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, delete, or_, select, update
from sqlmodel.sql.expression import SelectOfScalar

from challenge.alerts import raise_alert
from challenge.clock import keep, real_now, shared_now
from challenge.db import Database, inserting
from challenge.events import append, lock
from challenge.journey import ANSWERS, MISSES_BEFORE_EXPIRED, MORNING_LASTS, next_waking
from challenge.models import (
    ClockRow,
    Delivery,
    DeliveryState,
    Enrollment,
    EnrollmentState,
    Event,
    EventKind,
    Installation,
    RateBudget,
    Subscriber,
    UtcDateTime,
    Worker,
)
from challenge.plan import plan_for, plan_now
from challenge.programme.definition import Challenge
from challenge.rates import PAUSED, give_back, take
from challenge.settings import OnUncertain, Settings

STOPPED = "stop_sending"
REFUSED, REFUSED_COUNTS = "refused:", timedelta(hours=1)  # who refused us, and for how long that counts
DEFERRED_LASTS = timedelta(hours=12)
_ASKED_FOR = ~col(Delivery.is_daily) & ((col(Delivery.resends) > 0) | col(Delivery.key).like("resend:%"))
_ONLY_TODAY = ("rest", "nudge")  # said a day late they would be wrong
_LATE_BATCH = 500
PLAN_SECONDS, PLAN_SECONDS_BUSY = 0.7, 0.0  # while mails are due: one batch a tick
_HELD = "state IN ('claimed', 'handed_over')"  # the words of `ix_delivery_held`: only held rows are looked at


@dataclass(frozen=True)
class Tick:
    """What one tick did, and how many mails are due now (counted up to the limit asked for)."""

    due: int
    planned: int
    brought_back: int
    uncertain: int
    missed: int


def tick(database: Database, challenge: Challenge, settings: Settings, now: datetime, *, enough: int = 1000) -> Tick:
    """One round: bring back, move on, plan, count what is due, let a waiting clock run on. Looks first, in one statement,
    so that a tick with nothing to do writes nothing and costs the same however many people there are."""
    with database.read() as session:
        sight = (
            session.connection()
            .execute(_SIGHT[needs_review(challenge, settings)], _times(now) | {"challenge": challenge.slug})
            .one()
        )
        is_dead = sight.holder is not None and bool(_dead_holders(session, settings))
        due = 0 if sight.due is None else count_due(session, challenge, settings, now, enough)
    back, uncertain = bring_back(database, settings, now) if is_dead else (0, 0)
    missed = move_missed(database, challenge, settings, now) if sight.late is not None else 0
    seconds = PLAN_SECONDS_BUSY if due else PLAN_SECONDS  # what is due today goes before what is due tomorrow
    plans = sight.plan is not None or missed or uncertain
    planned = plan_for(database, challenge, now, seconds) if plans else 0
    if due < enough and (back or missed or planned):
        with database.read() as session:
            due = count_due(session, challenge, settings, now, enough)
    if sight.waits:
        with database.write() as session:
            keep(session, real_now())
    return Tick(due, planned, back, uncertain, missed)


def beat(database: Database, worker: str, *, first: bool = False) -> None:
    """The worker lives. Its claims hold as long as it beats. A new one clears away who was killed with nothing in hand."""
    with database.write() as session:
        now = shared_now(session)
        done = session.exec(update(Worker).where(col(Worker.id) == worker).values(beat_at=now))
        if first or done.rowcount == 0:
            session.merge(Worker(id=worker, started_at=now, beat_at=now))
        if first:
            held = select(Delivery.claimed_by).where(text(_HELD))
            gone = (col(Worker.beat_at) < now - timedelta(days=1)) & col(Worker.id).not_in(held)
            session.exec(delete(Worker).where(gone))


def leave(database: Database, worker: str, settings: Settings, now: datetime) -> None:
    """A worker that ends by itself gives back what it holds at once."""
    with database.write() as session:
        release(session, [worker], settings, now)
        session.exec(delete(Worker).where(col(Worker.id) == worker))


def bring_back(database: Database, settings: Settings, now: datetime) -> tuple[int, int]:
    """(rows scheduled again, rows that became uncertain) of workers whose heartbeat ended."""
    with database.read() as session:
        if not _dead_holders(session, settings):
            return 0, 0
    with database.write() as session:
        dead = sorted(_dead_holders(session, settings))
        result = release(session, dead, settings, now)
        session.exec(delete(Worker).where(col(Worker.id).in_(dead)))
        return result


def move_missed(database: Database, challenge: Challenge, settings: Settings, now: datetime) -> int:
    """A mail that did not leave within its morning: by our fault the next morning brings it, and after three it
    is given up; a mailbox that deferred it all day has had its chance."""
    with database.read() as session:
        ids = session.exec(_LATE.limit(_LATE_BATCH), params=_times(now)).all()
    for start in range(0, len(ids), 100):
        with database.write() as session:
            for number in ids[start : start + 100]:
                _move(session, number, challenge, settings, now)
    return len(ids)


def claim_due(
    database: Database, worker: str, challenge: Challenge, settings: Settings, now: datetime, limit: int
) -> list[int]:
    """Claims up to `limit` due rows for this worker; each row goes to one worker only. Returns their ids."""
    with database.write() as session:
        if is_stopped(session):
            return []
        allowed = take(session, settings.send_rate, limit)
        if allowed == 0:
            return []
        wanted = _DUE[needs_review(challenge, settings)].limit(allowed).with_for_update(skip_locked=True)
        claimed = (
            update(Delivery)
            .where(col(Delivery.id).in_(wanted))
            .values(state=DeliveryState.claimed, claimed_by=worker)
            .returning(col(Delivery.id))
        )
        ids = list(session.execute(claimed, _times(now)).scalars())
        give_back(session, settings.send_rate, allowed - len(ids))
        return ids


def count_due(session: Session, challenge: Challenge, settings: Settings, now: datetime, enough: int) -> int:
    """How many mails are due, counted up to `enough`; 0 while sending is stopped."""
    if is_stopped(session):
        return 0
    found = _DUE[needs_review(challenge, settings)].limit(enough).subquery()
    return int(session.execute(sql_select(func.count()).select_from(found), _times(now)).scalar_one())


def stop_sending(session: Session, reason: str) -> None:
    """No mail leaves until `resume_sending`; what is due stays due. Two may stop it in the same moment."""
    made = inserting(session, Installation).values(name=STOPPED, value=reason)
    session.execute(made.on_conflict_do_update(index_elements=["name"], set_={"value": reason}))
    session.get(Installation, STOPPED, populate_existing=True)


def resume_sending(session: Session) -> bool:
    """Lifts the stop and every domain's pause; what led to them counts no more. False when there was neither."""
    stop: CursorResult[object] = session.exec(delete(Installation).where(col(Installation.name) == STOPPED))
    is_held = col(RateBudget.free_at) > real_now()
    held = session.exec(select(RateBudget).where(col(RateBudget.scope).startswith(PAUSED), is_held)).all()
    session.exec(delete(RateBudget).where(col(RateBudget.scope).startswith(PAUSED)))
    for row in session.exec(select(RateBudget).where(col(RateBudget.scope).startswith(REFUSED))):
        row.free_at -= REFUSED_COUNTS
        session.add(row)
    return bool(stop.rowcount or held)


def is_stopped(session: Session) -> str:
    """Why sending is stopped; an empty word when it is not."""
    row = session.get(Installation, STOPPED)
    return row.value or "stopped" if row else ""


def needs_review(challenge: Challenge, settings: Settings) -> bool:
    """Production sends no day mail that no clinician has signed."""
    return settings.is_production and not challenge.reviewed_by and not settings.allow_unreviewed


def _times(now: datetime) -> dict[str, datetime]:
    """What the looks below compare with."""
    return {"now": now, "morning_ago": now - MORNING_LASTS, "deferred_ago": now - DEFERRED_LASTS}


def _due_statement() -> SelectOfScalar[int | None]:
    in_its_morning = or_(
        col(Delivery.mail).in_(ANSWERS), _ASKED_FOR, col(Delivery.strikes) > 0, col(Delivery.planned_at) > _MORNING_AGO
    )
    return (
        select(Delivery.id)  # type: ignore[return-value]
        .where(col(Delivery.state) == text("'scheduled'"), col(Delivery.due_at) <= _NOW, in_its_morning)
        .order_by(col(Delivery.due_at), col(Delivery.id))
    )


def _late_statement() -> SelectOfScalar[int | None]:
    ours = (col(Delivery.strikes) == 0) & (col(Delivery.planned_at) <= _MORNING_AGO)
    theirs = (col(Delivery.strikes) > 0) & (col(Delivery.planned_at) <= bindparam("deferred_ago", type_=UtcDateTime()))
    return (
        select(Delivery.id)  # type: ignore[return-value]
        .where(
            col(Delivery.state) == text("'scheduled'"),
            col(Delivery.due_at) <= _NOW,
            col(Delivery.mail).not_in(ANSWERS),
            ~_ASKED_FOR,
            or_(ours, theirs),
        )
        .order_by(col(Delivery.due_at), col(Delivery.id))
    )


def _sight(due: SelectOfScalar[int | None]) -> Select[Any]:
    """One row: the first of each kind of work, null when there is none. Each in the order of its index, or PostgreSQL
    reads the whole table for a LIMIT 1."""
    held = select(Delivery.claimed_by).where(text(_HELD)).order_by(col(Delivery.claimed_by))
    of_ours = Enrollment.challenge == bindparam("challenge")
    plan = select(Enrollment.id).where(col(Enrollment.plan_at) <= _NOW, of_ours).order_by(col(Enrollment.plan_at))
    looks: dict[str, SelectOfScalar[Any]] = {"holder": held, "late": _LATE, "plan": plan, "due": due}
    return sql_select(
        *(look.limit(1).scalar_subquery().label(name) for name, look in looks.items()),
        select(ClockRow.waits).where(col(ClockRow.id) == 1).scalar_subquery().label("waits"),
    )


_NOW, _MORNING_AGO = (bindparam(name, type_=UtcDateTime()) for name in ("now", "morning_ago"))
_EVERY_DUE = _due_statement()
_DUE = {False: _EVERY_DUE, True: _EVERY_DUE.where(col(Delivery.mail) != "day")}  # by `needs_review`
_LATE = _late_statement()
_SIGHT = {held_back: _sight(due) for held_back, due in _DUE.items()}


def _move(session: Session, number: int | None, challenge: Challenge, settings: Settings, now: datetime) -> None:
    found = session.get_one(Delivery, number)
    enrollment, _ = lock(session, found.enrollment_id)
    row = session.get_one(Delivery, number, with_for_update=True, populate_existing=True)
    if row.state is not DeliveryState.scheduled or row.planned_at > now - MORNING_LASTS:
        return
    if enrollment.state not in (EnrollmentState.active, EnrollmentState.ended):  # they left while it was with the relay
        row.state, row.closed_at, row.reason = DeliveryState.cancelled, now, f"the person is {enrollment.state}"
        session.add(row)
        return
    if row.strikes:
        row.state, row.closed_at, row.reason = DeliveryState.failed, now, f"deferred all day: {row.reason}"[:300]
        enrollment.plan_at = now
        session.add_all([row, enrollment])
        return
    if row.mail in _ONLY_TODAY:
        row.state, row.closed_at, row.reason = DeliveryState.expired, now, "its morning is over"
        session.add(row)
        return
    ours = is_stopped(session) or ("not reviewed" if needs_review(challenge, settings) else "")
    if not ours and _misses(session, row) + 1 >= MISSES_BEFORE_EXPIRED:
        row.state, row.closed_at, row.reason = DeliveryState.expired, now, "missed three mornings"
        session.add(row)
        append(session, enrollment, EventKind.expired, now, delivery=row, detail={"key": row.key})
        raise_alert(
            session, "expired", "Mails were given up after three missed mornings. `challenge audit` lists them."
        )
        return
    why = ours or "outage"
    append(session, enrollment, EventKind.missed, now, delivery=row, detail={"key": row.key, "why": why})
    plan_now(session, enrollment, challenge.length, now)  # or the next look finds the same morning missed again


def living_workers(session: Session, settings: Settings) -> set[str]:
    """The workers whose last beat is no older than a lease."""
    since = shared_now(session) - timedelta(seconds=settings.lease_seconds)
    return set(session.exec(select(Worker.id).where(col(Worker.beat_at) >= since)))


def _dead_holders(session: Session, settings: Settings) -> set[str]:
    """Who holds rows and does not beat."""
    held = text(_HELD)
    holders = set(session.exec(select(Delivery.claimed_by).where(held).distinct()).all())
    if not holders:
        return set()
    return holders.difference(living_workers(session, settings))


def _misses(session: Session, row: Delivery) -> int:
    query = select(Event.detail).where(Event.delivery_id == row.id, col(Event.kind) == EventKind.missed)
    return sum(detail.get("why") == "outage" for detail in session.exec(query))


def release(session: Session, workers: list[str], settings: Settings, now: datetime) -> tuple[int, int]:
    """(rows scheduled again, rows that became uncertain) of workers that send nothing any more."""
    mine = text(_HELD) & col(Delivery.claimed_by).in_(workers)
    back = session.exec(
        update(Delivery)
        .where(mine, col(Delivery.state) == DeliveryState.claimed)
        .values(state=DeliveryState.scheduled, claimed_by="")
    ).rowcount
    unsure = session.exec(
        select(Delivery).where(mine, col(Delivery.state) == DeliveryState.handed_over).with_for_update()
    ).all()
    for row in unsure:
        close_uncertain(session, row, settings, now, "the worker died between the final dot and its reply")
    return back, len(unsure)


def close_uncertain(session: Session, row: Delivery, settings: Settings, now: datetime, why: str) -> None:
    """Nobody can say whether the relay took it (RFC 1047): held by default, or sent once more with the same bytes."""
    row.claimed_by, row.reason = "", why[:300]
    if settings.on_uncertain is OnUncertain.resend_once and row.resends == 0:
        row.state, row.resends = DeliveryState.scheduled, 1
        session.add(row)
        return
    row.state, row.closed_at = DeliveryState.uncertain, now
    session.add(row)
    session.exec(update(Enrollment).where(col(Enrollment.id) == row.enrollment_id).values(plan_at=now))
    raise_alert(
        session, "uncertain", "For some mails nobody can say whether the relay took them. `challenge audit` lists them."
    )


def later(session: Session, row: Delivery, now: datetime, seconds: float) -> datetime:
    """When a deferred mail is tried again: in `seconds`, inside the person's waking window unless they asked for it."""
    at = now + timedelta(seconds=seconds)
    if row.mail in ANSWERS:
        return at
    enrollment = session.get_one(Enrollment, row.enrollment_id)
    return next_waking(session.get_one(Subscriber, enrollment.subscriber_id).timezone, at)
