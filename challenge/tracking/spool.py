"""How does an open get from its answer into the database, so that no answer waits for the database and none is lost or
doubled, whenever the process is killed?

`Spool`: each open is a line in a file that is on disk before the picture is answered. Whoever writes a file holds its flock
until it is full, a second old, or the process is gone; a line without its end was never answered. `Drain`: takes the
files that nobody holds over in batches, and writes how far it has read in the same transaction as the events. A file that
was read to its end is removed first, what is known of it after: what was cut off is taken up where it stopped. What
cannot be written is set aside in a file of its own, and tried again by the next process.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import col, delete, select

from challenge.db import Database
from challenge.errors import UsageError
from challenge.models import SpoolFile
from challenge.tracking.opens import Open, write_opens

SPOOL = "opens"  # the folder in the data directory
LONGEST = 1_000_000
REST_SECONDS = 1.0
_BATCH_BYTES = 64 * 1024  # about 250 opens
_REST_SHARE = 3.0
_DRAIN_SECONDS = 1.0
_NAMES = "*.opens"
ASIDE = "*.aside"
log = logging.getLogger(__name__)


class _Waiting:
    """A line whose thread waits for its `turn`: it is on disk, or `error` says why not; or it is to write for all."""

    def __init__(self, line: bytes) -> None:
        self.line, self.is_over = line, False
        self.error: OSError | None = None
        self.turn = threading.Lock()
        self.turn.acquire()


class Spool:
    """One for all threads of a process. A disk that refused is left alone for REST_SECONDS."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._pen, self._door = folder, threading.Lock(), threading.Lock()
        self._waiting: list[_Waiting] = []
        self._somebody_writes = False
        self._fd, self._size = -1, 0
        self._refused, self._rests_until = "", 0.0

    def append(self, line: bytes) -> None:
        """Returns when the line is durable; threads that come in together share one sync. Raises OSError."""
        mine = _Waiting(line)
        with self._door:
            self._waiting.append(mine)
            is_first, self._somebody_writes = not self._somebody_writes, True
        if not is_first:
            mine.turn.acquire()
        if not mine.is_over:
            self._write_all()
        if mine.error is not None:
            raise mine.error

    def leave(self) -> None:
        """Leaves what is written to the drain; what comes next goes into another file."""
        with self._pen:
            self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._size = -1, 0

    def _write_all(self) -> None:
        """Writes what waits, and lets the first of those who came meanwhile write next. Those that are done wait for nobody."""
        error: OSError | None = OSError("it was cut off")
        group: list[_Waiting] = []
        try:
            with self._pen:
                with self._door:
                    group, self._waiting = self._waiting, []
                self._write(b"".join(one.line for one in group))
                error = None
        except OSError as refused:
            error = refused
        finally:
            with self._door:
                following = self._waiting[:1]
                self._somebody_writes = bool(following)
            for one in group:
                one.error, one.is_over = error, True
            for one in following + group:
                one.turn.release()

    def _write(self, lines: bytes) -> None:
        if time.monotonic() < self._rests_until:
            raise OSError(f"the disk refused a moment ago: {self._refused}")
        try:
            if self._fd < 0:
                self._fd = _created(self._folder)
            if os.write(self._fd, lines) < len(lines):
                raise OSError("the disk is full")
            os.fdatasync(self._fd)
        except OSError as error:
            self._close()  # its last line may be torn, so nothing may follow it
            self._refused, self._rests_until = str(error), time.monotonic() + REST_SECONDS
            raise
        self._size += len(lines)
        if self._size > LONGEST:
            self._close()


