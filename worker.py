"""RQ workers and the dispatch tick: `python worker.py` is `challenge worker`. No rules here, only processes.

The parent loads the application and forks the workers before it opens any connection; then it ticks. A worker that
dies is started again; what it held comes back with its lease.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.process import BaseProcess
from types import FrameType

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from challenge.accounts import Accountant
from challenge.alerts import raise_alert
from challenge.clock import Clock
from challenge.db import Database
from challenge.delivery.relay import SmtpUrl
from challenge.dispatch import Tick, tick
from challenge.errors import SettingsError
from challenge.guards import watch
from challenge.jobs import hint, queue_at, run_worker
from challenge.programme.definition import Challenge
from challenge.rendering.message import Composer
from challenge.settings import Settings
from challenge.stats.keep import refresh

IDLE_TICK_SECONDS, BUSY_TICK_SECONDS = 0.25, 1.0  # while mails go out a tick has little to say
WAITING_CLOCK_TICK_SECONDS = 0.1
IDLE_DESK_SECONDS, BUSY_DESK_SECONDS = 1.0, 10.0  # how often the dashboard's numbers are kept up
STOP_SECONDS = 35.0
FAILING_SECONDS = 30.0  # so long ticks fail before humans are told on the desk
GC_THRESHOLD = (5_000, 5, 5)  # the driver of PostgreSQL leaves cycles behind: 10 MB of them at 20
log = logging.getLogger("challenge.worker")


class Crew:
    """The worker processes of one machine."""

    def __init__(self, settings: Settings, challenge: Challenge) -> None:
        self._settings, self._challenge = settings, challenge
        self._fork = multiprocessing.get_context("fork")
        self._leash_read, self._leash_write = os.pipe()
        self._members: list[BaseProcess] = []

    def fill(self) -> None:
        """Starts what is missing. Call it without open connections: a child must not share one."""
        self._members = [member for member in self._members if member.is_alive()]
        gc.collect()
        _trim()
        gc.freeze()  # what is loaded stays: collecting it again and again was a fifteenth of a sender's time
        while len(self._members) < self._settings.workers:
            member = self._fork.Process(target=self._work, daemon=False)
            member.start()
            self._members.append(member)

    @property
    def is_complete(self) -> bool:
        return all(member.is_alive() for member in self._members)

    def stop(self) -> None:
        """Warm: what is in flight is finished; whoever is not ready after 35 s is ended, its lease brings the rest back."""
        for member in self._members:
            if member.is_alive() and member.pid:
                os.kill(member.pid, signal.SIGTERM)
        until = time.monotonic() + STOP_SECONDS
        for member in self._members:
            member.join(max(0.0, until - time.monotonic()))
            if member.is_alive():
                member.kill()
                member.join()

    def _work(self) -> None:
        os.close(self._leash_write)
        gc.set_threshold(*GC_THRESHOLD)
        threading.Thread(target=self._end_with_parent, daemon=True).start()
        run_worker(self._settings, self._challenge, self._settings.smtp_url, self._settings.redis_url)

    def _end_with_parent(self) -> None:
        os.read(self._leash_read, 1)
        os.kill(os.getpid(), signal.SIGTERM)


def _trim() -> None:
    """Gives the system back what is free (glibc): loading leaves 3 MB, storing numbers 4. Threads that take turns need
    no heap each (M_ARENA_MAX)."""
    with contextlib.suppress(AttributeError, OSError):
        glibc = ctypes.CDLL(None)
        glibc.mallopt(-8, 1)
        glibc.malloc_trim(0)


def run(settings: Settings, challenge: Challenge) -> int:
    """Works until SIGTERM or SIGINT. Raises SettingsError, SchemaBehind."""
    if not settings.redis_url:
        raise SettingsError("CHALLENGE_REDIS_URL", "is needed to run workers alone; `challenge up` brings its own.")
    if not settings.smtp_url:
        raise SettingsError("CHALLENGE_SMTP_URL", "is needed to run workers alone; `challenge up` brings an inbox.")
    Composer(settings, challenge).templates.check()  # what a worker would refuse is said here, not again and again
    SmtpUrl.parse(settings.smtp_url)
    first = Database(settings.database)
    first.require_current()
    first.close()
    stop = threading.Event()

    def ask_to_stop(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    crew = Crew(settings, challenge)
    crew.fill()
    signal.signal(signal.SIGTERM, ask_to_stop)
    signal.signal(signal.SIGINT, ask_to_stop)
    try:
        _tick_until(stop, crew, settings, challenge)
    finally:
        crew.stop()
    return 0


def _tick_until(stop: threading.Event, crew: Crew, settings: Settings, challenge: Challenge) -> None:
    database = Database(settings.database)
    clock, queue, redis_is_well = Clock(database), queue_at(settings.redis_url), True
    accountant, is_busy, desk_at, well_at = Accountant(settings), False, 0.0, time.monotonic()
    while not stop.is_set():
        started = time.monotonic()
        if not crew.is_complete:
            log.error("A worker process died and is started again.", extra={"action": "worker_died"})
            database.close()
            queue.connection.close()
            crew.fill()
        try:
            done = tick(database, challenge, settings, clock.now())
            is_busy = done.due > 0
            hint(queue, _hints_for(done, settings.workers))
            watch(database, settings, clock.now())
            if started - desk_at >= (BUSY_DESK_SECONDS if is_busy else IDLE_DESK_SECONDS):
                desk_at = started
                if refresh(database, challenge.slug, challenge.length, clock.now()):
                    _trim()
                accountant.look(database, clock.now(), is_busy=is_busy)
            redis_is_well, well_at = True, time.monotonic()
        except RedisError as error:
            well_at = time.monotonic()
            if redis_is_well:
                log.error(
                    "Redis is away; mails wait in the database.", extra={"action": "redis_away", "why": str(error)}
                )
            redis_is_well = False
        except (
            Exception
        ) as error:  # the edge of the process: the database may be away for a while, the next tick tries again
            log.exception("A tick failed; the next one tries again.", extra={"action": "tick_failed"})
            if time.monotonic() - well_at > FAILING_SECONDS:
                well_at = time.monotonic()
                _tell_failing(database, error)
        stop.wait(max(0.02, _pause(clock.waits, is_busy, redis_is_well) - (time.monotonic() - started)))
    accountant.stop()
    database.close()


def _tell_failing(database: Database, error: Exception) -> None:
    """On the desk too: who looks there does not read logs. Nobody can be told while the database is away."""
    with contextlib.suppress(SQLAlchemyError), database.write() as session:
        raise_alert(
            session, "tick", f"Nothing is planned or sent: each tick fails ({type(error).__name__}). See the log."
        )


def _pause(clock_waits: bool, is_busy: bool, redis_is_well: bool) -> float:
    if clock_waits:
        return WAITING_CLOCK_TICK_SECONDS
    return BUSY_TICK_SECONDS if is_busy or not redis_is_well else IDLE_TICK_SECONDS


def _hints_for(done: Tick, workers: int) -> int:
    """One worker for a few mails, all of them for many."""
    return min(workers, -(-done.due // 200))


def main() -> int:
    from challenge.cli import main as cli

    sys.argv.insert(1, "worker")
    return cli()


if __name__ == "__main__":
    sys.exit(main())
