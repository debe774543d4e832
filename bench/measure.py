"""What did a process and all it started cost? CPU seconds and peak memory, read from /proc (Linux)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

_TICK = 1 / os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_EVERY_SECONDS = 0.25


@dataclass(frozen=True)
class Cost:
    """CPU seconds of the tree, and peaks over the tree in bytes: `rss` counts shared pages once per process, `pss`
    once in all; `largest` is the largest process's own peak."""

    cpu: float
    rss: int
    pss: int
    largest: int


class Watch:
    """Watches trees of processes from `with` to its end; `cost` is complete after it."""

    def __init__(self, *roots: int) -> None:
        self._roots = roots
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._rss = self._pss = self._largest = 0
        self._started = 0.0
        self.cost = Cost(0.0, 0, 0, 0)

    def __enter__(self) -> Watch:
        self._started = cpu_of(self._roots)
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        cpu = cpu_of(self._roots) - self._started
        self._sample()
        self._over.set()
        self._thread.join()
        self.cost = Cost(cpu, self._rss, self._pss, self._largest)

    def _look(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            self._sample()

    def _sample(self) -> None:
        sizes = [(_rss(pid), _pss(pid)) for pid in tree(self._roots)]
        self._rss = max(self._rss, sum(rss for rss, _ in sizes))
        self._pss = max(self._pss, sum(pss for _, pss in sizes))
        self._largest = max([self._largest, *(rss for rss, _ in sizes)])


def tree(roots: Iterable[int]) -> list[int]:
    """The roots that live, and their descendants."""
    found, waiting = [], [pid for pid in roots if _stat(pid)]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += _children(pid)
    return found


def cpu_of(roots: Iterable[int]) -> float:
    """CPU seconds of the trees so far; those who ended are counted by the parent that waited for them."""
    return sum(sum(map(int, fields[11:15])) for pid in tree(roots) if (fields := _stat(pid))) * _TICK


def wait_for(is_so: Callable[[], object], seconds: float, what: str, every: float = 0.02) -> None:
    """Returns when `is_so()` is true. Raises TimeoutError that says what was waited for."""
    until = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > until:
            raise TimeoutError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(every)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name: state, parent, …; nothing for a process that ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] in "ZX" else fields


def _children(pid: int) -> list[int]:
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except OSError:
        return []


def _rss(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