class Drain:
    """Takes the lines of a folder over into the database. One at a time does: the others find the folder locked. Raises
    UsageError when the folder cannot be used."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database, self._folder = database, folder
        self._read_to: dict[str, int] = {}
        self._is_new = True
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise UsageError(
                f"Opens cannot be kept in {folder} ({error.strerror}). "
                "Make it writable, or set CHALLENGE_DATA_DIR to another directory."
            ) from error

    def close(self) -> None:
        os.close(self._lock)

    def run(self, spool: Spool, until: threading.Thread) -> None:
        """Takes over what comes into `spool`, until that thread has ended, and once more then."""
        is_well = True
        while True:
            is_last = not until.is_alive()
            spool.leave()
            try:
                self.take_all()
                is_well = True
            except Exception:  # the edge of a thread: the lines wait, the next look tries again
                if is_well:
                    log.exception("Opens wait for the database.", extra={"action": "opens_wait"})
                is_well = False
            if is_last:
                return self.close()
            until.join(_DRAIN_SECONDS)

    def take_all(self) -> int:
        """Takes what nobody writes any more; returns how many lines. Raises OSError, SQLAlchemyError."""
        if not _is_locked(self._lock):
            return 0
        taken = 0
        for path in sorted(self._folder.glob(_NAMES), key=lambda path: path.stat().st_mtime):
            taken += self._take_file(path)
        if self._is_new:
            self._is_new = False
            for path in self._folder.glob(ASIDE):
                path.rename(_path_in(self._folder))
        return taken

    def _take_file(self, path: Path) -> int:
        taken, began = 0, time.thread_time()
        with path.open("rb") as file:
            if not _is_locked(file.fileno()):
                return 0
            while batch := self._take_batch(path.name, file.fileno()):
                taken += batch
                time.sleep(_REST_SHARE * (time.thread_time() - began))  # the interpreter belongs to the answers
                began = time.thread_time()
            self._remove(path)
        return taken

    def _take_batch(self, name: str, fd: int) -> int:
        start = self._start_of(name)
        data = os.pread(fd, _BATCH_BYTES, start)
        lines = data[: data.rfind(b"\n") + 1]
        if not lines:
            return 0
        opens = _opens_in(lines)
        del self._read_to[name]  # not known until the commit is
        with self._database.write() as session:
            row = session.get(SpoolFile, name, with_for_update=True) or SpoolFile(name=name)
            if row.read_to != start:
                raise StaleDataError(f"another drain has read {name}, to {row.read_to} instead of {start}")
            row.read_to += len(lines)
            session.add(row)
            session.flush()
            self._set_aside(f"{Path(name).stem}-{start}", write_opens(session, opens))
        self._read_to[name] = start + len(lines)
        return lines.count(b"\n")

    def _set_aside(self, stem: str, refused: list[Open]) -> None:
        """Before the commit, under a name that tells the batch: if it comes again, so does this file, or goes."""
        path = self._folder / ASIDE.replace("*", stem)
        if not refused:
            return path.unlink(missing_ok=True)
        with path.open("wb") as file:
            file.write(b"".join(one.to_line() for one in refused))
            os.fsync(file.fileno())
        _sync(self._folder)
        return None

    def _start_of(self, name: str) -> int:
        if name not in self._read_to:
            with self._database.read() as session:
                found = session.exec(select(SpoolFile.read_to).where(SpoolFile.name == name)).first()
            self._read_to[name] = found or 0
        return self._read_to[name]

    def _remove(self, path: Path) -> None:
        path.unlink()
        _sync(self._folder)  # or a power cut could bring the file back after its row is gone
        if self._read_to.pop(path.name):
            with self._database.write() as session:
                session.exec(delete(SpoolFile).where(col(SpoolFile.name) == path.name))


def _path_in(folder: Path) -> Path:
    return folder / _NAMES.replace("*", uuid.uuid4().hex)


def _created(folder: Path) -> int:
    """A new file of this process. Its name is durable, and its lock is held before anything is in it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while True:
        path = _path_in(folder)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            _sync(folder)
            return fd
        os.close(fd)  # a drain was quicker, and took it for one that was left


def _is_locked(fd: int) -> bool:
    with suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _opens_in(lines: bytes) -> list[Open]:
    opens = []
    for line in lines.splitlines():
        try:
            opens.append(Open.from_line(line))
        except ValueError:
            log.exception("A line is no open.", extra={"action": "event_lost"})
    return opens
