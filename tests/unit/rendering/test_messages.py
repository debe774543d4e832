"""The bytes of every mail: planned headers only, lines within limits, equal parts, the same on a retry."""

from __future__ import annotations

import email
import email.policy
import re
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from challenge.errors import BadInput
from challenge.programme.definition import shipped
from challenge.programme.reading import grade
from challenge.rendering.links import Address
from challenge.rendering.message import Composer, Letter
from challenge.rendering.quoted import holed, quoted
from challenge.rendering.templates import Content
from challenge.settings import Settings
from challenge.signup import address as checked_address
from challenge.signup import name as checked_name

SETTINGS = Settings(
    secret_key="k" * 40,
    base_url="https://challenge.example",
    mail_from="Dr. Gretchen Hawley <hello@challenge.example>",
    mail_reply_to="hello@challenge.example",
    mail_postal_address="1 Main Street, Springfield",
)
COMPOSER = Composer(SETTINGS, shipped())
NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
CONTENTS = [
    *(
        Content("day", day=day, position=position, done=tuple(range(1, day)))
        for day in range(1, 6)
        for position in ("seated", "standing", "lying")
    ),
    *(Content(mail) for mail in ("confirm", "welcome", "comeback")),
    Content("already", stage="before", next_on="2027-03-04"),
    Content("already", day=3, done=(1,), stage="day", next_on="2027-03-04"),
    Content("already", done=(1,), stage="after"),
    Content("already", day=3, done=(1,), stage="paused"),
    Content("rest", day=2, done=(1,)),
    Content("nudge", day=2, done=(1,)),
    Content("nudge", day=2, done=(1,), pace="when_done"),
    Content("day", day=3, done=(1,)),
    Content("invitation", done=(1, 3)),
    *(Content("welcome", pace=pace) for pace in ("every_other_day", "weekdays", "weekly", "when_done")),
    Content("finish", done=(1, 3)),
    Content("finish", done=(1, 2, 3, 4, 5)),
]
ONCE = (
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "List-ID",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "MIME-Version",
)


def letter(content: Content, name: str = "", address: str = "ana@example.com") -> Letter:
    key = f"day-{content.day}" if content.mail == "day" else content.mail
    full = Content(**{**content._asdict(), "has_name": bool(name)})
    return Letter(Address(70_001, 900_001, key), address, name, full, NOON)


def parsed(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)


def parts(data: bytes) -> tuple[str, str]:
    text, page = parsed(data).iter_parts()
    assert (text.get_content_type(), page.get_content_type()) == ("text/plain", "text/html")
    return text.get_content(), page.get_content()


@pytest.mark.parametrize("content", CONTENTS, ids=lambda c: f"{c.mail}-{c.day}-{c.position}-{len(c.done)}")
def test_it_composes_every_mail_by_the_rules(content: Content) -> None:
    data = COMPOSER.compose(letter(content, "Zoë")).data
    assert data == COMPOSER.compose(letter(content, "Zoë")).data
    head, _, body = data.partition(b"\r\n\r\n")
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", data) is None
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert all(byte < 128 for byte in data)
    assert not any(line.startswith(b".") for line in body.split(b"\r\n"))
    message = parsed(data)
    assert [len(message.get_all(name) or []) for name in ONCE] == [1] * len(ONCE)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert re.match(rb"(?s).*\r\nList-Unsubscribe: <https://challenge\.example/unsubscribe/[\w-]+>,\r\n <mailto:", head)
    assert message["Auto-Submitted"] == "auto-generated"
    text, page = parts(data)
    links = set(re.findall(r'href="(https://[^"]+)"', page))
    assert links <= set(re.findall(r"https://\S+", text))
    assert any("/unsubscribe/" in link for link in links)
    assert "1 Main Street" in text
    assert "1 Main Street" in page
    assert len(page.encode()) < 80_000
    assert page.count("<h1") == 1
    assert "xzq" not in text + page
    assert not re.search(r"display:\s*none|font-size:\s*0|visibility:\s*hidden", page)
    assert re.search(r'<html lang="en" dir="ltr">', page)
    assert all('alt="' in image for image in re.findall(r"<img[^>]*>", page))


@pytest.mark.parametrize("content", CONTENTS, ids=lambda c: f"{c.mail}-{c.day}-{c.position}-{len(c.done)}")
def test_it_can_be_read_with_a_tired_head(content: Content) -> None:
    _, text, _ = COMPOSER.templates.shown(content, "", COMPOSER.links, letter(content).to)
    own = text.split("\n--\n")[0]
    words = re.sub(r"https?://\S+", "", own)
    assert grade(words) <= 6


@given(st.text(max_size=300))
@settings(max_examples=300)
def test_it_never_lets_a_name_reach_a_header(name: str) -> None:
    """Whatever the sign-up lets through, and even what it does not."""
    data = COMPOSER.compose(letter(CONTENTS[0], name)).data
    head, _, body = data.partition(b"\r\n\r\n")
    names = [line.split(b":")[0] for line in head.split(b"\r\n") if not line.startswith(b" ")]
    assert len(names) == 14
    assert re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", data) is None
    assert max(map(len, body.split(b"\r\n"))) <= 76
    text, _ = parts(data)
    if name.isprintable() and name.strip():
        told, plain = (re.sub("[\u2066-\u2069]", "", one) for one in (text, name))  # marks of the writing direction
        assert f"Good morning, {plain}. Today" in told


@given(st.text(max_size=200))
def test_it_accepts_names_and_refuses_tricks(name: str) -> None:
    try:
        kept = checked_name(name)
    except BadInput:
        return
    assert "=?" not in kept
    assert all(c.isprintable() or c.isspace() or ord(c) > 127 for c in kept)
    assert "\n" not in kept


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=400))
def test_it_encodes_so_that_others_can_decode(text: str) -> None:
    import quopri

    expected = text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    assert quopri.decodestring(quoted(text)).decode() == expected


@given(st.lists(st.text(max_size=100), min_size=2, max_size=5))
def test_it_fills_holes_without_moving_anything_else(pieces: list[str]) -> None:
    import quopri

    clean = [piece.replace("\r", "").replace("Q", "") for piece in pieces]
    clean = [piece.encode("utf-8", "replace").decode() for piece in clean]
    filled = holed("QMQ".join(clean), {"m": "QMQ"}).fill({"m": b"token=\r\n"})
    assert quopri.decodestring(filled).decode().replace("\r\n", "\n") == "token".join(clean).replace("\r\n", "\n")
    assert max(map(len, filled.split(b"\r\n"))) <= 76


def test_it_keeps_message_ids_stable_and_single() -> None:
    ids = {
        COMPOSER.message_id(Address(n, n + 7, key))
        for n in range(1, 50)
        for key in ("day-1", "nudge:day-1", "rest:2027-03-01")
    }
    assert len(ids) == 49 * 3
    assert all(re.fullmatch(r"<[\w.-]+@challenge\.example>", one) for one in ids)


@pytest.mark.parametrize(
    "typed", ["max@straße.de", "a@βόλος.com", "A@BÜCHER.example", "a@faß.café.example", "a@xn--strae-oqa.de"]
)
def test_it_mails_the_domain_that_was_compared(typed: str) -> None:
    """Of two readings of one domain the second belongs to somebody else (IDNA 2003: strasse.de)."""
    shown, compared = checked_address(typed)
    message = COMPOSER.compose(Letter(Address(1, 2, "day-1"), shown, "", Content("day", day=1), NOON))
    assert message.recipient.rpartition("@")[2] == compared.rpartition("@")[2]
    assert f"To: {message.recipient}\r\n".encode() in message.data
