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

from sqlmodel import Session, col, select, update

from challenge.db import Database
from challenge.delivery.relay import said
from challenge.delivery.retry import Decision, decide
from challenge.delivery.smtp import Kind, Outcome
from challenge.dispatch import close_uncertain, later, raise_alert, stop_sending
from challenge.events import append, lock, suppress
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, EventKind
from challenge.plan import cancel_open
from challenge.settings import Settings


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
        self.counts: dict[str, int] = {}

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
            self._close_sent(session, sent, now)
            for outcome in outcomes:
                if outcome.kind is not Kind.accepted:
                    self._close_other(session, outcome, now)
            held = self._mark_handed_over(session, dots, now)
        for outcome in outcomes:
            self.counts[outcome.kind] = self.counts.get(outcome.kind, 0) + 1
        return held

    def _mark_handed_over(self, session: Session, dots: list[int], now: datetime) -> set[int]:
        if not dots:
            return set()
        mine = (col(Delivery.state) == DeliveryState.claimed) & (col(Delivery.claimed_by) == self._worker)
        marked = (
            update(Delivery)
            .where(col(Delivery.id).in_(dots), mine)
            .values(state=DeliveryState.handed_over, handed_over_at=now, attempts=col(Delivery.attempts) + 1)
            .returning(col(Delivery.id))
            .execution_options(synchronize_session=False)
        )
        return set(session.execute(marked).scalars())

    def _close_sent(self, session: Session, sent: list[Outcome], now: datetime) -> None:
        if not sent:
            return
        receipts = [
            {
                "id": outcome.id,
                "state": DeliveryState.sent,
                "receipt": said(outcome.reply) if outcome.reply else "",
                "closed_at": now,
                "claimed_by": "",
                "reason": "",
            }
            for outcome in sent
        ]
        session.execute(update(Delivery), receipts)
        owners = select(Delivery.enrollment_id).where(
            col(Delivery.id).in_([outcome.id for outcome in sent]), Delivery.is_daily
        )
        session.exec(
            update(Enrollment)
            .where(col(Enrollment.id).in_(owners))
            .values(plan_at=now)
            .execution_options(synchronize_session=False)
        )

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
            suppress(session, subscriber.email_key, "hard bounce", decision.reason, now)
            cancel_open(session, enrollment.id or 0, now, reason="dead address", state=DeliveryState.suppressed)
            enrollment.state = EnrollmentState.stopped
            append(session, enrollment, EventKind.suppressed, now, delivery=row, who="machine", reasons=decision.reason)
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
