"""How much do we send, and how is it taken? The thresholds that Gmail, Yahoo and Microsoft publish."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import func, or_
from sqlmodel import Session, col, select

from challenge.doctor.finding import Finding, not_checked, ok, problem, warning
from challenge.models import Delivery, DeliveryState, Enrollment, Event, EventKind, Subscriber

GMAIL_BULK, GMAIL_WATCH = 5_000, 4_000
SPAM_WARNING, SPAM_PROBLEM = 0.001, 0.003
_FEW = 300
_OUT = (DeliveryState.sent, DeliveryState.uncertain)


def gmail_in_24_hours(session: Session, now: datetime) -> int:
    """Mails to personal Gmail in the last 24 hours of challenge time. We have one sender domain, so all count for it."""
    key = col(Subscriber.email_key)
    query = (
        select(func.count())
        .select_from(Delivery)
        .join(Enrollment, col(Enrollment.id) == col(Delivery.enrollment_id))
        .join(Subscriber, col(Subscriber.id) == col(Enrollment.subscriber_id))
        .where(
            col(Delivery.state).in_(_OUT),
            col(Delivery.closed_at) > now - timedelta(hours=24),
            col(Delivery.closed_at) <= now,
            or_(key.endswith("@gmail.com"), key.endswith("@googlemail.com")),
        )
    )
    return session.exec(query).one()


def volume(session: Session, now: datetime) -> Iterator[Finding]:
    """Gmail's 5,000 a day, and the share of mails that were called spam."""
    count = gmail_in_24_hours(session, now)
    words = f"{count:,} mails to Gmail in 24 hours; from about {GMAIL_BULK:,} on a domain is a bulk sender for ever."
    if count >= GMAIL_WATCH:
        yield warning("gmail volume", words, "See that every line of the requirements below is ok before you grow.")
    else:
        yield ok("gmail volume", words)
    yield _complaints(session, now)


def _complaints(session: Session, now: datetime) -> Finding:
    since = now - timedelta(days=7)
    sent = session.exec(
        select(func.count()).select_from(Delivery).where(col(Delivery.state).in_(_OUT), col(Delivery.closed_at) > since)
    ).one()
    complained = session.exec(
        select(func.count())
        .select_from(Event)
        .where(col(Event.kind) == EventKind.complained, col(Event.occurred_at) > since)
    ).one()
    if sent < _FEW:
        words = f"{complained} complaints about {sent} mails in 7 days: too few to judge."
        return not_checked(
            "spam rate", words, "Look at Google Postmaster Tools; Gmail reports complaints nowhere else."
        )
    share = complained / sent
    words = f"{complained} complaints about {sent:,} mails in 7 days: {share:.2%}."
    if share >= SPAM_PROBLEM:
        return problem(
            "spam rate", words, "Stop (`challenge stop-sending`), and find out which source brings these people."
        )
    if share >= SPAM_WARNING:
        return warning("spam rate", words, "Stay under 0.1 %: look at where these people signed up.")
    return ok("spam rate", words)
