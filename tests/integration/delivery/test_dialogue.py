"""What is said on the wire, and what never is."""

from __future__ import annotations

import asyncio
import base64
import ssl
import time
from typing import Any

import pytest

from challenge.delivery.relay import SmtpUrl, Timeouts
from challenge.delivery.smtp import Envelope, Kind, Outcome, Sender, SendResult
from tests.integration.delivery.conftest import FAULTS, REFUSALS

BODY = b"Subject: x\r\n\r\nHello\r\n--\r\n"


class Notes:
    """A ledger in memory."""

    def __init__(self) -> None:
        self.outcomes: dict[int, Outcome] = {}

    async def before_dot(self, id: int) -> bool:
        return id not in self.outcomes

    def outcome(self, outcome: Outcome) -> None:
        assert outcome.id not in self.outcomes, "told twice"
        self.outcomes[outcome.id] = outcome

    @property
    def kinds(self) -> set[Kind]:
        return {outcome.kind for outcome in self.outcomes.values()}


class Slow(Notes):
    """Blocks the loop, as a commit does, until the relay has struck and its word has arrived."""

    def __init__(self, relay: Any) -> None:
        super().__init__()
        self.relay = relay

    async def before_dot(self, id: int) -> bool:
        while self.relay.left:
            time.sleep(0.005)
        time.sleep(0.15)
        return True


def send(
    url: str,
    trusting: ssl.SSLContext | None,
    recipients: list[str],
    connections: int = 1,
    body: bytes = BODY,
    notes: Notes | None = None,
) -> tuple[Notes, SendResult]:
    notes = notes or Notes()
    letters = iter([Envelope(n, "b@bounce.example", to, body) for n, to in enumerate(recipients)])

    async def source() -> Envelope | None:
        return next(letters, None)

    async def run() -> SendResult:
        sender = Sender(SmtpUrl.parse(url), connections, Timeouts(1.0, 1.0), tls_context=trusting)
        done = await sender.send(source, notes)
        await sender.close(1)
        return done

    return notes, asyncio.run(run())


def people(count: int) -> list[str]:
    return [f"p{n}@example.com" for n in range(count)]


@pytest.mark.parametrize("offers", [["PIPELINING"], []], ids=["pipelining", "step by step"])
@pytest.mark.parametrize("connections", [1, 4])
def test_it_sends_each_once(faulty: Any, trusting: ssl.SSLContext, offers: list[str], connections: int) -> None:
    faulty.offers = [*offers, "STARTTLS", "AUTH LOGIN"]
    notes, done = send(faulty.url(), trusting, people(50), connections)
    assert sorted(to for to, _ in faulty.taken) == sorted(people(50))
    assert notes.kinds == {Kind.accepted}
    assert not done.stopped


def test_it_gives_neither_mail_nor_password_to_a_relay_that_hides_tls(faulty: Any, trusting: ssl.SSLContext) -> None:
    faulty.offers = ["PIPELINING", "AUTH PLAIN LOGIN"]
    notes, done = send(faulty.url(), trusting, people(2))
    assert done.fatal
    assert not faulty.taken
    assert [row.split()[0] for row in faulty.commands] == ["EHLO"]
    assert notes.kinds <= {Kind.unsent}


def test_it_trusts_nothing_that_was_slipped_in_before_tls(faulty: Any, trusting: ssl.SSLContext) -> None:
    faulty.inject = b"250 AUTH PLAIN\r\n"
    _, done = send(faulty.url(), trusting, people(1))
    assert done.fatal
    assert "slipped in" in done.stopped
    assert not any("AUTH" in row for row in faulty.commands)


def test_it_refuses_a_certificate_nobody_vouches_for(faulty: Any) -> None:
    _, done = send(faulty.url(), None, people(1))
    assert done.fatal
    assert "TLS" in done.stopped
    assert [row.split()[0] for row in faulty.commands] == ["EHLO", "STARTTLS"]


@pytest.mark.parametrize("kind", ["PLAIN", "LOGIN"])
def test_it_stops_for_good_when_the_password_is_wrong(faulty: Any, trusting: ssl.SSLContext, kind: str) -> None:
    faulty.offers = ["STARTTLS", f"AUTH {kind}"]
    notes, done = send(faulty.url(user="robot:wrong@"), trusting, people(3))
    assert done.fatal
    assert done.reply is not None
    assert done.reply.code == 535
    assert notes.kinds <= {Kind.unsent}
    assert base64.b64encode(b"\0robot\0wrong").decode() not in done.stopped


