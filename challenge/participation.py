"""What does the person do? Done, undo, rest, pause, change, stop, erase: called by the pages, one function per button.

Every function holds the enrollment's lock and can be called twice: the second call finds nothing left to do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, delete, select, update

from challenge.errors import BadInput
from challenge.events import address_hash, append, done_days, installation_key, lock, rhythm_of
from challenge.journey import Plan, day_of
from challenge.models import (
    Consent,
    Conversion,
    ConversionLink,
    Delivery,
    DeliveryState,
    Enrollment,
    EnrollmentState,
    Event,
    EventKind,
    InboundReport,
    Subscriber,
    Suppression,
)
from challenge.plan import cancel_open, current_plan
from challenge.programme.definition import Challenge

_STATUS = re.compile(r"(?<![\w.])[245](?:\.\d{1,3}\.\d{1,3}|\d\d)(?![\w.]*\d)")  # 550, 5.1.1


@dataclass(frozen=True)
class Wishes:
    """What the preferences page may change; None = leave as it is."""

    hour: int | None = None
    timezone: str | None = None
    position: str | None = None
    pace: str | None = None
    goal: str | None = None
    first_name: str | None = None
    tracking: bool | None = None
    locale: str | None = None


def complete(
    session: Session, enrollment_id: int, day: int, now: datetime, *, who: str = "person", reasons: str = ""
) -> bool:
    """The day is done. False when it already was, or when the challenge was never confirmed."""
    enrollment, _ = lock(session, enrollment_id)
    if enrollment.state is EnrollmentState.pending or day in done_days(session, enrollment_id):
        return False
    append(session, enrollment, EventKind.completed, now, day=day, who=who, reasons=reasons)
    return True


def undo(session: Session, enrollment_id: int, day: int, days: int, now: datetime, *, of: str = "") -> str:
    """Takes back what was said last about the day: `completed`, `rested` or nothing (an empty word).

    `of` names the one that the button was about: a second press must not take back the other as well.
    """
    enrollment, _ = lock(session, enrollment_id)
    if of != "rested" and day in done_days(session, enrollment_id):
        append(session, enrollment, EventKind.undone, now, day=day, detail={"of": "completed"})
        return "completed"
    if of != "completed" and rests_tomorrow(session, enrollment, days, now):
        append(session, enrollment, EventKind.undone, now, day=day, detail={"of": "rested"})
        return "rested"
    return ""


def rest(session: Session, enrollment_id: int, day: int, days: int, now: datetime) -> bool:
    """Not today: the next morning is a rest day and all behind it moves on by one. False when there is nothing to move."""
    enrollment, _ = lock(session, enrollment_id)
    if not can_rest(current_plan(session, enrollment, days, now)):
        return False
    append(session, enrollment, EventKind.rested, now, day=day)
    return True


def can_rest(known: Plan) -> bool:
    """Whether there is something to move: not before the days began, in a pause, at their end, or before a rest day."""
    started = any(owed.mail == "day" for owed in known.owed)
    return started and bool(known.upcoming) and known.upcoming[0].mail in ("day", "finish", "nudge")


def rests_tomorrow(session: Session, enrollment: Enrollment, days: int, now: datetime) -> bool:
    """Whether the next morning is a rest day."""
    upcoming = current_plan(session, enrollment, days, now).upcoming
    return bool(upcoming) and upcoming[0].mail == "rest"


def pause(session: Session, enrollment_id: int, now: datetime, *, who: str = "person") -> bool:
    """No mails until resumed. A daily mail that was due but had not left comes first after the pause."""
    enrollment, _ = lock(session, enrollment_id)
    if enrollment.state is not EnrollmentState.active:
        return False
    for delivery in cancel_open(session, enrollment_id, now, reason="paused"):
        if delivery.is_daily and delivery.planned_at <= now and delivery.mail != "welcome":
            append(session, enrollment, EventKind.missed, now, detail={"key": delivery.key, "why": "paused"})
    enrollment.state = EnrollmentState.paused
    append(session, enrollment, EventKind.paused, now, who=who)
    return True


def resume(session: Session, enrollment_id: int, now: datetime, *, who: str = "person") -> bool:
    """The next mail comes the next morning."""
    enrollment, _ = lock(session, enrollment_id)
    if enrollment.state is not EnrollmentState.paused:
        return False
    enrollment.state = EnrollmentState.active
    append(session, enrollment, EventKind.resumed, now, who=who)
    return True


def change(session: Session, enrollment_id: int, wishes: Wishes, now: datetime) -> bool:
    """Hour, zone, position, pace, goal, name, tracking. False when all of it already was so."""
    enrollment, subscriber = lock(session, enrollment_id)
    before = _preferences(enrollment, subscriber)
    for name, value in vars(wishes).items():
        if value is not None:
            setattr(enrollment if name in {"position", "pace", "goal"} else subscriber, name, value)
    after = _preferences(enrollment, subscriber)
    if before == after:
        return False
    session.add_all([enrollment, subscriber])
    for other in session.exec(select(Enrollment).where(Enrollment.subscriber_id == subscriber.id)).all():
        append(session, other, EventKind.changed, now, detail=rhythm_of(other, subscriber))
    return True


def unsubscribe(
    session: Session,
    enrollment_id: int,
    now: datetime,
    *,
    how: str,
    everything: bool = True,
    delivery: Delivery | None = None,
) -> bool:
    """Stops this challenge, or everything for this address, and cancels what was already queued. `delivery`: the mail
    whose link was used."""
    changed = False
    owner = select(Enrollment.subscriber_id).where(Enrollment.id == enrollment_id).scalar_subquery()
    mine = select(Enrollment.id).where(Enrollment.subscriber_id == owner).order_by(col(Enrollment.id))
    runs = session.exec(mine).all() if everything else []
    for other in runs or [enrollment_id]:  # locked in one order, whichever run's link was used
        enrollment, _ = lock(session, other or 0)
        if enrollment.state is EnrollmentState.stopped:
            continue
        enrollment.state = EnrollmentState.stopped
        cancel_open(session, enrollment.id or 0, now, reason="unsubscribed")
        by = delivery if delivery is not None and delivery.enrollment_id == enrollment.id else None
        append(session, enrollment, EventKind.unsubscribed, now, delivery=by, detail={"how": how})
        changed = True
    return changed


def agree_to_programme(session: Session, enrollment_id: int, challenge: Challenge, now: datetime) -> bool:
    """Asked at the finish: may the therapist write about the paid programme? Kept as a consent of its own."""
    enrollment, _ = lock(session, enrollment_id)
    known = select(Consent.id).where(Consent.enrollment_id == enrollment_id, Consent.kind == "programme")
    if enrollment.state is EnrollmentState.pending or session.exec(known).first() is not None:
        return False
    words = challenge.consent
    session.add(
        Consent(
            enrollment_id=enrollment_id,
            kind="programme",
            version=words.version,
            wording=words.programme,
            given_at=now,
            source="finish page",
        )
    )
    append(session, enrollment, EventKind.programme_consent, now)
    return True


def has_joined(session: Session, subscriber: Subscriber) -> bool:
    """Whether this person is known to have joined the paid programme, in whichever run of the challenge."""
    runs = select(Enrollment.id).where(Enrollment.subscriber_id == subscriber.id)
    return (
        session.exec(select(Conversion.id).where(col(Conversion.enrollment_id).in_(runs)).limit(1)).first() is not None
    )


def erase(session: Session, subscriber_id: int) -> None:
    """Everything about the person goes; an address that must not be mailed stays known as a hash, with its reason. Of what
    a server said about it, which may name them, the status stays."""
    mine = select(Enrollment.id).where(Enrollment.subscriber_id == subscriber_id)
    words = {"address_hash": "", "evidence": ""}
    session.exec(update(InboundReport).where(col(InboundReport.enrollment_id).in_(mine)).values(words))
    subscriber = session.get(Subscriber, subscriber_id)
    if subscriber is not None and (kept := _suppression(session, subscriber)):
        kept.evidence = " ".join(dict.fromkeys(_STATUS.findall(kept.evidence)))
        session.add(kept)
    session.exec(delete(Subscriber).where(col(Subscriber.id) == subscriber_id))


def my_data(session: Session, subscriber_id: int) -> dict[str, Any]:
    """All that is kept about a person, as they would want to read it."""
    subscriber = session.get_one(Subscriber, subscriber_id)
    enrollments = session.exec(select(Enrollment).where(Enrollment.subscriber_id == subscriber_id)).all()
    stopped = _suppression(session, subscriber)
    return {
        "person": subscriber.model_dump(mode="json", exclude={"id", "email_key"}),
        "challenges": [
            {
                "enrollment": row.model_dump(mode="json", exclude={"id", "subscriber_id", "plan_at"}),
                "consents": _dump(session, Consent, row, {"id", "enrollment_id"}),
                "mails": _dump(session, Delivery, row, {"id", "enrollment_id", "claimed_by", "context"}),
                "events": _dump(session, Event, row, {"id", "enrollment_id"}),
                "joined": _dump(session, Conversion, row, {"id", "enrollment_id", "digest"}),
                "reports": _dump(session, InboundReport, row, {"id", "enrollment_id", "digest", "address_hash"}),
                "join_links": _dump(session, ConversionLink, row, {"id", "enrollment_id", "made_by"}),
            }
            for row in enrollments
        ],
        "address_not_mailed": stopped.model_dump(mode="json", exclude={"id", "address_hash"}) if stopped else None,
    }


def _suppression(session: Session, subscriber: Subscriber) -> Suppression | None:
    """That their address must not be mailed, and why."""
    wanted = address_hash(installation_key(session), subscriber.email_key)
    return session.exec(select(Suppression).where(Suppression.address_hash == wanted)).first()


def require_day(challenge: Challenge, day: int) -> int:
    """The day, when the challenge has it. Raises BadInput."""
    if not 1 <= day <= challenge.length:
        raise BadInput("day", "This challenge has %(days)s days.", days=challenge.length)
    return day


def opened_days(session: Session, enrollment_id: int) -> list[int]:
    """The days whose mail is out, so that the person can do them (also late)."""
    query = select(Delivery.key).where(
        Delivery.enrollment_id == enrollment_id,
        Delivery.mail == "day",
        col(Delivery.state).in_((DeliveryState.sent, DeliveryState.handed_over, DeliveryState.uncertain)),
    )
    return sorted({day_of(key) for key in session.exec(query)})


def _preferences(enrollment: Enrollment, subscriber: Subscriber) -> tuple[object, ...]:
    return (
        rhythm_of(enrollment, subscriber),
        enrollment.position,
        enrollment.goal,
        subscriber.first_name,
        subscriber.tracking,
        subscriber.locale,
    )


def _dump(session: Session, table: Any, enrollment: Enrollment, hidden: set[str]) -> list[dict[str, Any]]:
    rows = session.exec(select(table).where(table.enrollment_id == enrollment.id).order_by(table.id)).all()
    return [row.model_dump(mode="json", exclude=hidden) for row in rows]
