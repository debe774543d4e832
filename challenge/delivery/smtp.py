"""Did the relay take it? The dialogue for many messages over a few lines, with the stage known at every moment.

In the steady state a message costs one round trip: its final dot travels with the next message's MAIL, RCPT and DATA
(RFC 2920). The dot is written only after `Ledger.before_dot` said that `handed_over` is durable; so whatever dies
before is provably unsent, and only what dies between the dot and its reply is `uncertain` (RFC 1047).
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from challenge.delivery.relay import CannotOpen, Line, LineLost, SmtpUrl, Timeouts, open_line
from challenge.delivery.replies import Reply, Stage

_ADDRESS = re.compile(r"[^\s<>\x00-\x1f\x7f]+@[^\s<>\x00-\x1f\x7f]+")
_OPEN_TRIES = (0.0, 0.2, 1.0)
ASK_AGAIN_SECONDS = 1.0


class Kind(StrEnum):
    """How an attempt ended. `unmade`: our words or our program are at fault, and no relay was asked."""

    accepted = "accepted"
    refused = "refused"
    unsent = "unsent"
    unmade = "unmade"
    uncertain = "uncertain"


class Envelope(NamedTuple):
    """One message for one recipient, complete. `is_wire_ready`: whoever made it vouches that it has CRLF only, no line
    that starts with a dot, and a line end at its end; else all 30 KB are looked through (130 us)."""

    id: int
    sender: str
    recipient: str
    body: bytes
    is_wire_ready: bool = False


class Outcome(NamedTuple):
    """What became of one envelope. `refused` comes with the relay's reply, `unsent` and `uncertain` without. `unsent` at
    `connect`: we took it back ourselves, so nothing speaks against trying at once."""

    id: int
    kind: Kind
    stage: Stage
    reply: Reply | None = None
    why: str = ""


@dataclass(frozen=True)
class SendResult:
    """Why sending stopped before the source was empty; empty words when it did not."""

    stopped: str = ""
    fatal: bool = False
    reply: Reply | None = None


class Ledger(Protocol):
    """Where the stages are written down."""

    def before_dot(self, id: int) -> Awaitable[bool]:
        """Returns when `handed_over` is durable; False: the message is no longer wanted, drop it without its dot."""
        ...

    def outcome(self, outcome: Outcome) -> None:
        """Called exactly once for every envelope taken from the source."""
        ...


Source = Callable[[], Awaitable[Envelope | None]]


@dataclass
class _Job:
    """One taken envelope on its way; `fresh_tries`: how often it may move to a new line without a strike."""

    envelope: Envelope
    fresh_tries: int = 1
    in_flight: bool = False


@dataclass
class Sender:
    """A pool of lines to one relay; lines stay open between two `send` calls."""

    url: SmtpUrl
    connections: int = 10
    timeouts: Timeouts = field(default_factory=Timeouts)
    helo_name: str = "localhost"
    max_messages: int = 500  # as Exim does; each new line costs a far relay four round trips
    max_seconds: float = 300.0
    tls_context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        self._idle: list[Line] = []
        self._lines: set[Line] = set()  # all that may not be closed yet
        self._tasks: set[asyncio.Task[None]] = set()
        self._couriers: list[_Courier] = []
        self._stopping = False
        self._failure: CannotOpen | None = None

    async def send(self, source: Source, ledger: Ledger) -> SendResult:
        """Sends what `source` gives until it gives None, the relay is out of reach, or `stop` was called."""
        self._failure, self._stopping = None, False
        await asyncio.sleep(0)  # an idle line that was closed meanwhile gets to know it before it is used
        self._couriers = lines = [_Courier(self, source, ledger) for _ in range(self.connections)]
        self._tasks = {asyncio.create_task(line.run()) for line in lines}
        try:
            await asyncio.gather(*self._tasks)
        except BaseException:  # the source or the ledger broke: the other lines must not go on without them
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
            raise
        finally:
            self._tasks, self._couriers = set(), []
        failed = self._failure
        if failed is not None and (failed.fatal or all(line.failed for line in lines if line.tried)):
            return SendResult(str(failed), failed.fatal, failed.reply)
        return SendResult()

    def stop(self) -> None:
        """Takes no more envelopes; what is in flight is finished."""
        self._stopping = True

    async def close(self, grace_seconds: float = 30.0) -> None:
        """Stops; what still waits for its final reply after the grace is reported uncertain. Says QUIT on idle lines."""
        self.stop()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=grace_seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        for line in self._idle:
            line.bow_out()
        self._idle = []
        await asyncio.gather(*(line.gone() for line in self._lines))
        self._lines = set()

    @property
    def is_stopping(self) -> bool:
        return self._stopping or (self._failure is not None and self._failure.fatal)

    async def waits_for_others(self) -> bool:
        """Whether another line is still busy, for a final reply may take ten minutes and mails may fall due meanwhile. Says
        so after a second, or when a line has nothing more to do."""
        others = {task for task in self._tasks if task is not asyncio.current_task() and not task.done()}
        if self._stopping or not others or not any(courier.job or courier.dotted for courier in self._couriers):
            return False
        await asyncio.wait(others, timeout=ASK_AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return True

    def opened(self, line: Line) -> None:
        self._lines = {other for other in self._lines if not other.is_gone} | {line}

    def fail(self, error: CannotOpen) -> None:
        if self._failure is None or error.fatal:
            self._failure = error

    def take_idle(self) -> Line | None:
        """A line that may be used again: young, not worn, nobody spoke on it meanwhile."""
        while self._idle:
            line = self._idle.pop()
            if line.is_quiet and not self.is_worn(line):
                return line
            line.abort()
        return None

    def give_back(self, line: Line) -> None:
        if line.is_lost or self.is_worn(line):
            line.bow_out()
        else:
            self._idle.append(line)

    def is_worn(self, line: Line) -> bool:
        return (
            line.messages >= self.max_messages or asyncio.get_running_loop().time() - line.opened_at > self.max_seconds
        )


class _Courier:
    """Carries messages over one line at a time."""

    def __init__(self, sender: Sender, source: Source, ledger: Ledger) -> None:
        self.sender, self.source, self.ledger = sender, source, ledger
        self.line: Line | None = None
        self.job: _Job | None = None
        self.dotted: _Job | None = None
        self.suspect: tuple[_Job, Reply] | None = None
        self.announced = False
        self.failed = self.tried = False

    async def run(self) -> None:
        try:
            while await self._next_job():
                if not await self._ensure_line():
                    return
                await self._carry()
        except asyncio.CancelledError:
            await self._give_up("sending was stopped")
        finally:
            await self._give_up("sending was stopped")
            if self.line is not None:
                self.sender.give_back(self.line)

    async def _next_job(self) -> bool:
        while self.job is None and not self.sender.is_stopping:
            envelope = await self.source()
            if envelope is None:
                if await self.sender.waits_for_others():
                    continue
                return False
            if why := _unfit(envelope):
                self._report(envelope, Kind.refused, Stage.mail, Reply(554, "5.6.0", why, Stage.mail))
            else:
                self.job = _Job(envelope)
        return self.job is not None

    async def _ensure_line(self) -> bool:
        """A line to carry the job over; without one the job goes back unsent."""
        self.tried = True
        if self.line is not None and not self.line.is_lost and (self.announced or not self.sender.is_worn(self.line)):
            return True
        if self.line is not None:
            self.sender.give_back(self.line)
            self.announced = False
        self.line = self.sender.take_idle()
        for pause in _OPEN_TRIES if self.line is None else ():
            await asyncio.sleep(pause)
            if self.sender.is_stopping:
                break
            try:
                self.line = await open_line(
                    self.sender.url, self.sender.timeouts, self.sender.helo_name, self.sender.tls_context
                )
                self.sender.opened(self.line)
                return True
            except CannotOpen as error:
                self.sender.fail(error)
                if error.fatal:
                    break
        if self.line is None:
            self.failed = True
            await self._give_up("no line to the relay")
        return self.line is not None

    async def _carry(self) -> None:
        """One message; when it was pipelined, the next one's commands are already on the wire at the end."""
        line, job = self.line, self.job
        assert line is not None
        assert job is not None
        if not await self._envelope_fits(line, job):
            return
        try:
            if not self.announced:
                line.write(self._announcement(line, job))
                self.announced = True
            if not await self._announced_well(line, job):
                return
            await self._hand_over(line, job)
        except LineLost as error:
            await self._line_lost(line, error)

    async def _envelope_fits(self, line: Line, job: _Job) -> bool:
        needs_utf8 = not (job.envelope.recipient + job.envelope.sender).isascii()
        if self.announced or not needs_utf8 or "SMTPUTF8" in line.extensions:
            return True
        self.job = None
        reply = Reply(553, "5.6.7", "the relay takes no internationalised address", Stage.rcpt)
        self._report(job.envelope, Kind.refused, Stage.rcpt, reply)
        return False

    def _announcement(self, line: Line, job: _Job) -> bytes:
        """MAIL, or MAIL, RCPT and DATA in one group. The envelope's sender tells whose mail it is, so it is the ENVID too:
        a bounce that kept nothing else still names it."""
        utf8 = " SMTPUTF8" if not (job.envelope.recipient + job.envelope.sender).isascii() else ""
        envid = f" RET=HDRS ENVID={known}" if (known := _for_dsn(line, job.envelope.sender, 100)) else ""
        mail = f"MAIL FROM:<{job.envelope.sender}>{envid}{utf8}\r\n".encode()
        if "PIPELINING" not in line.extensions:
            return mail
        return mail + self._to(line, job) + b"DATA\r\n"

    def _to(self, line: Line, job: _Job) -> bytes:
        to = job.envelope.recipient
        orcpt = f" ORCPT=rfc822;{known}" if (known := _for_dsn(line, to, 480)) else ""
        return f"RCPT TO:<{to}>{orcpt}\r\n".encode()

    async def _announced_well(self, line: Line, job: _Job) -> bool:
        """Reads the answers to MAIL, RCPT and DATA; True when the relay waits for the body."""
        step, pipelined = self.sender.timeouts.step, "PIPELINING" in line.extensions
        mail = await line.reply(Stage.mail, step)
        bad = None if mail.code < 300 else mail
        rcpt = data = None
        if pipelined or bad is None:
            if not pipelined:
                line.write(self._to(line, job))
            rcpt = await self._unless_closing(line, Stage.rcpt, bad)
            bad = bad or (rcpt if rcpt is not None and rcpt.code >= 300 else None)
        if pipelined or bad is None:
            if not pipelined:
                line.write(b"DATA\r\n")
            data = await self._unless_closing(line, Stage.data, bad)
            bad = bad or (data if data is not None and data.code != 354 else None)
        if self.suspect is not None and bad is not None:
            # Two yeses and then no 354: the first may be about the mail before, and the last about this recipient.
            self._clear_up(is_twice=all(reply is not None and reply.code < 300 for reply in (mail, rcpt)))
            raise LineLost("the relay fell out of step")  # what it said may be about the mail before
        self._clear_up()
        if bad is None:
            return True
        self.job, self.announced = None, False
        if (
            bad.code < 400
        ):  # neither a yes to what was asked nor a no: it does not follow, so nothing it says later counts
            line.abort()
            self._report(job.envelope, Kind.unsent, bad.stage, None, f"the relay spoke out of turn ({bad})")
            return False
        self._report(job.envelope, Kind.refused, bad.stage, bad)
        body_expected = data is not None and data.code == 354
        if body_expected and rcpt is not None and rcpt.code < 300:
            line.abort()  # it said no to MAIL and yes to the rest: a lone dot could become an empty mail
        await self._clear(line, bad, body_expected=body_expected)
        return False

    async def _unless_closing(self, line: Line, stage: Stage, bad: Reply | None) -> Reply | None:
        """The next reply of a group; a relay that said 421 and hung up answers no more."""
        try:
            return await line.reply(stage, self.sender.timeouts.step)
        except LineLost:
            if bad is None:
                raise
            return None

    async def _clear(self, line: Line, bad: Reply, *, body_expected: bool) -> None:
        """Leaves the line clean for the next message: a lone dot after a useless 354 (RFC 2920 3.1), then RSET."""
        if bad.code == 421 or line.is_lost:
            line.abort()
            return
        try:
            if body_expected:
                line.write(b".\r\n")
                await line.reply(Stage.dot, self.sender.timeouts.step)
            line.write(b"RSET\r\n")
            if (await line.reply(Stage.mail, self.sender.timeouts.step)).code != 250:
                line.abort()
        except LineLost:
            line.abort()

    async def _hand_over(self, line: Line, job: _Job) -> None:
        """Body, then the durable `handed_over`, then the dot together with the next message's commands."""
        job.in_flight = True
        line.write(job.envelope.body if job.envelope.is_wire_ready else _stuffed(job.envelope.body))
        durable = asyncio.ensure_future(self.ledger.before_dot(job.envelope.id))
        following: _Job | None = None
        try:
            await line.drained(self.sender.timeouts.step)
            following = await self._look_ahead(line)
            wanted = await durable
            # What came in during the commit is noticed before the dot goes out. asyncio polls in the first pass and reads
            # what it found behind us, so before the second is over.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        except BaseException:
            await _settled(durable)
            if following is not None:
                self._report(following.envelope, Kind.unsent, Stage.connect, None, "the line broke")
            raise
        if not wanted:
            line.abort()
            self.job, self.announced = following, False
            self._report(job.envelope, Kind.unsent, Stage.connect, None, "no longer wanted")
            return
        if not line.is_quiet:
            self.job = following
            await self._early_answer(line, job)
            return
        pipelined = following is not None and "PIPELINING" in line.extensions
        line.write(b".\r\n" + (self._announcement(line, following) if following is not None and pipelined else b""))
        self.dotted, self.job, self.announced = job, following, pipelined
        await self._final_reply(line, job)

    async def _look_ahead(self, line: Line) -> _Job | None:
        """The next message, so that its commands can travel with this one's dot."""
        if (
            self.sender.is_stopping
            or "PIPELINING" not in line.extensions
            or line.messages + 1 >= self.sender.max_messages
        ):
            return None
        if asyncio.get_running_loop().time() - line.opened_at > self.sender.max_seconds:
            return None
        while (envelope := await self.source()) is not None:
            if why := _unfit(envelope):
                self._report(envelope, Kind.refused, Stage.mail, Reply(554, "5.6.0", why, Stage.mail))
            elif not (envelope.recipient + envelope.sender).isascii() and "SMTPUTF8" not in line.extensions:
                reply = Reply(553, "5.6.7", "the relay takes no internationalised address", Stage.rcpt)
                self._report(envelope, Kind.refused, Stage.rcpt, reply)
            else:
                return _Job(envelope)
        return None

    async def _early_answer(self, line: Line, job: _Job) -> None:
        """The relay spoke or hung up while the body was on its way: no dot was written, so it is not a mail."""
        self.announced = False
        try:
            reply = await line.reply(Stage.body, self.sender.timeouts.step)
            known = reply if reply.code >= 400 else None
            kind, why = (Kind.refused, "") if known else (Kind.unsent, "the relay spoke out of turn")
        except LineLost as error:
            known, kind, why = None, Kind.unsent, str(error)
        line.abort()
        self._report(job.envelope, kind, Stage.body, known, why)

    async def _final_reply(self, line: Line, job: _Job) -> None:
        try:
            reply = await line.reply(Stage.dot, self.sender.timeouts.dot)
        except LineLost as error:
            self.dotted = None
            self._report(job.envelope, Kind.uncertain, Stage.dot, None, str(error))
            await self._line_lost(line, error)
            return
        self.dotted = None
        line.messages += 1
        if reply.code == 421 or 300 <= reply.code < 400:
            line.abort()
        if reply.code >= 400 and not line.is_lost:
            self.suspect = (job, reply)
            if not self.announced:
                await self._end_suspect_line(line)
            return
        kind = Kind.accepted if reply.code < 300 else Kind.refused if reply.code >= 400 else Kind.uncertain
        self._report(job.envelope, kind, Stage.dot, reply)

    async def _end_suspect_line(self, line: Line) -> None:
        """A no may have been said while the body was still going out, and a yes may follow for the dot: only the answer
        to the next command shows whether it was all there was."""
        line.write(b"QUIT\r\n")
        try:
            last = await line.reply(Stage.done, self.sender.timeouts.step)
            self._clear_up(is_twice=last.code < 300 and last.code != 221)
        except LineLost:
            self._clear_up()
        line.abort()

    def _clear_up(self, *, is_twice: bool = False) -> None:
        """Reports the mail whose refusal waited for proof; a relay that said both no and yes leaves it uncertain."""
        if self.suspect is None:
            return
        (job, reply), self.suspect = self.suspect, None
        if is_twice:
            self._report(job.envelope, Kind.uncertain, Stage.dot, None, f"the relay said no and yes ({reply})")
        else:
            self._report(job.envelope, Kind.refused, Stage.dot, reply)

    async def _line_lost(self, line: Line, error: LineLost) -> None:
        """What was announced on a line that had carried mail before moves to a new one, once and without a strike."""
        job, self.announced = self.job, False
        self._clear_up()
        line.abort()
        if job is None:
            return
        if not job.in_flight and job.fresh_tries > 0 and not self.sender.is_stopping:
            job.fresh_tries -= 1
            return
        self.job = None
        self._report(job.envelope, Kind.unsent, Stage.body if job.in_flight else Stage.mail, None, str(error))

    async def _give_up(self, why: str) -> None:
        self._clear_up()
        if self.dotted is not None:
            job, self.dotted = self.dotted, None
            self._report(job.envelope, Kind.uncertain, Stage.dot, None, why)
            if self.line is not None:
                self.line.abort()
        if self.job is not None:
            job, self.job = self.job, None
            self._report(job.envelope, Kind.unsent, Stage.connect, None, why)
            if self.line is not None and (job.in_flight or self.announced):
                self.line.abort()

    def _report(self, envelope: Envelope, kind: Kind, stage: Stage, reply: Reply | None = None, why: str = "") -> None:
        self.ledger.outcome(Outcome(envelope.id, kind, stage, reply, why))


