"""From the yes to the finish over a real SMTP dialogue, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from challenge import participation as acts
from challenge.audit import Audit
from challenge.delivery.kept import kept_words
from challenge.delivery.ledger import DeliveryLedger, Kept
from challenge.delivery.prepare import prepare
from challenge.dispatch import bring_back, claim_due, leave, resume_sending, stop_sending
from challenge.events import suppress
from challenge.models import Alert, Delivery, DeliveryState, Enrollment, Event, EventKind, Subscriber
from challenge.stats.funnel import funnel

FIVE_DAYS = ["confirm", "welcome", "day-1", "day-2", "day-3", "day-4", "day-5", "finish", "comeback"]


def test_it_brings_five_days_each_in_the_persons_own_morning(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com", confirmed=False)
    engine.send()
    assert relay.keys("ana@example.com") == ["confirm"]
    with engine.database.write() as session:
        from challenge import signup
        from challenge.events import lock

        enrollment, subscriber = lock(session, 1)
        signup.confirm(session, enrollment, subscriber, engine.challenge, engine.now, source="test")
    engine.live(24 * 15)
    assert relay.keys("ana@example.com") == FIVE_DAYS
    dates = [re.search(rb"Date: \w+, (\d+ \w+) \d+ (\d+:\d+)", data) for _, data in relay.messages]
    assert [(m[1].decode(), m[2].decode()) for m in dates if m][2:7] == [(f"0{n} Mar", "08:00") for n in range(2, 7)]
    accounts: Audit = engine.audit()
    assert accounts.balanced, accounts.problems
    assert accounts.owed == 9
    assert accounts.states == {"sent": 9}


def test_it_sends_nothing_that_was_queued_after_a_stop(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.live(24)
    with engine.database.write() as session:
        assert acts.unsubscribe(session, number, engine.now, how="test")
    with engine.database.write() as session:
        assert not acts.unsubscribe(session, number, engine.now, how="test")
    engine.live(24 * 5)
    assert "day-2" not in relay.keys("ana@example.com")
    assert engine.states()["day-2"] == "cancelled"
    assert engine.audit().balanced


def test_it_drops_a_claimed_mail_when_its_person_stops_before_the_dot(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.tick()

    def stop_at_data(word: str, _recipient: str) -> str | None:
        if word == "DATA":
            with engine.database.write() as session:
                acts.unsubscribe(session, number, engine.now, how="test")
        return None

    relay.say = stop_at_data
    engine.drain()
    assert relay.messages == []
    assert engine.count()["cancelled"] >= 1
    assert engine.audit().balanced


def test_it_never_mails_a_suppressed_address(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com")
    engine.send()
    with engine.database.write() as session:
        suppress(session, "ana@example.com", "complaint", "test", engine.now)
    engine.live(24 * 3)
    assert "day-1" not in relay.keys("ana@example.com")
    engine.sign_up("ANA@example.com", confirmed=False)
    engine.live(1)
    assert relay.keys("ana@example.com") == ["welcome"]
    assert engine.audit().balanced


def test_it_keeps_one_enrollment_for_repeated_sign_ups(engine: Any, relay: Any) -> None:
    for spelling in ("ana@example.com", "Ana@Example.COM", "ana@example.com"):
        engine.sign_up(spelling, confirmed=False)
    engine.send()
    with engine.database.read() as session:
        assert len(session.exec(select(Enrollment)).all()) == 1
    assert relay.keys("ana@example.com") == ["confirm"]
    engine.now += timedelta(hours=1)
    engine.sign_up("ana@example.com", confirmed=False)
    engine.send()
    assert relay.keys("ana@example.com") == ["confirm", "confirm:2"]


def test_it_moves_the_sequence_when_a_morning_was_missed(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com")
    engine.live(24)
    with engine.database.write() as session:
        stop_sending(session, "test")
    engine.live(24)
    assert "day-2" not in relay.keys("ana@example.com")
    with engine.database.write() as session:
        assert resume_sending(session)
    engine.live(24 * 3)
    assert relay.keys("ana@example.com")[-3:] == ["day-2", "day-3", "day-4"]
    assert engine.audit().balanced, engine.audit().problems


def outage(engine: Any, hours: int) -> None:
    with engine.database.write() as session:
        stop_sending(session, "test")
    engine.live(hours)
    with engine.database.write() as session:
        assert resume_sending(session)


def test_it_never_mails_outside_waking_hours_however_late_it_is(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com", hour=21)
    engine.live(32)  # 20:00 of the next day
    outage(engine, 3)  # 23:00: within the four hours of the morning that began at 21:00, but people sleep
    engine.live(6)
    assert relay.keys("ana@example.com") == ["welcome"]
    engine.live(24 * 2)
    assert relay.keys("ana@example.com") == ["welcome", "day-1", "day-2"]
    assert engine.audit().balanced, engine.audit().problems


def test_it_drops_a_rest_note_whose_morning_is_over(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.live(22)
    with engine.database.write() as session:
        assert acts.rest(session, number, 1, engine.challenge.length, engine.now)
    outage(engine, 45)  # until an hour before day 2
    engine.live(24)
    assert relay.keys("ana@example.com") == ["welcome", "day-1", "day-2"]
    assert engine.states()["rest:2027-03-03"] == "expired"
    assert engine.audit().balanced, engine.audit().problems


def test_it_invites_once_after_the_finish(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com")
    for day in range(1, 6):
        engine.live(24)
        with engine.database.write() as session:
            assert acts.complete(session, number, day, engine.now) or day > 1
    engine.live(24 * 2)
    outage(engine, 24)  # the invitation's morning: it comes the next
    engine.live(24 * 20)
    assert relay.keys("ana@example.com")[-2:] == ["finish", "invitation"]
    assert engine.row("invitation").planned_at.day == 10
    assert engine.audit().balanced, engine.audit().problems
    with engine.database.read() as session:
        assert session.get_one(Enrollment, number).state == "ended"


def test_it_nudges_once_between_two_days(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com", pace="every_other_day")
    engine.live(24 * 6)
    assert relay.keys("ana@example.com") == ["welcome", "day-1", "nudge:day-1", "day-2", "day-3"]
    assert engine.audit().balanced, engine.audit().problems


def test_it_gives_a_mail_up_after_three_mornings_and_tells_somebody(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com")
    engine.live(24)
    relay.say = lambda word, _to: "421 4.3.2 going down" if word == "MAIL" else None
    engine.live(24 * 4)
    relay.say = lambda _word, _to: None
    engine.live(24 * 2)
    assert engine.states()["day-2"] == "expired"
    assert relay.keys("ana@example.com")[-1].startswith("day-")
    with engine.database.read() as session:
        assert session.get(Alert, "expired") is not None
    assert engine.audit().balanced, engine.audit().problems


def test_it_ends_a_dead_address_and_suppresses_it(engine: Any, relay: Any) -> None:
    engine.sign_up("gone@example.com")
    relay.say = lambda word, _to: "550 5.1.1 no such user" if word == "RCPT" else None
    engine.live(48)
    assert engine.states()["welcome"] == "failed"
    assert engine.count()["scheduled"] == 0
    with engine.database.read() as session:
        assert session.exec(select(Event).where(Event.kind == EventKind.suppressed)).first()
    assert engine.audit().balanced, engine.audit().problems


def test_it_comes_back_after_greylisting(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com")
    relay.say = lambda word, _to: "450 4.2.0 greylisted, try again later" if word == "RCPT" else None
    engine.send()
    assert engine.row("welcome").strikes == 1
    relay.say = lambda _word, _to: None
    engine.send()
    assert relay.messages == []
    engine.live(1)
    assert relay.keys("ana@example.com")[-1] == "welcome"


def test_it_stops_the_queue_and_blames_nobody_when_the_sender_is_refused(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com")
    relay.say = lambda word, _to: "550 5.7.1 rejected by policy" if word == "MAIL" else None
    engine.send()
    row = engine.row("welcome")
    assert (row.state, row.strikes) == (DeliveryState.scheduled, 0)
    relay.say = lambda _word, _to: None
    engine.send()
    assert relay.messages == []
    with engine.database.write() as session:
        assert session.get(Alert, "sender_refused") is not None
        resume_sending(session)
    engine.send()
    assert relay.keys("ana@example.com")[-1] == "welcome"


def test_it_holds_what_nobody_can_decide_and_goes_on(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com")
    engine.live(19)
    relay.say = lambda word, _to: "hang up" if word == "DOT" else None
    engine.live(1)
    assert engine.states()["day-1"] == "uncertain"
    relay.say = lambda _word, _to: None
    engine.live(24)
    assert relay.keys("ana@example.com")[-1] == "day-2"
    assert engine.audit().uncertain == ((1, "day-1"),)
    assert engine.audit().balanced


def test_it_resends_once_with_the_same_bytes_when_told_to(make_engine: Any, relay: Any) -> None:
    engine = make_engine(on_uncertain="resend_once")
    engine.sign_up("ana@example.com", confirmed=False)
    kept: list[bytes] = []
    engine.tick()
    ids = claim_due(engine.database, "dead", engine.challenge, engine.settings, engine.now, 10)
    (letter,) = prepare(engine.database, ids, engine.challenge, engine.settings, engine.now)
    message = engine.composer.compose(letter)
    kept.append(message.data)

    async def hand_over_and_die() -> None:
        ledger = DeliveryLedger(engine.database, engine.settings, "dead", engine.challenge.edition, lambda: engine.now)
        ledger.keep(ids[0], Kept(kept_words(letter, message.digest), letter.composed_at))
        assert await ledger.before_dot(ids[0])
        ledger.close()

    asyncio.run(hand_over_and_die())
    bring_back(engine.database, engine.settings, engine.now)
    engine.now += timedelta(minutes=7)
    with engine.database.write() as session:
        person = session.exec(select(Subscriber)).one()
        person.first_name = "Changed"
        session.add(person)
    engine.send()
    assert [data for _, data in relay.messages] == kept
    assert engine.states()["confirm"] == "sent"


def test_it_brings_back_what_a_dead_worker_held(engine: Any, relay: Any) -> None:
    for number in range(3):
        engine.sign_up(f"p{number}@example.com", confirmed=False)
    engine.tick()
    ids = claim_due(engine.database, "dead", engine.challenge, engine.settings, engine.now, 10)
    with engine.database.write() as session:
        row = session.get_one(Delivery, ids[0])
        row.state = DeliveryState.handed_over
        session.add(row)
    assert not engine.audit().balanced
    assert bring_back(engine.database, engine.settings, engine.now) == (len(ids) - 1, 1)
    engine.send()
    assert engine.count()["uncertain"] == 1
    assert engine.audit().balanced
    leave(engine.database, "w", engine.settings, engine.now)


def test_it_claims_each_row_once(engine: Any) -> None:
    for number in range(20):
        engine.sign_up(f"p{number}@example.com", confirmed=False)
    engine.tick()
    first = claim_due(engine.database, "a", engine.challenge, engine.settings, engine.now, 15)
    second = claim_due(engine.database, "b", engine.challenge, engine.settings, engine.now, 15)
    assert len(first) == 15
    assert len(second) == 5
    assert not set(first) & set(second)


def test_it_keeps_the_rate_over_all_workers(make_engine: Any) -> None:
    engine = make_engine(send_rate=5)
    for number in range(20):
        engine.sign_up(f"p{number}@example.com", confirmed=False)
    engine.tick()
    claimed = [
        len(claim_due(engine.database, name, engine.challenge, engine.settings, engine.now, 50)) for name in "abc"
    ]
    assert 5 <= sum(claimed) <= 6


@pytest.mark.parametrize("harm", ["delete", "extra", "receipt", "cancel"])
def test_it_finds_what_does_not_add_up(engine: Any, harm: str) -> None:
    engine.sign_up("ana@example.com")
    engine.live(24 * 3)
    assert engine.audit().balanced
    with engine.database.write() as session:
        row = session.exec(select(Delivery).where(Delivery.key == "day-2")).one()
        if harm == "delete":
            session.delete(row)
        elif harm == "extra":
            session.add(Delivery(**(row.model_dump() | {"id": None, "key": "day-9"})))
        elif harm == "receipt":
            row.receipt = ""
            session.add(row)
        else:
            row.state = DeliveryState.cancelled
            session.add(row)
    assert not engine.audit().balanced


def test_it_rests_pauses_and_goes_on(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.live(21)
    with engine.database.write() as session:
        assert acts.rest(session, number, 1, 5, engine.now)
    with engine.database.write() as session:
        assert not acts.rest(session, number, 1, 5, engine.now)
    engine.live(48)
    assert relay.keys("ana@example.com")[-3:] == ["day-1", "rest:2027-03-03", "day-2"]
    with engine.database.write() as session:
        assert acts.pause(session, number, engine.now)
    engine.live(72)
    with engine.database.write() as session:
        assert acts.resume(session, number, engine.now)
    engine.live(24)
    assert relay.keys("ana@example.com")[-2:] == ["day-2", "day-3"]
    assert engine.audit().balanced, engine.audit().problems


def test_it_counts_what_happened(engine: Any) -> None:
    number = engine.sign_up("ana@example.com", utm_source="podcast")
    engine.sign_up("ben@example.com", confirmed=False)
    engine.live(24 * 6)
    with engine.database.write() as session:
        for day in range(1, 6):
            assert acts.complete(session, number, day, engine.now)
        assert not acts.complete(session, number, 5, engine.now)
        assert acts.undo(session, number, 4, 5, engine.now) == "completed"
    with engine.database.read() as session:
        numbers = funnel(session, "ms-strength", 5, engine.now)
    assert (numbers.signed_up, numbers.confirmed, numbers.finished) == (2, 1, 0)
    assert [day.done for day in numbers.days] == [1, 1, 1, 0, 1]
    assert numbers.by_source["podcast"] == (1, 1, 0)


def test_it_erases_a_person(engine: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.live(24)
    with engine.database.write() as session:
        data = acts.my_data(session, 1)
        assert data["person"]["email"] == "ana@example.com"
        assert len(data["challenges"][0]["mails"]) >= 2
        acts.erase(session, 1)
    with engine.database.read() as session:
        assert session.get(Enrollment, number) is None
        assert session.exec(select(Delivery)).all() == []
        assert session.exec(select(Event)).all() == []
    assert engine.audit().balanced
