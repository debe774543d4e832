"""How does a person take a stop back? The tap was a slip, or they thought again: one more tap within a day undoes it.

Only their own stop, never a dead address or a complaint; later than a day they sign up anew.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlmodel import Session, col, func, select

from challenge.events import append, is_suppressed, lock
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Event, EventKind
from challenge.plan import cancel_open, current_plan

TAKEN_BACK_WITHIN = timedelta(hours=24)


def can_go_on(session: Session, enrollment: Enrollment, now: datetime) -> bool:
    """Whether the last stop was the person's own and less than a day ago: then one tap takes it back. Not when they have
    started anew meanwhile: they would get two mails each morning."""
    if enrollment.state is not EnrollmentState.stopped:
        return False
    if any(state is not EnrollmentState.pending for _, state in _later_runs(session, enrollment)):
        return False
    kinds = (EventKind.unsubscribed, EventKind.suppressed, EventKind.complained)
    query = select(Event).where(Event.enrollment_id == enrollment.id, col(Event.kind).in_(kinds))
    last = session.exec(query.order_by(col(Event.id).desc()).limit(1)).first()
    return last is not None and last.kind is EventKind.unsubscribed and now - last.occurred_at < TAKEN_BACK_WITHIN


def go_on(session: Session, enrollment_id: int, days: int, now: datetime) -> bool:
    """Takes an unsubscribe back, for every challenge that the same tap stopped. False when it is too late for that."""
    enrollment, subscriber = lock(session, enrollment_id)
    if not can_go_on(session, enrollment, now) or is_suppressed(session, subscriber.email_key):
        return False
    stopped_at = _last_stop(session, enrollment_id)
    mine = select(Enrollment.id).where(Enrollment.subscriber_id == subscriber.id).order_by(col(Enrollment.id))
    for number in session.exec(mine).all():
        other, _ = lock(session, number or 0)
        if can_go_on(session, other, now) and _last_stop(session, other.id or 0) == stopped_at:
            for later, _ in _later_runs(session, other):  # not confirmed yet, and not needed any more
                session.get_one(Enrollment, later).state = EnrollmentState.stopped
                cancel_open(session, later, now, reason="they went on with their first start")
            append(session, other, EventKind.resumed, now, detail={"of": "unsubscribed"})
            other.state = EnrollmentState(current_plan(session, other, days, now).state)
            _bring_what_was_due(session, other, now)
    return True


def _later_runs(session: Session, enrollment: Enrollment) -> list[tuple[int, EnrollmentState]]:
    """Those that were not stopped."""
    query = select(Enrollment.id, Enrollment.state).where(
        Enrollment.subscriber_id == enrollment.subscriber_id,
        Enrollment.challenge == enrollment.challenge,
        Enrollment.run > enrollment.run,
        Enrollment.state != EnrollmentState.stopped,
    )
    return [(id or 0, EnrollmentState(state)) for id, state in session.exec(query)]


def _last_stop(session: Session, enrollment_id: int) -> datetime | None:
    query = select(func.max(Event.occurred_at)).where(
        Event.enrollment_id == enrollment_id, Event.kind == EventKind.unsubscribed
    )
    return session.exec(query).one()


def _bring_what_was_due(session: Session, enrollment: Enrollment, now: datetime) -> None:
    """A daily mail that the stop took back on its morning comes first."""
    due = select(Delivery).where(
        Delivery.enrollment_id == enrollment.id,
        Delivery.state == DeliveryState.cancelled,
        Delivery.reason == "unsubscribed",
        Delivery.is_daily,
        Delivery.mail != "welcome",
        col(Delivery.planned_at) <= now,
    )
    for row in session.exec(due).all():
        append(session, enrollment, EventKind.missed, now, detail={"key": row.key, "why": "stopped"})
