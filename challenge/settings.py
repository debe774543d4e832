"""How was this process told to behave? Read once by every door; `challenge settings` prints the answer.

Environment variables win over a `.env` file, and `CHALLENGE_DATABASE_URL` wins over a bare `DATABASE_URL`.
A wrong value stops the start with a sentence that names the variable (`SettingsError`).
"""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parseaddr
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from challenge.errors import SettingsError, UsageError

PREFIX = "CHALLENGE_"
_ALSO_BARE = {"database_url", "redis_url"}
_MAY_BE_EMPTY = {"signup_rate", "signup_address_rate"}
_SECRET = {"conversion_secret", "webhook_mailgun_key", "webhook_postmark_secret"}
_REQUIRED_IN_PRODUCTION = (
    "secret_key",
    "smtp_url",
    "base_url",
    "mail_from",
    "mail_reply_to",
    "mail_postal_address",
)


class Environment(StrEnum):
    """Where the service runs; `production` refuses what only development needs."""

    development = "development"
    production = "production"


class Subjects(StrEnum):
    """Whether somebody who looks over a shoulder may learn from a subject line what it is about."""

    discreet = "discreet"
    plain = "plain"


class OnUncertain(StrEnum):
    """What happens to a mail that nobody can say was accepted (RFC 1047)."""

    hold = "hold"
    resend_once = "resend_once"


def _about(default: Any, meaning: str, **more: Any) -> Any:
    return Field(default=default, description=meaning, validate_default=False, **more)


