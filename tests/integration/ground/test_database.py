from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy.exc import StatementError
from sqlmodel import SQLModel

from challenge.clock import Clock, change_speed, keep, set_up
from challenge.db import Database, newest_revision
from challenge.errors import SchemaBehind
from challenge.models import ClockRow, Installation, Subscriber
from challenge.settings import Settings

MONDAY = datetime(2027, 3, 1, 6, tzinfo=UTC)


def test_it_has_migrations_in_step_with_the_models(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, SQLModel.metadata) == []
        assert context.get_current_revision() == newest_revision()


def test_it_refuses_a_database_without_tables(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(SchemaBehind, match="challenge migrate"):
        database.require_current()
    database.migrate()
    database.require_current()
    database.migrate()
    database.close()


def test_it_loses_no_update_of_four_writers(database: Database) -> None:
    with database.write() as session:
        session.add(Installation(name="count", value="0"))

    def add() -> None:
        for _ in range(25):
            with database.write() as session:
                row = session.get_one(Installation, "count", with_for_update=True)
                row.value = str(int(row.value) + 1)
                session.add(row)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.get_one(Installation, "count").value == "100"


def test_it_keeps_times_in_utc_and_refuses_naive_ones(database: Database) -> None:
    person = Subscriber(email="a@b.example", email_key="a@b.example", timezone="UTC", hour=8, created_at=MONDAY)
    with database.write() as session:
        session.add(person)
    with database.read() as session:
        assert session.get_one(Subscriber, person.id).created_at == MONDAY
    with pytest.raises(StatementError, match="without a zone"), database.write() as session:
        session.add(ClockRow(real_anchor_at=datetime(2027, 3, 1), challenge_anchor_at=MONDAY))  # noqa: DTZ001


def test_it_shows_every_process_the_same_warped_time(database: Database) -> None:
    settings = Settings(clock_start=MONDAY, clock_speed=1440)
    with database.write() as session:
        row = set_up(session, settings)
    with database.write() as session:
        assert set_up(session, Settings(clock_speed=1)).speed == 1440
    real = row.real_anchor_at + timedelta(seconds=60)
    one, two = (Clock(database, lambda: real).now() for _ in range(2))
    assert one == two == MONDAY + timedelta(days=1)
    with database.write() as session:
        change_speed(session, 60, real)
    assert Clock(database, lambda: real).now() == one


def test_it_waits_at_its_limit_until_nothing_is_due(database: Database) -> None:
    with database.write() as session:
        row = set_up(session, Settings(clock_start=MONDAY, clock_speed=1440), waits=True)
    real = row.real_anchor_at + timedelta(seconds=60)
    assert Clock(database, lambda: real).now() == MONDAY + timedelta(hours=1)
    with database.write() as session:
        keep(session, real)
        assert session.get_one(ClockRow, 1).limit_at == MONDAY + timedelta(hours=2)


def test_a_server_that_vanishes_is_noticed_within_a_minute_or_as_the_address_says(postgres_server: str) -> None:
    address = postgres_server.replace("postgresql://", "postgresql+psycopg://")
    for more, idle in (("", "20"), ("keepalives_idle=5", "5")):
        database = Database(f"{address}{'&' if '?' in address else '?'}{more}" if more else address)
        with database.engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            told = driver.info.get_parameters()
        database.close()
        assert (told["keepalives_idle"], told["tcp_user_timeout"]) == (idle, "60000")
