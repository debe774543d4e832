"""What happened? The one place that appends an event; called by every step that changes what holds for a person.

Whoever calls holds the enrollment's row lock (`lock`), so that two devices, two workers or a double tap cannot both be
first.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, select

from challenge.clock import real_now
from challenge.errors import NotFound
from challenge.models import Delivery, Enrollment, Event, EventKind, Installation, Subscriber, Suppression

_PLANNING = {
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
    EventKind.expired,
    EventKind.unsubscribed,
    EventKind.suppressed,
    EventKind.complained,
    EventKind.resent,
    EventKind.joined,
}
_PART = r"[^\s<>()\[\]:;,\"'@\uff20]{1,320}"
_AT = r"(?:[@\uff20]|[%=]40|&#0{0,5}64;|&#x0{0,5}40;|\s?[\[({]\s?at\s?[\])}]\s?|_at_)"
_ADDRESS = re.compile(
    rf"(?:\"(?:[^\"\\\n]|\\.){{1,320}}\"|{_PART}){_AT}{_PART}"  # also quoted (RFC 5321 4.1.2), encoded or spelt
    rf"|{_PART}\sat\s{_PART}(?:\sdot\s{_PART}){{1,5}}",
    re.IGNORECASE,
)


def lock(session: Session, enrollment_id: int) -> tuple[Enrollment, Subscriber]:
    """The enrollment and its subscriber, locked until the transaction ends. Raises NotFound when erased."""
    enrollment = session.get(Enrollment, enrollment_id, with_for_update=True, populate_existing=True)
    if enrollment is None:
        raise NotFound("This link belongs to somebody whose data was erased.")
    return enrollment, session.get_one(Subscriber, enrollment.subscriber_id)


def lock_runs(session: Session, enrollment_id: int) -> tuple[Enrollment, Subscriber]:
    """As `lock`, with every run of its person: for what may end them all. In the one order in which an unsubscribe locks
    them, or the two would wait for each other. Raises NotFound when erased."""
    owner = select(Enrollment.subscriber_id).where(Enrollment.id == enrollment_id).scalar_subquery()
    mine = select(Enrollment.id).where(Enrollment.subscriber_id == owner).order_by(col(Enrollment.id))
    for number in session.exec(mine).all():
        lock(session, number or 0)
    return lock(session, enrollment_id)


def append(
    session: Session,
    enrollment: Enrollment,
    kind: EventKind,
    at: datetime,
    *,
    day: int | None = None,
    delivery: Delivery | None = None,
    link: str = "",
    who: str = "person",
    reasons: str = "",
    rules: str = "",
    detail: dict[str, Any] | None = None,
) -> Event:
    """Appends one event at challenge time `at`, and wakes the planner when it concerns the plan."""
    event = Event(
        enrollment_id=enrollment.id or 0,
        delivery_id=delivery.id if delivery else None,
        kind=kind,
        day=day,
        link=link,
        occurred_at=at,
        recorded_at=real_now(),
        who=who,
        reasons=reasons,
        rules=rules,
        detail=detail or {},
    )
    session.add(event)
    if kind in _PLANNING:
        enrollment.plan_at = at
        session.add(enrollment)
    return event


def rhythm_of(enrollment: Enrollment, subscriber: Subscriber) -> dict[str, Any]:
    """What a `signed_up`, `confirmed` or `changed` event keeps, so that the past stays what it was."""
    return {"timezone": subscriber.timezone, "hour": subscriber.hour, "pace": enrollment.pace}


def done_days(session: Session, enrollment_id: int) -> set[int]:
    """The days that hold as done: completed, and not undone since."""
    return set(done_times(session, enrollment_id))


def done_times(session: Session, enrollment_id: int) -> dict[int, datetime]:
    """The days that hold as done, with when they were."""
    kinds = (EventKind.completed, EventKind.undone)
    query = (
        select(Event.kind, Event.day, Event.occurred_at, Event.detail)
        .where(Event.enrollment_id == enrollment_id, col(Event.kind).in_(kinds))
        .order_by(col(Event.id))
    )
    done: dict[int, datetime] = {}
    for kind, day, at, detail in session.exec(query):
        if kind is EventKind.completed:
            done.setdefault(day or 0, at)
        elif detail.get("of", "completed") == "completed":
            done.pop(day or 0, None)
    return done


def installation_key(session: Session) -> bytes:
    """Made once, never rotated: under it an address stays recognisable as suppressed after it was erased."""
    row = session.get(Installation, "installation_key")
    if row is None:
        row = Installation(name="installation_key", value=secrets.token_hex(32))
        session.add(row)
        session.flush()
    return bytes.fromhex(row.value)


def address_hash(key: bytes, email_key: str) -> str:
    return hashlib.blake2b(email_key.encode(), key=key, digest_size=24, person=b"suppression").hexdigest()


def without_addresses(text: str) -> str:
    """The words of a relay or a report as they may be kept: every address and every control character taken out."""
    readable = "".join(c if c.isprintable() else " " for c in text)
    return _ADDRESS.sub("(address)", readable)


def is_suppressed(session: Session, email_key: str) -> bool:
    wanted = address_hash(installation_key(session), email_key)
    return session.exec(select(Suppression.id).where(Suppression.address_hash == wanted)).first() is not None


def suppress(session: Session, email_key: str, reason: str, evidence: str, at: datetime) -> None:
    """From now on nobody mails this address; the first reason is kept. The row outlives the person, so it names none."""
    wanted = address_hash(installation_key(session), email_key)
    evidence = without_addresses(evidence)
    if session.exec(select(Suppression.id).where(Suppression.address_hash == wanted)).first() is None:
        session.add(Suppression(address_hash=wanted, reason=reason[:64], evidence=evidence[:500], created_at=at))
