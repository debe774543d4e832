"""Amazon SES over SNS: is it from Amazon, from our topic, and what does it say?

The signature (version 1: SHA-1, version 2: SHA-256) is checked with a certificate that is fetched only from
sns.<region>.amazonaws.com over https, in the region of the topic, and the topic must be one of
CHALLENGE_WEBHOOK_SES_TOPICS. A subscription to such a topic is confirmed by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from challenge.inbound.hook import (
    Arrived,
    Batch,
    Post,
    Refused,
    from_base64,
    json_object,
    judged,
    part,
    require_fresh,
    word,
)
from challenge.inbound.report import Hardness, Reason, Report, ReportKind
from challenge.settings import Settings

Fetch = Callable[[str], bytes]
_NOTICE = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_SUBSCRIPTION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]{1,32}):\d{12}:[\w.-]{1,256}")
_CERTIFICATE_PATH = re.compile(r"/SimpleNotificationService-[\w-]{1,100}\.pem")
_SUB_TYPES = {
    "MailboxFull": Reason.mailbox_full,
    "MessageTooLarge": Reason.size,
    "ContentRejected": Reason.content,
    "AttachmentRejected": Reason.content,
    "CustomTimeoutExceeded": Reason.expired,
    "NoEmail": Reason.user_unknown,
    "Suppressed": Reason.inactive,
    "OnAccountSuppressionList": Reason.inactive,
}


def read(post: Post, settings: Settings, fetch: Fetch) -> Batch:
    """The events of one SNS message. `fetch` gets an https address of Amazon and returns its body. Raises Refused."""
    topics = [topic.strip() for topic in settings.webhook_ses_topics.split(",") if topic.strip()]
    if not topics:
        raise Refused("The SES webhook is not set up: CHALLENGE_WEBHOOK_SES_TOPICS names no topic.")
    told = json_object(post.body)
    topic = word(told, "TopicArn")
    found = _TOPIC.fullmatch(topic)
    if found is None or topic not in topics:
        raise Refused("This topic is not in CHALLENGE_WEBHOOK_SES_TOPICS.")
    signed_at = _time(told.get("Timestamp"))
    require_fresh(signed_at, post.at, settings)
    _verify(told, found[1], fetch, post.at)
    once = f"{topic} {told['MessageId']}"
    if told["Type"] == "SubscriptionConfirmation":
        fetch(_pinned(told.get("SubscribeURL"), found[1]))
        return Batch(once, signed_at, (), "ses signature")
    events = _events(json_object(str(told["Message"]))) if told["Type"] == "Notification" else ()
    return Batch(once, signed_at, events, "ses signature")


def _verify(told: dict[str, Any], region: str, fetch: Fetch, at: datetime) -> None:
    names = _NOTICE if told.get("Type") == "Notification" else _SUBSCRIPTION
    lines = []
    for name in names:
        value = told.get(name)
        if value is None and name == "Subject":
            continue
        if not isinstance(value, str):
            raise Refused(f"The SNS message has no {name}.", 400)
        lines.append(f"{name}\n{value}\n")
    algorithm = {"1": SHA1(), "2": SHA256()}.get(word(told, "SignatureVersion"))
    if algorithm is None:
        raise Refused("The SNS signature has an unknown version.")
    url = _pinned(told.get("SigningCertURL"), region)
    if not _CERTIFICATE_PATH.fullmatch(urlsplit(url).path):
        raise Refused("The signing certificate is not one of Amazon SNS.")
    key = _public_key(fetch(url), at)
    try:
        signature = from_base64(str(told.get("Signature", "")))
        key.verify(signature, "".join(lines).encode("utf-8", "surrogatepass"), padding.PKCS1v15(), algorithm)
    except (InvalidSignature, ValueError):
        raise Refused("The SNS signature does not fit.") from None


def _public_key(pem: bytes, at: datetime) -> rsa.RSAPublicKey:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
    except ValueError:
        raise Refused("Amazon's certificate cannot be read.", 503) from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise Refused("Amazon's certificate has no RSA key.")
    if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
        raise Refused("Amazon's certificate is not valid now.")
    return key


def _pinned(url: object, region: str) -> str:
    """The address, when it is one of Amazon SNS in the topic's region. Raises Refused: nothing else is ever fetched."""
    hosts = (f"sns.{region}.amazonaws.com", f"sns.{region}.amazonaws.com.cn")
    if isinstance(url, str) and url.isascii() and url.isprintable():
        try:
            parts = urlsplit(url)
            if parts.scheme == "https" and parts.netloc in hosts:
                return url
        except ValueError:
            pass
    raise Refused("An address in the SNS message does not belong to Amazon SNS.")


