"""The breaker pauses the sender before a provider does, says why, and judges no small sample."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from challenge import guards, rates
from challenge.db import Database
from challenge.dispatch import is_stopped, resume_sending
from challenge.events import lock
from challenge.guards import numbers, tally, watch
from challenge.inbound.effects import take
from challenge.inbound.report import Hardness, Reason, Report, ReportKind
from challenge.models import Alert, DomainHour, Suppression
from challenge.rates import paused_domains
from challenge.settings import Settings

NOON = datetime(2027, 3, 1, 12, 30, tzinfo=UTC)
SETTINGS = Settings(secret_key="k" * 40)


def count(database: Database, domain: str = "example.com", hours_ago: float = 1, **counts: int) -> None:
    with database.write() as session:
        tally(session, {(domain, what): n for what, n in counts.items()}, NOON - timedelta(hours=hours_ago))


def look(database: Database, now: datetime = NOON, **more: Any) -> tuple[str, set[str], list[str]]:
    """(why sending is stopped, domains left alone, alerts) after a look."""
    assert watch(database, SETTINGS.model_copy(update=more), now, every=0)
    with database.read() as session:
        stopped, alerts = is_stopped(session), [row.code for row in session.exec(select(Alert))]
        held = set(paused_domains(session, ["example.com", "gmail.com", "yahoo.com"]))
    return stopped, held, alerts


def test_it_adds_up_hours_and_domains(database: Database) -> None:
    count(database, sent=3, deferred=1)
    count(database, sent=4, bounced=1)
    count(database, "gmail.com", 2, sent=5)
    count(database, "gmail.com", 30, sent=50, complained=2)
    with database.read() as session:
        told = numbers(session, NOON)
        assert len(session.exec(select(DomainHour)).all()) == 3
    assert (told.day.sent, told.day.deferred, told.day.bounced, told.gmail_day) == (12, 1, 1, 5)
    assert (told.week.sent, told.week.complained) == (62, 2)
    assert [sums.domain for sums in told.domains] == ["example.com", "gmail.com"]


@pytest.mark.parametrize(
    ("counts", "stops"),
    [
        ({"sent": 1000, "complained": 3}, True),
        ({"sent": 1000, "complained": 2}, False),
        ({"sent": 1001, "complained": 3}, False),
        ({"sent": 199, "complained": 50}, False),
        ({"sent": 200, "complained": 2}, False),
        ({"sent": 190, "bounced": 10}, True),
        ({"sent": 191, "bounced": 10}, False),
        ({"sent": 171, "bounced": 9}, False),
    ],
)
def test_it_stops_at_a_rate_over_a_fair_sample(database: Database, counts: dict[str, Any], stops: bool) -> None:
    count(database, **counts)
    stopped, held, _ = look(database)
    assert bool(stopped) is stops
    assert ("example.com" in held) is stops
    if stops:
        assert "resume-sending" in stopped
        assert f"of {counts['sent'] + counts.get('bounced', 0)}" in stopped


def test_it_warns_before_it_stops(database: Database) -> None:
    count(database, sent=1500, complained=2)
    assert look(database) == ("", set(), ["complaints", "complaints:example.com"])


def test_it_stops_only_one_domain_when_only_one_is_bad(database: Database) -> None:
    count(database, sent=1000, complained=4)
    count(database, "gmail.com", sent=3500)
    stopped, held, alerts = look(database)
    assert (stopped, held) == ("", {"example.com"})
    assert "complaints:example.com" in alerts


def test_it_leaves_a_domain_alone_that_puts_mails_off(database: Database) -> None:
    count(database, "yahoo.com", sent=100, deferred=99)
    assert look(database)[1] == set()
    count(database, "yahoo.com", deferred=1)
    assert look(database) == ("", {"yahoo.com"}, ["deferrals:yahoo.com"])
    assert look(database, NOON, guard_deferral_pause=0)[1] == {"yahoo.com"}


def test_it_forgets_what_is_old(database: Database) -> None:
    count(database, hours_ago=25, sent=100, bounced=100)
    count(database, "yahoo.com", hours_ago=4, sent=1, deferred=500)
    assert look(database) == ("", set(), [])


def test_it_watches_gmails_day(database: Database) -> None:
    count(database, "gmail.com", sent=3000)
    count(database, "googlemail.com", sent=999)
    assert look(database)[2] == []
    count(database, "googlemail.com", hours_ago=20, sent=1)
    assert look(database) == ("", set(), ["gmail_day"])
    count(database, "gmail.com", sent=1000)
    look(database)
    with database.read() as session:
        assert "counts as bulk: 5000" in session.get_one(Alert, "gmail_day").text


def test_it_does_not_trip_again_over_what_a_human_has_judged(database: Database) -> None:
    count(database, hours_ago=1, sent=1000, complained=10)
    assert look(database)[0]
    with database.write() as session:
        resume_sending(session)
    assert look(database, NOON + timedelta(hours=2))[0] == ""
    count(database, hours_ago=-3, sent=1000, complained=10)
    assert look(database, NOON + timedelta(hours=4))[0]


@pytest.mark.parametrize(
    ("counts", "least"),
    [
        ({"sent": 900, "complained": 3}, timedelta(days=7)),
        ({"sent": 300, "bounced": 60}, timedelta(days=1)),
        ({"sent": 90, "deferred": 150}, timedelta(hours=2)),
    ],
)
def test_it_leaves_a_domain_alone_for_an_hour_and_not_again_over_the_same_mails(
    database: Database, monkeypatch: pytest.MonkeyPatch, counts: dict[str, int], least: timedelta
) -> None:
    real = [datetime(2026, 1, 1, tzinfo=UTC)]
    for module in (guards, rates):
        monkeypatch.setattr(module, "real_now", lambda: real[0])
    count(database, "other.example", hours_ago=0, sent=9000)
    count(database, "gmail.com", hours_ago=0, **counts)
    held = passed = timedelta()
    while passed < least * 1.2:
        stopped, domains, _ = look(database, NOON + passed)
        assert not stopped
        step = timedelta(minutes=10) if passed < timedelta(hours=2) else timedelta(hours=1)
        held += step if domains else timedelta()
        passed += step
        real[0] += step
    assert held == timedelta(hours=1)
    again = -(passed / timedelta(hours=1) + 1)
    count(database, "gmail.com", hours_ago=again, **counts)
    count(database, "other.example", hours_ago=again, sent=9000)
    assert look(database, NOON + passed + timedelta(hours=1, minutes=10))[1] == {"gmail.com"}


def test_a_human_can_end_a_pause(database: Database) -> None:
    count(database, sent=1000, complained=4)
    count(database, "gmail.com", sent=3500)
    assert look(database)[1] == {"example.com"}
    with database.write() as session:
        assert resume_sending(session)
        assert not resume_sending(session)
    assert look(database, NOON + timedelta(minutes=1))[1] == set()


def test_it_looks_now_and_then_and_costs_little(database: Database) -> None:
    for number in range(200):
        count(database, f"d{number}.example", sent=1)
    look(database)
    assert not watch(database, SETTINGS, NOON)
    started = time.perf_counter()
    for _ in range(1000):
        watch(database, SETTINGS, NOON)
    assert time.perf_counter() - started < 0.5


def test_it_is_told_by_the_sender_and_holds_a_paused_domain_back(engine: Any, relay: Any) -> None:
    from challenge.bounced import complaint

    for name in ("ana", "ben"):
        engine.sign_up(f"{name}@example.com")
    relay.say = lambda word, to: "451 4.7.1 later" if word == "RCPT" and to.startswith("ben") else None
    engine.tick()
    engine.drain()
    with engine.database.write() as session:
        complaint(session, lock(session, 1), None, "abuse", engine.now)
    with engine.database.read() as session:
        told = numbers(session, engine.now)
    assert (told.day.sent, told.day.deferred, told.day.complained) == (1, 1, 1)
    count(engine.database, "example.com", sent=1000, complained=30)
    count(engine.database, "many.example", sent=20_000)
    assert watch(engine.database, engine.settings, NOON, every=0)
    relay.say = lambda _word, _to: None
    engine.sign_up("eve@example.com")
    engine.sign_up("joy@other.example")
    engine.tick()
    engine.drain()
    assert relay.keys("eve@example.com") == []
    assert relay.keys("joy@other.example") == ["welcome"]
    with engine.database.write() as session:
        resume_sending(session)
    engine.now += timedelta(hours=1)
    engine.drain()
    assert relay.keys("eve@example.com") == ["welcome"]


def tell(engine: Any, report: Report, number: int, source: str) -> None:
    with engine.database.write() as session:
        take(
            session, report, engine.now, delivery_id=None, enrollment_id=number, authenticated_by="verp", source=source
        )


SPAM = Report("", ReportKind.complaint, Reason.spam, Hardness.none)
DEAD = Report("", ReportKind.bounce, Reason.user_unknown, Hardness.hard)


@pytest.mark.parametrize("report", [SPAM, DEAD], ids=["spam", "dead"])
@pytest.mark.parametrize(
    ("source", "domains", "confirmed", "counts"),
    [
        ("ses", "aaa", True, 3),
        ("mail", "aaaaaaaa", True, 0),
        ("mail", "abcd", True, 0),
        ("mail", "aaabb", True, 0),
        ("mail", "aaabc", True, 5),
        ("mail", "aaabbbcc", False, 0),
    ],
)
def test_what_came_by_mail_counts_only_when_many_tell_of_it(
    engine: Any, report: Report, source: str, domains: str, confirmed: bool, counts: int
) -> None:
    """Whoever signs up with three addresses of their own can write three complaints: those end these addresses only."""
    for at, domain in enumerate(domains):
        number = engine.sign_up(f"p{at}@{domain}.example", confirmed=confirmed)
        tell(engine, report, number, source)
        tell(engine, replace(report, evidence="said again another way"), number, source)  # a person counts once
    with engine.database.read() as session:
        told = numbers(session, engine.now).week
        assert len(session.exec(select(Suppression)).all()) == len(domains)
    assert (told.complained, told.bounced) == ((counts, 0) if report is SPAM else (0, counts))


def test_complaints_of_one_s_own_making_stop_nobody_s_mails(engine: Any) -> None:
    count(engine.database, "big.example", sent=900)
    for at in range(3):
        tell(engine, SPAM, engine.sign_up(f"p{at}@attacker.example"), "mail")
    engine.now = NOON + timedelta(minutes=1)
    assert look(engine.database) == ("", set(), [])
