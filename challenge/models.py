"""What is written down? Every table, every state; read by all steps, changed by the step that owns the row."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.engine import Dialect
from sqlmodel import Field, SQLModel

SQLModel.metadata.naming_convention = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
).naming_convention

BigId = BigInteger().with_variant(Integer(), "sqlite")
# Ids stand in links that never expire: SQLite would give the id of an erased row to the next, PostgreSQL never does.
GIVEN_ONCE = {"sqlite_autoincrement": True}


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC, also on SQLite, which forgets the zone. A naive time is refused: nobody knows what it means."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Word(TypeDecorator[StrEnum]):
    """A StrEnum, stored as its word: a new state needs no migration."""

    impl = String(32)
    cache_ok = True

    def __init__(self, kind: type[StrEnum] = StrEnum) -> None:
        super().__init__()
        self.kind = kind
        self._kinds = {one.value: one for one in kind}

    def __repr__(self) -> str:  # what a migration shows
        return "sa.String(length=32)"

    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(self.kind(value).value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self._kinds[value]


class EnrollmentState(StrEnum):
    """`pending` waits for the confirmation; `active` gets mails; `paused` none until resumed; `stopped` by the person;
    `ended` when all there was to send is sent."""

    pending = "pending"
    active = "active"
    paused = "paused"
    stopped = "stopped"
    ended = "ended"


class DeliveryState(StrEnum):
    """scheduled -> claimed -> handed_over -> sent; the rest are ends of their own (DESIGN 4)."""

    scheduled = "scheduled"
    claimed = "claimed"
    handed_over = "handed_over"
    sent = "sent"
    failed = "failed"
    cancelled = "cancelled"
    suppressed = "suppressed"
    expired = "expired"
    uncertain = "uncertain"


OPEN_STATES = (DeliveryState.scheduled, DeliveryState.claimed, DeliveryState.handed_over)


class EventKind(StrEnum):
    """What happened to one enrollment."""

    signed_up = "signed_up"
    signed_up_again = "signed_up_again"
    confirmed = "confirmed"
    opened = "opened"
    clicked = "clicked"
    completed = "completed"
    undone = "undone"
    rested = "rested"
    paused = "paused"
    resumed = "resumed"
    changed = "changed"
    missed = "missed"
    expired = "expired"
    unsubscribed = "unsubscribed"
    bounced = "bounced"
    complained = "complained"
    suppressed = "suppressed"
    joined = "joined"
    programme_consent = "programme_consent"
    resent = "resent"


class Subscriber(SQLModel, table=True):
    """One person's address and where their mornings are. `email_key` is case-folded with the domain in A-labels."""

    __table_args__ = GIVEN_ONCE

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    email: str = Field(max_length=320)
    email_key: str = Field(max_length=320, unique=True)
    first_name: str = Field(default="", max_length=200)
    timezone: str = Field(max_length=64)
    hour: int
    locale: str = Field(default="en", max_length=16)
    tracking: bool = True
    created_at: datetime = Field(sa_type=UtcDateTime)


