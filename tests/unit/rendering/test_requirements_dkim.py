"""Signatures as the RFCs want them, with the RFC's own vector and dkimpy as the judges."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from challenge.programme.definition import shipped
from challenge.rendering.dkim import Key, make_keys, relaxed_header
from challenge.rendering.links import Address
from challenge.rendering.message import Composer, Letter
from challenge.rendering.quoted import relaxed_body
from challenge.rendering.templates import Content
from challenge.settings import Settings

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a checker refuses a t= in the future
OVERSIGNED = ("from", "to", "subject", "date", "reply-to", "list-id", "list-unsubscribe", "list-unsubscribe-post")


def signed(made: Any, number: int = 8) -> bytes:
    settings = Settings(
        secret_key="k" * 40,
        base_url="https://challenge.example",
        mail_from="Ada <ada@challenge.example>",
        mail_reply_to="ada@challenge.example",
        dkim_key_file=",".join(str(key.file) for key in made),
        dkim_selector=",".join(key.selector for key in made),
    )
    letter = Letter(Address(7, number, "day-3"), "ana@example.com", "Ana", Content("day", day=3, has_name=True), NOON)
    return Composer(settings, shipped()).compose(letter).data


def zone(*sets: Any) -> Callable[..., bytes | None]:
    records = {key.selector: "".join(re.findall(r'"([^"]*)"', key.record)).encode() for made in sets for key in made}
    return lambda name, timeout=5: records.get(name.decode().partition(".")[0])


def verdicts(data: bytes, dns: Callable[..., bytes | None]) -> list[bool]:
    found = []
    for index in range(data.partition(b"\r\n\r\n")[0].count(b"DKIM-Signature:")):
        try:
            found.append(bool(dkim.DKIM(data).verify(index, dnsfunc=dns)))
        except dkim.DKIMException:
            found.append(False)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_keys(tmp_path_factory.mktemp("keys"), "202611")


def test_it_signs_the_message_of_rfc_8463_as_the_rfc_does() -> None:
    """R10: appendix A, byte for byte; Ed25519 has one signature per key and text."""
    secret = base64.b64decode("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = Key("brisbane", ed25519.Ed25519PrivateKey.from_private_bytes(secret))
    body = b"Hi.\r\n\r\nWe lost the game.  Are you hungry yet?\r\n\r\nJoe.\r\n"
    headers = (
        ("From", "Joe SixPack <joe@football.example.com>"),
        ("To", "Suzie Q <suzie@shopping.example.net>"),
        ("Subject", "Is dinner ready?"),
        ("Date", "Fri, 11 Jul 2003 21:00:37 -0700 (PDT)"),
        ("Message-ID", "<20030712040037.46341.5F8J@football.example.com>"),
    )
    start = (
        "v=1; a=ed25519-sha256; c=relaxed/relaxed;\r\n d=football.example.com; i=@football.example.com;\r\n"
        " q=dns/txt; s=brisbane; t=1528637909; h=from : to :\r\n subject : date : message-id : from : subject : date;\r\n"
        " bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;\r\n b="
    )
    digest = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
    assert digest == "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
    data = b"".join(relaxed_header(*header) + b"\r\n" for header in headers) + relaxed_header("DKIM-Signature", start)
    wanted = "/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    assert base64.b64encode(key.sign(data)).decode() == wanted


def test_it_signs_with_rsa_and_ed25519_under_two_selectors(made: Any) -> None:
    """R9, R10: rsa-sha256 with 2048 bits and ed25519-sha256 side by side; both records as `dkim new` prints them verify."""
    data = signed(made)
    algorithms = re.findall(rb"DKIM-Signature: v=1; a=([\w-]+);", data)
    assert sorted(algorithms) == [b"ed25519-sha256", b"rsa-sha256"]
    assert len(set(re.findall(rb" s=(\w+);", data.partition(b"\r\n\r\n")[0]))) == 2
    assert verdicts(data, zone(made)) == [True, True]
    private = serialization.load_pem_private_key(made[0].file.read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert private.key_size >= 2048
    assert made[0].file.stat().st_mode & 0o077 == 0


def test_it_oversigns_what_a_forger_would_add(made: Any) -> None:
    """R2, R11: each of these once more than it occurs, both List-Unsubscribe headers covered, no `l=`."""
    head = signed(made).partition(b"\r\n\r\n")[0].decode()
    for names in re.findall(r" h=([^;]+);", head):
        listed = re.sub(r"\s", "", names).lower().split(":")
        assert {name: listed.count(name) for name in OVERSIGNED} == dict.fromkeys(OVERSIGNED, 2)
        assert {"message-id", "feedback-id", "content-type", "mime-version"} <= set(listed)
    assert not re.search(r"[; ]l=\d", head)
    assert head.count("c=relaxed/relaxed;") == 2


@pytest.mark.parametrize("name", [name.title() for name in OVERSIGNED] + ["Message-Id", "Feedback-Id", "Content-Type"])
@pytest.mark.parametrize("how", ["change", "add", "remove"])
def test_it_breaks_when_a_signed_header_is_changed_added_or_removed(made: Any, name: str, how: str) -> None:
    """R2, R11."""
    data = signed(made)
    found = re.search(rb"(?i)\r\n" + name.encode() + rb": (?:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", data)
    assert found is not None
    line = found[0]
    changed = {
        "change": data.replace(line, line + b"x", 1),
        "add": data.replace(line, b"\r\n" + name.encode() + b": other" + line, 1),
        "remove": data.replace(line, b"", 1),
    }[how]
    expected = (
        [True, True] if how == "add" and name in ("Message-Id", "Feedback-Id", "Content-Type") else [False, False]
    )
    assert verdicts(changed, zone(made)) == expected


@pytest.mark.parametrize("at", [5, 200, 2000, -20])
def test_it_breaks_when_the_body_changes(made: Any, at: int) -> None:
    """R11: all of the body is signed as it is sent."""
    head, _, body = signed(made).partition(b"\r\n\r\n")
    at %= len(body)
    other = b"Z" if body[at : at + 1] != b"Z" else b"Y"
    assert verdicts(head + b"\r\n\r\n" + body[:at] + other + body[at + 1 :], zone(made)) == [False, False]
    assert verdicts(head + b"\r\n\r\n" + body + b"more\r\n", zone(made)) == [False, False]


def test_it_changes_keys_without_a_gap(made: Any, tmp_path: Path) -> None:
    """R9: mails signed with the old keys verify while both sets are published, and the new ones do at once."""
    new = make_keys(tmp_path, "202612")
    assert {key.selector for key in new}.isdisjoint(key.selector for key in made)
    before, after = signed(made), signed(new)
    both = zone(made, new)
    assert verdicts(before, both) == verdicts(after, both) == [True, True]
    assert verdicts(before, zone(new)) == [False, False]
    assert before.partition(b"\r\n\r\n")[2] == after.partition(b"\r\n\r\n")[2]


def test_it_signs_a_retry_the_same(made: Any) -> None:
    """R16: the same bytes, signatures and all."""
    assert signed(made) == signed(made)
    assert signed(made) != signed(made, 9)
