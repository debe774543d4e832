"""Who is in the challenge? Search, and one person's whole story; asked by the dashboard, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select as columns
from sqlmodel import Session, col, func, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from challenge.clock import real_now
from challenge.conversion_links import Link, links_of
from challenge.conversions import REFUND, refunds_of
from challenge.events import address_hash, done_days, installation_key
from challenge.journey import Owed
from challenge.models import (
    AuditEntry,
    Consent,
    Conversion,
    Delivery,
    DeliveryState,
    Enrollment,
    EnrollmentState,
    Event,
    EventKind,
    InboundReport,
    Subscriber,
    Suppression,
)
from challenge.money import written
from challenge.plan import current_plan

PAGE = 50
RUN = ("id", "state", "source", "utm_campaign", "position", "pace", "signed_up_at", "confirmed_at")
_AT_ONCE = 1000
_BURST_SECONDS = 60


@dataclass(frozen=True)
class Found:
    """One row of a search."""

    number: int
    email: str
    first_name: str
    state: str
    source: str
    signed_up_at: datetime


@dataclass(frozen=True)
class Moment:
    """One entry of a story. `tone`: sent, done, rest, wrong, quiet or plain. `who` is empty where nobody need be judged."""

    at: datetime
    title: str
    tone: str = "plain"
    words: str = ""
    who: str = ""
    reasons: str = ""
    delivery: int | None = None
    times: int = 1


@dataclass(frozen=True)
class Mail:
    """One delivery as the story lists it."""

    id: int
    key: str
    mail: str
    state: str
    at: datetime
    can_show: bool


@dataclass(frozen=True)
class Joining:
    """One conversion of a person: what was told, and what was taken back of it since; prices like `49.00 USD`."""

    row: Conversion
    price: str
    back: str
    is_whole: bool


@dataclass(frozen=True)
class Story:
    """Everything known of one person, the latest first."""

    subscriber: Subscriber
    enrollment: Enrollment
    runs: tuple[Enrollment, ...]
    done: tuple[int, ...]
    next: Owed | None
    suppressed: Suppression | None
    moments: tuple[Moment, ...]
    mails: tuple[Mail, ...]
    deeds: tuple[AuditEntry, ...]
    links: tuple[Link, ...]
    joinings: tuple[Joining, ...]


def search(
    session: Session, words: str, source: str, before: int | None, limit: int = PAGE, state: str = ""
) -> tuple[list[Found], bool]:
    """(the newest people that fit, whether there are more). `words`: a part of the address or the beginning of the
    name; `source` and `state` as a whole. A page goes on below the number `before`."""
    query = (
        select(Enrollment, Subscriber)
        .join(Subscriber, col(Subscriber.id) == col(Enrollment.subscriber_id))
        .order_by(col(Enrollment.id).desc())
        .limit(limit + 1)
    )
    if source:
        query = query.where(Enrollment.source == source)
    if state:
        query = query.where(col(Enrollment.state) == EnrollmentState(state))
    if before:
        query = query.where(col(Enrollment.id) < before)
    if words:
        query = query.where(col(Enrollment.subscriber_id).in_(_matching(session, words, limit)))
    rows = [
        Found(row.id or 0, person.email, person.first_name, row.state, row.source, row.signed_up_at)
        for row, person in session.exec(query)
    ]
    return rows[:limit], len(rows) > limit


def runs(session: Session, state: str, source: str) -> Iterator[tuple[Any, ...]]:
    """Every run in this state and from this source (empty: any), the oldest first, by the columns `RUN`. No address, no
    name: a file goes where nobody knows."""
    query = columns(*(getattr(Enrollment, name) for name in RUN)).order_by(col(Enrollment.id)).limit(_AT_ONCE)
    if state:
        query = query.where(col(Enrollment.state) == EnrollmentState(state))
    if source:
        query = query.where(col(Enrollment.source) == source)
    last = 0
    while rows := session.execute(query.where(col(Enrollment.id) > last)).all():
        yield from map(tuple, rows)
        last = rows[-1][0]


def _matching(session: Session, words: str, limit: int) -> Sequence[int | None]:
    """The subscriber with this address; else those with the words in their address, or at the start of their name."""
    low = words.casefold()
    if "@" in low and (found := session.exec(select(Subscriber.id).where(Subscriber.email_key == low)).all()):
        return found
    anywhere = or_(
        col(Subscriber.email_key).contains(low, autoescape=True),
        col(Subscriber.first_name).istartswith(words, autoescape=True),
    )
    return session.exec(
        select(Subscriber.id).where(anywhere).order_by(col(Subscriber.id).desc()).limit(4 * limit)
    ).all()


def story(session: Session, number: int, days: int, now: datetime) -> Story | None:
    """The story around one enrollment, with the person's other runs; None when there is no such person."""
    enrollment = session.get(Enrollment, number)
    if enrollment is None:
        return None
    subscriber = session.get_one(Subscriber, enrollment.subscriber_id)
    runs = session.exec(select(Enrollment).where(Enrollment.subscriber_id == subscriber.id)).all()
    ids = [run.id or 0 for run in runs]
    deliveries = session.exec(select(Delivery).where(col(Delivery.enrollment_id).in_(ids))).all()
    consents = session.exec(select(Consent).where(col(Consent.enrollment_id).in_(ids))).all()
    digest = address_hash(installation_key(session), subscriber.email_key)
    plan = current_plan(session, enrollment, days, now)
    moments = [
        *_mail_moments(deliveries),
        *_event_moments(session, ids),
        *(_consent_moment(row) for row in consents),
        *_reports(session, ids),
    ]
    return Story(
        subscriber=subscriber,
        enrollment=enrollment,
        runs=tuple(runs),
        done=tuple(sorted(done_days(session, number))),
        next=next((owed for owed in plan.upcoming if plan.state == "active"), None),
        suppressed=session.exec(select(Suppression).where(Suppression.address_hash == digest)).first(),
        moments=tuple(sorted(moments, key=lambda moment: moment.at, reverse=True)),
        mails=tuple(_mail(row) for row in sorted(deliveries, key=lambda row: row.id or 0, reverse=True)),
        deeds=tuple(session.exec(_deeds_of(ids))),
        links=tuple(links_of(session, ids, real_now())),
        joinings=joinings_of(session, ids),
    )


