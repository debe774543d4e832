"""Postmark's webhooks. Postmark signs nothing: what proves a request is a secret it was given (its documentation, "Webhook
authentication"): basic authentication in the address (`https://any:SECRET@host/webhooks/postmark`), or the same secret in
a custom header `X-Webhook-Secret`. Serve it over https only.

Without a signature nothing binds the words or their time; `BouncedAt` and the bounce's `ID` tell stale and seen ones.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from challenge.inbound.hook import Arrived, Batch, Post, Refused, json_object, judged, word
from challenge.inbound.report import Hardness, Reason, Report, ReportKind
from challenge.settings import Settings

_TYPES: dict[str, tuple[ReportKind, Reason, Hardness]] = {
    "Transient": (ReportKind.delayed, Reason.network, Hardness.none),
    "DnsError": (ReportKind.delayed, Reason.network, Hardness.none),
    "SpamComplaint": (ReportKind.complaint, Reason.spam, Hardness.none),
    "SpamNotification": (ReportKind.bounce, Reason.content, Hardness.soft),
    "VirusNotification": (ReportKind.bounce, Reason.content, Hardness.soft),
    "Blocked": (ReportKind.bounce, Reason.reputation, Hardness.soft),
    "DMARCPolicy": (ReportKind.bounce, Reason.authentication, Hardness.soft),
    "AutoResponder": (ReportKind.auto_reply, Reason.vacation, Hardness.none),
    "AddressChange": (ReportKind.auto_reply, Reason.unknown, Hardness.none),
    "ChallengeVerification": (ReportKind.auto_reply, Reason.challenge_response, Hardness.none),
    "BadEmailAddress": (ReportKind.bounce, Reason.user_unknown, Hardness.hard),
    "ManuallyDeactivated": (ReportKind.other, Reason.inactive, Hardness.none),
}
_COMES_AGAIN = timedelta(hours=24)  # Postmark tries ten times, the last about ten hours later
_FRACTION = re.compile(r"(\.\d{6})\d+")


def read(post: Post, settings: Settings) -> Batch:
    """The event of one request. Raises Refused."""
    if not settings.webhook_postmark_secret:
        raise Refused("The Postmark webhook is not set up: CHALLENGE_WEBHOOK_POSTMARK_SECRET is empty.")
    given = post.headers.get("x-webhook-secret", "") or _password(post.headers.get("authorization", ""))
    if not hmac.compare_digest(settings.webhook_postmark_secret.encode(), given.encode("utf-8", "replace")):
        raise Refused("The secret does not fit.")
    told = json_object(post.body)
    happened = told.get("BouncedAt") or told.get("ChangedAt") or told.get("DeliveredAt") or told.get("ReceivedAt")
    event = _event(told)
    number = word(told, "ID") or f"{word(told, 'MessageID')} {happened}"
    once = f"{word(told, 'RecordType')} {word(told, 'ServerID')} {number}"
    return Batch(once, _time(happened), (event,) if event else (), "postmark secret", _COMES_AGAIN)


def _password(authorization: str) -> str:
    scheme, _, coded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(coded, validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def _time(value: object) -> datetime:
    try:
        found = datetime.fromisoformat(_FRACTION.sub(r"\1", str(value)).replace("Z", "+00:00"))
    except ValueError:
        raise Refused("The event has no readable time.", 400) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _event(told: dict[str, Any]) -> Arrived | None:
    kind, said = word(told, "Type"), " ".join(filter(None, (word(told, "Description"), word(told, "Details"))))
    match word(told, "RecordType"):
        case "SpamComplaint":
            found = ReportKind.complaint, Reason.spam, Hardness.none
        case "Bounce" if kind in _TYPES:
            found = _TYPES[kind]
        case "Bounce" if kind in ("HardBounce", "SoftBounce"):
            is_final = kind == "HardBounce"
            usual = Reason.user_unknown if is_final else Reason.unknown
            found = (
                ReportKind.bounce,
                *judged(word(told, "Details"), "", is_final=is_final, otherwise=usual),
            )
        case "Bounce":
            found = ReportKind.other, Reason.unknown, Hardness.none
        case _:
            return None
    about = f"{json.dumps(told.get('Metadata'))} {str(told.get('Content') or '')[:200_000]}"
    evidence = " ".join(filter(None, (kind, said)))[:500]
    return Arrived(Report(word(told, "Email"), *found, "", evidence), about)
