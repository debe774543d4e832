"""Is every mail owed accounted for? What is owed comes from the events by the planning rules; the rows must agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, col, select

from challenge.dispatch import living_workers
from challenge.journey import ALREADY, Owed, Plan, plan
from challenge.models import OPEN_STATES, Delivery, DeliveryState, Enrollment, Event, EventKind
from challenge.plan import facts_of
from challenge.programme.definition import Challenge
from challenge.settings import Settings

_BATCH = 500
_PLANNER_MAY_TAKE = timedelta(minutes=10)
_NO_ROW = "owed, but there is no row"
_LEAVING = (EventKind.unsubscribed, EventKind.suppressed, EventKind.complained, EventKind.paused)


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
    """Holds what is owed at `now` against the rows, enrollment by enrollment, in batches of 500. What happens while it
    reads, or happened since `now`, is no fault."""
    _one_snapshot(session)
    states: Counter[str] = Counter()
    mails: dict[str, Counter[str]] = defaultdict(Counter)
    problems: list[Problem] = []
    uncertain: list[tuple[int, str]] = []
    owed = 0
    alive = living_workers(session, settings)
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
            missing = [*_compare(enrollment, wanted, rows[number], now)]
            if missing and wanted.state in ("stopped", "paused"):
                missing = _without_the_unmade(session, missing, wanted, rows[number], _left_at(session, number, now))
            problems += missing
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
            if not (planner_is_due or (behind_open and owed.is_daily)):
                yield Problem(number, owed.key, _NO_ROW)
        elif row.state is DeliveryState.cancelled and not (
            (stopped and not _is_wanted_still(owed, wanted)) or planner_is_due or _closed_since(row, now)
        ):
            yield Problem(number, owed.key, "owed, but cancelled")
        else:
            behind_open = behind_open or (row.is_daily and (row.state in OPEN_STATES or _closed_since(row, now)))
    expected = {owed.key for owed in wanted.all}
    for row in rows:
        given_away = row.state not in (DeliveryState.cancelled, DeliveryState.suppressed)
        if row.key not in expected and given_away and not planner_is_due and row.created_at <= now:
            yield Problem(number, row.key, "there is a row nobody is owed")


def _is_wanted_still(owed: Owed, wanted: Plan) -> bool:
    """The one mail that also somebody in a pause gets."""
    return owed.mail == ALREADY and wanted.state == "paused"


def _closed_since(row: Delivery, now: datetime) -> bool:
    return row.closed_at is not None and row.closed_at > now


def _without_the_unmade(
    session: Session, problems: list[Problem], wanted: Plan, rows: list[Delivery], left_at: datetime
) -> list[Problem]:
    """The problems of who left, but those of mails that could not be planned before: behind a daily mail that was open
    until then, or while no worker was at work."""
    due = {owed.key: owed for owed in wanted.owed}
    open_until = [(row.planned_at, row.closed_at or left_at) for row in rows if row.is_daily]
    found = []
    for problem in problems:
        owed = due.get(problem.key)
        if problem.problem == _NO_ROW and owed is not None and owed.due_at <= left_at:
            is_behind = owed.is_daily and any(at < owed.due_at <= until for at, until in open_until)
            if is_behind or not _was_sending(session, owed.due_at, left_at - _PLANNER_MAY_TAKE):
                continue
        found.append(problem)
    return found


def _left_at(session: Session, number: int, now: datetime) -> datetime:
    query = select(Event.occurred_at).where(Event.enrollment_id == number, col(Event.kind).in_(_LEAVING))
    return session.exec(query.order_by(col(Event.id).desc()).limit(1)).first() or now


def _was_sending(session: Session, since: datetime, until: datetime) -> bool:
    """Whether any mail left meanwhile: who sends also plans."""
    query = select(Delivery.id).where(
        col(Delivery.closed_at) > since, col(Delivery.closed_at) <= until, Delivery.state == DeliveryState.sent
    )
    return session.exec(query.limit(1)).first() is not None


def _one_snapshot(session: Session) -> None:
    """On SQLite a transaction reads one by itself."""
    if session.get_bind().dialect.name == "postgresql" and not session.in_transaction():
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})


def _check_rows(rows: list[Delivery], alive: set[str]) -> Iterator[Problem]:
    for row in rows:
        if row.state is DeliveryState.sent and not row.receipt:
            yield Problem(row.enrollment_id, row.key, "sent without a receipt")
        if row.state in (DeliveryState.claimed, DeliveryState.handed_over) and row.claimed_by not in alive:
            yield Problem(row.enrollment_id, row.key, "held by a worker that is dead")
    if sum(row.is_daily and row.state in OPEN_STATES for row in rows) > 1:
        yield Problem(rows[0].enrollment_id, "", "two open daily mails")


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
