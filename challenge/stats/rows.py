"""What do the rows say of these people? Makes blocks from enrollments, mails and events; `keep` asks, for those changed.

Opens and clicks are grouped by the database (`signs`): they are most of all events, and their order does not matter
unless a press is in doubt. What remains is folded person by person (`journeys`).
"""

from __future__ import annotations

import gc
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    DateTime,
    String,
    case,
    cast,
    func,
    null,
    or_,
    type_coerce,
)
from sqlalchemy import select as columns
from sqlmodel import Session, col

from challenge.db import among
from challenge.journey import day_of
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Event, EventKind, Subscriber
from challenge.stats.blocks import CHANCE, JOINING, NO_MAIL, SHIFT, SIZE, Block, add_number, hour_of
from challenge.stats.country import country_of
from challenge.stats.filter import DIMENSIONS, NONE
from challenge.stats.journeys import Happened, Left, Reached, fold
from challenge.stats.signs import mark_signs

_MINUTE = timedelta(minutes=1)
_LONGEST_WAIT = (1 << 16) - 1
_FOLDED = (
    EventKind.completed,
    EventKind.undone,
    EventKind.rested,
    EventKind.bounced,
    EventKind.joined,
    EventKind.paused,
    EventKind.unsubscribed,
    EventKind.resumed,
    EventKind.complained,
    EventKind.suppressed,
)
_TOLD = (EventKind.undone, EventKind.joined, EventKind.resumed)
_BY_FORM = ("form", "embed")
_IN_DOUBT = ("unsure", "machine")
_WORDS = tuple(name for name in DIMENSIONS if name not in ("source", "country"))
_ABOUT_A_DAY = ("nudge", "already")  # mails beside the day's, whose opens and clicks bear its number
Sends = list[tuple[datetime, int, str]]  # when a mail was sent, which, and its name; the oldest first
Mails = dict[str, tuple[int, datetime]]
Whom = Callable[[Any], ColumnElement[bool]]


def build(
    session: Session, people: range | Sequence[int], challenge: str, length: int, now: datetime
) -> dict[int, Block]:
    """Number of a block -> what is true of those of these people who are in it and in the challenge."""

    def whom(column: Any) -> ColumnElement[bool]:
        if isinstance(people, range):
            return col(column).between(people.start, people.stop - 1)
        return among(session, column, people)

    with _uncollected():
        return _build(session, whom, challenge, length, now)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Rows by the ten thousand, and none in a circle: looking for circles among them takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _build(session: Session, whom: Whom, challenge: str, length: int, now: datetime) -> dict[int, Block]:
    blocks: dict[int, Block] = defaultdict(Block)
    (sent, beside), ways = _sent(session, whom), _ways(session, whom)
    reached = {person: fold(events) for person, events in _events(session, whom).items()}
    names = _names(session, reached.values())
    young = _young(session, now)
    for id, state, source, signed_up_at, began, confirmed_at, zone, tracked, *words in _people(
        session, whom, challenge
    ):
        sets, bit = blocks[id >> SHIFT].sets, 1 << (id & (SIZE - 1))
        _describe(sets, bit, source, signed_up_at, zone, words)
        bits = sets["bits"]
        sends, mine = sent.get(id, []), reached.get(id) or Reached()
        mails = _mark_mails(sets, bit, sends, mine, names, young)
        if state in (EnrollmentState.stopped, EnrollmentState.paused):
            bits[state] |= bit
        if state == EnrollmentState.paused:
            _mark_pause(sets, bit, mails, mine.paused_at or began, length)
        if state == EnrollmentState.stopped:
            _mark_left(sets, bit, sends, mine.left, names)
        if not tracked:
            bits["untracked"] |= bit
        _mark_way(bits, bit, ways.get(id, ()), is_asked="confirm" in mails)
        if confirmed_at is not None:
            bits["confirmed"] |= bit
            _wait(sets, "confirmed", bit, confirmed_at - began)
        _mark_steps(sets, bit, mails, sends, mine, confirmed_at, length)
        for currency, amount in _sums(mine.paid).items():
            add_number(sets[f"paid:{currency}"], bit, max(amount, 0))
    mark_signs(session, whom, blocks, beside, {id: one.left_at for id, one in reached.items() if one.left_at})
    return blocks


