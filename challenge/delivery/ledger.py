"""What was written down, and when? The state changes of claimed rows; many lines share one commit.

`handed_over` is durable before a final dot is written, and the reply to the dot before it in the same commit or an
earlier one: whatever dies, at most one mail per line is uncertain.

A commit begins when half of the lines wait for it; `book` says how it is written.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, select

from challenge.alerts import raise_alert
from challenge.bounced import hard_bounce, soft_bounce
from challenge.db import Database
from challenge.delivery.book import NotWritten, book_of
from challenge.delivery.refusals import weighed
from challenge.delivery.relay import said
from challenge.delivery.retry import Decision
from challenge.delivery.smtp import Kind, Outcome
from challenge.dispatch import close_uncertain, later, stop_sending
from challenge.errors import NotFound
from challenge.events import lock
from challenge.guards import tally
from challenge.models import Delivery, DeliveryState
from challenge.settings import Settings

GATHER_SECONDS = 0.002  # so long a commit waits for half of the lines
FAR_SECONDS = 0.02  # a relay that takes longer to answer than this is waited for more than the disk
FEW, SHARE = 4, 8  # then a commit holds so many dots, or an eighth of the lines: what leaves as one comes back as one
_SETTLE_PAUSES = (0.0, 0.2, 1.0, 2.0, 4.0, 8.0, 15.0)
log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """The words of a mail on its way, as JSON; its row keeps them, so that a second copy would be the same bytes. `domain`
    is the recipient's, for the counts of the guards."""

    context: str
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
        self._book = book_of(database, worker, edition)
        self._waiting = _Waiting()
        self._timer: asyncio.TimerHandle | asyncio.Handle | None = None
        self._writing: asyncio.Task[None] | None = None
        self._on_the_wire: dict[int, float] = {}  # since when
        self._answers_in = 0.0  # seconds from a dot to its reply, lately
        self._kept: dict[int, Kept] = {}
        self._tally: dict[tuple[str, str], int] = {}
        self.is_broken = self._is_settling = False
        self.counts: dict[str, int] = {}

    @property
    def _is_far(self) -> bool:
        return self._answers_in > FAR_SECONDS

    def is_held_up(self, seconds: float) -> bool:
        """Whether a mail has waited so long for its final reply. May be asked from any thread."""
        return time.monotonic() - min(list(self._on_the_wire.values()), default=math.inf) > seconds

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
        if since := self._on_the_wire.pop(outcome.id, 0.0):
            self._answers_in += (asyncio.get_running_loop().time() - since - self._answers_in) / 16
        self._count(
            outcome, self._kept.pop(outcome.id, None)
        )  # not after the commit: by then it may be on its way again
        self._waiting.outcomes.append(outcome)
        if not self.is_broken:
            self._wake()

    async def settle(self) -> None:
        """Returns when everything noted is durable; tries for half a minute while the database is away, then raises."""
        self._is_settling = True  # or a commit that ends would begin another, and what it holds would not be waited for
        self._cancel_timer()
        if self._writing is not None:
            await asyncio.wait([self._writing])
        for index, pause in enumerate(_SETTLE_PAUSES):
            await asyncio.sleep(pause)
            try:
                await self._commit_waiting()
                self._tell_guards()
            except (NotWritten, SQLAlchemyError):
                if index == len(_SETTLE_PAUSES) - 1:
                    raise
            else:
                return

    def close(self) -> None:
        self._cancel_timer()
        self._book.close()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        """The next commit begins when half of the lines wait for it: then the relay has the other half to work on
        meanwhile, and a commit still serves many. For a relay far away it begins at once."""
        if self._writing is not None or self._is_settling:
            return
        loop = asyncio.get_running_loop()
        if len(self._waiting.dots) >= len(self._on_the_wire) or self._is_far:
            if isinstance(self._timer, asyncio.TimerHandle):
                self._timer.cancel()
                self._timer = None
            self._timer = self._timer or loop.call_soon(self._begin)
        elif self._timer is None:
            self._timer = loop.call_later(GATHER_SECONDS, self._begin)

    def _begin(self) -> None:
        self._timer = None
        self._writing = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        try:
            await self._commit_waiting()
        except (NotWritten, SQLAlchemyError):
            log.exception("The ledger cannot write; no dot goes out.", extra={"action": "ledger_failed"})
            self.is_broken = True
            self._refuse_dots()
        finally:
            self._writing = None
        if (self._waiting.dots or self._waiting.outcomes) and not self.is_broken:
            self._wake()

    def _refuse_dots(self) -> None:
        dots, self._waiting.dots = self._waiting.dots, {}
        for future in dots.values():
            if not future.done():
                future.set_result(False)

    async def _commit_waiting(self) -> None:
        """Raises NotWritten, SQLAlchemyError; then no dot of these goes out, and the outcomes wait for the next try."""
        waiting, self._waiting = self._waiting, _Waiting()
        if self._is_far:
            lines = len(waiting.dots) + len(self._on_the_wire)
            for id in list(waiting.dots)[max(FEW, lines // SHARE) :]:
                self._waiting.dots[id] = waiting.dots.pop(id)
        held: set[int] = set()
        try:
            held = await self._commit(list(waiting.dots), waiting.outcomes)
        except BaseException:
            self._waiting.outcomes[:0] = waiting.outcomes
            raise
        finally:
            self._on_the_wire |= dict.fromkeys(held, asyncio.get_running_loop().time())
            for id, future in waiting.dots.items():
                if not future.done():
                    future.set_result(id in held)

    async def _commit(self, dots: list[int], outcomes: list[Outcome]) -> set[int]:
        if not dots and not outcomes:
            return set()
        now, held = self._now(), set[int]()
        sent = [(o.id, said(o.reply) if o.reply else "") for o in outcomes if o.kind is Kind.accepted]
        if len(sent) < len(outcomes):
            with self._database.write() as session:
                for outcome in outcomes:
                    if outcome.kind is not Kind.accepted:
                        self._close_other(session, outcome, now)
        if sent or dots:
            kept = [(id, self._kept[id]) for id in dots]
            held = await self._book.write(sent, [(id, one.context, one.composed_at) for id, one in kept], now)
        for outcome in outcomes:
            self.counts[outcome.kind] = self.counts.get(outcome.kind, 0) + 1
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

    def _close_other(self, session: Session, outcome: Outcome, now: datetime) -> None:
        found = session.exec(select(Delivery.enrollment_id).where(Delivery.id == outcome.id)).first()
        if found is None:
            return
        try:
            enrollment, subscriber = lock(session, found)
        except NotFound:
            return  # erased meanwhile: nothing is kept, and the other outcomes must be
        row = session.get_one(Delivery, outcome.id, with_for_update=True, populate_existing=True)
        if row.claimed_by != self._worker or row.state not in (DeliveryState.claimed, DeliveryState.handed_over):
            return  # closed by somebody else while we held it: their word stands
        decision = weighed(session, row, outcome, now)
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
