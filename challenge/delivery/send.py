"""How does a worker send what is due? Claims in batches, composes, hands to the SMTP client, for a bounded time.

The next batch is claimed while this one is on the wire; never more than two batches are in memory, however slow the
relay is.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, update

from challenge.alerts import raise_alert
from challenge.db import Database
from challenge.delivery.kept import kept_words
from challenge.delivery.ledger import DeliveryLedger, Kept
from challenge.delivery.prepare import prepare, words_of
from challenge.delivery.replies import Reply, Stage
from challenge.delivery.smtp import Envelope, Kind, Outcome, Sender, SendResult
from challenge.dispatch import (
    claim_due,
    is_stopped,
    release,
    stop_sending,
)
from challenge.editions import Editions
from challenge.events import installation_key
from challenge.models import (
    Delivery,
    DeliveryState,
)
from challenge.rendering.message import Composer, Letter, Message, UnsafeMessage
from challenge.settings import Settings

BATCH = 500
LOOK_SECONDS, STALE_SECONDS = 1.0, 60.0
HELD_UP_SECONDS = 1.0  # a relay may take ten minutes for one final reply: the other lines work on meanwhile
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drained:
    """What one drain did: outcomes by kind, and why it stopped early (empty when nothing was left or time was up)."""

    counts: dict[str, int]
    stopped: str = ""


async def drain(
    database: Database,
    composer: Composer,
    sender: Sender,
    worker: str,
    now: Callable[[], datetime],
    seconds: float = 30.0,
) -> Drained:
    """Sends what is due for up to `seconds` of real time, then finishes what is in flight."""
    with database.write() as session:
        installation_key(session)  # made now if it never was: the looks below only read
        release(session, [worker], composer.settings, now())  # what a drain left behind when the database went away
    ledger = DeliveryLedger(database, composer.settings, worker, composer.challenge.edition, now)
    feed = _Feed(database, composer, ledger, worker, now, time.monotonic() + seconds)
    try:
        try:
            result = await sender.send(feed.next, ledger)
            await ledger.settle()
        finally:
            await feed.give_back()
            ledger.close()
        if feed.failed is not None:
            raise feed.failed
    except Exception:
        with contextlib.suppress(SQLAlchemyError):  # else `jobs` does it when the database is back
            await asyncio.to_thread(give_up_claims, database, worker, composer.settings, now())
        raise
    if result.stopped:
        _tell(database, result)
    return Drained(ledger.counts, result.stopped)


def give_up_claims(database: Database, worker: str, settings: Settings, now: datetime) -> None:
    """What a drain that failed still holds: others would leave it alone as long as this worker beats."""
    with database.write() as session:
        release(session, [worker], settings, now)


class _Feed:
    """Gives envelopes one at a time; claims and composes ahead in a thread."""

    def __init__(
        self,
        database: Database,
        composer: Composer,
        ledger: DeliveryLedger,
        worker: str,
        now: Callable[[], datetime],
        until: float,
    ) -> None:
        self._database, self._composer, self._ledger, self._worker = database, composer, ledger, worker
        self._now, self._until = now, until
        self._editions = Editions(database, composer.settings)
        self._ready: deque[Letter] = deque()
        self._coming: asyncio.Future[list[Letter]] | None = None
        self._empty = False
        self._looked_at = self._claimed_at = time.monotonic()
        self.failed: Exception | None = None
        self._told: set[str] = set()

    async def next(self) -> Envelope | None:
        if self._empty and self._may_have_more():
            self._empty = False
        while True:
            if len(self._ready) < BATCH // 2 and self._coming is None and not self._is_over():
                self._coming = asyncio.ensure_future(asyncio.to_thread(self._claim))
            if self._ledger.is_broken:
                return None
            if self._ready and time.monotonic() - self._looked_at > LOOK_SECONDS:
                await self._look_again()
                continue
            if self._ready:
                if envelope := self._envelope(self._ready.popleft()):
                    return envelope
                continue
            if self._coming is None:
                return None
            coming = self._coming
            try:
                letters = await asyncio.shield(coming)
            except Exception as error:  # what is on its way is finished and written down first; `drain` raises it then
                log.exception("Nothing more can be claimed.", extra={"action": "claim_failed"})
                self.failed, letters = error, []
            if self._coming is coming:
                self._coming = None
                self._ready.extend(letters)
                self._empty, self._claimed_at = not letters, time.monotonic()

    async def give_back(self) -> None:
        """What was claimed but not taken goes back at once."""
        if self._coming is not None:
            with contextlib.suppress(Exception):  # what it claimed comes back with `release`
                self._ready.extend(await self._coming)
        ids = [letter.to.delivery_id for letter in self._ready]
        self._ready.clear()
        if ids:
            await asyncio.to_thread(self._release, ids)

    async def _look_again(self) -> None:
        """Sending may have been stopped; and what waited long for its turn is asked again whether it may still come."""
        self._looked_at = time.monotonic()
        if await asyncio.to_thread(self._is_stopped):
            self._empty = True
        elif self._looked_at - self._claimed_at < STALE_SECONDS:
            return
        ids = [letter.to.delivery_id for letter in self._ready]
        self._ready.clear()
        await asyncio.to_thread(self._release, ids)

    def _is_stopped(self) -> bool:
        with self._database.read() as session:
            return bool(is_stopped(session))

    def _may_have_more(self) -> bool:
        """Nothing was left, and a line still waits for its reply: what falls due meanwhile need not wait for it."""
        is_old = time.monotonic() - self._claimed_at > HELD_UP_SECONDS
        return is_old and self.failed is None and self._ledger.is_held_up(HELD_UP_SECONDS)

    def _is_over(self) -> bool:
        now = time.monotonic()
        if now > self._until and self._ledger.is_held_up(HELD_UP_SECONDS):
            return self._empty or now > self._until + self._composer.settings.smtp_timeout_dot
        return self._empty or now > self._until

    def _envelope(self, letter: Letter) -> Envelope | None:
        """None: it cannot be made; the row says why, and the others go on. A template that cannot be filled in is not the
        person's fault: their mail waits until it is mended."""
        id = letter.to.delivery_id
        try:
            message = self._message(letter)
        except UnsafeMessage as error:
            reply = Reply(554, "5.6.0", str(error), Stage.mail)
            self._ledger.outcome(Outcome(id, Kind.refused, Stage.mail, reply))
            return None
        except Exception as error:  # whatever is wrong with one content, the others must go out
            why = f"{letter.content.mail} ({letter.content.locale}): {words_of(error)}"
            if why not in self._told:
                self._told.add(why)
                log.exception("A mail cannot be made, and waits.", extra={"action": "mail_unmade", "delivery_id": id})
            self._ledger.outcome(Outcome(id, Kind.unmade, Stage.mail, None, why))
            return None
        if message is None:
            why = "it cannot be made again with the same bytes, so no second copy was sent"
            self._ledger.outcome(Outcome(id, Kind.uncertain, Stage.mail, None, why))
            return None
        words = kept_words(letter, message.digest)
        self._ledger.keep(id, Kept(words, letter.composed_at, letter.email.rpartition("@")[2].lower()))
        return Envelope(id, message.sender, message.recipient, message.data, is_wire_ready=True)

    def _message(self, letter: Letter) -> Message | None:
        """A second copy is made from the words of the first; None when they, a key or a setting that went into its bytes
        are not there any more: in the worst case the person has it already."""
        is_of_today = letter.edition in ("", self._composer.challenge.edition)
        composer = self._composer if is_of_today else self._editions.composer(letter.edition)
        if composer is None:
            return None
        message = composer.compose(letter)
        return message if letter.digest in ("", message.digest) else None

    def _claim(self) -> list[Letter]:
        settings, challenge, now = self._composer.settings, self._composer.challenge, self._now()
        while not self._is_over():
            ids = claim_due(self._database, self._worker, challenge, settings, now, BATCH)
            if not ids:
                return []
            letters = prepare(self._database, ids, challenge, settings, now)
            if letters:
                return letters
        return []

    def _release(self, ids: list[int]) -> None:
        with self._database.write() as session:
            mine = (col(Delivery.state) == DeliveryState.claimed) & (col(Delivery.claimed_by) == self._worker)
            session.exec(
                update(Delivery)
                .where(col(Delivery.id).in_(ids), mine)
                .values(state=DeliveryState.scheduled, claimed_by="")
            )


def _tell(database: Database, result: SendResult) -> None:
    log.error("The relay cannot be used.", extra={"action": "relay_failed", "why": result.stopped})
    with database.write() as session:
        raise_alert(session, "relay", f"The relay cannot be used: {result.stopped}")
        if result.fatal:
            stop_sending(session, result.stopped)
