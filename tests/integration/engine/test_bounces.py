"""Refusals heard in the SMTP dialogue follow the same path as reports that come back later."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlmodel import select

from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Event, EventKind, Suppression


def test_it_gives_up_a_mailbox_that_was_full_on_three_days(engine: Any, relay: Any) -> None:
    relay.say = lambda word, _: "452 4.2.2 mailbox full" if word == "RCPT" else None
    number = engine.sign_up("ana@example.com")
    engine.tick()
    reasons = []
    for day in range(3):
        with engine.database.write() as session:
            more = {"mail": "nudge", "is_daily": False, "planned_at": engine.now, "due_at": engine.now}
            session.add(Delivery(enrollment_id=number, key=f"nudge:day-{day + 1}", created_at=engine.now, **more))
        engine.drain()
        with engine.database.read() as session:
            reasons.append([row.reason for row in session.exec(select(Suppression))])
        engine.now += timedelta(days=1)
    assert reasons == [[], [], ["soft bounces on 3 days"]]
    assert engine.count()["scheduled"] == 0


def test_it_does_not_claim_again_and_again_what_belongs_to_another_date(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com")
    engine.send()
    relay.say = lambda word, _: "452 4.2.2 mailbox full" if word == "RCPT" else None
    engine.live(21)
    assert engine.row("day-1").strikes > 0
    engine.now += timedelta(days=1)
    assert engine.drain() == {}
    row = engine.row("day-1")
    assert (row.state, row.due_at) == (DeliveryState.scheduled, engine.now + timedelta(minutes=1))
    engine.now += timedelta(minutes=1)
    engine.send()
    assert engine.row("day-1").state is DeliveryState.failed


def test_it_ends_a_dead_address_at_once(engine: Any, relay: Any) -> None:
    relay.say = lambda word, _: "550 5.1.1 <ana@example.com> user unknown" if word == "RCPT" else None
    number = engine.sign_up("ana@example.com")
    engine.send()
    with engine.database.read() as session:
        kinds = [row.kind for row in session.exec(select(Event).order_by(Event.id))]  # type: ignore[arg-type]
        (row,) = session.exec(select(Suppression)).all()
        assert session.get_one(Enrollment, number).state is EnrollmentState.stopped
    assert kinds[-2:] == [EventKind.bounced, EventKind.suppressed]
    assert row.reason == "hard bounce"
    assert "ana@" not in row.evidence
    assert engine.audit().balanced
