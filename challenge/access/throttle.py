"""May this login be tried now? Rows, not Redis: guessing stays slow when Redis is away and however many web processes
there are. Called before a password is looked at.

Each try is counted before its password is checked, so that many at once do not slip through; a right password takes
its own tries back. A browser that was logged in under this name before has a count of its own: whoever guesses from
elsewhere cannot lock the owner out (OWASP: device cookies).
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from sqlmodel import Session, col, delete

from challenge.clock import real_now
from challenge.db import Database, inserting
from challenge.models import LoginTries

WINDOW = timedelta(minutes=15)
PER_NAME = 10
PER_NETWORK = 30


class Throttle:
    """The counts of one try: under this name (or by this known browser), and from this network."""

    def __init__(self, key: bytes, name: str, network: str, *, knows_browser: bool = False) -> None:
        kind, whose = ("browser", f"{name}\0{network}") if knows_browser else ("name", name)
        self._mine, self._network = _scope(key, kind, whose), _scope(key, "network", network)
        self._limits = {self._mine: PER_NAME, self._network: PER_NETWORK}

    def wait(self, database: Database) -> timedelta:
        """Counts this try; how long to wait before one is looked at again, zero when this one may go on."""
        now = real_now()
        with database.write() as session:
            session.exec(delete(LoginTries).where(col(LoginTries.since_at) <= now - WINDOW))
            rows = [_row(session, scope, now) for scope in sorted(self._limits)]
            full = [row.since_at + WINDOW - now for row in rows if row.count >= self._limits[row.scope]]
            for row in rows if not full else []:
                row.count += 1
                session.add(row)
        return max(full, default=timedelta())

    def succeed(self, session: Session) -> None:
        """The password was right: the tries under this name are forgotten, this one from the network is taken back."""
        for scope in sorted(self._limits):
            row = _row(session, scope, real_now())
            row.count = 0 if scope == self._mine else max(0, row.count - 1)
            session.add(row)


def _row(session: Session, scope: str, now: datetime) -> LoginTries:
    """The count, locked; made when there is none, also when two processes make it at once."""
    session.execute(inserting(session, LoginTries).values(scope=scope, count=0, since_at=now).on_conflict_do_nothing())
    return session.get_one(LoginTries, scope, with_for_update=True, populate_existing=True)


def _scope(key: bytes, kind: str, text: str) -> str:
    """A keyed hash: what was typed as a name may be a password."""
    return hashlib.blake2b(f"{kind}\0{text}".encode(), key=key[:64], digest_size=24, person=b"login").hexdigest()
