"""Signatures, with dkimpy as the oracle."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from challenge.errors import SettingsError
from challenge.programme.definition import shipped
from challenge.rendering.dkim import signer_of
from challenge.rendering.links import Address
from challenge.rendering.message import Composer, Letter
from challenge.rendering.quoted import relaxed_body
from challenge.rendering.templates import Content
from challenge.settings import Settings

RSA_KEY = rsa.generate_private_key(65537, 2048)
ED_KEY = ed25519.Ed25519PrivateKey.generate()
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)  # a checker refuses a t= in the future


def written(folder: Path, name: str, key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / name).write_bytes(pem)
    return str(folder / name)


def composed(folder: Path) -> bytes:
    files = f"{written(folder, 'rsa.pem', RSA_KEY)},{written(folder, 'ed.pem', ED_KEY)}"
    settings = Settings(
        secret_key="k" * 40,
        base_url="https://challenge.example",
        mail_from="Ada <ada@challenge.example>",
        mail_reply_to="ada@challenge.example",
        dkim_key_file=files,
        dkim_selector="r1,e1",
    )
    content = Content("day", day=3, done=(1, 2), has_name=True)
    return (
        Composer(settings, shipped())
        .compose(Letter(Address(7, 8, "day-3"), "ana@example.com", "Ana", content, NOON))
        .data
    )


def published(name: bytes, timeout: int = 5) -> bytes:
    import base64

    if name.startswith(b"r1."):
        der = RSA_KEY.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)
    raw = ED_KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return b"v=DKIM1; k=ed25519; p=" + base64.b64encode(raw)


def verifies(data: bytes) -> list[bool]:
    results = []
    for index in range(2):
        try:
            results.append(bool(dkim.DKIM(data).verify(index, dnsfunc=published)))
        except dkim.DKIMException:
            results.append(False)
    return results


def test_it_signs_with_both_keys_so_that_others_can_check(tmp_path: Path) -> None:
    data = composed(tmp_path)
    assert verifies(data) == [True, True]
    assert composed(tmp_path) == data
    covered = [re.sub(rb"\s", b"", names).split(b":") for names in re.findall(rb"\n h=([^;]+);", data)]
    for names in covered[:2]:
        assert names.count(b"from") == 2
        assert names.count(b"list-unsubscribe") == 2
        assert names.count(b"list-unsubscribe-post") == 2
    assert max(map(len, data.split(b"\r\n"))) <= 160


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click", b"List-Unsubscribe-Post: List-Unsubscribe=Two-Click"),
        (b"List-Unsubscribe: <https://", b"List-Unsubscribe: <http://"),
        (b"Subject: ", b"Subject: Re: "),
        (b"From: Ada", b"From: Eve <eve@evil.example>\r\nFrom: Ada"),
        (b"Good morning", b"Good evening"),
    ],
)
def test_it_breaks_with_any_change(tmp_path: Path, old: bytes, new: bytes) -> None:
    data = composed(tmp_path)
    assert old in data
    assert verifies(data.replace(old, new, 1)) == [False, False]


def test_it_makes_bodies_relaxed_as_the_rfc_says() -> None:
    assert relaxed_body(b" C \r\nD \t E\r\n\r\n\r\n") == b" C\r\nD E\r\n"  # RFC 6376 3.4.5
    assert relaxed_body(b"") == b""
    assert relaxed_body(b"\r\n\r\n") == b""


def test_it_refuses_weak_missing_and_mismatched_keys(tmp_path: Path) -> None:
    weak = written(tmp_path, "weak.pem", rsa.generate_private_key(65537, 1024))
    alone = written(tmp_path, "ed.pem", ED_KEY)
    (tmp_path / "text.pem").write_text("not a key")
    for files, selectors, told in (
        (weak, "s", "2048"),
        (alone, "s", "no RSA key"),
        (str(tmp_path / "text.pem"), "s", "not a private key"),
        (str(tmp_path / "none.pem"), "s", "cannot be read"),
        (f"{weak},{alone}", "s", "one for each"),
    ):
        with pytest.raises(SettingsError, match=told):
            signer_of(Settings(secret_key="k", dkim_key_file=files, dkim_selector=selectors))
    assert signer_of(Settings(secret_key="k")) is None
