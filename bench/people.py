"""Fills a database with people whose day-1 mail is due now. Rows are made by the database itself, so a million takes seconds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from challenge.capacity import zone_at
from challenge.db import Database

_NUMBERS = {
    True: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)",
    False: "WITH n(i) AS (SELECT generate_series(1, :count))",
}
_DOMAINS = 50
_MORNING = 8


def fill(database: Database, count: int, edition: str, *, due: int | None = None) -> None:
    """`count` people, seated, where it is morning now, who said yes a day ago and got their welcome; the day-1 mail of the first `due`
    (all) was due at this hour, that of the others is due tomorrow. Addresses are spread over 50 domains under
    .example. The events are there too, so that the planner and the audit find what they would find in real life."""
    real = datetime.now(UTC)
    hour = real.replace(minute=0, second=0, microsecond=0)
    zone = zone_at(_MORNING, hour)
    rhythm = {"timezone": zone, "hour": _MORNING, "pace": "daily"}
    values = {
        "count": count,
        "yesterday": _stamp(database, hour - timedelta(days=1)),
        "today": _stamp(database, hour),
        "tomorrow": _stamp(database, hour + timedelta(days=1)),
        "due": count if due is None else due,
        "zone": zone,
        "hour": _MORNING,
        "edition": edition,
        "imported": json.dumps(rhythm | {"imported": True}),
        "rhythm": json.dumps(rhythm),
    }
    numbers, yes = _NUMBERS[database.is_sqlite], "1" if database.is_sqlite else "true"
    address = f"'person' || i || '@d' || (i % {_DOMAINS}) || '.example'"
    said_yes = "CASE WHEN i <= :due THEN :yesterday ELSE :today END"
    morning = "CASE WHEN i <= :due THEN :today ELSE :tomorrow END"
    if not database.is_sqlite:
        said_yes = "CASE WHEN i <= :due THEN CAST(:yesterday AS timestamptz) ELSE CAST(:today AS timestamptz) END"
        morning = "CASE WHEN i <= :due THEN CAST(:today AS timestamptz) ELSE CAST(:tomorrow AS timestamptz) END"
    told = ":{}" if database.is_sqlite else "CAST(:{} AS json)"
    delivery = (
        "INSERT INTO delivery (id, enrollment_id, key, mail, is_daily, state, planned_at, due_at, created_at, closed_at,"
        " claimed_by, attempts, strikes, resends, reason, receipt, edition) "
    )
    event = "INSERT INTO event (id, enrollment_id, kind, link, occurred_at, recorded_at, who, reasons, rules, detail) "
    with database._writer.begin() as connection:
        for statement in (
            f"INSERT INTO subscriber (id, email, email_key, first_name, timezone, hour, locale, tracking, created_at) "
            f"{numbers} SELECT i, {address}, {address}, 'Person ' || i, :zone, :hour, 'en', {yes}, {said_yes} FROM n",
            "INSERT INTO enrollment (id, subscriber_id, challenge, run, state, position, pace, goal, variant, source,"
            " utm_source, utm_medium, utm_campaign, utm_term, utm_content, referrer, form_variant, edition,"
            " signed_up_at, confirmed_at, plan_at) "
            f"{numbers} SELECT i, i, 'ms-strength', 1, 'active', 'seated', 'daily', '', '', 'bench',"
            f" '', '', '', '', '', '', '', :edition, {said_yes}, {said_yes}, NULL FROM n",
            f"{delivery} {numbers} SELECT i, i, 'welcome', 'welcome', {yes}, 'sent', {said_yes}, {said_yes}, {said_yes},"
            f" {said_yes}, '', 1, 0, 0, '', '250 2.0.0 Ok', :edition FROM n",
            f"{delivery} {numbers} SELECT :count + i, i, 'day-1', 'day', {yes}, 'scheduled', {morning}, {morning}, {said_yes},"
            " NULL, '', 0, 0, 0, '', '', '' FROM n",
            f"{event} {numbers} SELECT i, i, 'signed_up', '', {said_yes}, {said_yes}, 'person', '', '', {told.format('imported')} FROM n",
            f"{event} {numbers} SELECT :count + i, i, 'confirmed', '', {said_yes}, {said_yes}, 'person', '', '', {told.format('rhythm')}"
            " FROM n",
        ):
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), used)
        if not database.is_sqlite:
            for table in ("subscriber", "enrollment", "delivery", "event"):
                last = 2 * count if table in ("delivery", "event") else count
                connection.execute(
                    text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), :last)"), {"last": last}
                )
    with database.engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        connection.commit()


def _stamp(database: Database, at: datetime) -> datetime:
    """As the column type would write it: SQLite keeps UTC without saying so."""
    return at.replace(tzinfo=None) if database.is_sqlite else at
