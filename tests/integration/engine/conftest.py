"""The engine without web and RQ: real rows, a real SMTP dialogue, and time as an argument."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from challenge import signup
from challenge.audit import Audit, audit
from challenge.db import Database
from challenge.delivery.relay import SmtpUrl, Timeouts
from challenge.delivery.send import drain
from challenge.delivery.smtp import Sender
from challenge.dispatch import beat, tick
from challenge.events import lock
from challenge.models import Delivery, DeliveryState, Enrollment
from challenge.programme.definition import shipped
from challenge.rendering.message import Composer
from challenge.settings import Settings

OPEN = (DeliveryState.scheduled, DeliveryState.claimed, DeliveryState.handed_over)
MONDAY = datetime(2027, 3, 1, 12, tzinfo=UTC)


class Engine:
    """Drives the steps by hand. `now` moves only when it is told to."""

    def __init__(self, database: Database, smtp_url: str, **settings: Any) -> None:
        self.database = database
        self.settings = Settings(secret_key="k" * 40, **settings)
        self.challenge = shipped()
        self.composer = Composer(self.settings, self.challenge)
        self.smtp_url = smtp_url
        self.now = MONDAY
        beat(database, "w", first=True)

    def sign_up(self, email: str, *, confirmed: bool = True, **fields: object) -> int:
        with self.database.write() as session:
            signup.register(
                session, signup.read({"email": email, "timezone": "UTC", **fields}), self.challenge, self.now
            )
        with self.database.write() as session:
            number = session.exec(select(Enrollment.id).order_by(Enrollment.id.desc())).first() or 0  # type: ignore[union-attr]
            if confirmed:
                enrollment, subscriber = lock(session, number)
                signup.confirm(session, enrollment, subscriber, self.challenge, self.now, source="test")
        return number

    def tick(self) -> None:
        while tick(self.database, self.challenge, self.settings, self.now).planned:
            pass

    def drain(self, worker: str = "w", *, seconds: float = 5.0, **timeouts: float) -> dict[str, int]:
        sender = Sender(
            SmtpUrl.parse(self.smtp_url), connections=2, timeouts=Timeouts(**({"step": 2.0, "dot": 2.0} | timeouts))
        )

        async def run() -> dict[str, int]:
            done = await drain(self.database, self.composer, sender, worker, lambda: self.now, seconds=seconds)
            await sender.close(0)
            return {str(kind): count for kind, count in done.counts.items()}

        return asyncio.run(run())

    def send(self) -> None:
        """Plans and sends until nothing is left to do now."""
        self.tick()
        while self._is_due() and self.drain():
            self.tick()

    def _is_due(self) -> bool:
        with self.database.read() as session:
            due = col(Delivery.state).in_(OPEN) & (col(Delivery.due_at) <= self.now)
            return session.exec(select(Delivery.id).where(due).limit(1)).first() is not None

    def live(self, hours: int) -> None:
        """Hour by hour."""
        for _ in range(hours):
            self.now += timedelta(hours=1)
            self.send()

    def states(self) -> dict[str, str]:
        with self.database.read() as session:
            return {row.key: str(row.state) for row in session.exec(select(Delivery)).all()}

    def row(self, key: str) -> Delivery:
        with self.database.read() as session:
            return session.exec(select(Delivery).where(Delivery.key == key)).one()

    def audit(self) -> Audit:
        with self.database.read() as session:
            return audit(session, self.challenge, self.settings, self.now)

    def count(self) -> Counter[str]:
        with self.database.read() as session:
            return Counter(str(state) for state in session.exec(select(Delivery.state)))


@pytest.fixture
def engine(database: Database, relay: Any) -> Engine:
    return Engine(database, relay.url)


@pytest.fixture
def make_engine(database: Database, relay: Any) -> Any:
    return lambda **settings: Engine(database, relay.url, **settings)
