"""Keys, MX, SOA and reverse names, against a DNS of a few lines."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from challenge.doctor.domain import dkim, mx, ptr, soa
from challenge.doctor.finding import State
from challenge.rendering.dkim import make_keys
from challenge.settings import Settings


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, dict[str, str]]:
    """Settings with two keys, and what `challenge dkim new` printed for them."""
    made = make_keys(tmp_path_factory.mktemp("keys"), "a")
    settings = Settings(
        secret_key="k" * 32,
        mail_from="hello@ours.example",
        dkim_selector=",".join(key.selector for key in made),
        dkim_key_file=",".join(str(key.file) for key in made),
    )
    records = {f"{key.selector}._domainkey.ours.example": key.record.replace('" "', "").strip('"') for key in made}
    return settings, records


def states(found: Any) -> list[str]:
    return [one.state for one in found]


def test_published_keys_are_ours(zone: Any, signed: tuple[Settings, dict[str, str]]) -> None:
    settings, records = signed
    zone.texts |= {name: [text] for name, text in records.items()}
    assert states(dkim(settings, zone)) == ["ok", "ok"]


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (lambda text: [], "problem"),
        (lambda text: [text, text], "problem"),
        (lambda text: [text.partition("p=")[0] + "p="], "problem"),
        (lambda text: [text[:-6] + "AAAA=="], "problem"),
        (lambda text: [text.replace("k=rsa", "k=ed25519")], "problem"),
        (lambda text: [text.replace("p=", "h=sha1; p=")], "problem"),
        (lambda text: [text.replace("p=", "t=y; p=")], "warning"),
        (lambda text: [text.replace("p=", "t=s; n=hello; p=")], "ok"),
        (lambda text: ["unrelated", text], "ok"),
    ],
)
def test_a_wrong_record_is_named(zone: Any, signed: tuple[Settings, dict[str, str]], change: Any, state: str) -> None:
    settings, records = signed
    zone.texts |= {name: change(text) if "k=rsa" in text else [text] for name, text in records.items()}
    assert states(dkim(settings, zone)) == [state, "ok"]


def test_a_bare_rsa_key_is_the_same_key(zone: Any, signed: tuple[Settings, dict[str, str]]) -> None:
    settings, records = signed
    name, text = next((name, text) for name, text in records.items() if "k=rsa" in text)
    public = serialization.load_der_public_key(base64.b64decode(text.partition("p=")[2]))
    bare = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    zone.texts |= {other: [line] for other, line in records.items()}
    zone.texts[name] = [f"v=DKIM1; p={base64.b64encode(bare).decode()}"]
    assert states(dkim(settings, zone)) == ["ok", "ok"]


def test_mails_without_a_signature_are_a_problem(zone: Any) -> None:
    assert states(dkim(Settings(secret_key="k" * 32), zone)) == ["problem"]


def test_a_small_key_is_a_problem(zone: Any, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "small.pem").write_bytes(pem)
    settings = Settings(
        secret_key="k" * 32, mail_from="a@ours.example", dkim_selector="s", dkim_key_file=str(tmp_path / "small.pem")
    )
    assert states(dkim(settings, zone)) == ["problem"]


def test_bounces_and_answers_must_find_back(zone: Any) -> None:
    zone.exchanges |= {
        "good.example": [(10, "mx.example")],
        "half.example": [(10, "mx.example"), (20, "gone.example")],
        "dead.example": [(10, "gone.example")],
        "null.example": [(0, "")],
    }
    zone.hosts |= {"mx.example": ["192.0.2.1"], "bare.example": ["192.0.2.2"]}
    zone.silent.add("silent.example")
    wanted = {
        "good": "ok",
        "half": "warning",
        "dead": "problem",
        "null": "problem",
        "bare": "warning",
        "none": "problem",
    }
    wanted["silent"] = "not checked"
    found = {one.check: one.state for one in mx({name: f"{name}.example" for name in wanted}, zone)}
    assert found == {f"mx {name}": state for name, state in wanted.items()}


def test_the_domain_must_lie_in_a_zone(zone: Any) -> None:
    zone.zones.add("ours.example")
    assert states(soa("ours.example", "bounce.ours.example", zone)) == ["ok", "ok"]
    assert states(soa("other.example", "other.example", zone)) == ["problem"]


def test_a_name_must_lead_back_and_the_relays_is_not_ours_to_judge(zone: Any) -> None:
    zone.reverse |= {"192.0.2.1": ["mx.example"], "192.0.2.2": ["liar.example"]}
    zone.hosts |= {"mx.example": ["192.0.2.1"], "liar.example": ["192.0.2.9"]}
    assert states(ptr([], zone)) == [State.not_checked]
    assert states(ptr(["192.0.2.1", "192.0.2.2", "192.0.2.3"], zone)) == ["ok", "problem", "problem"]
