"""The doctor looks at a whole installation: real databases, a real Valkey, a DNS of nothing; and says it as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import event

from challenge.clock import real_now, set_up
from challenge.db import Database
from challenge.doctor import machine
from challenge.doctor.examine import examine
from challenge.doctor.finding import Finding, State
from challenge.doctor.volume import GMAIL_WATCH, volume
from challenge.embedded.valkey import EmbeddedValkey
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Subscriber
from challenge.programme.definition import shipped
from challenge.settings import Environment, Settings
from challenge.tracking.spool import SPOOL, Spool

pytestmark = pytest.mark.integration
NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


class Nothing:
    """A DNS in which nothing exists."""

    def txt(self, name: str) -> list[str]:
        return []

    def mx(self, name: str) -> list[tuple[int, str]]:
        return []

    def addresses(self, name: str) -> list[str]:
        return []

    def names(self, address: str) -> list[str]:
        return []

    def has_soa(self, name: str) -> bool:
        return False


def states(found: list[Finding]) -> dict[str, State]:
    return {one.check: one.state for one in found}


def test_it_looks_at_everything_and_nothing_stops_it(database: Database) -> None:
    settings = Settings(secret_key="k" * 32, mail_from="Us <a@ours.example>", redis_url="redis://127.0.0.1:1")
    settings = settings.model_copy(update={"port": 1})
    found = examine(settings, shipped(), database, Nothing(), seconds=1.0)
    told = states(found.findings)
    assert not found.is_healthy
    assert {check for check, state in told.items() if state is State.problem} >= {
        "spf",
        "dkim",
        "dmarc",
        "mx sender",
        "redis",
    }
    assert told["database"] is State.ok
    assert told["disk"] in (State.ok, State.warning)
    assert told["ptr"] is told["relay"] is told["address"] is State.not_checked
    assert told["clock skew"] is (State.not_checked if database.is_sqlite else State.ok)
    assert all(one.to_do for one in found.findings if one.state is not State.ok)


def test_a_database_that_forgets_is_a_problem(database: Database) -> None:
    assert set(states(list(machine.database(database))).values()) == {State.ok}
    if database.is_sqlite:
        event.listen(database.engine, "checkout", lambda connection, *_: connection.execute("PRAGMA synchronous=OFF"))
        assert states(list(machine.database(database)))["database synchronous"] is State.problem


def test_an_empty_database_is_a_problem(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    [found] = machine.database(database)
    assert found.state is State.problem
    database.close()


def test_opens_that_nobody_takes_over_are_a_problem(tmp_path: Path) -> None:
    settings = Settings(secret_key="k" * 32, data_dir=tmp_path)
    assert states(list(machine.opens(settings))) == {"opens": State.ok}
    spool = Spool(tmp_path / SPOOL)
    spool.append(b"an open\n")
    assert states(list(machine.opens(settings))) == {"opens": State.ok}
    (path,) = (tmp_path / SPOOL).glob("*.opens")
    os.utime(path, (0, 0))
    [found] = machine.opens(settings)
    assert (found.state, "1970-01-01 00:00 UTC" in found.words) == (State.problem, True)
    spool.leave()


@pytest.mark.parametrize(
    ("folder", "file", "state"), [(0o755, 0o644, State.problem), (0o700, 0o644, State.ok), (0o755, 0o640, State.ok)]
)
def test_a_database_that_every_user_may_read_is_a_problem(tmp_path: Path, folder: int, file: int, state: State) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "challenge.sqlite3").touch()
    (data / "challenge.sqlite3").chmod(file)
    data.chmod(folder)
    [found] = machine.privacy(Settings(secret_key="k" * 32, data_dir=data))
    assert found.state is state


def test_opens_that_were_set_aside_are_a_problem(tmp_path: Path) -> None:
    settings = Settings(secret_key="k" * 32, data_dir=tmp_path)
    (tmp_path / SPOOL).mkdir()
    (tmp_path / SPOOL / "0-0.aside").write_bytes(b"one\ntwo\n")
    [found] = machine.opens(settings)
    assert (found.state, found.words.split()[0]) == (State.problem, "2")


def test_a_warped_clock_is_a_problem_in_production_only(database: Database) -> None:
    settings = Settings(secret_key="k" * 32, clock_speed=60.0)
    with database.write() as session:
        set_up(session, settings)
    production = settings.model_copy(update={"env": Environment.production})
    for given, state in (
        (settings, State.warning),
        (production, State.problem),
    ):
        assert states(list(machine.clock(database, given, None)))["clock"] is state


@pytest.mark.parametrize(("seconds", "state"), [(0, State.ok), (20, State.warning), (300, State.problem)])
def test_clocks_that_differ_are_told(database: Database, seconds: int, state: State) -> None:
    elsewhere = real_now() - timedelta(seconds=seconds)
    found = list(machine.clock(database, Settings(secret_key="k" * 32), elsewhere))
    assert state in {one.state for one in found if "public address" in one.words}


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path)
    server.start()
    yield server
    server.stop()


def test_redis_must_keep_what_it_is_told(valkey: EmbeddedValkey) -> None:
    from redis import Redis

    assert states(list(machine.redis(valkey.url)))["redis"] is State.ok
    with Redis.from_url(valkey.url) as client:
        client.config_set("appendonly", "no")
        client.config_set("maxmemory-policy", "allkeys-lru")
    assert states(list(machine.redis(valkey.url))) == {"redis": State.warning, "redis memory": State.warning}


def test_gmail_is_watched(database: Database) -> None:
    _sent(database, "gmail.com", GMAIL_WATCH - 1, NOON - timedelta(hours=2))
    _sent(database, "example.com", 5, NOON - timedelta(hours=2))
    _sent(database, "gmail.com.example", 5, NOON - timedelta(hours=2))
    _sent(database, "googlemail.com", 5, NOON - timedelta(hours=25))
    with database.read() as session:
        assert states(list(volume(session, NOON)))["gmail volume"] is State.ok
    _sent(database, "googlemail.com", 1, NOON - timedelta(hours=3), start=9000)
    with database.read() as session:
        assert states(list(volume(session, NOON)))["gmail volume"] is State.warning


def _sent(database: Database, domain: str, count: int, at: datetime, start: int = 0) -> None:
    with database.write() as session:
        people = [
            Subscriber(email=f"p{n}@{domain}", email_key=f"p{n}@{domain}", timezone="UTC", hour=8, created_at=at)
            for n in range(start, start + count)
        ]
        session.add_all(people)
        session.flush()
        runs = [
            Enrollment(subscriber_id=one.id or 0, challenge="x", state=EnrollmentState.active, signed_up_at=at)
            for one in people
        ]
        session.add_all(runs)
        session.flush()
        session.add_all(
            Delivery(
                enrollment_id=run.id or 0,
                key="day-1",
                mail="day",
                is_daily=True,
                state=DeliveryState.sent,
                planned_at=at,
                due_at=at,
                created_at=at,
                closed_at=at,
            )
            for run in runs
        )


def test_the_command_says_it_as_json_and_with_its_exit_code(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin", "CHALLENGE_DATA_DIR": str(tmp_path), "CHALLENGE_PORT": "1"}
    command = [sys.executable, "-m", "challenge.cli", "doctor", "--json", "--seconds", "1"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False, cwd=tmp_path, text=True)
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert told["healthy"] is False
    assert {"check": "database", "state": "problem"}.items() <= {
        name: value for one in told["findings"] if one["check"] == "database" for name, value in one.items()
    }.items()
    assert {one["state"] for one in told["requirements"]} <= {"ok", "not checked", "warning", "problem"}
    wrong = subprocess.run([*command, "--ip", "x"], env=environment, capture_output=True, check=False, cwd=tmp_path)
    assert wrong.returncode == 2
