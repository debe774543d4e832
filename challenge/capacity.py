"""What can this machine and this relay take? Composes, commits and sends for a while; `challenge bench` asks.

It works in a database of its own beside the installation's, with the code and the settings that send every morning.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import func, insert
from sqlmodel import col, select, update

from challenge.clock import real_now
from challenge.db import Database
from challenge.delivery.relay import SmtpUrl, Timeouts
from challenge.delivery.send import drain
from challenge.delivery.smtp import Sender
from challenge.dispatch import beat
from challenge.embedded.discard import discarding
from challenge.errors import UsageError
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Subscriber
from challenge.programme.definition import Challenge
from challenge.rendering.links import Address
from challenge.rendering.message import Composer, Letter
from challenge.rendering.templates import Content
from challenge.settings import Settings

_SECONDS = 1.0  # of composing, and of committing
_WORKER = "bench"


@dataclass(frozen=True)
class Capacity:
    """Per second and for one worker process; `cpu_per_1000`: its CPU seconds for 1,000 mails sent. `morning_seconds`:
    how long one worker takes for the mails of `people`; None when nothing was sent. `stopped`: what the relay said."""

    database: str
    relay: str
    mail_bytes: int
    dkim: tuple[str, ...]
    composed_per_second: float
    commits_per_second: float
    states: dict[str, int]
    sent_per_second: float
    cpu_per_1000: float
    people: int
    morning_seconds: float | None
    stopped: str

    @property
    def is_complete(self) -> bool:
        """Whether every mail was sent."""
        return set(self.states) == {DeliveryState.sent}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def capacity(
    settings: Settings,
    challenge: Challenge,
    *,
    mails: int,
    people: int,
    relay: str = "",
    to: str = "",
    database_url: str = "",
) -> Capacity:
    """Without `relay` a sink on this machine takes the mails; with `to` all go to that one address. `database_url`: an
    empty PostgreSQL database, empty again afterwards; else a temporary SQLite on the data dir's disk. Raises UsageError."""
    settings = settings.model_copy(update={"send_rate": 0.0, "domain_rate": 0.0, "allow_unreviewed": True})
    composer = Composer(settings, challenge)
    with _database(settings, database_url) as database, ExitStack() as stack:
        _fill(database, challenge, mails, to)
        commits = _commits_per_second(database)
        url = relay or f"smtp+plain://127.0.0.1:{stack.enter_context(discarding())}"
        seconds, cpu, stopped = _send(database, composer, SmtpUrl.parse(url))
        states = _states(database)
    sent = states.get(DeliveryState.sent, 0)
    return Capacity(
        database="PostgreSQL" if database_url else "SQLite",
        relay=SmtpUrl.parse(relay).host if relay else "a sink on this machine that keeps nothing",
        mail_bytes=len(composer.compose(_letter(1)).data),
        dkim=tuple(key.algorithm for key in composer.signer.keys) if composer.signer else (),
        composed_per_second=_composed_per_second(composer),
        commits_per_second=commits,
        states=states,
        sent_per_second=sent / seconds,
        cpu_per_1000=cpu / sent * 1000 if sent else 0.0,
        people=people,
        morning_seconds=people * seconds / sent if sent else None,
        stopped=stopped,
    )


@contextmanager
def _database(settings: Settings, url: str) -> Iterator[Database]:
    """Migrated, and gone afterwards."""
    with ExitStack() as stack:
        if not url:
            settings.data_dir.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(TemporaryDirectory(prefix="bench-", dir=settings.data_dir))
            url = f"sqlite:///{Path(folder).absolute() / 'bench.sqlite3'}"
        elif not url.startswith("postgres"):
            raise UsageError("--database is for PostgreSQL; without it a temporary SQLite is measured.")
        database = Database(Settings(database_url=url).database)
        stack.callback(database.close)
        database.require_empty()
        stack.callback(database.clear)
        database.migrate()
        yield database


def _fill(database: Database, challenge: Challenge, mails: int, to: str) -> None:
    """People whose mail of day 1 is due."""
    now = real_now()
    numbers = range(1, mails + 1)
    person = {
        "first_name": "Ana",
        "timezone": zone_at(8, now),
        "hour": 8,
        "locale": "en",
        "tracking": True,
        "created_at": now,
    }
    run = {"challenge": challenge.slug, "state": EnrollmentState.active, "edition": challenge.edition}
    mail = {"key": "day-1", "mail": "day", "is_daily": True, "planned_at": now, "due_at": now, "created_at": now}
    with database.write() as session:
        session.execute(
            insert(Subscriber),
            [person | {"id": n, "email": to or _address(n), "email_key": _address(n)} for n in numbers],
        )
        session.execute(
            insert(Enrollment),
            [run | {"id": n, "subscriber_id": n, "signed_up_at": now, "confirmed_at": now} for n in numbers],
        )
        session.execute(insert(Delivery), [mail | {"id": n, "enrollment_id": n} for n in numbers])


def zone_at(hour: int, now: datetime) -> str:
    """A time zone in which it is `hour` o'clock: where it is night nobody is sent anything. `Etc/GMT-2` is UTC+2."""
    ahead = (hour - now.hour + 11) % 24 - 11
    return f"Etc/GMT{-ahead:+d}" if ahead else "UTC"


def _commits_per_second(database: Database) -> float:
    """One row a commit, as when a single mail is handed over; a busy worker puts many rows into one."""
    started, count = time.monotonic(), 0
    while time.monotonic() - started < _SECONDS:
        with database.write() as session:
            session.exec(update(Delivery).where(col(Delivery.id) == 1).values(reason=str(count)[:300]))
        count += 1
    return count / (time.monotonic() - started)


def _composed_per_second(composer: Composer) -> float:
    started, count = time.monotonic(), 0
    while time.monotonic() - started < _SECONDS:
        count += 1
        composer.compose(_letter(count))
    return count / (time.monotonic() - started)


def _send(database: Database, composer: Composer, url: SmtpUrl) -> tuple[float, float, str]:
    """(seconds, CPU seconds, why it stopped early)."""
    settings = composer.settings
    sender = Sender(
        url,
        connections=settings.send_connections,
        timeouts=Timeouts(settings.smtp_timeout, settings.smtp_timeout_dot),
        helo_name=settings.sender_domain,
    )

    async def run() -> str:
        while True:
            beat(database, _WORKER, first=True)
            done = await drain(database, composer, sender, _WORKER, real_now)
            if done.stopped or not done.counts:
                await sender.close()
                return done.stopped

    started, cpu = time.monotonic(), time.process_time()
    stopped = asyncio.run(run())
    return time.monotonic() - started, time.process_time() - cpu, stopped


def _states(database: Database) -> dict[str, int]:
    query = select(Delivery.state, func.count()).group_by(Delivery.state)
    with database.read() as session:
        return {str(state): count for state, count in session.exec(query)}


def _letter(number: int) -> Letter:
    content = Content("day", day=1, has_name=True)
    return Letter(Address(number, number, "day-1"), _address(number), "Ana", content, real_now().replace(microsecond=0))


def _address(number: int) -> str:
    return f"person{number}@d{number % 50}.example"
