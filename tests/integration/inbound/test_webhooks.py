"""Each relay's webhook in its documented form: genuine ones are taken, changed, stale and repeated ones are refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID
from sqlmodel import select

from challenge.clock import set_up
from challenge.db import Database
from challenge.events import is_suppressed
from challenge.inbound.hook import Refused
from challenge.models import Delivery, Enrollment, InboundReport, WebhookSeen
from challenge.participation import erase
from challenge.plan import plan_due
from challenge.programme.definition import shipped
from challenge.rendering.links import Address
from challenge.settings import read_settings
from challenge.web import create_app

TOPIC = "arn:aws:sns:us-east-1:123456789012:bounces"
AMAZON_KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)
SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())
MAILGUN_KEY, POSTMARK_SECRET = "key-" + "m" * 32, "p" * 32
CERTIFICATE_URL = "https://sns.us-east-1.amazonaws.com/SimpleNotificationService-9c6465fa7f48f5cacd23014631ec1136.pem"
Send = Callable[..., Any]


def certificate(key: rsa.RSAPrivateKey, days: int = 30) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    start = datetime.now(UTC) - timedelta(days=31)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=31 + days))
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Desk:
    """The web side with one person who got one mail, and everything a provider can sign."""

    def __init__(self, folder: Path, *, fresh: bool = True, **settings: Any) -> None:
        public = SENDGRID_KEY.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        environ = {
            "CHALLENGE_DATA_DIR": str(folder),
            "CHALLENGE_SIGNUP_RATE": "",
            "CHALLENGE_WEBHOOK_SES_TOPICS": f"{TOPIC}, arn:aws:sns:eu-west-1:123456789012:other",
            "CHALLENGE_WEBHOOK_SENDGRID_KEY": base64.b64encode(public).decode(),
            "CHALLENGE_WEBHOOK_MAILGUN_KEY": MAILGUN_KEY,
            "CHALLENGE_WEBHOOK_POSTMARK_SECRET": POSTMARK_SECRET,
        }
        self.settings = read_settings(environ | settings, None)
        self.database = Database(self.settings.database)
        if fresh:
            self.database.migrate()
            with self.database.write() as session:
                set_up(session, self.settings)
        self.app = create_app(self.settings, shipped())
        self.client = self.app.test_client()
        self.asked: list[str] = []
        self.amazon = {CERTIFICATE_URL: certificate(AMAZON_KEY)}
        self.app.extensions["amazon"] = self.fetch
        if fresh:
            self.client.post("/signup", data={"email": "ana@example.com", "timezone": "UTC"})
            plan_due(self.database, shipped(), self.app.extensions["challenge"].clock.now())
        composer = self.app.extensions["challenge"].composer
        to = Address(1, 1, "confirm")
        self.verp, self.message_id = composer.envelope_sender(to), composer.message_id(to)

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        return self.amazon.get(url, b"")

    def close(self) -> None:
        self.database.close()
        self.app.extensions["challenge"].database.close()

    def post(self, provider: str, body: bytes, headers: dict[str, str]) -> Any:
        return self.client.post(f"/webhooks/{provider}", data=body, headers=headers)

    def reports(self) -> list[InboundReport]:
        with self.database.read() as session:
            return list(session.exec(select(InboundReport)).all())

    def suppressed(self, email: str = "ana@example.com") -> bool:
        with self.database.write() as session:
            return is_suppressed(session, email)

    def ses(self, told: dict[str, Any], at: float | None = None, version: str = "2", **fields: Any) -> Any:
        sns: dict[str, str] = {
            "Type": "Notification",
            "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
            "TopicArn": TOPIC,
            "Message": json.dumps(told),
            "Timestamp": f"{datetime.fromtimestamp(at or time.time(), UTC):%Y-%m-%dT%H:%M:%S.123Z}",
            "SignatureVersion": version,
            "SigningCertURL": CERTIFICATE_URL,
            **fields,
        }
        return json.dumps(signed_by_amazon(sns)).encode(), {"Content-Type": "text/plain; charset=UTF-8"}

    def sendgrid(self, events: list[dict[str, Any]], at: float | None = None) -> Any:
        body, stamp = json.dumps(events).encode(), str(int(at or time.time()))
        signature = SENDGRID_KEY.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        headers = {
            "X-Twilio-Email-Event-Webhook-Signature": base64.b64encode(signature).decode(),
            "X-Twilio-Email-Event-Webhook-Timestamp": stamp,
        }
        return body, headers

    def mailgun(self, event: dict[str, Any], at: float | None = None, token: str = "t" * 50) -> Any:
        stamp = str(int(at or time.time()))
        digest = hmac.new(MAILGUN_KEY.encode(), f"{stamp}{token}".encode(), hashlib.sha256).hexdigest()
        signature = {"timestamp": stamp, "token": token, "signature": digest}
        return json.dumps({"signature": signature, "event-data": event}).encode(), {}

    def postmark(self, event: dict[str, Any], at: float | None = None) -> Any:
        when = datetime.fromtimestamp(at or time.time(), UTC)
        coded = base64.b64encode(f"challenge:{POSTMARK_SECRET}".encode()).decode()
        body = {"ServerID": 23, "MessageStream": "outbound", "BouncedAt": f"{when:%Y-%m-%dT%H:%M:%S.9070259Z}", **event}
        return json.dumps(body).encode(), {"Authorization": f"Basic {coded}"}


def signed_by_amazon(sns: dict[str, str]) -> dict[str, str]:
    names: tuple[str, ...] = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
    if sns["Type"] != "Notification":
        names = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
    text = "".join(f"{name}\n{sns[name]}\n" for name in names if name in sns)
    algorithm = hashes.SHA256() if sns["SignatureVersion"] == "2" else hashes.SHA1()
    signature = AMAZON_KEY.sign(text.encode(), padding.PKCS1v15(), algorithm)
    return {**sns, "Signature": base64.b64encode(signature).decode()}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables and the first person, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("prepared")
    Desk(folder).close()
    return folder


@pytest.fixture
def desk(tmp_path: Path, prepared: Path) -> Iterator[Desk]:
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    desk = Desk(tmp_path, fresh=False)
    yield desk
    desk.close()


def ses_mail(desk: Desk) -> dict[str, Any]:
    return {
        "timestamp": "2016-01-27T14:59:38.237Z",
        "source": desk.verp,
        "sourceArn": "arn:aws:ses:us-east-1:888888888888:identity/example.com",
        "sendingAccountId": "123456789012",
        "messageId": "00000138111222aa-33322211-cccc-cccc-cccc-ddddaaaa0680-000000",
        "destination": ["ana@example.com"],
        "headersTruncated": False,
        "headers": [{"name": "Message-ID", "value": desk.message_id}],
        "commonHeaders": {"messageId": desk.message_id, "subject": "Hello"},
    }


def ses_bounce(desk: Desk, kind: str = "Permanent", sub: str = "General", status: str = "5.1.1", said: str = "") -> Any:
    one = {"emailAddress": "ana@example.com", "status": status, "action": "failed"}
    if said != "-":
        one["diagnosticCode"] = said or "smtp; 550 5.1.1 <ana@example.com>... User unknown"
    bounce = {
        "bounceType": kind,
        "bounceSubType": sub,
        "reportingMTA": "dns; email.example.com",
        "bouncedRecipients": [one],
        "timestamp": "2016-01-27T14:59:38.237Z",
        "feedbackId": "00000138111222aa-33322211-cccc-cccc-cccc-ddddaaaa068a-000000",
    }
    return {"notificationType": "Bounce", "bounce": bounce, "mail": ses_mail(desk)}


def sendgrid_bounce(desk: Desk, **more: str) -> dict[str, Any]:
    return {
        "email": "ana@example.com",
        "timestamp": 1513299569,
        "smtp-id": desk.message_id,
        "event": "bounce",
        "category": ["cat facts"],
        "sg_event_id": "6g4ZI7SA-xmRDv57GoPIPw==",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",
        "reason": "550 5.1.1 The email account that you tried to reach does not exist",
        "status": "5.1.1",
        "type": "bounce",
        **more,
    }


def mailgun_failed(desk: Desk, **more: Any) -> dict[str, Any]:
    return {
        "event": "failed",
        "id": "G9Bn5sl1TC6nu79C8C0bwg",
        "timestamp": 1521233195.375624,
        "log-level": "error",
        "severity": "permanent",
        "reason": "suppress-bounce",
        "delivery-status": {"attempt-no": 1, "message": "", "code": 605, "description": "Not delivering to bounced"},
        "envelope": {"sender": desk.verp, "transport": "smtp", "targets": "ana@example.com"},
        "message": {"headers": {"to": "ana@example.com", "message-id": desk.message_id.strip("<>"), "subject": "Hi"}},
        "recipient": "ana@example.com",
        "recipient-domain": "example.com",
        "user-variables": {},
        **more,
    }


def postmark_bounce(**more: Any) -> dict[str, Any]:
    return {
        "RecordType": "Bounce",
        "ID": 692560173,
        "Type": "HardBounce",
        "TypeCode": 1,
        "Name": "Hard bounce",
        "Tag": "",
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "Metadata": {},
        "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
        "Details": "smtp;550 5.1.1 user unknown",
        "Email": "ana@example.com",
        "From": "sender@example.com",
        "DumpAvailable": True,
        "Inactive": True,
        "CanActivate": True,
        "Subject": "Test subject",
        **more,
    }


def genuine(desk: Desk, provider: str, at: float | None = None) -> tuple[bytes, dict[str, str]]:
    made: dict[str, Callable[[], Any]] = {
        "ses": lambda: desk.ses(ses_bounce(desk), at),
        "sendgrid": lambda: desk.sendgrid([sendgrid_bounce(desk)], at),
        "mailgun": lambda: desk.mailgun(mailgun_failed(desk), at),
        "postmark": lambda: desk.postmark(postmark_bounce(), at),
    }
    body, headers = made[provider]()
    return body, headers


PROVIDERS = ("ses", "sendgrid", "mailgun", "postmark")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_it_takes_a_genuine_bounce_once(desk: Desk, provider: str) -> None:
    body, headers = genuine(desk, provider)
    answer = desk.post(provider, body, headers)
    assert (answer.status_code, answer.json) == (200, {"taken": 1, "did": ["suppressed"]})
    assert desk.suppressed()
    (row,) = desk.reports()
    assert (row.delivery_id, row.source, row.kind, row.hardness) == (
        None if provider == "postmark" else 1,
        provider,
        "bounce",
        "hard",
    )
    assert row.authenticated_by in (f"{provider} signature", f"{provider} secret")
    again = desk.post(provider, body, headers)
    assert again.status_code == (406 if provider == "mailgun" else 409)
    assert len(desk.reports()) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("off", [-90_000, 90_000], ids=["stale", "from the future"])
def test_it_refuses_what_was_signed_at_another_time(desk: Desk, provider: str, off: int) -> None:
    answer = desk.post(provider, *genuine(desk, provider, time.time() + off))
    assert answer.status_code == (406 if provider == "mailgun" else 403)
    assert desk.reports() == []
    assert not desk.suppressed()


@pytest.mark.parametrize("provider", ["ses", "sendgrid"])
def test_it_refuses_every_single_changed_byte(desk: Desk, provider: str) -> None:
    body, headers = genuine(desk, provider)
    for at in range(0, len(body), 5):
        changed = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
        assert desk.post(provider, changed, headers).status_code in (400, 401, 403, 503), at  # 503: no such certificate
    for name in [name for name in headers if "Webhook" in name]:
        for at in range(0, len(headers[name]), 3):
            value = headers[name]
            other = value[:at] + ("1" if value[at] != "1" else "2") + value[at + 1 :]
            assert desk.post(provider, body, {**headers, name: other}).status_code in (401, 403)
    assert desk.reports() == []
    assert not desk.suppressed()


@pytest.mark.parametrize("name", ["timestamp", "token", "signature"])
def test_it_refuses_a_changed_mailgun_signature(desk: Desk, name: str) -> None:
    told = json.loads(desk.mailgun(mailgun_failed(desk))[0])
    for at in range(len(told["signature"][name])):
        value = told["signature"][name]
        other = value[:at] + ("1" if value[at] != "1" else "2") + value[at + 1 :]
        body = json.dumps({**told, "signature": {**told["signature"], name: other}}).encode()
        assert desk.post("mailgun", body, {}).status_code == 401
    assert desk.reports() == []


def test_it_refuses_mailguns_token_beside_other_words(desk: Desk) -> None:
    first, _ = desk.mailgun({"event": "delivered"})
    assert desk.post("mailgun", first, {}).status_code == 200
    told = json.loads(first)
    told["event-data"] = mailgun_failed(desk)
    assert desk.post("mailgun", json.dumps(told).encode(), {}).status_code == 406
    assert not desk.suppressed()


def test_it_refuses_a_wrong_postmark_secret(desk: Desk) -> None:
    body, headers = desk.postmark(postmark_bounce())
    for wrong in (
        {},
        {"Authorization": "Basic " + base64.b64encode(b"challenge:wrong").decode()},
        {"Authorization": "Basic !!"},
        {"Authorization": headers["Authorization"].replace("Basic", "Bearer")},
        {"X-Webhook-Secret": "wrong"},
    ):
        assert desk.post("postmark", body, wrong).status_code == 401
    assert desk.post("postmark", body, {"X-Webhook-Secret": POSTMARK_SECRET}).status_code == 200


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"TopicArn": "arn:aws:sns:us-east-1:999999999999:bounces"}, 401),
        ({"TopicArn": "arn:aws:sns:eu-west-1:123456789012:other"}, 401),
        ({"SigningCertURL": CERTIFICATE_URL.replace("https", "http")}, 401),
        ({"SigningCertURL": "https://evil.example/SimpleNotificationService-1.pem"}, 401),
        ({"SigningCertURL": "https://sns.us-east-1.amazonaws.com.evil.example/SimpleNotificationService-1.pem"}, 401),
        ({"SigningCertURL": "https://evil.example@sns.us-east-1.amazonaws.com/SimpleNotificationService-1.pem"}, 401),
        ({"SigningCertURL": "https://sns.us-east-1.amazonaws.com:8443/SimpleNotificationService-1.pem"}, 401),
        ({"SigningCertURL": "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1.pem"}, 401),
        ({"SigningCertURL": "https://sns.us-east-1.amazonaws.com/evil.pem"}, 401),
        ({"SigningCertURL": "https://bucket.s3.amazonaws.com/SimpleNotificationService-1.pem"}, 401),
        ({"SignatureVersion": "3"}, 401),
        ({"Type": "Surprise"}, 400),
        ({"Timestamp": "yesterday"}, 400),
    ],
)
def test_it_asks_only_amazon_for_the_certificate(desk: Desk, fields: dict[str, str], status: int) -> None:
    body, headers = desk.ses(ses_bounce(desk))
    told = {**json.loads(body), **fields}
    assert desk.post("ses", json.dumps(told).encode(), headers).status_code == status
    assert desk.asked == []
    assert desk.reports() == []


@pytest.mark.parametrize("version", ["1", "2"])
def test_it_checks_both_versions_of_amazons_signature(desk: Desk, version: str) -> None:
    assert desk.post("ses", *desk.ses(ses_bounce(desk), version=version, Subject="Amazon SES")).status_code == 200
    assert desk.asked == [CERTIFICATE_URL]


@pytest.mark.parametrize("pem", [certificate(OTHER_KEY), certificate(AMAZON_KEY, days=-1), b"", b"not a certificate"])
def test_it_refuses_another_or_an_old_certificate(desk: Desk, pem: bytes) -> None:
    desk.amazon[CERTIFICATE_URL] = pem
    assert desk.post("ses", *desk.ses(ses_bounce(desk))).status_code in (401, 503)
    assert not desk.suppressed()


def test_it_confirms_a_subscription_of_its_own_topic_only(desk: Desk) -> None:
    link = f"https://sns.us-east-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"
    fields: dict[str, Any] = {"Type": "SubscriptionConfirmation", "Token": "2336412f37", "SubscribeURL": link}
    evil = "https://sns.us-east-1.amazonaws.com.evil.example/?Action=ConfirmSubscription"
    assert desk.post("ses", *desk.ses({}, **{**fields, "SubscribeURL": evil})).status_code == 401
    assert desk.asked == [CERTIFICATE_URL]
    answer = desk.post("ses", *desk.ses({}, **fields))
    assert (answer.status_code, answer.json) == (200, {"taken": 0, "did": []})
    assert desk.asked == [CERTIFICATE_URL, CERTIFICATE_URL, link]


def test_it_says_when_amazon_cannot_be_reached_and_takes_it_later(desk: Desk) -> None:
    def away(_url: str) -> bytes:
        raise Refused("Amazon SNS cannot be reached (URLError).", 503)

    body, headers = desk.ses(ses_bounce(desk))
    desk.app.extensions["amazon"] = away
    assert desk.post("ses", body, headers).status_code == 503
    desk.app.extensions["amazon"] = desk.fetch
    assert desk.post("ses", body, headers).status_code == 200


KINDS: list[tuple[str, Callable[[Desk], tuple[bytes, dict[str, str]]], str, str, str]] = [
    ("ses full", lambda d: d.ses(ses_bounce(d, "Transient", "MailboxFull", "4.2.2")), "bounce", "mailbox_full", "counted"),
    ("ses vacation", lambda d: d.ses(ses_bounce(d, "Transient", "General", "", "-")), "auto_reply", "unknown", "noted"),
    ("ses policy", lambda d: d.ses(ses_bounce(d, said="smtp; 550 5.7.1 DMARC policy")), "bounce", "authentication", "noted"),
    ("ses size", lambda d: d.ses(ses_bounce(d, "Transient", "MessageTooLarge", "5.3.4")), "bounce", "size", "noted"),
    ("ses no reason", lambda d: d.ses(ses_bounce(d, status="", said="-")), "bounce", "user_unknown", "suppressed"),
    ("ses suppressed", lambda d: d.ses(ses_bounce(d, sub="OnAccountSuppressionList")), "bounce", "inactive", "suppressed"),
    ("ses complaint", lambda d: d.ses(ses_complaint(d)), "complaint", "spam", "suppressed"),
    ("ses event", lambda d: d.ses(ses_event(d)), "complaint", "spam", "suppressed"),
    ("ses not spam", lambda d: d.ses(ses_complaint(d, "not-spam")), "other", "unknown", "noted"),
    ("ses delay", lambda d: d.ses(ses_delay(d)), "delayed", "mailbox_full", "noted"),
    ("sendgrid full", lambda d: d.sendgrid([sendgrid_bounce(d, reason="552 5.2.2 mailbox full", status="5.2.2")]), "bounce", "mailbox_full", "counted"),
    ("sendgrid blocked", lambda d: d.sendgrid([sendgrid_bounce(d, type="blocked", reason="550 5.7.1 blocked using spamhaus", status="5.7.1")]), "bounce", "reputation", "noted"),
    ("sendgrid dropped", lambda d: d.sendgrid([sendgrid_bounce(d, event="dropped", reason="Bounced Address", status="5.0.0")]), "bounce", "inactive", "suppressed"),
    ("sendgrid unsubscribed", lambda d: d.sendgrid([sendgrid_bounce(d, event="dropped", reason="Unsubscribed Address")]), "other", "unknown", "noted"),
    ("sendgrid spam", lambda d: d.sendgrid([sendgrid_bounce(d, event="spamreport")]), "complaint", "spam", "suppressed"),
    ("sendgrid deferred", lambda d: d.sendgrid([sendgrid_bounce(d, event="deferred", response="450 4.2.1 try again later", reason="", status="")]), "delayed", "", "noted"),
    ("mailgun words", lambda d: d.mailgun(mailgun_failed(d, reason="bounce", **{"delivery-status": {"code": 550, "message": "5.1.1 no such user", "enhanced-code": "5.1.1"}})), "bounce", "user_unknown", "suppressed"),
    ("mailgun policy", lambda d: d.mailgun(mailgun_failed(d, reason="bounce", **{"delivery-status": {"code": 550, "message": "5.7.1 rejected by policy"}})), "bounce", "policy", "noted"),
    ("mailgun later", lambda d: d.mailgun(mailgun_failed(d, severity="temporary", reason="generic", **{"delivery-status": {"code": 452, "message": "4.2.2 mailbox full"}})), "delayed", "mailbox_full", "noted"),
    ("mailgun old", lambda d: d.mailgun(mailgun_failed(d, reason="old")), "bounce", "expired", "counted"),
    ("mailgun spam", lambda d: d.mailgun(mailgun_failed(d, event="complained")), "complaint", "spam", "suppressed"),
    ("mailgun complaint list", lambda d: d.mailgun(mailgun_failed(d, reason="suppress-complaint")), "complaint", "spam", "suppressed"),
    ("postmark soft", lambda d: d.postmark(postmark_bounce(Type="SoftBounce", TypeCode=4096, Details="smtp;452 4.2.2 over quota")), "bounce", "mailbox_full", "counted"),
    ("postmark blocked", lambda d: d.postmark(postmark_bounce(Type="Blocked", TypeCode=100006)), "bounce", "reputation", "noted"),
    ("postmark vacation", lambda d: d.postmark(postmark_bounce(Type="AutoResponder", TypeCode=64)), "auto_reply", "vacation", "noted"),
    ("postmark later", lambda d: d.postmark(postmark_bounce(Type="Transient", TypeCode=2)), "delayed", "network", "noted"),
    ("postmark spam", lambda d: d.postmark(postmark_bounce(RecordType="SpamComplaint", Type="SpamComplaint", TypeCode=512)), "complaint", "spam", "suppressed"),
    ("postmark by hand", lambda d: d.postmark(postmark_bounce(Type="ManuallyDeactivated", TypeCode=100002)), "other", "inactive", "noted"),
]  # fmt: skip


def ses_complaint(desk: Desk, kind: str = "abuse") -> dict[str, Any]:
    complaint = {
        "userAgent": "ExampleCorp Feedback Loop (V0.01)",
        "complainedRecipients": [{"emailAddress": "ana@example.com"}],
        "complaintFeedbackType": kind,
        "arrivalDate": "2016-01-27T14:59:38.237Z",
        "timestamp": "2016-01-27T14:59:38.237Z",
        "feedbackId": "000001378603177f-18c07c78-fa81-4a58-9dd1-fedc3cb8f49a-000000",
    }
    return {"notificationType": "Complaint", "complaint": complaint, "mail": ses_mail(desk)}


def ses_event(desk: Desk) -> dict[str, Any]:
    told = ses_complaint(desk)
    return {"eventType": told.pop("notificationType"), **told}


def ses_delay(desk: Desk) -> dict[str, Any]:
    one = {"emailAddress": "ana@example.com", "status": "4.2.2", "diagnosticCode": "452 4.2.2 mailbox full"}
    delay = {"timestamp": "2020-06-16T00:25:40.095Z", "delayType": "MailboxFull", "delayedRecipients": [one]}
    return {"eventType": "DeliveryDelay", "deliveryDelay": delay, "mail": ses_mail(desk)}


@pytest.mark.parametrize(("name", "make", "kind", "reason", "did"), KINDS, ids=[row[0] for row in KINDS])
def test_it_reads_each_kind_of_event(desk: Desk, name: str, make: Any, kind: str, reason: str, did: str) -> None:
    answer = desk.post(name.split(maxsplit=1)[0], *make(desk))
    assert (answer.status_code, answer.json["did"]) == (200, [did])
    (row,) = desk.reports()
    assert row.kind == kind
    assert row.reason == reason or not reason
    assert desk.suppressed() is (did == "suppressed")
    assert "ana@" not in row.evidence


@pytest.mark.parametrize("provider", PROVIDERS)
def test_it_passes_over_events_that_concern_nobody(desk: Desk, provider: str) -> None:
    posts = {
        "ses": lambda: desk.ses({"notificationType": "Delivery", "delivery": {}, "mail": ses_mail(desk)}),
        "sendgrid": lambda: desk.sendgrid([sendgrid_bounce(desk, event="open"), {"event": 5}, {}]),
        "mailgun": lambda: desk.mailgun({"event": "opened"}),
        "postmark": lambda: desk.postmark({"RecordType": "Delivery", "ID": 1}),
    }
    answer = desk.post(provider, *posts[provider]())
    assert (answer.status_code, answer.json["did"]) == (200, [])


def test_it_takes_every_event_of_a_batch(desk: Desk) -> None:
    events = [sendgrid_bounce(desk), sendgrid_bounce(desk, email="x@example.com", **{"smtp-id": "<a@b>"})]
    assert desk.post("sendgrid", *desk.sendgrid(events)).json["did"] == ["suppressed", "suppressed"]
    assert desk.suppressed("x@example.com")


def test_it_still_stops_an_address_whose_owner_was_erased(desk: Desk) -> None:
    with desk.database.write() as session:
        erase(session, 1)
        assert session.exec(select(Enrollment)).all() == []
        assert session.exec(select(Delivery)).all() == []
    assert desk.post("ses", *desk.ses(ses_complaint(desk))).json["did"] == ["suppressed"]
    assert desk.suppressed()


def test_it_forgets_what_would_be_refused_for_its_age(desk: Desk) -> None:
    old = datetime.now(UTC) - timedelta(days=2)
    with desk.database.write() as session:
        session.add(WebhookSeen(id="ses:old", forget_at=old))
    desk.post("ses", *genuine(desk, "ses"))
    with desk.database.read() as session:
        rows = session.exec(select(WebhookSeen)).all()
    assert [row.id == "ses:old" for row in rows] == [False]
    assert all(timedelta(minutes=59) < row.forget_at - datetime.now(UTC) < timedelta(minutes=62) for row in rows)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a": 1}', b"[" * 100_000, b"0" * 5000])
def test_it_answers_nonsense_with_a_sentence(desk: Desk, provider: str, body: bytes) -> None:
    _, headers = genuine(desk, provider)
    answer = desk.post(provider, body, headers)
    assert answer.status_code in (400, 401)
    assert answer.json["error"]
    if provider == "sendgrid":
        stamp = str(int(time.time()))
        headers["X-Twilio-Email-Event-Webhook-Timestamp"] = stamp
        signature = SENDGRID_KEY.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        headers["X-Twilio-Email-Event-Webhook-Signature"] = base64.b64encode(signature).decode()
        assert desk.post(provider, body, headers).status_code in (200, 400)


def test_it_takes_no_endless_body(desk: Desk) -> None:
    assert desk.post("ses", b" " * 1_100_000, {}).status_code == 413
    assert desk.post("ses", b" " * 900_000, {}).status_code == 400


def test_it_names_what_is_not_there_and_what_is_not_set(tmp_path: Path) -> None:
    names = ("SES_TOPICS", "SENDGRID_KEY", "MAILGUN_KEY", "POSTMARK_SECRET")
    unset: dict[str, Any] = {f"CHALLENGE_WEBHOOK_{name}": "" for name in names}
    desk = Desk(tmp_path, **unset)
    answer = desk.client.post("/webhooks/pigeon", data=b"{}")
    assert answer.status_code == 404
    assert b"mailgun, postmark, sendgrid, ses" in answer.data
    for provider, name in zip(PROVIDERS, names, strict=True):
        answer = desk.post(provider, *genuine(desk, provider))
        assert answer.status_code == 401
        assert f"CHALLENGE_WEBHOOK_{name}" in answer.json["error"]
    assert desk.client.get("/webhooks/ses").status_code == 405
    desk.close()
