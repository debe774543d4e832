"""How are people counted fast? A bit for each person and each thing that is true of them; every number counts bits.

A bit index (O'Neil and Quass, "Improved query performance with variant indexes", SIGMOD 1997): a filter is an AND, a
count a population count, a median a walk down bit slices, a sum the slices' counts. 1,024 people are stored as a row
(`keep`), 16,384 side by side are one block in memory: Python's integers have any width, so the code is the same.
"""

from __future__ import annotations

import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from challenge.stats.filter import Filter

SHIFT = 10
SIZE = 1 << SHIFT
SIDE_BY_SIDE = 16
CHANCE = timedelta(hours=24)
JOINING = timedelta(days=9)  # from the finish: two mornings to the invitation, and a week with it
NO_MAIL = "(none)"
GIVEN_UP = timedelta(days=14)  # a pause: so long after the mail would have come
_BYTES = SIZE // 8
_PLACES = ("", *map(str, range(64)))
_NONE: dict[str, int] = {}
Sets = dict[str, dict[str, int]]


def _empty() -> Sets:
    return defaultdict(lambda: defaultdict(int))


@dataclass
class Block:
    """`sets`: family -> name -> people as bits, counted from the block's first. The families:

    `bits`: `people`, `confirmed`, `finished`, `joined`, `stopped`, `paused`, `untracked`; `by_api`, `by_import` (came
    by no form), `unasked` (their yes was imported); of each MAIL (a day's goes by its number, the others by their name)
    `sent:3`, `delivered:3`, `bounced:3`, `opened_people:3`, `opened_proxy:3`, `clicked:3`, `way_out:3` (clicked what ends
    it); and of each day `done:3`, `in_time:3` (done before the next mail came), `rested:3`, `went_to:3` (their last deed
    came with this day's mail), `reminded:3` (clicked in another mail that is
    about it).
    `words:DIMENSION`: word -> people. `days`: day of sign-up -> people. `zones`: time zone -> people. `recent:MAIL`:
    hour since 1970 -> those it left for in that hour, only of the last day before the block was made (of the finish: the
    last nine). `mailed`: day -> those a mail left for. `left:WHY` and `left_on:WHY` (`journeys.WAYS_TO_LEAVE`): the mail
    after which, and the day on which -> those who are stopped. `copies:MAIL`: how often it was sent, less one, written
    like `waits`. `paused:MAIL`: day on which they would have got it -> people who are paused. `waits:STEP` and
    `paid:CURRENCY`: place of a binary digit -> those whose minutes, whose amount in the smallest unit, have a one there;
    `waited:STEP` in `bits` says that there is a wait at all.
    """

    sets: Sets = field(default_factory=_empty)

    def family(self, name: str) -> Mapping[str, int]:
        return self.sets.get(name, _NONE)

    def get(self, name: str) -> int:
        return self.sets["bits"].get(name, 0) if "bits" in self.sets else 0

    def matching(self, filter: Filter) -> int:
        """The people a filter is about."""
        found = self.get("people")
        for name, word in filter.words.items():
            found &= self.family(f"words:{name}").get(word, 0)
        if found and (filter.since or filter.until):
            found &= _any(people for day, people in self.family("days").items() if filter.includes(day))
        return found

    def had(self, mail: str, now: datetime, window: timedelta = CHANCE) -> int:
        """Those who have had this mail for so long."""
        young = (now - window).astimezone(UTC).timestamp() // 3600
        too_young = _any(people for hour, people in self.family(f"recent:{mail}").items() if int(hour) > young)
        sent = self.get(f"sent:{mail}")
        return sent ^ (sent & too_young)

    def had_chance(self, mail: str, length: int, now: datetime) -> int:
        """Those whose chance at this mail's step has been, in a challenge of `length` days, whether they took it or not:
        their mail is a day old, or it would be by now and they stopped before it came or never said yes.

        What people did must not decide when they are counted. So whoever did the step waits like everybody. Whoever
        stopped with the mail waits for the mail's day; whoever will not get it, until those who signed up on the same
        day and go on, at a mail a day, have had it for a day: counted at once they would be the only ones there, and all
        of them lost. That the journey ended says nothing: it ends sooner for those who did all days and joined. A yes
        that no mail asked for (a list that was imported) waits for the second day too. Whoever is paused waits 14 days
        longer: a pause must not keep a rate up for ever.

        `joined` is the finish with nine days in place of one: the invitation comes two mornings after it.
        """
        mail, window = ("finish", JOINING) if mail == "joined" else (mail, CHANCE)
        sent = self.get(f"sent:{mail}")
        had = self.had(mail, now, window)
        people, confirmed = self.get("people"), self.get("confirmed")
        without = self.get("stopped") | (confirmed if mail == "confirm" else people ^ (people & confirmed))
        if without := without ^ (without & sent):
            mornings = 0 if mail == "confirm" else length + 1 if mail == "finish" else int(mail)
            last = (now.astimezone(UTC) - timedelta(days=mornings + 1) - window).date().isoformat()
            later = _any(people for day, people in self.family("days").items() if day > last)
            had |= without ^ (without & later)
        if paused := self.family(f"paused:{mail}"):
            last = (now.astimezone(UTC) - GIVEN_UP - (window - CHANCE)).date().isoformat()
            long = _any(people for day, people in paused.items() if day <= last)
            had |= long ^ (long & sent)
        return had

    def replaced(self, people: int, fresh: Block) -> Block:
        """The block with these people as `fresh` has them, who may be in no set at all any more."""
        made: Sets = {}
        for family in self.sets.keys() | fresh.sets.keys():
            sets: dict[str, int] = {}
            for name, there in self.family(family).items():
                gone = there & people
                if left := there ^ gone if gone else there:
                    sets[name] = left
            for name, there in fresh.family(family).items():
                sets[name] = sets.get(name, 0) | there
            if sets:
                made[family] = sets
        return Block(made)

    def with_mails(self, sent: Block) -> tuple[Block, int]:
        """The block with mails that have left since; and those of whom more has to be asked: whoever is new here, did the
        day already, is paused or stopped, was never asked, or got the mail before."""
        unclear = 0
        for name, people in sent.family("bits").items():
            what, _, mail = name.partition(":")
            if what == "sent":
                known = people & self.get("people")
                asked = self.get(name) | self.get(f"done:{mail}") | self.get("unasked")
                asked |= self.get("paused") | self.get("stopped")
                unclear |= (people ^ known) | (known & asked)
        return self.replaced(0, sent.only(lambda _: True, ~unclear)), unclear

    def only(self, is_kept: Callable[[str], bool], people: int) -> Block:
        """The part of it in the families that are kept, of these people."""
        found = {
            family: {name: mine for name, there in sets.items() if (mine := there & people)}
            for family, sets in self.sets.items()
            if is_kept(family)
        }
        return Block({family: sets for family, sets in found.items() if sets})


