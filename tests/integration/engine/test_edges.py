"""What happens in the same moment as a mail leaves, and what a drain that fails leaves behind: nothing is lost, doubled,
expired early or held for ever."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import col, select

from challenge import jobs, participation, signup
from challenge.clock import Clock
from challenge.delivery import prepare, send
from challenge.delivery.ledger import DeliveryLedger, Kept
from challenge.delivery.relay import SmtpUrl, Timeouts
from challenge.delivery.replies import Reply, Stage
from challenge.delivery.smtp import Kind, Outcome, Sender
from challenge.dispatch import beat, claim_due, stop_sending, tick
from challenge.events import lock
from challenge.going_on import go_on
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Event, EventKind
from challenge.participation import Wishes

ACCEPTED = Reply(250, "2.0.0", "ok", Stage.dot)
AWAY = OperationalError("SELECT", {}, Exception("server closed the connection unexpectedly"))


def ready(engine: Any, people: int) -> None:
    for number in range(people):
        engine.sign_up(f"p{number}@example.com", confirmed=False)
    engine.tick()


def drained(engine: Any, connections: int = 4) -> None:
    async def go() -> None:
        sender = Sender(SmtpUrl.parse(engine.smtp_url), connections=connections, timeouts=Timeouts(3.0, 3.0))
        try:
            await send.drain(engine.database, engine.composer, sender, "w", lambda: engine.now, seconds=5.0)
        finally:
            await sender.close(0)

    asyncio.run(go())


def slowly(relay: Any, seconds: float) -> None:
    relay.say = lambda word, _: time.sleep(seconds) if word == "DOT" else None


def live_on(engine: Any, days: int) -> None:
    """In steps of four hours: from eight o'clock on they meet every morning and evening here."""
    for _ in range(days * 6):
        engine.now += timedelta(hours=4)
        engine.send()


def on_the_second_morning(engine: Any, pace: str = "daily") -> int:
    """A person whose next daily mail is due in this instant."""
    number: int = engine.sign_up("ana@example.com", hour=8, pace=pace)
    engine.send()
    engine.now = engine.now.replace(hour=8, minute=0) + timedelta(days=1)
    engine.send()
    engine.now += timedelta(days=1)
    return number


def test_a_morning_that_was_missed_counts_once_however_many_wait(engine: Any) -> None:
    """More people than a busy tick plans, and a mail that is due: ticks seconds apart are not three mornings."""
    for number in range(130):
        engine.sign_up(f"p{number}@example.com", hour=8)
    engine.sign_up("other@example.com", hour=13)
    engine.send()
    engine.now = engine.now.replace(hour=13, minute=5)
    engine.now += timedelta(days=1)
    for _ in range(4):
        tick(engine.database, engine.challenge, engine.settings, engine.now)
        engine.now += timedelta(seconds=1)
    with engine.database.read() as session:
        counted = Counter(session.exec(select(Event.kind).where(col(Event.kind).in_(("missed", "expired")))).all())
    assert counted == {EventKind.missed: 130}


