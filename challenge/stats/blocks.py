"""Who reached what? People in blocks of 1,024, a bit for each person and step; every number of `stats` counts bits.

A bit index (O'Neil and Quass, "Improved query performance with variant indexes", SIGMOD 1997): a filter is an AND, a
count a population count, a median a walk down bit slices. A block follows from the rows alone and can be thrown away.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, case, null, type_coerce
from sqlalchemy import select as columns
from sqlmodel import Session, col

from challenge.journey import day_of
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Event, EventKind, Subscriber
from challenge.stats.country import country_of
from challenge.stats.filter import DIMENSIONS, NONE, Filter
from challenge.stats.journeys import Happened, Reached, fold

SHIFT = 10
SIZE = 1 << SHIFT
CHANCE = timedelta(hours=24)
_SLICES = 16
_LONGEST_WAIT = (1 << _SLICES) - 1
_KINDS = (
    EventKind.opened,
    EventKind.clicked,
    EventKind.completed,
    EventKind.undone,
    EventKind.rested,
    EventKind.bounced,
    EventKind.joined,
    EventKind.paused,
    EventKind.resumed,
    EventKind.changed,
)
_WORDS = tuple(name for name in DIMENSIONS if name not in ("source", "country"))


@dataclass
class Block:
    """The people with ids `number * 1024` and up. Every value is a set of people as bits.

    `bits`: name -> people (`people`, `confirmed`, `finished`, `joined`, `stopped`, `over`, and `sent:3`, `delivered:3`,
    `opened_people:3`, `opened_proxy:3`, `clicked:3`, `done:3`, `rested:3`, `sent:confirm`, `sent:finish`).
    `words`: dimension -> word -> people, `days`: day of sign-up -> people, `recent`: (mail, hour) -> those it left for
    in that hour, only of the last day before the block was made. `waits`: step -> slices of minutes, lowest first.
    `paid`: (person's bit number, currency, amount in the currency's smallest unit).
    """

    bits: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    words: dict[str, dict[str, int]] = field(default_factory=lambda: {name: defaultdict(int) for name in DIMENSIONS})
    days: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    zones: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    recent: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))
    waits: dict[str, list[int]] = field(default_factory=dict)
    paid: list[tuple[int, str, int]] = field(default_factory=list)

    def get(self, name: str) -> int:
        return self.bits.get(name, 0)

    def matching(self, filter: Filter) -> int:
        """The people a filter is about."""
        found = self.get("people")
        for name, word in filter.words.items():
            found &= self.words[name].get(word, 0)
        if found and (filter.since or filter.until):
            found &= _any(people for day, people in self.days.items() if filter.includes(date.fromisoformat(day)))
        return found

    def had_chance(self, mail: str, now: datetime) -> int:
        """Those who have had this mail for a day, and those who get no more mails: the chance has been."""
        young = _hour(now - CHANCE)
        too_young = _any(people for (name, hour), people in self.recent.items() if name == mail and hour > young)
        return (self.get(f"sent:{mail}") & ~too_young) | self.get("over")


def build(session: Session, number: int, challenge: str, length: int, now: datetime) -> Block:
    """The block as the rows have it now."""
    low = number << SHIFT
    within = (low, low + SIZE - 1)
    block = Block()
    sent = _sent(session, within)
    events = _events(session, within)
    people = (
        columns(*_person_columns(), col(Subscriber.timezone))
        .join(Subscriber, col(Subscriber.id) == col(Enrollment.subscriber_id))
        .where(col(Enrollment.id).between(*within), col(Enrollment.challenge) == challenge)
    )
    for id, state, source, signed_up_at, confirmed_at, *words, zone in session.execute(people):
        bit = 1 << (id - low)
        _describe(block, bit, source, signed_up_at, words, zone)
        if state in (EnrollmentState.stopped, EnrollmentState.ended):
            block.bits["over"] |= bit
        if state is EnrollmentState.stopped:
            block.bits["stopped"] |= bit
        if confirmed_at is not None:
            block.bits["confirmed"] |= bit
            _wait(block, "confirmed", bit, confirmed_at - signed_up_at)
        mails = sent.get(id, {})
        reached = fold(events.get(id, ()))
        _mark_mails(block, bit, mails, reached, now)
        _mark_steps(block, bit, mails, reached, confirmed_at, length)
        block.paid += [(id - low, currency, amount) for currency, amount in reached.paid]
    return block


def _person_columns() -> list[Any]:
    return [
        col(Enrollment.id),
        col(Enrollment.state),
        col(Enrollment.source),
        col(Enrollment.signed_up_at),
        col(Enrollment.confirmed_at),
        *(getattr(Enrollment, name) for name in _WORDS),
    ]


def _describe(block: Block, bit: int, source: str, signed_up_at: datetime, words: list[str], zone: str) -> None:
    block.bits["people"] |= bit
    for name, word in zip(_WORDS, words, strict=True):
        block.words[name][word or NONE] |= bit
    block.words["source"][source or "direct"] |= bit
    block.words["country"][country_of(zone)] |= bit
    block.zones[zone] |= bit
    block.days[signed_up_at.date().isoformat()] |= bit


def _mark_mails(
    block: Block, bit: int, mails: dict[str, tuple[int, datetime]], reached: Reached, now: datetime
) -> None:
    for mail, (delivery, at) in mails.items():
        block.bits[f"sent:{mail}"] |= bit
        if delivery not in reached.bounced:
            block.bits[f"delivered:{mail}"] |= bit
        if at > now - CHANCE:
            block.recent[mail, _hour(at)] |= bit


def _mark_steps(
    block: Block,
    bit: int,
    mails: dict[str, tuple[int, datetime]],
    reached: Reached,
    confirmed_at: datetime | None,
    length: int,
) -> None:
    for name in ("opened_people", "opened_proxy", "clicked", "rested"):
        for day in getattr(reached, name):
            block.bits[f"{name}:{day}"] |= bit
    for day, at in reached.done.items():
        block.bits[f"done:{day}"] |= bit
        if str(day) in mails:
            _wait(block, f"done:{day}", bit, at - mails[str(day)][1])
    last_done = max(reached.done.values(), default=confirmed_at)
    if sum(1 <= day <= length for day in reached.done) == length:
        block.bits["finished"] |= bit
        if last_done and confirmed_at:
            _wait(block, "finished", bit, last_done - confirmed_at)
    if reached.joined_at is not None:
        block.bits["joined"] |= bit
        if last_done:
            _wait(block, "joined", bit, reached.joined_at - last_done)


def _wait(block: Block, step: str, bit: int, wait: timedelta) -> None:
    """Keeps whole minutes, from 0 to 65,535 (45 days); a bit in `waited:STEP` says that there is a wait at all."""
    minutes = min(max(int(wait.total_seconds() // 60), 0), _LONGEST_WAIT)
    slices = block.waits.setdefault(step, [0] * _SLICES)
    block.bits[f"waited:{step}"] |= bit
    for place in range(_SLICES):
        if minutes >> place & 1:
            slices[place] |= bit


def _sent(session: Session, within: tuple[int, int]) -> dict[int, dict[str, tuple[int, datetime]]]:
    """enrollment -> mail -> (delivery, when it was sent): days by number, `confirm` (the first) and `finish`."""
    query = columns(
        col(Delivery.enrollment_id), col(Delivery.id), col(Delivery.mail), col(Delivery.key), col(Delivery.closed_at)
    ).where(
        col(Delivery.enrollment_id).between(*within),
        col(Delivery.state) == DeliveryState.sent,
        col(Delivery.mail).in_(("day", "confirm", "finish")),
    )
    sent: dict[int, dict[str, tuple[int, datetime]]] = defaultdict(dict)
    for person, id, mail, key, at in session.execute(query):
        name = str(day_of(key)) if mail == "day" else mail
        known = sent[person].get(name)
        if known is None or at < known[1]:
            sent[person][name] = (id, at)
    return sent


def _events(session: Session, within: tuple[int, int]) -> dict[int, list[Happened]]:
    told = case((col(Event.kind).in_((EventKind.undone, EventKind.joined)), col(Event.detail)), else_=null())
    query = (
        columns(
            col(Event.enrollment_id),
            col(Event.kind),
            col(Event.day),
            col(Event.who),
            col(Event.occurred_at),
            col(Event.delivery_id),
            type_coerce(told, JSON),
        )
        .where(col(Event.enrollment_id).between(*within), col(Event.kind).in_(_KINDS))
        .order_by(col(Event.id))
    )
    events: dict[int, list[Happened]] = defaultdict(list)
    for person, kind, day, who, at, delivery, detail in session.execute(query):
        events[person].append(Happened(kind, day or 0, who, at, delivery or 0, detail))
    return events


def _hour(at: datetime) -> int:
    """Hours since 1970, begun ones counted whole: nobody is said to have had their chance early."""
    return -int(-at.astimezone(UTC).timestamp() // 3600)


def _any(sets: Iterable[int]) -> int:
    found = 0
    for people in sets:
        found |= people
    return found
