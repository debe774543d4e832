"""One mail from a pipe: what proves it, what follows, what the mail server is told, and that nothing is lost."""

from __future__ import annotations

import base64
import quopri
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlmodel import select

from challenge import signup
from challenge.db import Database
from challenge.events import done_days, is_suppressed, lock
from challenge.inbound.receive import Exit, Outcome, receive
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, InboundReport
from challenge.plan import plan_due
from challenge.programme.definition import shipped
from challenge.rendering.links import Address
from challenge.rendering.message import Composer, Letter
from challenge.rendering.templates import Content
from challenge.settings import Settings
from challenge.tokens import Tokens

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
SETTINGS = Settings(secret_key="k" * 32, mail_from="hello@ours.example", bounce_domain="bounce.example")
TOKENS = Tokens(SETTINGS.keys)
COMPOSER = Composer(SETTINGS, shipped())


class Post:
    """Ana, whose day-1 mail went out; what is written about it comes back here."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.write() as session:
            signup.register(session, signup.read({"email": "ana@example.com", "timezone": "UTC"}), shipped(), NOON)
            self.enrollment_id = session.exec(select(Enrollment.id)).one() or 0
            signup.confirm(session, *lock(session, self.enrollment_id), shipped(), NOON, source="test")
        plan_due(database, shipped(), NOON)
        with database.write() as session:
            row = Delivery(
                enrollment_id=self.enrollment_id,
                key="day-1",
                mail="day",
                is_daily=True,
                state=DeliveryState.sent,
                planned_at=NOON,
                due_at=NOON,
                created_at=NOON,
            )
            session.add(row)
            session.flush()
            self.delivery_id = row.id or 0
        self.to = Address(self.enrollment_id, self.delivery_id, "day-1")
        self.mail = COMPOSER.compose(
            Letter(self.to, "ana@example.com", "Ana", Content("day", day=1, has_name=True), NOON)
        )

    def receive(self, data: bytes, *recipients: str) -> Outcome:
        return receive(self.database, TOKENS, data, recipients, NOON, "people@ours.example")

    def suppressed(self) -> bool:
        with self.database.read() as session:
            return is_suppressed(session, "ana@example.com")

    def done(self) -> set[int]:
        with self.database.read() as session:
            return done_days(session, self.enrollment_id)

    def is_stopped(self) -> bool:
        with self.database.read() as session:
            return session.get_one(Enrollment, self.enrollment_id).state is EnrollmentState.stopped

    def reports(self) -> list[InboundReport]:
        with self.database.read() as session:
            return list(session.exec(select(InboundReport)).all())


@pytest.fixture
def post(database: Database) -> Post:
    return Post(database)


def bounce(to: str, returned: bytes = b"", kind: str = "message/rfc822", encoding: str = "7bit") -> bytes:
    head = (
        f"Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.example\r\nTo: {to}\r\nSubject: Undelivered Mail\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relay.example\r\n\r\n"
        "Final-Recipient: rfc822; ana@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        "Diagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\r\n"
        f"--b\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return head.encode() + returned + b"\r\n--b--\r\n"


def test_a_bounce_to_the_verp_address_ends_the_address(post: Post) -> None:
    assert post.receive(bounce(post.mail.sender)) == Outcome(Exit.taken, "bounce (user_unknown): suppressed")
    assert post.suppressed()
    assert [row.authenticated_by for row in post.reports()] == ["verp"]


def test_the_envid_alone_proves_it(post: Post) -> None:
    """A relay that returns neither our mail nor our envelope still repeats what MAIL FROM said (RFC 3464 2.2.1)."""
    told = bounce("fbl@ours.example").replace(
        b"Reporting-MTA:", f"Original-Envelope-Id: {post.mail.sender}\r\nReporting-MTA:".encode()
    )
    post.receive(told)
    assert post.suppressed()
    assert [(row.authenticated_by, row.delivery_id) for row in post.reports()] == [("verp", post.delivery_id)]


def test_the_same_bounce_again_counts_once(post: Post) -> None:
    post.receive(bounce(post.mail.sender))
    assert post.receive(bounce(post.mail.sender)).said == "bounce (user_unknown): known"


def test_the_envelope_may_be_told_by_the_mail_server(post: Post) -> None:
    post.receive(bounce("bounces@bounce.example"), post.mail.sender.upper())
    assert post.suppressed()


@pytest.mark.parametrize("name", ["Delivered-To", "X-Original-To", "Envelope-To"])
def test_or_stand_in_a_header(post: Post, name: str) -> None:
    post.receive(f"{name}: {post.mail.sender}\r\n".encode() + bounce("somebody@bounce.example"))
    assert post.suppressed()


def test_the_message_id_alone_proves_it(post: Post) -> None:
    kept = f"From: hello@ours.example\r\nMessage-ID: {COMPOSER.message_id(post.to)}\r\n".encode()
    post.receive(bounce("fbl@ours.example", kept, "text/rfc822-headers"))
    assert post.suppressed()
    assert [(row.authenticated_by, row.delivery_id) for row in post.reports()] == [("message-id", post.delivery_id)]


@pytest.mark.parametrize("encoding", ["quoted-printable", "base64"])
def test_the_unsubscribe_link_alone_proves_it_however_it_is_encoded(post: Post, encoding: str) -> None:
    text = f"Subject: Day 1\r\n\r\nStop these e-mails, whenever you like: {COMPOSER.links.unsubscribe_url(post.to)}\r\n".encode()
    coded = quopri.encodestring(text) if encoding == "quoted-printable" else base64.encodebytes(text)
    assert COMPOSER.links.unsubscribe_url(post.to).encode() not in coded
    post.receive(bounce("fbl@ours.example", coded, encoding=encoding))
    assert post.suppressed()
    assert [row.authenticated_by for row in post.reports()] == ["unsubscribe link"]


def test_a_whole_returned_mail_proves_it(post: Post) -> None:
    post.receive(bounce("x@ours.example", post.mail.data))
    assert post.suppressed()


def test_a_forged_report_is_written_down_and_changes_nothing(post: Post) -> None:
    forged = [
        bounce("fbl@ours.example"),
        bounce(f"b{post.delivery_id}-aaaaaaaaaaaaaaaa@bounce.example"),
        bounce("fbl@ours.example", f"Message-ID: <{post.enrollment_id}.day-1.aaaaaaaaaaaaaaaa@ours.example>".encode()),
        bounce("fbl@ours.example", b"http://127.0.0.1:8000/unsubscribe/BAEBAAAAAAAAAAAAAAAAAAAA"),
    ]
    for data in forged:
        assert post.receive(data).exit is Exit.taken
    assert not post.suppressed()
    assert {row.authenticated_by for row in post.reports()} == {""}


def test_a_complaint_stops_everything(post: Post) -> None:
    report = (
        "From: fbl@yahoo.example\r\nTo: fbl@ours.example\r\nSubject: FW: Day 1\r\n"
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: x\r\nVersion: 1\r\n\r\n"
        f"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: {COMPOSER.message_id(post.to)}\r\n\r\nx\r\n--b--\r\n"
    )
    assert post.receive(report.encode()).said == "complaint (spam): suppressed"
    assert post.suppressed()


def written(to: str, subject: str, text: str = "", more: str = "") -> bytes:
    return f"From: Ana <ana@example.com>\r\nTo: {to}\r\nSubject: {subject}\r\n{more}\r\n{text}\r\n".encode()


@pytest.mark.parametrize(
    ("subject", "text"), [("unsubscribe", ""), ("Re: Day 1", "STOP"), ("Unsubscribe me", "please")]
)
def test_a_mail_to_the_list_unsubscribe_address_stops(post: Post, subject: str, text: str) -> None:
    assert post.receive(written(post.mail.sender, subject, text)) == Outcome(Exit.taken, "unsubscribed")
    assert post.is_stopped()
    assert not post.suppressed()


def test_a_mail_to_done_marks_the_day(post: Post) -> None:
    assert post.receive(written(f"done+{post.mail.sender}", "I did it")).said == "day 1 is done"
    assert post.receive(written(f"done+{post.mail.sender}", "I did it")).said == "day 1 was done already"
    assert post.done() == {1}


def test_the_address_in_the_mail_is_the_one_that_works(post: Post) -> None:
    text = quopri.decodestring(post.mail.data).decode()
    [address] = set(re.findall(r"mailto:(done\+[^?\s\"]+)\?", text))
    assert post.receive(written(address, "I did day 1"), address.lower()).said == "day 1 is done"


@pytest.mark.parametrize(
    "mark",
    ["Auto-Submitted: auto-replied\r\n", "X-Autoreply: yes\r\n", "Precedence: auto_reply\r\n", "Return-Path: <>\r\n"],
)
@pytest.mark.parametrize("subject", ["unsubscribe", "Out of office: Day 1"])
def test_a_machine_neither_stops_nor_does_a_day(post: Post, mark: str, subject: str) -> None:
    for address in (post.mail.sender, f"done+{post.mail.sender}"):
        assert post.receive(written(address, subject, "Thank you", mark)).exit is Exit.taken
    assert not post.is_stopped()
    assert post.done() == set()
    assert not post.suppressed()


@pytest.mark.parametrize("to", ["b1-aaaaaaaaaaaaaaaa@bounce.example", "done+b1-aaaaaaaaaaaaaaaa@bounce.example"])
def test_a_made_up_address_does_nothing(post: Post, to: str) -> None:
    assert post.receive(written(to, "unsubscribe")).exit is Exit.for_a_person
    assert not post.is_stopped()
    assert post.done() == set()


def test_any_other_reply_is_left_for_the_human(post: Post) -> None:
    outcome = post.receive(written(post.mail.sender, "My knee hurts", "What now? They said I should not stop."))
    assert outcome == Outcome(
        Exit.for_a_person, "Nobody reads mail to this address. Please write to people@ours.example."
    )
    assert not post.is_stopped()
    assert post.reports() == []


def test_it_works_for_somebody_who_was_erased(post: Post) -> None:
    with post.database.write() as session:
        session.delete(session.get_one(Enrollment, post.enrollment_id))
    assert post.receive(written(post.mail.sender, "unsubscribe")).exit is Exit.taken
    assert post.receive(written(f"done+{post.mail.sender}", "x")).exit is Exit.taken
    assert post.receive(bounce(post.mail.sender)).exit is Exit.taken


def test_a_pipe_gets_75_while_the_database_is_away_and_0_when_it_is_back(tmp_path: Path) -> None:
    environment = {"PATH": "/usr/bin", "CHALLENGE_DATA_DIR": str(tmp_path), "CHALLENGE_SECRET_KEY": "k" * 32}

    def run() -> tuple[int, str]:
        command = [sys.executable, "-m", "challenge.cli", "inbound", "receive", "--recipient", "x@bounce.example"]
        done = subprocess.run(
            command, input=bounce("x@bounce.example"), env=environment, capture_output=True, check=False, cwd=tmp_path
        )
        return done.returncode, (done.stdout + done.stderr).decode()

    code, said = run()
    assert (code, "challenge migrate" in said) == (75, True)
    database = Database(f"sqlite:///{tmp_path / 'challenge.sqlite3'}")
    database.migrate()
    assert run()[0] == 0
    with database.read() as session:
        assert [row.authenticated_by for row in session.exec(select(InboundReport)).all()] == [""]
    database.close()
