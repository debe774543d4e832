"""Our own marks are found in whatever comes back, and nobody else can make one."""

from __future__ import annotations

import pytest

from challenge.inbound.marks import Mark, find_mark
from challenge.programme.definition import shipped
from challenge.rendering.links import Address
from challenge.rendering.message import Composer
from challenge.settings import Settings
from challenge.tokens import Tokens

SETTINGS = Settings(secret_key="k" * 40, base_url="https://challenge.example", mail_from="Ada <ada@challenge.example>")
COMPOSER = Composer(SETTINGS, shipped())
TOKENS = COMPOSER.tokens
KEYS = (
    "confirm",
    "confirm:2",
    "welcome",
    "already:1:day-3",
    "resend:2:day-3",
    "resend:1:already:1:day-3",
    "day-3",
    "nudge:day-3",
    "rest:2027-03-01",
    "finish",
    "comeback",
)


def marks(key: str) -> dict[str, str]:
    to = Address(70_001, 900_001, key)
    return {
        "verp": COMPOSER.envelope_sender(to),
        "message-id": COMPOSER.message_id(to),
        "unsubscribe link": f"List-Unsubscribe: <{COMPOSER.links.unsubscribe_url(to)}>,",
    }


@pytest.mark.parametrize("key", KEYS)
def test_it_finds_each_mark_alone_and_says_whose_mail_it_was(key: str) -> None:
    for by, text in marks(key).items():
        found = find_mark(f"Hello\r\nX: {text}\r\n", TOKENS)
        assert found is not None, (by, text)
        assert found.by == by
        assert (found.delivery_id or 900_001, found.enrollment_id or 70_001) == (900_001, 70_001)
        assert found.key in ("", key)
        assert found.delivery_id or found.key == key


@pytest.mark.parametrize("by", ["verp", "message-id", "unsubscribe link"])
def test_it_believes_no_mark_with_one_letter_changed(by: str) -> None:
    text = marks("day-3")[by]
    secret = {"verp": text.partition("@")[0], "message-id": text.partition("@")[0], "unsubscribe link": text}[by]
    spots = [at for at, letter in enumerate(secret) if letter.isalnum() and at > secret.find("unsubscribe/") + 11]
    for at in spots:
        other = "b" if text[at] != "b" else "c"
        assert find_mark(text[:at] + other + text[at + 1 :], TOKENS) is None, at


def test_it_finds_them_where_others_have_changed_letters_or_added_to_them() -> None:
    verp = marks("day-3")["verp"]
    for text in (
        verp.upper(),
        f"SRS0=ab12=XY=challenge.example={verp.replace('@challenge.example', '@forward.example')}",
    ):
        assert find_mark(text, TOKENS) == Mark(900_001, None, "verp")


def test_it_still_knows_old_marks_after_the_key_changed() -> None:
    rotated = Tokens(("n" * 40, "k" * 40))
    for text in marks("day-3").values():
        assert find_mark(text, rotated) == find_mark(text, TOKENS)
        assert find_mark(text, Tokens(("n" * 40,))) is None


def test_it_gives_up_on_endless_text() -> None:
    assert find_mark("b1-" + "a" * 16 + "@x " * 50_000, TOKENS) is None
    assert find_mark("1.day-1." * 100_000, TOKENS) is None
    assert find_mark("b1-aaaaaaaaaaaaaaaa@ " * 50 + marks("day-3")["verp"], TOKENS) is None


def test_it_prefers_the_envelope() -> None:
    mine, other = marks("day-3"), Address(5, 6, "day-1")
    found = find_mark(COMPOSER.message_id(other) + " " + mine["verp"], TOKENS)
    assert found == Mark(900_001, None, "verp")
