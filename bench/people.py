"""Fills a database with people whose day-1 mail is due now. Rows are made by the database itself, so a million takes seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from challenge.db import Database

_NUMBERS = {
    True: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)",
    False: "WITH n(i) AS (SELECT generate_series(1, :count))",
}
_DOMAINS = 50


def fill(database: Database, count: int, edition: str, *, due: int | None = None) -> None:
    """`count` confirmed people, seated, in UTC; the day-1 mail of the first `due` (all) is due now, of the others
    tomorrow. Addresses are spread over 50 domains under .example."""
    now = datetime.now(UTC).replace(microsecond=0, tzinfo=UTC if not database.is_sqlite else None)
    values = {
        "count": count,
        "now": now,
        "soon": now - timedelta(minutes=5),
        "later": now + timedelta(days=1),
        "due": count if due is None else due,
        "edition": edition,
    }
    numbers, yes = _NUMBERS[database.is_sqlite], "1" if database.is_sqlite else "true"
    address = f"'person' || i || '@d' || (i % {_DOMAINS}) || '.example'"
    with database._writer.begin() as connection:
        for statement in (
            f"INSERT INTO subscriber (id, email, email_key, first_name, timezone, hour, locale, tracking, created_at) "
            f"{numbers} SELECT i, {address}, {address}, 'Person ' || i, 'UTC', 8, 'en', {yes}, :now FROM n",
            "INSERT INTO enrollment (id, subscriber_id, challenge, run, state, position, pace, goal, variant, source,"
            " utm_source, utm_medium, utm_campaign, utm_term, utm_content, referrer, form_variant, edition,"
            " signed_up_at, confirmed_at, plan_at) "
            f"{numbers} SELECT i, i, 'ms-strength', 1, 'active', 'seated', 'daily', '', '', 'bench',"
            " '', '', '', '', '', '', '', :edition, :now, :now, NULL FROM n",
            "INSERT INTO delivery (id, enrollment_id, key, mail, is_daily, state, planned_at, due_at, created_at,"
            " claimed_by, attempts, strikes, resends, reason, receipt, edition) "
            f"{numbers} SELECT i, i, 'day-1', 'day', {yes}, 'scheduled',"
            " CASE WHEN i <= :due THEN :soon ELSE :later END, CASE WHEN i <= :due THEN :soon ELSE :later END, :now,"
            " '', 0, 0, 0, '', '', '' FROM n",
        ):
            used = {name: value for name, value in values.items() if f":{name}" in statement}
            connection.execute(text(statement), used)
        if not database.is_sqlite:
            for table in ("subscriber", "enrollment", "delivery"):
                connection.execute(
                    text(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), :count)"), {"count": count}
                )
    with database.engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        connection.commit()
