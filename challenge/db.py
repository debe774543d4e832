"""How is the database reached, the same on SQLite and PostgreSQL? Used by every door and step that reads or writes rows.

SQLite: WAL, and writers start with BEGIN IMMEDIATE, for a read-modify-write in a plain transaction loses updates.
PostgreSQL: READ COMMITTED, and whoever changes a person locks the enrollment's row first.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from operator import itemgetter
from pathlib import Path
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Engine,
    MetaData,
    any_,
    create_engine,
    event,
    func,
    inspect,
    literal,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from challenge.errors import SchemaBehind, UsageError

_AT_END = "at_end"
# A server that vanishes without a word (a power cut, a firewall that forgets) is noticed within a minute, not in two hours.
_NOTICED = {
    "connect_timeout": "10",
    "keepalives_idle": "20",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
_MIGRATIONS = Path(__file__).parent / "migrations"
_REVISION = re.compile(r"""(?m)^(revision|down_revision)\b[^=]*= ["']([^"']+)["']""")


class Database:
    """One engine. Make it after a fork, never before: connections do not survive one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite")
        self.engine = _engine(url)
        self._writer = self.engine.execution_options(writes=True)
        self._mine = threading.Lock()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that only reads; what it read is one snapshot on SQLite."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session whose work is committed at the end, or undone as a whole."""
        with self.alone(), Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session
            for _, change in sorted(session.info.pop(_AT_END, ()), key=itemgetter(0)):
                change(session)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other thread of this process writes meanwhile: waiting in a lock is fair and wakes at once, SQLite's busy
        handler sleeps. Nothing to wait for on PostgreSQL."""
        with self._mine if self.is_sqlite else nullcontext():
            yield

    def close(self) -> None:
        self.engine.dispose()

    def migrate(self) -> None:
        """Brings the tables up to this program's version; two at once are safe."""
        self._reachable()
        with self._writer.connect() as connection, _without_foreign_keys(connection), connection.begin():
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(827364)"))
            _upgrade(connection)
            if self.is_sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first()):
                raise RuntimeError(f"The migration would leave a row without the one it belongs to: {broken}")

    def require_current(self) -> None:
        """Raises SchemaBehind unless the tables are this program's."""
        self._reachable()
        with self.engine.connect() as connection:
            made = inspect(connection).has_table("alembic_version")
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar() if made else None
        if found != newest_revision():
            state = "has no tables yet" if found is None else f"has the tables of another version ({found})"
            raise SchemaBehind(f"The database {state}. Run `challenge migrate`, then start again.")

    def require_empty(self) -> None:
        """Raises UsageError when there is a table already."""
        self._reachable()
        if inspect(self.engine).get_table_names():
            where = make_url(self.url).render_as_string(hide_password=True)
            raise UsageError(f"The database {where} is in use. Make an empty one for this.")

    def clear(self) -> None:
        """Drops every table and function: for a database that `require_empty` found empty."""
        with self._writer.begin() as connection:
            found = MetaData()
            found.reflect(connection)
            found.drop_all(connection)
            if not self.is_sqlite:
                own = "SELECT oid::regprocedure FROM pg_proc WHERE pronamespace = current_schema()::regnamespace"
                for name in connection.execute(text(own)).scalars().all():
                    connection.execute(text(f"DROP FUNCTION {name}"))

    def _reachable(self) -> None:
        try:
            with self.engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except OperationalError as error:
            reason = str(error.orig).strip().splitlines()[0]
            where = make_url(self.url).render_as_string(hide_password=True)
            raise UsageError(
                f"The database {where} cannot be opened: {reason}. Check CHALLENGE_DATABASE_URL."
            ) from error


def among(session: Session, column: Any, values: Sequence[int] | Sequence[str]) -> ColumnElement[bool]:
    """`column IN values` with one parameter: a parameter a value costs 3 us of CPU for each of five hundred."""
    if session.get_bind().dialect.name == "sqlite":
        found = func.json_each(json.dumps(values)).table_valued("value")
        return column.in_(select(found.c.value))  # type: ignore[no-any-return]
    return column == any_(literal(list(values), ARRAY(column.type)))  # type: ignore[no-any-return]


def at_end(session: Session, name: str, change: Callable[[Session], object]) -> None:
    """`change` is done when the rest of this transaction is, in the order of the names. For rows that all write, such as
    counts: whoever locked them on the way, each in another order, would wait for others who wait for them (PostgreSQL)."""
    session.info.setdefault(_AT_END, []).append((name, change))


def inserting(session: Session, table: Any) -> Any:
    """An INSERT that can say what follows when the row is there: two processes may write the same in the same moment."""
    return (sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert)(table)


def newest_revision() -> str:
    """The version of the tables this program has migrations for. Read from the files' heads: a worker that only asks
    need not carry Alembic (12 MB in each process)."""
    told = [_REVISION.findall(path.read_text()) for path in (_MIGRATIONS / "versions").glob("*.py")]
    before = {value for found in told for name, value in found if name == "down_revision"}
    (newest,) = {str(value) for found in told for name, value in found if name == "revision"} - before
    return newest


@contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[None]:
    """SQLite: a table that is made anew must not take with it what belongs to its rows. Only outside a transaction."""
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        place = make_url(url)
        place = place.update_query_dict({name: value for name, value in _NOTICED.items() if name not in place.query})
        return create_engine(place, pool_pre_ping=True, pool_size=5, max_overflow=20)
    database = make_url(url).database
    if database and database != ":memory:":
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False}, pool_size=5, max_overflow=50)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves; the driver would say it too late
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        "foreign_keys=ON",
        "busy_timeout=30000",
        "cache_size=-4000",
        "wal_autocheckpoint=8000",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