@pytest.mark.parametrize("deed", ["rest", "change", "complete"])
@pytest.mark.parametrize("claimed", [False, True])
def test_what_a_person_does_as_their_mail_leaves_ends_nothing(
    engine: Any, relay: Any, deed: str, claimed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planner is a tick behind the worker; `claimed`: the worker is ahead of the person, too."""
    number = on_the_second_morning(engine, "when_done" if deed == "complete" else "daily")
    look = prepare.prepare

    def act() -> None:
        at = engine.now - timedelta(milliseconds=200)
        with engine.database.write() as session:
            if deed == "rest":
                participation.rest(session, number, 1, engine.challenge.length, at)
            elif deed == "change":
                participation.change(session, number, Wishes(hour=20), at)
            else:
                participation.complete(session, number, 1, at)

    def late(*arguments: Any) -> Any:
        letters = look(*arguments)
        act()
        return letters

    with monkeypatch.context() as patch:
        if claimed:
            patch.setattr(send, "prepare", late)
        else:
            act()
        engine.drain()
    engine.send()  # the planner's turn
    live_on(engine, 10)
    keys = relay.keys("ana@example.com")
    assert [key for key in keys if key.startswith("day-")] == [f"day-{day}" for day in range(1, 6)]
    if not claimed:
        assert engine.audit().balanced, engine.audit().problems
        assert keys[2].partition(":")[0] == ("rest" if deed == "rest" else "day-2"), (
            "what was owed before is not sent any more"
        )


def test_what_a_machine_with_another_clock_wrote_down_is_planned_when_its_time_comes(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com", confirmed=False)
    engine.send()
    engine.now += timedelta(minutes=5)
    with engine.database.write() as session:
        enrollment, person = lock(session, number)
        ahead = engine.now + timedelta(seconds=5)
        signup.confirm(session, enrollment, person, engine.challenge, ahead, source="the other machine")
    engine.now += timedelta(seconds=2)
    with engine.database.write() as session:
        participation.change(session, number, Wishes(hour=9), engine.now)
    engine.send()
    engine.live(1)
    assert relay.keys("ana@example.com") == ["confirm", "welcome"]


def test_replies_that_come_in_during_the_last_commit_are_durable_too(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(engine, 4)
    ids = claim_due(engine.database, "w", engine.challenge, engine.settings, engine.now, 4)

    async def go() -> None:
        ledger = DeliveryLedger(engine.database, engine.settings, "w", engine.challenge.edition, lambda: engine.now)
        write = ledger._book.write

        async def slow(*arguments: Any) -> Any:
            await asyncio.sleep(0.1)
            return await write(*arguments)

        monkeypatch.setattr(ledger._book, "write", slow)
        for id in ids:
            ledger.keep(id, Kept("{}", engine.now))
        assert all(await asyncio.gather(*map(ledger.before_dot, ids)))
        ledger.outcome(Outcome(ids[0], Kind.accepted, Stage.dot, ACCEPTED))
        await asyncio.sleep(0.05)  # its commit is on its way
        for id in ids[1:]:
            ledger.outcome(Outcome(id, Kind.accepted, Stage.dot, ACCEPTED))
        await ledger.settle()
        assert engine.count() == {"sent": 4}
        ledger.close()

    asyncio.run(go())


def test_a_claim_that_fails_leaves_what_is_on_its_way_alone(
    engine: Any, relay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(engine, 30)
    claims: list[int] = []

    def flaky(*arguments: Any) -> Any:
        claims.append(1)
        if len(claims) == 3:
            raise AWAY
        return claim_due(*arguments)

    slowly(relay, 0.05)
    with monkeypatch.context() as patch:
        patch.setattr(send, "BATCH", 10)
        patch.setattr(send, "claim_due", flaky)
        with pytest.raises(OperationalError):
            drained(engine, 8)
    assert set(engine.count()) == {"sent", "scheduled"}
    engine.send()
    assert engine.count() == {"sent": 30}
    assert len(relay.messages) == 30


@pytest.mark.parametrize("away", ["for a moment", "for longer"])
def test_what_a_failed_drain_had_claimed_comes_back_while_its_worker_lives(
    engine: Any, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    ready(engine, 3)

    def fail(*_: Any) -> Any:
        raise AWAY

    with monkeypatch.context() as patch:
        patch.setattr(send, "prepare", fail)
        if away == "for longer":
            patch.setattr(send, "give_up_claims", fail)
        with pytest.raises(OperationalError):
            drained(engine)
    beat(engine.database, "w")
    if away == "for longer":
        assert engine.count() == {"claimed": 3}
        process = jobs._Process(engine.database, Clock(engine.database), engine.composer, None, None, "w")  # type: ignore[arg-type]
        process.has_failed = True
        monkeypatch.setattr(jobs, "_process", process)
        with process.drains:
            jobs._look_after(engine.database, engine.settings)
        assert engine.count() == {"claimed": 3}, "while a drain runs, its claims are its own"
        jobs._look_after(engine.database, engine.settings)
        assert not process.has_failed
    assert engine.count() == {"scheduled": 3}


def test_a_person_erased_as_their_mail_is_set_aside_harms_nobody(
    engine: Any, relay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(engine, 20)
    gone = engine.sign_up("gone@example.com", confirmed=False)
    engine.tick()
    with engine.database.write() as session:
        session.get_one(Enrollment, gone).state = EnrollmentState.stopped
    aside = prepare._set_aside

    def racing(database: Any, rows: Any, *more: Any) -> None:
        with engine.database.write() as session:
            for row in rows:
                participation.erase(session, session.get_one(Enrollment, row.enrollment_id).subscriber_id)
        aside(database, rows, *more)

    slowly(relay, 0.02)
    monkeypatch.setattr(send, "BATCH", 8)
    monkeypatch.setattr(prepare, "_set_aside", racing)
    drained(engine, 6)
    assert engine.count() == {"sent": 20}


def test_who_is_erased_as_a_refusal_is_written_down_takes_no_other_outcome_along(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready(engine, 4)
    ids = claim_due(engine.database, "w", engine.challenge, engine.settings, engine.now, 4)

    def erased(session: Any, id: int) -> Any:
        participation.erase(session, session.get_one(Enrollment, id).subscriber_id)
        return lock(session, id)

    async def go() -> None:
        ledger = DeliveryLedger(engine.database, engine.settings, "w", engine.challenge.edition, lambda: engine.now)
        for id in ids:
            ledger.keep(id, Kept("{}", engine.now))
        assert all(await asyncio.gather(*map(ledger.before_dot, ids)))
        monkeypatch.setattr("challenge.delivery.ledger.lock", erased)
        ledger.outcome(Outcome(ids[0], Kind.refused, Stage.dot, Reply(451, "4.2.0", "later", Stage.dot)))
        for id in ids[1:]:
            ledger.outcome(Outcome(id, Kind.accepted, Stage.dot, ACCEPTED))
        await ledger.settle()
        ledger.close()

    asyncio.run(go())
    assert engine.count() == {"sent": 3}


def test_a_stop_stops_what_is_claimed_too(engine: Any, relay: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(engine, 200)
    seen: list[int] = []

    def say(word: str, _: Any) -> None:
        if word == "DOT":
            time.sleep(0.01)
            seen.append(1)
            if len(seen) == 10:
                with engine.database.write() as session:
                    stop_sending(session, "an emergency")

    relay.say = say
    monkeypatch.setattr(send, "LOOK_SECONDS", 0.02)
    drained(engine)
    assert len(relay.messages) < 60
    assert set(engine.count()) == {"sent", "scheduled"}


def test_what_waited_long_for_its_turn_is_asked_again_whether_it_may_come(
    engine: Any, relay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        engine.sign_up(f"p{number}@example.com", hour=8)
    engine.send()
    engine.now = engine.now.replace(hour=8) + timedelta(days=1)
    engine.tick()
    before = len(relay.messages)

    def say(word: str, _: Any) -> None:
        if word == "DOT":
            time.sleep(0.01)
            if len(relay.messages) == before + 10:
                engine.now = engine.now.replace(hour=23, minute=30)

    relay.say = say
    monkeypatch.setattr(send, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(send, "STALE_SECONDS", 0.0)
    drained(engine)
    assert len(relay.messages) - before < 40, "nobody gets a mail at half past eleven in the night"
    with engine.database.read() as session:
        states = Counter(session.exec(select(Delivery.state).where(Delivery.key == "day-1")))
    assert set(states) == {DeliveryState.sent, DeliveryState.scheduled}


@pytest.mark.parametrize("confirmed", [True, False])
def test_who_takes_a_stop_back_beside_a_new_start_gets_one_mail_a_morning(
    engine: Any, relay: Any, confirmed: bool
) -> None:
    number, first = on_the_second_morning(engine), engine.now
    with engine.database.write() as session:
        participation.unsubscribe(session, number, engine.now, how="link")
    engine.now += timedelta(minutes=5)
    second = engine.sign_up("ana@example.com", hour=8, confirmed=confirmed)
    engine.send()
    with engine.database.write() as session:
        assert go_on(session, number, engine.challenge.length, engine.now) is not confirmed
    relay.messages.clear()
    engine.now = first + timedelta(days=1)
    engine.send()
    assert len(relay.keys("ana@example.com")) == 1
    with engine.database.read() as session:
        state = session.get_one(Enrollment, second).state
    assert state is (EnrollmentState.active if confirmed else EnrollmentState.stopped)
    live_on(engine, 12)
    assert engine.audit().balanced, engine.audit().problems


@contextlib.contextmanager
def relay_that(talk: Callable[[Any, Any], None]) -> Iterator[str]:
    server = socket.create_server(("127.0.0.1", 0))

    def one(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            talk(connection, connection.makefile("rb"))

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=one, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()
    try:
        yield f"smtp+plain://127.0.0.1:{server.getsockname()[1]}"
    finally:
        server.close()


def test_a_yes_to_data_without_a_body_is_no_mail(engine: Any) -> None:
    def talk(line: Any, rows: Any) -> None:
        line.sendall(b"220 x\r\n")
        for row in rows:
            line.sendall(b"250-x\r\n250 PIPELINING\r\n" if row.upper().startswith(b"EHLO") else b"250 2.0.0 ok\r\n")

    ready(engine, 1)
    with relay_that(talk) as engine.smtp_url:
        drained(engine, 1)
    row = engine.row("confirm")
    assert (row.state, row.receipt, row.strikes) == (DeliveryState.scheduled, "", 0)


def test_a_no_and_a_yes_before_a_recipient_who_is_refused_is_no_second_copy(engine: Any) -> None:
    """The relay says no while the dot is on its way and takes the mail all the same; it refuses the next recipient."""
    taken: list[bytes] = []

    def talk(line: Any, rows: Any) -> None:
        line.sendall(b"220 x\r\n")
        to, in_body = b"", False
        for row in rows:
            word = row[:4].upper()
            if in_body:
                if row == b".\r\n":
                    in_body = False
                    line.sendall(b"250 2.0.0 queued\r\n" if taken else b"451 4.3.0 busy\r\n250 2.0.0 queued\r\n")
                    taken.append(to)
            elif word == b"EHLO":
                line.sendall(b"250-x\r\n250 PIPELINING\r\n")
            elif word == b"RCPT":
                to = row
                line.sendall(b"550 5.1.1 no such user\r\n" if b"p1@" in row else b"250 ok\r\n")
            elif word == b"DATA":
                in_body = b"p1@" not in to
                line.sendall(b"354 go on\r\n" if in_body else b"503 no recipients\r\n")
            else:
                line.sendall(b"250 ok\r\n")

    ready(engine, 2)
    with relay_that(talk) as engine.smtp_url:
        drained(engine, 1)
        engine.now += timedelta(hours=1)
        drained(engine, 1)
    assert sum(b"p0@" in to for to in taken) == 1
