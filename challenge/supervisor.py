"""How do many processes start, live and end as one? `challenge up` and `demo` are a Supervisor; its children call
`exit_with_parent` first thing, and binaries that cannot (Valkey) run under `python -m challenge.supervisor guard -- …`.

Two things are inherited by every child. A *leash*: the read end of a pipe whose write end only the supervisor holds,
so that even its kill -9 is seen as end of file. And the *lock* on the data directory: flock belongs to the open file,
so the next start can tell that a child of the last one still lives, and waits instead of sharing its files.
"""

from __future__ import annotations

import errno
import fcntl
import http.client
import os
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO
from urllib.parse import urlsplit

from challenge.errors import UsageError

PARENT_FD = "CHALLENGE_PARENT_FD"
READY_SECONDS = 30.0
TICK_SECONDS = 0.5
GRACE_SECONDS = 10.0
LAST_RUN_SECONDS = 15.0
LOG_BYTES = 10_000_000
_FIRST_BACK_OFF_SECONDS, _LAST_BACK_OFF_SECONDS = 0.5, 10.0
_SAME_PRESS_SECONDS = 0.5
_TOLD_LINES = 20


class Leash:
    """A pipe that tells children that this process is gone: they hold the read end and see end of file."""

    def __init__(self) -> None:
        self.read_fd, self._write_fd = os.pipe()

    def environment(self) -> dict[str, str]:
        return {PARENT_FD: str(self.read_fd)}

    def close(self) -> None:
        os.close(self.read_fd)
        os.close(self._write_fd)


@dataclass
class _Child:
    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready: Callable[[], bool] | None
    stop_seconds: float
    log: Path
    log_start: int = 0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    back_off_seconds: float = field(default=_FIRST_BACK_OFF_SECONDS)
    start_again_at: float | None = None

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill_group(self) -> None:
        """SIGKILL for the child and for what it left behind; its group carries its pid until that is given anew."""
        if self.process is not None and self.start_again_at is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def last_lines(self, count: int) -> list[str]:
        """What it wrote last since it was started, without empty lines."""
        with suppress(OSError), self.log.open("rb") as log:
            log.seek(max(self.log_start, self.log.stat().st_size - 64_000))
            return [line for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()][-count:]
        return []


