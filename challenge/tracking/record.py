"""An open or a click came in: called by the pixel and the redirect. Records, and changes nothing else for the person."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, col, select

from challenge.errors import NotFound
from challenge.events import append
from challenge.journey import day_of
from challenge.models import Delivery, Enrollment, Event, EventKind, Subscriber
from challenge.rendering.links import Address
from challenge.tracking.classify import RULES, Evidence, Sighting, Who, classify, is_burst

_SEEN = (EventKind.opened, EventKind.clicked)


def find(session: Session, delivery_id: int) -> tuple[Delivery, Enrollment]:
    """The delivery a link belongs to. Raises NotFound when its person was erased."""
    row = session.get(Delivery, delivery_id)
    if row is None:
        raise NotFound("This link belongs to a mail that is no longer kept.")
    return row, session.get_one(Enrollment, row.enrollment_id)


def record(
    session: Session, delivery_id: int, kind: EventKind, link: str, evidence: Evidence, now: datetime
) -> Address:
    """Appends the event, unless the person switched tracking off; a burst makes its earlier events a machine's too."""
    row, enrollment = find(session, delivery_id)
    to = Address(enrollment.id or 0, row.id or 0, row.key)
    if not session.get_one(Subscriber, enrollment.subscriber_id).tracking:
        return to
    verdict = classify(evidence)
    event = append(
        session,
        enrollment,
        kind,
        now,
        day=day_of(row.key) or None,
        delivery=row,
        link=link,
        who=verdict.who,
        reasons=", ".join(verdict.reasons),
        rules=RULES,
        detail=evidence.to_dict(),
    )
    session.flush()
    _judge_burst(session, row, event, evidence.source)
    return to


def _judge_burst(session: Session, row: Delivery, event: Event, source: str) -> None:
    if not source or event.kind is not EventKind.clicked:
        return
    others = session.exec(select(Event).where(Event.delivery_id == row.id, col(Event.kind).in_(_SEEN))).all()
    seen = [Sighting(other.link or "open", other.detail.get("source", ""), other.recorded_at) for other in others]
    if not is_burst(seen, event.recorded_at, source):
        return
    for other, sighting in zip(others, seen, strict=True):
        if sighting.source == source and is_burst(seen, sighting.at, source):
            other.who, other.reasons = Who.machine, "several links of one mail within seconds"
            session.add(other)
