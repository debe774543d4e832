"""Who lives is asked by one clock: a machine whose own is wrong neither takes from others nor is taken from."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlmodel import select

from challenge import clock, dispatch
from challenge.clock import real_now
from challenge.db import Database
from challenge.dispatch import beat, living_workers
from challenge.models import Worker
from challenge.settings import Settings
from tests.conftest import fresh_postgres

SETTINGS = Settings(secret_key="k" * 40, lease_seconds=60)


def living(database: Database) -> set[str]:
    with database.read() as session:
        return living_workers(session, SETTINGS)


def be_wrong(monkeypatch: pytest.MonkeyPatch, minutes: int) -> None:
    for module in (clock, dispatch):
        monkeypatch.setattr(module, "real_now", lambda: real_now() + timedelta(minutes=minutes))


def test_machines_whose_clocks_differ_agree_on_who_lives(
    postgres_server: str, migrated_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(fresh_postgres(postgres_server, migrated_postgres))
    beat(database, "here", first=True)
    for minutes in (-5, 5):
        be_wrong(monkeypatch, minutes)
        beat(database, "there", first=True)
        assert living(database) == {"here", "there"}
    database.close()


def test_a_beat_holds_for_a_lease(database: Database) -> None:
    beat(database, "late", first=True)
    beat(database, "well", first=True)
    with database.write() as session:
        session.get_one(Worker, "late").beat_at -= timedelta(seconds=61)
        session.get_one(Worker, "well").beat_at -= timedelta(seconds=50)
    assert living(database) == {"well"}


def test_a_new_worker_clears_away_who_was_killed_long_ago(database: Database) -> None:
    for name in ("killed", "away"):
        beat(database, name, first=True)
    with database.write() as session:
        session.get_one(Worker, "killed").beat_at -= timedelta(days=2)
        session.get_one(Worker, "away").beat_at -= timedelta(hours=2)
    beat(database, "away")
    beat(database, "new", first=True)
    with database.read() as session:
        assert set(session.exec(select(Worker.id))) == {"away", "new"}