def joinings_of(session: Session, enrollment_ids: Sequence[int]) -> tuple[Joining, ...]:
    """The conversions of one person's runs, in the order they were told."""
    query = select(Conversion).where(col(Conversion.enrollment_id).in_(enrollment_ids)).order_by(col(Conversion.id))
    rows = session.exec(query).all()
    backs = [(row, refunds_of(row, rows)) for row in rows if row.how != REFUND]
    return tuple(
        Joining(row, written(row.amount, row.currency), written(-back.amount, row.currency), back.is_whole)
        for row, back in backs
    )


def revenue_of(session: Session, enrollment_id: int) -> str:
    """What the person of this run paid in all runs, less what was paid back: `49.00 USD, 10 JPY`; empty for nothing."""
    mine = select(Enrollment.subscriber_id).where(Enrollment.id == enrollment_id)
    query = (
        select(Conversion.currency, func.sum(Conversion.amount))
        .join(Enrollment, col(Enrollment.id) == col(Conversion.enrollment_id))
        .where(col(Enrollment.subscriber_id).in_(mine))
        .group_by(Conversion.currency)
        .order_by(Conversion.currency)
    )
    sums = {currency: int(amount) for currency, amount in session.exec(query)}
    return ", ".join(filter(None, (written(amount, currency) for currency, amount in sums.items())))


def _mail(row: Delivery) -> Mail:
    at = row.closed_at or row.due_at
    return Mail(row.id or 0, row.key, row.mail, row.state, at, row.context is not None)


def _mail_moments(deliveries: Sequence[Delivery]) -> list[Moment]:
    """What left, and what did not; what waits is shown as the next mail, not as something that happened."""
    tones = {DeliveryState.sent: "sent", DeliveryState.failed: "wrong", DeliveryState.uncertain: "wrong"}
    found = []
    for row in deliveries:
        if row.closed_at is None:
            continue
        words = row.receipt if row.state is DeliveryState.sent else row.reason
        title = f"Mail {row.key}: {_STATES.get(row.state, str(row.state))}"
        found.append(Moment(row.closed_at, title, tones.get(row.state, "quiet"), words, delivery=row.id))
    return found