class Supervisor:
    """Starts children in order, keeps them alive, stops them in reverse. Needs the main thread (it takes signals)."""

    def __init__(self, data_dir: Path, echo: Callable[[str], None]) -> None:
        self._data_dir = data_dir.absolute()
        self._echo = echo
        self._children: list[_Child] = []
        self._leash = Leash()
        self._lock: IO[str] | None = None
        self._wake_fd = -1
        self._asked = 0
        self._asked_at = 0.0
        self._in_callback = False

    def add(
        self,
        name: str,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        ready: Callable[[], bool] | None = None,
        stop_seconds: float = GRACE_SECONDS,
    ) -> None:
        """One more child, started after those before it are ready. `env` is laid over this process's own."""
        log = self._data_dir / "logs" / f"{name}.log"
        self._children.append(_Child(name, tuple(argv), env or {}, ready, stop_seconds, log))

    def hold(self) -> None:
        """Takes the data directory; `run_forever` does it if nobody did. Raises UsageError: in use, or not writable."""
        if self._lock is None:
            self._lock = _opened_lock(self._data_dir)
            try:
                self._wait_for_lock(self._lock)
            except BaseException:
                self._release()
                raise

    def run_forever(self, on_ready: Callable[[], None], tick: Callable[[], None] | None = None) -> int:
        """Until SIGINT, SIGTERM or SIGHUP: 0. If a child does not come up: 1. `tick` is called about twice a second."""
        self.hold()
        with self._signals_taken():
            try:
                if not self._start_all():
                    return 0 if self._asked else 1
                self._call(on_ready)
                while not self._asked:
                    self._pause(TICK_SECONDS)
                    self._revive()
                    if tick is not None and not self._asked:
                        self._call(tick)
            except KeyboardInterrupt:
                if not self._asked:
                    raise
            finally:
                self._stop_all()
                self._release()
        return 0

    def finish(self) -> None:
        """What it was started for is done: `run_forever` stops all and returns 0. For callbacks."""
        self._asked = self._asked or 1

    def _wait_for_lock(self, lock: IO[str]) -> None:
        deadline = time.monotonic() + LAST_RUN_SECONDS
        told = False
        while not _is_locked_by_us(lock):
            lock.seek(0)
            owner = lock.read().strip()
            if _is_alive(owner) or time.monotonic() > deadline:
                raise UsageError(
                    f"Challenge is already running (pid {owner or 'unknown'}) in {self._data_dir}. "
                    "Stop that one first, or set CHALLENGE_DATA_DIR to another directory."
                )
            if not told:
                self._say("The last run was cut off; waiting for its processes to end ...")
                told = True
            time.sleep(0.1)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _start_all(self) -> bool:
        for child in self._children:
            try:
                self._spawn(child)
            except OSError as error:
                self._say(f"{child.name} cannot be started: {error.strerror} ({child.argv[0]}).")
                return False
            if not self._becomes_ready(child):
                return False
        return True

    def _spawn(self, child: _Child) -> None:
        assert self._lock is not None
        if child.log.exists() and child.log.stat().st_size > LOG_BYTES:
            child.log.replace(child.log.with_suffix(".log.1"))
        with child.log.open("ab") as log:
            child.log_start = log.tell()
            child.process = subprocess.Popen(
                child.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **child.env, **self._leash.environment()},
                pass_fds=(self._leash.read_fd, self._lock.fileno()),
                start_new_session=True,
            )
        child.started_at = time.monotonic()
        child.start_again_at = None

    def _becomes_ready(self, child: _Child) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while not self._asked:
            if not child.is_running():
                return self._tell_failure(child, f"{_how_it_ended(child)} before it was ready")
            if child.ready is None or child.ready():
                return True
            if time.monotonic() > deadline:
                return self._tell_failure(child, f"was not ready after {READY_SECONDS:.0f} s")
            self._pause(0.02)
            self._revive(but=child)
        return False

    def _tell_failure(self, child: _Child, what: str) -> bool:
        lines = child.last_lines(_TOLD_LINES)
        self._say(f"{child.name} {what}, so nothing was started." + (" Its last words:" if lines else ""))
        for line in lines:
            self._say(f"  | {line}")
        self._say(f"  All of its log: {child.log}")
        return False

    def _revive(self, but: _Child | None = None) -> None:
        for child in self._children:
            if child is but or child.process is None or child.is_running() or self._asked:
                continue
            if child.start_again_at is None:
                self._plan_restart(child)
            elif time.monotonic() >= child.start_again_at:
                self._restart(child)

    def _plan_restart(self, child: _Child) -> None:
        child.kill_group()
        now = time.monotonic()
        if now - child.started_at > READY_SECONDS:
            child.back_off_seconds = _FIRST_BACK_OFF_SECONDS
        last = "".join(child.last_lines(1)).strip()[:160]
        self._say(
            f"{child.name} {_how_it_ended(child)}{f': {last}' if last else ''}. Starting it again in "
            f"{child.back_off_seconds:g} s; log: {child.log}"
        )
        child.start_again_at = now + child.back_off_seconds
        child.back_off_seconds = min(child.back_off_seconds * 2, _LAST_BACK_OFF_SECONDS)

    def _restart(self, child: _Child) -> None:
        try:
            self._spawn(child)
        except OSError as error:
            self._say(f"{child.name} cannot be started again yet: {error.strerror}.")
            child.start_again_at = time.monotonic() + child.back_off_seconds

    def _stop_all(self) -> None:
        stopped = [child.name for child in reversed(self._children) if self._stop(child)]
        if stopped:
            self._say(f"Stopped: {', '.join(stopped)}.")

    def _stop(self, child: _Child) -> bool:
        """True if it was there to be stopped."""
        process, was_running = child.process, child.is_running()
        if process is None:
            return False
        if was_running:
            process.terminate()
            self._wait_for_end(child)
        child.kill_group()
        process.wait()
        child.process = None
        return was_running

    def _wait_for_end(self, child: _Child) -> None:
        deadline = time.monotonic() + child.stop_seconds
        while child.is_running():
            if time.monotonic() > deadline:
                self._say(f"{child.name} did not stop within {child.stop_seconds:g} s and was killed.")
                return
            self._pause(0.05)

    def _say(self, sentence: str) -> None:
        """A terminal that went away must not keep the children from being looked after."""
        with suppress(OSError):
            self._echo(sentence)

    def _call(self, callback: Callable[[], None]) -> None:
        self._in_callback = True
        try:
            callback()
        finally:
            self._in_callback = False

    @contextmanager
    def _signals_taken(self) -> Iterator[None]:
        """Signals wake `_pause` through a pipe; a terminal that was told to be ignored (nohup) stays ignored."""
        self._wake_fd, write_fd = os.pipe()
        os.set_blocking(self._wake_fd, False)
        os.set_blocking(write_fd, False)
        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGCHLD]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        wake_before = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(wake_before)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._wake_fd)
            os.close(write_fd)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if number == signal.SIGCHLD or (self._asked and now - self._asked_at < _SAME_PRESS_SECONDS):
            return  # one Ctrl-C can arrive twice: from the terminal, and from a parent that passes it on
        self._asked, self._asked_at = self._asked + 1, now
        if self._asked > 1:
            for child in self._children:
                child.kill_group()
        elif self._in_callback:
            raise KeyboardInterrupt

    def _pause(self, seconds: float) -> None:
        if select.select([self._wake_fd], [], [], seconds)[0]:
            with suppress(BlockingIOError):
                os.read(self._wake_fd, 4096)


