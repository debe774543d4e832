"""Anybody can type an address into a form: what that may change, and how often it may write to its owner."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, col, func, select

from challenge import participation, signup
from challenge.events import lock, suppress
from challenge.going_on import go_on
from challenge.models import Delivery, Enrollment, EnrollmentState, Event, Installation, StatsMark, Subscriber

ANA = "ana@example.com"


def person(engine: Any) -> tuple[str, str, int, str, bool]:
    with engine.database.read() as session:
        row = session.exec(select(Subscriber).where(Subscriber.email_key == ANA)).one()
        return row.first_name, row.timezone, row.hour, row.locale, row.tracking


def stop(engine: Any, number: int) -> None:
    with engine.database.write() as session:
        participation.unsubscribe(session, number, engine.now, how="test")


def confirm(engine: Any, number: int) -> None:
    with engine.database.write() as session:
        signup.confirm(session, *lock(session, number), engine.challenge, engine.now, source="test")


def known(engine: Any, state: str) -> int:
    number: int = engine.sign_up(ANA, first_name="Ana", timezone="Europe/Berlin", hour=7, locale="de")
    engine.send()
    if state == "stopped":
        stop(engine, number)
    elif state == "paused":
        with engine.database.write() as session:
            participation.pause(session, number, engine.now)
    elif state == "ended":
        engine.live(24 * 16)
    with engine.database.read() as session:
        assert session.get_one(Enrollment, number).state == state
    return number


@pytest.mark.parametrize("state", ["stopped", "ended"])
def test_it_keeps_what_a_stranger_wishes_until_the_yes(engine: Any, state: str) -> None:
    known(engine, state)
    before = person(engine)
    for name in ("Eve", "Mallory"):
        engine.now += timedelta(minutes=1)
        run = engine.sign_up(
            ANA, confirmed=False, first_name=name, timezone="Asia/Tokyo", hour=20, locale="fr", pace="weekly"
        )
    engine.live(24)
    assert person(engine) == before == ("Ana", "Europe/Berlin", 7, "de", True)
    confirm(engine, run)  # the person's own wishes after all: the last ones hold
    assert person(engine) == ("Mallory", "Asia/Tokyo", 20, "fr", True)
    engine.live(48)
    with engine.database.read() as session:
        rows = session.exec(select(Delivery).where(Delivery.enrollment_id == run, Delivery.key == "day-1")).all()
    assert [row.planned_at.hour for row in rows] == [11]  # 20:00 in Tokyo
    assert engine.audit().balanced, engine.audit().problems


def test_it_tells_other_runs_of_a_new_hour(engine: Any) -> None:
    first = known(engine, "ended")
    second = engine.sign_up(ANA, confirmed=False, hour=9)
    confirm(engine, second)
    with engine.database.read() as session:
        changed = session.exec(select(Event).where(Event.enrollment_id == first, Event.kind == "changed")).one()
    assert (changed.detail["hour"], changed.detail["timezone"]) == (9, "UTC")


def test_it_takes_the_last_word_of_somebody_who_never_said_yes(engine: Any) -> None:
    engine.sign_up(ANA, confirmed=False, first_name="Anna", hour=7, goal="walk")
    engine.now += timedelta(minutes=1)
    number = engine.sign_up(ANA, confirmed=False, first_name="Ana", hour=9, position="lying", pace="weekly")
    confirm(engine, number)
    with engine.database.read() as session:
        run = session.get_one(Enrollment, number)
    assert person(engine)[:3] == ("Ana", "UTC", 9)
    assert (number, run.position, run.goal, run.pace) == (1, "lying", "walk", "weekly")


def ask(engine: Any, relay: Any, address: str = ANA) -> int:
    """One more sign-up of a stranger; how many confirmations its owner has then."""
    engine.sign_up(address, confirmed=False)
    engine.send()
    return sum(key.startswith("confirm") for key in relay.keys(address))


def test_it_asks_three_times_in_thirty_days_and_an_hour_apart(engine: Any, relay: Any) -> None:
    assert [ask(engine, relay) for _ in range(3)] == [1, 1, 1]
    for count in (2, 3, 3, 3):
        engine.now += timedelta(hours=1)
        assert ask(engine, relay) == count
    engine.now += timedelta(days=30, hours=1)
    assert ask(engine, relay) == 4
    assert engine.audit().balanced, engine.audit().problems


def test_it_counts_over_all_runs_what_nobody_answered(engine: Any, relay: Any) -> None:
    first = engine.sign_up(ANA)
    stop(engine, first)
    counts = []
    for _ in range(6):
        engine.now += timedelta(minutes=30)
        counts.append(ask(engine, relay))
        with engine.database.write() as session:  # as an operator may end a run that nobody stopped
            enrollment = session.exec(select(Enrollment).order_by(col(Enrollment.id).desc()).limit(1)).one()
            enrollment.state = EnrollmentState.ended
            session.add(enrollment)
    assert counts == [1, 1, 2, 2, 3, 3]
    assert ask(engine, relay, "cleo@example.com") == 1


def test_it_asks_at_once_whoever_answered_before(engine: Any, relay: Any) -> None:
    """A stop that was a slip: the confirmation before it was answered, so nothing has to wait."""
    for _ in range(5):
        engine.now += timedelta(minutes=1)
        number = engine.sign_up(ANA)
        stop(engine, number)
    assert ask(engine, relay) == 1


def test_it_is_quiet_for_ninety_days_when_a_stranger_said_stop(engine: Any, relay: Any) -> None:
    number = engine.sign_up(ANA, confirmed=False)
    engine.send()
    stop(engine, number)
    for days in (0, 1, 40, 48):
        engine.now += timedelta(days=days)
        assert ask(engine, relay) == 1
    with engine.database.read() as session:
        assert session.exec(select(func.count()).select_from(Enrollment)).one() == 1
    engine.now += timedelta(days=2)
    assert ask(engine, relay) == 2


def test_it_may_ask_again_when_the_stop_was_taken_back(engine: Any, relay: Any) -> None:
    number = engine.sign_up(ANA, confirmed=False)
    engine.send()
    stop(engine, number)
    with engine.database.write() as session:
        assert go_on(session, number, engine.challenge.length, engine.now + timedelta(minutes=1))
    engine.now += timedelta(hours=2)
    assert ask(engine, relay) == 2


@pytest.mark.parametrize("who", ["active", "paused", "suppressed", "quiet", "new", "pending", "stopped", "too often"])
def test_it_does_as_much_for_everybody_and_leaves_nothing(
    engine: Any, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long an answer takes tells as much as its words: each sign-up inserts a whole one and writes one row for good."""
    if who in ("active", "paused", "stopped"):
        known(engine, who)
    elif who == "suppressed":
        with engine.database.write() as session:
            suppress(session, ANA, "complaint", "", engine.now)
    elif who != "new":
        engine.sign_up(ANA, confirmed=False)
        if who == "quiet":
            stop(engine, 1)
    tables: list[str] = []
    flushed = Session.flush

    def flush(self: Session, *arguments: Any) -> None:
        tables.extend(type(row).__name__ for row in self.new)
        flushed(self, *arguments)

    wish, write = signup.read({"email": ANA}), signup.pretend if who == "too often" else signup.register
    changes = who in ("new", "pending", "stopped")
    with engine.database.read() as session:
        before = [
            session.exec(select(func.count()).select_from(table)).one() for table in (Subscriber, Enrollment, Event)
        ]
        touched = session.get(Installation, "signed_up_at")
        old = touched.value if touched else ""
    monkeypatch.setattr(Session, "flush", flush)
    with engine.database.write() as session:
        write(session, wish, engine.challenge, engine.now)
    monkeypatch.undo()
    with engine.database.read() as session:
        after = [
            session.exec(select(func.count()).select_from(table)).one() for table in (Subscriber, Enrollment, Event)
        ]
        assert session.get_one(Installation, "signed_up_at").value != old
        assert session.exec(select(func.count()).select_from(Subscriber).where(Subscriber.email != ANA)).one() == 0
        marks = session.exec(select(StatsMark.enrollment_id)).all()
        ids = session.exec(select(Enrollment.id)).all()
    assert changes == (before != after)
    assert set(marks) <= set(ids)
    assert {"Enrollment", "Event"} <= set(tables) or who == "pending"
