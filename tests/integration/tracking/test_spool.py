"""Opens on their way from the file into the database: wherever it is cut off, none is lost and none is doubled."""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import select

from challenge.db import Database
from challenge.models import Event, EventKind, SpoolFile
from challenge.tracking import opens, spool
from challenge.tracking.opens import write_opens
from challenge.tracking.spool import Drain, Spool
from tests.integration.tracking.test_opens import an_open, mails
from tests.unit.tracking.replay import START

__all__ = ["mails"]
LINES = 40
WRITER = """
import sys, threading, time
from datetime import timedelta
from pathlib import Path
from challenge.tracking.spool import Spool
from tests.integration.tracking.test_opens import an_open
spool = Spool(Path(sys.argv[1]))
def go(lane):
    for number in range(10_000):
        spool.append(an_open(int(sys.argv[3]), int(sys.argv[2]) + 8 * number + lane).to_line())
        sys.stdout.write(f"{int(sys.argv[2]) + 8 * number + lane}\\n"); sys.stdout.flush()
threads = [threading.Thread(target=go, args=(lane,)) for lane in range(8)]
[thread.start() for thread in threads]
while True:
    time.sleep(0.05)
    spool.leave()
"""
DRAIN = """
import sys
from pathlib import Path
from challenge.db import Database
from challenge.tracking import opens, spool
from challenge.tracking.opens import write_opens
spool._BATCH_BYTES = 4096
drain = spool.Drain(Database(sys.argv[2]), Path(sys.argv[1]))
sys.stdout.write("ready\\n"); sys.stdout.flush()
while True:
    drain.take_all()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "opens"


@pytest.fixture
def drain(database: Database, folder: Path) -> Iterator[Drain]:
    drain = Drain(database, folder)
    yield drain
    drain.close()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch holds about five opens, so that a file takes several transactions."""
    monkeypatch.setattr(spool, "_BATCH_BYTES", 1000)
    monkeypatch.setattr(spool, "_REST_SHARE", 0.0)


def numbers(database: Database) -> Counter[int]:
    """The opens in the database, by the second at which they were seen."""
    with database.read() as session:
        rows = session.exec(select(Event.recorded_at).where(Event.kind == EventKind.opened)).all()
    return Counter(round((at - START).total_seconds()) for at in rows)


def known(database: Database) -> int:
    with database.read() as session:
        return len(session.exec(select(SpoolFile)).all())


def written(folder: Path, mails: list[int], count: int = LINES, start: int = 0) -> None:
    one = Spool(folder)
    for number in range(start, start + count):
        one.append(an_open(mails[number % 3], number).to_line())
    one.leave()


def test_it_takes_over_what_is_left_once_and_removes_it(
    database: Database, mails: list[int], drain: Drain, folder: Path
) -> None:
    written(folder, mails)
    assert (drain.take_all(), drain.take_all()) == (LINES, 0)
    assert numbers(database) == Counter(range(LINES))
    assert ([path.name for path in folder.iterdir()], known(database)) == (["lock"], 0)


def test_it_touches_no_file_that_is_written_and_gives_way_to_another(
    database: Database, mails: list[int], drain: Drain, folder: Path
) -> None:
    live = Spool(folder)
    live.append(an_open(mails[0], 1).to_line())
    assert drain.take_all() == 0
    live.leave()
    with_it = Drain(database, folder)
    drain.take_all()
    live.append(an_open(mails[0], 2).to_line())
    live.leave()
    assert with_it.take_all() == 0
    with_it.close()
    assert drain.take_all() == 1
    assert numbers(database) == Counter([1, 2])


