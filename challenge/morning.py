"""What happens today? What went out, what is due, what needs a human, the next seven days. The desk's first page asks.

Every question goes through an index and touches what is open or of the last day, never everybody.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import ColumnElement, text
from sqlalchemy import select as columns
from sqlmodel import Session, col, func, select

from challenge.db import among
from challenge.deeds import undecided
from challenge.dispatch import is_stopped, needs_review
from challenge.guards import day_began
from challenge.journey import Pace, day_of, is_copy
from challenge.models import Alert, Delivery, DeliveryState, Enrollment, Event, EventKind, Subscriber
from challenge.programme.definition import Challenge
from challenge.settings import Settings
from challenge.stats.funnel import Rate, rate_of

DAYS_AHEAD = 7
COMPLAINTS_TOO_MANY = 0.001
_DAY = timedelta(days=1)
_FEW = 5
_KEPT_SECONDS, _LONG_SECONDS = 60.0, 0.05
_OPEN = text("delivery.state = 'scheduled'")  # the words of the partial index


@dataclass(frozen=True)
class Domain:
    """A receiver that refused for good in the last day: `failed` of the mails to it that were closed."""

    name: str
    failed: int
    reason: str


@dataclass(frozen=True)
class Ahead:
    """The mails of one day (UTC): mail -> how many, as far as rows and their sequence tell."""

    day: date
    mails: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.mails.values())


@dataclass(frozen=True)
class Morning:
    """`went_out`: mail -> state -> count since `since` (24 hours ago, and the hour begun then); `due_now` have their time behind them and still wait."""

    since: datetime
    went_out: dict[str, dict[str, int]]
    due_now: int
    due_today: int
    undecided: list[tuple[Delivery, Subscriber]]
    alerts: list[Alert]
    stopped: str
    is_unreviewed: bool
    is_blocked: bool
    failing: tuple[Domain, ...]
    complaints: Rate
    ahead: tuple[Ahead, ...]

    @property
    def sent(self) -> int:
        return sum(states.get("sent", 0) for states in self.went_out.values())

    @property
    def has_many_complaints(self) -> bool:
        return (self.complaints.rate or 0.0) >= COMPLAINTS_TOO_MANY and self.complaints.count > 1


_kept: dict[tuple[str, str, datetime], tuple[float, tuple[Ahead, ...]]] = {}


def morning(session: Session, challenge: Challenge, settings: Settings, now: datetime) -> Morning:
    """Today as of `now` (challenge time)."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return Morning(
        since=day_began(now),
        went_out=_closed_since(session, day_began(now)),
        due_now=_waiting(session, col(Delivery.due_at) <= now),
        due_today=_waiting(session, col(Delivery.due_at) > now, col(Delivery.due_at) < midnight + _DAY),
        undecided=undecided(session),
        alerts=list(session.exec(select(Alert).order_by(col(Alert.seen_at).desc()))),
        stopped=is_stopped(session),
        is_unreviewed=not challenge.reviewed_by,
        is_blocked=needs_review(challenge, settings),
        failing=_failing(session, now - _DAY),
        complaints=_complaints(session, now - DAYS_AHEAD * _DAY),
        ahead=_kept_forecast(session, challenge, now),
    )


def _kept_forecast(session: Session, challenge: Challenge, now: datetime) -> tuple[Ahead, ...]:
    """The forecast; one that takes long (many thousands of planned mails) is kept for a minute, within its hour."""
    place = (str(session.get_bind().engine.url), challenge.edition, now.replace(minute=0, second=0, microsecond=0))
    began = time.monotonic()
    known = _kept.get(place)
    if known is not None and began - known[0] < _KEPT_SECONDS:
        return known[1]
    found = forecast(session, challenge, now)
    if time.monotonic() - began > _LONG_SECONDS:
        _kept.clear()
        _kept[place] = (began, found)
    return found