def _time(value: object) -> datetime:
    try:
        found = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise Refused("The SNS message has no readable Timestamp.", 400) from None
    if found.tzinfo is None:
        raise Refused("The SNS message has no readable Timestamp.", 400)
    return found


def _events(told: dict[str, Any]) -> tuple[Arrived, ...]:
    """Both of SES's forms: identity notifications (`notificationType`) and event publishing (`eventType`)."""
    kind = word(told, "notificationType") or word(told, "eventType")
    mail = part(told, "mail")
    about = " ".join([word(mail, "source"), json.dumps([mail.get("headers"), mail.get("commonHeaders")])])
    if kind == "Bounce":
        bounce = part(told, "bounce")
        reports = [_bounce(bounce, one) for one in _recipients(bounce, "bouncedRecipients")]
    elif kind == "Complaint":
        complaint = part(told, "complaint")
        reports = [_complaint(complaint, one) for one in _recipients(complaint, "complainedRecipients")]
    elif kind == "DeliveryDelay":
        delay = part(told, "deliveryDelay")
        reports = [_delay(delay, one) for one in _recipients(delay, "delayedRecipients")]
    else:
        reports = []
    return tuple(Arrived(report, about) for report in reports)


def _recipients(of: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = of.get(name)
    return [one for one in found[:100] if isinstance(one, dict)] if isinstance(found, list) else []


def _bounce(bounce: dict[str, Any], one: dict[str, Any]) -> Report:
    kind, sub, said = word(bounce, "bounceType"), word(bounce, "bounceSubType"), word(one, "diagnosticCode")
    status, is_final = word(one, "status"), kind == "Permanent"
    evidence = " ".join(filter(None, (kind, sub, status, said)))[:500]
    if kind == "Transient" and sub == "General" and not said:
        # SES calls answers such as vacation notes "Transient, General", without a diagnostic code
        return Report(word(one, "emailAddress"), ReportKind.auto_reply, Reason.unknown, Hardness.none, status, evidence)
    usual = Reason.user_unknown if is_final else Reason.unknown
    if sub in _SUB_TYPES:
        reason, hardness = _SUB_TYPES[sub], Hardness.hard if is_final else Hardness.soft
        if reason in (Reason.size, Reason.content):
            hardness = Hardness.soft
    else:
        reason, hardness = judged(said, status, is_final=is_final, otherwise=usual)
    return Report(word(one, "emailAddress"), ReportKind.bounce, reason, hardness, status, evidence)


def _complaint(complaint: dict[str, Any], one: dict[str, Any]) -> Report:
    kind = word(complaint, "complaintFeedbackType")
    if kind == "not-spam":
        return Report(word(one, "emailAddress"), ReportKind.other, Reason.unknown, Hardness.none, "", kind)
    said = " ".join(filter(None, (kind, word(complaint, "complaintSubType"), word(complaint, "userAgent"))))
    return Report(word(one, "emailAddress"), ReportKind.complaint, Reason.spam, Hardness.none, "", said[:500])


def _delay(delay: dict[str, Any], one: dict[str, Any]) -> Report:
    said, status = word(one, "diagnosticCode"), word(one, "status")
    reason, _ = judged(said, status, is_final=False, otherwise=Reason.network)
    evidence = " ".join(filter(None, (word(delay, "delayType"), status, said)))[:500]
    return Report(word(one, "emailAddress"), ReportKind.delayed, reason, Hardness.none, status, evidence)
