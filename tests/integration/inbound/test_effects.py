"""What a report changes: one path for the SMTP dialogue and for what comes back later, and nothing for a forged one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from challenge import signup
from challenge.db import Database
from challenge.events import append, is_suppressed, lock
from challenge.inbound.effects import KEPT, take
from challenge.inbound.report import Hardness, Reason, Report, ReportKind
from challenge.models import (
    Alert,
    Delivery,
    DeliveryState,
    Enrollment,
    EnrollmentState,
    Event,
    EventKind,
    InboundReport,
    Suppression,
)
from challenge.participation import erase, my_data
from challenge.plan import plan_due
from challenge.programme.definition import shipped

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
DEAD = Report("ana@example.com", ReportKind.bounce, Reason.user_unknown, Hardness.hard, "5.1.1", "<ana@example.com> no")
FULL = Report("ana@example.com", ReportKind.bounce, Reason.mailbox_full, Hardness.soft, "4.2.2", "over quota")
SPAM = Report("ana@example.com", ReportKind.complaint, Reason.spam, Hardness.none, "", "abuse")
SINGLE = {
    "delayed": Report("ana@example.com", ReportKind.delayed, Reason.network, Hardness.none, "4.4.1", "will try again"),
    "vacation": Report("ana@example.com", ReportKind.auto_reply, Reason.vacation, Hardness.none, "", "back on Monday"),
    "other": Report("ana@example.com", ReportKind.other, Reason.unknown, Hardness.none, "", "hello"),
    "policy": Report("ana@example.com", ReportKind.bounce, Reason.policy, Hardness.hard, "5.7.1", "blocked"),
    "reputation": Report("ana@example.com", ReportKind.bounce, Reason.reputation, Hardness.soft, "4.7.0", "try later"),
    "content": Report("ana@example.com", ReportKind.bounce, Reason.content, Hardness.none, "5.7.1", "looks like spam"),
}


class Desk:
    """Ana, enrolled and confirmed, with mails planned; and one place to hand reports in."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.enrollment_id = self.sign_up("ana@example.com")
        with database.read() as session:
            rows = session.exec(select(Delivery).where(Delivery.enrollment_id == self.enrollment_id)).all()
        self.delivery_id = next(row.id for row in rows if row.key == "welcome")

    def sign_up(self, email: str) -> int:
        with self.database.write() as session:
            signup.register(session, signup.read({"email": email, "timezone": "UTC"}), shipped(), NOON)
            number = max(session.exec(select(Enrollment.id)).all(), key=lambda found: found or 0) or 0
            signup.confirm(session, *lock(session, number), shipped(), NOON, source="test")
        plan_due(self.database, shipped(), NOON)
        return number

    def take(self, report: Report, now: datetime = NOON, **given: Any) -> str:
        known: dict[str, Any] = {
            "delivery_id": self.delivery_id,
            "enrollment_id": None,
            "authenticated_by": "verp",
            "source": "test",
        }
        with self.database.write() as session:
            return take(session, report, now, **(known | given))

    def add_mail(self, key: str) -> int:
        with self.database.write() as session:
            row = Delivery(
                enrollment_id=self.enrollment_id,
                key=key,
                mail="day",
                is_daily=False,
                state=DeliveryState.sent,
                planned_at=NOON,
                due_at=NOON,
                created_at=NOON,
            )
            session.add(row)
            session.flush()
            return row.id or 0

    def stopped(self) -> bool:
        with self.database.read() as session:
            return session.get_one(Enrollment, self.enrollment_id).state is EnrollmentState.stopped

    def suppressed(self, email: str = "ana@example.com") -> bool:
        with self.database.write() as session:
            return is_suppressed(session, email)

    def all(self, table: Any) -> list[Any]:
        with self.database.read() as session:
            return list(session.exec(select(table)).all())

    def kinds(self) -> list[str]:
        return [row.kind for row in self.all(Event) if row.kind in ("bounced", "complained", "suppressed")]


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def test_it_ends_a_dead_address_and_takes_the_claimed_mail_back(desk: Desk) -> None:
    with desk.database.write() as session:
        row = session.get_one(Delivery, desk.delivery_id)
        row.state, row.claimed_by = DeliveryState.claimed, "w"
        session.add(row)
    assert desk.take(DEAD) == "suppressed"
    assert desk.suppressed()
    assert desk.stopped()
    assert {row.state for row in desk.all(Delivery)} <= {DeliveryState.suppressed, DeliveryState.cancelled}
    assert desk.kinds() == ["bounced", "suppressed"]


def test_it_takes_the_same_report_once(desk: Desk) -> None:
    before = [desk.take(DEAD), desk.take(DEAD), desk.take(DEAD, NOON + timedelta(days=3))]
    assert before == ["suppressed", "known", "known"]
    assert len(desk.all(InboundReport)) == 1
    assert desk.kinds() == ["bounced", "suppressed"]
    with desk.database.write() as session:
        append(session, lock(session, desk.enrollment_id)[0], EventKind.opened, NOON)
    assert desk.take(FULL) == "counted"
    assert desk.take(FULL, NOON + timedelta(days=1)) == "known"


def test_it_stops_everything_on_a_complaint(desk: Desk) -> None:
    assert desk.take(SPAM) == "suppressed"
    assert desk.suppressed()
    assert desk.stopped()
    assert desk.kinds() == ["complained", "suppressed"]
    assert [row.reason for row in desk.all(Suppression)] == ["complaint"]


def test_it_counts_full_mailboxes_on_different_days_only(desk: Desk) -> None:
    for number in range(4):
        assert desk.take(FULL, NOON + timedelta(hours=number), delivery_id=desk.add_mail(f"a{number}")) == "counted"
    assert not desk.suppressed()
    assert desk.take(FULL, NOON + timedelta(days=2), delivery_id=desk.add_mail("b")) == "counted"
    assert desk.take(FULL, NOON + timedelta(days=4), delivery_id=desk.add_mail("c")) == "suppressed"
    assert desk.stopped()