class Enrollment(SQLModel, table=True):
    """One subscriber's run through one challenge. `plan_at`: when the planner must look at it again (None = not)."""

    __table_args__ = (
        UniqueConstraint("subscriber_id", "challenge", "run"),
        Index(
            "ix_enrollment_plan",
            "plan_at",
            sqlite_where=text("plan_at IS NOT NULL"),
            postgresql_where=text("plan_at IS NOT NULL"),
        ),
        GIVEN_ONCE,
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    subscriber_id: int = Field(foreign_key="subscriber.id", ondelete="CASCADE", sa_type=BigId)
    challenge: str = Field(max_length=64)
    run: int = 1
    state: EnrollmentState = Field(default=EnrollmentState.pending, sa_type=Word(EnrollmentState))
    position: str = Field(default="seated", max_length=16)
    pace: str = Field(default="daily", max_length=16)
    goal: str = Field(default="", max_length=16)
    variant: str = Field(default="", max_length=32)
    source: str = Field(default="", max_length=100, index=True)
    utm_source: str = Field(default="", max_length=100)
    utm_medium: str = Field(default="", max_length=100)
    utm_campaign: str = Field(default="", max_length=100)
    utm_term: str = Field(default="", max_length=100)
    utm_content: str = Field(default="", max_length=100)
    referrer: str = Field(default="", max_length=200)
    form_variant: str = Field(default="", max_length=32)
    edition: str = Field(default="", max_length=12)
    signed_up_at: datetime = Field(sa_type=UtcDateTime, index=True)
    confirmed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    plan_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Consent(SQLModel, table=True):
    """What somebody agreed to, word for word, when, and how we know."""

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    enrollment_id: int = Field(foreign_key="enrollment.id", ondelete="CASCADE", index=True, sa_type=BigId)
    kind: str = Field(max_length=16)
    version: str = Field(max_length=32)
    wording: str
    given_at: datetime = Field(sa_type=UtcDateTime)
    source: str = Field(max_length=200)
    evidence: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class Delivery(SQLModel, table=True):
    """One mail owed to one enrollment. UNIQUE (enrollment, key) is why nobody gets day 3 twice.

    `planned_at` is the morning it belongs to, `due_at` when it is tried next; `receipt` is what the relay said.
    """

    __table_args__ = (
        UniqueConstraint("enrollment_id", "key"),
        Index(
            "ix_delivery_due",
            "due_at",
            "id",
            sqlite_where=text("state = 'scheduled'"),
            postgresql_where=text("state = 'scheduled'"),
        ),
        Index(
            "ix_delivery_held",
            "claimed_by",
            sqlite_where=text("state IN ('claimed', 'handed_over')"),
            postgresql_where=text("state IN ('claimed', 'handed_over')"),
        ),
        Index(
            "ix_delivery_closed",
            "closed_at",
            "state",
            "mail",
            sqlite_where=text("closed_at IS NOT NULL"),
            postgresql_where=text("closed_at IS NOT NULL"),
        ),
        Index(
            "ix_delivery_uncertain",
            "id",
            sqlite_where=text("state = 'uncertain'"),
            postgresql_where=text("state = 'uncertain'"),
        ),
        Index(
            "uq_delivery_one_open_daily",
            "enrollment_id",
            unique=True,
            sqlite_where=text("is_daily AND state IN ('scheduled', 'claimed', 'handed_over')"),
            postgresql_where=text("is_daily AND state IN ('scheduled', 'claimed', 'handed_over')"),
        ),
        GIVEN_ONCE,
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    enrollment_id: int = Field(foreign_key="enrollment.id", ondelete="CASCADE", sa_type=BigId)
    key: str = Field(max_length=40)
    mail: str = Field(max_length=20)
    is_daily: bool
    state: DeliveryState = Field(default=DeliveryState.scheduled, sa_type=Word(DeliveryState))
    planned_at: datetime = Field(sa_type=UtcDateTime)
    due_at: datetime = Field(sa_type=UtcDateTime)
    created_at: datetime = Field(sa_type=UtcDateTime)
    claimed_by: str = Field(default="", max_length=64)
    attempts: int = 0
    strikes: int = 0
    resends: int = 0
    reason: str = Field(default="", max_length=300)
    receipt: str = Field(default="", max_length=300)
    edition: str = Field(default="", max_length=12)
    context: dict[str, Any] | None = Field(default=None, sa_type=JSON)
    composed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    handed_over_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    closed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Event(SQLModel, table=True):
    """Append-only: what happened, when, and who did it as far as we can tell. Never the visitor's address."""

    __table_args__ = (
        Index("ix_event_enrollment", "enrollment_id", "kind", "day"),
        Index("ix_event_kind", "kind", "who", "day", "enrollment_id"),
        Index("ix_event_delivery", "delivery_id"),
    )

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    enrollment_id: int = Field(foreign_key="enrollment.id", ondelete="CASCADE", sa_type=BigId)
    delivery_id: int | None = Field(default=None, sa_type=BigId)
    kind: EventKind = Field(sa_type=Word(EventKind))
    day: int | None = None
    link: str = Field(default="", max_length=32)
    occurred_at: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    who: str = Field(default="person", max_length=8)
    reasons: str = Field(default="", max_length=300)
    rules: str = Field(default="", max_length=16)
    detail: dict[str, Any] = Field(default_factory=dict, sa_type=JSON)


class SpoolFile(SQLModel, table=True):
    """How far a file of opens was taken over into the events (`tracking.spool`): bytes, written with them."""

    __tablename__ = "spool_file"

    name: str = Field(primary_key=True, max_length=64)
    read_to: int = Field(default=0, sa_type=BigInteger)


class Suppression(SQLModel, table=True):
    """An address that must not be mailed, as a hash under the installation key: it outlives erasure."""

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    address_hash: str = Field(max_length=64, unique=True)
    reason: str = Field(max_length=64)
    evidence: str = Field(default="", max_length=500)
    created_at: datetime = Field(sa_type=UtcDateTime)


class InboundReport(SQLModel, table=True):
    """One report that came back, and what it changed. `digest` keeps the same report from counting twice; `evidence` has
    no address in it, `address_hash` is empty once its owner is erased. No `authenticated_by`: it may be forged."""

    __tablename__ = "inbound_report"

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    digest: str = Field(max_length=64, unique=True)
    enrollment_id: int | None = Field(
        default=None, foreign_key="enrollment.id", ondelete="SET NULL", index=True, sa_type=BigId
    )
    delivery_id: int | None = Field(default=None, sa_type=BigId)
    address_hash: str = Field(default="", max_length=64)
    kind: str = Field(max_length=16)
    reason: str = Field(max_length=32)
    hardness: str = Field(max_length=8)
    status: str = Field(default="", max_length=16)
    evidence: str = Field(default="", max_length=500)
    source: str = Field(max_length=32)
    authenticated_by: str = Field(default="", max_length=32)
    effect: str = Field(max_length=16)
    occurred_at: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime, index=True)


class WebhookSeen(SQLModel, table=True):
    """A webhook request that was taken, until it would be refused for its age alone. Real time."""

    __tablename__ = "webhook_seen"

    id: str = Field(primary_key=True, max_length=64)
    forget_at: datetime = Field(sa_type=UtcDateTime, index=True)


class Worker(SQLModel, table=True):
    """A process that holds claims. `beat_at` is real time; a worker that does not beat is dead."""

    id: str = Field(primary_key=True, max_length=64)
    started_at: datetime = Field(sa_type=UtcDateTime)
    beat_at: datetime = Field(sa_type=UtcDateTime, index=True)


class ClockRow(SQLModel, table=True):
    """The one row every process reads the time from. `limit_at`: challenge time waits here for mails that are due."""

    __tablename__ = "clock"

    id: int = Field(default=1, primary_key=True)
    real_anchor_at: datetime = Field(sa_type=UtcDateTime)
    challenge_anchor_at: datetime = Field(sa_type=UtcDateTime)
    speed: float = 1.0
    waits: bool = False
    limit_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Installation(SQLModel, table=True):
    """Facts about this installation by name: its key, whether sending is stopped and why."""

    name: str = Field(primary_key=True, max_length=64)
    value: str


class DomainHour(SQLModel, table=True):
    """What became of the mails to one recipient domain in one hour of challenge time."""

    __tablename__ = "domain_hour"

    domain: str = Field(primary_key=True, max_length=255)
    hour: datetime = Field(sa_type=UtcDateTime, primary_key=True, index=True)
    sent: int = 0
    deferred: int = 0
    bounced: int = 0
    complained: int = 0


class RateBudget(SQLModel, table=True):
    """Until when a scope (`all` or a recipient domain) has used up its rate; shared by all workers."""

    scope: str = Field(primary_key=True, max_length=255)
    free_at: datetime = Field(sa_type=UtcDateTime)


class Alert(SQLModel, table=True):
    """Something a human must look at; one row per code while it lasts."""

    code: str = Field(primary_key=True, max_length=64)
    text: str
    count: int = 1
    raised_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)


