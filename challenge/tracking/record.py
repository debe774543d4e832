"""A click or a press came in: called by the redirect and the pages. Records, judges, and changes nothing else for the
person. Opens, which are many, are written by `opens`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, cast

from sqlmodel import Session, col, select

from challenge.db import Database
from challenge.errors import NotFound
from challenge.events import append
from challenge.journey import day_of
from challenge.models import Delivery, DeliveryState, Enrollment, Event, EventKind, Subscriber
from challenge.rendering.links import Address
from challenge.tracking.classify import BURST, DONE, OPEN, RULES, Context, Evidence, Sighting, Who, classify

_JUDGED = (EventKind.opened, EventKind.clicked, EventKind.completed)
_BATCH = 500


def find(session: Session, delivery_id: int) -> tuple[Delivery, Enrollment]:
    """The delivery a link belongs to. Raises NotFound when its person was erased."""
    row = session.get(Delivery, delivery_id)
    if row is None:
        raise NotFound("This link belongs to a mail that is no longer kept.")
    return row, session.get_one(Enrollment, row.enrollment_id)


def record_click(
    session: Session,
    delivery_id: int,
    link: str,
    evidence: Evidence,
    now: datetime,
    seen_at: datetime | None = None,
) -> Address:
    """Appends a click, unless the person switched tracking off, and judges it with what came in around it.
    `seen_at`: real time of the request, when it is written down later."""
    row, enrollment = find(session, delivery_id)
    to = Address(enrollment.id or 0, row.id or 0, row.key)
    if not session.get_one(Subscriber, enrollment.subscriber_id).tracking:
        return to
    event = append(
        session,
        enrollment,
        EventKind.clicked,
        now,
        day=day_of(row.key) or None,
        delivery=row,
        link=link,
        who=Who.unsure,
        rules=RULES,
        detail=evidence.to_dict(),
    )
    event.recorded_at = seen_at or event.recorded_at
    session.flush()
    _judge_around(session, row, event.recorded_at)
    return to


def record_press(session: Session, enrollment_id: int, day: int, evidence: Evidence) -> None:
    """Keeps how "I did it" was pressed, after the completion was written in the same transaction: what a scanner may
    have pressed is shown to the person as done, and counted once a person is seen."""
    event = session.exec(
        select(Event)
        .where(Event.enrollment_id == enrollment_id, Event.kind == EventKind.completed, Event.day == day)
        .order_by(col(Event.id).desc())
        .limit(1)
    ).one()
    row = session.exec(
        select(Delivery).where(Delivery.enrollment_id == enrollment_id, Delivery.key == f"day-{day}")
    ).first()
    event.detail, event.delivery_id = evidence.to_dict(), row.id if row else None
    session.add(event)
    session.flush()
    if row is not None:
        _judge_around(session, row, event.recorded_at)
    else:
        _judge([event], None)


def reclassify(database: Database) -> int:
    """Judges every kept request again by the rules of this program; returns how many verdicts changed."""
    changed, last = 0, 0
    while True:
        with database.write() as session:
            ids = session.exec(
                select(Event.delivery_id)
                .where(col(Event.delivery_id) > last, col(Event.kind).in_(_JUDGED))
                .distinct()
                .order_by(col(Event.delivery_id))
                .limit(_BATCH)
            ).all()
            if not ids:
                return changed
            changed += _judge_deliveries(session, [id for id in ids if id is not None])
            last = ids[-1] or last


def _judge_deliveries(session: Session, ids: list[int]) -> int:
    rows = {row.id: row for row in session.exec(select(Delivery).where(col(Delivery.id).in_(ids)))}
    events: dict[int, list[Event]] = defaultdict(list)
    for event in session.exec(select(Event).where(col(Event.delivery_id).in_(ids), col(Event.kind).in_(_JUDGED))):
        if event.detail.get("method"):
            events[event.delivery_id or 0].append(event)
    return sum(_judge(found, rows.get(id)) for id, found in events.items())


def sighting_of(event: Any) -> Sighting:
    """What the rules see of a kept event, or of a row with its columns."""
    link = {EventKind.opened: OPEN, EventKind.completed: DONE}.get(event.kind, event.link)
    return Sighting(link, event.recorded_at, Evidence.from_dict(event.detail))


def after_delivery(at: datetime, mail: Any) -> timedelta | None:
    """How long after its mail was delivered something came in at challenge time `at`. None: not known."""
    if mail is None or mail.state is not DeliveryState.sent or mail.closed_at is None:
        return None
    return at - cast(datetime, mail.closed_at)


def _judge_around(session: Session, row: Delivery, at: datetime) -> None:
    """Judges what came in near `at` for one mail: late evidence changes earlier verdicts, in this transaction."""
    near = col(Event.recorded_at).between(at - 2 * BURST, at + 2 * BURST)
    query = select(Event).where(Event.delivery_id == row.id, col(Event.kind).in_(_JUDGED), near)
    _judge([event for event in session.exec(query) if event.detail.get("method")], row, at)


def _judge(events: Sequence[Event], row: Delivery | None, at: datetime | None = None) -> int:
    """Verdicts for all events of one mail, or for those a request at `at` can have changed; returns how many changed."""
    sightings = [sighting_of(event) for event in events]
    changed = 0
    for event, sighting in zip(events, sightings, strict=True):
        if at is not None and abs(sighting.at - at) > BURST:
            continue
        verdict = classify(sighting, Context(after_delivery(event.occurred_at, row), tuple(sightings)))
        reasons = ", ".join(verdict.reasons)
        changed += event.who != verdict.who
        if (event.who, event.reasons, event.rules) != (verdict.who, reasons, verdict.rules):
            event.who, event.reasons, event.rules = verdict.who, reasons, verdict.rules
    return changed
