"""When does the ledger commit? Early enough for the relay never to wait for the disk, seldom enough to serve many lines."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from challenge.delivery import ledger as subject
from challenge.delivery.book import Dot
from challenge.delivery.ledger import DeliveryLedger, Kept
from challenge.delivery.replies import Reply, Stage
from challenge.delivery.smtp import Kind, Outcome
from challenge.settings import Settings

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)


class Book:
    """Writes down what each commit held, as (sent, dots)."""

    def __init__(self) -> None:
        self.commits: list[tuple[list[int], list[int]]] = []
        self.may_end = asyncio.Event()
        self.may_end.set()

    async def write(self, sent: list[tuple[int, str]], dots: list[Dot], _now: datetime) -> set[int]:
        self.commits.append(([id for id, _ in sent], [id for id, _, _ in dots]))
        await self.may_end.wait()
        return {id for id, _, _ in dots}

    def close(self) -> None:
        pass


@pytest.fixture
def book(monkeypatch: pytest.MonkeyPatch) -> Book:
    made = Book()
    monkeypatch.setattr(subject, "book_of", lambda *_: made)
    monkeypatch.setattr(subject, "GATHER_SECONDS", 60.0)
    return made


def made(_book: Book) -> DeliveryLedger:
    nowhere: Any = None
    return DeliveryLedger(nowhere, Settings(), "w", "edition", lambda: NOON)


def dot(ledger: DeliveryLedger, id: int) -> asyncio.Future[bool]:
    ledger.keep(id, Kept("{}", NOON))
    return ledger.before_dot(id)


def accept(ledger: DeliveryLedger, id: int) -> None:
    ledger.outcome(Outcome(id, Kind.accepted, Stage.dot, Reply(250, "2.0.0", "Ok", Stage.dot)))


async def granted(*dots: asyncio.Future[bool]) -> list[bool]:
    """Long before anybody would be tired of gathering."""
    return list(await asyncio.wait_for(asyncio.gather(*dots), 5))


async def passes() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_it_commits_when_half_of_the_lines_wait(book: Book) -> None:
    async def run() -> None:
        ledger = made(book)
        assert all(await granted(*(dot(ledger, id) for id in (1, 2, 3, 4))))
        accept(ledger, 1)
        fifth = dot(ledger, 5)
        await passes()
        assert not fifth.done()  # three are with the relay, one waits
        accept(ledger, 2)
        assert all(await granted(fifth, dot(ledger, 6)))
        ledger.close()

    asyncio.run(run())
    assert book.commits == [([], [1, 2, 3, 4]), ([1, 2], [5, 6])]


def test_one_line_alone_never_waits_for_others(book: Book) -> None:
    async def run() -> None:
        ledger = made(book)
        for id in (1, 2, 3):
            assert all(await granted(dot(ledger, id)))
            accept(ledger, id)
        await ledger.settle()
        ledger.close()

    asyncio.run(run())
    assert book.commits == [([], [1]), ([1], [2]), ([2], [3]), ([3], [])]


def test_a_mail_may_come_again_while_its_last_outcome_is_written_down(book: Book) -> None:
    async def run() -> None:
        ledger = made(book)
        assert all(await granted(dot(ledger, 1)))
        book.may_end.clear()
        accept(ledger, 1)
        await passes()
        again = dot(ledger, 1)
        book.may_end.set()
        assert all(await granted(again))
        ledger.close()

    asyncio.run(run())
    assert book.commits == [([], [1]), ([1], []), ([], [1])]


def test_with_a_relay_far_away_each_dot_goes_as_soon_as_it_can(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    """And few in a commit: what goes out together comes back together, and waits for each other for ever."""
    monkeypatch.setattr(subject, "FAR_SECONDS", 0.0)

    async def run() -> None:
        ledger = made(book)
        await granted(*(dot(ledger, id) for id in (1, 2, 3, 4, 5)))
        await asyncio.sleep(0.001)
        accept(ledger, 1)
        assert all(await granted(dot(ledger, 6)))
        for id in (2, 3, 4, 5, 6):
            accept(ledger, id)
        assert all(await granted(*(dot(ledger, id) for id in range(11, 17))))
        ledger.close()

    asyncio.run(run())
    assert book.commits == [([], [1, 2, 3, 4, 5]), ([1], [6]), ([2, 3, 4, 5, 6], [11, 12, 13, 14]), ([], [15, 16])]


def test_what_comes_in_during_a_commit_waits_for_half_as_well(book: Book) -> None:
    async def run() -> None:
        ledger = made(book)
        await granted(*(dot(ledger, id) for id in (1, 2, 3, 4)))
        book.may_end.clear()
        accept(ledger, 1)
        accept(ledger, 2)
        first = asyncio.ensure_future(granted(dot(ledger, 5), dot(ledger, 6)))
        await passes()
        accept(ledger, 3)
        late = dot(ledger, 7)
        book.may_end.set()
        assert all(await first)
        await passes()
        assert not late.done()  # 4, 5 and 6 are with the relay
        accept(ledger, 4)
        assert all(await granted(late, dot(ledger, 8)))
        ledger.close()

    asyncio.run(run())
    assert book.commits == [([], [1, 2, 3, 4]), ([1, 2], [5, 6]), ([3, 4], [7, 8])]


def test_outcomes_without_end_do_not_put_a_commit_off(book: Book) -> None:
    """A relay that refuses everything leaves no line waiting for a dot."""

    async def run() -> None:
        ledger, loop, over = made(book), asyncio.get_running_loop(), asyncio.Event()

        def go_on(id: int) -> None:
            if id == 50:
                over.set()
                return
            loop.call_soon(go_on, id + 1)
            accept(ledger, id)

        go_on(1)
        await over.wait()
        assert len(book.commits) > 5
        await ledger.settle()
        ledger.close()

    asyncio.run(run())
    assert sorted(id for sent, _ in book.commits for id in sent) == list(range(1, 50))