_STATES = {
    DeliveryState.sent: "sent",
    DeliveryState.failed: "not delivered",
    DeliveryState.cancelled: "not sent, no longer wanted",
    DeliveryState.suppressed: "not sent, the address gets no mail",
    DeliveryState.expired: "given up after three missed mornings",
    DeliveryState.uncertain: "uncertain: nobody can say whether it arrived",
}
_WORDS = {
    EventKind.signed_up: ("Signed up", "plain"),
    EventKind.signed_up_again: ("Somebody signed this address up again", "plain"),
    EventKind.confirmed: ("Said yes", "done"),
    EventKind.opened: ("Opened", "quiet"),
    EventKind.clicked: ("Clicked", "quiet"),
    EventKind.completed: ("Did day {day}", "done"),
    EventKind.undone: ("Took day {day} back", "plain"),
    EventKind.rested: ("Rested instead of day {day}", "rest"),
    EventKind.paused: ("Paused", "rest"),
    EventKind.resumed: ("Resumed", "plain"),
    EventKind.changed: ("Changed what they want", "plain"),
    EventKind.missed: ("A morning was missed", "wrong"),
    EventKind.expired: ("A mail was given up", "wrong"),
    EventKind.unsubscribed: ("Unsubscribed", "wrong"),
    EventKind.bounced: ("A mail bounced", "wrong"),
    EventKind.complained: ("Called a mail spam", "wrong"),
    EventKind.suppressed: ("Gets no mail any more", "wrong"),
    EventKind.joined: ("Joined the programme", "done"),
    EventKind.programme_consent: ("May be written to about the programme", "plain"),
    EventKind.resent: ("Asked for one more copy", "plain"),
}


def _event_moments(session: Session, ids: list[int]) -> list[Moment]:
    """Events with their verdicts. What machines did to one mail within a minute is one entry."""
    found: list[Moment] = []
    query = select(Event).where(col(Event.enrollment_id).in_(ids)).order_by(col(Event.occurred_at), col(Event.id))
    for event in session.exec(query):
        title, tone = _WORDS.get(event.kind, (str(event.kind), "plain"))
        title = title.format(day=event.day)
        if "refunds" in event.detail:
            title, tone = "Joining the programme was taken back", "wrong"
        if event.kind in (EventKind.opened, EventKind.clicked):
            what = f" ({event.link})" if event.kind is EventKind.clicked and event.who != "machine" else ""
            title = f"{title}{what}" + (f", day {event.day}" if event.day else "")
        who = "" if event.kind not in _JUDGED and event.who == "person" else event.who
        moment = Moment(event.occurred_at, title, tone, _told(event), who, event.reasons, event.delivery_id)
        if found and event.who == "machine" and _is_same_burst(found[-1], moment):
            last = found[-1]
            found[-1] = Moment(
                last.at, last.title, last.tone, last.words, last.who, last.reasons, last.delivery, last.times + 1
            )
        else:
            found.append(moment)
    return found


_HOW = {
    "refund": "paid back",
    "link": "said so by their link",
    "desk": "noted at the desk",
    "file": "from a file",
    "api": "told by the programme's site",
    "webhook": "told by the programme's site",
}
_JUDGED = (EventKind.opened, EventKind.clicked, EventKind.completed)


def _is_same_burst(last: Moment, new: Moment) -> bool:
    near = (new.at - last.at).total_seconds() < _BURST_SECONDS
    return near and (last.who, last.title, last.delivery) == (new.who, new.title, new.delivery)


def _told(event: Event) -> str:
    told: dict[str, Any] = event.detail
    match event.kind:
        case EventKind.signed_up | EventKind.confirmed | EventKind.changed if "timezone" in told:
            return f"{told['timezone']}, at {told['hour']}:00, {str(told.get('pace', '')).replace('_', ' ')}"
        case EventKind.missed | EventKind.expired | EventKind.resent:
            return ", ".join(str(told[key]) for key in ("key", "why", "by") if told.get(key))
        case EventKind.unsubscribed:
            return f"by {told.get('how', 'a link')}"
        case EventKind.joined:
            price = written(int(told.get("amount") or 0), str(told.get("currency", "")))
            return ", ".join(filter(None, (price, _HOW.get(str(told.get("how")), ""), told.get("why"))))
    return ""


def _consent_moment(row: Consent) -> Moment:
    words = f"“{row.wording}” (version {row.version}, {row.source})"
    return Moment(row.given_at, f"Consent: {row.kind}", "done", words)


def _reports(session: Session, ids: list[int]) -> list[Moment]:
    rows = session.exec(select(InboundReport).where(col(InboundReport.enrollment_id).in_(ids)))
    return [
        Moment(
            row.occurred_at,
            f"Report: {row.kind}, {row.reason}".replace("_", " "),
            "wrong" if row.effect == "suppressed" else "plain",
            f"{row.evidence} ({row.effect}, {'proved by ' + row.authenticated_by if row.authenticated_by else 'not proved'})",
            delivery=row.delivery_id,
        )
        for row in rows
    ]


def _deeds_of(ids: list[int]) -> SelectOfScalar[AuditEntry]:
    """In real time, unlike all else in a story; so they are a list of their own."""
    return select(AuditEntry).where(col(AuditEntry.enrollment_id).in_(ids)).order_by(col(AuditEntry.id).desc())
