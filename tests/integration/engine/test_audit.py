"""The audit beside traffic, and after an outage in which people left: what is a fault, and what is none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, col, delete

from challenge import audit as subject
from challenge import participation
from challenge.db import Database
from challenge.models import Delivery


def leave(engine: Any, number: int) -> None:
    with engine.database.write() as session:
        participation.unsubscribe(session, number, engine.now, how="link")


def test_what_happens_while_it_reads_is_no_fault(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ana", "ben", "eve"):
        engine.sign_up(f"{name}@example.com", confirmed=False)
    engine.send()
    monkeypatch.setattr(subject, "_BATCH", 1)
    read, ours, as_of = subject._rows, engine.database, engine.now
    others: list[Database] = []

    def meanwhile(session: Session, ids: list[int]) -> Any:
        if not others:  # another process, at the first batch
            others.append(Database(ours.url))
            engine.database, engine.now = others[0], as_of + timedelta(seconds=2)
            engine.sign_up("new@example.com")
            engine.send()
            engine.database = ours
            others[0].close()
        return read(session, ids)

    monkeypatch.setattr(subject, "_rows", meanwhile)
    with ours.read() as session:
        found = subject.audit(session, engine.challenge, engine.settings, as_of)
    assert others
    assert found.balanced, found.problems
    assert sum(found.states.values()) == 3


def test_what_happened_since_its_time_is_no_fault(engine: Any) -> None:
    number = engine.sign_up("ana@example.com", hour=8)
    engine.send()
    as_of = engine.now = engine.now.replace(hour=8) + timedelta(days=1)
    engine.tick()
    engine.now += timedelta(seconds=2)
    leave(engine, number)
    engine.sign_up("new@example.com")
    engine.send()
    with engine.database.read() as session:
        found = subject.audit(session, engine.challenge, engine.settings, as_of)
    assert found.balanced, found.problems


@pytest.mark.parametrize("planned", [True, False])
def test_a_mail_that_could_not_be_planned_before_its_person_left_is_not_missing(engine: Any, planned: bool) -> None:
    number = engine.sign_up("ana@example.com", hour=8)
    engine.send()
    if planned:
        engine.now = engine.now.replace(hour=7) + timedelta(days=1)
        engine.tick()
    else:
        with engine.database.write() as session:
            session.exec(delete(Delivery).where(col(Delivery.key) == "day-1"))  # the worker ended before it planned
    engine.now += timedelta(hours=30)
    leave(engine, number)
    for _ in range(20):
        engine.now += timedelta(hours=6)
        engine.tick()
    assert engine.audit().balanced, engine.audit().problems


def test_a_lost_row_is_missing_although_its_person_left(engine: Any) -> None:
    number = engine.sign_up("ana@example.com", hour=8)
    engine.sign_up("ben@example.com", hour=8)
    engine.live(46)
    leave(engine, number)
    engine.now += timedelta(hours=1)
    engine.send()
    assert engine.audit().balanced, engine.audit().problems
    with engine.database.write() as session:
        session.exec(delete(Delivery).where(col(Delivery.key) == "day-1", col(Delivery.enrollment_id) == number))
    assert [(problem.enrollment, problem.key) for problem in engine.audit().problems] == [(number, "day-1")]
