"""Anybody can type an address into a form: what that may change, and how often it may write to its owner."""

from __future__ import annotations

import email
import email.policy
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session, col, func, select

from challenge import participation, signup
from challenge.delivery.kept import letter_of
from challenge.events import lock, suppress
from challenge.going_on import go_on
from challenge.importing import import_people
from challenge.models import Delivery, Enrollment, EnrollmentState, Event, Installation, StatsMark, Subscriber
from challenge.stats.funnel import funnel

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


def told(relay: Any) -> list[str]:
    """The keys of the mails that say "you are in"."""
    return [key for key in relay.keys(ANA) if key.startswith("already")]


def words(relay: Any) -> tuple[str, str]:
    """(subject, text) of the last mail."""
    message = email.message_from_bytes(relay.messages[-1][1], policy=email.policy.default)
    text = message.get_body(("plain",))
    assert text is not None
    return str(message["Subject"]), str(text.get_content())


def type_again(engine: Any) -> None:
    engine.sign_up(
        ANA, confirmed=False, first_name="Mallory", timezone="Asia/Tokyo", hour=20, locale="fr", pace="weekly"
    )


def test_it_tells_who_is_in_where_they_are_at_any_hour(engine: Any, relay: Any) -> None:
    known(engine, "active")
    engine.live(48)
    before = person(engine)
    engine.now += timedelta(hours=13, minutes=5)  # in the middle of the night, in Berlin
    type_again(engine)
    engine.send()
    subject, text = words(relay)
    assert (told(relay), subject) == (["already:1:day-2"], "Du bist schon dabei")
    assert "Hallo, Ana." in text
    assert "Tag 2 öffnen:" in text
    assert "Die nächste E-Mail kommt: Donnerstag, 4. März, um 07:00 Uhr." in text
    assert "Mallory" not in relay.messages[-1][1].decode()
    with engine.database.read() as session:
        row = session.exec(select(Delivery).where(Delivery.mail == "already")).one()
        someone = session.exec(select(Subscriber)).one()
    assert engine.composer.compose(letter_of(row, someone)).data == relay.messages[-1][1]
    assert person(engine) == before
    assert engine.audit().balanced, engine.audit().problems
    engine.live(24 * 6)
    assert relay.keys(ANA) == ["welcome", "day-1", "day-2", "already:1:day-2", "day-3", "day-4", "day-5", "finish"]
    assert engine.row("day-3").planned_at - engine.row("day-2").planned_at == timedelta(days=1)
    assert engine.audit().balanced, engine.audit().problems
    with engine.database.read() as session:
        numbers = funnel(session, engine.challenge.slug, engine.challenge.length, engine.now)
        assert session.exec(select(func.count()).select_from(Enrollment)).one() == 1
    assert (numbers.signed_up, numbers.confirmed) == (1, 1)


def test_it_tells_once_a_day_and_three_times_in_thirty_days(engine: Any, relay: Any) -> None:
    engine.sign_up(ANA, pace="weekly")
    counts = []
    for hours in (1, 1, 23, 23, 24, 24, 24, 24 * 26, 24):
        engine.live(hours)
        type_again(engine)
        engine.send()
        counts.append(len(told(relay)))
    assert counts == [1, 1, 2, 2, 3, 3, 3, 4, 5]
    assert engine.audit().balanced, engine.audit().problems


def test_it_tells_who_pauses_and_leaves_the_pause(engine: Any, relay: Any) -> None:
    number = known(engine, "active")
    engine.live(30)
    with engine.database.write() as session:
        participation.pause(session, number, engine.now)
    engine.live(24 * 2)
    type_again(engine)
    engine.send()
    _, text = words(relay)
    assert told(relay) == ["already:1:day-1"]
    assert "DU MACHST PAUSE" in text
    assert "Mit meinen Tagen weitermachen:" in text
    engine.live(24 * 2)
    assert relay.keys(ANA)[-1] == "already:1:day-1"
    assert engine.audit().balanced, engine.audit().problems
    with engine.database.write() as session:
        assert participation.resume(session, number, engine.now)
    engine.live(24)
    assert relay.keys(ANA)[-1] == "day-2"
    assert engine.audit().balanced, engine.audit().problems


@pytest.mark.parametrize(("then", "gets"), [("paused", ["already:1:day-1"]), ("stopped", [])])
def test_it_keeps_to_what_they_did_before_it_left(engine: Any, relay: Any, then: str, gets: list[str]) -> None:
    number = known(engine, "active")
    engine.live(30)
    type_again(engine)
    engine.tick()
    assert engine.row("already:1:day-1").state == "scheduled"
    with engine.database.write() as session:
        if then == "paused":
            participation.pause(session, number, engine.now)
    if then == "stopped":
        stop(engine, number)
    engine.live(48)
    assert told(relay) == gets
    assert engine.audit().balanced, engine.audit().problems


def test_it_finds_what_is_owed_to_somebody_in_a_pause(engine: Any) -> None:
    number = known(engine, "paused")
    engine.now += timedelta(days=1)
    type_again(engine)
    engine.send()
    with engine.database.write() as session:
        session.delete(session.exec(select(Delivery).where(Delivery.mail == "already")).one())
        session.get_one(Enrollment, number).plan_at = None
    assert [problem.key for problem in engine.audit().problems] == ["already:1:welcome"]


@pytest.mark.parametrize("state", ["ended", "stopped"])
def test_it_asks_who_is_through_for_another_run(engine: Any, relay: Any, state: str) -> None:
    known(engine, state)
    type_again(engine)
    engine.send()
    assert told(relay) == []
    assert relay.keys(ANA)[-1] == "confirm"


def test_it_tells_nobody_because_a_list_was_read_again(engine: Any, relay: Any, tmp_path: Path) -> None:
    known(engine, "active")
    (tmp_path / "list.csv").write_text(f"email\n{ANA}\n")
    import_people(engine.database, engine.challenge, tmp_path / "list.csv", engine.now, confirmed=False)
    engine.live(2)
    assert relay.keys(ANA) == ["welcome"]


def test_it_tells_once_when_two_forms_come_in_one_moment(engine: Any, relay: Any) -> None:
    known(engine, "active")
    engine.live(30)

    def post(_: int) -> None:
        with engine.database.write() as session:
            signup.register(session, signup.read({"email": ANA}), engine.challenge, engine.now)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(post, range(16)))
    engine.live(2)
    assert told(relay) == ["already:1:day-1"]
    with engine.database.read() as session:
        again = select(func.count()).select_from(Event).where(Event.kind == "signed_up_again")
        assert session.exec(again).one() == 1
    assert engine.audit().balanced, engine.audit().problems


@pytest.mark.parametrize(
    "who", ["active", "told", "paused", "suppressed", "quiet", "new", "pending", "stopped", "too often"]
)
def test_it_does_as_much_for_everybody_and_leaves_nothing(
    engine: Any, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long an answer takes tells as much as its words: each sign-up inserts a whole one and writes one row for good."""
    if who in ("active", "paused", "stopped"):
        known(engine, who)
    elif who == "told":
        known(engine, "active")
        type_again(engine)
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
    changes = who in ("new", "pending", "stopped", "active", "paused")
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
