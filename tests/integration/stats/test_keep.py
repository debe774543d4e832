"""Blocks that are kept say what the rows say, whatever changes and whoever is killed."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from challenge.db import Database
from challenge.models import (
    Delivery,
    DeliveryState,
    Event,
    EventKind,
    StatsBlock,
    StatsMark,
)
from challenge.stats import keep
from challenge.stats.blocks import SIZE, decode, encode
from challenge.stats.funnel import funnel
from challenge.stats.keep import recount, refresh
from challenge.stats.mails import Numbers, all_numbers
from challenge.stats.rows import build
from tests.integration.stats.conftest import MONDAY, Town

NOW = MONDAY + timedelta(hours=100)


def numbers(database: Database) -> Numbers:
    with database.read() as session:
        return all_numbers(session, "ms-strength", 3, NOW)


def settle(database: Database) -> None:
    """Stores all there is."""
    while refresh(database, "ms-strength", 3, NOW, seconds=10, least=1):
        pass


def differences(database: Database) -> list[int]:
    with database.read() as session:
        return recount(session, "ms-strength", 3, NOW)


def is_kept(database: Database) -> bool:
    with database.read() as session:
        return not session.exec(select(StatsMark.id)).all() and all(
            row.form for row in session.exec(select(StatsBlock))
        )


@pytest.fixture
def people(town: Town) -> Town:
    first = town.person(sent={1: 20, 2: 44}, source="podcast", position="seated")
    town.person(id=3000, sent={1: 20}, confirm_sent=0)
    town.did(first, EventKind.completed, 1, 21)
    town.did(first, EventKind.joined, hours=99, detail={"amount": 4900, "currency": "USD"})
    return town


def test_a_kept_block_is_the_same(people: Town) -> None:
    with people.database.read() as session:
        block = build(session, range(SIZE), "ms-strength", 3, MONDAY + timedelta(hours=45))[0]
    again = decode(encode(block))
    assert again.sets == {family: sets for family, sets in block.sets.items() if sets}
    assert {"bits", "words:source", "days", "zones", "recent:2", "waits:done:1", "paid:USD"} <= again.sets.keys()


def test_kept_and_counted_are_equal(people: Town) -> None:
    counted = numbers(people.database)
    settle(people.database)
    assert is_kept(people.database)
    assert numbers(people.database) == counted
    assert differences(people.database) == []


CHANGES: dict[str, Callable[[Database], object]] = {
    "an event": lambda db: change(db, "event", lambda s: s.add(Event(enrollment_id=1, kind=EventKind.completed, day=2, occurred_at=NOW, recorded_at=NOW))),
    "a verdict": lambda db: sql(db, "UPDATE event SET who = 'unsure' WHERE kind = 'completed'"),
    "an event gone": lambda db: sql(db, "DELETE FROM event WHERE kind = 'completed'"),
    "a mail sent": lambda db: change(db, "mail", lambda s: s.add(sent_mail())),
    "a mail closed": lambda db: sql(db, "UPDATE delivery SET state = 'uncertain' WHERE key = 'day-2'"),
    "a yes": lambda db: sql(db, "UPDATE enrollment SET confirmed_at = NULL WHERE id = 3000"),
    "a position": lambda db: sql(db, "UPDATE enrollment SET position = 'lying' WHERE id = 1"),
    "a stop": lambda db: sql(db, "UPDATE enrollment SET state = 'stopped' WHERE id = 1"),
    "a move": lambda db: sql(db, "UPDATE subscriber SET timezone = 'Europe/Vienna' WHERE id = 1"),
    "an erasure": lambda db: sql(db, "DELETE FROM subscriber WHERE id = 1"),
}  # fmt: skip


def sql(database: Database, statement: str) -> None:
    with database.write() as session:
        session.execute(text(statement))


def change(database: Database, _name: str, act: Callable[[Session], object]) -> None:
    with database.write() as session:
        act(session)


def sent_mail() -> Delivery:
    return Delivery(
        enrollment_id=1,
        key="day-3",
        mail="day",
        is_daily=False,
        state=DeliveryState.sent,
        planned_at=MONDAY,
        due_at=MONDAY,
        created_at=MONDAY,
        closed_at=MONDAY,
    )


@pytest.mark.parametrize("name", CHANGES)
def test_each_change_marks_its_block(people: Town, name: str) -> None:
    settle(people.database)
    before = numbers(people.database)
    CHANGES[name](people.database)
    assert not is_kept(people.database)
    after = numbers(people.database)
    assert after != before or name in ("a position", "a move")
    settle(people.database)
    assert is_kept(people.database)
    assert numbers(people.database) == after
    assert differences(people.database) == []


def test_what_does_not_count_marks_nothing(people: Town) -> None:
    settle(people.database)
    sql(people.database, "UPDATE enrollment SET plan_at = NULL")
    sql(people.database, "UPDATE delivery SET state = 'claimed' WHERE state = 'scheduled'")
    assert is_kept(people.database)


def test_recount_finds_a_block_that_lies(people: Town) -> None:
    settle(people.database)
    with people.database.write() as session:
        row = session.get_one(StatsBlock, ("ms-strength", 0))
        block = decode(row.data)
        block.sets["bits"]["confirmed"] = 0
        row.data = encode(block)
    assert differences(people.database) == [0]


def test_a_change_while_a_block_is_made_is_not_lost(people: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between reading and storing somebody joins, and another process stores what it read before."""
    settle(people.database)
    CHANGES["a stop"](people.database)
    real = encode

    def slow(block: object) -> bytes:
        monkeypatch.setattr(keep, "encode", real)
        CHANGES["an event"](people.database)
        settle(people.database)
        return real(block)  # type: ignore[arg-type]

    monkeypatch.setattr(keep, "encode", slow)
    refresh(people.database, "ms-strength", 3, NOW, least=1)
    assert (numbers(people.database).stopped, numbers(people.database).days[1].done) == (1, 1)
    settle(people.database)
    assert differences(people.database) == []
    assert (numbers(people.database).stopped, numbers(people.database).days[1].done) == (1, 1)


