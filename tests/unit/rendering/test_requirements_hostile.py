"""Whatever people type and whatever the content says: no unplanned header, no bare CR or LF, no long line, no crash.

R13, R14, R24, R26, on the bytes; what cannot be made safe is refused with a sentence before it is sent."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from challenge.errors import BadInput, ChallengeError, SettingsError
from challenge.importing import COLUMNS
from challenge.programme.definition import Challenge, shipped
from challenge.rendering.links import Address
from challenge.rendering.message import Composer, Letter
from challenge.rendering.templates import Content
from challenge.settings import Settings, read_settings
from challenge.signup import read

SETTINGS = Settings(secret_key="k" * 40, base_url="https://challenge.example", mail_from="Ada <ada@challenge.example>")
COMPOSER = Composer(SETTINGS, shipped())
NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
PLANNED = 13  # no Reply-To is set here
TRICKS = (
    "=?utf-8?q?x=0d=0aBcc:_e@x.example?=",
    "=?utf-8?b?DQpCY2M6IGVAeA==?=",
    "Ana\r\nBcc: eve@x.example",
    "Ana\nBcc: eve@x.example\n\n<b>",
    "\r.\r",
    "\n.\n",
    "\r\n.\r\n",
    "..",
    "\x00\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029",
    "\u202egro.elpmaxe\u202c \u2066x\u2069 مرحبا שלום",
    "\ud800\udfff",
    "a" * 10_000,
    "💪" * 2_500,
    "ß " * 5_000,
    "{{ 7*7 }}{% raw %}",
    "<script>alert(1)</script>&amp;",
    "qzhtohzq qzttzq qzbhbzq",
    "=" * 200,
    "x" * 74 + ".",
)
nasty = st.one_of(
    st.text(max_size=200),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Zs", "Mn"]), max_size=60),
    st.lists(st.sampled_from([*TRICKS, "Ana", " ", "é"]), min_size=1, max_size=3).map("".join),
)
RUN = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def is_clean(data: bytes) -> None:
    head, _, body = data.partition(b"\r\n\r\n")
    names = [line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]
    assert len(names) == PLANNED
    assert len(set(names)) == PLANNED
    assert b"Bcc" not in names
    assert data.count(b"\r\n") == data.count(b"\r") == data.count(b"\n")
    assert b"\x00" not in data
    assert data.isascii()
    assert max(map(len, body.split(b"\r\n"))) <= 76
    assert max(map(len, head.split(b"\r\n"))) <= 998
    assert not any(line.startswith(b".") for line in body.split(b"\r\n"))
    assert body.count(b"--=") == 0 or body.rstrip().endswith(b"--")


@given(nasty)
@RUN
@example("\ud800\udfff")
@example("a" * 10_000)
def test_it_carries_any_name(name: str) -> None:
    """R26: names that no sign-up would let through, as they might stand in an old row."""
    for content in (Content("day", day=3, has_name=True), Content("welcome", has_name=True)):
        is_clean(COMPOSER.compose(Letter(Address(1, 2, "day-3"), "ana@example.com", name, content, NOON)).data)


@given(nasty)
@RUN
def test_it_takes_no_trick_at_any_way_in(name: str) -> None:
    """R26: form, JSON and CSV all go through `read`; what it lets through is one printable line."""
    for fields in ({"first_name": name}, {"goal": name}, {"utm_source": name, "referrer": name}, {"email": name}):
        try:
            found = read({"email": "ana@example.com", **fields})
        except BadInput:
            continue
        for kept in (found.first_name, found.email, found.email_key, found.source, found.referrer):
            assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", kept)
            assert "=?" not in found.first_name + found.email
        assert len(found.first_name) <= 80


@given(st.lists(nasty, min_size=1, max_size=4))
@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_it_imports_no_trick(tmp_path_factory: Any, names: list[str]) -> None:
    """R26: a CSV of such names ends in told lines or clean rows, never in a crash."""
    from challenge.db import Database
    from challenge.importing import import_people

    folder: Path = tmp_path_factory.mktemp("import")
    file = folder / "people.csv"
    with file.open("w", encoding="utf-8", errors="replace", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for number, name in enumerate(names):
            writer.writerow([f"p{number}@example.com", name, "", "", "", name, "", ""])
    database = Database(f"sqlite:///{prepared_copy(folder)}")
    try:
        taken = import_people(database, shipped(), file, NOON, confirmed=False)
        assert taken.enrolled + len(taken.problems) <= len(names)
    except ChallengeError:
        return  # a sentence: not a CSV file in UTF-8
    finally:
        database.close()


def prepared_copy(folder: Path) -> Path:
    path = folder / "c.sqlite3"
    path.write_bytes(_prepared())
    return path


@cache
def _prepared() -> bytes:
    import tempfile

    from challenge.db import Database

    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{folder}/c.sqlite3")
        database.migrate()
        with database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        return Path(folder, "c.sqlite3").read_bytes()


def told(words: str, where: str) -> Challenge:
    challenge = shipped()
    if where == "subject":
        words = words.replace("{", "(").replace(
            "}", ")"
        )  # a subject may have {number}; others are refused at the start
        return replace(challenge, subjects=dict.fromkeys(challenge.subjects, words))
    if where == "day":
        days = tuple(replace(day, title=words, intro=words) for day in challenge.days)
        return replace(challenge, days=days)
    more: dict[str, Any] = {where: words}
    return replace(challenge, **more)


@pytest.mark.parametrize("where", ["subject", "day", "title", "therapist", "tagline"])
@given(words=nasty)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_it_makes_no_unsafe_mail_of_any_content(where: str, words: str) -> None:
    """R26: subjects, titles and words of the challenge: clean bytes, or a refusal that says so."""
    try:
        composer = Composer(SETTINGS, told(words, where))
        data = composer.compose(
            Letter(Address(1, 2, "day-1"), "ana@example.com", "Ana", Content("day", day=1, has_name=True), NOON)
        ).data
    except ChallengeError:
        return
    is_clean(data)


@given(nasty)
@RUN
def test_it_makes_no_unsafe_mail_to_any_address(local: str) -> None:
    """R26: an address that no sign-up would let through never becomes a header or a command."""
    for address in (f"{local}@example.com", f"ana@{local}", local):
        letter = Letter(Address(1, 2, "day-1"), address, "", Content("day", day=1), NOON)
        try:
            message = COMPOSER.compose(letter)
        except ChallengeError:
            continue
        assert not re.search(r"[\s\x00<>]", message.recipient)
        if message.data.isascii():
            is_clean(message.data)


@given(nasty)
@RUN
def test_it_starts_with_no_unsafe_sender(name: str) -> None:
    """P9, R26: the display name of the From header."""
    try:
        found = read_settings({"CHALLENGE_MAIL_FROM": f"{name} <a@b.example>", "CHALLENGE_SECRET_KEY": "k" * 40}, None)
    except SettingsError:
        return
    try:
        composer = Composer(found, shipped())
        letter = Letter(Address(1, 2, "day-1"), "ana@example.com", "", Content("day", day=1), NOON)
        is_clean(composer.compose(letter).data)
    except ChallengeError:
        return
