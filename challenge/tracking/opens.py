"""Which mails' pictures were loaded? Each open is in the database before it is answered, and those that come in together
share one commit: the first to get the pen writes down what waits for all."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col

from challenge.db import Database
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
    .where(col(Subscriber.tracking), col(Delivery.id).in_(bindparam("ids", expanding=True)))
)
_OTHERS = select(*map(col, (Event.delivery_id, Event.kind, Event.link, Event.recorded_at, Event.detail))).where(
    col(Event.enrollment_id).in_(bindparam("people", expanding=True)),
    col(Event.kind).in_((EventKind.clicked, EventKind.completed)),
    col(Event.recorded_at).between(bindparam("since"), bindparam("until")),
)
_NEW = insert(Event)


@dataclass(frozen=True)
class Open:
    """One request for the picture of a mail: at challenge time `at`, at real time `seen_at`."""

    delivery_id: int
    evidence: Evidence
    at: datetime
    seen_at: datetime


class _Waiting:
    """An open whose thread waits for the commit; `error` says why it was not written."""

    def __init__(self, one: Open) -> None:
        self.open, self.is_over = one, False
        self.error: SQLAlchemyError | None = None


class Opens:
    """One for all threads of a process."""

    def __init__(self, database: Database) -> None:
        self._database, self._pen = database, threading.Lock()
        self._waiting: deque[_Waiting] = deque()

    def write(self, one: Open) -> None:
        """Returns when the open is durable, or is not to be kept: its person was erased, or does not want it. Raises
        SQLAlchemyError when it could not be written."""
        mine = _Waiting(one)
        self._waiting.append(mine)
        with self._pen:
            if not mine.is_over:
                self._write_all()
        if mine.error is not None:
            raise mine.error

    def _write_all(self) -> None:
        group = [self._waiting.popleft() for _ in range(len(self._waiting))]
        try:
            self._commit([one.open for one in group])
        except SQLAlchemyError:  # one that cannot be written must not take the others with it
            for one in group:
                try:
                    self._commit([one.open])
                except SQLAlchemyError as error:
                    one.error = error
        finally:
            for one in group:
                one.is_over = True

    def _commit(self, group: Sequence[Open]) -> None:
        with self._database.write() as session:
            _append(session.connection(), group)


def _append(connection: Connection, group: Sequence[Open]) -> None:
    ids = {one.delivery_id for one in group}
    mails = {row.id: row for row in connection.execute(_MAILS, {"ids": list(ids)})}
    kept = [one for one in group if one.delivery_id in mails]
    if not kept:
        return
    others = _others(connection, kept, {row.enrollment_id for row in mails.values()})
    connection.execute(_NEW, [_row(one, mails[one.delivery_id], others[one.delivery_id]) for one in kept])


def _others(connection: Connection, group: Sequence[Open], people: set[int]) -> dict[int, list[Sighting]]:
    """What else came in about these mails around the time of the group."""
    first, last = min(one.seen_at for one in group), max(one.seen_at for one in group)
    near = {"people": list(people), "since": first - 2 * BURST, "until": last + 2 * BURST}
    found: dict[int, list[Sighting]] = defaultdict(list)
    for row in connection.execute(_OTHERS, near):
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