def exit_with_parent(grace_seconds: float = GRACE_SECONDS) -> None:
    """Ends this process when its supervisor is gone: SIGTERM to itself, and the end after `grace_seconds`.

    Does nothing in a process that no supervisor started. Forked children (an RQ work horse) inherit the watch without
    the SIGTERM: their parent decides, and only what outlives the grace is ended.
    """
    fd = int(os.environ.pop(PARENT_FD, "-1"))
    if not _is_pipe(fd):
        return
    _watch(fd, grace_seconds, ask_first=True)
    os.register_at_fork(after_in_child=lambda: _watch(fd, grace_seconds, ask_first=False))


def _is_pipe(fd: int) -> bool:
    try:
        return fd >= 0 and stat.S_ISFIFO(os.fstat(fd).st_mode)
    except OSError:
        return False


def _watch(fd: int, grace_seconds: float, *, ask_first: bool) -> None:
    def wait() -> None:
        while os.read(fd, 1):
            pass
        if ask_first:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
        time.sleep(grace_seconds)
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait, name="exit-with-parent", daemon=True).start()


def guard(argv: Sequence[str]) -> int:
    """Runs a program that knows nothing of leashes, passes SIGTERM on to it, and returns its exit code."""
    child = subprocess.Popen(argv, close_fds=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: child.terminate())
    exit_with_parent()
    code = child.wait()
    return 128 - code if code < 0 else code


def guarded(argv: Sequence[str]) -> tuple[str, ...]:
    """The command line that runs a foreign binary on the supervisor's leash."""
    return (sys.executable, "-m", "challenge.supervisor", "guard", "--", *argv)


def require_free_port(host: str, port: int, variable: str = "CHALLENGE_PORT") -> None:
    """Raises UsageError that names the variable if nothing can listen there now. Port 0 (any) is always free."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        reasons = {
            errno.EADDRINUSE: f"Port {port} on {host} is in use. Stop what listens there, or set {variable} to another.",
            errno.EACCES: f"Port {port} needs more rights than this user has. Set {variable} to one above 1023.",
        }
        other = f"Nothing can listen on {host}: {error.strerror}. Set CHALLENGE_HOST to an address of this machine."
        raise UsageError(reasons.get(error.errno or 0, other)) from error


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on at this moment."""
    with socket.create_server((host, 0)) as probe:
        return int(probe.getsockname()[1])


def http_ready(url: str) -> bool:
    """Whether a GET of this http:// address is answered with 2xx within a second; no proxy is asked."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=1.0)
    try:
        connection.request("GET", parts.path or "/")
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def port_ready(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _opened_lock(data_dir: Path) -> IO[str]:
    try:
        (data_dir / "logs").mkdir(parents=True, exist_ok=True)
        return (data_dir / "supervisor.lock").open("a+")
    except OSError as error:
        raise UsageError(
            f"The data directory {data_dir} cannot be used ({error.strerror}). "
            "Make it writable, or set CHALLENGE_DATA_DIR to another."
        ) from error


def _is_locked_by_us(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (ValueError, ProcessLookupError):
        return False
    return True


def _how_it_ended(child: _Child) -> str:
    code = None if child.process is None else child.process.returncode
    if code is None or code >= 0:
        return f"ended (exit {code})"
    return f"was killed ({signal.Signals(-code).name})"


if __name__ == "__main__":
    if sys.argv[1:3] != ["guard", "--"] or len(sys.argv) < 4:
        sys.exit("usage: python -m challenge.supervisor guard -- PROGRAM [ARGUMENT ...]")
    sys.exit(guard(sys.argv[3:]))
