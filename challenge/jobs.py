"""What does RQ know? One kind of job: "something is due, drain it". It carries no ids of people and no state.

A job is a hint. Losing it, running it twice, or running it on two machines at once changes nothing: the rows decide.
RQ's SimpleWorker keeps its process, so its SMTP lines stay open from one job to the next; the heartbeat row in the
database stands in for RQ's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import uuid
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty
from sqlalchemy.exc import SQLAlchemyError

from challenge.alerts import raise_alert
from challenge.clock import Clock
from challenge.db import Database
from challenge.delivery.relay import SmtpUrl, Timeouts
from challenge.delivery.send import drain, give_up_claims
from challenge.delivery.smtp import Sender
from challenge.dispatch import beat, leave
from challenge.editions import keep
from challenge.programme.definition import Challenge
from challenge.rendering.message import Composer
from challenge.settings import Settings

QUEUE = "challenge-drain"
DRAIN_SECONDS = 30.0
GRACE_SECONDS = 30.0
log = logging.getLogger(__name__)


@dataclass
class _Process:
    """What a draining process keeps from one job to the next."""

    database: Database
    clock: Clock
    composer: Composer
    sender: Sender
    loop: asyncio.AbstractEventLoop
    worker: str
    drains: threading.Lock = field(default_factory=threading.Lock)
    has_failed: bool = False  # the last drain: what it held may still be claimed


_process: _Process | None = None


def hint(queue: Queue, wanted: int) -> int:
    """Enqueues drain jobs until `wanted` are waiting; returns how many were added. Raises RedisError."""
    missing = max(0, wanted - queue.count)
    for _ in range(missing):
        queue.enqueue(drain_due, result_ttl=0, failure_ttl=3600, job_timeout=-1)
    return missing


def queue_at(redis_url: str) -> Queue:
    """The queue, through JSON: pickle would let whoever can write to Redis run code here."""
    return Queue(QUEUE, connection=connect(redis_url), serializer=JSONSerializer)


def connect(redis_url: str) -> Redis:
    return Redis.from_url(redis_url, socket_connect_timeout=5, health_check_interval=30)


def drain_due() -> dict[str, int]:
    """The job: sends what is due for up to half a minute."""
    process = _process
    if process is None:
        raise RuntimeError("drain_due runs in a worker of this service: start `challenge worker`")
    work = drain(
        process.database, process.composer, process.sender, process.worker, process.clock.now, seconds=DRAIN_SECONDS
    )
    with process.drains:
        try:
            done = process.loop.run_until_complete(work)
            process.has_failed = False
        except Exception as error:
            process.has_failed = True
            _tell_failed(process.database, error)
            raise
    if done.counts or done.stopped:
        counts = {str(kind): count for kind, count in done.counts.items()}
        log.info(
            "Drained.", extra={"action": "drained", **counts} | ({"stopped": done.stopped} if done.stopped else {})
        )
    return done.counts


def _tell_failed(database: Database, error: Exception) -> None:
    """On the desk too: who looks there does not read logs. What was claimed goes out with the next drain."""
    with contextlib.suppress(SQLAlchemyError), database.write() as session:
        raise_alert(session, "drain", f"A worker cannot go on with sending ({type(error).__name__}); its log says why.")


def run_worker(settings: Settings, challenge: Challenge, smtp_url: str, redis_url: str) -> None:
    """One draining process; returns after a warm shutdown. Called in a fresh process, before any connection is made."""
    global _process  # noqa: PLW0603 - RQ calls a function by its name, so the process keeps its tools here
    database = Database(settings.database)
    keep(database, challenge)
    name = f"{socket.gethostname()[:30]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    sender = Sender(
        SmtpUrl.parse(smtp_url),
        connections=settings.send_connections,
        timeouts=Timeouts(settings.smtp_timeout, settings.smtp_timeout_dot),
        helo_name=settings.sender_domain,
    )
    _process = _Process(
        database, Clock(database), Composer(settings, challenge), sender, asyncio.new_event_loop(), name
    )
    beat(database, name, first=True)
    stopped = threading.Event()
    threading.Thread(target=_keep_beating, args=(settings, name, stopped), daemon=True).start()
    try:
        queue = queue_at(redis_url)
        _DrainWorker([queue], connection=queue.connection, serializer=JSONSerializer, name=name).work(
            logging_level="WARNING", with_scheduler=False
        )
    finally:
        stopped.set()
        _process.loop.run_until_complete(sender.close(0))
        leave(database, name, settings, _process.clock.now())
        database.close()


class _DrainWorker(SimpleWorker):
    """A SimpleWorker whose warm shutdown also tells the sender, so that a slow relay cannot hold it up."""

    death_penalty_class = TimerDeathPenalty

    def request_stop(self, signum: int, frame: FrameType | None) -> None:
        process = _process
        if process is not None and process.loop.is_running():
            loop, sender = process.loop, process.sender
            loop.call_soon_threadsafe(lambda: loop.create_task(sender.close(GRACE_SECONDS)))
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call, unused-ignore]


def _keep_beating(settings: Settings, name: str, stopped: threading.Event) -> None:
    database = Database(settings.database)
    while not stopped.wait(min(10.0, settings.lease_seconds / 4)):
        try:
            beat(database, name)
            _look_after(database, settings)
        except Exception:  # the edge of a thread: one lost beat must not end the heartbeat
            log.exception("A heartbeat was not written.", extra={"action": "beat_failed"})
    database.close()


def _look_after(database: Database, settings: Settings) -> None:
    """After a failed drain: it could not give its claims back while the database was away, and no hint comes for them."""
    process = _process
    if process is not None and process.has_failed and process.drains.acquire(blocking=False):
        try:
            give_up_claims(database, process.worker, settings, process.clock.now())
            process.has_failed = False
        finally:
            process.drains.release()


def waiting(queue: Queue) -> dict[str, Any]:
    """For readiness and metrics: whether Redis answers, and how many hints wait."""
    try:
        return {"redis": True, "jobs": queue.count}
    except RedisError as error:
        return {"redis": False, "why": type(error).__name__}


__all__ = ["DRAIN_SECONDS", "QUEUE", "connect", "drain_due", "hint", "queue_at", "run_worker", "waiting"]
