"""One receiver that refuses us is not all of them: who waits, for how long, and what a human hears."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from challenge.dispatch import is_stopped, resume_sending
from challenge.models import Alert, DeliveryState, Suppression
from challenge.rates import paused_domains

POLICY = "550 5.7.1 Access denied by recipient's policy"


def refusing(*domains: str, words: str = POLICY, at: str = "RCPT") -> Callable[[str, str], str | None]:
    return lambda word, to: words if word == at and (not domains or to.partition("@")[2] in domains) else None


def sign_up(engine: Any, *emails: str) -> None:
    for email in emails:
        engine.sign_up(email, confirmed=False)
    engine.tick()
    engine.drain()


def stopped(engine: Any) -> str:
    with engine.database.read() as session:
        return is_stopped(session)


def alert(engine: Any, code: str = "sender_refused") -> str:
    with engine.database.read() as session:
        row = session.get(Alert, code)
        return row.text if row else ""


def resume(engine: Any) -> bool:
    with engine.database.write() as session:
        return resume_sending(session)


@pytest.mark.parametrize("words", [POLICY, "554 5.7.1 Relay access denied"])
def test_one_receiver_stops_nobody_else(engine: Any, relay: Any, words: str) -> None:
    relay.say = refusing("evil.example", words=words)
    sign_up(engine, "eve@evil.example")
    for number in range(6):
        sign_up(engine, f"p{number}@example.com")
        assert not stopped(engine)
        engine.now += timedelta(minutes=40)
    assert all(len(relay.keys(f"p{number}@example.com")) == 1 for number in range(6))
    assert "evil.example" in alert(engine) + alert(engine, "configuration")
    assert not resume(engine)


def test_a_refused_mail_waits_for_an_hour(engine: Any, relay: Any) -> None:
    relay.say = refusing("evil.example")
    sign_up(engine, "eve@evil.example")
    row = engine.row("confirm")
    assert (row.state, row.strikes) == (DeliveryState.scheduled, 0)
    assert row.due_at - engine.now == timedelta(hours=1)


def test_several_people_at_several_domains_stop_the_queue(engine: Any, relay: Any) -> None:
    relay.say = refusing()
    sign_up(engine, "ana@a.example", "ben@b.example")
    assert "Access denied" in stopped(engine)
    assert "a.example, b.example" in alert(engine)
    assert resume(engine)
    relay.say = refusing("a.example", "b.example")
    for number in range(6):  # the same mails are refused again and again: a human has judged that
        engine.now += timedelta(minutes=31)
        sign_up(engine, f"p{number}@example.com")
        assert not stopped(engine)
    sign_up(engine, "eve@a.example", "joy@b.example")
    assert stopped(engine)
    with engine.database.read() as session:
        assert session.exec(select(Suppression)).first() is None


def test_refusals_far_apart_stop_nothing(engine: Any, relay: Any) -> None:
    relay.say = refusing()
    sign_up(engine, "ana@a.example")
    engine.now += timedelta(hours=1)
    sign_up(engine, "ben@b.example")
    assert not stopped(engine)


def test_several_people_at_one_domain_leave_that_domain_alone(engine: Any, relay: Any) -> None:
    relay.say = refusing("a.example")
    sign_up(engine, "ana@a.example", "ben@a.example", "joy@example.com")
    assert not stopped(engine)
    with engine.database.read() as session:
        assert set(paused_domains(session, ["a.example", "example.com"])) == {"a.example"}
    assert len(relay.keys("joy@example.com")) == 1


@pytest.mark.parametrize(
    ("word", "words", "code"),
    [
        ("MAIL", "550 5.7.1 sender refused", "sender_refused"),
        ("RCPT", "530 5.7.0 Authentication required", "configuration"),
    ],
)
def test_what_is_about_us_stops_at_once(engine: Any, relay: Any, word: str, words: str, code: str) -> None:
    relay.say = refusing(words=words, at=word)
    sign_up(engine, "ana@example.com")
    assert stopped(engine)
    assert words[:9] in alert(engine, code)


@pytest.mark.parametrize("words", ["451 4.7.1 Service unavailable - try again later", POLICY])
def test_an_answer_that_is_put_off_for_days_is_given_up(engine: Any, relay: Any, words: str) -> None:
    engine.sign_up("ana@example.com")
    engine.now += timedelta(days=5)  # an outage: nothing was tried
    relay.say = refusing(words=words, at="DOT")
    for _ in range(6):
        engine.send()
        engine.now += timedelta(hours=12)
    assert engine.row("welcome").state is DeliveryState.scheduled
    assert not alert(engine, "put_off")
    engine.send()
    assert engine.row("welcome").state is DeliveryState.failed
    assert "welcome" in alert(engine, "put_off")
    assert "example.com" in alert(engine, "put_off")
    relay.say = refusing("nobody.example")
    engine.live(30)
    assert "day-1" in relay.keys("ana@example.com")
    assert engine.audit().balanced, engine.audit().problems
