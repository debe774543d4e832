"""A year of a challenge as rows: people, mails, events, visits, deeds. Made by the database itself, by SQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

from challenge.db import Database

SLUG, LENGTH = "ms-strength", 5
FIRST = datetime(2026, 6, 1, tzinfo=UTC)
NOW = datetime(2027, 6, 1, 12, tzinfo=UTC)
_DEEDS, _DOMAINS = 50_000, 200


def fill(database: Database, people: int) -> None:
    """`people` enrollments over the year until NOW, spread over 12 sources and 40 campaigns; five day mails and three others
    for each (the last days' are still to come), ten events for each, one of fifty joined and paid, one of 33 unsubscribed
    after the last day; visits, the log, recipient domains."""
    words = _Words(database.is_sqlite, people)
    with database._writer.begin() as connection:
        kept = _without_triggers(connection, sqlite=database.is_sqlite)
        for statement in (*_people(words), *_mails(words), *_events(words), *_around(words)):
            connection.execute(text(statement))
        connection.execute(text("INSERT INTO stats_mark (enrollment_id) SELECT id FROM enrollment ORDER BY id"))
        for statement in kept:
            connection.exec_driver_sql(statement)
    with database.engine.connect() as connection:
        connection.execute(text("ANALYZE"))
        connection.commit()


class _Words:
    """What the two databases spell differently. `numbers`: the people, one row `i` for each."""

    def __init__(self, is_sqlite: bool, people: int) -> None:
        self.is_sqlite = is_sqlite
        self.yes = "1" if is_sqlite else "true"
        self.numbers = self.count(people)
        self.joined = f"(i * (31536000.0 / {people}))"

    def count(self, most: int) -> str:
        if self.is_sqlite:
            return f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {most})"
        return f"WITH n(i) AS (SELECT generate_series(1, {most}))"

    def at(self, seconds: str) -> str:
        since = f"{int(FIRST.timestamp())} + {seconds}"
        if self.is_sqlite:
            return f"strftime('%Y-%m-%d %H:%M:%S.000000', CAST({since} AS INTEGER), 'unixepoch')"
        return f"to_timestamp({since})"

    def day(self, number: str) -> str:
        if self.is_sqlite:
            return f"date({int(FIRST.timestamp())} + ({number}) * 86400, 'unixepoch')"
        return f"to_char(to_timestamp({int(FIRST.timestamp())} + ({number}) * 86400) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


def _people(words: _Words) -> Iterator[str]:
    zone = "CASE i % 4 WHEN 0 THEN 'Europe/Berlin' WHEN 1 THEN 'America/Chicago' ELSE 'America/New_York' END"
    address = "'p' || i || '@d' || (i % 50) || '.example'"
    yield (
        "INSERT INTO subscriber (id, email, email_key, first_name, timezone, hour, locale, tracking, created_at)"
        f" {words.numbers} SELECT i, {address}, {address}, 'Person ' || i, {zone}, 8, 'en', {words.yes},"
        f" {words.at(words.joined)} FROM n"
    )
    yield (
        "INSERT INTO enrollment (id, subscriber_id, challenge, run, state, position, pace, goal, variant, source,"
        " utm_source, utm_medium, utm_campaign, utm_term, utm_content, referrer, form_variant, edition, signed_up_at,"
        f" confirmed_at) {words.numbers} SELECT i, i, '{SLUG}', 1, CASE WHEN {words.joined} > 31536000 - 6 * 86400 THEN"
        " 'active' WHEN i % 33 = 5 THEN 'stopped' ELSE 'ended' END, CASE i % 3 WHEN 0 THEN 'standing' ELSE 'seated' END, 'daily', '', CASE i % 2 WHEN 0"
        " THEN 'a' ELSE 'b' END, 'source' || (i % 12), 'source' || (i % 12), '', 'c' || (i % 40), '', '', '',"
        f" CASE i % 5 WHEN 0 THEN 'a' ELSE 'b' END, 'e1', {words.at(words.joined)},"
        f" {words.at(words.joined + ' + 600 + i % 90000')} FROM n"
    )


def _mails(words: _Words) -> Iterator[str]:
    """Sent at the hour of the sign-up on each of the five days, and on the morning after; of the last days' people one mail
    is planned."""
    now = int((NOW - FIRST).total_seconds())
    mails = [("confirm", "confirm", 1), ("welcome", "welcome", 700)]
    mails += [(f"day-{day}", "day", day * 86400) for day in range(1, LENGTH + 1)]
    for key, mail, after in (*mails, ("finish", "finish", (LENGTH + 1) * 86400)):
        when, at = f"{words.joined} + {after}", words.at(f"{words.joined} + {after}")
        for state, closed, condition in (
            ("sent", at, f"{when} <= {now}"),
            ("scheduled", "NULL", f"{when} > {now} AND {when} <= {now + 86400}"),
        ):
            yield (
                "INSERT INTO delivery (enrollment_id, key, mail, is_daily, state, planned_at, due_at, created_at, claimed_by,"
                f" attempts, strikes, resends, reason, receipt, edition, closed_at) {words.numbers} SELECT i, '{key}',"
                f" '{mail}', {words.yes}, '{state}', {at}, {at}, {at}, '', 1, 0, 0, '', '250 ok', 'e1', {closed} FROM n"
                f" WHERE {condition}{' AND i % 33 <> 5' if key == 'finish' else ''}"
            )


def _events(words: _Words) -> Iterator[str]:
    """Per day an open (a third by proxies) and a press, as far as it was; for one of fifty, joining instead of the last
    press."""
    now = int((NOW - FIRST).total_seconds())
    insert = (
        "INSERT INTO event (enrollment_id, kind, day, link, occurred_at, recorded_at, who, reasons, rules, detail) "
        f"{words.numbers} SELECT i, "
    )
    for day in range(1, LENGTH + 1):
        for kind, who, after, condition in (
            ("opened", "CASE i % 3 WHEN 0 THEN 'proxy' ELSE 'person' END", 600, "true"),
            ("completed", "'person'", 4000, "i % 50 <> 7" if day == LENGTH else "true"),
        ):
            seconds = f"{words.joined} + {day * 86400 + after} + i % 7000"
            when = words.at(seconds)
            yield (
                f"{insert} '{kind}', {day}, '', {when}, {when}, {who}, '', '2', '{{}}' FROM n"
                f" WHERE {condition} AND {seconds} <= {now}"
            )
    seconds, paid = f"{words.joined} + 600000 + i % 90000", '{"amount"\\: 4900, "currency"\\: "USD"}'
    when = words.at(seconds)
    yield (
        f"{insert} 'joined', NULL, '', {when}, {when}, 'person', '', '2', '{paid}' FROM n"
        f" WHERE i % 50 = 7 AND {seconds} <= {now}"
    )
    when = words.at(f"{words.joined} + {5 * 86400 + 7200}")
    yield (
        f"{insert} 'unsubscribed', NULL, '', {when}, {when}, 'person', '', '', '{{}}' FROM n"
        f" WHERE i % 33 = 5 AND {words.joined} <= 31536000 - 6 * 86400"
    )


def _around(words: _Words) -> Iterator[str]:
    """Visits by day and source, what users did, what became of the mails to each domain in the last 35 days."""
    yield (
        f"INSERT INTO visit (day, who, words, challenge, edition, source, utm_source, utm_medium, utm_campaign, utm_term,"
        f" utm_content, referrer, form_variant, visitors, views) {words.count(366 * 24)} SELECT {words.day('i / 24')},"
        f" CASE i % 24 / 12 WHEN 0 THEN 'person' ELSE 'machine' END, 's' || (i % 12), '{SLUG}', 'e1', 'source' || (i % 12),"
        " 'source' || (i % 12), '', '', '', '', '', CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END, 900, 1000 FROM n"
    )
    yield (
        f'INSERT INTO audit_log (at, "user", deed, enrollment_id, detail) {words.count(_DEEDS)} SELECT'
        f" {words.at('i * 600')}, 'user' || (i % 5), 'looked', i, '' FROM n"
    )
    yield (
        f"INSERT INTO domain_hour (domain, hour, sent, deferred, bounced, complained) {words.count(_DOMAINS * 35 * 24)}"
        f" SELECT 'd' || (i % {_DOMAINS}) || '.example', {words.at(f'{365 * 86400 + 43200} - 3600 * (i / {_DOMAINS})')},"
        " 20, 1, 0, 0 FROM n"
    )


def _without_triggers(connection: Connection, *, sqlite: bool) -> list[str]:
    """Takes the triggers away; returns what brings them back. Everybody is marked at the end."""
    if sqlite:
        kept: Any = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")).all()
        for name, _ in kept:
            connection.execute(text(f"DROP TRIGGER {name}"))
        return [sql for _, sql in kept]
    tables = ("subscriber", "enrollment", "delivery", "event")
    for table in tables:
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
    return [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in tables]
