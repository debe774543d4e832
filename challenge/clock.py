"""What time is it for the people in the challenge? Asked by every door; steps get `now` as an argument.

Challenge time can be warped (rehearsals); real time (`real_now`) decides leases, rates and sessions. The clock is one
row: real anchor, challenge anchor, speed. A clock that *waits* never runs past `limit_at`, which `keep` moves on only
when no mail is due: that is how a demo with days of ten seconds is never late.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import text
from sqlmodel import Session, col, select

from challenge.db import Database
from challenge.models import ClockRow, Delivery, DeliveryState, Enrollment
from challenge.settings import Settings

_FRESH_SECONDS = 0.05
_STEP = timedelta(hours=1)
GRACE = timedelta(minutes=5)


def real_now() -> datetime:
    """Real time, aware UTC."""
    return datetime.now(UTC)


def shared_now(session: Session) -> datetime:
    """Real time by the one clock that all machines share, aware UTC: the database server's. For what one machine writes
    and another compares; SQLite's machine is this one."""
    if session.get_bind().dialect.name == "sqlite":
        return real_now()
    return session.connection().execute(text("SELECT clock_timestamp()")).scalar_one()  # type: ignore[no-any-return]


class Clock:
    """Reads the clock row; a clock that does not wait is read once."""

    def __init__(self, database: Database, real: Callable[[], datetime] = real_now) -> None:
        self._database, self._real = database, real
        self._row: ClockRow | None = None
        self._read_at: float | None = None

    def now(self) -> datetime:
        """Challenge time, aware UTC."""
        row = self._current()
        return real_now() if row is None else reading(row, self._real())

    @property
    def waits(self) -> bool:
        """Whether this is a rehearsal's clock, which stands still until due mails are out."""
        row = self._current()
        return row is not None and row.waits

    def _current(self) -> ClockRow | None:
        may_change = self._row is None or self._row.waits
        if self._read_at is None or (may_change and time.monotonic() - self._read_at > _FRESH_SECONDS):
            with self._database.read() as session:
                self._row = session.get(ClockRow, 1)
            self._read_at = time.monotonic()
        return self._row


def reading(row: ClockRow, real: datetime) -> datetime:
    """Challenge time of this clock at this real time."""
    if row.speed == 1.0 and not row.waits:
        return real + (row.challenge_anchor_at - row.real_anchor_at)
    now = row.challenge_anchor_at + (real - row.real_anchor_at) * row.speed
    return min(now, row.limit_at) if row.waits and row.limit_at else now


def set_up(session: Session, settings: Settings, *, waits: bool = False) -> ClockRow:
    """The clock row, made from the settings at the first start and kept at every later one."""
    row = session.get(ClockRow, 1)
    if row is not None:
        return row
    real = real_now()
    start = settings.clock_start or real
    limit = start + _STEP if waits else None
    row = ClockRow(
        real_anchor_at=real, challenge_anchor_at=start, speed=settings.clock_speed, waits=waits, limit_at=limit
    )
    session.add(row)
    return row


def change_speed(session: Session, speed: float, real: datetime | None = None) -> None:
    """From now on the clock runs at `speed`; what it shows does not jump."""
    row = session.get_one(ClockRow, 1)
    real = real or real_now()
    row.challenge_anchor_at, row.real_anchor_at, row.speed = reading(row, real), real, speed
    session.add(row)


def keep(session: Session, real: datetime) -> None:
    """Lets a waiting clock run on, up to the next mail or plan that is due. Called by each dispatch tick."""
    row = session.get(ClockRow, 1)
    if row is None or not row.waits:
        return
    now = reading(row, real)
    row.challenge_anchor_at, row.real_anchor_at = now, real
    first = min((at for at in (_earliest_mail(session), _earliest_plan(session)) if at is not None), default=None)
    limit = now + _STEP if first is None else min(now + _STEP, first + GRACE)
    row.limit_at = max(limit, now)
    session.add(row)


def _earliest_mail(session: Session) -> datetime | None:
    held = text("state IN ('claimed', 'handed_over')")  # the words of the partial index
    waiting = (
        select(Delivery.due_at)
        .where(col(Delivery.state) == DeliveryState.scheduled)
        .order_by(col(Delivery.due_at))
        .limit(1)
    )
    inflight = select(Delivery.due_at).where(held).order_by(col(Delivery.due_at)).limit(1)
    return min((at for at in (session.exec(waiting).first(), session.exec(inflight).first()) if at), default=None)


def _earliest_plan(session: Session) -> datetime | None:
    plan_at = col(Enrollment.plan_at)
    return session.exec(select(Enrollment.plan_at).where(plan_at.is_not(None)).order_by(plan_at).limit(1)).first()
