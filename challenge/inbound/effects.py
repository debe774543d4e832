"""What does one report change? Called by `challenge inbound receive` and by every webhook, with what authenticated it.

A report that nothing authenticates is written down and changes nothing: bounces are easy to forge (RFC 3464 4.1).
Reasons decide, not digits: a refusal of our policy, reputation or content says nothing against a mailbox.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select

from challenge.alerts import raise_alert
from challenge.bounced import complaint, hard_bounce, soft_bounce
from challenge.clock import real_now
from challenge.errors import BadInput
from challenge.events import address_hash, installation_key, lock_runs, suppress, without_addresses
from challenge.guards import BY_MAIL
from challenge.inbound.report import Hardness, Reason, Report, ReportKind
from challenge.models import Delivery, Enrollment, InboundReport, Subscriber
from challenge.signup import address

_OUR_SIDE = frozenset(
    {
        Reason.size,
        Reason.content,
        Reason.policy,
        Reason.reputation,
        Reason.authentication,
        Reason.rate_limited,
        Reason.greylisted,
        Reason.network,
        Reason.loop,
        Reason.vacation,
        Reason.challenge_response,
    }
)
KEPT = timedelta(days=180)
_REFUSED = frozenset({Reason.content, Reason.policy, Reason.reputation, Reason.authentication})
log = logging.getLogger(__name__)


class Effect(StrEnum):
    """What a report did."""

    suppressed = "suppressed"  # the address gets no more mail
    counted = "counted"  # a soft bounce; three days of them end an address
    noted = "noted"  # genuine, and changes nothing
    unproven = "unproven"  # nothing authenticates it: kept for a human to see
    known = "known"  # the same report was taken before


def take(
    session: Session,
    report: Report,
    now: datetime,
    *,
    delivery_id: int | None,
    enrollment_id: int | None,
    authenticated_by: str,
    source: str,
) -> str:
    """Records the report and does what follows; the word for what it did. Safe to call twice with the same report.
    Reports older than half a year go: what they did stays, as events and suppressions.

    `now` is challenge time. `authenticated_by` says what proved it (`verp`, `message-id`, `ses signature`); empty: nothing
    did. Our own numbers decide whose report it is; the reported recipient is asked only when neither number is known, for
    what an HMAC of ours proves is the number, not the address somebody wrote beside it."""
    person, delivery = _person(session, delivery_id, enrollment_id, report.recipient)
    has_numbers = delivery_id is not None or enrollment_id is not None
    email_key = person[1].email_key if person else "" if has_numbers else _key(report.recipient)
    row = InboundReport(
        digest="",
        enrollment_id=person[0].id if person else None,
        delivery_id=delivery.id if delivery else None,
        address_hash=address_hash(installation_key(session), email_key) if email_key else "",
        kind=report.kind,
        reason=report.reason,
        hardness=report.hardness,
        status=without_addresses(report.status)[:16],
        evidence=without_addresses(report.evidence)[:500],
        source=source[:32],
        authenticated_by=authenticated_by[:32],
        effect=Effect.noted,
        occurred_at=now,
        recorded_at=real_now(),
    )
    session.exec(delete(InboundReport).where(col(InboundReport.recorded_at) < row.recorded_at - KEPT))
    row.digest = _digest(row)
    if not _is_new(session, row):
        return Effect.known
    effect = Effect.unproven
    if authenticated_by:
        effect = _follow(session, report, person, delivery, email_key, now, by_mail=source == BY_MAIL)
    row.effect = effect
    session.add(row)
    if effect is Effect.unproven:
        words = "Reports came in that nothing proves genuine. They changed nothing; see the inbound reports."
        raise_alert(session, "unproven_reports", words)
    log.info(
        "A report was taken.",
        extra={"action": "report", "kind": row.kind, "effect": effect, "source": source, "delivery": row.delivery_id},
    )
    return effect


def _follow(
    session: Session,
    report: Report,
    person: tuple[Enrollment, Subscriber] | None,
    delivery: Delivery | None,
    email_key: str,
    now: datetime,
    *,
    by_mail: bool,
) -> Effect:
    why = without_addresses(f"{report.reason}: {report.evidence}" if report.evidence else report.reason)[:300]
    is_ours = report.reason in _OUR_SIDE
    match report.kind, report.hardness:
        case ReportKind.complaint, _:
            if person:
                complaint(session, person, delivery, why, now, by_mail=by_mail)
            elif email_key:
                suppress(session, email_key, "complaint", why, now)
            return Effect.suppressed if email_key else Effect.noted
        case ReportKind.bounce, Hardness.hard if not is_ours:
            if person:
                hard_bounce(session, person, delivery, why, now, by_mail=by_mail)
            elif email_key:
                suppress(session, email_key, "hard bounce", why, now)
            return Effect.suppressed if email_key else Effect.noted
        case ReportKind.bounce, Hardness.soft if person and not is_ours:
            return Effect.suppressed if soft_bounce(session, person, delivery, why, now) else Effect.counted
        case ReportKind.bounce, _ if report.reason in _REFUSED:
            raise_alert(
                session, "sender_refused", f"Receivers refuse us, not the people: {without_addresses(why)}"[:500]
            )
    return Effect.noted


def _person(
    session: Session, delivery_id: int | None, enrollment_id: int | None, recipient: str
) -> tuple[tuple[Enrollment, Subscriber] | None, Delivery | None]:
    """Whose report it is, locked; nothing when they were erased or never here."""
    delivery = session.get(Delivery, delivery_id) if delivery_id is not None else None
    number = delivery.enrollment_id if delivery else enrollment_id
    if number is None and delivery_id is None and (key := _key(recipient)):
        latest = (
            select(Enrollment.id)
            .join(Subscriber, col(Subscriber.id) == col(Enrollment.subscriber_id))
            .where(Subscriber.email_key == key)
            .order_by(col(Enrollment.id).desc())
        )
        number = session.exec(latest.limit(1)).first()
    if number is None or session.get(Enrollment, number) is None:
        return None, None
    return lock_runs(session, number), delivery


def _key(recipient: str) -> str:
    try:
        return address(recipient)[1]
    except BadInput:
        return ""


def _digest(row: InboundReport) -> str:
    """The same words about the same mail are the same report. Without a mail of ours to go by, its day tells it apart."""
    whom = f"delivery {row.delivery_id}" if row.delivery_id else f"{row.enrollment_id} {row.address_hash}"
    more = "" if row.delivery_id and row.authenticated_by else f"{row.occurred_at.date()} {row.evidence}"
    parts = (whom, row.kind, row.hardness, row.reason, bool(row.authenticated_by), more)
    return hashlib.blake2b("\n".join(map(str, parts)).encode("utf-8", "replace"), digest_size=24).hexdigest()


def _is_new(session: Session, row: InboundReport) -> bool:
    """Two processes may hold the same report: the unique digest decides which of them is first."""
    if session.exec(select(InboundReport.id).where(InboundReport.digest == row.digest)).first() is not None:
        return False
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        return False
    return True
