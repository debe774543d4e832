"""Is what stands under the service sound? Database, Redis, clock, disk, the public address, the settings."""

from __future__ import annotations

import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parseaddr, parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError, ResponseError
from sqlalchemy import text
from sqlalchemy.engine import make_url

from challenge.clock import real_now
from challenge.db import Database
from challenge.dispatch import is_stopped
from challenge.doctor.finding import Finding, not_checked, ok, problem, warning
from challenge.errors import UsageError
from challenge.models import ClockRow
from challenge.settings import Settings
from challenge.tracking.spool import ASIDE, SPOOL

_SKEW_SECONDS, _BAD_SKEW_SECONDS = 5.0, 60.0
_LONGEST_WAIT = timedelta(minutes=1)
_GIGABYTE = 1024**3
_SQLITE = {"journal_mode": ("wal", "WAL"), "synchronous": ("2", "FULL"), "foreign_keys": ("1", "ON")}
_POSTGRES = {
    "synchronous_commit": ("on", "local", "remote_write", "remote_apply"),
    "fsync": ("on",),
    "full_page_writes": ("on",),
}


def database(found: Database) -> Iterator[Finding]:
    """Reachable, of this program's version, and keeping what it has promised to keep."""
    try:
        found.require_current()
    except UsageError as error:
        yield problem("database", str(error), "Run `challenge migrate`, or correct CHALLENGE_DATABASE_URL.")
        return
    yield ok("database", "It answers, and its tables are this program's.")
    with found.read() as session:
        for name, good in (_SQLITE if found.is_sqlite else _POSTGRES).items():
            command = f"PRAGMA {name}" if found.is_sqlite else f"SHOW {name}"
            value = str(session.execute(text(command)).scalar()).lower()
            if value not in good and value.upper() not in good:
                words = f"{name} is {value}: a power cut can lose mails that were written down as sent."
                yield problem(f"database {name}", words, f"Set {name} to {good[-1 if found.is_sqlite else 0]}.")
        if reason := is_stopped(session):
            yield warning("sending", f"No mail leaves: {reason}.", "When it is mended: `challenge resume-sending`.")


def redis(url: str) -> Iterator[Finding]:
    """Reachable, and keeping its jobs over a restart. Losing it loses no mail, only minutes."""
    if not url:
        words = "The embedded Valkey is started by `up` and `demo`, with its append-only file on."
        yield not_checked("redis", words, "Set CHALLENGE_REDIS_URL when workers run on several machines.")
        return
    client = Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)
    try:
        client.ping()
        kept = client.info("persistence")
        policy = _asked(client, "maxmemory-policy")
    except RedisError as error:
        words = f"Redis does not answer ({type(error).__name__}: {error})."
        yield problem("redis", words, "Start it, or correct CHALLENGE_REDIS_URL. Mails wait in the database meanwhile.")
        return
    finally:
        client.close()
    if not int(kept.get("aof_enabled", 0)):
        to_do = "Set `appendonly yes`: without it a restart forgets what was scheduled, until the next tick."
        yield warning("redis", "It answers, but keeps no append-only file.", to_do)
    elif kept.get("aof_last_write_status", "ok") != "ok":
        yield problem("redis", "Its append-only file cannot be written.", "Look at the disk of the Redis machine.")
    else:
        yield ok("redis", "It answers, and keeps an append-only file.")
    if policy not in ("noeviction", ""):
        yield warning(
            "redis memory", f"It throws keys away when memory is short ({policy}).", "Set maxmemory-policy noeviction."
        )


def _asked(client: Redis, name: str) -> str:
    try:
        return str(client.config_get(name).get(name, ""))
    except ResponseError:  # a hosted Redis may forbid CONFIG
        return ""


def clock(found: Database, settings: Settings, elsewhere: datetime | None) -> Iterator[Finding]:
    """`elsewhere`: the time of another machine, when one was asked (the Date of the public address)."""
    here = real_now()
    with found.read() as session:
        row = session.get(ClockRow, 1)
        theirs = None if found.is_sqlite else session.execute(text("SELECT clock_timestamp()")).scalar()
    if row is not None and (row.speed != 1.0 or row.waits or row.challenge_anchor_at != row.real_anchor_at):
        words = "The clock is warped: people live in another time than this machine."
        to_do = "Use another database than the rehearsal's."
        yield (problem if settings.is_production else warning)("clock", words, to_do)
    compared = {"the database": theirs, "the public address": elsewhere}
    known = {name: abs((here - at).total_seconds()) for name, at in compared.items() if isinstance(at, datetime)}
    if not known:
        yield not_checked(
            "clock skew", "No other machine could be asked for the time.", "Let NTP keep this machine's clock."
        )
    for name, seconds in known.items():
        words = f"This machine and {name} differ by {seconds:.0f} seconds."
        if seconds > _BAD_SKEW_SECONDS:
            yield problem("clock skew", words, "Let NTP keep both clocks: mornings and rates depend on them.")
        elif seconds > _SKEW_SECONDS:
            yield warning("clock skew", words, "Let NTP keep both clocks.")
        else:
            yield ok("clock skew", words)


