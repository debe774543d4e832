"""Which claimed rows may leave now, and as which letters? What may not is closed or put off; the sender asks.

What changes after this look (an unsubscribe, say) takes the claim away, and the ledger refuses the final dot.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlmodel import Session, col, select, update

from challenge.alerts import raise_alert
from challenge.db import Database, among
from challenge.delivery.kept import kept_letter
from challenge.delivery.replies import Stage
from challenge.delivery.retry import decide
from challenge.delivery.smtp import Kind, Outcome
from challenge.dispatch import DEFERRED_LASTS
from challenge.errors import NotFound
from challenge.events import address_hash, append, installation_key, lock
from challenge.journey import ALREADY, ANSWERS, Rhythm, day_of, is_beside, is_copy, local_date, may_come, next_waking
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
from challenge.rates import domain_waits, paused_domains
from challenge.rendering.links import Address
from challenge.rendering.message import Letter
from challenge.rendering.templates import Content
from challenge.settings import Settings

_ALLOWED = {
    "confirm": (EnrollmentState.pending,),
    ALREADY: (EnrollmentState.active, EnrollmentState.paused, EnrollmentState.ended),
    "": (EnrollmentState.active, EnrollmentState.ended),
}
_NO_PROGRESS: tuple[tuple[int, ...], int] = ((), 0)
_may_come = lru_cache(maxsize=1024)(may_come)  # a morning's rows ask the same
_OTHER = (
    "There are people in the challenge {}, and CHALLENGE_CONTENT is {}: they get no mail before it is theirs again. "
    "Give another challenge a database of its own."
)
log = logging.getLogger(__name__)


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
    challenge: str

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
        Enrollment.challenge,
    )
    .join(Enrollment, col(Enrollment.id) == col(Delivery.enrollment_id))
    .join(Subscriber, col(Subscriber.id) == col(Enrollment.subscriber_id))
    .where(Delivery.state == DeliveryState.claimed)
    .order_by(col(Delivery.due_at), col(Delivery.id))
)


def prepare(
    database: Database, ids: list[int], challenge: Challenge, settings: Settings, now: datetime
) -> list[Letter]:
    """The letters of claimed rows; what may no longer be sent is closed, what is over its domain's rate put off."""
    with database.read() as session:
        rows = [_Found._make(row) for row in session.execute(_FOUND.where(among(session, col(Delivery.id), ids)))]
        blocked = _blocked(session, [row.email_key for row in rows])
        progress = _progress(session, [row.enrollment_id for row in rows])
        coming = _coming(session, [row.enrollment_id for row in rows if row.mail == ALREADY])
        paused = paused_domains(session, {row.domain for row in rows})
    versions, composed_at = bool(challenge.variants.of_mails), now.replace(microsecond=0)
    letters: list[tuple[_Found, Letter]] = []
    aside, broken = [], []
    for row in rows:
        try:
            if row.challenge != challenge.slug or (row.plan_at is not None and row.plan_at <= now):
                aside.append(row)  # something happened to its person: what they are owed now is not known yet
                continue
            is_wanted = row.email_key not in blocked and row.state in _ALLOWED.get(row.mail, _ALLOWED[""])
            if not is_wanted or row.domain in paused or not row.may_come(now):
                aside.append(row)
                continue
            made = progress.get(row.enrollment_id, _NO_PROGRESS)
            next_at = coming.get(row.enrollment_id)
            letters.append((row, _letter(row, versions, *made, next_at, composed_at)))
        except Exception as error:  # one row that makes no sense must not keep the others of its batch
            log.exception("A mail cannot be made, and waits.", extra={"action": "mail_unmade", "delivery_id": row.id})
            broken.append((row.id, words_of(error)))
    waits = _over_rate(database, [row for row, _ in letters], settings)
    aside += [row for row, _ in letters if row.id in waits]
    if aside:
        waits |= {row.id: paused[row.domain] for row in aside if row.domain in paused}
        _set_aside(database, aside, blocked, waits, challenge.slug, now)
    if broken:
        _put_by(database, broken, now)
    return [letter for row, letter in letters if row.id not in waits]


def words_of(error: Exception) -> str:
    """For the row and the alert, short."""
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


def _over_rate(database: Database, rows: list[_Found], settings: Settings) -> dict[int, timedelta]:
    """By row: how long it must wait for its recipient domain's rate."""
    if not settings.domain_rate or not rows:
        return {}
    with database.write() as session:
        waits = domain_waits(session, [row.domain for row in rows], settings.domain_rate)
    return {row.id: wait for row, wait in zip(rows, waits, strict=True) if wait}


def _set_aside(
    database: Database,
    rows: list[_Found],
    blocked: set[str],
    waits: dict[int, timedelta],
    challenge: str,
    now: datetime,
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
            elif found.challenge != challenge:
                _close(session, row, enrollment, DeliveryState.cancelled, f"{found.challenge} is not sent here", now)
                raise_alert(session, "other_challenge", _OTHER.format(found.challenge, challenge))
            elif enrollment.state not in _ALLOWED.get(row.mail, _ALLOWED[""]):
                _close(session, row, enrollment, DeliveryState.cancelled, f"the person is {enrollment.state}", now)
            else:
                row.state, row.claimed_by = DeliveryState.scheduled, ""
                row.due_at = _put_off(found, waits.get(found.id, timedelta(seconds=1)), now)
                session.add(row)


def _put_off(row: _Found, wait: timedelta, now: datetime) -> datetime:
    """After its domain's wait, or in the next waking hours; on another date it is late, and `move_missed` has the word:
    it is asked about again in a minute, else this drain would claim it again and again."""
    if row.may_come(now):
        return now + wait
    soon = now + timedelta(minutes=1)
    return max(next_waking(row.timezone, soon), row.planned_at + DEFERRED_LASTS if row.strikes else soon)


def _letter(
    row: _Found,
    versions: bool,
    done: tuple[int, ...],
    rested: int,
    next_at: datetime | None,
    composed_at: datetime,
) -> Letter:
    """A row that was given away before keeps its words and its date: a second copy is the same bytes."""
    to = Address(row.enrollment_id, row.id, row.key)
    if row.kept is not None and row.kept_at is not None and row.resends:
        return kept_letter(to, row.mail, row.email, row.kept, row.kept_at, row.kept_edition)
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
        stage=_stage(row) if row.mail == ALREADY else "",
        next_on=local_date(Rhythm(row.timezone, row.hour), next_at).isoformat() if next_at else "",
    )
    return Letter(to, row.email, row.first_name, content, composed_at)


def _stage(row: _Found) -> str:
    """Where somebody is who asks to join though they are in."""
    if row.state is EnrollmentState.paused:
        return "paused"
    return {"welcome": "before", "finish": "after"}.get(row.key.rpartition(":")[2], "day")


def _coming(session: Session, ids: list[int]) -> dict[int, datetime]:
    """When the next mail of the sequence comes, per enrollment that has one."""
    if not ids:
        return {}
    query = select(Delivery.enrollment_id, Delivery.key, Delivery.planned_at).where(
        among(session, col(Delivery.enrollment_id), ids),
        Delivery.state == DeliveryState.scheduled,
        col(Delivery.mail).not_in(ANSWERS),
    )
    found: dict[int, datetime] = {}
    for number, key, at in session.exec(query):
        if not is_beside(key):
            found[number] = min(at, found.get(number, at))
    return found


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
