"""Which mails' pictures were loaded? What is kept of an open: as a line while it waits (`spool`), and as an event."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from sqlmodel import Session, col

from challenge.db import among
from challenge.journey import day_of
from challenge.models import Delivery, Enrollment, Event, EventKind, Subscriber
from challenge.tracking.classify import BURST, OPEN, RULES, Context, Evidence, Sighting, classify
from challenge.tracking.record import after_delivery, sighting_of

# Only presses and clicks can change what an open is taken for, so a picture that is loaded a thousand times costs no
# more each time. They are found by person: the index on deliveries would go through all the opens.
_MAILS = (
    select(*map(col, (Delivery.id, Delivery.enrollment_id, Delivery.key, Delivery.state, Delivery.closed_at)))
    .join(Enrollment, col(Enrollment.id) == Delivery.enrollment_id)
    .join(Subscriber, col(Subscriber.id) == Enrollment.subscriber_id)
    .where(col(Subscriber.tracking))
)
_OTHERS = select(*map(col, (Event.delivery_id, Event.kind, Event.link, Event.recorded_at, Event.detail))).where(
    col(Event.kind).in_((EventKind.clicked, EventKind.completed))
)
_NEW = insert(Event)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Open:
    """One request for the picture of a mail: at challenge time `at`, at real time `seen_at`."""

    delivery_id: int
    evidence: Evidence
    at: datetime
    seen_at: datetime

    def to_line(self) -> bytes:
        """One line of JSON. It holds what the event will, so never the visitor's address."""
        kept = (self.delivery_id, self.at.isoformat(), self.seen_at.isoformat(), self.evidence.to_dict())
        return json.dumps(kept).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Open:
        """Raises ValueError when it is none."""
        try:
            delivery_id, at, seen_at, kept = json.loads(line)
            return cls(
                int(delivery_id), Evidence.from_dict(kept), datetime.fromisoformat(at), datetime.fromisoformat(seen_at)
            )
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not an open: {error}") from None


def write_opens(session: Session, group: Sequence[Open]) -> list[Open]:
    """Appends the events, but for those whose person was erased or does not want them. Returns those that cannot be
    written, be it the program's fault; they take no other with them. Raises DBAPIError while the database is away."""
    try:
        with session.begin_nested():
            _append(session, group)
    except Exception as error:  # whatever is wrong with one open, the others are counted
        if isinstance(error, DBAPIError) and not isinstance(error, (IntegrityError, DataError)):
            raise
        if len(group) == 1:
            log.exception("An open cannot be written; it is kept in a file.", extra={"action": "event_set_aside"})
            return list(group)
        return [refused for one in group for refused in write_opens(session, [one])]
    return []


def _append(session: Session, group: Sequence[Open]) -> None:
    ids = {one.delivery_id for one in group}
    mails = {row.id: row for row in session.execute(_MAILS.where(among(session, col(Delivery.id), list(ids))))}
    kept = [one for one in group if one.delivery_id in mails]
    if not kept:
        return
    # In the order in which everybody locks people, or two transactions could wait for each other.
    kept.sort(key=lambda one: mails[one.delivery_id].enrollment_id)
    others = _others(session, kept, {row.enrollment_id for row in mails.values()})
    session.connection().execute(_NEW, [_row(one, mails[one.delivery_id], others[one.delivery_id]) for one in kept])


def _others(session: Session, group: Sequence[Open], people: set[int]) -> dict[int, list[Sighting]]:
    """What else came in about these mails around the time of the group."""
    since, until = min(one.seen_at for one in group) - 2 * BURST, max(one.seen_at for one in group) + 2 * BURST
    near = _OTHERS.where(
        among(session, col(Event.enrollment_id), list(people)), col(Event.recorded_at).between(since, until)
    )
    found: dict[int, list[Sighting]] = defaultdict(list)
    for row in session.execute(near):
        if row.detail.get("method"):
            found[row.delivery_id].append(sighting_of(row))
    return found


def _row(one: Open, mail: Any, others: list[Sighting]) -> dict[str, Any]:
    after = after_delivery(one.at, mail)
    verdict = classify(Sighting(OPEN, one.seen_at, one.evidence), Context(after, tuple(others)))
    return {
        "enrollment_id": mail.enrollment_id,
        "delivery_id": mail.id,
        "kind": EventKind.opened,
        "day": day_of(mail.key) or None,
        "link": "",
        "occurred_at": one.at,
        "recorded_at": one.seen_at,
        "who": verdict.who,
        "reasons": ", ".join(verdict.reasons),
        "rules": RULES,
        "detail": one.evidence.to_dict(),
    }
