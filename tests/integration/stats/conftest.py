"""People at chosen points of their way, written as rows: what the numbers are counted from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from challenge.db import Database
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Event, EventKind, Subscriber

MONDAY = datetime(2027, 3, 1, 12, tzinfo=UTC)


class Town:
    """Writes people and what they did. Times are hours after Monday noon."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.people = 0

    def person(
        self,
        *,
        hours: float = 0,
        confirmed: float | None = 1,
        sent: dict[int, float] | None = None,
        confirm_sent: float | None = None,
        finish_sent: float | None = None,
        state: EnrollmentState = EnrollmentState.active,
        zone: str = "America/New_York",
        **dimensions: Any,
    ) -> int:
        """A person who signed up at `hours`, said yes `confirmed` hours later, and was sent day mails at `sent`."""
        self.people += 1
        email = f"person{self.people}@example.com"
        signed_up_at = MONDAY + timedelta(hours=hours)
        with self.database.write() as session:
            someone = Subscriber(email=email, email_key=email, timezone=zone, hour=8, created_at=signed_up_at)
            session.add(someone)
            session.flush()
            row = Enrollment(
                subscriber_id=someone.id or 0,
                challenge="ms-strength",
                state=EnrollmentState.pending if confirmed is None and state is EnrollmentState.active else state,
                signed_up_at=signed_up_at,
                confirmed_at=None if confirmed is None else signed_up_at + timedelta(hours=confirmed),
                **dimensions,
            )
            session.add(row)
            session.flush()
            number = row.id or 0
            if confirm_sent is not None:
                self._mail(session, number, "confirm", "confirm", confirm_sent)
            if finish_sent is not None:
                self._mail(session, number, "finish", "finish", finish_sent)
            for day, at in (sent or {}).items():
                self._mail(session, number, "day", f"day-{day}", at)
        return number

    def _mail(self, session: Any, number: int, mail: str, key: str, hours: float) -> None:
        at = MONDAY + timedelta(hours=hours)
        session.add(
            Delivery(
                enrollment_id=number,
                key=key,
                mail=mail,
                is_daily=False,
                state=DeliveryState.sent,
                planned_at=at,
                due_at=at,
                created_at=at,
                closed_at=at,
                receipt="250 ok",
            )
        )

    def did(self, number: int, kind: EventKind, day: int | None = None, hours: float = 0, **more: Any) -> None:
        at = MONDAY + timedelta(hours=hours)
        with self.database.write() as session:
            session.add(Event(enrollment_id=number, kind=kind, day=day, occurred_at=at, recorded_at=at, **more))


@pytest.fixture
def town(database: Database) -> Town:
    return Town(database)