async def _settled(future: asyncio.Future[bool]) -> None:
    """Lets the ledger finish what it began, so that its row and the outcome cannot cross."""
    await asyncio.wait([future])


def _for_dsn(line: Line, address: str, longest: int) -> str:
    """The address as the relay passes it on in its reports (RFC 3461 4: `+` and `=` by their number); empty when it does
    not, or when it is too long."""
    if "DSN" not in line.extensions or not address.isascii():
        return ""
    known = address.replace("+", "+2B").replace("=", "+3D")
    return known if len(known) <= longest else ""


def _stuffed(body: bytes) -> bytes:
    """Dot-stuffed (RFC 5321 4.5.2), ending with CRLF."""
    if body.startswith(b".") or b"\r\n." in body:
        body = body.replace(b"\r\n.", b"\r\n..")
        body = b"." + body if body.startswith(b".") else body
    return body if body.endswith(b"\r\n") else body + b"\r\n"


def _unfit(envelope: Envelope) -> str:
    """Why this envelope must never reach a wire; empty when it may."""
    if not _ADDRESS.fullmatch(envelope.recipient) or not _ADDRESS.fullmatch(envelope.sender):
        return "an address that cannot stand in an envelope"
    if envelope.is_wire_ready:
        return ""
    body = envelope.body
    ends = body.count(b"\r\n")
    if body.count(b"\n") != ends or body.count(b"\r") != ends or b"\0" in body:
        return "a bare CR, LF or NUL in the message"
    return ""