class User(SQLModel, table=True):
    """Somebody who may open the dashboard; what they may do there follows from the role (`challenge.access.roles`)."""

    __tablename__ = "dashboard_user"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=64, unique=True)
    password_hash: str
    role: str = Field(default="owner", max_length=16)
    created_at: datetime = Field(sa_type=UtcDateTime)


class UserSession(SQLModel, table=True):
    """One browser that is logged in. Deleting the row ends it; the browser's key is kept as a hash."""

    __tablename__ = "dashboard_session"

    id: int | None = Field(default=None, primary_key=True)
    user_id: int = Field(foreign_key="dashboard_user.id", ondelete="CASCADE", index=True)
    key_hash: str = Field(max_length=64, unique=True)
    browser: str = Field(default="", max_length=64)
    started_at: datetime = Field(sa_type=UtcDateTime)
    seen_at: datetime = Field(sa_type=UtcDateTime)


class LoginTries(SQLModel, table=True):
    """How often a login was tried since `since_at` (real time) under one name, or from one network; both as hashes."""

    __tablename__ = "login_tries"

    scope: str = Field(primary_key=True, max_length=64)
    count: int
    since_at: datetime = Field(sa_type=UtcDateTime, index=True)


class ApiToken(SQLModel, table=True):
    """A bearer token, shown once, kept as a hash."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=64, unique=True)
    token_hash: str = Field(max_length=64, unique=True)
    scope: str = Field(default="read", max_length=16)
    made_by: str = Field(default="", max_length=64)
    created_at: datetime = Field(sa_type=UtcDateTime)
    used_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class AuditEntry(SQLModel, table=True):
    """Which user did what to whom; written in the same transaction as the deed."""

    __tablename__ = "audit_log"

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    at: datetime = Field(sa_type=UtcDateTime)
    user: str = Field(max_length=64)
    deed: str = Field(max_length=64)
    enrollment_id: int | None = Field(default=None, sa_type=BigId, index=True)
    detail: str = Field(default="", max_length=500)


class Conversion(SQLModel, table=True):
    """Somebody joined the paid programme. `key` is the sender's: told twice, it counts once. `amount` in the currency's
    smallest unit; without an enrollment when nobody with that address or token is known. No address is kept."""

    __table_args__ = GIVEN_ONCE

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    key: str = Field(max_length=128, unique=True)
    digest: str = Field(max_length=64)
    enrollment_id: int | None = Field(
        default=None, foreign_key="enrollment.id", ondelete="CASCADE", index=True, sa_type=BigId
    )
    amount: int = Field(default=0, sa_type=BigInteger)
    currency: str = Field(default="", max_length=3)
    joined_at: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    how: str = Field(max_length=16)
    last_day: int = 0


class ConversionLink(SQLModel, table=True):
    """A link that its person opens once, to say that they joined. `key` is the conversion's: used, or told otherwise, it
    is there. `amount` in the currency's smallest unit; times are real."""

    __tablename__ = "conversion_link"
    __table_args__ = GIVEN_ONCE

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    key: str = Field(max_length=128, unique=True)
    enrollment_id: int = Field(foreign_key="enrollment.id", ondelete="CASCADE", index=True, sa_type=BigId)
    amount: int = Field(default=0, sa_type=BigInteger)
    currency: str = Field(default="", max_length=3)
    made_by: str = Field(max_length=64)
    made_at: datetime = Field(sa_type=UtcDateTime)
    ends_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class Edition(SQLModel, table=True):
    """The challenge's files as one edition has them, zipped, so that a mail can be shown as it was. No person is in them."""

    edition: str = Field(primary_key=True, max_length=12)
    kept_at: datetime = Field(sa_type=UtcDateTime)
    files: bytes = Field(sa_type=LargeBinary)


