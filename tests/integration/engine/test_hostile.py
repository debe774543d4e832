"""Relays and moments that could make a busy loop or break a worker: lines that break under a mail, endless words, people
who leave while their mail is with the relay."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from sqlmodel import select

from challenge import participation
from challenge.alerts import raise_alert
from challenge.delivery import send, smtp
from challenge.delivery.ledger import DeliveryLedger, Kept
from challenge.delivery.replies import Reply, Stage
from challenge.delivery.smtp import Kind, Outcome
from challenge.dispatch import claim_due, resume_sending, stop_sending, tick
from challenge.events import lock
from challenge.guards import pause, tally
from challenge.inbound.effects import take
from challenge.inbound.report import Hardness, Reason, Report, ReportKind
from challenge.models import Alert, DomainHour, Event, RateBudget
from challenge.rendering.message import Composer


@pytest.mark.parametrize("word", ["MAIL", "DATA"])
def test_a_mail_that_breaks_its_line_waits_a_minute(engine: Any, relay: Any, word: str) -> None:
    said = Counter[str]()

    def say(command: str, _to: str) -> str | None:
        said[command] += 1
        return "hang up" if command == word else None

    for number in range(20):
        engine.sign_up(f"p{number}@example.com", confirmed=False)
    engine.tick()
    relay.say = say
    for _ in range(3):
        engine.drain()
    assert said[word] <= 40  # each was tried on two lines
    assert set(engine.count()) == {"scheduled"}
    engine.now += timedelta(seconds=61)
    relay.say = lambda _word, _to: None
    engine.send()
    assert len(relay.messages) == 20


def test_an_answer_that_breaks_its_line_for_three_days_is_given_up(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com", confirmed=False)
    relay.say = lambda word, _to: "hang up" if word == "DATA" else None
    for _ in range(4):
        engine.send()
        engine.now += timedelta(days=1)
    assert engine.states() == {"confirm": "failed"}
    with engine.database.read() as session:
        assert session.get(Alert, "put_off") is not None


def test_a_relay_of_many_words_breaks_no_commit(engine: Any) -> None:
    """A no of 900 letters and a yes behind it: the column holds 300, and PostgreSQL cuts nothing off by itself."""
    for name in ("ana", "ben"):
        engine.sign_up(f"{name}@example.com", confirmed=False)
    engine.tick()
    first, second = claim_due(engine.database, "w", engine.challenge, engine.settings, engine.now, 10)
    no, yes = Reply(554, "5.7.1", "no " * 300, Stage.dot), Reply(250, "2.0.0", "yes", Stage.dot)

    async def hear() -> None:
        ledger = DeliveryLedger(engine.database, engine.settings, "w", "e", lambda: engine.now)
        try:
            for id in (first, second):
                ledger.keep(id, Kept("{}", engine.now))
                assert await ledger.before_dot(id)
            ledger.outcome(Outcome(first, Kind.uncertain, Stage.dot, None, f"the relay said no and yes ({no})"))
            ledger.outcome(Outcome(second, Kind.accepted, Stage.dot, yes))
            await asyncio.wait_for(ledger.settle(), 20)
        finally:
            ledger.close()

    asyncio.run(hear())
    assert engine.count() == {"uncertain": 1, "sent": 1}


def test_who_pauses_while_their_mail_is_with_the_relay_misses_no_morning_each_tick(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.live(19)
    engine.now += timedelta(hours=1)
    engine.tick()
    (id,) = claim_due(engine.database, "w", engine.challenge, engine.settings, engine.now, 10)

    async def pause_behind_the_dot() -> None:
        ledger = DeliveryLedger(engine.database, engine.settings, "w", "e", lambda: engine.now)
        ledger.keep(id, Kept("{}", engine.now))
        assert await ledger.before_dot(id)
        with engine.database.write() as session:
            participation.pause(session, number, engine.now)
            stop_sending(session, "refused by many")
        ledger.outcome(Outcome(id, Kind.refused, Stage.dot, Reply(451, "4.7.1", "later", Stage.dot)))
        await ledger.settle()
        ledger.close()

    asyncio.run(pause_behind_the_dot())
    assert engine.states()["day-1"] == "scheduled"
    engine.now += timedelta(hours=5)
    for _ in range(5):
        tick(engine.database, engine.challenge, engine.settings, engine.now)
    with engine.database.read() as session:
        assert "missed" not in Counter(session.exec(select(Event.kind)))
    assert engine.states()["day-1"] == "cancelled"
    with engine.database.write() as session:
        participation.resume(session, number, engine.now)
        resume_sending(session)
    engine.live(30)
    assert relay.keys("ana@example.com").count("day-1") == 1
    assert engine.audit().balanced


def test_two_may_count_and_tell_of_the_same_in_any_order(engine: Any) -> None:
    """Two workers, or two webhooks, with bounces at the same domains: each locked one's row and waited for the other."""
    both = Barrier(2, timeout=20)

    def count(domains: tuple[str, str]) -> None:
        with engine.database.write() as session:
            for domain in domains:
                tally(session, {(domain, "bounced"): 1}, engine.now)
                raise_alert(session, f"bounces:{domain}", "many")
                pause(session, domain)
                if not engine.database.is_sqlite:  # there one writes at a time
                    both.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(count, (("aol.com", "web.de"), ("web.de", "aol.com"))))
    with engine.database.read() as session:
        assert [row.bounced for row in session.exec(select(DomainHour))] == [2, 2]
        assert [row.count for row in session.exec(select(Alert))] == [2, 2]
        assert len(session.exec(select(RateBudget)).all()) == 2


