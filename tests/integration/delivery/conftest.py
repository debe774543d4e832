"""A relay with TLS and a login that can misbehave at any point of the dialogue, and counts what it really took."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

POINTS = (
    *("banner", "ehlo", "starttls", "auth", "mail", "rcpt", "data"),
    *("mid_body", "before_dot", "after_dot", "after_250", "quit"),
)
FAULTS = ("fin", "rst", "stall", "421", "4xx", "5xx", "garbage", "slow")
USER, PASSWORD = "robot", "s3cret"
REFUSALS = {"421": "421 4.3.2 closing", "4xx": "451 4.3.0 not now", "5xx": "554 5.3.0 no"}
STALL_SECONDS = 2.0


class Over(Exception):
    """This connection is done."""


class FaultyRelay:
    """Speaks SMTP with STARTTLS and AUTH on loopback. The fault strikes once, at its point; `taken` is what it accepted,
    `ambiguous` how often it hung up or fell silent with a whole message in hand."""

    def __init__(self, identity: tuple[Path, Path]) -> None:
        self.point, self.fault, self.left = "", "", 0
        self.offers = ["PIPELINING", "STARTTLS", "AUTH PLAIN LOGIN", "8BITMIME"]
        self.close_after, self.inject = 0, b""
        self.taken: list[tuple[str, bytes]] = []
        self.commands: list[str] = []
        self.ambiguous = 0
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(*identity)
        self._loop = asyncio.new_event_loop()
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20))
        self._server, self.port = server, server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def strike(self, point: str, fault: str) -> None:
        """The next time the dialogue comes to `point`, `fault` happens."""
        self.point, self.fault, self.left, self.ambiguous, self.taken = point, fault, 1, 0, []

    def url(self, scheme: str = "smtp", user: str = f"{USER}:{PASSWORD}@") -> str:
        return f"{scheme}://{user}127.0.0.1:{self.port}"

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def hits(self, point: str) -> bool:
        if self.point != point or not self.left:
            return False
        self.left -= 1
        return True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Talk(self, reader, writer, self._tls).run()
        except (Over, OSError, EOFError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


class _Talk:
    def __init__(
        self, relay: FaultyRelay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: ssl.SSLContext
    ) -> None:
        self.relay, self.reader, self.writer, self.tls = relay, reader, writer, tls
        self.recipient, self.count, self.is_safe, self.has_recipient = "", 0, False, False

    async def run(self) -> None:
        await self.answer("banner", "220 relay.example")
        while row := await self.reader.readline():
            text = row.decode("utf-8", "replace").rstrip("\r\n")
            self.relay.commands.append(text)
            await self.command(text.split(":", maxsplit=1)[0].split(" ", maxsplit=1)[0].upper(), text)

    async def command(self, word: str, text: str) -> None:
        match word:
            case "EHLO":
                offers = [offer for offer in self.relay.offers if not (self.is_safe and offer == "STARTTLS")]
                rows = ["relay.example", *offers]
                await self.answer("ehlo", "\r\n".join(f"250-{row}" for row in rows[:-1]) + f"\r\n250 {rows[-1]}")
            case "STARTTLS":
                await self.start_tls()
            case "AUTH":
                await self.log_in(text)
            case "MAIL":
                self.has_recipient = False
                await self.answer("mail", "250 2.1.0 ok")
            case "RCPT":
                self.recipient = text.partition("<")[2].rpartition(">")[0]
                self.has_recipient = await self.answer("rcpt", "250 2.1.5 ok")
            case "DATA":
                if await self.answer("data", "354 go on"):
                    await self.body()
            case "QUIT":
                await self.answer("quit", "221 2.0.0 bye")
                raise Over
            case _:
                await self.say("250 ok")

    async def start_tls(self) -> None:
        if await self.answer("starttls", "220 2.0.0 ready", self.relay.inject):
            await self.writer.start_tls(self.tls)
            self.is_safe = True

    async def log_in(self, text: str) -> None:
        if "LOGIN" in text:
            words = []
            for prompt in ("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6"):
                await self.say(prompt)
                words.append(base64.b64decode(await self.reader.readline()).decode())
        else:
            words = base64.b64decode(text.rsplit(maxsplit=1)[-1]).decode().split("\0")[1:]
        right = words == [USER, PASSWORD]
        await self.answer("auth", "235 2.7.0 welcome" if right else "535 5.7.8 wrong user or password")

    async def body(self) -> None:
        data = b"\r\n"  # a dot on the first line ends it too
        while not data.endswith(b"\r\n.\r\n"):
            piece = await self.reader.read(4096)
            if not piece:
                raise Over
            data += piece
            head, end, rest = data.partition(b"\r\n.\r\n")
            if end and rest:  # pipelined: the next commands came with the dot
                self._unread(rest)
                data = head + end
            if self.relay.point == "mid_body" and self.relay.hits("mid_body"):
                await self.fail(whole=bool(end))
            if head.rstrip().endswith(b"--") and self.relay.hits("before_dot"):
                await self.fail(whole=bool(end))
        await self.finish(data[2:])

    def _unread(self, rest: bytes) -> None:
        held = self.reader._buffer  # type: ignore[attr-defined]
        held[:0] = rest

    async def finish(self, data: bytes) -> None:
        relay = self.relay
        if not self.has_recipient:  # the lone dot after a DATA that should not have had a 354 (RFC 2920 3.1)
            await self.say("554 5.5.1 no valid recipients")
            return
        refuses = relay.point == "after_dot" and relay.left > 0 and relay.fault in REFUSALS
        if not refuses:
            relay.taken.append((self.recipient, data))
        if not await self.answer("after_dot", "250 2.0.0 queued as 1", whole=not refuses):
            return
        self.count += 1
        if relay.hits("after_250"):
            await self.fail()
        if self.count == relay.close_after:
            raise Over  # as Yahoo does: no error, no goodbye

    async def answer(self, point: str, usual: str, glued: bytes = b"", *, whole: bool = False) -> bool:
        """Says the usual or lets the fault happen; True when the answer was the usual."""
        if self.relay.hits(point):
            await self.fail(whole=whole)
            return False
        await self.say(usual, glued)
        return True

    async def say(self, row: str, glued: bytes = b"") -> None:
        self.writer.write(row.encode() + b"\r\n" + glued)
        await self.writer.drain()

    async def fail(self, *, whole: bool = False) -> None:
        fault = self.relay.fault
        if whole and fault not in REFUSALS:
            self.relay.ambiguous += 1
        if fault in REFUSALS:
            await self.say(REFUSALS[fault])
            if fault == "421":
                self.writer.close()
                raise Over
            return
        await _BREAKS[fault](self.writer)
        raise Over


async def _fin(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await asyncio.sleep(0.05)


async def _rst(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _stall(_writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(STALL_SECONDS)


async def _garbage(writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xff<html>what?\r\n")
    await asyncio.sleep(0.2)


async def _slow(writer: asyncio.StreamWriter) -> None:
    for byte in b"250 " + b"o" * int(STALL_SECONDS / 0.1):
        writer.write(bytes((byte,)))
        await asyncio.sleep(0.1)


_BREAKS = {"fin": _fin, "rst": _rst, "stall": _stall, "garbage": _garbage, "slow": _slow}


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) of a relay at 127.0.0.1, signed by itself."""
    folder = tmp_path_factory.mktemp("identity")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "relay.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "relay.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "relay.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "relay.pem", folder / "relay.key"


@pytest.fixture
def faulty(identity: tuple[Path, Path]) -> Iterator[FaultyRelay]:
    relay = FaultyRelay(identity)
    yield relay
    relay.close()


@pytest.fixture
def trusting(identity: tuple[Path, Path]) -> ssl.SSLContext:
    """Trusts that one relay."""
    return ssl.create_default_context(cafile=str(identity[0]))
