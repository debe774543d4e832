"""A PostgreSQL that a test may kill -9 and start again: its main process is a child of ours."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

START_SECONDS = 30.0


class KillablePostgres:
    """One server in a temporary folder, durable as it comes (fsync on), listening on a unix socket only."""

    def __init__(self, pgserver: Any) -> None:
        # Not under pytest's folder: every new run of pytest shuts that to the user PostgreSQL runs as.
        self._home = tempfile.TemporaryDirectory(prefix="challenge-postgres-", ignore_cleanup_errors=True)
        folder = Path(self._home.name) / "data"
        made = pgserver.get_server(folder, cleanup_mode="stop")  # makes the folder and the user it runs as
        self._sockets = str(made.get_postmaster_info().socket_dir)
        self._program, self._user, self._folder = str(made.bin_path / "postgres"), made.system_user, folder
        self.url = made.get_uri().replace("postgresql://", "postgresql+psycopg://")
        made.stop()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Starts it when it is not running; returns when it answers. What the dead one held may last a moment."""
        until = time.monotonic() + START_SECONDS
        while not self.answers():
            assert time.monotonic() < until, (self._folder / "log").read_text()[-2000:]
            if self._process is None or self._process.poll() is not None:
                self._process = self._spawn()
            time.sleep(0.05)

    def answers(self) -> bool:
        engine = create_engine(self.url)
        try:
            engine.connect().close()
        except OperationalError:
            return False
        finally:
            engine.dispose()
        return True

    def kill(self) -> None:
        """SIGKILL to the main process; its children see that and end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)  # fast: open connections are cut
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(20)
            self.kill()
        self._home.cleanup()

    def _spawn(self) -> subprocess.Popen[bytes]:
        user = {"user": self._user} if self._user and os.geteuid() == 0 else {}
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [self._program, "-D", str(self._folder), "-k", self._sockets, "-h", ""],
                stdout=log, stderr=log, start_new_session=True, **user,
            )  # fmt: skip