def test_the_other_lines_work_on_while_one_waits_for_its_reply(
    engine: Any, relay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A drain ends after half a minute; a relay may take ten for one reply, and nobody else was sent anything meanwhile."""
    monkeypatch.setattr(send, "BATCH", 10)
    monkeypatch.setattr(send, "HELD_UP_SECONDS", 0.0)
    for number in range(120):
        engine.sign_up(f"p{number}@example.com", confirmed=False)
    engine.tick()
    relay.patience = 4.0
    relay.say = lambda word, to: "wait" if word == "DOT" and to.startswith("p0@") else None
    engine.drain(seconds=0.05, dot=20.0)
    assert engine.count() == {"sent": 120}


def test_what_falls_due_while_one_line_waits_for_its_reply_leaves(
    engine: Any, relay: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker, one mail, and a relay that takes its time: nobody else was sent anything before it had answered."""
    monkeypatch.setattr(send, "HELD_UP_SECONDS", 0.1)
    monkeypatch.setattr(smtp, "ASK_AGAIN_SECONDS", 0.1)
    engine.sign_up("slow@example.com", confirmed=False)
    engine.tick()
    relay.patience = 3.0
    relay.say = lambda word, to: "wait" if word == "DOT" and to.startswith("slow@") else None
    with ThreadPoolExecutor(1) as pool:
        drained = pool.submit(engine.drain, dot=20.0)
        until(lambda: relay.messages)
        engine.sign_up("ana@example.com", confirmed=False)
        engine.tick()
        until(lambda: relay.keys("ana@example.com"))
        assert not drained.done()
        assert drained.result(30) == {"accepted": 2}


def until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 5
    while not is_so():
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.02)


def test_nobody_gets_the_words_of_another_challenge_and_all_goes_on_when_theirs_is_back(
    engine: Any, relay: Any
) -> None:
    engine.sign_up("ana@example.com")
    engine.live(24)
    ours, other = engine.challenge, replace(engine.challenge, slug="another")
    engine.challenge, engine.composer = other, Composer(engine.settings, other)
    engine.live(24)
    assert relay.keys("ana@example.com") == ["welcome", "day-1"]
    assert engine.states()["day-2"] == "cancelled"
    with engine.database.read() as session:
        assert "another" in session.get_one(Alert, "other_challenge").text
    engine.challenge, engine.composer = ours, Composer(engine.settings, ours)
    engine.live(24)
    assert relay.keys("ana@example.com") == ["welcome", "day-1", "day-2"]
    assert engine.audit().balanced


def test_a_complaint_and_an_unsubscribe_in_the_same_moment_do_not_wait_for_each_other(engine: Any) -> None:
    """As "report spam and unsubscribe" sends them, about somebody who had started twice."""
    first = engine.sign_up("ana@example.com")
    with engine.database.write() as session:
        participation.unsubscribe(session, first, engine.now, how="page")
    engine.now += timedelta(days=2)
    second = engine.sign_up("ana@example.com")
    report = Report("ana@example.com", ReportKind.complaint, Reason.unknown, Hardness.none)

    def complain() -> str:
        with engine.database.write() as session:
            return take(
                session,
                report,
                engine.now,
                delivery_id=None,
                enrollment_id=second,
                authenticated_by="verp",
                source="ses",
            )

    with ThreadPoolExecutor(1) as pool:
        with engine.database.write() as session:
            lock(session, first)
            effect = pool.submit(complain)
            time.sleep(0.5)  # it has come as far as it can
            lock(session, second)
        assert effect.result(20) == "suppressed"
