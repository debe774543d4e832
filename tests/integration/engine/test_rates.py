"""How fast may mails leave? Rates below one a second, two workers that meet a domain first, and a clock set back."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from challenge import rates
from challenge.db import Database
from challenge.delivery.prepare import prepare
from challenge.dispatch import claim_due
from challenge.rates import domain_waits

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


class RealTime:
    """The clock on the wall, which rates go by."""

    def __init__(self) -> None:
        self.now = NEW_YEAR

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **span: float) -> None:
        self.now += timedelta(**span)


@pytest.fixture
def real_time(monkeypatch: pytest.MonkeyPatch) -> RealTime:
    time = RealTime()
    monkeypatch.setattr(rates, "real_now", time)
    return time


def waiting(engine: Any, people: int) -> None:
    for number in range(people):
        engine.sign_up(f"p{number}@example.com", confirmed=False)
    engine.tick()


def claim(engine: Any) -> int:
    return len(claim_due(engine.database, "w", engine.challenge, engine.settings, engine.now, 500))


@pytest.mark.parametrize(("rate", "in_a_minute"), [(0.2, 12), (1.0, 60), (1.5, 90)])
def test_it_keeps_a_slow_rate_and_sends(make_engine: Any, real_time: RealTime, rate: float, in_a_minute: int) -> None:
    engine = make_engine(send_rate=rate)
    waiting(engine, 130)
    claimed = []
    for _ in range(240):
        claimed.append(claim(engine))
        real_time.passes(seconds=0.25)
    assert max(claimed) <= max(1, rate)
    assert abs(sum(claimed) - in_a_minute) <= 2


def test_it_keeps_a_slow_rate_to_one_domain(make_engine: Any, real_time: RealTime) -> None:
    engine, taken = make_engine(), 0
    for _ in range(600):
        with engine.database.write() as session:
            taken += not domain_waits(session, ["example.com"], 0.2)[0]
        real_time.passes(seconds=0.1)
    assert 12 <= taken <= 14


def test_it_lets_mails_leave_after_the_clock_was_set_back(make_engine: Any, real_time: RealTime) -> None:
    engine = make_engine(send_rate=10.0)
    waiting(engine, 30)
    assert claim(engine) == 10
    with engine.database.write() as session:
        waits = domain_waits(session, ["example.com"] * 20, 10.0)
        assert [wait > timedelta() for wait in waits] == [False] * 10 + [True] * 10
        assert abs(waits[-1] - timedelta(seconds=1)) < timedelta(seconds=0.1), "each waits for its own turn"
    real_time.passes(days=-1)
    real_time.passes(minutes=1)
    assert claim(engine) == 0
    with engine.database.write() as session:
        assert timedelta() < domain_waits(session, ["example.com"], 10.0)[0] < timedelta(minutes=1)
    real_time.passes(minutes=1)
    assert claim(engine) == 10
    with engine.database.write() as session:
        assert not domain_waits(session, ["example.com"], 10.0)[0]


def test_two_workers_may_meet_a_domain_first_at_the_same_moment(make_engine: Any) -> None:
    engine = make_engine()
    failed: list[SQLAlchemyError] = []

    def meet(domain: str, both: threading.Barrier) -> None:
        database = Database(engine.database.url)
        try:
            both.wait()
            with database.write() as session:
                domain_waits(session, [domain], 100.0)
        except SQLAlchemyError as error:
            failed.append(error)
        finally:
            database.close()

    for turn in range(10):
        both = threading.Barrier(2)
        workers = [threading.Thread(target=meet, args=(f"d{turn}.example", both)) for _ in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert failed == []


def test_a_domain_gets_no_more_at_once_than_its_rate(make_engine: Any, real_time: RealTime) -> None:
    engine = make_engine(domain_rate=1.0)
    waiting(engine, 30)
    engine.sign_up("joy@other.example", confirmed=False)
    engine.tick()
    sent = []
    for _ in range(10):
        ids = claim_due(engine.database, "w", engine.challenge, engine.settings, engine.now, 500)
        sent.append(
            [letter.email for letter in prepare(engine.database, ids, engine.challenge, engine.settings, engine.now)]
        )
        real_time.passes(seconds=1)
        engine.now += timedelta(seconds=1)
    assert sorted(sent[0]) == ["joy@other.example", "p0@example.com"]
    assert [len(letters) for letters in sent[1:]] == [1] * 9