def _mark_mails(
    sets: Any, bit: int, sends: Sends, reached: Reached, names: dict[int, str], young: tuple[datetime, datetime]
) -> Mails:
    """What was sent, how often and when; which mails came back. Returns the first of each."""
    mails: Mails = {}
    copies: dict[str, int] = defaultdict(int)
    bits, mailed = sets["bits"], sets["mailed"]
    for at, delivery, mail in sends:
        mailed[_date(at)] |= bit
        if mail in mails:
            copies[mail] += 1
            continue
        mails[mail] = (delivery, at)
        bits[f"sent:{mail}"] |= bit
        if delivery not in reached.bounced:
            bits[f"delivered:{mail}"] |= bit
        if at > young[mail == "finish"]:
            sets[f"recent:{mail}"][_hour(at)] |= bit
    for mail, count in copies.items():
        add_number(sets[f"copies:{mail}"], bit, count)
    for delivery, at in reached.bounced.items():
        bits[f"bounced:{_mail_of(delivery, at, sends, names)}"] |= bit
    return mails


def _mark_left(sets: Any, bit: int, sends: Sends, left: Left | None, names: dict[int, str]) -> None:
    """Why they left, after which mail, and on which day; a start that another one replaced was stopped by no event."""
    if left is None:
        sets["left:other"][sends[-1][2] if sends else NO_MAIL] |= bit
        sets["left_on:other"][""] |= bit
        return
    sets[f"left:{left.why}"][_mail_of(left.delivery, left.at, sends, names)] |= bit
    sets[f"left_on:{left.why}"][_date(left.at)] |= bit


def _mail_of(delivery: int, at: datetime, sends: Sends, names: dict[int, str]) -> str:
    """The mail that is named; where none is, the last that had been sent."""
    return names.get(delivery) or next((mail for when, _, mail in reversed(sends) if when <= at), NO_MAIL)


def sent_since(session: Session, deliveries: Sequence[int], now: datetime) -> tuple[dict[int, Block], set[int]]:
    """What these mails add for people of whom nothing else changed: number of a block -> block; and those of whom more
    has to be asked: the mail came back, is not sent any more, went twice, or was followed by a deed already."""
    returned = columns(col(Event.delivery_id)).where(
        among(session, Event.delivery_id, deliveries), col(Event.kind) == EventKind.bounced
    )
    bounced = set(session.connection().execute(returned).scalars())
    query = columns(
        col(Delivery.id),
        col(Delivery.enrollment_id),
        type_coerce(col(Delivery.state), String),
        col(Delivery.mail),
        col(Delivery.key),
        _plainly(Delivery.closed_at),
    ).where(among(session, Delivery.id, deliveries))
    blocks: dict[int, Block] = defaultdict(Block)
    unclear: set[int] = set()
    young = _young(session, now)
    rows = session.connection().execute(query).all()
    deeds = _last_deeds(session, sorted({person for _, person, *_ in rows}))
    for id, person, state, mail, key, at in rows:
        sets, bit = blocks[person >> SHIFT].sets, 1 << (person & (SIZE - 1))
        name = _name(mail, key)
        is_followed = person in deeds and deeds[person] >= at
        if state != DeliveryState.sent or id in bounced or is_followed or sets["bits"][f"sent:{name}"] & bit:
            unclear.add(person)
            continue
        sets["bits"][f"sent:{name}"] |= bit
        sets["bits"][f"delivered:{name}"] |= bit
        sets["mailed"][_date(at)] |= bit
        if at > young[name == "finish"]:
            sets[f"recent:{name}"][_hour(at)] |= bit
    return blocks, unclear


def _last_deeds(session: Session, people: Sequence[int]) -> dict[int, datetime]:
    """When each of them last did a day, rested or joined, or a mail came back: to which mail that belongs follows from the
    mails before it."""
    kinds = (EventKind.completed, EventKind.rested, EventKind.joined, EventKind.bounced)
    query = (
        columns(col(Event.enrollment_id), type_coerce(func.max(col(Event.occurred_at)), DateTime))
        .where(among(session, Event.enrollment_id, people), col(Event.kind).in_(kinds))
        .group_by(col(Event.enrollment_id))
    )
    return {person: at for person, at in session.connection().execute(query).all()}  # noqa: C416 - rows, not pairs


def _hour(at: datetime) -> str:
    return str(hour_of(at.replace(tzinfo=at.tzinfo or UTC)))


