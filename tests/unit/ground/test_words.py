"""What strangers typed or a relay said: what may be kept of it, and what may stand in somebody else's mail."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from challenge.errors import BadInput
from challenge.events import without_addresses
from challenge.signup import name


@pytest.mark.parametrize(
    "real",
    [
        "J.R.",
        "Ph.D. Ana",
        "St. John",
        "J. Robert",
        "José",
        "Þóra 2nd",
        "O'Neil",
        "Mary-Jane",
        "Ana Maria 2nd",
        "Анна",
        "אבי",
        "علی\u200cرضا",
        "क्\u200dष",
    ],
)
def test_it_keeps_real_names(real: str) -> None:
    assert name(real) == real


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("J.Robert", "J. Robert"), ("Mr.Bean", "Mr. Bean"), ("mr.bean", "mr. bean"), ("Dr.Li", "Dr. Li"), ("J.R.R.Tolkien", "J.R.R. Tolkien"),
        ("É.Zoë", "É. Zoë"), ("A.O'Neil Smith", "A. O'Neil Smith"), ("Ana M.Luz", "Ana M. Luz"), ("St.Mary-Ann", "St. Mary-Ann"),
    ],
)  # fmt: skip
def test_it_puts_the_blank_behind_an_initial_or_a_title(typed: str, kept: str) -> None:
    assert name(typed) == name(kept) == kept


@given(st.text("Jj.RrMmSs-' \u200c\u0301。/:w", max_size=12))
def test_it_keeps_nothing_that_it_would_not_take_as_it_is(typed: str) -> None:
    try:
        kept = name(typed)
    except BadInput:
        return
    assert name(kept) == kept
    assert not re.search(r"[^\s.。]\.[^\W\d_]{2}", "".join(c for c in kept if c not in "\u200c\u0301"))


@pytest.mark.parametrize(
    "typed", ["Ana\u202e", "\u2066Ana\u2069", "\u200fAna", "A\u00adna", "Ana\ufeff", "An\U000e0041a"]
)
def test_it_takes_out_what_turns_letters_around_or_hides(typed: str) -> None:
    assert name(typed) == "Ana"


@pytest.mark.parametrize(
    "typed",
    [
        "Win at evil.com", "EVIL.COM", "bit.ly/x", "t.co", "пример.рф", "evil。com", "evil｡com", "evil․com", "ＥＶＩＬ．ＣＯＭ",
        "g.page/prize", "T.CO/abc", "T.Co", "z.cash", "j.robert", "EVIL.Com", "J.Robert/x", "J.Robert.com", "J。Robert", "J\u200c.Robert", "Mr.bean2", "Mr.Bean.co.uk",
        "Win at T.CO", "1.2.3.4/login", "bit\u200c.ly/abc", "bit.\u200dly",
        "bit\ufe0f.ly", "bi\u0301t.l\u0301y", "bit\ufe12ly", "ftp:evil", "//evil", "tel:555", "call 0 800 555 019 9",
        "1 2 3 4", "①②③④", "ev\u200bil.com", "http:evil", "www.evil", "ann＠evil", "You won $500", "Call 5551234", "€ 20 for you",
    ],
)  # fmt: skip
def test_it_refuses_a_name_that_is_an_advertisement(typed: str) -> None:
    with pytest.raises(BadInput):
        name(typed)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("<ana@example.com> no such user", "<(address)> no such user"),
        ('"ana doe"@example.com unknown', "(address) unknown"),
        ('"a\\"b"@example.com', "(address)"),
        ("ana(at)example.com, ben [ AT ] example.org", "(address), (address)"),
        ("ana at example dot co dot uk is gone", "(address) is gone"),
        ("ana=40example.com ana%40example.com ana&#64;example.com", "(address) (address) (address)"),
        ("ana＠example.com ana_at_example.com", "(address) (address)"),
        ("refused at mx.example.com (at 10:00)", "refused at mx.example.com (at 10:00)"),
    ],
)
def test_it_keeps_no_address_however_it_is_written(said: str, kept: str) -> None:
    assert without_addresses(said) == kept
