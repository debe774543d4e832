"""How does a worker send what is due? Claims in batches, composes, hands to the SMTP client, for a bounded time.

The next batch is claimed while this one is on the wire; never more than two batches are in memory, however slow the
relay is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, select, update

from challenge.alerts import raise_alert
from challenge.db import Database, among
from challenge.delivery.ledger import DeliveryLedger, Kept
from challenge.delivery.replies import Reply, Stage
from challenge.delivery.retry import decide
from challenge.delivery.smtp import Envelope, Kind, Outcome, Sender, SendResult
from challenge.dispatch import (
    DEFERRED_LASTS,
    claim_due,
    is_stopped,
    over_domain_rate,
    paused_domains,
    release,
    stop_sending,
)
from challenge.errors import ChallengeError, NotFound
from challenge.events import address_hash, append, installation_key, lock
from challenge.journey import day_of, is_copy, may_come, next_waking
from challenge.models import (
    Delivery,
    DeliveryState,
    Enrollment,
    EnrollmentState,
    Event,
    EventKind,
    Subscriber,
    Suppression,
)
from challenge.programme.definition import Challenge
from challenge.rendering.links import Address
from challenge.rendering.message import Composer, Letter, UnsafeMessage
from challenge.rendering.templates import Content
from challenge.settings import Settings

BATCH = 500
LOOK_SECONDS, STALE_SECONDS = 1.0, 60.0
_ALLOWED = {
    "confirm": (EnrollmentState.pending,),
    "": (EnrollmentState.active, EnrollmentState.ended),
}
_NO_PROGRESS: tuple[tuple[int, ...], int] = ((), 0)
_may_come = lru_cache(maxsize=1024)(may_come)  # a morning's rows ask the same
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
        self._ready: deque[Letter] = deque()
        self._coming: asyncio.Future[list[Letter]] | None = None
        self._empty = False
        self._looked_at = self._claimed_at = time.monotonic()
        self.failed: Exception | None = None
        self._told: set[str] = set()

    async def next(self) -> Envelope | None:
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

    def _is_over(self) -> bool:
        return self._empty or time.monotonic() > self._until

    def _envelope(self, letter: Letter) -> Envelope | None:
        """None: it cannot be made; the row says why, and the others go on. A template that cannot be filled in is not the
        person's fault: their mail waits until it is mended."""
        id = letter.to.delivery_id
        try:
            message = self._composer.compose(letter)
        except UnsafeMessage as error:
            reply = Reply(554, "5.6.0", str(error), Stage.mail)
            self._ledger.outcome(Outcome(id, Kind.refused, Stage.mail, reply))
            return None
        except Exception as error:  # whatever is wrong with one content, the others must go out
            why = f"{letter.content.mail} ({letter.content.locale}): {_words_of(error)}"
            if why not in self._told:
                self._told.add(why)
                log.exception("A mail cannot be made, and waits.", extra={"action": "mail_unmade", "delivery_id": id})
            self._ledger.outcome(Outcome(id, Kind.unmade, Stage.mail, None, why))
            return None
        self._ledger.keep(id, Kept(kept_words(letter), letter.composed_at, letter.email.rpartition("@")[2].lower()))
        return Envelope(id, message.sender, message.recipient, message.data, is_wire_ready=True)

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


class _Found(NamedTuple):
    """A claimed row with what is known of its person: plain values, for objects of 500 rows cost more than all else."""

    id: int
    enrollment_id: int
    key: str
    mail: str
    strikes: int
    resends: int
    is_daily: bool
    kept: dict[str, Any] | None
    kept_at: datetime | None
    kept_edition: str
    state: EnrollmentState
    position: str
    goal: str
    pace: str
    email: str
    email_key: str
    first_name: str
    planned_at: datetime
    timezone: str
    hour: int
    tracking: bool
    locale: str
    variant: str
    plan_at: datetime | None

    @property
    def is_asked_for(self) -> bool:
        """A copy that somebody at the desk asked for: it comes when it can."""
        return not self.is_daily and (self.resends > 0 or is_copy(self.key))

    def may_come(self, now: datetime) -> bool:
        return _may_come(self.mail, self.timezone, self.planned_at, now, any_date=self.is_asked_for)

    @property
    def domain(self) -> str:
        return self.email_key.rpartition("@")[2]


