"""What was written down, and when? The state changes of claimed rows; many lines share one commit.

`handed_over` is durable before a final dot is written. A commit takes whatever is waiting when the one before it ends:
with ten lines that is about ten rows a commit, and no row waits longer than one commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, update
from sqlmodel import Session, col, select

from challenge.bounced import hard_bounce, soft_bounce
from challenge.db import Database
from challenge.delivery.relay import said
from challenge.delivery.retry import Decision, decide
from challenge.delivery.smtp import Kind, Outcome
from challenge.dispatch import close_uncertain, later, raise_alert, stop_sending
from challenge.events import lock
from challenge.models import Delivery, DeliveryState, Enrollment
from challenge.settings import Settings

_ROW = Delivery.__table__  # type: ignore[attr-defined]
_PEOPLE = Enrollment.__table__  # type: ignore[attr-defined]
_HAND_OVER = (
    update(_ROW)
    .where(
        _ROW.c.id == bindparam("row"), _ROW.c.state == DeliveryState.claimed, _ROW.c.claimed_by == bindparam("worker")
    )
    .values(
        state=DeliveryState.handed_over,
        attempts=_ROW.c.attempts + 1,
        handed_over_at=bindparam("handed_over_at"),
        context=bindparam("context"),
        composed_at=bindparam("composed_at"),
        edition=bindparam("edition"),
    )
)
_CLOSE_SENT = (
    update(_ROW)
    .where(_ROW.c.id == bindparam("row"))
    .values(
        state=DeliveryState.sent,
        receipt=bindparam("receipt"),
        closed_at=bindparam("closed_at"),
        claimed_by="",
        reason="",
    )
)
_PLAN_NEXT = (
    update(_PEOPLE)
    .where(
        _PEOPLE.c.id.in_(
            select(_ROW.c.enrollment_id).where(_ROW.c.id.in_(bindparam("ids", expanding=True)), _ROW.c.is_daily)
        )
    )
    .values(plan_at=bindparam("now"))
)
_GATHER_SECONDS = 0.001  # lets the lines that are about as far share the commit: a third less CPU, at most 1 ms a mail


@dataclass
class _Waiting:
    dots: dict[int, asyncio.Future[bool]]
    outcomes: list[Outcome]


class DeliveryLedger:
    """The ledger of one worker; `counts` is what it did so far, by state."""

    def __init__(self, database: Database, settings: Settings, worker: str, now: Callable[[], datetime]) -> None:
        self._database, self._settings, self._worker, self._now = database, settings, worker, now
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._waiting = _Waiting({}, [])
        self._writing: asyncio.Task[None] | None = None
        self._error: BaseException | None = None
        self._kept: dict[int, dict[str, Any]] = {}
        self.counts: dict[str, int] = {}

    def keep(self, id: int, context: dict[str, Any], composed_at: datetime, edition: str) -> None:
        """What the row will keep of its letter once it is handed over; said before `before_dot`."""
        self._kept[id] = {"context": context, "composed_at": composed_at, "edition": edition}

    async def before_dot(self, id: int) -> bool:
        """Durably `handed_over`; False when the claim was taken away meanwhile (unsubscribed, paused, erased)."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.dots[id] = future
        self._wake()
        return await future

    async def outcome(self, outcome: Outcome) -> None:
        """Noted; durable with one of the next commits, at the latest in `settle`."""
        self._waiting.outcomes.append(outcome)
        self._wake()

    async def settle(self) -> None:
        """Returns when everything noted is durable. Raises what a commit raised."""
        while self._writing is not None:
            await asyncio.shield(self._writing)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self._pool.shutdown()

    def _wake(self) -> None:
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting.dots or self._waiting.outcomes:
                await asyncio.sleep(_GATHER_SECONDS)
                batch, self._waiting = self._waiting, _Waiting({}, [])
                try:
                    held = await loop.run_in_executor(self._pool, self._commit, list(batch.dots), batch.outcomes)
                except Exception as error:  # noqa: BLE001 - kept and raised by settle: no dot may follow a failed commit
                    self._error, held = error, set()
                for id, future in batch.dots.items():
                    if not future.done():
                        future.set_result(id in held)
        finally:
            self._writing = None

    def _commit(self, dots: list[int], outcomes: list[Outcome]) -> set[int]:
        now = self._now()
        with self._database.write() as session:
            sent = [outcome for outcome in outcomes if outcome.kind is Kind.accepted]
            if sent:
                self._close_sent(session, sent, now)
            for outcome in outcomes:
                if outcome.kind is not Kind.accepted:
                    self._close_other(session, outcome, now)
            held = self._mark_handed_over(session, dots, now) if dots else set()
        for outcome in outcomes:
            self.counts[outcome.kind] = self.counts.get(outcome.kind, 0) + 1
            self._kept.pop(outcome.id, None)
        return held

    def _mark_handed_over(self, session: Session, dots: list[int], now: datetime) -> set[int]:
        """The ids that were still ours; their rows keep the words, so that a second copy would be the same bytes."""
        rows = [{"row": id, "worker": self._worker, "handed_over_at": now, **self._kept[id]} for id in dots]
        if session.connection().execute(_HAND_OVER, rows).rowcount == len(rows):
            return set(dots)
        mine = (col(Delivery.state) == DeliveryState.handed_over) & (col(Delivery.claimed_by) == self._worker)
        return set(session.execute(select(Delivery.id).where(col(Delivery.id).in_(dots), mine)).scalars())

    def _close_sent(self, session: Session, sent: list[Outcome], now: datetime) -> None:
        receipts = [
            {"row": outcome.id, "receipt": said(outcome.reply) if outcome.reply else "", "closed_at": now}
            for outcome in sent
        ]
        session.connection().execute(_CLOSE_SENT, receipts)
        ids = [outcome.id for outcome in sent]
        session.connection().execute(_PLAN_NEXT, {"ids": ids, "now": now})

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
