"""Bits and what they stand for are the same: each operation held against plain sets and numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from challenge.stats.blocks import (
    SIDE_BY_SIDE,
    SIZE,
    Block,
    add_number,
    decode,
    encode,
    hour_of,
    side_by_side,
    total,
)
from challenge.stats.filter import EVERYBODY
from challenge.stats.funnel import Crowd

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
places = st.integers(0, SIZE - 1)
some = st.frozensets(places, max_size=12)
named = st.dictionaries(st.sampled_from(["people", "done:1", "sent:1"]), some, max_size=3)


def block(sets: dict[str, frozenset[int]]) -> Block:
    return Block({"bits": {name: bits(people) for name, people in sets.items()}})


def bits(people: frozenset[int]) -> int:
    return sum(1 << place for place in people)


def people_of(block: Block) -> dict[str, set[int]]:
    found = {
        name: {place for place in range(there.bit_length()) if there >> place & 1}
        for name, there in block.family("bits").items()
    }
    return {name: people for name, people in found.items() if people}


@given(named, some, named)
def test_people_are_taken_out_and_put_in_as_they_are_now(
    before: dict[str, frozenset[int]], gone: frozenset[int], fresh: dict[str, frozenset[int]]
) -> None:
    changed = {name: people & gone for name, people in fresh.items()}
    found = people_of(block(before).replaced(bits(gone), block(changed)))
    wanted = {
        name: set(before.get(name, ())) - gone | changed.get(name, set()) for name in before.keys() | fresh.keys()
    }
    assert found == {name: people for name, people in wanted.items() if people}


@given(st.dictionaries(st.integers(0, SIDE_BY_SIDE - 1), named, max_size=4))
def test_side_by_side_everybody_keeps_their_number(stored: dict[int, dict[str, frozenset[int]]]) -> None:
    found = people_of(side_by_side({place: block(sets) for place, sets in stored.items()}))
    wanted: dict[str, set[int]] = {}
    for place, sets in stored.items():
        for name, people in sets.items():
            wanted.setdefault(name, set()).update(place * SIZE + person for person in people)
    assert found == {name: people for name, people in wanted.items() if people}


@given(named)
def test_a_stored_block_is_the_same_when_it_is_read(sets: dict[str, frozenset[int]]) -> None:
    assert people_of(decode(encode(block(sets)))) == {name: set(people) for name, people in sets.items() if people}


@given(st.dictionaries(places, st.integers(0, 10**12), max_size=20), some)
def test_slices_add_up(amounts: dict[int, int], asked: frozenset[int]) -> None:
    found = Block()
    for place, amount in amounts.items():
        add_number(found.sets["paid:USD"], 1 << place, amount)
    assert total(found.family("paid:USD"), bits(asked)) == sum(amounts.get(place, 0) for place in asked)


@given(st.lists(st.dictionaries(places, st.integers(0, 65_535), max_size=9), max_size=3))
def test_the_median_over_blocks_is_the_lower_one_of_all(waits: list[dict[int, int]]) -> None:
    blocks = []
    for minutes in waits:
        made = Block()
        for place, wait in minutes.items():
            made.sets["bits"]["people"] |= 1 << place
            made.sets["bits"]["waited:done:1"] |= 1 << place
            add_number(made.sets["waits:done:1"], 1 << place, wait)
        blocks.append(made)
    everything = sorted(wait for minutes in waits for wait in minutes.values())
    wanted = everything[(len(everything) - 1) // 2] if everything else None
    assert Crowd(blocks, 5, EVERYBODY, NOW).median("done:1") == wanted


def test_a_mail_of_this_morning_is_no_chance_yet() -> None:
    young = {str(hour_of(NOW - timedelta(hours=3))): 0b001}
    made = Block({"bits": {"sent:1": 0b011, "done:1": 0b011, "stopped": 0b001}, "recent:1": young})
    assert made.had_chance("1", 5, NOW) == 0b010
    assert made.had_chance("1", 5, NOW + timedelta(hours=21)) == 0b011


def test_a_begun_hour_counts_whole() -> None:
    made = Block({"bits": {"sent:1": 1}, "recent:1": {str(hour_of(NOW + timedelta(minutes=30))): 1}})
    assert made.had_chance("1", 5, NOW + timedelta(hours=24, minutes=40)) == 0
    assert made.had_chance("1", 5, NOW + timedelta(hours=25)) == 1


def test_who_stopped_before_a_mail_waits_as_long_as_those_who_go_on() -> None:
    signed_up = NOW.date()
    made = Block({"bits": {"confirmed": 0b11, "stopped": 0b01}, "days": {signed_up.isoformat(): 0b11}})
    for mail, days in (("1", 3), ("5", 7), ("finish", 8), ("joined", 16)):
        midnight = datetime(2027, 3, 1, tzinfo=UTC) + timedelta(days=days)
        assert made.had_chance(mail, 5, midnight - timedelta(seconds=1)) == 0
        assert made.had_chance(mail, 5, midnight) == 0b01
    assert made.had_chance("confirm", 5, NOW) == 0
    assert made.had_chance("confirm", 5, NOW + timedelta(days=2)) == 0b11
