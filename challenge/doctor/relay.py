"""Does the relay take us? TLS and credentials, tried without sending: EHLO, STARTTLS, EHLO, AUTH, QUIT."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from datetime import datetime

from challenge.delivery.relay import CannotOpen, Line, SmtpUrl, Timeouts, open_line
from challenge.doctor.finding import Finding, not_checked, ok, problem, warning
from challenge.errors import SettingsError

_SOON_DAYS = 14


def relay(
    url: str, helo_name: str, now: datetime, seconds: float, context: ssl.SSLContext | None = None
) -> Iterator[Finding]:
    """`url` as CHALLENGE_SMTP_URL has it; `now` is real time (certificates know no other)."""
    if not url:
        words = "No relay is set: mails end in the built-in inbox."
        yield not_checked("relay", words, "Set CHALLENGE_SMTP_URL to send mails for real.")
        return
    try:
        where = SmtpUrl.parse(url)
    except SettingsError as error:
        yield problem("relay", str(error), "Correct CHALLENGE_SMTP_URL.")
        return
    yield from asyncio.run(_tried(where, helo_name, now, seconds, context))


async def _tried(
    where: SmtpUrl, helo_name: str, now: datetime, seconds: float, context: ssl.SSLContext | None
) -> list[Finding]:
    try:
        line = await open_line(where, Timeouts(step=seconds), helo_name, context)
    except CannotOpen as error:
        return [problem("relay", f"{error}.", _advice(error))]
    found = [ok("relay", f"{where.host}:{where.port} answers{' and takes our credentials' if where.user else ''}.")]
    found += [_tls(where, line, now)]
    if not where.user and where.scheme != "smtp+plain":
        found.append(
            warning("relay login", "No user is named: the relay must know us by our address.", "Set user and password.")
        )
    if "PIPELINING" not in line.extensions:
        found.append(
            warning(
                "relay speed",
                "The relay does not pipeline; sending is slower.",
                "Ask the relay, or raise CHALLENGE_SEND_CONNECTIONS.",
            )
        )
    line.bow_out()
    await line.gone()
    return found


def _advice(error: CannotOpen) -> str:
    if error.stage == "auth":
        return "Check user and password in CHALLENGE_SMTP_URL (characters such as @ and / must be %-encoded)."
    if error.stage == "starttls":
        return "Check the host name against the relay's certificate; never send without TLS over the internet."
    return "Check host, port and firewall; many providers block port 25 and leave 587 and 465 open."


def _tls(where: SmtpUrl, line: Line, now: datetime) -> Finding:
    assert line.transport is not None
    version = line.transport.get_extra_info("ssl_object")
    if where.scheme == "smtp+plain" or version is None:
        if where.host in ("127.0.0.1", "::1", "localhost"):
            return ok("relay tls", "No TLS, on this machine itself.")
        to_do = "Use smtp:// or smtps://: Gmail and others refuse mail that travels without TLS."
        return problem("relay tls", f"No TLS to {where.host}.", to_do)
    used, certificate = version.version(), version.getpeercert() or {}
    if used in ("TLSv1", "TLSv1.1"):
        return problem("relay tls", f"The relay speaks only {used}.", "Ask the relay for TLS 1.2 or later.")
    until = certificate.get("notAfter")
    days = int((ssl.cert_time_to_seconds(str(until)) - now.timestamp()) // 86400) if until else None
    if days is not None and days < _SOON_DAYS:
        words = f"The relay's certificate ends in {days} days."
        return warning("relay tls", words, "Tell the relay; mails stop when it ends.")
    return ok("relay tls", f"{used}{f', the certificate is good for {days} days' if days is not None else ''}.")
