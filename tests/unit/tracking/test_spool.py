"""The file in which opens wait: on disk before the answer, one sync for many, nothing after a torn line."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from challenge.tracking import spool
from challenge.tracking.classify import Evidence, observe
from challenge.tracking.networks import networks
from challenge.tracking.opens import Open
from challenge.tracking.spool import Spool

AT = datetime(2027, 3, 5, 12, 0, 0, 123456, tzinfo=UTC)
THREADS = 8


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.opens"), key=lambda path: path.stat().st_mtime_ns)


def is_held(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_line_holds_what_the_event_will_and_no_address() -> None:
    evidence = observe("GET", {"User-Agent": "Mozilla/5.0 Firefox/132.0"}, "203.0.113.77", b"k" * 32, networks())
    one = Open(70_000, evidence, AT, AT.replace(year=2026))
    line = one.to_line()
    assert Open.from_line(line) == one
    assert (line.count(b"\n"), line[-1:]) == (1, b"\n")
    assert b"203.0" not in line
    assert b"Firefox" not in line


@pytest.mark.parametrize(
    "line", [b"", b"\0\0\0", b"[1]", b"7", b'["x", 1, 2, 3]', b'[1, "soon", "now", {}]', b'[1, "2027-03-05", null, {}]']
)
def test_what_is_no_open_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        Open.from_line(line)


def test_the_hash_of_a_network_is_that_of_all_its_addresses() -> None:
    def source(address: str) -> str:
        return observe("GET", {}, address, b"k" * 32, networks()).source

    assert source("203.0.113.1") == source("203.0.113.255") != source("203.0.112.255")
    assert source("2001:db8:1::1") == source("2001:db8:1:ffff::") != source("2001:db8:2::1")
    assert source("unix:") == ""


def test_it_is_for_the_owners_eyes_and_held_until_it_is_left(tmp_path: Path) -> None:
    one = Spool(tmp_path / "opens")
    one.append(b"a\n")
    one.append(b"b\n")
    (path,) = files(tmp_path / "opens")
    assert path.read_bytes() == b"a\nb\n"
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
    assert is_held(path)
    one.leave()
    assert not is_held(path)
    one.append(b"c\n")
    assert [path.read_bytes() for path in files(tmp_path / "opens")] == [b"a\nb\n", b"c\n"]


def test_a_file_is_left_when_it_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "LONGEST", 5)
    one = Spool(tmp_path)
    for line in (b"aaa\n", b"bbb\n", b"ccc\n"):
        one.append(line)
    assert [path.read_bytes() for path in files(tmp_path)] == [b"aaa\nbbb\n", b"ccc\n"]
    assert [is_held(path) for path in files(tmp_path)] == [False, True]


def test_lines_that_wait_share_one_sync_and_none_returns_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, syncs, returned = Spool(tmp_path), list[int](), list[int]()
    one.append(b"first\n")
    sync = os.fdatasync

    def slow(fd: int) -> None:
        assert returned == []
        sync(fd)
        syncs.append(fd)

    def append(number: int) -> None:
        one.append(b"%d\n" % number)
        returned.append(number)

    monkeypatch.setattr(os, "fdatasync", slow)
    threads = [threading.Thread(target=append, args=(number,)) for number in range(THREADS)]
    with one._pen:
        for thread in threads:
            thread.start()
        while len(one._waiting) < THREADS:
            threads[0].join(0.01)
    for thread in threads:
        thread.join(30)
    assert (len(syncs), sorted(returned)) == (1, list(range(THREADS)))
    assert files(tmp_path)[0].read_bytes().count(b"\n") == THREADS + 1


@pytest.mark.parametrize("fault", ["full", "torn", "sync", "folder"])
def test_a_disk_that_refuses_is_told_to_each_and_nothing_follows_a_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    one, write = Spool(tmp_path), os.write
    one.append(b"good\n")

    def refuse(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if fault == "folder":
            one.leave()
            patch.setattr(os, "open", refuse)
        elif fault == "sync":
            patch.setattr(os, "fdatasync", refuse)
        else:
            patch.setattr(os, "write", refuse if fault == "full" else lambda fd, lines: write(fd, lines[:-2]))
        with pytest.raises(OSError):
            one.append(b"lost\n")
    with pytest.raises(OSError, match="a moment ago"):
        one.append(b"too soon\n")
    one._rests_until = 0.0
    one.append(b"good again\n")
    first, last = files(tmp_path)
    assert first.read_bytes() in (b"good\n", b"good\nlos", b"good\nlost\n")
    assert last.read_bytes() == b"good again\n"
    assert not is_held(first)


def test_a_file_that_a_drain_took_for_left_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, taken = fcntl.flock, list[Path]()

    def late(fd: int, how: int) -> None:
        if not taken:
            taken.extend(files(tmp_path))
            taken[0].unlink()
        lock(fd, how)

    monkeypatch.setattr(fcntl, "flock", late)
    Spool(tmp_path).append(b"a\n")
    (path,) = files(tmp_path)
    assert (path != taken[0], path.read_bytes()) == (True, b"a\n")


def test_evidence_of_an_older_version_is_read() -> None:
    line = b'[5, "2027-03-05T12:00:00+00:00", "2026-03-05T12:00:00+00:00", {"method": "HEAD"}]'
    assert Open.from_line(line).evidence == Evidence("HEAD", "browser", prefetch=False, source="")
