"""Which blocks are still true? Keeps them in memory and in rows, and asks the other tables only about who has changed.

Triggers write a mark with the person's id in the transaction that changes one of their rows. So a stored block is what
the rows say of everybody in it without a mark. A process keeps what it has read: it asks again for blocks stored since,
and for people marked since; where all that changed is a mail that left, the mail is read alone. `refresh` puts the marked people into the stored blocks and takes away the marks it read,
unless another has stored the same block meanwhile; a mark written later stays.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import bindparam
from sqlalchemy import select as columns
from sqlmodel import Session, col, delete, func, select

from challenge.db import Database, among, inserting
from challenge.models import Enrollment, StatsBlock, StatsMark
from challenge.stats.blocks import SHIFT, SIDE_BY_SIDE, SIZE, Block, decode, encode, side_by_side
from challenge.stats.rows import build, sent_since

_FORM = "5"
_FEW = 500
_AT_ONCE = 2000
_STORED_AT_ONCE = 16
_MOST_MARKS = 20_000
_LOOKS = 3
_ALL = (1 << SIZE) - 1
_MARKS: Any = columns(col(StatsMark.id), col(StatsMark.enrollment_id), col(StatsMark.delivery_id))
Change = tuple[int, int | None]  # a person, and the mail that left if that is all
_table: Any = StatsBlock.__table__  # type: ignore[attr-defined]
_lock = threading.Lock()


@dataclass(frozen=True)
class _Known:
    """What a process has read: the version of each stored block, the marks whose people it looked at since, and the
    people themselves, 16 blocks side by side under a number."""

    versions: Mapping[int, str] = field(default_factory=dict)
    marks: Mapping[int, Change] = field(default_factory=dict)
    wide: Mapping[int, Block] = field(default_factory=dict)


_known: WeakKeyDictionary[Any, dict[tuple[str, int], _Known]] = WeakKeyDictionary()


def load(session: Session, challenge: str, length: int, now: datetime) -> list[Block]:
    """Everybody in one challenge, as the rows are now; the same for a whole session that only reads, so that a page's
    numbers fit together."""
    place = ("people", challenge, length)
    if place in session.info:
        return session.info[place]  # type: ignore[no-any-return]
    engine = session.get_bind().engine
    with _lock:
        kept = _known.setdefault(engine.pool, {})
        kept[challenge, length] = found = _look(session, challenge, length, now, kept.get((challenge, length)))
    people = [block for _, block in sorted(found.wide.items())]
    if not engine.get_execution_options().get("writes"):
        session.info[place] = people
    return people


def _look(session: Session, challenge: str, length: int, now: datetime, known: _Known | None) -> _Known:
    """What is known after another look. Marks are read first: whoever stores a block takes marks away, and with the
    block that was there before those people would be forgotten."""
    known = known or _Known()
    marks = {mark: (person, mail) for mark, person, mail in session.connection().execute(_MARKS).all()}
    query = columns(col(StatsBlock.number), col(StatsBlock.version)).where(col(StatsBlock.challenge) == challenge)
    versions: dict[int, str] = _pairs(session, query)
    changed = {number for number, version in versions.items() if known.versions.get(number) != version}
    fresh: dict[int, Block | bytes] = {number: Block() for number in known.versions.keys() - versions.keys()}
    for number, version, data in _stored(session, challenge, length, changed):
        fresh[number], versions[number] = data, version
    for number in changed - fresh.keys():
        fresh[number] = build(session, _people_of(number), challenge, length, now).get(number, Block())
    wide = _put_in(known.wide, dict.fromkeys(fresh, _ALL), fresh)
    dirty, mails = _sorted_out(
        change for mark, change in marks.items() if mark not in known.marks or change[0] >> SHIFT in changed
    )
    for some in _in_parts(sorted(mails)):
        sent, unclear = sent_since(session, some, now)
        wide, more = _with_mails(wide, sent)
        dirty |= unclear | more
    for some in _in_parts(sorted(dirty)):
        wide = _put_in(wide, _as_bits(some), build(session, some, challenge, length, now))
    return _Known(versions, marks, wide)


def _stored(session: Session, challenge: str, length: int, numbers: Iterable[int]) -> Iterator[tuple[int, str, bytes]]:
    """Those of these blocks that were made in this form, with their versions."""
    ordered = sorted(numbers)
    for start in range(0, len(ordered), _FEW):
        query = columns(col(StatsBlock.number), col(StatsBlock.version), col(StatsBlock.data)).where(
            col(StatsBlock.challenge) == challenge,
            col(StatsBlock.form) == form_of(length),
            among(session, StatsBlock.number, ordered[start : start + _FEW]),
        )
        yield from session.connection().execute(query)


def _put_in(
    wide: Mapping[int, Block], people: Mapping[int, int], fresh: Mapping[int, Block | bytes]
) -> Mapping[int, Block]:
    """Wide blocks with these people (number of a stored block -> bits) as they are in `fresh`."""
    gone: dict[int, int] = defaultdict(int)
    come: dict[int, dict[int, Block | bytes]] = defaultdict(dict)
    for number, bits in people.items():
        where, place = divmod(number, SIDE_BY_SIDE)
        gone[where] |= bits << place * SIZE
        if number in fresh:
            come[where][place] = fresh[number]
    return {
        **wide,
        **{where: wide.get(where, Block()).replaced(bits, side_by_side(come[where])) for where, bits in gone.items()},
    }


def _with_mails(wide: Mapping[int, Block], sent: Mapping[int, Block]) -> tuple[Mapping[int, Block], set[int]]:
    """Wide blocks with mails that have left since, and the people of whom more has to be asked."""
    come: dict[int, dict[int, Block | bytes]] = defaultdict(dict)
    for number, block in sent.items():
        where, place = divmod(number, SIDE_BY_SIDE)
        come[where][place] = block
    made, unclear = dict(wide), set()
    for where, blocks in come.items():
        made[where], people = made.get(where, Block()).with_mails(side_by_side(blocks))
        unclear |= _people_in(people, where * SIDE_BY_SIDE * SIZE)
    return made, unclear


def _sorted_out(changes: Iterable[Change]) -> tuple[set[int], set[int]]:
    """(People to ask everything about, mails that are all that changed for others)."""
    changed = list(changes)
    people = {person for person, mail in changed if mail is None}
    return people, {mail for person, mail in changed if mail is not None and person not in people}


def _people_in(bits: int, first: int) -> set[int]:
    return {first + place for place, bit in enumerate(reversed(f"{bits:b}")) if bit == "1"} if bits else set()


def _pairs(session: Session, query: Any) -> dict[Any, Any]:
    return dict(session.connection().execute(query).all())


def _as_bits(people: Iterable[int]) -> dict[int, int]:
    found: dict[int, int] = defaultdict(int)
    for person in people:
        found[person >> SHIFT] |= 1 << (person & (SIZE - 1))
    return found


def _people_of(number: int) -> range:
    return range(number << SHIFT, (number + 1) << SHIFT)


def _in_parts(people: list[int]) -> Iterator[list[int]]:
    rest = iter(people)
    while some := list(islice(rest, _AT_ONCE)):
        yield some


def refresh(
    database: Database, challenge: str, length: int, now: datetime, seconds: float = 0.1, least: int = 64
) -> int:
    """Puts marked people into the stored blocks, for about so long, those with most marks first; returns how many blocks
    it stored. Fewer than `least` marks are left: reading them costs less than storing. The workers' loop calls it, and
    every number is right without it: what it saves is the time of a process that looks for the first time or after long."""
    until = time.monotonic() + seconds
    with database.read() as session:
        marks = _marks(session, _MOST_MARKS)
        old = session.exec(
            select(StatsBlock.number).where(StatsBlock.challenge == challenge, StatsBlock.form != form_of(length))
        ).all()
    if not old and sum(map(len, marks.values())) < least:
        return 0
    numbers = sorted({*marks, *old}, key=lambda number: (-len(marks.get(number, ())), -number))
    stored = 0
    for some in _batches({number: marks.get(number, {}) for number in numbers}):
        stored += _store(database, challenge, length, now, some)
        if time.monotonic() > until:
            break
    return stored


def _batches(marks: Mapping[int, Mapping[int, Change]]) -> Iterator[dict[int, Mapping[int, Change]]]:
    """Blocks to store in one transaction: sixteen with few marks each, or one where everybody is marked."""
    batch: dict[int, Mapping[int, Change]] = {}
    for number, mine in marks.items():
        if batch and (len(batch) == _STORED_AT_ONCE or sum(map(len, batch.values())) + len(mine) > SIZE):
            yield batch
            batch = {}
        batch[number] = mine
    if batch:
        yield batch


def _marks(session: Session, most: int | None = None) -> dict[int, dict[int, Change]]:
    """Block number -> mark -> what changed, the oldest marks."""
    found: dict[int, dict[int, Change]] = defaultdict(dict)
    for mark, person, mail in session.connection().execute(_MARKS.order_by(col(StatsMark.id)).limit(most)).all():
        found[person >> SHIFT][mark] = (person, mail)
    return found


def _store(
    database: Database, challenge: str, length: int, now: datetime, marks: Mapping[int, Mapping[int, Change]]
) -> int:
    """Reads the rows after the marks and writes blocks and the end of those marks together: a later change has another
    mark, and whoever stored a block in between (its version is another) has the last word on it."""
    with database.read() as session:
        rows = columns(col(StatsBlock.number), col(StatsBlock.version)).where(
            col(StatsBlock.challenge) == challenge, among(session, StatsBlock.number, list(marks))
        )
        before: dict[int, str] = _pairs(session, rows)
        there = {number: (version, data) for number, version, data in _stored(session, challenge, length, marks)}
        before |= {number: version for number, (version, _) in there.items()}
        blocks = {number: decode(data) for number, (_, data) in there.items()}
        people, mails = _sorted_out(change for number in there for change in marks[number].values())
        sent, unclear = sent_since(session, sorted(mails), now) if mails else ({}, set())
        people |= unclear
        for number in sent:
            blocks[number], bits = blocks[number].with_mails(sent[number])
            people |= _people_in(bits, number << SHIFT)
        changed = build(session, sorted(people), challenge, length, now) if people else {}
        gone = _as_bits(people)
        made = {
            number: encode(block.replaced(gone.get(number, 0), changed.get(number, Block())))
            for number, block in blocks.items()
        }
        for number in marks.keys() - there.keys():
            made[number] = encode(build(session, _people_of(number), challenge, length, now).get(number, Block()))
    with database.write() as session:
        mine = _still(session, challenge, before, made.keys())
        if mine:
            write = _table.update().where(_table.c.challenge == challenge, _table.c.number == bindparam("which"))
            session.connection().execute(
                write.values(form=form_of(length), version=bindparam("token"), data=bindparam("made")),
                [{"which": number, "token": secrets.token_hex(8), "made": made[number]} for number in mine],
            )
            done = [mark for number in mine for mark in marks[number]]
            session.connection().execute(delete(StatsMark).where(among(session, StatsMark.id, done)))
    return len(mine)


def _still(session: Session, challenge: str, before: Mapping[int, str], numbers: Iterable[int]) -> list[int]:
    """Those of these blocks that nobody has stored since their version was read; locked, and there from now on."""
    new = [number for number in sorted(numbers) if number not in before]
    if new:
        row = {"challenge": challenge, "form": "", "version": "", "data": b""}
        session.connection().execute(
            inserting(session, _table).on_conflict_do_nothing(), [row | {"number": number} for number in new]
        )
    query = columns(col(StatsBlock.number), col(StatsBlock.version)).where(
        col(StatsBlock.challenge) == challenge, among(session, StatsBlock.number, sorted(numbers))
    )
    locked = session.connection().execute(query.order_by(col(StatsBlock.number)).with_for_update())
    return [number for number, version in locked if before.get(number, "") == version]


def recount(session: Session, challenge: str, length: int, now: datetime) -> list[int]:
    """The numbers of the blocks that are not what the rows say of people without a mark: there must be none. What
    differs is looked at twice more, for on PostgreSQL somebody may change, or be stored, between two statements."""
    last = session.exec(select(func.max(Enrollment.id))).one() or 0
    other = select(StatsBlock.number).where(StatsBlock.challenge == challenge, StatsBlock.form != form_of(length))
    different = sorted(set(range((last >> SHIFT) + 1)) - set(session.exec(other).all()))
    for _ in range(_LOOKS):
        marked = {
            number: _as_bits(person for person, _ in found.values())[number]
            for number, found in _marks(session).items()
        }
        different = [
            number
            for number in different
            if _differs(session, number, _ALL ^ marked.get(number, 0), challenge, length, now)
        ]
    return different


def _differs(session: Session, number: int, people: int, challenge: str, length: int, now: datetime) -> bool:
    kept = next((decode(data) for _, _, data in _stored(session, challenge, length, [number])), Block())
    true = build(session, _people_of(number), challenge, length, now).get(number, Block())
    return kept.only(_lasts, people) != true.only(_lasts, people)


def _lasts(family: str) -> bool:
    """Whether a family does not depend on when the block was made."""
    return not family.startswith("recent:")


def form_of(length: int) -> str:
    """What a stored block was made by and for: another form is made anew."""
    return f"{_FORM}:{length}"
