"""May this address be written to because somebody typed it? Asked by `signup.register`, so that nobody can fill a stranger's
mailbox.

A form can be filled in by anybody, so what counts is a confirmation that nobody answered: over all runs of an address they
come an hour apart and three in thirty days. Who stops before they ever said yes is not asked again for ninety days. Who is
in is told so once a day and three times in thirty days.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlmodel import Session, col, func, select

from challenge.journey import ALREADY_AGAIN, CONFIRM_AGAIN
from challenge.models import Enrollment, EnrollmentState, Event, EventKind, Subscriber

MOST = 3
WITHIN = timedelta(days=30)
QUIET = timedelta(days=90)


def may_ask(session: Session, email_key: str, now: datetime) -> bool:
    """Whether one more confirmation may go to this address now."""
    owner = session.exec(select(Subscriber.id).where(Subscriber.email_key == email_key)).first()
    if owner is None:
        return True
    asked = [at for times in _unanswered(session, owner).values() for at in times if at > now - WITHIN]
    return (
        len(asked) < MOST
        and now >= max(asked, default=now - WITHIN) + CONFIRM_AGAIN
        and not is_quiet(session, owner, now)
    )


def would_ask(session: Session, enrollment: Enrollment, now: datetime) -> bool:
    """Whether a sign-up now makes this pending run owe another confirmation: the last one is an hour old."""
    times = _unanswered(session, enrollment.subscriber_id).get(enrollment.id or 0)
    return not times or now >= times[-1] + CONFIRM_AGAIN


def may_tell(session: Session, subscriber_id: int, now: datetime) -> bool:
    """Whether somebody who is in may be told so (once more) now."""
    query = (
        select(Event.occurred_at)
        .join(Enrollment, col(Enrollment.id) == col(Event.enrollment_id))
        .where(
            Enrollment.subscriber_id == subscriber_id,
            Event.kind == EventKind.signed_up_again,
            col(Event.occurred_at) > now - WITHIN,
        )
    )
    told = session.exec(query).all()
    return len(told) < MOST and now >= max(told, default=now - WITHIN) + ALREADY_AGAIN


def is_quiet(session: Session, subscriber_id: int, now: datetime) -> bool:
    """Whether somebody stopped what they had never said yes to, in the last ninety days, and has not taken it back."""
    stopped = (
        select(func.max(Event.occurred_at))
        .join(Enrollment, col(Enrollment.id) == col(Event.enrollment_id))
        .where(
            Enrollment.subscriber_id == subscriber_id,
            Enrollment.state == EnrollmentState.stopped,
            col(Enrollment.confirmed_at).is_(None),
            Event.kind == EventKind.unsubscribed,
        )
    )
    last = session.exec(stopped).one()
    return last is not None and now < last + QUIET


def _unanswered(session: Session, subscriber_id: int) -> dict[int, list[datetime]]:
    """When each run that never got its yes was asked for one: what `journey` makes of its sign-ups."""
    query = (
        select(Event.enrollment_id, Event.occurred_at)
        .join(Enrollment, col(Enrollment.id) == col(Event.enrollment_id))
        .where(
            Enrollment.subscriber_id == subscriber_id,
            col(Enrollment.confirmed_at).is_(None),
            Event.kind == EventKind.signed_up,
        )
        .order_by(col(Event.id))
    )
    asked: dict[int, list[datetime]] = {}
    for number, at in session.exec(query):
        times = asked.setdefault(number, [])
        if not times or at >= times[-1] + CONFIRM_AGAIN:
            times.append(at)
    return asked