class Visit(SQLModel, table=True):
    """How often the landing page was seen on one day (UTC, challenge time), by where visitors came from. `who`: `person`
    or `machine`. `visitors` are different networks and browsers of that day, `views` all sights."""

    __table_args__ = (UniqueConstraint("day", "who", "words"), Index("ix_visit_source", "source", "day"))

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    day: str = Field(max_length=10)
    who: str = Field(max_length=8)
    words: str = Field(max_length=64)
    challenge: str = Field(max_length=64)
    edition: str = Field(default="", max_length=12)
    source: str = Field(default="", max_length=100)
    utm_source: str = Field(default="", max_length=100)
    utm_medium: str = Field(default="", max_length=100)
    utm_campaign: str = Field(default="", max_length=100)
    utm_term: str = Field(default="", max_length=100)
    utm_content: str = Field(default="", max_length=100)
    referrer: str = Field(default="", max_length=200)
    form_variant: str = Field(default="", max_length=32)
    visitors: int = 0
    views: int = 0


class Visitor(SQLModel, table=True):
    """A visitor of today or yesterday, as a hash under that day's key; gone when the key is."""

    day: str = Field(primary_key=True, max_length=10)
    hash: str = Field(primary_key=True, max_length=32)


class StatsBlock(SQLModel, table=True):
    """Who reached what, 1,024 people to a row; made from the other tables and thrown away at will (`stats.blocks`)."""

    __tablename__ = "stats_block"

    challenge: str = Field(primary_key=True, max_length=64)
    number: int = Field(primary_key=True, sa_type=BigInteger)
    form: str = Field(max_length=32)
    version: str = Field(max_length=32)
    data: bytes = Field(sa_type=LargeBinary)


class StatsMark(SQLModel, table=True):
    """A change of somebody whose stored block does not have it yet; with a delivery, that this mail has left is all that
    changed. Written by triggers in the transaction of the change; an id is never used twice, for a process remembers
    which it has looked at."""

    __tablename__ = "stats_mark"
    __table_args__ = GIVEN_ONCE

    id: int | None = Field(default=None, primary_key=True, sa_type=BigId)
    enrollment_id: int = Field(sa_type=BigInteger)
    delivery_id: int | None = Field(default=None, sa_type=BigInteger)
