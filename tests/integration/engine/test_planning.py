"""Many people planned in one batch: every kind of change for several at once, and one who cannot be planned."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from challenge import journey, participation, plan
from challenge.deeds import Desk
from challenge.models import Alert, Delivery, DeliveryState, Enrollment, Event, EventKind
from challenge.participation import Wishes

PEOPLE = 5
SCHEDULED, CANCELLED = DeliveryState.scheduled, DeliveryState.cancelled


@pytest.fixture
def together(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What cannot be written for many at once is written for each alone: right, but slow, and here a mistake."""
    yield
    assert not [record for record in caplog.get_records("call") if record.name == plan.log.name]


def crowd(engine: Any) -> list[int]:
    return [engine.sign_up(f"p{number}@example.com") for number in range(PEOPLE)]


def states(engine: Any, key: str) -> list[DeliveryState]:
    with engine.database.read() as session:
        return list(session.exec(select(Delivery.state).where(Delivery.key == key).order_by(col(Delivery.id))))


def due(engine: Any) -> list[Any]:
    with engine.database.read() as session:
        return list(session.exec(select(Delivery.due_at).where(Delivery.key == "day-2").order_by(col(Delivery.id))))


def for_all(engine: Any, people: list[int], deed: Any) -> None:
    """In one transaction, so that the next tick finds them together."""
    with engine.database.write() as session:
        for number in people:
            deed(session, number)


def test_many_at_once_lose_what_is_no_longer_owed(engine: Any, together: None) -> None:
    people = crowd(engine)
    engine.live(24)
    for_all(
        engine,
        people,
        lambda session, id: [participation.complete(session, id, day, engine.now) for day in range(1, 6)],
    )
    while not states(engine, "invitation"):
        engine.live(1)
    assert states(engine, "invitation") == [SCHEDULED] * PEOPLE

    def join(session: Any, number: int) -> None:
        Desk(session, "mara", engine.now, engine.challenge.length).join(number, (4900, "USD"), None, f"form {number}")

    for_all(engine, people, join)
    engine.tick()
    assert states(engine, "invitation") == [CANCELLED] * PEOPLE
    assert engine.audit().balanced, engine.audit().problems


def test_many_at_once_are_moved_and_come_back(engine: Any, together: None) -> None:
    people = crowd(engine)
    engine.live(30)
    before = due(engine)
    for_all(engine, people, lambda session, id: participation.change(session, id, Wishes(hour=11), engine.now))
    engine.tick()
    assert [new - old for old, new in zip(before, due(engine), strict=True)] == [timedelta(hours=3)] * PEOPLE
    for_all(engine, people, lambda session, id: participation.pause(session, id, engine.now))
    engine.tick()
    assert states(engine, "day-2") == [CANCELLED] * PEOPLE
    for_all(engine, people, lambda session, id: participation.resume(session, id, engine.now))
    engine.tick()
    assert states(engine, "day-2") == [SCHEDULED] * PEOPLE
    assert engine.audit().balanced, engine.audit().problems


@pytest.mark.parametrize("bad", [0, 2, PEOPLE - 1])
def test_one_who_cannot_be_planned_holds_up_nobody_and_is_tried_again(
    engine: Any, relay: Any, monkeypatch: pytest.MonkeyPatch, bad: int
) -> None:
    people, fold = crowd(engine), journey.plan

    def broken(days: int, facts: Any, now: Any) -> Any:
        if facts[0].at == marked:
            raise KeyError("a program error")
        return fold(days, facts, now)

    with engine.database.write() as session:
        event = session.exec(
            select(Event).where(Event.enrollment_id == people[bad], Event.kind == EventKind.signed_up)
        ).one()
        marked = event.occurred_at = event.occurred_at - timedelta(seconds=7)
    with monkeypatch.context() as patch:
        patch.setattr(plan, "plan", broken)
        engine.send()
        welcomed = {f"p{number}@example.com" for number in range(PEOPLE) if number != bad}
        assert {name for name in map("p{}@example.com".format, range(PEOPLE)) if relay.keys(name)} == welcomed
        with engine.database.read() as session:
            [alert] = session.exec(select(Alert)).all()
            assert session.get_one(Enrollment, people[bad]).plan_at == engine.now + plan.FAILED_WAITS
        assert (alert.code, str(people[bad]) in alert.text) == ("planning", True)
    engine.live(1)
    assert relay.keys(f"p{bad}@example.com") == ["welcome"]
    assert engine.audit().balanced, engine.audit().problems
