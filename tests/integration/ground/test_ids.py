"""An id is given once: it stands in links that never expire, and an erased person's must never open the next one's page."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlmodel import col, select

from challenge import db, participation
from challenge.conversion_links import make
from challenge.db import Database
from challenge.models import AuditEntry, Delivery, Enrollment, Event, Subscriber
from tests.integration.engine.conftest import MONDAY, Engine

TABLES = ("subscriber", "enrollment", "delivery", "conversion", "conversion_link")


def test_an_erased_persons_ids_are_nobodys(database: Database) -> None:
    engine = Engine(database, "smtp+plain://127.0.0.1:1")
    given = []
    for _ in range(3):
        number = engine.sign_up("ana@example.com")
        engine.tick()
        with database.write() as session:
            person = session.get_one(Enrollment, number).subscriber_id
            link = make(session, number, (0, ""), "mara", key="k").id
            mails = session.exec(select(Delivery.id)).all()
            participation.erase(session, person)
        given.append({("person", person), ("run", number), ("link", link), *(("mail", mail) for mail in mails)})
    assert len(given[0]) >= 4
    assert not given[0] & given[1]
    assert not given[1] & given[2]


def test_a_database_of_before_keeps_every_row_and_gives_new_ids_far_from_the_old(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'old.sqlite3'}")
    database.migrate()
    new = schema(database)
    move(database, "0014")
    assert not any("AUTOINCREMENT" in words for name, words in schema(database).items() if name in TABLES)
    engine = Engine(database, "smtp+plain://127.0.0.1:1")
    numbers = [engine.sign_up(f"p{number}@example.com") for number in range(4)]
    engine.tick()
    with database.write() as session:
        session.add(AuditEntry(at=MONDAY, user="mara", deed="erased", enrollment_id=99))
    before = rows(database)
    assert len(before["delivery"]) == len(before["event"]) // 2 == 4
    database.migrate()
    assert rows(database) == before
    assert {name: plain(words) for name, words in schema(database).items()} == {
        name: plain(words) for name, words in new.items()
    }
    later = engine.sign_up("later@example.com")
    assert later > 99 + 9_999 > numbers[-1]
    with database.write() as session:
        participation.erase(session, session.get_one(Enrollment, numbers[0]).subscriber_id)
    with database.read() as session:
        assert numbers[0] not in session.exec(select(Event.enrollment_id)).all(), (
            "what belongs to a person goes with them"
        )
        assert session.exec(select(Subscriber.email).order_by(col(Subscriber.id))).first() == "p1@example.com"
    database.close()


def move(database: Database, to: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(db._MIGRATIONS))
    with database._writer.connect() as connection, db._without_foreign_keys(connection), connection.begin():
        config.attributes["connection"] = connection
        command.downgrade(config, to)


def schema(database: Database) -> dict[str, str]:
    with database.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {str(name): str(words) for name, words in found}


def plain(words: str) -> str:
    return "".join(words.split()).replace('"', "")


def rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    with database.engine.connect() as connection:
        return {
            table: [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1")]
            for table in (*TABLES, "event", "consent")
        }