def test_it_forgets_a_full_mailbox_after_two_weeks(desk: Desk) -> None:
    for number in range(6):
        when = NOON + timedelta(days=8 * number)
        assert desk.take(FULL, when, delivery_id=desk.add_mail(f"a{number}")) == "counted"
    assert not desk.suppressed()


@pytest.mark.parametrize("report", SINGLE.values(), ids=SINGLE)
def test_it_changes_nothing_for_what_says_nothing_about_the_mailbox(desk: Desk, report: Report) -> None:
    for number in range(5):
        when = NOON + timedelta(days=number)
        assert desk.take(report, when, delivery_id=desk.add_mail(f"a{number}")) == "noted"
    assert not desk.suppressed()
    assert not desk.stopped()
    assert desk.kinds() == []
    assert len(desk.all(InboundReport)) == 5


@pytest.mark.parametrize("report", [DEAD, FULL, SPAM], ids=["dead", "full", "spam"])
def test_it_records_a_forged_report_and_changes_nothing(desk: Desk, report: Report) -> None:
    forged = [
        desk.take(report, authenticated_by=""),
        desk.take(report, authenticated_by=""),
        desk.take(report, authenticated_by="", delivery_id=None),
        desk.take(report, authenticated_by="", delivery_id=None, enrollment_id=desk.enrollment_id),
    ]
    assert forged == ["unproven", "known", "unproven", "known"]
    assert not desk.suppressed()
    assert not desk.stopped()
    assert desk.kinds() == []
    assert [row.code for row in desk.all(Alert)] == ["unproven_reports"]
    assert desk.take(report) != "known"


def test_it_goes_by_our_number_and_not_by_the_address_beside_it(desk: Desk) -> None:
    other = desk.sign_up("ben@example.com")
    assert desk.take(Report("ben@example.com", *DEAD_WORDS)) == "suppressed"
    assert desk.suppressed()
    assert not desk.suppressed("ben@example.com")
    with desk.database.read() as session:
        assert session.get_one(Enrollment, other).state is EnrollmentState.active
    assert desk.take(Report("ben@example.com", *DEAD_WORDS), delivery_id=987_654) == "noted"
    assert not desk.suppressed("ben@example.com")


DEAD_WORDS = (ReportKind.bounce, Reason.user_unknown, Hardness.hard)


def test_it_finds_the_person_by_address_when_a_signed_report_names_nothing_else(desk: Desk) -> None:
    assert desk.take(Report("ANA@example.com", *DEAD_WORDS), delivery_id=None, authenticated_by="ses") == "suppressed"
    assert desk.stopped()
    assert desk.take(Report("gone@example.com", *DEAD_WORDS), delivery_id=None, authenticated_by="ses") == "suppressed"
    assert desk.suppressed("gone@example.com")


def test_it_ends_every_run_of_one_address(desk: Desk) -> None:
    with desk.database.write() as session:
        first = session.get_one(Enrollment, desk.enrollment_id)
        session.add(
            Enrollment(
                subscriber_id=first.subscriber_id,
                challenge="another",
                state=EnrollmentState.active,
                signed_up_at=NOON,
            )
        )
    assert desk.take(SPAM) == "suppressed"
    assert {row.state for row in desk.all(Enrollment)} == {EnrollmentState.stopped}


def test_it_keeps_no_address_once_somebody_is_erased(desk: Desk) -> None:
    desk.take(DEAD)
    assert desk.all(InboundReport)[0].evidence == "<(address)> no"
    with desk.database.write() as session:
        erase(session, session.get_one(Enrollment, desk.enrollment_id).subscriber_id)
    (row,) = desk.all(InboundReport)
    assert (row.enrollment_id, row.address_hash, row.evidence) == (None, "", "")
    assert "@" not in desk.all(Suppression)[0].evidence
    assert desk.suppressed()


def test_it_forgets_reports_after_half_a_year_and_not_what_they_did(desk: Desk) -> None:
    desk.take(DEAD)
    with desk.database.write() as session:
        row = session.exec(select(InboundReport)).one()
        row.recorded_at -= KEPT + timedelta(hours=1)
        session.add(row)
    desk.take(SINGLE["other"])
    assert [row.kind for row in desk.all(InboundReport)] == [ReportKind.other]
    assert desk.suppressed()


def test_it_survives_words_that_a_database_refuses(desk: Desk) -> None:
    wild = Report("a\x00b", ReportKind.bounce, Reason.unknown, Hardness.none, "\x00" * 40, "\x00\ud800 " * 400)
    assert desk.take(wild) == "noted"
    assert desk.take(wild, authenticated_by="", delivery_id=None) == "unproven"


def test_it_keeps_no_words_about_somebody_who_was_erased(desk: Desk) -> None:
    """A server may name them: of its words only the status stays."""
    said = "550 5.1.1 No such user: ana (Ana Smith), room 404.12.7"
    desk.take(replace(DEAD, evidence=said))
    with desk.database.write() as session:
        data = my_data(session, 1)
        assert "Ana Smith" in data["address_not_mailed"]["evidence"]
        assert "Ana Smith" in data["challenges"][0]["reports"][0]["evidence"]
        assert not {"address_hash", "digest"} & {*data["address_not_mailed"], *data["challenges"][0]["reports"][0]}
        erase(session, 1)
        erase(session, 1)
    (row,) = desk.all(Suppression)
    assert (row.reason, row.evidence) == ("hard bounce", "550 5.1.1")
    assert desk.suppressed()