def _people(session: Session, whom: Whom, challenge: str) -> Iterable[Any]:
    query = (
        columns(
            col(Enrollment.id),
            type_coerce(col(Enrollment.state), String),
            col(Enrollment.source),
            col(Enrollment.signed_up_at),
            _plainly(Enrollment.signed_up_at),
            _plainly(Enrollment.confirmed_at),
            col(Subscriber.timezone),
            col(Subscriber.tracking),
            *(col(getattr(Enrollment, name)) for name in _WORDS),
        )
        .join(Subscriber, col(Subscriber.id) == col(Enrollment.subscriber_id))
        .where(whom(Enrollment.id), col(Enrollment.challenge) == challenge)
    )
    return session.connection().execute(query).all()


def _describe(sets: Any, bit: int, source: str, signed_up_at: datetime, zone: str, words: Sequence[str]) -> None:
    sets["bits"]["people"] |= bit
    for name, word in zip(_WORDS, words, strict=True):
        sets[f"words:{name}"][word or NONE] |= bit
    sets["words:source"][source or "direct"] |= bit
    sets["words:country"][country_of(zone)] |= bit
    sets["zones"][zone] |= bit
    sets["days"][signed_up_at.date().isoformat()] |= bit


def _mark_way(bits: Any, bit: int, way: Sequence[dict[str, Any]], *, is_asked: bool) -> None:
    """How they came, where it was by no form of ours; by the first time they signed up."""
    if not way:
        return
    if any(told.get("imported") for told in way) and not is_asked:
        bits["unasked"] |= bit
    first = "import" if way[0].get("imported") else str(way[0].get("way", ""))
    if first == "import":
        bits["by_import"] |= bit
    elif first and first.partition(" ")[0] not in _BY_FORM:
        bits["by_api"] |= bit


def _mark_pause(sets: Any, bit: int, mails: Mails, paused_at: datetime, length: int) -> None:
    """When those that are still to come would have come, at a mail a day from the day of the pause on."""
    names = [str(day) for day in range(1, length + 1)] + ["finish"]
    coming = [name for name in names if name not in mails]
    for place, name in enumerate(coming, start=1):
        sets[f"paused:{name}"][(paused_at + timedelta(days=place)).date().isoformat()] |= bit


def _mark_steps(
    sets: Any, bit: int, mails: Mails, sends: Sends, reached: Reached, confirmed_at: datetime | None, length: int
) -> None:
    bits = sets["bits"]
    for day in reached.rested:
        bits[f"rested:{day}"] |= bit
    for day, at in reached.done.items():
        bits[f"done:{day}"] |= bit
        if mail := mails.get(str(day)):
            _wait(sets, f"done:{day}", bit, at - mail[1])
            if mail[1] <= at < min((other for other, _, _ in sends if other > mail[1]), default=at + _MINUTE):
                bits[f"in_time:{day}"] |= bit
    if last := _last_day(mails, reached, length):
        bits[f"went_to:{last}"] |= bit
    last_done = max(reached.done.values(), default=confirmed_at)
    if sum(1 <= day <= length for day in reached.done) == length:
        bits["finished"] |= bit
        if last_done and confirmed_at:
            _wait(sets, "finished", bit, last_done - confirmed_at)
    if reached.joined_at is not None:
        bits["joined"] |= bit
        if reached.done and last_done and reached.joined_at >= last_done:  # not those who had joined before
            _wait(sets, "joined", bit, reached.joined_at - last_done)


def _last_day(mails: Mails, reached: Reached, length: int) -> int:
    """The day whose mail was the last to bring a deed: done, rested or joined, for that day or for an earlier one."""
    days = [(day, mails[str(day)][1]) for day in range(1, length + 1) if str(day) in mails]
    deeds = [*reached.done.values(), reached.joined_at, reached.rested_at if reached.rested else None]
    by_time = (day for at in deeds if at is not None for day, sent_at in days if sent_at <= at)
    return max((*by_time, *(day for day in (*reached.done, *reached.rested) if day <= length)), default=0)