def test_it_comes_back_at_once_to_a_relay_that_hangs_up_without_a_word(faulty: Any, trusting: ssl.SSLContext) -> None:
    faulty.close_after = 3
    notes, _ = send(faulty.url(), trusting, people(20), 2)
    assert sorted(to for to, _ in faulty.taken) == sorted(people(20))
    assert notes.kinds == {Kind.accepted}


def test_it_says_smtputf8_only_when_an_address_needs_it(faulty: Any, trusting: ssl.SSLContext) -> None:
    faulty.offers = ["PIPELINING", "STARTTLS", "AUTH PLAIN", "SMTPUTF8"]
    notes, _ = send(faulty.url(), trusting, ["ana@example.com", "änne@example.com"])
    mails = [row for row in faulty.commands if row.startswith("MAIL")]
    assert [row.endswith("SMTPUTF8") for row in mails] == [False, True]
    assert notes.kinds == {Kind.accepted}


def test_it_says_no_mail_for_an_address_the_relay_cannot_take(faulty: Any, trusting: ssl.SSLContext) -> None:
    notes, _ = send(faulty.url(), trusting, ["änne@example.com"])
    assert not [row for row in faulty.commands if row.startswith("MAIL")]
    reply = notes.outcomes[0].reply
    assert reply is not None
    assert reply.enhanced == "5.6.7"


@pytest.mark.parametrize("point", ["mid_body", "before_dot"])
@pytest.mark.parametrize("fault", FAULTS)
def test_it_writes_no_dot_after_a_word_or_a_hang_up(
    faulty: Any, trusting: ssl.SSLContext, point: str, fault: str
) -> None:
    faulty.strike(point, fault)
    body = b"Subject: x\r\n\r\n" + b"Hello\r\n" * 2000 + b"--\r\n"
    notes, _ = send(faulty.url(), trusting, people(1), body=body, notes=Slow(faulty))
    outcome = notes.outcomes[0]
    if fault == "stall":  # nothing was said: the dot went out, and nobody knows
        assert outcome.kind is Kind.uncertain
        return
    assert outcome.kind is (Kind.refused if fault in REFUSALS else Kind.unsent)
    assert faulty.taken == []


def test_it_names_the_mail_for_reports_when_the_relay_offers_dsn(faulty: Any, trusting: ssl.SSLContext) -> None:
    faulty.offers = ["PIPELINING", "STARTTLS", "AUTH PLAIN", "SMTPUTF8", "DSN"]
    long = f"{'a' * 60}@{'b' * 200}.example"
    notes, _ = send(faulty.url(), trusting, ["ana+x=y@example.com", "änne@example.com", long])
    said = [row for row in faulty.commands if row.startswith(("MAIL", "RCPT"))]
    mail = "MAIL FROM:<b@bounce.example> RET=HDRS ENVID=b@bounce.example"
    assert said == [
        mail,
        "RCPT TO:<ana+x=y@example.com> ORCPT=rfc822;ana+2Bx+3Dy@example.com",
        f"{mail} SMTPUTF8",
        "RCPT TO:<änne@example.com>",
        mail,
        f"RCPT TO:<{long}> ORCPT=rfc822;{long}",
    ]
    assert notes.kinds == {Kind.accepted}


def test_it_says_nothing_of_dsn_to_a_relay_without(faulty: Any, trusting: ssl.SSLContext) -> None:
    send(faulty.url(), trusting, people(1))
    assert [row for row in faulty.commands if row.startswith(("MAIL", "RCPT"))] == [
        "MAIL FROM:<b@bounce.example>",
        "RCPT TO:<p0@example.com>",
    ]


@pytest.mark.parametrize("address", ["a b@example.com", "a@example.com>\r\nRCPT TO:<b@example.com", "@", "", "a@b\x00"])
def test_it_never_lets_an_address_become_a_command(faulty: Any, trusting: ssl.SSLContext, address: str) -> None:
    notes, _ = send(faulty.url(), trusting, [address, "ok@example.com"])
    assert notes.outcomes[0].kind is Kind.refused
    assert [to for to, _ in faulty.taken] == ["ok@example.com"]


@pytest.mark.parametrize("body", [b"a\n.\r\n", b"a\r.\r\n", b"a\x00\r\n"])
def test_it_sends_no_bare_line_end(faulty: Any, trusting: ssl.SSLContext, body: bytes) -> None:
    notes, _ = send(faulty.url(), trusting, people(1), body=body)
    assert notes.outcomes[0].kind is Kind.refused
    assert not faulty.taken


def test_it_stuffs_dots(faulty: Any, trusting: ssl.SSLContext) -> None:
    send(faulty.url(), trusting, people(1), body=b".first\r\n.\r\n..two\r\n")
    assert faulty.taken[0][1] == b"..first\r\n..\r\n...two\r\n.\r\n"