_FOUND = (
    select(  # type: ignore[call-overload]
        Delivery.id,
        Delivery.enrollment_id,
        Delivery.key,
        Delivery.mail,
        Delivery.strikes,
        Delivery.resends,
        Delivery.is_daily,
        Delivery.context,
        Delivery.composed_at,
        Delivery.edition,
        Enrollment.state,
        Enrollment.position,
        Enrollment.goal,
        Enrollment.pace,
        Subscriber.email,
        Subscriber.email_key,
        Subscriber.first_name,
        Delivery.planned_at,
        Subscriber.timezone,
        Subscriber.hour,
        Subscriber.tracking,
        Subscriber.locale,
        Enrollment.variant,
        Enrollment.plan_at,
    )
    .join(Enrollment, col(Enrollment.id) == col(Delivery.enrollment_id))
    .join(Subscriber, col(Subscriber.id) == col(Enrollment.subscriber_id))
    .where(Delivery.state == DeliveryState.claimed)
    .order_by(col(Delivery.due_at), col(Delivery.id))
)


def prepare(
    database: Database, ids: list[int], challenge: Challenge, settings: Settings, now: datetime
) -> list[Letter]:
    """The letters of claimed rows; what may no longer be sent is closed, what is over its domain's rate put off.

    What changes after this look (an unsubscribe, say) takes the claim away, and the ledger refuses the final dot."""
    with database.read() as session:
        rows = [_Found._make(row) for row in session.execute(_FOUND.where(among(session, col(Delivery.id), ids)))]
        blocked = _blocked(session, [row.email_key for row in rows])
        progress = _progress(session, [row.enrollment_id for row in rows])
    waits = _waits(database, rows, settings)
    edition, versions, composed_at = challenge.edition, bool(challenge.variants.of_mails), now.replace(microsecond=0)
    letters, aside, broken = [], [], []
    for row in rows:
        try:
            if row.plan_at is not None and row.plan_at <= now:
                aside.append(row)  # something happened to its person: what they are owed now is not known yet
                continue
            is_wanted = row.email_key not in blocked and row.state in _ALLOWED.get(row.mail, _ALLOWED[""])
            if not is_wanted or row.domain in waits or not row.may_come(now):
                aside.append(row)
                continue
            made = progress.get(row.enrollment_id, _NO_PROGRESS)
            letters.append(_letter(row, edition, versions, *made, composed_at))
        except Exception as error:  # one row that makes no sense must not keep the others of its batch
            log.exception("A mail cannot be made, and waits.", extra={"action": "mail_unmade", "delivery_id": row.id})
            broken.append((row.id, _words_of(error)))
    if aside:
        _set_aside(database, aside, blocked, waits, now)
    if broken:
        _put_by(database, broken, now)
    return letters


def _words_of(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:160]


def _put_by(database: Database, broken: list[tuple[int, str]], now: datetime) -> None:
    with database.write() as session:
        for id, why in broken:
            decision = decide(Outcome(id, Kind.unmade, Stage.mail, None, why), 0)
            at = now + timedelta(seconds=decision.retry_seconds)
            mine = (col(Delivery.id) == id) & (col(Delivery.state) == DeliveryState.claimed)
            back = {"state": DeliveryState.scheduled, "claimed_by": "", "reason": decision.reason, "due_at": at}
            session.exec(update(Delivery).where(mine).values(**back))
            if decision.alert:
                raise_alert(session, *decision.alert)


def _waits(database: Database, rows: list[_Found], settings: Settings) -> dict[str, timedelta]:
    with database.read() as session:
        paused = paused_domains(session, {row.domain for row in rows})
    if not settings.domain_rate:
        return paused
    with database.write() as session:
        return over_domain_rate(session, [row.domain for row in rows if row.domain not in paused], settings) | paused


def _set_aside(
    database: Database, rows: list[_Found], blocked: set[str], waits: dict[str, timedelta], now: datetime
) -> None:
    """Closes or puts off what may not be sent now, unless somebody else has changed it since."""
    with database.write() as session:
        for found in rows:
            try:
                enrollment, _ = lock(session, found.enrollment_id)
            except NotFound:
                continue  # erased since
            row = session.get_one(Delivery, found.id, with_for_update=True, populate_existing=True)
            if row.state is not DeliveryState.claimed:
                continue
            if found.email_key in blocked:
                _close(session, row, enrollment, DeliveryState.suppressed, "the address is suppressed", now)
                enrollment.state = EnrollmentState.stopped
                append(session, enrollment, EventKind.suppressed, now, delivery=row, who="machine")
            elif enrollment.state not in _ALLOWED.get(row.mail, _ALLOWED[""]):
                _close(session, row, enrollment, DeliveryState.cancelled, f"the person is {enrollment.state}", now)
            else:
                row.state, row.claimed_by = DeliveryState.scheduled, ""
                row.due_at = _put_off(found, waits.get(found.domain, timedelta(seconds=1)), now)
                session.add(row)