def _wait(sets: Any, step: str, bit: int, wait: timedelta) -> None:
    """Keeps whole minutes, from 0 to 65,535 (45 days)."""
    sets["bits"][f"waited:{step}"] |= bit
    add_number(sets[f"waits:{step}"], bit, min(max(wait // _MINUTE, 0), _LONGEST_WAIT))


def _sums(paid: Iterable[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for currency, amount in paid:
        found[currency] += amount
    return found


def _ways(session: Session, whom: Whom) -> dict[int, list[dict[str, Any]]]:
    """Of those who did not only come by a form: what was kept each time they signed up."""
    plain = cast(col(Event.detail), String).contains('"way": "form"')
    query = columns(col(Event.enrollment_id)).where(
        whom(Event.enrollment_id), col(Event.kind) == EventKind.signed_up, ~plain
    )
    others = sorted(set(session.connection().execute(query).scalars()))
    ways: dict[int, list[dict[str, Any]]] = defaultdict(list)
    if others:
        told = columns(col(Event.enrollment_id), col(Event.detail)).where(
            among(session, Event.enrollment_id, others), col(Event.kind) == EventKind.signed_up
        )
        for id, detail in session.connection().execute(told.order_by(col(Event.id))).all():
            ways[id].append(detail)
    return ways


def _sent(session: Session, whom: Whom) -> tuple[dict[int, Sends], dict[str, list[int]]]:
    """enrollment -> what was sent; and all mails that are about a day and are not its own."""
    query = columns(
        col(Delivery.enrollment_id),
        col(Delivery.id),
        type_coerce(col(Delivery.state), String),
        col(Delivery.mail),
        col(Delivery.key),
        _plainly(Delivery.closed_at),
    ).where(
        whom(Delivery.enrollment_id),
        or_(col(Delivery.state) == DeliveryState.sent, col(Delivery.mail).in_(_ABOUT_A_DAY)),
    )
    sent: dict[int, Sends] = defaultdict(list)
    beside: dict[str, list[int]] = defaultdict(list)
    for person, id, state, mail, key, at in session.connection().execute(query).all():
        if state == DeliveryState.sent:
            sent[person].append((at, id, _name(mail, key)))
        if mail in _ABOUT_A_DAY:
            beside[mail].append(id)
    for sends in sent.values():
        sends.sort()
    return sent, beside


def _names(session: Session, everybody: Iterable[Reached]) -> dict[int, str]:
    """The names of the mails that came back or that somebody left by, whatever became of them."""
    ids = {id for one in everybody for id in (*one.bounced, one.left.delivery if one.left else 0)} - {0}
    if not ids:
        return {}
    query = columns(col(Delivery.id), col(Delivery.mail), col(Delivery.key)).where(
        among(session, Delivery.id, sorted(ids))
    )
    found: Any = session.connection().execute(query).all()
    return {id: _name(mail, key) for id, mail, key in found}


def _events(session: Session, whom: Whom) -> dict[int, list[Happened]]:
    """What has to be folded; of those whose press is in doubt everything, for the next sign of a person settles it."""
    events = _read(session, whom, _FOLDED)
    doubtful = [person for person, happened in events.items() if any(one.who in _IN_DOUBT for one in happened)]
    if doubtful:
        events |= _read(session, lambda column: among(session, column, doubtful), (*_FOLDED, *_SIGNS))
    return events


_SIGNS = (EventKind.opened, EventKind.clicked, EventKind.paused, EventKind.resumed, EventKind.changed)


def _read(session: Session, whom: Whom, kinds: tuple[EventKind, ...]) -> dict[int, list[Happened]]:
    told = case((col(Event.kind).in_(_TOLD), col(Event.detail)), else_=null())
    why = case((col(Event.kind) == EventKind.suppressed, col(Event.reasons)), else_="")
    query = (
        columns(
            col(Event.enrollment_id),
            type_coerce(col(Event.kind), String),
            func.coalesce(col(Event.day), 0),
            col(Event.who),
            _plainly(Event.occurred_at),
            func.coalesce(col(Event.delivery_id), 0),
            type_coerce(told, JSON),
            why,
        )
        .where(whom(Event.enrollment_id), col(Event.kind).in_(kinds))
        .order_by(col(Event.id))
    )
    events: dict[int, list[Happened]] = defaultdict(list)
    for person, *event in session.connection().execute(query).all():
        events[person].append(Happened(*event))
    return events


def _plainly(column: Any) -> Any:
    """A time as the driver gives it, naive UTC on SQLite: they are only held against each other here, by the million."""
    return type_coerce(col(column), DateTime)


def _young(session: Session, now: datetime) -> tuple[datetime, datetime]:
    """Since when a mail is too young for its chance: any mail, and the finish."""
    return _plain(session, now - CHANCE), _plain(session, now - JOINING)


def _plain(session: Session, at: datetime) -> datetime:
    return at.astimezone(UTC).replace(tzinfo=None) if session.get_bind().dialect.name == "sqlite" else at


@cache
def _name(mail: str, key: str) -> str:
    """A day's mail goes by its number, a copy by what it is a copy of."""
    return str(day_of(key)) if mail == "day" else mail


def _date(at: datetime) -> str:
    return (at if at.tzinfo is None else at.astimezone(UTC)).date().isoformat()
