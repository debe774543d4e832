"""Opens as they are written into the database, some time after they were answered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, func, select

from challenge.db import Database
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Event, EventKind, Subscriber
from challenge.tracking import opens
from challenge.tracking.classify import Evidence
from challenge.tracking.opens import Open, write_opens
from challenge.tracking.record import record_click
from tests.unit.tracking.replay import START

BROWSER = Evidence("GET", "browser", prefetch=False, source="there")


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


def write(database: Database, group: list[Open]) -> None:
    with database.write() as session:
        write_opens(session, group)


@pytest.mark.parametrize("fault", ["of the database", "of the program"])
def test_one_that_cannot_be_written_takes_no_other_with_it(
    database: Database, mails: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    row = opens._row

    def broken(one: Open, mail: Any, others: Any) -> dict[str, Any]:
        if one.delivery_id != mails[1]:
            return row(one, mail, others)
        if fault == "of the program":
            raise RecursionError
        return row(one, mail, others) | {"enrollment_id": 99}

    monkeypatch.setattr(opens, "_row", broken)
    group = [an_open(mail) for mail in mails]
    with database.write() as session:
        assert write_opens(session, group) == [group[1]]
    assert count(database) == 2
    ours = [
        record.getMessage() for record in caplog.records if record.name == opens.log.name
    ]  # the driver may warn too
    assert ours == ["An open cannot be written; it is kept in a file."]


def test_it_keeps_nothing_of_the_erased_and_of_those_who_switched_it_off(database: Database, mails: list[int]) -> None:
    with database.write() as session:
        session.delete(session.get_one(Subscriber, 1))
        session.get_one(Subscriber, 2).tracking = False
    write(database, [an_open(mail) for mail in (*mails, 999)])
    with database.read() as session:
        assert [row.delivery_id for row in session.exec(select(Event))] == [mails[2]]


def test_the_time_is_that_of_the_open_and_a_click_since_then_is_seen(database: Database, mails: list[int]) -> None:
    """Written down a minute later, it is judged as if at once: here with a HEAD for a link of the same mail."""
    seen = an_open(mails[0], 30)
    with database.write() as session:
        for second, link in enumerate(("day", "rest", "unsubscribe"), 31):
            at = START + timedelta(seconds=second)
            record_click(session, mails[0], link, BROWSER, at, at)
    write(database, [seen])
    with database.read() as session:
        event = session.exec(select(Event).where(Event.kind == EventKind.opened)).one()
    assert (event.occurred_at, event.recorded_at, event.who) == (seen.at, seen.seen_at, "machine")
