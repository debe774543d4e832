"""Mailgun's webhooks: HMAC-SHA256 over timestamp and token, with the HTTP webhook signing key.

The signature does not cover the event beside it, so it proves only that the sender knows a fresh token: each token is
taken once, and a copy with other words is refused as a replay. Mailgun comes again for eight hours after any answer but
200 and 406; what can never become right is therefore answered with 406.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

from challenge.inbound.hook import Arrived, Batch, Post, Refused, json_object, judged, part, word
from challenge.inbound.report import Hardness, Reason, Report, ReportKind
from challenge.settings import Settings


def read(post: Post, settings: Settings) -> Batch:
    """The event of one request. Raises Refused."""
    if not settings.webhook_mailgun_key:
        raise Refused("The Mailgun webhook is not set up: CHALLENGE_WEBHOOK_MAILGUN_KEY is empty.")
    told = json_object(post.body)
    signature = part(told, "signature")
    timestamp, token, given = (word(signature, name) for name in ("timestamp", "token", "signature"))
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12 and token):
        raise Refused("The request has no Mailgun signature.")
    text = f"{timestamp}{token}".encode("utf-8", "replace")
    wanted = hmac.new(settings.webhook_mailgun_key.encode(), text, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(wanted.encode(), given.lower().encode("utf-8", "replace")):
        raise Refused("The Mailgun signature does not fit.")
    event = _event(part(told, "event-data"))
    once = f"{timestamp}{token}"
    return Batch(once, datetime.fromtimestamp(int(timestamp), UTC), (event,) if event else (), "mailgun signature")


def _event(told: dict[str, Any]) -> Arrived | None:
    status = part(told, "delivery-status")
    said = " ".join(filter(None, (word(status, "message"), word(status, "description"))))
    code = word(status, "enhanced-code")
    kind, reason, hardness = ReportKind.bounce, Reason.unknown, Hardness.none
    match word(told, "event"), word(told, "severity"):
        case "complained", _:
            kind, reason = ReportKind.complaint, Reason.spam
        case "failed", "temporary":
            kind = ReportKind.delayed
            reason, _ = judged(said, code, is_final=False, otherwise=Reason.network)
        case "failed", _:
            reason, hardness = _failed(word(told, "reason"), said, code)
            if reason is Reason.spam:
                kind = ReportKind.complaint
            elif word(told, "reason") == "suppress-unsubscribe":
                kind = ReportKind.other
        case _:
            return None
    why = (word(told, "event"), word(told, "severity"), word(told, "reason"), word(status, "code"), said)
    headers = part(part(told, "message"), "headers")
    about = " ".join(
        [
            f"<{word(headers, 'message-id').strip('<>')}>",
            word(part(told, "envelope"), "sender"),
            json.dumps(told.get("user-variables")),
        ]
    )
    recipient = word(told, "recipient") or word(part(told, "envelope"), "targets")
    return Arrived(Report(recipient, kind, reason, hardness, code, " ".join(filter(None, why))[:500]), about)


def _failed(why: str, said: str, code: str) -> tuple[Reason, Hardness]:
    """Mailgun's own suppression lists first, then the words of the server."""
    if why == "suppress-bounce":
        return Reason.inactive, Hardness.hard
    if why == "suppress-complaint":
        return Reason.spam, Hardness.none
    if why == "suppress-unsubscribe":
        return Reason.unknown, Hardness.none
    if why == "old":
        return Reason.expired, Hardness.soft
    return judged(said, code, is_final=True, otherwise=Reason.user_unknown if why == "bounce" else Reason.unknown)
