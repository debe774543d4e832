"""What do all webhooks share? A request, the events in it, what makes one stale or a replay, and handing events on.

One file per provider reads its own form and proves it genuine (`ses`, `sendgrid`, `mailgun`, `postmark`); none of them
knows the database. Signed times are real time; `now` for the effects is challenge time.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select

from challenge.errors import ChallengeError
from challenge.inbound.effects import take
from challenge.inbound.marks import find_mark
from challenge.inbound.reasons import from_status, from_words, hardness_of, plain
from challenge.inbound.report import Hardness, Reason, Report
from challenge.models import Delivery, WebhookSeen
from challenge.settings import Settings
from challenge.tokens import Tokens

_MARGIN = timedelta(seconds=60)


class Refused(ChallengeError):  # noqa: N818
    """A request that changes nothing. `status` is the answer's: 400 unreadable, 401 not proven, 409 seen before."""

    def __init__(self, sentence: str, status: int = 401) -> None:
        self.status = status
        super().__init__(sentence)


@dataclass(frozen=True)
class Post:
    """One request as it came: the raw body, header names in lower case, the real time."""

    body: bytes
    headers: Mapping[str, str]
    at: datetime


@dataclass(frozen=True)
class Arrived:
    """One event in our words. `about` is what the provider tells of the mail itself: our marks are looked for there."""

    report: Report
    about: str


@dataclass(frozen=True)
class Batch:
    """One proven request. `once` is what makes it this request and no other, `signed_at` how old it is, `lasts` for how
    long it may arrive (None: CHALLENGE_WEBHOOK_MAX_AGE)."""

    once: str
    signed_at: datetime
    events: tuple[Arrived, ...]
    proof: str
    lasts: timedelta | None = None


def accept(
    session: Session, provider: str, batch: Batch, tokens: Tokens, settings: Settings, at: datetime, now: datetime
) -> list[str]:
    """Takes every event of a proven request, once; what each did. Raises Refused for a replay. In one transaction with the
    receipt: whoever is killed on the way leaves nothing behind, and the provider comes again."""
    lasts = require_fresh(batch.signed_at, at, settings, batch.lasts)
    session.exec(delete(WebhookSeen).where(col(WebhookSeen.forget_at) < at))
    digest = hashlib.blake2b(batch.once.encode("utf-8", "replace"), digest_size=24).hexdigest()
    seen = WebhookSeen(id=f"{provider}:{digest}", forget_at=batch.signed_at + lasts + _MARGIN)
    if session.exec(select(WebhookSeen.id).where(WebhookSeen.id == seen.id)).first() is not None:
        raise Refused("This was taken before.", 409)
    try:
        with session.begin_nested():
            session.add(seen)
    except IntegrityError:
        raise Refused("This was taken before.", 409) from None
    return [_take(session, provider, event, batch.proof, tokens, now) for event in batch.events]


def require_fresh(signed_at: datetime, at: datetime, settings: Settings, lasts: timedelta | None = None) -> timedelta:
    """How long a request of this kind is taken. Raises Refused unless its signed time is that near to real time: older
    ones are refused, so what was seen need not be kept longer."""
    lasts = lasts or timedelta(seconds=settings.webhook_max_age)
    if abs(at - signed_at) > lasts:
        raise Refused("This was signed too long ago, or the clocks differ.", 403)
    return lasts


def json_object(raw: bytes | str) -> dict[str, Any]:
    """A JSON object. Raises Refused."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise Refused("The body is not JSON.", 400) from None
    if not isinstance(found, dict):
        raise Refused("The body is not a JSON object.", 400)
    return found


def from_base64(text: str) -> bytes:
    """The bytes, in their one spelling. Raises ValueError: a second spelling of a signature would hide a changed letter."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("not the usual base64")
    return raw


def part(of: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The object under `name`; an empty one when there is none."""
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def word(of: Mapping[str, Any], name: str) -> str:
    """The text or number under `name`; empty when there is none."""
    found = of.get(name)
    return str(found)[:2000] if isinstance(found, (str, int)) and not isinstance(found, bool) else ""


def judged(said: str, status: str, *, is_final: bool, otherwise: Reason) -> tuple[Reason, Hardness]:
    """What a server's words mean, as for any bounce: they decide before the provider's class does. `otherwise` when nobody
    said why; an address is dead only when the provider, too, calls it final."""
    reason = from_words(plain(said)) or from_status(status) or otherwise
    hardness = hardness_of(reason)
    return reason, Hardness.soft if hardness is Hardness.hard and not is_final else hardness


def _take(session: Session, provider: str, event: Arrived, proof: str, tokens: Tokens, now: datetime) -> str:
    mark = find_mark(event.about, tokens)
    delivery = _delivery(session, mark.delivery_id, mark.enrollment_id, mark.key) if mark else None
    return take(
        session,
        event.report,
        now,
        delivery_id=delivery.id if delivery else None,
        enrollment_id=delivery.enrollment_id if delivery else None,
        authenticated_by=proof,
        source=provider,
    )


def _delivery(session: Session, delivery_id: int | None, enrollment_id: int | None, key: str) -> Delivery | None:
    """The marked mail; None when its owner was erased: then the signed report's own recipient counts."""
    if delivery_id is not None:
        return session.get(Delivery, delivery_id)
    query = select(Delivery).where(Delivery.enrollment_id == enrollment_id, Delivery.key == key)
    return session.exec(query).first()
