"""What follows when an address does not take mail, or its owner calls it spam? One path, whichever way we heard of it.

The ledger calls it with what a relay said in the dialogue, `inbound.effects` with what came back later. Whoever calls
holds the enrollment's lock, and each function can be called twice: the second call finds nothing left to do.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from challenge.events import append, is_suppressed, lock, suppress
from challenge.guards import domain_of, tally
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Event, EventKind, Subscriber
from challenge.plan import cancel_open

SOFT_DAYS = 3
SOFT_WINDOW = timedelta(days=14)


_HARD = {"hardness": "hard"}
_SOFT = {"hardness": "soft"}


def hard_bounce(
    session: Session,
    person: tuple[Enrollment, Subscriber],
    delivery: Delivery | None,
    why: str,
    now: datetime,
    *,
    by_mail: bool = False,
) -> bool:
    """The mailbox does not exist: nobody mails it again. False when that was known. What came `by_mail` the guards count
    from the reports themselves, and only when there are many."""
    enrollment, subscriber = person
    if is_suppressed(session, subscriber.email_key):
        return False
    append(
        session, enrollment, EventKind.bounced, now, delivery=delivery, who="machine", reasons=why[:300], detail=_HARD
    )
    if not by_mail:
        tally(session, {(domain_of(subscriber.email_key), "bounced"): 1}, now)
    give_up(session, subscriber, "hard bounce", why, now)
    return True


def soft_bounce(
    session: Session, person: tuple[Enrollment, Subscriber], delivery: Delivery | None, why: str, now: datetime
) -> bool:
    """Not taken this time (a full mailbox, say). On three different days within two weeks it ends the address: True then.

    A mail counts once, however often it was tried; days are those of UTC."""
    enrollment, subscriber = person
    bounces = _soft_bounces(session, subscriber, now)
    if delivery is not None and any(number == delivery.id for number, _ in bounces):
        return False
    append(
        session, enrollment, EventKind.bounced, now, delivery=delivery, who="machine", reasons=why[:300], detail=_SOFT
    )
    days = {at.date() for _, at in bounces} | {now.date()}
    if len(days) < SOFT_DAYS or is_suppressed(session, subscriber.email_key):
        return False
    give_up(session, subscriber, f"soft bounces on {len(days)} days", why, now)
    return True


def complaint(
    session: Session,
    person: tuple[Enrollment, Subscriber],
    delivery: Delivery | None,
    why: str,
    now: datetime,
    *,
    by_mail: bool = False,
) -> bool:
    """Somebody called it spam: everything stops for the address. False when they had said so before. `by_mail`: as above."""
    enrollment, subscriber = person
    said = select(Event.id).where(Event.enrollment_id == enrollment.id, Event.kind == EventKind.complained)
    if session.exec(said.limit(1)).first() is not None and is_suppressed(session, subscriber.email_key):
        return False
    append(session, enrollment, EventKind.complained, now, delivery=delivery, reasons=why[:300])
    if not by_mail:
        tally(session, {(domain_of(subscriber.email_key), "complained"): 1}, now)
    give_up(session, subscriber, "complaint", why, now)
    return True


def give_up(
    session: Session, subscriber: Subscriber, reason: str, evidence: str, now: datetime, *, who: str = "machine"
) -> None:
    """Suppresses the address and ends every run of its owner; a claimed mail is taken out of its worker's hands."""
    suppress(session, subscriber.email_key, reason, evidence, now)
    mine = select(Enrollment.id).where(Enrollment.subscriber_id == subscriber.id).order_by(col(Enrollment.id))
    for number in session.exec(mine).all():
        enrollment, _ = lock(session, number or 0)
        cancel_open(session, number or 0, now, reason=reason, state=DeliveryState.suppressed)
        if enrollment.state is not EnrollmentState.stopped:
            enrollment.state = EnrollmentState.stopped
            append(session, enrollment, EventKind.suppressed, now, who=who, reasons=reason)


def _soft_bounces(session: Session, subscriber: Subscriber, now: datetime) -> list[tuple[int | None, datetime]]:
    query = (
        select(Event.delivery_id, Event.occurred_at, Event.detail)
        .join(Enrollment, col(Enrollment.id) == col(Event.enrollment_id))
        .where(
            Enrollment.subscriber_id == subscriber.id,
            Event.kind == EventKind.bounced,
            col(Event.occurred_at) > now - SOFT_WINDOW,
        )
    )
    return [(number, at) for number, at, detail in session.exec(query) if detail.get("hardness") == "soft"]
