"""Opens that come in together share a commit, and none is answered before it is in the database."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, func, select

from challenge.db import Database
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Event, EventKind, Subscriber
from challenge.tracking import opens
from challenge.tracking.classify import Evidence
from challenge.tracking.opens import Open, Opens
from tests.unit.tracking.replay import START

BROWSER = Evidence("GET", "browser", prefetch=False, source="there")
THREADS = 8


@pytest.fixture
def mails(database: Database) -> list[int]:
    """Three people who were sent day 1."""
    with database.write() as session:
        for number in (1, 2, 3):
            name = f"p{number}@b.example"
            session.add(Subscriber(email=name, email_key=name, timezone="UTC", hour=8, created_at=START))
            session.flush()
            session.add(
                Enrollment(
                    subscriber_id=number, challenge="ms-strength", state=EnrollmentState.active, signed_up_at=START
                )
            )
            session.flush()
            when: dict[str, Any] = dict.fromkeys(("planned_at", "due_at", "created_at", "closed_at"), START)
            session.add(
                Delivery(enrollment_id=number, key="day-1", mail="day", is_daily=True, state=DeliveryState.sent, **when)
            )
            session.flush()
        return [id or 0 for id in session.exec(select(Delivery.id).order_by(col(Delivery.id)))]


def an_open(mail: int, second: int = 0) -> Open:
    return Open(mail, BROWSER, START + timedelta(seconds=second), START + timedelta(seconds=second))


def count(database: Database) -> int:
    with database.read() as session:
        return session.exec(select(func.count()).where(Event.kind == EventKind.opened)).one()


def held_up(pen: Opens, todo: list[Open]) -> list[BaseException]:
    """Writes all of `todo` at once: none gets the pen before all are waiting. Returns what was raised."""
    failed: list[BaseException] = []

    def one(told: Open) -> None:
        try:
            pen.write(told)
        except SQLAlchemyError as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(told,)) for told in todo]
    with pen._pen:
        for thread in threads:
            thread.start()
        while len(pen._waiting) < len(todo):
            threads[0].join(0.01)
    for thread in threads:
        thread.join(30)
    return failed


def test_opens_that_wait_share_one_commit(database: Database, mails: list[int]) -> None:
    commits: list[Any] = []
    event.listen(database.engine, "commit", commits.append)
    assert held_up(Opens(database), [an_open(mails[place % 3], place) for place in range(THREADS)]) == []
    assert (len(commits), count(database)) == (1, THREADS)


def test_none_is_answered_before_its_commit(database: Database, mails: list[int]) -> None:
    pen, seen = Opens(database), list[int]()

    def one(told: Open) -> None:
        pen.write(told)
        seen.append(count(database))

    threads = [threading.Thread(target=one, args=(an_open(mails[0], place),)) for place in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(seen) == THREADS
    assert all(kept >= answered for answered, kept in enumerate(sorted(seen), 1))


def test_one_that_cannot_be_written_takes_no_other_with_it(
    database: Database, mails: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = opens._row

    def broken(one: Open, mail: Any, others: Any) -> dict[str, Any]:
        return write(one, mail, others) | ({"enrollment_id": 99} if one.delivery_id == mails[1] else {})

    monkeypatch.setattr(opens, "_row", broken)
    failed = held_up(Opens(database), [an_open(mail) for mail in mails])
    assert (len(failed), count(database)) == (1, 2)


def test_a_database_that_is_away_is_told_to_each_and_holds_nobody_up(
    database: Database, mails: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pen = Opens(database)

    @contextmanager
    def away() -> Any:
        raise SQLAlchemyError("away")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(database, "write", away)
        assert len(held_up(pen, [an_open(mail) for mail in mails])) == len(mails)
    pen.write(an_open(mails[0]))
    assert count(database) == 1


def test_it_keeps_nothing_of_the_erased_and_of_those_who_switched_it_off(database: Database, mails: list[int]) -> None:
    with database.write() as session:
        session.delete(session.get_one(Subscriber, 1))
        session.get_one(Subscriber, 2).tracking = False
    assert held_up(Opens(database), [an_open(mail) for mail in (*mails, 999)]) == []
    with database.read() as session:
        assert [row.delivery_id for row in session.exec(select(Event))] == [mails[2]]
