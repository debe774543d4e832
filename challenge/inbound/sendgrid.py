"""SendGrid's signed Event Webhook: ECDSA (P-256, SHA-256) over timestamp and raw body, with the key of the dashboard."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from challenge.inbound.hook import Arrived, Batch, Post, Refused, from_base64, judged, require_fresh, word
from challenge.inbound.report import Hardness, Reason, Report, ReportKind
from challenge.settings import Settings

_SIGNATURE, _TIMESTAMP = "x-twilio-email-event-webhook-signature", "x-twilio-email-event-webhook-timestamp"
_CLASSES = {
    "Invalid Address": Reason.user_unknown,
    "Mailbox Unavailable": Reason.mailbox_full,
    "Reputation": Reason.reputation,
    "Content": Reason.content,
    "Frequency or Volume Too High": Reason.rate_limited,
    "Technical Failure": Reason.network,
}


def read(post: Post, settings: Settings) -> Batch:
    """The events of one request. Raises Refused."""
    if not settings.webhook_sendgrid_key:
        raise Refused("The SendGrid webhook is not set up: CHALLENGE_WEBHOOK_SENDGRID_KEY is empty.")
    timestamp = post.headers.get(_TIMESTAMP, "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Refused("The request has no SendGrid timestamp.")
    try:
        signature = from_base64(post.headers.get(_SIGNATURE, ""))
        _key(settings.webhook_sendgrid_key).verify(signature, timestamp.encode() + post.body, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        raise Refused("The SendGrid signature does not fit.") from None
    signed_at = datetime.fromtimestamp(int(timestamp), UTC)
    require_fresh(signed_at, post.at, settings)
    # an ECDSA signature can be changed and stay valid: what was signed tells a replay, not the signature
    once = f"{timestamp} {hashlib.sha256(post.body).hexdigest()}"
    return Batch(once, signed_at, tuple(filter(None, map(_event, _list(post.body)))), "sendgrid signature")


def _key(text: str) -> ec.EllipticCurvePublicKey:
    key = load_der_public_key(from_base64(text))
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("not an elliptic curve key")
    return key


def _list(body: bytes) -> list[dict[str, Any]]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused("The body is not JSON.", 400) from None
    events = found if isinstance(found, list) else [found]
    return [one for one in events if isinstance(one, dict)]


def _event(told: dict[str, Any]) -> Arrived | None:
    said, status, recipient = word(told, "reason") or word(told, "response"), word(told, "status"), word(told, "email")
    kind, reason, hardness = ReportKind.bounce, Reason.unknown, Hardness.none
    match word(told, "event"):
        case "bounce":
            usual = _CLASSES.get(word(told, "bounce_classification"))
            is_final = word(told, "type") != "blocked"
            usual = usual or (Reason.user_unknown if is_final else Reason.policy)
            reason, hardness = judged(said, status, is_final=is_final, otherwise=usual)
        case "dropped" if said in ("Bounced Address", "Invalid"):
            reason, hardness = Reason.inactive, Hardness.hard
        case "dropped" if said == "Spam Reporting Address":
            kind, reason = ReportKind.complaint, Reason.spam
        case "dropped":
            kind = ReportKind.other
        case "spamreport":
            kind, reason = ReportKind.complaint, Reason.spam
        case "deferred":
            kind = ReportKind.delayed
            reason, _ = judged(said, status, is_final=False, otherwise=Reason.network)
        case _:
            return None
    evidence = " ".join(filter(None, (word(told, "event"), word(told, "type"), status, said)))[:500]
    about = " ".join(word(told, name) for name in ("smtp-id", "message-id", "x-challenge-message-id"))
    return Arrived(Report(recipient, kind, reason, hardness, status, evidence), about)
