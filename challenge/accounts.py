"""What did the audit say last, and when? It looks at everybody, so no page runs it: the workers' tick does, in a process
of its own, now and then and when somebody asks.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from sqlmodel import Session

from challenge.audit import audit
from challenge.clock import Clock, real_now
from challenge.db import Database
from challenge.models import Installation
from challenge.programme.definition import Challenge, load, shipped
from challenge.settings import Settings

_LAST, _ASKED, _RUNNING = "audit_last", "audit_asked", "audit_running"
_SHOWN = 20
_SELDOM = 200
_LEAST, _LEAST_WARPED = timedelta(minutes=5), timedelta(seconds=30)
_STUCK = timedelta(hours=6)
_PATIENCE_SECONDS = 3600.0


@dataclass(frozen=True)
class Accounts:
    """One audit in short: when it began (challenge time `as_of`, real time `ran_at`), how long it took, what it found.
    `asked`: somebody wants a new one, and it has not come yet."""

    as_of: datetime
    ran_at: datetime
    seconds: float
    balanced: bool
    owed: int
    uncertain: int
    problem_count: int
    problems: tuple[tuple[int, str, str], ...]
    asked: bool = False


def last(session: Session) -> Accounts | None:
    """The last audit that was run; None when none ever was."""
    row = session.get(Installation, _LAST)
    if row is None:
        return None
    kept = json.loads(row.value)
    kept["as_of"], kept["ran_at"] = datetime.fromisoformat(kept["as_of"]), datetime.fromisoformat(kept["ran_at"])
    kept["problems"] = tuple((number, key, words) for number, key, words in kept["problems"])
    return replace(Accounts(**kept), asked=is_asked(session))


def ask(session: Session) -> None:
    """The next tick runs one."""
    session.merge(Installation(name=_ASKED, value=real_now().isoformat()))


def is_asked(session: Session) -> bool:
    return session.get(Installation, _ASKED) is not None


def is_wanted(session: Session, now: datetime, *, as_of: datetime | None = None, only_asked: bool = False) -> bool:
    """Asked for, never run, or so long ago (real time `now`) that a run costs half a hundredth of a processor at most;
    sooner under a warped clock, when it is a day later there (challenge time `as_of`)."""
    if is_asked(session):
        return True
    known = None if only_asked else last(session)
    if known is None:
        return not only_asked
    least = _LEAST_WARPED if as_of is not None and as_of - known.as_of > timedelta(days=1) else _LEAST
    return now - known.ran_at > max(least, timedelta(seconds=_SELDOM * known.seconds))


def run(database: Database, challenge: Challenge, settings: Settings) -> bool:
    """Runs the audit and keeps what it said. False when another process is at it."""
    began, started = real_now(), time.monotonic()
    with database.write() as session:
        if not _begin(session, began):
            return False
        asked = session.get(Installation, _ASKED)
        if asked is not None:
            session.delete(asked)  # whoever asks from now on asks for the next one
    as_of = Clock(database).now()
    try:
        with database.read() as session:
            found = audit(session, challenge, settings, as_of)
        kept = Accounts(
            as_of=as_of,
            ran_at=began,
            seconds=round(time.monotonic() - started, 3),
            balanced=found.balanced,
            owed=found.owed,
            uncertain=len(found.uncertain),
            problem_count=len(found.problems),
            problems=tuple((row.enrollment, row.key, row.problem) for row in found.problems[:_SHOWN]),
        )
        with database.write() as session:
            session.merge(Installation(name=_LAST, value=json.dumps(asdict(kept), default=datetime.isoformat)))
    finally:
        with database.write() as session:
            row = session.get(Installation, _RUNNING)
            if row is not None:
                session.delete(row)
    return True


def _begin(session: Session, now: datetime) -> bool:
    row = session.get(Installation, _RUNNING, with_for_update=True)
    if row is not None and datetime.fromisoformat(row.value) > now - _STUCK:
        return False
    session.merge(Installation(name=_RUNNING, value=now.isoformat()))
    return True


class Accountant:
    """Starts the audit beside the tick when it is wanted; one at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._last_idle = time.monotonic()

    def look(self, database: Database, as_of: datetime, *, is_busy: bool = False) -> None:
        """Mails that are due go first, for an hour, unless somebody asked. `as_of`: challenge time."""
        if not is_busy:
            self._last_idle = time.monotonic()
        if self._process is not None and self._process.poll() is None:
            return
        waits = is_busy and time.monotonic() - self._last_idle < _PATIENCE_SECONDS
        with database.read() as session:
            if not is_wanted(session, real_now(), as_of=as_of, only_asked=waits):
                return
        # A fresh program, not a fork: a child must not share the tick's connections. It reads its settings, secrets too.
        self._process = subprocess.Popen([sys.executable, "-m", "challenge.accounts"], stdin=subprocess.PIPE)
        assert self._process.stdin is not None
        with suppress(BrokenPipeError), self._process.stdin as told:  # one that died at once is tried again later
            told.write(self._settings.model_dump_json(exclude_defaults=True).encode())

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(5)


def main() -> None:
    """Audits once; the settings come through standard input."""
    os.nice(10)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    settings = Settings.model_validate_json(sys.stdin.read())
    database = Database(settings.database)
    run(database, load(Path(settings.content)) if settings.content else shipped(), settings)
    database.close()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    main()
