"""The replay through real rows: what is written down, in whatever order it arrives."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from challenge import participation as acts
from challenge.db import Database
from challenge.events import done_days
from challenge.models import (
    Delivery,
    DeliveryState,
    Enrollment,
    EnrollmentState,
    Event,
    Installation,
    Subscriber,
)
from challenge.stats.funnel import funnel
from challenge.tracking.classify import classify
from challenge.tracking.daykeys import DayKeys, day_key
from challenge.tracking.opens import Open, write_opens
from challenge.tracking.record import reclassify, record_click, record_press
from tests.unit.tracking.replay import START, Request, request, sequences

NAMES = [
    "outlook: the filter scans all, an hour later the person reads and taps",
    "burst: the burst of a scanner, and the person two hours later from the same office",
    "burst: the picture that belongs to it",
    "tremor: five taps on one link, and the picture",
    "press: in the midst of a burst",
]


@pytest.fixture
def mail(database: Database) -> int:
    """One person who was sent day 1."""
    with database.write() as session:
        session.add(Subscriber(email="a@b.example", email_key="a@b.example", timezone="UTC", hour=8, created_at=START))
        session.flush()
        row = Enrollment(
            subscriber_id=1,
            challenge="ms-strength",
            state=EnrollmentState.active,
            signed_up_at=START,
            confirmed_at=START,
        )
        session.add(row)
        session.flush()
        sent = Delivery(
            enrollment_id=1,
            key="day-1",
            mail="day",
            is_daily=True,
            state=DeliveryState.sent,
            planned_at=START,
            due_at=START,
            created_at=START,
            closed_at=START,
        )
        session.add(sent)
        session.flush()
        return sent.id or 0


def arrive(database: Database, mail: int, one: Request) -> None:
    """One request, written down whenever."""
    sighting = one.sighting
    if sighting.link == "open":
        with database.write() as session:
            write_opens(session, [Open(mail, sighting.evidence, sighting.at, sighting.at)])
        return
    with database.write() as session:
        if sighting.link == "done":
            if not acts.complete(session, 1, 1, sighting.at):
                return
            event = session.exec(select(Event).order_by(col(Event.id).desc()).limit(1)).one()
            event.recorded_at = sighting.at
            session.flush()
            record_press(session, 1, 1, sighting.evidence)
        else:
            record_click(session, mail, sighting.link, sighting.evidence, sighting.at, sighting.at)


def found(database: Database) -> list[tuple[Any, str, str]]:
    with database.read() as session:
        events = session.exec(select(Event).where(col(Event.who) != "", col(Event.delivery_id).is_not(None))).all()
        return sorted((event.recorded_at, event.link or str(event.kind), event.who) for event in events)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_what_arrives_late_or_twice_is_judged_the_same(database: Database, mail: int, name: str, seed: int) -> None:
    requests = sequences()[name]
    told = [*requests, requests[0], requests[-1]]
    if seed:
        random.Random(seed).shuffle(told)
    for one in told:
        arrive(database, mail, one)
    names = {"open": "opened", "done": "completed"}
    wanted = {(one.sighting.at, names.get(one.sighting.link, one.sighting.link), one.who) for one in requests}
    assert set(found(database)) == wanted
    assert reclassify(database) == 0


def test_the_last_link_of_a_burst_turns_the_whole_burst(database: Database, mail: int) -> None:
    for line in ("100 open chrome 198.51.100.9", "101 day chrome 198.51.100.9", "102 rest chrome 198.51.100.9"):
        arrive(database, mail, request(f"{line} -> person"))
    assert {who for _, _, who in found(database)} == {"person"}
    arrive(database, mail, request("103 calendar chrome 198.51.100.9 -> machine"))
    assert {who for _, _, who in found(database)} == {"machine"}
    with database.read() as session:
        day = funnel(session, "ms-strength", 5, START + timedelta(days=2)).days[0]
    assert (day.opened_people, day.clicked) == (0, 0)


def test_a_press_by_a_scanner_is_shown_as_done_and_counted_when_a_person_comes(database: Database, mail: int) -> None:
    for one in sequences()["press: in the midst of a burst"]:
        arrive(database, mail, one)

    def counted() -> int:
        with database.read() as session:
            return funnel(session, "ms-strength", 5, START + timedelta(days=2)).days[0].done

    with database.read() as session:
        assert done_days(session, 1) == {1}
    assert counted() == 0
    arrive(database, mail, request("7000 day edge 203.0.113.70 -> person"))
    assert counted() == 1


def test_other_rules_change_old_verdicts(database: Database, mail: int, monkeypatch: pytest.MonkeyPatch) -> None:
    arrive(database, mail, request("100 open gmail 66.249.84.5 -> proxy"))
    arrive(database, mail, request("9000 day chrome 203.0.113.5 -> person"))
    other = request("1 day curl 192.0.2.1 -> machine").sighting
    monkeypatch.setattr("challenge.tracking.record.classify", lambda _, context: classify(other, context))
    assert reclassify(database) == 2
    monkeypatch.undo()
    assert reclassify(database) == 2
    assert [who for _, _, who in found(database)] == ["proxy", "person"]


def test_nothing_is_recorded_for_somebody_who_switched_it_off(database: Database, mail: int) -> None:
    with database.write() as session:
        session.get_one(Subscriber, 1).tracking = False
    arrive(database, mail, request("100 open chrome 203.0.113.5 -> person"))
    assert found(database) == []


def test_a_days_key_is_one_for_all_and_gone_after_the_next(database: Database) -> None:
    assert DayKeys(database).at(START) == DayKeys(database).at(START + timedelta(hours=3))
    first = DayKeys(database).at(START)
    with database.write() as session:
        assert day_key(session, START.date()) == first
        assert day_key(session, (START + timedelta(days=1)).date()) != first
        assert day_key(session, START.date()) == first
        day_key(session, (START + timedelta(days=2)).date())
        names = [name for name in session.exec(select(Installation.name)) if name.startswith("day_key:")]
    assert names == ["day_key:2027-03-02", "day_key:2027-03-03"]
