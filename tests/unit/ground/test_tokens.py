from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from challenge.errors import BadToken
from challenge.tokens import Purpose, Tokens

TOKENS = Tokens(["one secret"])


@given(st.sampled_from(Purpose), st.lists(st.integers(0, 2**63), max_size=3))
def test_it_reads_back_what_it_signed(purpose: Purpose, numbers: list[int]) -> None:
    assert TOKENS.read(purpose, TOKENS.sign(purpose, *numbers), len(numbers)) == tuple(numbers)


def test_it_refuses_every_flipped_bit_and_every_truncation() -> None:
    token = TOKENS.sign(Purpose.day, 70_000, 3)
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadToken):
            TOKENS.read(Purpose.day, base64.urlsafe_b64encode(changed).decode().rstrip("="), 2)
    for length in range(len(token)):
        with pytest.raises(BadToken):
            TOKENS.read(Purpose.day, token[:length], 2)


@given(st.text(max_size=80))
def test_it_refuses_any_text(text: str) -> None:
    with pytest.raises(BadToken):
        TOKENS.read(Purpose.day, text, 1)


def test_it_keeps_purposes_apart() -> None:
    with pytest.raises(BadToken):
        TOKENS.read(Purpose.confirm, TOKENS.sign(Purpose.unsubscribe, 1), 1)


def test_it_verifies_with_every_key_and_signs_with_the_first() -> None:
    old, both, new = Tokens(["old"]), Tokens(["new", "old"]), Tokens(["new"])
    assert both.read(Purpose.join, old.sign(Purpose.join, 7), 1) == (7,)
    assert new.read(Purpose.join, both.sign(Purpose.join, 7), 1) == (7,)
    assert both.is_tag("a@b", old.tag("a@b"))
    assert not new.is_tag("a@b", old.tag("a@b"))