def side_by_side(blocks: Mapping[int, Block | bytes]) -> Block:
    """Place -> block, or what `encode` made of it, as one wide block."""
    wide: dict[str, dict[str, bytearray]] = defaultdict(dict)
    width = SIDE_BY_SIDE * _BYTES
    for place, block in blocks.items():
        start, end = place * _BYTES, (place + 1) * _BYTES
        for family, sets in (_opened(block) if isinstance(block, bytes) else _digits(block)).items():
            there = wide[family]
            for name, people in sets.items():
                if name not in there:
                    there[name] = bytearray(width)
                there[name][start:end] = people
    return Block(
        {
            family: {name: int.from_bytes(there, "little") for name, there in sets.items()}
            for family, sets in wide.items()
        }
    )


def total(slices: Mapping[str, int], people: int) -> int:
    """The sum of the numbers these people have in the slices."""
    return sum((people & there).bit_count() << int(place) for place, there in slices.items())


def add_number(slices: dict[str, int], bit: int, number: int) -> None:
    """Gives the person of this bit a number, 0 or more."""
    while number:
        lowest = number & -number
        slices[_PLACES[lowest.bit_length()]] |= bit
        number ^= lowest


def encode(block: Block) -> bytes:
    """A stored block: the names as a line of JSON, then each set's 128 bytes in that order; compressed."""
    digits = _digits(block)
    names = {family: list(sets) for family, sets in digits.items()}
    head = json.dumps(names, separators=(",", ":")).encode() + b"\n"
    return zlib.compress(head + b"".join(people for sets in digits.values() for people in sets.values()), 1)


def decode(data: bytes) -> Block:
    return Block(
        {
            family: {name: int.from_bytes(people, "little") for name, people in sets.items()}
            for family, sets in _opened(data).items()
        }
    )


def _digits(block: Block) -> dict[str, dict[str, bytes]]:
    found = {
        family: {name: people.to_bytes(_BYTES, "little") for name, people in sets.items() if people}
        for family, sets in block.sets.items()
    }
    return {family: sets for family, sets in found.items() if sets}


def _opened(data: bytes) -> dict[str, dict[str, bytes]]:
    plain = zlib.decompress(data)
    start = plain.index(b"\n") + 1
    found: dict[str, dict[str, bytes]] = {}
    for family, names in json.loads(plain[:start]).items():
        sets = found[family] = {}
        for name in names:
            sets[name] = plain[start : start + _BYTES]
            start += _BYTES
    return found


def hour_of(at: datetime) -> int:
    """Hours since 1970, begun ones counted whole: nobody is said to have had their chance early."""
    return -int(-at.astimezone(UTC).timestamp() // 3600)


def _any(sets: Iterable[int]) -> int:
    found = 0
    for people in sets:
        found |= people
    return found
