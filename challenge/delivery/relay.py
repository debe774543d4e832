"""Where is the relay, and how is a line to it opened? TLS, capabilities and credentials; used by `smtp`.

STARTTLS is required unless the address says `smtp+plain`: a relay (or somebody on the way) that hides it gets neither
credentials nor mail. Nothing that arrived before TLS is trusted (RFC 3207 4.2).
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections import deque
from dataclasses import dataclass
from functools import cache, lru_cache
from urllib.parse import unquote, urlsplit

from challenge.delivery.replies import Reply, Stage
from challenge.errors import ChallengeError, SettingsError

_LONGEST_REPLY, _MOST_LINES = 64 * 1024, 100
_PORTS = {"smtps": 465, "smtp": 587, "smtp+plain": 25}


@lru_cache(maxsize=64)
def said(reply: Reply) -> str:
    """A reply as a log or a receipt shows it, at most 300 characters."""
    return " ".join(word for word in (str(reply.code), reply.enhanced, reply.text) if word)[:300]


class LineLost(ChallengeError):  # noqa: N818
    """The relay hung up, stalled past the timeout or spoke something that is not SMTP."""


class CannotOpen(ChallengeError):  # noqa: N818
    """No line to the relay. `fatal`: trying again changes nothing before somebody changes the settings."""

    def __init__(self, stage: Stage, words: str, reply: Reply | None = None, *, fatal: bool = False) -> None:
        self.stage, self.reply, self.fatal = stage, reply, fatal
        super().__init__(f"{words} ({said(reply)})" if reply else words)


@dataclass(frozen=True)
class SmtpUrl:
    """A relay's address: `smtps` = TLS from the start, `smtp` = STARTTLS required, `smtp+plain` = no TLS."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = ""

    @classmethod
    def parse(cls, text: str) -> SmtpUrl:
        """Raises SettingsError naming CHALLENGE_SMTP_URL."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise SettingsError("CHALLENGE_SMTP_URL", "has a port that is not a number.") from None
        if parts.scheme not in _PORTS or not parts.hostname:
            raise SettingsError("CHALLENGE_SMTP_URL", "is not smtps://…, smtp://… or smtp+plain://….")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        loopback = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if user and parts.scheme == "smtp+plain" and not loopback:
            raise SettingsError("CHALLENGE_SMTP_URL", "would send the password in the clear: use smtp:// or smtps://.")
        return cls(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], user, password)


@dataclass(frozen=True)
class Timeouts:
    """Seconds: for each step, and for the reply to the final dot (RFC 5321 4.5.3.2.6 asks for 10 minutes)."""

    step: float = 60.0
    dot: float = 600.0


class Line(asyncio.Protocol):
    """One open connection: bytes in, replies out, in order."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.extensions: dict[str, str] = {}
        self.messages = 0
        self.opened_at = 0.0
        self._buffer = b""
        self._part: list[bytes] = []
        self._part_bytes = 0
        self._replies: deque[tuple[int, str]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._gone = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = self._patience = 0.0
        self._lost = ""

    @property
    def is_quiet(self) -> bool:
        """Nothing was said and nobody hung up, as far as the kernel has told us."""
        is_open = self.transport is not None and not self.transport.is_closing()  # a hang-up is known here first
        return is_open and not self._replies and not self._lost and not self._buffer

    @property
    def is_gone(self) -> bool:
        """The connection is closed, not only given up."""
        return self._gone.is_set()

    @property
    def is_lost(self) -> bool:
        return bool(self._lost)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=256 * 1024)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) > _LONGEST_REPLY or len(self._replies) > 100:
            self._lose("the relay talks too much")
            return
        *rows, self._buffer = self._buffer.split(b"\n")
        for row in rows:
            if self._lost:
                break
            self._row(row.rstrip(b"\r"))
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = self._lost or (f"the connection broke ({exc})" if exc else "the relay hung up")
        self._gone.set()
        self._may_write.set()
        if self._timer is not None:
            self._timer.cancel()
        self._wake()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self._lost:
            self.transport.write(data)

    async def drained(self, seconds: float) -> None:
        """Waits until the kernel takes more. Raises LineLost."""
        if not self._may_write.is_set():
            try:
                await asyncio.wait_for(self._may_write.wait(), seconds)
            except TimeoutError:
                self._lose("the relay stopped reading")
        if self._lost:
            raise LineLost(self._lost)

    async def reply(self, stage: Stage, seconds: float) -> Reply:
        """The next reply. Raises LineLost: hung up, not SMTP, or nothing within `seconds`."""
        if not self._replies:
            if self._lost:
                raise LineLost(self._lost)
            self._expect(seconds)
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._replies:
            raise LineLost(self._lost)
        code, text = self._replies.popleft()
        return _reply(code, text, stage)

    def abort(self) -> None:
        """Drops the connection at once: what was not finished with a dot is not a mail."""
        self._lost = self._lost or "closed by us"
        if self.transport is not None:
            self.transport.abort()

    def bow_out(self) -> None:
        """Says QUIT and closes without waiting for the answer; `gone` waits."""
        self.write(b"QUIT\r\n")
        self._lost = self._lost or "closed by us"
        if self.transport is not None:
            self.transport.close()

    async def gone(self, seconds: float = 1.0) -> None:
        """Returns when the connection is closed, by force after `seconds`."""
        if self.transport is None:
            return
        try:
            await asyncio.wait_for(self._gone.wait(), seconds)
        except TimeoutError:
            self.abort()
            await self._gone.wait()

    async def start_tls(self, context: ssl.SSLContext, host: str, seconds: float) -> None:
        assert self.transport is not None
        loop = asyncio.get_running_loop()
        tls = await loop.start_tls(self.transport, self, context, server_hostname=host, ssl_handshake_timeout=seconds)
        if tls is None:
            raise LineLost("the relay hung up as TLS began")
        self.transport = tls
        self.extensions = {}

    def _row(self, row: bytes) -> None:
        code, glue = row[:3], row[3:4]
        if len(code) < 3 or not code.isdigit() or glue not in (b"", b" ", b"-") or not b"2" <= code[:1] <= b"5":
            self._lose("the relay does not speak SMTP")
            return
        if self._part and self._part[0][:3] != code:
            self._lose("the relay mixes codes in one reply")
            return
        self._part.append(row)
        self._part_bytes += len(row)
        if len(self._part) > _MOST_LINES or self._part_bytes > _LONGEST_REPLY:
            self._part = []
            self._lose("the relay talks too much")
            return
        if glue != b"-":
            text = "\n".join([part[4:].decode("utf-8", "replace") for part in self._part])
            if not text.isprintable():
                text = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
            self._replies.append((int(code), text))
            if len(self._part) > 1:
                self.lines = [part[4:].decode("ascii", "replace") for part in self._part]
            self._part, self._part_bytes = [], 0

    def _expect(self, seconds: float) -> None:
        """One timer per line, moved on only when it fires: setting one per reply was a tenth of the sender's CPU."""
        loop = asyncio.get_running_loop()
        self._patience, self._deadline = seconds, loop.time() + seconds
        if self._timer is None or self._timer.when() > self._deadline:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_at(self._deadline, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._deadline:
            self._timer = loop.call_at(self._deadline, self._look_at_the_clock)
        else:
            self._lose(f"no answer within {self._patience:g} s")

    def _lose(self, why: str) -> None:
        self._lost = self._lost or why
        if self.transport is not None:
            self.transport.abort()
        self._may_write.set()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done() and (self._replies or self._lost):
            self._waiter.set_result(None)

    lines: list[str] = []  # noqa: RUF012 - replaced per instance by the last reply of several lines


async def open_line(
    url: SmtpUrl, timeouts: Timeouts, helo_name: str, tls_context: ssl.SSLContext | None = None
) -> Line:
    """Connects, greets, starts TLS, logs in. Raises CannotOpen."""
    implicit = url.scheme == "smtps"
    context = None if url.scheme == "smtp+plain" else tls_context or _trusting()
    stage = Stage.connect
    line: Line | None = None
    try:
        loop = asyncio.get_running_loop()
        connecting = loop.create_connection(
            Line, url.host, url.port, ssl=context if implicit else None, server_hostname=url.host if implicit else None
        )
        _, fresh = await asyncio.wait_for(connecting, timeouts.step)
        line = fresh
        fresh.opened_at = loop.time()
        stage = Stage.banner
        _require(await fresh.reply(stage, timeouts.step), "the relay does not want us")
        stage = Stage.ehlo
        await _greet(fresh, helo_name, timeouts)
        if context is not None and not implicit:
            stage = Stage.starttls
            await _secure(fresh, url, helo_name, timeouts, context)
        if url.user:
            stage = Stage.auth
            await _log_in(fresh, url, timeouts)
        return fresh
    except CannotOpen:
        await _drop(line)
        raise
    except ssl.SSLError as error:
        await _drop(line)
        untrusted = isinstance(error, ssl.SSLCertVerificationError)  # anything else may be over in a minute
        words = f"TLS with {url.host} failed: {error.reason or error}"
        raise CannotOpen(Stage.starttls, words, fatal=untrusted) from error
    except (OSError, LineLost, TimeoutError) as error:
        await _drop(line)
        raise CannotOpen(stage, f"no line to {url.host}:{url.port} at {stage}: {str(error) or 'timed out'}") from error


@lru_cache(maxsize=64)
def _reply(code: int, text: str, stage: Stage) -> Reply:
    """A relay says the same again and again."""
    return Reply.read(code, text.encode(), stage)


@cache
def _trusting() -> ssl.SSLContext:
    """Trusts what the system trusts; reading all those certificates takes 25 ms, so once."""
    return ssl.create_default_context()


async def _drop(line: Line | None) -> None:
    if line is not None:
        line.abort()
        await line.gone()


def _require(reply: Reply, words: str, *, fatal: bool = False) -> None:
    if not 200 <= reply.code < 300:
        raise CannotOpen(reply.stage, words, reply, fatal=fatal)


async def _greet(line: Line, helo_name: str, timeouts: Timeouts) -> None:
    line.lines = []
    line.write(f"EHLO {helo_name}\r\n".encode())
    reply = await line.reply(Stage.ehlo, timeouts.step)
    if reply.code in (500, 502, 504):
        line.write(f"HELO {helo_name}\r\n".encode())
        reply = await line.reply(Stage.ehlo, timeouts.step)
        line.lines = []
    _require(reply, "the relay does not take our greeting")
    line.extensions = {row.partition(" ")[0].upper(): row.partition(" ")[2].upper() for row in line.lines[1:]}


async def _secure(line: Line, url: SmtpUrl, helo_name: str, timeouts: Timeouts, context: ssl.SSLContext) -> None:
    if "STARTTLS" not in line.extensions:
        raise CannotOpen(Stage.starttls, f"{url.host} offers no TLS; nothing was sent", fatal=True)
    line.write(b"STARTTLS\r\n")
    reply = await line.reply(Stage.starttls, timeouts.step)
    _require(reply, "the relay refuses TLS", fatal=reply.code >= 500)
    if not line.is_quiet:
        raise CannotOpen(Stage.starttls, "something was slipped in before TLS; nothing was sent", fatal=True)
    await line.start_tls(context, url.host, timeouts.step)
    await _greet(line, helo_name, timeouts)


async def _log_in(line: Line, url: SmtpUrl, timeouts: Timeouts) -> None:
    offered = line.extensions.get("AUTH", "").split()
    if "PLAIN" in offered:
        secret = base64.b64encode(f"\0{url.user}\0{url.password}".encode()).decode()
        commands = [f"AUTH PLAIN {secret}", secret]  # some overlook what came with the command, and ask (RFC 4954 4)
    elif "LOGIN" in offered:
        commands = ["AUTH LOGIN", *(base64.b64encode(word.encode()).decode() for word in (url.user, url.password))]
    else:
        raise CannotOpen(Stage.auth, f"{url.host} offers neither AUTH PLAIN nor LOGIN", fatal=True)
    for command in commands:
        line.write(f"{command}\r\n".encode())
        reply = await line.reply(Stage.auth, timeouts.step)
        if reply.code >= 400:
            raise CannotOpen(Stage.auth, "the relay does not accept our credentials", reply, fatal=reply.code >= 500)
        if reply.code < 300:
            return
    raise CannotOpen(Stage.auth, "the relay asks for more than a name and a password", reply, fatal=True)
