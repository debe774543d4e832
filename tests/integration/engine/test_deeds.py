"""What the desk does to a person, through the real engine: the mails go out, the accounts still balance."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from challenge import participation
from challenge.deeds import Desk, undecided
from challenge.errors import NotFound, UsageError
from challenge.models import AuditEntry, Conversion, Delivery, DeliveryState, Enrollment, Event, EventKind, Subscriber


def act(engine: Any, deed: str, *arguments: Any) -> Any:
    with engine.database.write() as session:
        return getattr(Desk(session, "mara", engine.now, engine.challenge.length), deed)(*arguments)


def deeds(engine: Any) -> list[tuple[str, int | None, str]]:
    with engine.database.read() as session:
        rows = session.exec(select(AuditEntry).order_by(col(AuditEntry.id)))
        return [(row.deed, row.enrollment_id, row.detail) for row in rows]


def test_it_sends_a_copy_beside_the_sequence(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.live(24 * 2)
    assert relay.keys("ana@example.com") == ["welcome", "day-1", "day-2"]
    act(engine, "send_again", number, "day-1")
    engine.send()
    assert relay.keys("ana@example.com")[-1] == "resend:1:day-1"
    copy = relay.messages[-1][1]
    first = next(data for _, data in relay.messages if b"X-Challenge-Mail: day-1" in data)
    assert copy.split(b"Subject: ")[1].split(b"\r\n")[0] == first.split(b"Subject: ")[1].split(b"\r\n")[0]
    engine.live(24 * 12)
    assert [key for key in relay.keys("ana@example.com") if not key.startswith("resend")] == [
        "welcome", "day-1", "day-2", "day-3", "day-4", "day-5", "finish", "comeback"
    ]  # fmt: skip
    assert engine.audit().balanced, engine.audit().problems
    assert deeds(engine) == [("sent a mail again", number, "day-1")]
    with engine.database.read() as session:
        event = session.exec(select(Event).where(Event.kind == EventKind.resent)).one()
    assert (event.who, event.detail) == ("staff", {"key": "day-1", "by": "mara"})


def test_it_invites_nobody_who_joined_and_keeps_what_went_out_before(engine: Any, relay: Any) -> None:
    ana, ben = engine.sign_up("ana@example.com"), engine.sign_up("ben@example.com")
    engine.live(24)
    with engine.database.write() as session:
        for number in (ana, ben):
            for day in range(1, 6):
                participation.complete(session, number, day, engine.now)
    engine.live(24 * 6)
    for _ in range(2):
        act(engine, "join", ana, (4900, "USD"), None, "one form")
    engine.live(24 * 4)
    assert [relay.keys(f"{name}@example.com")[-1] for name in ("ana", "ben")] == ["finish", "invitation"]
    act(engine, "join", ben, (0, ""), engine.now - timedelta(days=9), "another form")
    engine.live(24 * 3)
    assert relay.keys("ben@example.com").count("invitation") == 1
    assert engine.audit().balanced, engine.audit().problems
    with engine.database.read() as session:
        assert [row.how for row in session.exec(select(Conversion))] == ["desk", "desk"]
    assert deeds(engine) == [("noted that somebody joined", ana, "49.00 USD"), ("noted that somebody joined", ben, "")]
    with pytest.raises(UsageError):
        act(engine, "join", ben, (1, "USD"), None, "another form")


def _live_a_run(engine: Any, address: str) -> int:
    """Signs up, says yes, does day 1, and lives until after the finish."""
    number: int = engine.sign_up(address)
    engine.live(24)
    with engine.database.write() as session:
        participation.complete(session, number, 1, engine.now)
    engine.live(24 * 5 + 12)
    return number


def test_it_invites_nobody_in_a_later_run_who_joined_in_an_earlier(engine: Any, relay: Any) -> None:
    first = _live_a_run(engine, "ana@example.com")
    act(engine, "join", first, (4900, "USD"), None, "one form")
    engine.live(24 * 9)
    second = _live_a_run(engine, "ana@example.com")
    assert second != first
    engine.live(24 * 9)
    assert relay.keys("ana@example.com").count("invitation") == 0
    assert relay.keys("ana@example.com").count("comeback") == 2
    assert engine.audit().balanced, engine.audit().problems


def test_it_takes_the_invitation_of_a_later_run_back_when_the_earlier_one_tells_of_the_joining(
    engine: Any, relay: Any
) -> None:
    first = _live_a_run(engine, "ana@example.com")
    engine.live(24 * 9)
    _live_a_run(engine, "ana@example.com")
    assert relay.keys("ana@example.com")[-1] == "finish"
    engine.live(24)
    act(engine, "join", first, (4900, "USD"), None, "one form")  # by the link of the mail of months ago
    engine.live(24 * 9)
    assert relay.keys("ana@example.com").count("invitation") == 1
    assert relay.keys("ana@example.com")[-1] == "comeback"
    assert engine.audit().balanced, engine.audit().problems


def test_it_finds_an_invitation_of_somebody_who_had_joined_in_an_earlier_run(engine: Any) -> None:
    first = _live_a_run(engine, "ana@example.com")
    engine.live(24 * 9)
    _live_a_run(engine, "ana@example.com")
    engine.live(24 * 9)
    with engine.database.write() as session:
        told = Event(
            enrollment_id=first,
            kind=EventKind.joined,
            occurred_at=engine.now - timedelta(days=20),
            recorded_at=engine.now,
            detail={"told_at": (engine.now - timedelta(days=20)).isoformat()},
        )
        session.add(told)
    assert [(problem.enrollment, problem.key) for problem in engine.audit().problems] == [(2, "invitation")]


def test_it_sends_a_copy_while_the_daily_mail_is_deferred(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.live(24)
    relay.say = lambda word, _to: "451 4.3.0 try later" if word == "DOT" else None
    engine.live(22)
    assert engine.row("day-2").state is DeliveryState.scheduled
    act(engine, "send_again", number, "welcome")
    assert engine.row("resend:1:welcome").state is DeliveryState.scheduled
    assert engine.audit().balanced, engine.audit().problems
    relay.say = lambda _word, _to: None
    engine.live(6)
    assert {"resend:1:welcome", "day-2"} <= set(relay.keys("ana@example.com"))
    assert engine.audit().balanced, engine.audit().problems


def test_it_keeps_a_copy_when_a_morning_is_missed(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.live(24)
    engine.now += timedelta(hours=21)
    engine.tick()  # day 2 is planned, and its morning passes without anybody sending
    act(engine, "send_again", number, "day-1")
    engine.now += timedelta(hours=8)
    engine.send()
    engine.live(24)
    keys = relay.keys("ana@example.com")
    assert sorted(keys) == ["day-1", "day-2", "resend:1:day-1", "welcome"]
    assert engine.audit().balanced, engine.audit().problems


def test_it_waits_for_the_morning_with_a_copy(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com", timezone="Asia/Tokyo")
    engine.live(20)  # 8:00 UTC on Tuesday: 17:00 in Tokyo
    engine.now += timedelta(hours=6)  # 23:00 there
    act(engine, "send_again", number, "welcome")
    engine.send()
    assert "resend:1:welcome" not in relay.keys("ana@example.com")
    engine.live(8)
    assert "resend:1:welcome" in relay.keys("ana@example.com")


def test_it_asks_again_only_who_has_not_answered(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com", confirmed=False)
    engine.send()
    act(engine, "send_again", number, "confirm")
    engine.send()
    assert relay.keys("ana@example.com") == ["confirm", "resend:1:confirm"]
    other = engine.sign_up("ben@example.com", confirmed=False)
    engine.send()
    with engine.database.write() as session:
        enrollment = session.get_one(Enrollment, other)
        from challenge.signup import confirm

        confirm(
            session,
            enrollment,
            session.get_one(Subscriber, enrollment.subscriber_id),
            engine.challenge,
            engine.now,
            source="x",
        )
    with pytest.raises(UsageError, match="active gets no confirm"):
        act(engine, "send_again", other, "confirm")
    assert engine.audit().balanced, engine.audit().problems


def test_it_refuses_copies_nobody_should_get(engine: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.live(24)
    for key in ("day-2", "day-9", "resend:1:day-1"):
        with pytest.raises(UsageError, match="Only a mail that went out"):
            act(engine, "send_again", number, key)
    act(engine, "send_again", number, "day-1")
    with pytest.raises(UsageError, match="on its way already"):
        act(engine, "send_again", number, "day-1")
    for _ in range(2):
        engine.send()
        act(engine, "send_again", number, "day-1")
    engine.send()
    with pytest.raises(UsageError, match="3 copies"):
        act(engine, "send_again", number, "day-1")
    act(engine, "pause", number)
    with pytest.raises(UsageError, match="paused gets no"):
        act(engine, "send_again", number, "welcome")
    assert engine.audit().balanced, engine.audit().problems


def test_it_holds_or_sends_once_more_what_is_uncertain(engine: Any, relay: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.live(19)
    relay.say = lambda word, _to: "hang up" if word == "DOT" else None
    engine.live(1)
    row = engine.row("day-1")
    assert row.state is DeliveryState.uncertain
    relay.say = lambda _word, _to: None
    with engine.database.read() as session:
        assert [found.key for found, _ in undecided(session)] == ["day-1"]
    engine.live(2)
    assert engine.row("day-2").state is DeliveryState.scheduled  # the journey went on
    act(engine, "send_once_more", row.id)
    engine.send()
    assert relay.keys("ana@example.com") == ["welcome", "day-1"]
    assert engine.row("day-1").state is DeliveryState.sent
    with pytest.raises(UsageError, match="not uncertain"):
        act(engine, "hold", row.id)
    engine.live(24)
    assert relay.keys("ana@example.com")[-1] == "day-2"
    assert engine.audit().balanced, engine.audit().problems
    assert deeds(engine) == [("sent an uncertain mail once more", number, "day-1")]


def test_it_asks_no_more_about_a_held_mail(engine: Any, relay: Any) -> None:
    engine.sign_up("ana@example.com")
    relay.say = lambda word, _to: "hang up" if word == "DOT" else None
    engine.send()
    relay.say = lambda _word, _to: None
    act(engine, "hold", engine.row("welcome").id)
    with engine.database.read() as session:
        assert undecided(session) == []
    assert engine.row("welcome").state is DeliveryState.uncertain
    assert engine.audit().balanced, engine.audit().problems


def test_it_logs_a_deed_with_it_or_not_at_all(engine: Any) -> None:
    number = engine.sign_up("ana@example.com")
    engine.send()
    with pytest.raises(UsageError):
        act(engine, "resume", number)
    act(engine, "pause", number)
    with pytest.raises(UsageError):
        act(engine, "pause", number)
    act(engine, "resume", number)
    data = act(engine, "export", number)
    assert data["person"]["email"] == "ana@example.com"
    act(engine, "suppress", number, "asked ana@example.com by phone")
    with pytest.raises(UsageError):
        act(engine, "suppress", number, "")
    act(engine, "erase", number)
    with pytest.raises(NotFound):
        act(engine, "erase", number)
    assert [deed for deed, _, _ in deeds(engine)] == [
        "paused a person", "resumed a person", "exported a person's data", "suppressed an address", "erased a person"
    ]  # fmt: skip
    assert not any("example.com" in detail for _, _, detail in deeds(engine))
    with engine.database.read() as session:
        assert session.exec(select(Delivery)).all() == []
    with engine.database.write() as session:
        from challenge import signup

        signup.register(session, signup.read({"email": "ana@example.com"}), engine.challenge, engine.now)
        assert session.exec(select(Enrollment)).all() == []
