"""What was written down, and when? The state changes of claimed rows; many lines share one commit.

`handed_over` is durable before a final dot is written, and the reply to the dot before it in the same commit or an
earlier one: whatever dies, at most one mail per line is uncertain.

A commit runs in the sender's own thread. The replies that come in meanwhile make up the next one, and no thread waits
for another's turn with the interpreter.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, select

from challenge.bounced import hard_bounce, soft_bounce
from challenge.db import Database
from challenge.delivery.relay import said
from challenge.delivery.retry import Decision, decide
from challenge.delivery.smtp import Kind, Outcome
from challenge.dispatch import close_uncertain, later, raise_alert, stop_sending
from challenge.events import lock
from challenge.guards import tally
from challenge.models import Delivery, DeliveryState, UtcDateTime
from challenge.settings import Settings

GATHER_SECONDS = 0.002  # while another line waits for its relay; when none does, nobody could join: commit at once
_SETTLE_PAUSES = (0.0, 0.2, 1.0, 2.0, 4.0, 8.0, 15.0)
log = logging.getLogger(__name__)

# Rows go in as one JSON array: one statement a commit, and half the CPU of a statement a row.
_TOLD = {
    True: """(SELECT value ->> '$.id' AS id, value ->> '$.receipt' AS receipt, value -> '$.context' AS context,
        value ->> '$.composed_at' AS composed_at FROM json_each(:rows)) AS told""",
    False: """json_to_recordset(CAST(:rows AS json))
        AS told(id bigint, receipt text, context json, composed_at timestamptz)""",
}
_PLAN_NEXT = """
    UPDATE enrollment SET plan_at = :now WHERE id IN (
        SELECT delivery.enrollment_id FROM delivery JOIN {told} ON delivery.id = told.id WHERE delivery.is_daily)"""
_CLOSE_SENT = """
    UPDATE delivery SET state = 'sent', receipt = told.receipt, closed_at = :now, claimed_by = '', reason = ''
    FROM {told} WHERE delivery.id = told.id"""
_HAND_OVER = """
    UPDATE delivery SET state = 'handed_over', attempts = attempts + 1, handed_over_at = :now,
        context = told.context, composed_at = told.composed_at, edition = :edition
    FROM {told} WHERE delivery.id = told.id AND delivery.state = 'claimed' AND delivery.claimed_by = :worker
    RETURNING delivery.id"""


@dataclass(frozen=True)
class Kept:
    """The words of a mail on its way; its row keeps them, so that a second copy would be the same bytes. `domain` is the
    recipient's, for the counts of the guards."""

    context: dict[str, Any]
    composed_at: datetime
    domain: str = ""


@dataclass
class _Waiting:
    dots: dict[int, asyncio.Future[bool]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)