def _put_off(row: _Found, wait: timedelta, now: datetime) -> datetime:
    """After its domain's wait, or in the next waking hours; on another date it is late, and `move_missed` has the word."""
    if row.may_come(now):
        return now + wait
    return max(next_waking(row.timezone, now), row.planned_at + DEFERRED_LASTS if row.strikes else now)


def _letter(
    row: _Found, edition: str, versions: bool, done: tuple[int, ...], rested: int, composed_at: datetime
) -> Letter:
    """A row that was given away before keeps its words and its date: a second copy is the same bytes."""
    to = Address(row.enrollment_id, row.id, row.key)
    if row.kept is not None and row.kept_at is not None and row.resends and row.kept_edition == edition:
        return _kept_letter(to, row.mail, row.email, row.kept, row.kept_at)
    content = Content(
        mail=row.mail,
        day=day_of(row.key) or (max(done) if done else 1),
        position=row.position,
        goal=row.goal,
        done=done,
        rested=rested,
        hour=row.hour,
        pace=row.pace,
        has_name=bool(row.first_name),
        tracking=row.tracking,
        locale=row.locale,
        variant=row.variant if versions else "",
    )
    return Letter(to, row.email, row.first_name, content, composed_at)


def kept_words(letter: Letter) -> str:
    """What a row keeps of its letter, as JSON, so that the same bytes can be made again."""
    return f'{{"first_name": {json.dumps(letter.first_name)}, {_content_words(letter.content)}'


@lru_cache(maxsize=256)
def _content_words(content: Content) -> str:
    words = {
        "day": content.day,
        "position": content.position,
        "goal": content.goal,
        "done": list(content.done),
        "rested": content.rested,
        "hour": content.hour,
        "pace": content.pace,
        "tracking": content.tracking,
        "locale": content.locale,
        "variant": content.variant,
    }
    return json.dumps(words)[1:]


def letter_of(row: Delivery, subscriber: Subscriber) -> Letter:
    """The letter that a row's kept context describes. Raises ChallengeError when nothing was composed yet."""
    if row.context is None or row.composed_at is None:
        raise ChallengeError("This mail was not composed yet.")
    to = Address(row.enrollment_id, row.id or 0, row.key)
    return _kept_letter(to, row.mail, subscriber.email, row.context, row.composed_at)


def _kept_letter(to: Address, mail: str, email: str, context: dict[str, Any], composed_at: datetime) -> Letter:
    kept = dict(context)
    name = str(kept.pop("first_name"))
    kept["done"] = tuple(kept["done"])
    return Letter(to, email, name, Content(mail=mail, has_name=bool(name), **kept), composed_at)


def _blocked(session: Session, email_keys: list[str]) -> set[str]:
    key = installation_key(session)
    hashes = {address_hash(key, email_key): email_key for email_key in email_keys}
    found = session.exec(
        select(Suppression.address_hash).where(among(session, col(Suppression.address_hash), list(hashes)))
    ).all()
    return {hashes[digest] for digest in found}


def _progress(session: Session, ids: list[int]) -> dict[int, tuple[tuple[int, ...], int]]:
    """Days done and rests taken, per enrollment."""
    kinds = (EventKind.completed, EventKind.undone, EventKind.rested)
    query = (
        select(Event.enrollment_id, Event.kind, Event.day, Event.detail)
        .where(among(session, col(Event.enrollment_id), ids), col(Event.kind).in_(kinds))
        .order_by(col(Event.id))
    )
    done: dict[int, set[int]] = {}
    rests: dict[int, int] = {}
    for enrollment_id, kind, day, detail in session.exec(query):
        days = done.setdefault(enrollment_id, set())
        if kind is EventKind.completed:
            days.add(day or 0)
        elif kind is EventKind.rested:
            rests[enrollment_id] = rests.get(enrollment_id, 0) + 1
        elif detail.get("of", "completed") == "completed":
            days.discard(day or 0)
        else:
            rests[enrollment_id] = rests.get(enrollment_id, 1) - 1
    return {number: (tuple(sorted(days)), rests.get(number, 0)) for number, days in done.items()}


def _close(
    session: Session, row: Delivery, enrollment: Enrollment, state: DeliveryState, reason: str, now: datetime
) -> None:
    row.state, row.reason, row.closed_at, row.claimed_by = state, reason, now, ""
    enrollment.plan_at = now
    session.add_all([row, enrollment])


def _tell(database: Database, result: SendResult) -> None:
    log.error("The relay cannot be used.", extra={"action": "relay_failed", "why": result.stopped})
    with database.write() as session:
        raise_alert(session, "relay", f"The relay cannot be used: {result.stopped}")
        if result.fatal:
            stop_sending(session, result.stopped)
