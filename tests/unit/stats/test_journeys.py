from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from challenge.stats.journeys import Happened, fold

START = datetime(2027, 3, 1, 12, tzinfo=UTC)


def event(kind: str, day: int = 0, who: str = "person", seconds: float = 0, **detail: Any) -> Happened:
    return Happened(kind, day, who, START + timedelta(seconds=seconds), detail=detail or None)


def test_it_keeps_the_first_time_a_day_was_done() -> None:
    reached = fold([event("completed", 1), event("completed", 1, seconds=60)])
    assert reached.done == {1: START}


def test_it_takes_back_what_was_undone_and_nothing_else() -> None:
    reached = fold([event("completed", 1), event("rested", 1), event("undone", 1, of="rested")])
    assert (set(reached.done), reached.rested) == ({1}, set())
    reached = fold([event("completed", 1), event("rested", 2), event("undone", 1)])
    assert (set(reached.done), reached.rested) == (set(), {2})


def test_a_machine_opens_and_clicks_nothing() -> None:
    reached = fold([event("opened", 1, "machine"), event("clicked", 1, "machine"), event("opened", 2, "unsure")])
    assert (reached.opened_people, reached.opened_proxy, reached.clicked) == (set(), set(), set())


def test_it_tells_people_and_proxies_apart() -> None:
    reached = fold([event("opened", 1, "proxy"), event("opened", 2), event("clicked", 2)])
    assert (reached.opened_people, reached.opened_proxy, reached.clicked) == ({2}, {1}, {2})


def test_what_a_scanner_may_have_pressed_waits_for_a_person() -> None:
    pressed = event("completed", 3, "unsure")
    assert fold([pressed]).done == {}
    assert fold([pressed, event("opened", 3, "proxy", 60)]).done == {}
    assert fold([pressed, event("clicked", 3, "person", 5)]).done == {}, "the same burst proves nothing"
    assert fold([pressed, event("clicked", 3, "person", 10)]).done == {3: START}
    assert fold([pressed, event("undone", 3, "person", 60), event("opened", 4, "person", 90)]).done == {}


def test_it_adds_up_what_was_paid_and_keeps_the_first_joining() -> None:
    reached = fold(
        [event("joined", amount=4900, currency="USD"), event("joined", seconds=60, amount=100, currency="EUR")]
    )
    assert reached.joined_at == START
    assert reached.paid == [("USD", 4900), ("EUR", 100)]
