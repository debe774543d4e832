"""Under which key is today's visitor hashed? One random key a day (real time), gone after the next: from then on nobody,
not even with the whole database, can turn a kept hash back into a network."""

from __future__ import annotations

import secrets
import threading
from datetime import date, datetime, timedelta

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select

from challenge.db import Database
from challenge.models import Installation, Visitor

_NAME = "day_key:"
_KEPT = timedelta(days=1)


def day_key(session: Session, today: date) -> bytes:
    """The key of `today`, made by the first who asks; those before yesterday's are thrown away then."""
    name = f"{_NAME}{today.isoformat()}"
    row = session.get(Installation, name)
    if row is None:
        session.exec(delete(Visitor).where(col(Visitor.day) < (today - _KEPT).isoformat()))
        oldest = f"{_NAME}{(today - _KEPT).isoformat()}"
        session.exec(
            delete(Installation).where(col(Installation.name).like(f"{_NAME}%"), col(Installation.name) < oldest)
        )
        row = Installation(name=name, value=secrets.token_hex(32))
        try:
            with session.begin_nested():
                session.add(row)
        except IntegrityError:  # another process made it in the same moment
            row = session.get_one(Installation, name)
    return bytes.fromhex(row.value)


class DayKeys:
    """Keeps today's key in the process, so that a request costs no look-up."""

    def __init__(self, database: Database) -> None:
        self._database, self._lock = database, threading.Lock()
        self._day: date | None = None
        self._key = b""

    def at(self, real: datetime) -> bytes:
        """The key of the day in which `real` lies."""
        with self._lock:
            if self._day != real.date():
                self._key, self._day = self._fetch(real.date()), real.date()
            return self._key

    def _fetch(self, today: date) -> bytes:
        with self._database.read() as session:
            value = session.exec(select(Installation.value).where(Installation.name == f"{_NAME}{today}")).first()
        if value is not None:
            return bytes.fromhex(value)
        with self._database.write() as session:
            return day_key(session, today)
