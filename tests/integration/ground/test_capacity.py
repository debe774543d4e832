"""`challenge bench`: it sends what it says, to whom it was told, and leaves nothing behind."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import inspect

from challenge import capacity as subject
from challenge.capacity import Capacity, capacity, zone_at
from challenge.db import Database
from challenge.errors import UsageError
from challenge.programme.definition import shipped
from challenge.settings import Settings
from tests.commands import run
from tests.conftest import fresh_postgres


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_SECONDS", 0.02)


def measured(folder: Path, **wanted: Any) -> Capacity:
    settings = Settings(secret_key="k" * 40, data_dir=folder / "var", database_url=f"sqlite:///{folder}/own.sqlite3")
    return capacity(settings, shipped(), **({"mails": 30, "people": 900} | wanted))


def test_it_sends_to_a_sink_of_its_own_and_leaves_nothing_behind(tmp_path: Path) -> None:
    found = measured(tmp_path)
    assert found.is_complete
    assert found.states == {"sent": 30}
    assert found.morning_seconds == pytest.approx(900 / found.sent_per_second)
    assert min(found.composed_per_second, found.commits_per_second, found.cpu_per_1000) > 0
    assert list((tmp_path / "var").iterdir()) == []
    assert not (tmp_path / "own.sqlite3").exists()


@pytest.mark.parametrize("hour", range(24))
def test_it_measures_in_the_middle_of_the_night_too(hour: int) -> None:
    now = datetime(2026, 11, 25, hour, 59, tzinfo=UTC)
    assert now.astimezone(ZoneInfo(zone_at(8, now))).hour == 8


def test_it_sends_to_the_relay_and_the_one_address_it_was_given(tmp_path: Path, relay: Any) -> None:
    assert measured(tmp_path, relay=relay.url, to="me@example.org").is_complete
    assert [recipient for recipient, _ in relay.messages] == ["me@example.org"] * 30


def test_it_says_what_a_relay_did_not_take(tmp_path: Path, relay: Any) -> None:
    relay.say = lambda word, _recipient: "452 4.3.1 full" if word == "DATA" else None
    found = measured(tmp_path, relay=relay.url)
    assert not found.is_complete
    assert found.morning_seconds is None
    assert relay.messages == []


def test_it_measures_an_empty_postgresql_and_empties_it_again(tmp_path: Path, postgres_server: str) -> None:
    url = fresh_postgres(postgres_server)
    assert measured(tmp_path, database_url=url).is_complete
    database = Database(url)
    assert inspect(database.engine).get_table_names() == []
    database.migrate()
    with pytest.raises(UsageError, match="in use"):
        measured(tmp_path, database_url=url)
    database.require_current()
    database.close()


@pytest.mark.parametrize("words", [("--mails", "5"), ("--to", "me@example.org")])
def test_it_sends_nothing_elsewhere_without_a_count_and_an_address(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(tmp_path, "bench", "--relay", "smtp://relay.example.org", *words)
    assert done.returncode == 2
    assert "--mails N and --to ADDRESS" in done.stderr
