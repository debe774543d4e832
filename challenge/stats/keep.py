"""Which blocks are still true? Reads those that are, makes the others from the rows; the tick stores them.

Triggers mark a block in the transaction that changes one of its rows, so a block without a mark is what the rows say.
A mark is taken away before the block is read, and what was read is stored only by the last who took one away.
"""

from __future__ import annotations

import json
import secrets
import time
import zlib
from datetime import datetime
from typing import Any

from sqlmodel import Session, col, delete, select

from challenge.db import Database
from challenge.models import StatsBlock, StatsMark
from challenge.stats.blocks import Block, build

_FORM = "1"
_FEW = 500
_known: dict[tuple[str, str, int], tuple[str, Block]] = {}


def load(session: Session, challenge: str, length: int, now: datetime) -> list[Block]:
    """Every block of one challenge, as the rows are now. Blocks that were read before stay in the process."""
    stale = _stale(session, challenge, length)
    query = select(StatsBlock.number, StatsBlock.version).where(StatsBlock.challenge == challenge)
    stored = {number: version for number, version in session.exec(query) if number not in stale}
    place = str(session.get_bind().engine.url)
    _fetch(session, place, challenge, stored)
    return [
        build(session, number, challenge, length, now) if number in stale else _known[place, challenge, number][1]
        for number in sorted(stale | stored.keys())
    ]


def _fetch(session: Session, place: str, challenge: str, stored: dict[int, str]) -> None:
    """Reads the blocks that this process has not read in this version."""
    wanted = [number for number, version in stored.items() if _version(place, challenge, number) != version]
    for start in range(0, len(wanted), _FEW):
        few = col(StatsBlock.number).in_(wanted[start : start + _FEW])
        query = select(StatsBlock.number, StatsBlock.version, StatsBlock.data)
        for number, version, data in session.exec(query.where(StatsBlock.challenge == challenge, few)):
            _known[place, challenge, number] = (version, decode(data))


def refresh(database: Database, challenge: str, length: int, now: datetime, seconds: float = 0.1) -> int:
    """Stores blocks that are no longer true, for about so long; returns how many. The tick calls it; without it every
    number stays right and takes longer."""
    until = time.monotonic() + seconds
    with database.read() as session:
        numbers = sorted(_stale(session, challenge, length), reverse=True)
    for done, number in enumerate(numbers):
        if done and time.monotonic() > until:
            return done
        token = _claim(database, challenge, number)
        with database.read() as session:
            data = encode(build(session, number, challenge, length, now))
        with database.write() as session:
            row = session.get(StatsBlock, (challenge, number), with_for_update=True)
            if row is not None and row.version == token:  # else another process claimed it later, and read more
                row.form, row.data = form_of(length), data
    return len(numbers)


def _claim(database: Database, challenge: str, number: int) -> str:
    """Takes the marks away before the block is read: what changes from here on marks it again. Until it is stored its
    form says that it is not true."""
    token = secrets.token_hex(8)
    with database.write() as session:
        row = session.get(StatsBlock, (challenge, number), with_for_update=True)
        row = row or StatsBlock(challenge=challenge, number=number, form="", version="", data=b"")
        row.form, row.version = "", token
        session.add(row)
        marks = session.exec(select(StatsMark.mark).where(StatsMark.number == number)).all()
        session.exec(delete(StatsMark).where(col(StatsMark.number) == number, col(StatsMark.mark).in_(marks)))
    return token


def _stale(session: Session, challenge: str, length: int) -> set[int]:
    """The blocks that must be made from the rows: marked, or made for another form."""
    marked = session.exec(select(StatsMark.number).distinct())
    other = select(StatsBlock.number).where(StatsBlock.challenge == challenge, StatsBlock.form != form_of(length))
    return set(marked) | set(session.exec(other))


def recount(session: Session, challenge: str, length: int, now: datetime) -> list[int]:
    """The numbers of the blocks that were kept and are not what the rows say: there must be none."""
    different = []
    stale = _stale(session, challenge, length)
    for number in session.exec(select(StatsBlock.number).where(StatsBlock.challenge == challenge)).all():
        if number in stale:
            continue
        data = session.exec(
            select(StatsBlock.data).where(StatsBlock.challenge == challenge, StatsBlock.number == number)
        ).one()
        if _lasting(decode(data)) != _lasting(build(session, number, challenge, length, now)):
            different.append(number)
    return different


def form_of(length: int) -> str:
    """What a stored block was made by and for: another form is made anew."""
    return f"{_FORM}:{length}"


def encode(block: Block) -> bytes:
    """A block as compressed JSON; sets of people as hexadecimal digits."""
    plain = {
        "bits": _hex(block.bits),
        "words": {name: _hex(words) for name, words in block.words.items()},
        "days": _hex(block.days),
        "zones": _hex(block.zones),
        "recent": [[mail, hour, f"{people:x}"] for (mail, hour), people in block.recent.items()],
        "waits": {step: [f"{people:x}" for people in slices] for step, slices in block.waits.items()},
        "paid": block.paid,
    }
    return zlib.compress(json.dumps(plain, separators=(",", ":")).encode(), 1)


def decode(data: bytes) -> Block:
    plain = json.loads(zlib.decompress(data))
    return Block(
        bits=_sets(plain["bits"]),
        words={name: _sets(words) for name, words in plain["words"].items()},
        days=_sets(plain["days"]),
        zones=_sets(plain["zones"]),
        recent={(mail, hour): int(people, 16) for mail, hour, people in plain["recent"]},
        waits={step: [int(people, 16) for people in slices] for step, slices in plain["waits"].items()},
        paid=[(place, currency, amount) for place, currency, amount in plain["paid"]],
    )


def _hex(sets: dict[str, int]) -> dict[str, str]:
    return {name: f"{people:x}" for name, people in sets.items() if people}


def _sets(plain: dict[str, str]) -> dict[str, int]:
    return {name: int(people, 16) for name, people in plain.items()}


def _lasting(block: Block) -> dict[str, Any]:
    """A block without what depends on when it was made."""
    plain: dict[str, Any] = json.loads(zlib.decompress(encode(block)))
    del plain["recent"]
    return plain


def _version(place: str, challenge: str, number: int) -> str:
    return _known.get((place, challenge, number), ("", None))[0]
