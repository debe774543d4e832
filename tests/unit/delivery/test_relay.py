"""A relay that never ends its reply, a handshake that breaks, and words that mean something else than they seem to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from challenge.delivery.relay import CannotOpen, Line, LineLost, SmtpUrl, Timeouts, open_line
from challenge.delivery.replies import Reply, Stage, Verdict, classify


@pytest.mark.parametrize("row", [b"250-\r\n", b"250-" + b"a" * 1000 + b"\r\n"])
def test_it_gives_up_a_relay_that_never_ends_its_reply(row: bytes) -> None:
    line = Line()
    for _ in range(2000):
        line.data_received(row * 5)
    assert line.is_lost
    assert sum(map(len, line._part)) < 100_000
    with pytest.raises(LineLost, match="talks too much"):
        asyncio.run(line.reply(Stage.ehlo, 1.0))


def test_it_takes_a_long_reply_that_ends() -> None:
    line = Line()
    for _ in range(3):
        line.data_received(b"250-hello\r\n" * 99 + b"250 ok\r\n")
        assert asyncio.run(line.reply(Stage.ehlo, 1.0)).code == 250


@contextlib.asynccontextmanager
async def breaking() -> AsyncIterator[int]:
    """The port of a relay whose TLS front end is overloaded: alert `internal_error` in the handshake."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        await reader.readline()
        writer.write(b"250-x\r\n250 STARTTLS\r\n")
        await reader.readline()
        writer.write(b"220 go\r\n")
        await reader.read(2000)
        writer.write(bytes.fromhex("15030300020250"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def test_a_broken_handshake_is_tried_again() -> None:
    async def open_it() -> None:
        async with breaking() as port:
            await open_line(SmtpUrl.parse(f"smtp://127.0.0.1:{port}"), Timeouts(5.0, 5.0), "me.example")

    with pytest.raises(CannotOpen, match="TLS") as raised:
        asyncio.run(open_it())
    assert not raised.value.fatal


@pytest.mark.parametrize(
    ("reply", "verdict"),
    [
        ("452 4.3.1 Out of storage space, try again later", Verdict.retry_untouched),
        ("452 4.3.1 Insufficient storage in mail system", Verdict.retry_untouched),
        ("452 4.3.1 The user's mailbox is full", Verdict.mailbox_full),
        ("452 4.2.2 Out of storage space", Verdict.mailbox_full),
        ("550 5.1.1 User unknown, see our policy at https://x.example", Verdict.dead_address),
        ("550 5.1.1 Mailbox blocked: user unknown", Verdict.dead_address),
        ("550 5.1.1 Blocked by policy", Verdict.sender_refused),
        ("550 5.7.1 User unknown to our policy", Verdict.sender_refused),
    ],
)
def test_it_reads_the_code_before_a_word_in_passing(reply: str, verdict: Verdict) -> None:
    assert classify(Reply.read(int(reply[:3]), reply[4:].encode(), Stage.rcpt)).verdict is verdict


def test_a_code_of_fewer_than_three_digits_is_no_yes() -> None:
    for row in (b"25\r\n", b"4\r\n", b"2 yes\r\n"):
        line = Line()
        line.data_received(row)
        with pytest.raises(LineLost, match="does not speak SMTP"):
            asyncio.run(line.reply(Stage.dot, 1.0))


@contextlib.asynccontextmanager
async def asking(answers: dict[bytes, bytes]) -> AsyncIterator[int]:
    """The port of a relay that takes `AUTH PLAIN` and answers each line as told."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        while row := (await reader.readline()).strip():
            writer.write(answers.get(row.split(b" AH")[0], b"250-x\r\n250 AUTH PLAIN\r\n"))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


SECRET = b"AHJvYm90AHB3"


@pytest.mark.parametrize("last", [b"235 welcome\r\n", b"334 more\r\n"])
def test_a_question_behind_the_password_is_no_yes(last: bytes) -> None:
    async def open_it() -> None:
        async with asking({b"AUTH PLAIN": b"334 \r\n", SECRET: last}) as port:
            line = await open_line(SmtpUrl.parse(f"smtp+plain://robot:pw@127.0.0.1:{port}"), Timeouts(5.0, 5.0), "me")
            line.abort()
            await line.gone()

    if last.startswith(b"235"):
        asyncio.run(open_it())
    else:
        with pytest.raises(CannotOpen, match="asks for more") as raised:
            asyncio.run(open_it())
        assert raised.value.fatal
