"""The doctor looks at a relay: TLS, certificate and login are tried, and nothing is sent."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from typing import Any

import pytest

from challenge.doctor.relay import relay

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)


def looked(url: str, trusting: ssl.SSLContext | None = None) -> dict[str, str]:
    return {one.check: f"{one.state}: {one.words}" for one in relay(url, "ours.example", NOW, 1.0, trusting)}


def test_a_relay_that_takes_us(faulty: Any, trusting: ssl.SSLContext) -> None:
    found = looked(faulty.url(), trusting)
    assert found["relay"].startswith("ok")
    assert found["relay tls"].startswith("warning: The relay's certificate ends in ")
    assert not [line for line in faulty.commands if line.upper().startswith(("MAIL", "RCPT", "DATA"))]
    assert faulty.taken == []


@pytest.mark.parametrize(
    ("user", "words"), [("robot:wrong@", "535"), ("robot:s3cret@", "")], ids=["wrong password", "right password"]
)
def test_credentials_are_tried(faulty: Any, trusting: ssl.SSLContext, user: str, words: str) -> None:
    found = looked(faulty.url(user=user), trusting)
    assert found["relay"].startswith("problem" if words else "ok")
    assert words in found["relay"]


def test_a_certificate_nobody_signed_is_a_problem(faulty: Any) -> None:
    assert looked(faulty.url())["relay"].startswith("problem")


def test_a_relay_without_tls_gets_no_password(faulty: Any, trusting: ssl.SSLContext) -> None:
    faulty.offers = ["PIPELINING", "AUTH PLAIN LOGIN"]
    assert "offers no TLS" in looked(faulty.url(), trusting)["relay"]
    assert not [line for line in faulty.commands if line.upper().startswith("AUTH")]


@pytest.mark.parametrize("fault", ["fin", "stall", "5xx", "garbage"])
def test_a_relay_in_trouble_is_a_problem(faulty: Any, trusting: ssl.SSLContext, fault: str) -> None:
    faulty.strike("banner", fault)
    assert looked(faulty.url(), trusting)["relay"].startswith("problem")


def test_no_relay_and_a_wrong_address() -> None:
    assert looked("")["relay"].startswith("not checked")
    assert looked("smtp://127.0.0.1:notaport")["relay"].startswith("problem")