class DeliveryLedger:
    """The ledger of one worker; `counts` is what it did so far, by state."""

    def __init__(
        self, database: Database, settings: Settings, worker: str, edition: str, now: Callable[[], datetime]
    ) -> None:
        self._database, self._settings, self._worker, self._now = database, settings, worker, now
        self._edition = edition
        self._connection: Connection | None = None
        told = _TOLD[database.is_sqlite]
        now_is_utc = bindparam("now", type_=UtcDateTime)
        self._plan_next, self._close_sent, self._hand_over = (
            text(statement.format(told=told)).bindparams(now_is_utc)
            for statement in (_PLAN_NEXT, _CLOSE_SENT, _HAND_OVER)
        )
        self._waiting = _Waiting()
        self._timer: asyncio.TimerHandle | None = None
        self._is_next = False
        self._on_the_wire: set[int] = set()
        self._kept: dict[int, Kept] = {}
        self._tally: dict[tuple[str, str], int] = {}
        self.is_broken = False
        self.counts: dict[str, int] = {}

    def keep(self, id: int, kept: Kept) -> None:
        """Said before `before_dot`."""
        self._kept[id] = kept

    def before_dot(self, id: int) -> asyncio.Future[bool]:
        """Durably `handed_over`; False when the claim was taken away meanwhile (unsubscribed, paused, erased), or when
        nothing can be written down any more."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.is_broken:
            future.set_result(False)
        else:
            self._waiting.dots[id] = future
            self._wake()
        return future

    def outcome(self, outcome: Outcome) -> None:
        """Noted; durable with the next commit, at the latest in `settle`."""
        self._on_the_wire.discard(outcome.id)
        self._waiting.outcomes.append(outcome)
        if not self.is_broken:
            self._wake()

    async def settle(self) -> None:
        """Returns when everything noted is durable; tries for half a minute while the database is away, then raises."""
        for index, pause in enumerate(_SETTLE_PAUSES):
            await asyncio.sleep(pause)
            try:
                self._commit_waiting()
                self._tell_guards()
            except SQLAlchemyError:
                if index == len(_SETTLE_PAUSES) - 1:
                    raise
            else:
                return

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._hang_up()

    def _wake(self) -> None:
        loop = asyncio.get_running_loop()
        if self._is_next:
            return
        if not self._on_the_wire:
            self._is_next = True
            loop.call_soon(self._write)
        elif self._timer is None:
            self._timer = loop.call_later(GATHER_SECONDS, self._write)

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._is_next = None, False
        try:
            self._commit_waiting()
        except SQLAlchemyError:
            log.exception("The ledger cannot write; no dot goes out.", extra={"action": "ledger_failed"})
            self.is_broken = True

    def _commit_waiting(self) -> None:
        """Raises SQLAlchemyError; then no dot of these goes out, and the outcomes wait for the next try."""
        waiting, self._waiting = self._waiting, _Waiting()
        held: set[int] = set()
        try:
            held = self._commit(list(waiting.dots), waiting.outcomes)
        except SQLAlchemyError:
            self._waiting.outcomes[:0] = waiting.outcomes
            self._hang_up()
            raise
        finally:
            self._on_the_wire |= held
            for id, future in waiting.dots.items():
                if not future.done():
                    future.set_result(id in held)

    def _commit(self, dots: list[int], outcomes: list[Outcome]) -> set[int]:
        if not dots and not outcomes:
            return set()
        now, held = self._now(), set[int]()
        sent = [outcome for outcome in outcomes if outcome.kind is Kind.accepted]
        if len(sent) < len(outcomes):
            with self._database.write() as session:
                for outcome in outcomes:
                    if outcome.kind is not Kind.accepted:
                        self._close_other(session, outcome, now)
        if sent or dots:
            self._connection = self._connection or self._database.keep_open()
            with self._database.on(self._connection) as connection:
                if sent:
                    self._mark_sent(connection, sent, now)
                if dots:
                    held = self._mark_handed_over(connection, dots, now)
        for outcome in outcomes:
            self.counts[outcome.kind] = self.counts.get(outcome.kind, 0) + 1
            self._count(outcome, self._kept.pop(outcome.id, None))
        return held

    def _count(self, outcome: Outcome, kept: Kept | None) -> None:
        """For the guards; in memory until a drain ends, at most half a minute: a count lost with a worker is no harm."""
        what = "sent" if outcome.kind is Kind.accepted else ""
        if outcome.kind is Kind.refused and outcome.reply and 400 <= outcome.reply.code < 500:
            what = "deferred"
        if kept and kept.domain and what:
            key = (kept.domain, what)
            self._tally[key] = self._tally.get(key, 0) + 1

    def _tell_guards(self) -> None:
        if self._tally:
            counts, self._tally = self._tally, {}
            with self._database.write() as session:
                tally(session, counts, self._now())

    def _mark_handed_over(self, connection: Connection, dots: list[int], now: datetime) -> set[int]:
        """The ids that were still ours."""
        rows = [
            {"id": id, "context": kept.context, "composed_at": self._stamp(kept.composed_at)}
            for id in dots
            for kept in (self._kept[id],)
        ]
        values = {"rows": json.dumps(rows), "now": now, "worker": self._worker, "edition": self._edition}
        return set(connection.execute(self._hand_over, values).scalars())

    def _mark_sent(self, connection: Connection, sent: list[Outcome], now: datetime) -> None:
        """The people first, as everybody locks them first."""
        told = [{"id": outcome.id, "receipt": said(outcome.reply) if outcome.reply else ""} for outcome in sent]
        values = {"rows": json.dumps(told), "now": now}
        connection.execute(self._plan_next, values)
        connection.execute(self._close_sent, values)

    def _stamp(self, at: datetime) -> str:
        """As `UtcDateTime` stores it."""
        at = at.astimezone(UTC)
        return at.strftime("%Y-%m-%d %H:%M:%S.%f") if self._database.is_sqlite else at.isoformat()

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _close_other(self, session: Session, outcome: Outcome, now: datetime) -> None:
        found = session.exec(select(Delivery.enrollment_id).where(Delivery.id == outcome.id)).first()
        if found is None:
            return
        enrollment, subscriber = lock(session, found)
        row = session.get_one(Delivery, outcome.id, with_for_update=True, populate_existing=True)
        if row.claimed_by != self._worker or row.state not in (DeliveryState.claimed, DeliveryState.handed_over):
            return  # closed by somebody else while we held it: their word stands
        decision = decide(outcome, row.strikes)
        if decision.state is DeliveryState.uncertain:
            close_uncertain(session, row, self._settings, now, decision.reason)
            return
        self._apply(session, row, decision, now)
        if decision.suppress:
            hard_bounce(session, (enrollment, subscriber), row, decision.reason, now)
        elif decision.soft and soft_bounce(session, (enrollment, subscriber), row, decision.reason, now):
            pass  # the third day: the address is given up, and this mail with it
        elif row.closed_at is not None:
            enrollment.plan_at = now
            session.add(enrollment)

    def _apply(self, session: Session, row: Delivery, decision: Decision, now: datetime) -> None:
        row.state, row.reason, row.claimed_by = decision.state, decision.reason[:300], ""
        row.strikes += decision.strike
        if decision.state is DeliveryState.scheduled:
            row.due_at = later(session, row, now, decision.retry_seconds) if decision.retry_seconds else row.due_at
        else:
            row.closed_at = now
        session.add(row)
        session.flush()
        if decision.alert:
            raise_alert(session, *decision.alert)
        if decision.stop:
            stop_sending(session, decision.reason)
