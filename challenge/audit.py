"""Is every mail owed accounted for? What is owed comes from the events by the planning rules; the rows must agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, col, select

from challenge.clock import real_now
from challenge.journey import Plan, plan
from challenge.models import OPEN_STATES, Delivery, DeliveryState, Enrollment, Worker
from challenge.plan import facts_of
from challenge.programme.definition import Challenge
from challenge.settings import Settings

_BATCH = 500
_PLANNER_MAY_TAKE = timedelta(minutes=10)


@dataclass(frozen=True)
class Problem:
    """Something that does not add up: which enrollment, which mail, what about it."""

    enrollment: int
    key: str
    problem: str


@dataclass(frozen=True)
class Audit:
    """`owed`: mails owed by now. `mails`: mail key -> state -> count."""

    balanced: bool
    owed: int
    states: dict[str, int]
    mails: dict[str, dict[str, int]]
    uncertain: tuple[tuple[int, str], ...]
    problems: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def audit(session: Session, challenge: Challenge, settings: Settings, now: datetime) -> Audit:
    """Holds what is owed against the rows, enrollment by enrollment, in batches of 500."""
    states: Counter[str] = Counter()
    mails: dict[str, Counter[str]] = defaultdict(Counter)
    problems: list[Problem] = []
    uncertain: list[tuple[int, str]] = []
    owed = 0
    alive = _alive(session, settings)
    for enrollments in _batches(session, challenge):
        ids = [enrollment.id or 0 for enrollment in enrollments]
        facts, rows = facts_of(session, ids), _rows(session, ids)
        for enrollment in enrollments:
            number = enrollment.id or 0
            wanted = plan(challenge.length, facts[number], now)
            owed += len(wanted.owed)
            for row in rows[number]:
                states[row.state] += 1
                mails[row.key][row.state] += 1
                if row.state is DeliveryState.uncertain:
                    uncertain.append((number, row.key))
            problems += _compare(enrollment, wanted, rows[number], now)
            problems += _check_rows(rows[number], alive)
    counted = {key: dict(count) for key, count in sorted(mails.items())}
    return Audit(not problems, owed, dict(states), counted, tuple(uncertain), tuple(problems))


def _compare(enrollment: Enrollment, wanted: Plan, rows: list[Delivery], now: datetime) -> Iterator[Problem]:
    number = enrollment.id or 0
    by_key = {row.key: row for row in rows}
    planner_is_due = enrollment.plan_at is not None and enrollment.plan_at > now - _PLANNER_MAY_TAKE
    behind_open = False
    stopped = wanted.state in ("stopped", "paused")
    for owed in wanted.owed:
        row = by_key.get(owed.key)
        if owed.mail == "confirm" and enrollment.confirmed_at is not None:
            continue  # answered, whether or not the question had left
        if row is None:
            if not (
                planner_is_due or (behind_open and owed.is_daily) or (stopped and not _was_due_long(owed.due_at, now))
            ):
                yield Problem(number, owed.key, "owed, but there is no row")
        elif row.state is DeliveryState.cancelled and not stopped and not planner_is_due:
            yield Problem(number, owed.key, "owed, but cancelled")
        else:
            behind_open = behind_open or (row.is_daily and row.state in OPEN_STATES)
    expected = {owed.key for owed in wanted.all}
    for row in rows:
        given_away = row.state not in (DeliveryState.cancelled, DeliveryState.suppressed)
        if row.key not in expected and given_away and not planner_is_due:
            yield Problem(number, row.key, "there is a row nobody is owed")


def _was_due_long(at: datetime, now: datetime) -> bool:
    return now - at > _PLANNER_MAY_TAKE


def _check_rows(rows: list[Delivery], alive: set[str]) -> Iterator[Problem]:
    for row in rows:
        if row.state is DeliveryState.sent and not row.receipt:
            yield Problem(row.enrollment_id, row.key, "sent without a receipt")
        if row.state in (DeliveryState.claimed, DeliveryState.handed_over) and row.claimed_by not in alive:
            yield Problem(row.enrollment_id, row.key, "held by a worker that is dead")
    if sum(row.is_daily and row.state in OPEN_STATES for row in rows) > 1:
        yield Problem(rows[0].enrollment_id, "", "two open daily mails")


def _alive(session: Session, settings: Settings) -> set[str]:
    since = real_now() - timedelta(seconds=settings.lease_seconds)
    return set(session.exec(select(Worker.id).where(col(Worker.beat_at) >= since)))


def _batches(session: Session, challenge: Challenge) -> Iterator[list[Enrollment]]:
    last = 0
    while True:
        query = select(Enrollment).where(Enrollment.challenge == challenge.slug, col(Enrollment.id) > last)
        batch = list(session.exec(query.order_by(col(Enrollment.id)).limit(_BATCH)).all())
        if not batch:
            return
        yield batch
        last = batch[-1].id or 0
        session.expunge_all()


def _rows(session: Session, ids: list[int]) -> dict[int, list[Delivery]]:
    rows: dict[int, list[Delivery]] = defaultdict(list)
    for row in session.exec(select(Delivery).where(col(Delivery.enrollment_id).in_(ids)).order_by(col(Delivery.id))):
        rows[row.enrollment_id].append(row)
    return rows
