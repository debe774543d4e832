"""Who joined the paid programme? Told by the programme's own site (API, signed webhook) or by a file; each telling has a
key, and told twice it counts once. A telling that `refunds` an earlier one takes its amount back, in whole or in part.

By the token that every mail's join link carries, or by address. What is attributed (source, variant, day) is the
enrollment's; the last day done is kept with it, for it may change later.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from challenge.clock import real_now
from challenge.db import Database
from challenge.errors import BadInput, BadToken, UsageError
from challenge.events import append, done_days, lock
from challenge.models import Conversion, Enrollment, EventKind, Subscriber
from challenge.money import read_price, written
from challenge.signup import address
from challenge.tokens import Purpose, Tokens

COLUMNS = ("key", "email", "ref", "amount", "currency", "joined_at", "refunds")
REFUND = "refund"
SIGNATURE_LASTS_SECONDS = 300
_BATCH = 200
_LONGEST_KEY = 120


class Outcome(StrEnum):
    """What a telling did. `unmatched`: kept and counted, but nobody here is known by that address or token."""

    recorded = "recorded"
    repeated = "repeated"
    unmatched = "unmatched"


class KeyUsedTwice(BadInput):
    """The same key came with another content: one of the two is a mistake."""


@dataclass(frozen=True)
class Told:
    """One checked telling. `amount` in the currency's smallest unit; `ref` the token of the join link; without a
    `joined_at` it is the moment it is written down."""

    key: str
    email_key: str
    ref: str
    amount: int
    currency: str
    joined_at: datetime | None

    @property
    def digest(self) -> str:
        words = asdict(self) | {"joined_at": self.joined_at.isoformat() if self.joined_at else ""}
        return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Refund:
    """One checked telling that takes back. `refunds`: the key of the conversion. `amount` in the smallest unit, below zero;
    None: all that is left of it. `why` is for the story, without an address."""

    key: str
    refunds: str
    amount: int | None
    currency: str
    why: str = ""

    @property
    def digest(self) -> str:
        """Half says what is taken back, so that it is found again; half what was told."""
        words = json.dumps([self.key, self.refunds, self.amount, self.currency])
        return _half(self.refunds) + _half(words)


@dataclass(frozen=True)
class Back:
    """What was taken back of one conversion: below zero in all, and whether nothing is left."""

    amount: int
    is_whole: bool


def refunds_of(row: Conversion, backs: Iterable[Conversion]) -> Back:
    """Of these rows, those that take this conversion back."""
    mine = [back for back in backs if back.how == REFUND and back.digest.startswith(_half(row.key))]
    amount = sum(back.amount for back in mine)
    return Back(amount, bool(mine) and row.amount + amount <= 0)


def _half(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def read_refund(fields: Mapping[str, object], key: str = "", why: str = "") -> Refund:
    """Checks a telling that has `refunds`: the key of the conversion, a `key` of its own, and if only a part goes back a
    negative `amount` with its `currency`. Raises BadInput."""
    key = key or _text(fields, "key")
    if not key or len(key) > _LONGEST_KEY or not key.isprintable():
        raise BadInput("key", f"key must name this refund: 1 to {_LONGEST_KEY} printable characters, another for each.")
    given = fields.get("amount")
    text = "" if given is None else str(given).strip()
    if isinstance(given, bool) or (text and not text.startswith("-")):
        raise BadInput("amount", "amount of a refund must be below zero, like -49.00; without one all of it goes back.")
    amount, currency = read_price(text.removeprefix("-"), _text(fields, "currency"))
    if text and not amount:
        raise BadInput("amount", "amount of a refund must be below zero, like -49.00; without one all of it goes back.")
    return Refund(key, _text(fields, "refunds"), -amount if text else None, currency, why)


def refund(session: Session, told: Refund, now: datetime) -> Outcome:
    """Takes a conversion back, once: its amount, and when nothing is left of all they paid, that they joined. Raises
    BadInput where there is no such conversion or not so much left, KeyUsedTwice."""
    row = session.exec(select(Conversion).where(Conversion.key == told.refunds).with_for_update()).first()
    if row is None or row.how == REFUND:
        raise BadInput("refunds", "refunds must be the key of a conversion that was told before.")
    if row.enrollment_id is not None:
        lock(session, row.enrollment_id)
    rows = session.exec(select(Conversion).where(_of_same_person(row)).order_by(col(Conversion.id))).all()
    known = session.exec(select(Conversion).where(Conversion.key == f"{REFUND}:{told.key}")).first()
    if known is not None:
        if known.digest != told.digest:
            raise KeyUsedTwice("key", "This key was used for another refund. Send a new key.")
        return Outcome.repeated
    before = refunds_of(row, rows)
    left = row.amount + before.amount
    if before.is_whole:
        raise BadInput("refunds", "This conversion was taken back already, all of it.")
    if told.amount is not None and (told.currency != row.currency or -told.amount > left):
        raise BadInput("amount", f"Not so much is left of it: {written(left, row.currency) or 'it had no amount'}.")
    back = Conversion(
        key=f"{REFUND}:{told.key}",
        digest=told.digest,
        enrollment_id=row.enrollment_id,
        amount=-left if told.amount is None else told.amount,
        currency=row.currency,
        joined_at=now,
        recorded_at=real_now(),
        how=REFUND,
        last_day=row.last_day,
    )
    session.add(back)
    if row.enrollment_id is not None:
        still = [one for one in rows if one.how != REFUND and not refunds_of(one, [*rows, back]).is_whole]
        since = min((one.joined_at for one in still), default=None)
        detail = {"amount": back.amount, "currency": back.currency, "how": REFUND, "refunds": row.key, "why": told.why}
        detail["since"] = since.isoformat() if since else None  # no `told_at`: planning goes by the joining alone
        append(
            session, session.get_one(Enrollment, row.enrollment_id), EventKind.joined, now, who="staff", detail=detail
        )
    session.flush()
    return Outcome.unmatched if row.enrollment_id is None else Outcome.recorded


def _of_same_person(row: Conversion) -> Any:
    return (
        col(Conversion.enrollment_id) == row.enrollment_id
        if row.enrollment_id
        else col(Conversion.enrollment_id).is_(None)
    )


def read(fields: Mapping[str, object], now: datetime, key: str = "") -> Told:
    """Checks a JSON body or a row: `key` (or the header Idempotency-Key), `ref` or `email`, and if there are any
    `amount` with `currency`, `joined_at`. Raises BadInput."""
    key = key or _text(fields, "key")
    if not key or len(key) > 128 or not key.isprintable():
        raise BadInput("key", "key must name this conversion: 1 to 128 printable characters, another for each.")
    ref, email = _text(fields, "ref"), _text(fields, "email")
    if not ref and not email:
        raise BadInput("ref", "Send ref (the token of the join link) or email.")
    amount, currency = read_price(fields.get("amount"), _text(fields, "currency"))
    return Told(
        key=key,
        email_key=address(email)[1] if email else "",
        ref=ref[:128],
        amount=amount,
        currency=currency,
        joined_at=read_time(_text(fields, "joined_at"), now),
    )


def record(session: Session, told: Told, challenge: str, tokens: Tokens, now: datetime, how: str) -> Outcome:
    """Writes it down once, for whom it names. Raises KeyUsedTwice."""
    return _record(session, told, lambda: find_person(session, told, challenge, tokens), now, how)


def record_for(session: Session, enrollment_id: int, told: Told, now: datetime, how: str) -> Outcome:
    """Writes it down once, for this enrollment. Raises KeyUsedTwice."""
    return _record(session, told, lambda: enrollment_id, now, how)


def _record(session: Session, told: Told, find: Callable[[], int | None], now: datetime, how: str) -> Outcome:
    known = session.exec(select(Conversion).where(Conversion.key == told.key)).first()
    if known is not None:
        if known.digest != told.digest:
            raise KeyUsedTwice("key", "This key was used for another conversion. Send a new key.")
        return Outcome.repeated
    number, joined_at = find(), told.joined_at or now
    row = Conversion(
        key=told.key,
        digest=told.digest,
        enrollment_id=number,
        amount=told.amount,
        currency=told.currency,
        joined_at=joined_at,
        recorded_at=real_now(),
        how=how,
    )
    if number is not None:
        enrollment = _lock_all_runs(session, number, now)
        row.last_day = max(done_days(session, number), default=0)
        detail = {"amount": told.amount, "currency": told.currency, "how": how, "last_day": row.last_day}
        detail["told_at"] = now.isoformat()  # from here on, not from `joined_at`, nobody invites them any more
        append(session, enrollment, EventKind.joined, joined_at, detail=detail)
    session.add(row)
    session.flush()  # a second telling in the same moment fails here, on the unique key
    return Outcome.unmatched if number is None else Outcome.recorded


def _lock_all_runs(session: Session, number: int, now: datetime) -> Enrollment:
    """The run, once each run of its person is locked, in one order whichever it is, and will be planned anew: in none of
    them are they invited any more. Raises NotFound when erased."""
    owner = select(Enrollment.subscriber_id).where(Enrollment.id == number).scalar_subquery()
    mine = select(Enrollment.id).where(Enrollment.subscriber_id == owner).order_by(col(Enrollment.id))
    runs = {other: lock(session, other or 0)[0] for other in session.exec(mine).all()}
    for run in runs.values():
        run.plan_at = now
    return runs.get(number) or lock(session, number)[0]


def is_signed(body: bytes, header: str, secret: str, real: datetime) -> bool:
    """Whether `t=SECONDS,v1=HEX` is the HMAC-SHA256 of `SECONDS.BODY` under the secret, not older than five minutes."""
    parts = dict(part.strip().partition("=")[::2] for part in header.split(","))
    at = parts.get("t", "")
    if not secret or not (at.isascii() and at.isdigit()) or len(at) > 12:
        return False
    if abs(real.timestamp() - int(at)) > SIGNATURE_LASTS_SECONDS:
        return False
    wanted = hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted.encode(), parts.get("v1", "").encode())


@dataclass
class Imported:
    """What became of the rows of a file. `problems`: (line, what to do)."""

    recorded: int = 0
    repeated: int = 0
    unmatched: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)


def import_file(database: Database, path: Path, challenge: str, tokens: Tokens, now: datetime) -> Imported:
    """Each row by itself; a row without a key is known by its content, so a file can be read twice. Raises UsageError."""
    result = Imported()
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"email", "ref", "refunds"} & set(reader.fieldnames or ()):
                raise UsageError(f"{path} needs a column email or ref (or refunds). Columns: {', '.join(COLUMNS)}.")
            rows = [(reader.line_num, {name: row.get(name) or "" for name in COLUMNS}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as a CSV file in UTF-8: {error}.") from error
    for start in range(0, len(rows), _BATCH):
        with database.write() as session:
            for line, row in rows[start : start + _BATCH]:
                _take_row(session, line, row, challenge, tokens, now, result)
    return result


def _take_row(
    session: Session, line: int, row: dict[str, str], challenge: str, tokens: Tokens, now: datetime, result: Imported
) -> None:
    words = [row[name] for name in COLUMNS if name != "refunds" or row[name]]  # as it was before there were refunds
    content = hashlib.sha256("\x1f".join(words).encode()).hexdigest()
    try:
        if row["refunds"]:
            _count(result, refund(session, read_refund(row, row["key"] or f"file:{content}"), now))
            return
        if not row["joined_at"]:
            raise BadInput("joined_at", "joined_at must say when they joined, like 2027-03-01T09:30:00Z.")
        told = read(row, now, key=row["key"] or f"file:{content}")
        outcome = record(session, told, challenge, tokens, now, "file")
    except BadInput as error:
        result.problems.append((line, error.sentence))
        return
    _count(result, outcome)


def _count(result: Imported, outcome: Outcome) -> None:
    setattr(result, outcome.value, getattr(result, outcome.value) + 1)


def find_person(session: Session, told: Told, challenge: str, tokens: Tokens) -> int | None:
    """The enrollment the link was made for, else the latest of the address; None when nobody is known. Raises BadInput."""
    if told.ref:
        try:
            number, _ = tokens.read(Purpose.join, told.ref, 2)
        except BadToken:
            raise BadInput("ref", "ref is not a token of a join link: send it as it was in the address.") from None
        if session.get(Enrollment, number) is not None:
            return number
    if not told.email_key:
        return None
    return session.exec(
        select(Enrollment.id)
        .join(Subscriber)
        .where(Subscriber.email_key == told.email_key, Enrollment.challenge == challenge)
        .order_by(col(Enrollment.run).desc())
        .limit(1)
    ).first()


def read_time(text: str, now: datetime) -> datetime | None:
    """When they joined, as it was typed or sent; None when it was not said. Raises BadInput."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadInput("joined_at", "joined_at must be a time like 2027-03-01T09:30:00Z.") from None
    if at > now:
        raise BadInput("joined_at", "joined_at lies in the future.")
    return at


def _text(fields: Mapping[str, object], name: str) -> str:
    value: Any = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or "\x00" in value:
        raise BadInput(name, f"{name} must be text.")
    return value.strip()