def forecast(session: Session, challenge: Challenge, now: datetime) -> tuple[Ahead, ...]:
    """The next seven days: the rows that exist, each followed by the rest of its sequence as if nobody rested or stopped."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [(midnight + place * _DAY).date() for place in range(DAYS_AHEAD)]
    found: dict[date, Counter[str]] = defaultdict(Counter)
    for place, day in enumerate(days):
        since = None if place == 0 else midnight + place * _DAY
        for key, mail, pace, count in _scheduled(session, since, midnight + (place + 1) * _DAY):
            found[day][mail] += count
            if mail in ("day", "welcome") and not is_copy(key):
                for later, name in _following(day, day_of(key), challenge.length, Pace(pace)):
                    found[later][name] += count
    return tuple(Ahead(day, dict(found[day])) for day in days)


def _following(day: date, number: int, length: int, pace: Pace) -> list[tuple[date, str]]:
    """What comes after day `number` (0: the welcome), and when; who waits until a day is done is taken at their word."""
    coming: list[tuple[date, str]] = []
    for name in ["day"] * (length - number) + ["finish"]:
        day += _DAY * (2 if pace is Pace.every_other_day and coming else 1)
        while pace is Pace.weekdays and day.weekday() > 4:
            day += _DAY
        coming.append((day, name))
    return coming


def _scheduled(session: Session, since: datetime | None, until: datetime) -> list[tuple[str, str, str, int]]:
    query = (
        columns(col(Delivery.key), col(Delivery.mail), col(Enrollment.pace), func.count())
        .join(Enrollment, col(Enrollment.id) == col(Delivery.enrollment_id))
        .where(_OPEN, col(Delivery.due_at) < until)
        .group_by(col(Delivery.key), col(Delivery.mail), col(Enrollment.pace))
    )
    if since is not None:
        query = query.where(col(Delivery.due_at) >= since)
    return [(key, mail, pace, count) for key, mail, pace, count in session.execute(query)]


def _closed_since(session: Session, since: datetime) -> dict[str, dict[str, int]]:
    query = (
        columns(col(Delivery.mail), col(Delivery.state), func.count())
        .where(col(Delivery.closed_at) >= since)
        .group_by(col(Delivery.mail), col(Delivery.state))
    )
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for mail, state, count in session.execute(query):
        found[mail][str(state)] = count
    return dict(sorted(found.items()))


def _waiting(session: Session, *when: ColumnElement[bool]) -> int:
    return session.exec(select(func.count()).select_from(Delivery).where(_OPEN, *when)).one()


def _failing(session: Session, since: datetime) -> tuple[Domain, ...]:
    refused = select(Delivery.enrollment_id, Delivery.reason).where(
        col(Delivery.closed_at) > since, Delivery.state == DeliveryState.failed
    )
    failed = session.exec(refused.limit(2000)).all()
    # Two questions: joined in one, a database that does not know how few they are begins with all people.
    whose = (
        select(Enrollment.id, Subscriber.email_key)
        .join(Subscriber, col(Subscriber.id) == col(Enrollment.subscriber_id))
        .where(among(session, Enrollment.id, [number for number, _ in failed]))
    )
    addresses: dict[int | None, str] = dict(session.exec(whose).all()) if failed else {}
    counts: Counter[str] = Counter()
    reasons: dict[str, str] = {}
    for number, reason in failed:
        if number not in addresses:  # erased between the two
            continue
        name = addresses[number].rpartition("@")[2]
        counts[name] += 1
        reasons[name] = reason
    return tuple(Domain(name, count, reasons[name]) for name, count in counts.most_common(_FEW) if count > 1)


def _complaints(session: Session, since: datetime) -> Rate:
    said = select(func.count()).select_from(Event)
    said = said.where(Event.kind == EventKind.complained, col(Event.occurred_at) > since)
    sent = select(func.count()).select_from(Delivery)
    sent = sent.where(col(Delivery.closed_at) > since, Delivery.state == DeliveryState.sent)
    count = session.exec(said).one()
    return rate_of(count, max(count, session.exec(sent).one()))
