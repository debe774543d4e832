"""Everything at once: called by `challenge doctor` and the dashboard's page. Asks, and changes nothing.

The slow ones (DNS, relay, the public address) run side by side. Whatever is away is a finding, never an error.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parseaddr
from urllib.parse import urlsplit

from sqlalchemy.exc import SQLAlchemyError

from challenge.clock import Clock, real_now
from challenge.db import Database
from challenge.doctor import domain, machine
from challenge.doctor.dmarc import dmarc
from challenge.doctor.finding import Finding, State, not_checked
from challenge.doctor.mails import mails
from challenge.doctor.relay import relay
from challenge.doctor.requirements import Answer, answers
from challenge.doctor.resolving import Resolver
from challenge.doctor.spf import spf
from challenge.doctor.volume import volume
from challenge.programme.definition import Challenge
from challenge.settings import Settings


@dataclass(frozen=True)
class Examination:
    """What was found, in the order of the checks, and how the providers' requirements stand."""

    findings: list[Finding]
    requirements: list[Answer]

    @property
    def is_healthy(self) -> bool:
        """No problem; warnings and what nobody looked at do not count."""
        return all(one.state is not State.problem for one in self.findings)


def examine(
    settings: Settings,
    challenge: Challenge,
    database: Database,
    resolver: Resolver,
    *,
    own: Sequence[str] = (),
    seconds: float = 8.0,
    context: ssl.SSLContext | None = None,
) -> Examination:
    """All checks. `own`: addresses mails leave from; `seconds`: for each answer of the relay and of the public address;
    `context`: whom to trust (the system's certificates when not given)."""
    groups: tuple[Callable[[], Iterable[Finding]], ...] = (
        lambda: machine.configuration(settings),
        lambda: _names(settings, resolver, own),
        lambda: relay(settings.smtp_url, settings.sender_domain, real_now(), seconds, context),
        lambda: mails(settings, challenge, real_now()),
        lambda: machine.database(database),
        lambda: machine.redis(settings.redis_url),
        lambda: _time(settings, database, seconds, context),
        lambda: _volume(database),
        lambda: machine.disk(settings),
        lambda: machine.opens(settings),
        lambda: machine.privacy(settings),
    )
    with ThreadPoolExecutor(len(groups)) as pool:
        findings = [one for found in pool.map(lambda group: list(group()), groups) for one in found]
    return Examination(findings, answers(findings))


def _names(settings: Settings, resolver: Resolver, own: Sequence[str]) -> Iterable[Finding]:
    sender = settings.sender_domain
    if not settings.mail_from:
        yield not_checked("dmarc", "No sender is set, so no domain can be looked up.", "Set CHALLENGE_MAIL_FROM.")
        return
    bounce = settings.bounce_domain or sender
    signer = (settings.dkim_domain or sender) if settings.dkim_key_file else ""
    replies = parseaddr(settings.mail_reply_to)[1].rpartition("@")[2].lower()
    yield from spf(bounce, own, urlsplit(settings.smtp_url).hostname or "", resolver)
    yield from domain.dkim(settings, resolver)
    yield from dmarc(sender, bounce, signer, resolver)
    yield from domain.mx({"sender": sender, "bounces": bounce, **({"replies": replies} if replies else {})}, resolver)
    yield from domain.soa(sender, bounce, resolver)
    yield from domain.ptr(own, resolver)


def _time(settings: Settings, database: Database, seconds: float, context: ssl.SSLContext | None) -> Iterable[Finding]:
    found, elsewhere = machine.public_address(settings, seconds, context)
    try:
        return [*found, *machine.clock(database, settings, elsewhere)]
    except SQLAlchemyError:
        return [*found, not_checked("clock", "The clock is a row of the database, which is away.", "See “database”.")]


def _volume(database: Database) -> Iterable[Finding]:
    try:
        now = Clock(database).now()
        with database.read() as session:
            return list(volume(session, now))
    except SQLAlchemyError:
        return [
            not_checked("gmail volume", "What was sent is written in the database, which is away.", "See “database”.")
        ]