@pytest.mark.parametrize("tail", [b'[1, "2027-', b"\0" * 300, b"garbage\n\0\0"])
def test_a_torn_or_strange_end_takes_nothing_with_it(
    database: Database, mails: list[int], drain: Drain, folder: Path, tail: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    written(folder, mails)
    (path,) = folder.glob("*.opens")
    with path.open("ab") as file:
        file.write(tail)
    with caplog.at_level(logging.CRITICAL):
        drain.take_all()
    assert numbers(database) == Counter(range(LINES))
    assert list(folder.glob("*.opens")) == []


@pytest.mark.parametrize("dies", [False, True])
def test_what_cannot_be_written_is_set_aside_and_comes_once_when_the_program_can(
    database: Database,
    mails: list[int],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    dies: bool,
) -> None:
    """`dies`: between the file and the commit, so that the batch comes again."""
    row = opens._row

    def broken(one: Any, mail: Any, others: Any) -> dict[str, Any]:
        if one.delivery_id == mails[1]:
            raise KeyError("a program error")
        return row(one, mail, others)

    def dying(session: Any, group: Any) -> list[Any]:
        refused = write_opens(session, group)
        if dies and refused:
            event.listen(session, "before_commit", _crash, once=True)
        return refused

    written(folder, mails)
    bad = {number for number in range(LINES) if number % 3 == 1}
    drain = Drain(database, folder)
    with monkeypatch.context() as patch, caplog.at_level(logging.CRITICAL):
        patch.setattr(opens, "_row", broken)
        patch.setattr(spool, "write_opens", dying)
        if dies:
            with pytest.raises(_Crash):
                drain.take_all()
            drain.close()
            assert list(folder.glob("*.aside"))
            drain = Drain(database, folder)
            patch.setattr(spool, "write_opens", write_opens)
        drain.take_all()  # what it sets aside is tried once more
        drain.take_all()
    drain.close()
    assert numbers(database) == Counter(set(range(LINES)) - bad)
    assert sum(path.read_bytes().count(b"\n") for path in folder.glob("*.aside")) == len(bad)
    drain = Drain(database, folder)
    for _ in range(2):
        drain.take_all()
    drain.close()
    assert numbers(database) == Counter(range(LINES))
    assert ([path.name for path in folder.iterdir()], known(database)) == (["lock"], 0)


def test_a_file_set_aside_goes_when_its_batch_comes_again_and_is_well(
    database: Database, mails: list[int], folder: Path, drain: Drain
) -> None:
    written(folder, mails)
    (path,) = folder.glob("*.opens")
    (folder / f"{path.stem}-0.aside").write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    for _ in range(2):
        drain.take_all()
    assert numbers(database) == Counter(range(LINES))


class _Crash(Exception):
    pass


def _crash(_session: object) -> None:
    raise _Crash


@pytest.mark.parametrize(
    "crash", ["before the events", "before the commit", "after the commit", "unlinked", "forgotten"]
)
@pytest.mark.parametrize("turn", [1, 2, 4])
def test_cut_off_anywhere_it_loses_and_doubles_none(
    database: Database, mails: list[int], folder: Path, monkeypatch: pytest.MonkeyPatch, crash: str, turn: int
) -> None:
    for start in range(0, LINES, LINES // 4):  # four files of several batches
        written(folder, mails, LINES // 4, start)
    turns = iter(range(1, 100))

    def cut() -> None:
        if next(turns) == turn:
            raise KeyboardInterrupt

    def before(work: Any) -> Any:
        return lambda *given: [cut(), work(*given)][1]  # type: ignore[func-returns-value]

    def after(work: Any) -> Any:
        return lambda *given: [work(*given), cut()][0]  # type: ignore[func-returns-value]

    with monkeypatch.context() as patch:
        if crash == "before the events":
            patch.setattr("challenge.tracking.spool.write_opens", before(write_opens))
        elif crash == "before the commit":
            patch.setattr("challenge.tracking.spool.write_opens", after(write_opens))
        elif crash == "after the commit":
            patch.setattr(Drain, "_take_batch", after(Drain._take_batch))
        elif crash == "unlinked":
            patch.setattr(spool, "_sync", before(spool._sync))
        else:
            patch.setattr(Drain, "_remove", after(Drain._remove))
        first = Drain(database, folder)
        with suppress(KeyboardInterrupt):
            first.take_all()
        first.close()
    second = Drain(database, folder)
    second.take_all()
    second.close()
    assert numbers(database) == Counter(range(LINES))
    assert list(folder.glob("*.opens")) == []


def test_two_that_both_believe_in_a_file_do_not_double_it(
    database: Database, mails: list[int], drain: Drain, folder: Path
) -> None:
    """A file system without locks: the row decides."""
    written(folder, mails)
    (path,) = folder.glob("*.opens")
    other = Drain(database, folder)
    with path.open("rb") as file:
        assert drain._start_of(path.name) == other._start_of(path.name) == 0
        drain._take_batch(path.name, file.fileno())
        with pytest.raises(SQLAlchemyError):
            other._take_batch(path.name, file.fileno())
    other.close()
    drain.take_all()
    assert numbers(database) == Counter(range(LINES))


def test_while_the_database_is_away_they_wait_and_it_is_said_once(
    database: Database,
    mails: list[int],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    live, over, away = Spool(folder), threading.Event(), threading.Event()
    away.set()
    write = database.write

    @contextmanager
    def sometimes() -> Any:
        if away.is_set():
            raise SQLAlchemyError("away")
        with write() as session:
            yield session

    monkeypatch.setattr(database, "write", sometimes)
    monkeypatch.setattr(spool, "_DRAIN_SECONDS", 0.02)
    until = threading.Thread(target=over.wait)
    until.start()
    thread = threading.Thread(target=Drain(database, folder).run, args=(live, until))
    thread.start()
    for number in range(3):
        live.append(an_open(mails[0], number).to_line())
        time.sleep(0.1)
    assert numbers(database) == Counter()
    away.clear()
    live.append(an_open(mails[0], 3).to_line())
    over.set()
    thread.join(30)
    assert numbers(database) == Counter(range(4))
    assert [record.getMessage() for record in caplog.records].count("Opens wait for the database.") == 1


def test_a_batch_is_one_transaction(database: Database, mails: list[int], drain: Drain, folder: Path) -> None:
    written(folder, mails, 5)
    commits: list[Any] = []
    event.listen(database.engine, "commit", commits.append)
    drain.take_all()
    assert len(commits) <= 3  # one or two batches, and what is known of the file


def test_kill_9_of_the_writer_and_of_the_drain_loses_and_doubles_none(
    database: Database, mails: list[int], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice, answered = random.Random("opens"), list[int]()
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}

    def start(program: str, *words: str) -> tuple[subprocess.Popen[str], IO[str]]:
        made = subprocess.Popen(
            [sys.executable, "-c", program, str(folder), *words], env=environ, stdout=subprocess.PIPE, text=True
        )
        assert made.stdout is not None
        return made, made.stdout

    for life in range(2):
        writer, told = start(WRITER, str(life * 1_000_000), str(mails[life]))
        answered.append(int(told.readline()))
        for is_last in (False, True):
            drainer, ready = start(DRAIN, database.url)
            assert ready.readline() == "ready\n"
            time.sleep(0.1 + 0.2 * dice.random())
            if is_last:
                writer.kill()
            time.sleep(0.1 * dice.random())
            drainer.kill()
            drainer.wait(10)
            ready.close()
        answered += [int(line) for line in told.read().split("\n")[:-1]]
        writer.wait(10)
        told.close()
    monkeypatch.setattr(spool, "_BATCH_BYTES", 64 * 1024)
    last = Drain(database, folder)
    last.take_all()
    last.close()
    found = numbers(database)
    assert len(answered) > 100
    assert set(answered) - set(found) == set()
    assert [number for number, count in found.items() if count > 1] == []
    assert len(set(found) - set(answered)) <= 16  # on disk, and killed before the answer: at most one a thread
    assert list(folder.glob("*.opens")) == []


def test_a_power_cut_may_bring_back_a_removed_file_while_its_row_is_there(
    database: Database, mails: list[int], drain: Drain, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(folder, mails)
    (path,) = folder.glob("*.opens")
    kept = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(spool, "_sync", lambda _: (_ for _ in ()).throw(OSError("power cut")))
        with pytest.raises(OSError, match="power cut"):
            drain.take_all()
    path.write_bytes(kept)
    drain._read_to.clear()
    drain.take_all()
    assert numbers(database) == Counter(range(LINES))
    assert known(database) == 0