def disk(settings: Settings) -> Iterator[Finding]:
    """Room for the database, the log and a journal that grows while it is written."""
    try:
        usage = shutil.disk_usage(settings.data_dir if settings.data_dir.exists() else ".")
    except OSError as error:
        yield not_checked("disk", f"{settings.data_dir} cannot be looked at ({error.strerror}).", "Make it readable.")
        return
    words = f"{usage.free / _GIGABYTE:.1f} GB of {usage.total / _GIGABYTE:.1f} GB are free at {settings.data_dir}."
    if usage.free < _GIGABYTE / 4:
        yield problem("disk", words, "Make room now: a full disk stops sign-ups and mails.")
    elif usage.free < 2 * _GIGABYTE:
        yield warning("disk", words, "Make room, or watch it.")
    else:
        yield ok("disk", words)


def privacy(settings: Settings) -> Iterator[Finding]:
    """May another user of this machine read addresses?"""
    url = make_url(settings.database)
    path = Path(url.database or "").absolute() if url.get_backend_name() == "sqlite" else settings.data_dir.absolute()
    if path.exists() and path.stat().st_mode & 0o007 and path.parent.stat().st_mode & 0o001:
        to_do = f"chmod -R o= {path.parent if path.is_file() else path}"
        yield problem("privacy", f"Every user of this machine may read {path}.", to_do)
    else:
        yield ok("privacy", "No other user of this machine may read what is kept in files.")


def opens(settings: Settings) -> Iterator[Finding]:
    """The web process takes opens over within seconds; what lies longer is not counted yet."""
    folder, first = settings.data_dir / SPOOL, real_now()
    if aside := sum(path.read_bytes().count(b"\n") for path in folder.glob(ASIDE)):
        yield problem(
            "opens",
            f"{aside} opens could not be written and are not counted; they are kept in {folder}.",
            "The web side's log says why (event_set_aside). Each start of the web side tries them again.",
        )
    for path in folder.glob("*.opens"):
        with suppress(FileNotFoundError):  # taken over just now
            first = min(first, datetime.fromtimestamp(path.stat().st_mtime, UTC))
    if real_now() - first > _LONGEST_WAIT:
        words = f"Opens wait to be counted, the first since {first:%Y-%m-%d %H:%M} UTC."
        yield problem("opens", words, "Start the web side on this machine; if it runs, its log says what is wrong.")
    elif not aside:
        yield ok("opens", "None waits on this machine to be counted.")


def public_address(
    settings: Settings, seconds: float, context: ssl.SSLContext | None = None
) -> tuple[list[Finding], datetime | None]:
    """Does the address in every mail lead here? And what time is it there."""
    url = f"{settings.public_url}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=seconds, context=context) as answer:
            at = parsedate_to_datetime(answer.headers["Date"]) if answer.headers["Date"] else None
            found = [ok("address", f"{settings.public_url} answers.")]
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        state = problem if settings.is_production else not_checked
        words = f"{settings.public_url} does not answer ({reason})."
        return [
            state(
                "address",
                words,
                "Every link of every mail leads there: start `challenge web`, look at DNS, proxy and certificate.",
            )
        ], None
    return found, at


def configuration(settings: Settings) -> Iterator[Finding]:
    """What production asks for, also while this is not production yet."""
    if not settings.is_production:
        words = "CHALLENGE_ENV is development: checks that protect people are off."
        yield warning("environment", words, "Set CHALLENGE_ENV=production before the first real person signs up.")
    else:
        yield ok("environment", "production")
    for name, value, why in (
        ("CHALLENGE_MAIL_FROM", settings.mail_from, "who writes"),
        ("CHALLENGE_MAIL_REPLY_TO", settings.mail_reply_to, "where a person's answer goes"),
        ("CHALLENGE_MAIL_POSTAL_ADDRESS", settings.mail_postal_address, "the postal address that law asks for"),
    ):
        if not value:
            yield problem("sender", f"{name} is empty: {why}.", f"Set {name}.")
    if settings.mail_from:
        yield _display_name(parseaddr(settings.mail_from)[0])
    if urlsplit(settings.public_url).scheme != "https":
        yield (problem if settings.is_production else warning)(
            "https",
            "CHALLENGE_BASE_URL is not https: one-click unsubscribing needs it (RFC 8058).",
            "Set an https address.",
        )


def _display_name(name: str) -> Finding:
    """Google 81126: the name is the sender's, without pictures, addresses or subjects."""
    if any(ord(letter) > 0x2190 and not letter.isalnum() for letter in name) or "@" in name or len(name) > 60:
        return warning(
            "from name",
            f"The sender's name is “{name}”.",
            "Take a plain name: no emoji, no address, at most 60 letters.",
        )
    return ok("from name", f"The sender's name is “{name or 'not set'}”.")
