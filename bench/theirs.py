"""The peers, run beside ours: django-post_office at its best settings, and one RQ job per mail under a SimpleWorker."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Cost, Watch, wait_for
from bench.peers import environment
from bench.postfix import Sink
from challenge.embedded.valkey import EmbeddedValkey

# The best of what was tried here: 1, 2 and 4 processes, 1, 2 and 5 threads, batches of 100 to 1,000. Statuses without
# a log row per mail, contexts in the rows instead of bodies, SQLite in WAL with synchronous=NORMAL (ours: FULL).
PROCESSES, THREADS, BATCH = 2, 2, 1000


@dataclass(frozen=True)
class Theirs:
    """One run of a peer."""

    rate: float
    cpu_per_1000: float
    cost: Cost


class Peer:
    """A script of `bench/peers` in the peers' environment: loaded, and waiting for its go."""

    def __init__(self, script: str, *words: object) -> None:
        self.process = subprocess.Popen(
            [environment.python(), str(environment.HERE / script), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", f"{script} did not start"

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def is_done(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "done\n"

    def close(self) -> None:
        self.process.wait(60)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def post_office(folder: Path, told: Path, mails: int) -> Theirs:
    """Queued and sent: rendering, rows, SMTP and statuses."""
    folder.mkdir()
    sink = Sink()
    peer = Peer("django_queue.py", told, sink.port, 1, mails, folder, PROCESSES, THREADS, BATCH)
    try:
        with Watch(peer.process.pid) as watch:
            started = time.monotonic()
            peer.go()
            wait_for(lambda: sink.taken() >= mails, 600, "django-post_office")
            seconds = time.monotonic() - started
        _check(sink, mails)
        return Theirs(mails / seconds, watch.cost.cpu / mails * 1000, watch.cost)
    finally:
        peer.close()
        sink.close()


def rq(folder: Path, told: Path, mails: int) -> Theirs:
    """Enqueued, then worked off by one SimpleWorker."""
    folder.mkdir()
    sink, valkey = Sink(), EmbeddedValkey(folder)
    valkey.start()
    enqueue = Peer("rq_enqueue.py", told, sink.port, 1, mails, valkey.url)
    worker = Peer("rq_worker.py", valkey.url)
    try:
        with Watch(enqueue.process.pid, worker.process.pid, valkey.pid) as watch:
            started = time.monotonic()
            enqueue.go()
            enqueue.is_done()
            worker.go()
            wait_for(lambda: sink.taken() >= mails, 600, "RQ")
            seconds = time.monotonic() - started
        _check(sink, mails)
        return Theirs(mails / seconds, watch.cost.cpu / mails * 1000, watch.cost)
    finally:
        enqueue.close()
        worker.close()
        valkey.stop()
        sink.close()


def _check(sink: Sink, mails: int) -> None:
    seen = sink.recipients()
    assert (sink.taken(), sum(seen.values()), len(seen)) == (mails,) * 3, "sent, owed and unique differ"