class Settings(BaseModel):
    """Every setting, checked. Made by `read_settings`; frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    env: Environment = _about(Environment.development, "`development` or `production`")
    data_dir: Path = _about(Path("var"), "database, embedded Valkey, keys, inbox and logs live here")
    database_url: str = _about("", "SQLite (one machine) or PostgreSQL (many); default: SQLite in the data dir")
    redis_url: str = _about("", "Redis or Valkey; default: an embedded one under `up` and `demo`")
    smtp_url: str = _about(
        "",
        "the relay: `smtps://user:pass@host:465`, `smtp://host:587` (STARTTLS required) or `smtp+plain://127.0.0.1:2525`; "
        "default: the built-in inbox",
    )
    base_url: str = _about("", "what links in mails start with; default: `http://HOST:PORT`")
    secret_key: str = _about(
        "",
        "signs links and sessions; several, comma-separated: the first signs, all verify; default in development: made and kept",
    )
    host: str = _about("127.0.0.1", "the address the web server listens on")
    port: int = _about(8000, "the port the web server listens on", ge=0, le=65535)
    workers: int = _about(2, "worker processes that send mail", ge=1, le=64)
    inbox_smtp_port: int = _about(0, "port of the built-in inbox's SMTP server; 0 = a free one", ge=0, le=65535)
    mail_from: str = _about("", "the sender, e.g. `Dr. Gretchen Hawley <hello@example.org>`")
    mail_reply_to: str = _about("", "where answers go: a person reads them")
    mail_postal_address: str = _about("", "postal address at the foot of every mail (CAN-SPAM)")
    bounce_domain: str = _about(
        "", "domain of the envelope sender, whose mail comes back to `challenge inbound`; default: that of MAIL_FROM"
    )
    dkim_domain: str = _about("", "domain that signs; default: that of MAIL_FROM")
    dkim_selector: str = _about("", "selectors in the order of the keys, comma-separated")
    dkim_key_file: str = _about("", "private keys (PEM), comma-separated: RSA-2048 and Ed25519")
    send_connections: int = _about(10, "SMTP connections per worker process", ge=1, le=500)
    send_rate: float = _about(0.0, "mails per second over all workers; 0 = no limit", ge=0)
    domain_rate: float = _about(0.0, "mails per second to one recipient domain over all workers; 0 = no limit", ge=0)
    on_uncertain: OnUncertain = _about(OnUncertain.hold, "`hold`, or `resend_once` with the same bytes and Message-ID")
    lease_seconds: float = _about(60.0, "a worker without a heartbeat for so long is dead", ge=0.5)
    smtp_timeout: float = _about(60.0, "seconds for each step of the SMTP dialogue but the last", gt=0)
    smtp_timeout_dot: float = _about(
        600.0, "seconds for the reply to the final dot (RFC 5321 4.5.3.2.6: 10 minutes)", gt=0
    )
    allowed_origins: str = _about("", "sites whose scripts may post sign-ups, comma-separated; `*` = any")
    signup_rate: str = _about("20/minute", "sign-ups per network, e.g. `20/minute`; empty = no limit")
    signup_address_rate: str = _about(
        "5/hour", "sign-ups per e-mail address (its +tag aside) that do something; empty = no limit"
    )
    signup_proof: bool = _about(False, "let the browser do a proof of work (ALTCHA) before a sign-up, on every way in")
    signup_min_seconds: float = _about(2.0, "least seconds between showing the form and posting it", ge=0)
    conversion_secret: str = _about(
        "", "signs `POST /api/v1/conversions` (HMAC-SHA256, X-Challenge-Signature) where no bearer token can be sent"
    )
    scanner_networks: str = _about("", "file of networks that filter mail, read instead of the one that ships")
    trusted_proxies: int = _about(0, "reverse proxies in front of the web server that set X-Forwarded-For", ge=0, le=5)
    webhook_ses_topics: str = _about("", "SNS topic ARNs whose SES notifications are taken, comma-separated")
    webhook_sendgrid_key: str = _about("", "verification key of SendGrid's signed event webhook (base64)")
    webhook_mailgun_key: str = _about("", "Mailgun's HTTP webhook signing key")
    webhook_postmark_secret: str = _about(
        "", "password of the basic authentication in Postmark's webhook address; Postmark signs nothing"
    )
    webhook_max_age: float = _about(
        3600.0,
        "seconds after signing that a webhook is taken; what was taken is remembered for so long",
        ge=60,
        le=86400,
    )
    subjects: Subjects = _about(
        Subjects.discreet, "`discreet`: subject lines never tell of a person's health; `plain`: they name the challenge"
    )
    guard_least_mails: int = _about(200, "mails in a window before the guards judge a rate", ge=1)
    guard_complaint_warn: float = _about(0.1, "percent of mails called spam in seven days that raises an alert", ge=0)
    guard_complaint_stop: float = _about(
        0.3, "percent called spam that stops sending (one domain's: to that domain, for an hour); 0 = never", ge=0
    )
    guard_bounce_stop: float = _about(
        5.0, "percent of a day's mails without a mailbox that stops sending (one domain's: as above); 0 = never", ge=0
    )
    guard_deferral_pause: float = _about(
        50.0,
        "percent of mails that a domain puts off in two hours before it is left alone for an hour; 0 = never",
        ge=0,
    )
    allow_unreviewed: bool = _about(False, "send day mails in production that no clinician has reviewed")
    clock_start: datetime | None = _about(None, "where a rehearsal's clock starts, e.g. `2027-03-01T06:00:00Z`")
    clock_speed: float = _about(1.0, "how many challenge seconds pass in a real one", gt=0, le=100_000)
    content: str = _about("", "folder of the challenge; default: the one that ships")

    @field_validator("clock_start")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    @field_validator("base_url")
    @classmethod
    def _http(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("is not an address like https://challenge.example.org")
        return value.rstrip("/")

    @field_validator("database_url")
    @classmethod
    def _psycopg(cls, value: str) -> str:
        if re.match(r"postgres(ql)?(\+psycopg)?://", value):
            return "postgresql+psycopg://" + value.split("://", 1)[1]
        if not value.startswith("sqlite:"):
            raise ValueError("is neither sqlite:///… nor postgresql://…")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str) -> str:
        if not re.match(r"(rediss?|unix|valkeys?)://", value):
            raise ValueError("is not redis://…, rediss://… or unix://…")
        return re.sub(r"^valkey", "redis", value)

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, value: str) -> str:
        if not re.match(r"(smtps|smtp|smtp\+plain)://[^/]", value):
            raise ValueError("is not smtps://…, smtp://… or smtp+plain://…")
        return value

    @field_validator("signup_rate", "signup_address_rate")
    @classmethod
    def _rate(cls, value: str) -> str:
        if value and not re.fullmatch(r"\d+ ?(/|per) ?(\d+ ?)?(second|minute|hour|day)s?", value):
            raise ValueError("is not like 20/minute")
        return value

    @field_validator("mail_from", "mail_reply_to")
    @classmethod
    def _sender(cls, value: str) -> str:
        address = parseaddr(value)[1]
        if (
            not re.fullmatch(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]+(\.[\w-]+)+", address, re.ASCII)
            or not value.isprintable()
        ):
            raise ValueError("is not an address like Dr. Ada <ada@example.org> (a domain of other letters: as xn--…)")
        if len(value) > 320:
            raise ValueError("has more than 320 characters")
        if any(unicodedata.category(letter) in ("So", "Sk", "Cn") for letter in value):
            raise ValueError("has a picture in the sender's name, which Gmail takes for a trick")
        return value

    @field_validator("webhook_ses_topics")
    @classmethod
    def _topics(cls, value: str) -> str:
        for topic in filter(None, (part.strip() for part in value.split(","))):
            if not re.fullmatch(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w.-]+", topic):
                raise ValueError(f"{topic} is not like arn:aws:sns:us-east-1:123456789012:bounces")
        return value

    @field_validator("webhook_sendgrid_key")
    @classmethod
    def _public_key(cls, value: str) -> str:
        from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
        from cryptography.hazmat.primitives.serialization import load_der_public_key

        try:
            if not isinstance(load_der_public_key(b64decode(value, validate=True)), EllipticCurvePublicKey):
                raise ValueError
        except ValueError:
            raise ValueError("is not the base64 verification key that SendGrid shows") from None
        return value

    @property
    def is_production(self) -> bool:
        return self.env is Environment.production

    @property
    def is_warped(self) -> bool:
        return self.clock_start is not None or self.clock_speed != 1.0

    @property
    def uses_inbox(self) -> bool:
        """Whether mails end in the built-in inbox (nothing else was set)."""
        return not self.smtp_url

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'challenge.sqlite3'}"

    @property
    def public_url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.base_url or f"http://{host}:{self.port}"

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(key.strip() for key in self.secret_key.split(",") if key.strip())

    @property
    def sender(self) -> str:
        return self.mail_from or "Challenge <challenge@challenge.example>"

    @property
    def sender_domain(self) -> str:
        return parseaddr(self.sender)[1].rpartition("@")[2].lower()

    @property
    def origins(self) -> tuple[str, ...]:
        return tuple(origin.strip() for origin in self.allowed_origins.split(",") if origin.strip())


def read_settings(
    environ: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env"), **overrides: object
) -> Settings:
    """The settings of this process; `overrides` are command-line flags (None = not given). Raises SettingsError."""
    environ = os.environ if environ is None else environ
    file = dotenv_values(dotenv) if dotenv and dotenv.is_file() else {}
    _refuse_misspelt(environ, file)
    values: dict[str, object] = {}
    for name in Settings.model_fields:
        value = _look_up(name, environ, {key: text or "" for key, text in file.items()})
        if value is not None and (value != "" or name in _MAY_BE_EMPTY):
            values[name] = value
    values.update({name: value for name, value in overrides.items() if value is not None})
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name, said = str(first["loc"][0]), str(first["msg"]).removeprefix("Value error, ")
        raise SettingsError(variable(name), f"{said}. Meaning: {Settings.model_fields[name].description}.") from None
    return _with_key(_checked_for_production(settings, values))


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def masked(settings: Settings) -> list[tuple[str, str, str]]:
    """(variable, value, meaning) of every setting, with secrets hidden."""
    return [
        (variable(name), _mask(name, getattr(settings, name)), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def _look_up(name: str, environ: Mapping[str, str], file: Mapping[str, str]) -> str | None:
    names = [variable(name)] + ([name.upper()] if name in _ALSO_BARE else [])
    for source in (environ, file):
        for candidate in names:
            if candidate in source:
                return source[candidate].strip()
    return None


def _refuse_misspelt(environ: Mapping[str, str], file: Mapping[str, object]) -> None:
    known = {variable(name) for name in Settings.model_fields} | {"CHALLENGE_PARENT_FD"}
    for name in [*environ, *file]:
        if name.startswith(PREFIX) and name not in known:
            raise SettingsError(name, "there is no such setting. `challenge settings` lists all there are.")


def _checked_for_production(settings: Settings, given: Mapping[str, object]) -> Settings:
    if not settings.is_production:
        return settings
    if missing := [name for name in _REQUIRED_IN_PRODUCTION if name not in given]:
        first, *others = missing
        too = f" Missing too: {', '.join(variable(name) for name in others)}." if others else ""
        raise SettingsError(
            variable(first), f"is required in production. Meaning: {Settings.model_fields[first].description}.{too}"
        )
    if not settings.base_url.startswith("https://"):
        raise SettingsError("CHALLENGE_BASE_URL", "must start with https:// in production.")
    if settings.is_warped:
        raise SettingsError("CHALLENGE_CLOCK_SPEED", "a warped clock is for rehearsals, not for production.")
    if any(len(key) < 32 for key in settings.keys):
        raise SettingsError("CHALLENGE_SECRET_KEY", "each key needs 32 characters or more in production.")
    return settings


def _with_key(settings: Settings) -> Settings:
    """In development a key is made once and kept in the data dir, so that links survive a restart."""
    if settings.secret_key:
        return settings
    path = settings.data_dir / "secret.key"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(48))
        except FileExistsError:
            pass
        return settings.model_copy(update={"secret_key": path.read_text().strip()})
    except OSError as error:
        raise UsageError(
            f"The data directory {settings.data_dir} cannot be used ({error.strerror}). "
            "Make it writable, or set CHALLENGE_DATA_DIR to another."
        ) from error


def _mask(name: str, value: object) -> str:
    text = "" if value is None else str(value)
    if name in _SECRET:
        return "hidden" if text else ""
    if name == "secret_key":
        return f"{len(text.split(','))} key(s), hidden" if text else ""
    text = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", text)  # to the last @: a password may hold one, or a slash
    return re.sub(r"(?i)([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", r"\1***", text)
