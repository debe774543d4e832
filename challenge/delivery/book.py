"""How do many state changes become one commit? The rows that were sent and those that go out next, on each database.

SQLite: three statements in a thread. PostgreSQL: one statement that is its own transaction, so one round trip. The
sender's loop goes on meanwhile, be the disk ever so slow. Both go to the driver directly: what lies above it would cost
as much as the statements.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Protocol

from challenge.db import Database

_SENT = "json_each(:sent) AS told"
_DOTS = "json_each(:dots) AS told"
_EDITION = "edition = CASE resends WHEN 0 THEN {} ELSE edition END"  # a second copy has the words of the first
_SQLITE_SENT = (
    f"""UPDATE enrollment SET plan_at = :now WHERE id IN (
        SELECT delivery.enrollment_id FROM {_SENT} JOIN delivery ON delivery.id = told.value ->> 0
        WHERE delivery.is_daily)""",
    f"""UPDATE delivery SET state = 'sent', receipt = told.value ->> 1, closed_at = :now, claimed_by = '', reason = ''
        FROM {_SENT} WHERE delivery.id = told.value ->> 0""",
)
_SQLITE_DOTS = f"""UPDATE delivery SET state = 'handed_over', attempts = attempts + 1, handed_over_at = :now,
        context = told.value -> 1, composed_at = told.value ->> 2, {_EDITION.format(":edition")}
    FROM {_DOTS} WHERE delivery.id = told.value ->> 0 AND delivery.state = 'claimed' AND delivery.claimed_by = :worker"""
_SQLITE_HELD = f"""SELECT delivery.id FROM {_DOTS} JOIN delivery ON delivery.id = told.value ->> 0
    WHERE delivery.state = 'handed_over' AND delivery.claimed_by = :worker"""

# Rows are named by arrays, never joined: the planner knows nothing of how many a commit holds, and joins small tables by
# reading them whole. Each part asks for a count of the one before, which makes the server finish that first: the people
# are locked before their mails, as everybody locks them.
_IDS = "ANY (ARRAY(SELECT jsonb_object_keys(%({})s)::bigint))"
_POSTGRES = f"""
    WITH planned AS (UPDATE enrollment SET plan_at = %(now)s
        WHERE id = ANY (ARRAY(SELECT enrollment_id FROM delivery WHERE id = {_IDS.format("sent")} AND is_daily))
        RETURNING 1),
    closed AS (UPDATE delivery
        SET state = 'sent', receipt = %(sent)s ->> id::text, closed_at = %(now)s, claimed_by = '', reason = ''
        WHERE id = {_IDS.format("sent")} AND (SELECT count(*) FROM planned) >= 0 RETURNING 1)
    UPDATE delivery SET state = 'handed_over', attempts = attempts + 1, handed_over_at = %(now)s,
        context = (%(dots)s -> id::text -> 0)::json, composed_at = (%(dots)s -> id::text ->> 1)::timestamptz,
        {_EDITION.format("%(edition)s")}
    WHERE id = {_IDS.format("dots")} AND state || '' = 'claimed' AND claimed_by || '' = %(worker)s
        AND (SELECT count(*) FROM closed) >= 0
    RETURNING id"""

Dot = tuple[int, str, datetime]


class NotWritten(Exception):  # noqa: N818
    """The database did not say that it is durable."""


class Book(Protocol):
    """`sent`: (id, receipt); `dots`: (id, context as JSON, composed_at)."""

    async def write(self, sent: list[tuple[int, str]], dots: list[Dot], now: datetime) -> set[int]:
        """One durable commit; returns the ids of `dots` that were still ours. Raises NotWritten."""
        ...

    def close(self) -> None: ...


def book_of(database: Database, worker: str, edition: str) -> Book:
    return (_SqliteBook if database.is_sqlite else _PostgresBook)(database, worker, edition)


class _SqliteBook:
    def __init__(self, database: Database, worker: str, edition: str) -> None:
        self._database = database
        self._fixed = {"worker": worker, "edition": edition}
        self._connection: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="book")

    async def write(self, sent: list[tuple[int, str]], dots: list[Dot], now: datetime) -> set[int]:
        values = {
            "sent": json.dumps(sent),
            "dots": _in_rows(dots),
            "now": _plain(now),
            **self._fixed,
        }
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._commit, values, bool(sent), [id for id, _, _ in dots]
            )
        except sqlite3.Error as error:
            self._hang_up()
            raise NotWritten(str(error)) from error

    def _commit(self, values: dict[str, Any], has_sent: bool, dots: list[int]) -> set[int]:
        """Few steps, for after each the thread waits for its turn with the interpreter: rows that come back one by one
        would cost a turn each, so they are asked for only when some were no longer ours."""
        if self._connection is None:
            self._connection = self._database.engine.raw_connection()
        driver: sqlite3.Connection = self._connection.driver_connection
        with self._database.alone():
            driver.execute("BEGIN IMMEDIATE")
            try:
                for statement in _SQLITE_SENT if has_sent else ():
                    driver.execute(statement, values)
                held = set(dots)
                if dots and driver.execute(_SQLITE_DOTS, values).rowcount != len(held):
                    held = {id for (id,) in driver.execute(_SQLITE_HELD, values)}
                driver.execute("COMMIT")
            except BaseException:
                driver.rollback()
                raise
        return held

    def close(self) -> None:
        self._thread.shutdown()
        self._hang_up()

    def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _PostgresBook:
    def __init__(self, database: Database, worker: str, edition: str) -> None:
        _, self._address = database.engine.dialect.create_connect_args(database.engine.url)
        self._fixed = {"worker": worker, "edition": edition}
        self._connection: Any = None

    async def write(self, sent: list[tuple[int, str]], dots: list[Dot], now: datetime) -> set[int]:
        import psycopg
        from psycopg.types.json import Jsonb

        values = {
            "sent": Jsonb(dict(sent)),
            "dots": Jsonb(dots, dumps=_by_id),
            "now": now,
            **self._fixed,
        }
        try:
            if self._connection is None:
                self._connection = await psycopg.AsyncConnection.connect(autocommit=True, **self._address)
            done = await self._connection.execute(_POSTGRES, values)
            return {id for (id,) in await done.fetchall()}
        except psycopg.Error as error:
            self.close()
            raise NotWritten(str(error)) from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()


def _in_rows(dots: list[Dot]) -> str:
    rows = [f'[{id},{context},"{_plain(at)}"]' for id, context, at in dots]
    return f"[{','.join(rows)}]"


def _by_id(dots: list[Dot]) -> str:
    """An object, for PostgreSQL finds in it by key."""
    rows = [f'"{id}":[{context},"{at.isoformat()}"]' for id, context, at in dots]
    return f"{{{','.join(rows)}}}"


@lru_cache(maxsize=16)
def _plain(at: datetime) -> str:
    """As `UtcDateTime` stores it on SQLite."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
