"""What goes away while mails are on their way: the database, the worker that was asked to stop, all of Redis."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import text

from challenge.delivery import book, ledger
from challenge.delivery.ledger import DeliveryLedger, Kept
from challenge.delivery.relay import SmtpUrl, Timeouts
from challenge.delivery.send import drain
from challenge.delivery.smtp import Sender
from challenge.dispatch import claim_due
from challenge.embedded.valkey import EmbeddedValkey
from challenge.jobs import hint, queue_at

PEOPLE = 30


def ready(engine: Any) -> None:
    """Everybody's question to confirm is due."""
    for number in range(PEOPLE):
        engine.sign_up(f"p{number}@example.com", confirmed=False)
    engine.tick()


def arrived(relay: Any) -> list[str]:
    return sorted(recipient for recipient, _ in relay.messages)


@pytest.fixture
def hang_up(engine: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the ledger's database fail: PostgreSQL ends all connections, SQLite's next commits find no disk."""

    def now() -> None:
        if not engine.database.is_sqlite:
            with engine.database.engine.connect() as connection:
                end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                connection.execute(text(end))
            return
        commit, left = book._SqliteBook._commit, [2]

        def fail(self: Any, *given: Any) -> set[int]:
            if left[0]:
                left[0] -= 1
                raise sqlite3.OperationalError("disk I/O error")
            return commit(self, *given)

        monkeypatch.setattr(book._SqliteBook, "_commit", fail)

    return now


def test_it_loses_and_doubles_nothing_when_the_database_goes_away(
    engine: Any, relay: Any, hang_up: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_SETTLE_PAUSES", (0.0, 0.05, 0.1, 0.2))
    ready(engine)
    seen = []

    def say(word: str, _recipient: str) -> None:
        seen.append(word)
        if seen.count("DOT") == 10 and word == "DOT":
            hang_up()

    relay.say = say
    engine.drain()
    assert 10 <= len(relay.messages) < PEOPLE, "the ledger went on writing"
    engine.send()
    assert engine.count() == {"sent": PEOPLE}
    assert arrived(relay) == sorted(f"p{number}@example.com" for number in range(PEOPLE))
    assert engine.audit().balanced


def test_it_writes_no_dot_while_the_database_is_away(engine: Any, relay: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_given: Any) -> set[int]:
        raise book.NotWritten("away")

    ready(engine)
    monkeypatch.setattr(ledger, "_SETTLE_PAUSES", (0.0,))
    with monkeypatch.context() as away:
        away.setattr(book._SqliteBook, "write", fail)
        away.setattr(book._PostgresBook, "write", fail)
        engine.drain()
    assert relay.messages == []
    engine.send()
    assert engine.count() == {"sent": PEOPLE}
    assert len(relay.messages) == PEOPLE


def test_it_gives_no_dot_to_what_another_worker_holds(engine: Any) -> None:
    """Ours was taken for dead and brought back; another claimed the row since."""
    ready(engine)
    ids = claim_due(engine.database, "other", engine.challenge, engine.settings, engine.now, 2)

    async def ask() -> list[bool]:
        ours = DeliveryLedger(engine.database, engine.settings, "w", engine.challenge.edition, lambda: engine.now)
        for id in ids:
            ours.keep(id, Kept("{}", engine.now))
        held = list(await asyncio.gather(*map(ours.before_dot, ids)))
        ours.close()
        return held

    assert asyncio.run(ask()) == [False, False]
    assert engine.count()["claimed"] == 2


def test_a_dot_that_waits_behind_a_failed_commit_is_refused(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ready(engine)
    first, second = claim_due(engine.database, "w", engine.challenge, engine.settings, engine.now, 2)

    async def ask() -> list[bool]:
        began, go_on = asyncio.Event(), asyncio.Event()

        async def fail(*_given: Any) -> set[int]:
            began.set()
            await go_on.wait()
            raise book.NotWritten("away")

        ours = DeliveryLedger(engine.database, engine.settings, "w", engine.challenge.edition, lambda: engine.now)
        monkeypatch.setattr(ours._book, "write", fail)
        for id in (first, second):
            ours.keep(id, Kept("{}", engine.now))
        early = ours.before_dot(first)
        await began.wait()
        late = ours.before_dot(second)
        go_on.set()
        held = list(await asyncio.wait_for(asyncio.gather(early, late), 5))
        ours.close()
        return held

    assert asyncio.run(ask()) == [False, False]


@pytest.mark.parametrize(("grace", "uncertain"), [(5.0, 0), (0.1, 4)])
def test_it_ends_what_is_in_flight_when_it_is_asked_to_stop(
    engine: Any, relay: Any, grace: float, uncertain: int
) -> None:
    ready(engine)
    waiting, go_on = threading.Semaphore(0), threading.Event()
    sender = Sender(SmtpUrl.parse(relay.url), connections=4, timeouts=Timeouts(5.0, 30.0))

    async def run() -> None:
        work = asyncio.create_task(
            drain(engine.database, engine.composer, sender, "w", lambda: engine.now, seconds=30.0)
        )
        await asyncio.to_thread(waiting.acquire)
        await asyncio.sleep(0.3)  # until each line has a dot out
        if grace > 1:
            asyncio.get_running_loop().call_later(0.3, go_on.set)
        await sender.close(grace)
        go_on.set()
        await work

    def say(word: str, _recipient: str) -> None:
        if word == "DOT":
            waiting.release()
            go_on.wait(10)

    relay.say = say
    asyncio.run(run())
    counts = engine.count()
    assert counts["uncertain"] == uncertain
    assert counts["sent"] + counts["uncertain"] < PEOPLE
    assert counts["scheduled"] == PEOPLE - counts["sent"] - counts["uncertain"]
    assert len(engine.audit().uncertain) == uncertain
    assert engine.audit().balanced
    engine.now += timedelta(minutes=1)
    engine.send()
    assert len(set(arrived(relay))) == len(arrived(relay))
    assert engine.count() == ({"sent": PEOPLE - uncertain, "uncertain": uncertain} if uncertain else {"sent": PEOPLE})


def test_it_asks_again_after_all_of_redis_was_lost(tmp_path: Any) -> None:
    store = EmbeddedValkey(tmp_path)
    store.start()
    try:
        queue = queue_at(store.url)
        assert hint(queue, 2) == 2
        assert hint(queue, 2) == 0
        Redis.from_url(store.url).flushall()
        assert hint(queue, 2) == 2
    finally:
        store.stop()