def test_whoever_is_killed_before_storing_leaves_right_numbers(people: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(people.database)
    CHANGES["an event"](people.database)

    def die(_block: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keep, "encode", die)
        with pytest.raises(KeyboardInterrupt):
            refresh(people.database, "ms-strength", 3, NOW, least=1)
    assert numbers(people.database).days[1].done == 1
    settle(people.database)
    assert is_kept(people.database)


def test_another_length_makes_blocks_anew(people: Town) -> None:
    settle(people.database)
    with people.database.read() as session:
        assert len(funnel(session, "ms-strength", 5, NOW).days) == 5
    assert refresh(people.database, "ms-strength", 5, NOW, seconds=30) == 2


def test_two_open_transactions_do_not_hide_each_other(people: Town) -> None:
    """On PostgreSQL one writer commits and its block is stored while another of the same block is still open."""
    if people.database.is_sqlite:
        return  # one writer at a time
    settle(people.database)
    with people.database.write() as session:
        session.add(Event(enrollment_id=1, kind=EventKind.completed, day=3, occurred_at=NOW, recorded_at=NOW))
        session.flush()
        sql(
            people.database,
            "INSERT INTO event (enrollment_id, kind, day, link, occurred_at, recorded_at, who, reasons, rules, detail) VALUES (1, 'clicked', 2, '', now(), now(), 'person', '', '', '{}')",
        )
        settle(people.database)
    assert (numbers(people.database).days[2].done, numbers(people.database).days[1].clicked) == (1, 1)


def test_a_few_marks_are_left_where_they_are(people: Town) -> None:
    """Reading five people costs less than storing two blocks."""
    settle(people.database)
    CHANGES["an event"](people.database)
    assert refresh(people.database, "ms-strength", 3, NOW) == 0
    assert refresh(people.database, "ms-strength", 3, NOW, least=1) == 1


def test_a_page_has_its_numbers_from_one_moment(people: Town) -> None:
    with people.database.read() as session:
        before = funnel(session, "ms-strength", 3, NOW)
        CHANGES["an event"](people.database)
        assert funnel(session, "ms-strength", 3, NOW).days == before.days
    assert numbers(people.database).days != before.days


def test_recount_finds_people_that_no_block_has(people: Town) -> None:
    settle(people.database)
    sql(people.database, "DELETE FROM stats_block WHERE number = 2")
    assert differences(people.database) == [2]


def test_whoever_looks_when_and_how_often_sees_what_the_rows_say(town: Town) -> None:
    """Three processes look at times of their own while people change and a fourth stores; each sees what one sees that
    looks for the first time, and what is counted when nothing is stored."""
    dice = random.Random(7)
    everybody = [
        town.person(sent={1: 20}, id=number, source=f"s{number % 3}") for number in (3, 900, 1500, 20_000, 40_000)
    ]
    looking = [Database(town.database.url) for _ in range(3)]
    kinds = (
        EventKind.completed,
        EventKind.undone,
        EventKind.rested,
        EventKind.opened,
        EventKind.clicked,
        EventKind.bounced,
    )
    for _ in range(60):
        for _ in range(dice.randrange(3)):
            who = dice.choice(("person", "person", "unsure", "proxy"))
            town.did(dice.choice(everybody), dice.choice(kinds), dice.randrange(1, 4), dice.randrange(21, 99), who=who)
        for _ in range(dice.randrange(3)):
            a_mail(town, dice, dice.choice(everybody))
        if dice.random() < 0.1:
            sql(town.database, f"UPDATE enrollment SET source = 'moved' WHERE id = {dice.choice(everybody)}")
        if dice.random() < 0.2:
            leave_or_return(town, dice, dice.choice(everybody))
        if dice.random() < 0.3:
            refresh(town.database, "ms-strength", 3, NOW, seconds=0, least=dice.randrange(1, 4))
        someone = dice.choice(looking)
        seen, first = numbers(someone), Database(town.database.url)
        assert seen == numbers(first) == rows_say(first)
        first.close()
    assert differences(town.database) == []
    told = rows_say(town.database)
    assert told.days[0].sent == 5
    assert len({row.mail for row in told.mails if row.sent and row.opened_least}) == 6
    assert sum(row.left for row in told.mails) == sum(row.left for row in told.leaving) == told.stopped == 4
    for database in looking:
        database.close()


def leave_or_return(town: Town, dice: random.Random, person: int) -> None:
    kind = dice.choice((EventKind.unsubscribed, EventKind.complained, EventKind.suppressed, EventKind.resumed))
    state = "active" if kind is EventKind.resumed else "stopped"
    detail = {"of": "unsubscribed"} if kind is EventKind.resumed else {}
    town.did(person, kind, hours=dice.randrange(21, 99), reasons=dice.choice(("", "hard bounce")), detail=detail)
    sql(town.database, f"UPDATE enrollment SET state = '{state}' WHERE id = {person}")


def a_mail(town: Town, dice: random.Random, person: int) -> None:
    """Leaves now, or in its time; some come back before they are said to have left, some are copies, few are taken back."""
    day, at = dice.randrange(1, 4), MONDAY + timedelta(hours=dice.randrange(20, 99))
    row = sent_mail()
    row.mail, key = dice.choice(
        (("day", f"day-{day}"), ("welcome", "welcome"), ("nudge", f"nudge:day-{day}"), ("finish", "finish"))
    )
    row.enrollment_id, row.key, row.closed_at = person, f"resend:{dice.randrange(10**9)}:{key}", at
    row.state = dice.choice((DeliveryState.sent, DeliveryState.handed_over))
    with town.database.write() as session:
        session.add(row)
        session.flush()
        number = row.id
    if dice.random() < 0.2:
        town.did(person, EventKind.bounced, day, 99, delivery_id=number)
    if dice.random() < 0.5:
        of = day if key.endswith(f"day-{day}") else None
        town.did(person, EventKind.opened, of, 99, delivery_id=number, who=dice.choice(("person", "proxy")))
    sql(town.database, f"UPDATE delivery SET state = 'sent' WHERE id = {number}")
    if dice.random() < 0.1:
        sql(town.database, f"UPDATE delivery SET state = 'uncertain' WHERE id = {number}")


def rows_say(database: Database) -> Numbers:
    """The numbers of blocks that were made this moment, from everything there is."""
    with database.read() as session:
        blocks = build(session, range(50_000), "ms-strength", 3, NOW)
        session.info["people", "ms-strength", 3] = [blocks[number] for number in sorted(blocks)]
        return all_numbers(session, "ms-strength", 3, NOW)


def test_writers_readers_and_two_who_store_at_once_lose_nothing(town: Town) -> None:
    """All at the same time, each with connections of its own; in the end the reader that watched knows what is true."""
    everybody = [town.person(sent={1: 20}, id=number) for number in (3, 900, 1500, 2500, 20_000)]
    watching = Database(town.database.url)

    def write(seed: int) -> None:
        dice, mine = random.Random(seed), Database(town.database.url)
        for _ in range(60):
            with mine.write() as session:
                for _ in range(dice.randrange(1, 4)):
                    kind = dice.choice((EventKind.completed, EventKind.undone, EventKind.opened))
                    at = MONDAY + timedelta(hours=dice.randrange(21, 99))
                    day = dice.randrange(1, 4)
                    session.add(
                        Event(enrollment_id=dice.choice(everybody), kind=kind, day=day, occurred_at=at, recorded_at=at)
                    )
        mine.close()

    def store() -> None:
        mine = Database(town.database.url)
        for _ in range(40):
            refresh(mine, "ms-strength", 3, NOW, seconds=0.01, least=1)
        mine.close()

    def watch() -> None:
        for _ in range(60):
            numbers(watching)

    with ThreadPoolExecutor(6) as pool:
        jobs = [pool.submit(write, 1), pool.submit(write, 2), pool.submit(store), pool.submit(store)]
        jobs += [pool.submit(watch), pool.submit(watch)]
        for job in jobs:
            job.result()
    seen, first = numbers(watching), Database(town.database.url)
    assert differences(town.database) == []
    assert seen == numbers(first)
    settle(town.database)
    assert seen == numbers(first) == numbers(watching)
    assert differences(town.database) == []
    for database in (watching, first):
        database.close()


def test_who_looks_while_another_stores_misses_nothing(people: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the two questions of a look a block is stored and its marks are gone."""
    settle(people.database)
    numbers(people.database)
    CHANGES["an event"](people.database)
    other, real = Database(people.database.url), keep._pairs

    def slow(session: Session, query: object) -> dict[object, object]:
        found = real(session, query)
        monkeypatch.setattr(keep, "_pairs", real)
        settle(other)
        return found

    monkeypatch.setattr(keep, "_pairs", slow)
    assert numbers(people.database).days[1].done == 1
    assert is_kept(people.database)
    assert numbers(people.database).days[1].done == 1
    other.close()
