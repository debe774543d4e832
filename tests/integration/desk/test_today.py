"""The start page: what went out, what is due, what needs a human, the week ahead; and what its buttons do."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlmodel import select

from challenge import accounts
from challenge.alerts import raise_alert
from challenge.clock import real_now
from challenge.dispatch import is_stopped, stop_sending
from challenge.guards import numbers, tally
from challenge.journey import Pace
from challenge.models import (
    Alert,
    Delivery,
    DeliveryState,
    Enrollment,
    Event,
    EventKind,
    Installation,
    RateBudget,
    Subscriber,
)
from challenge.morning import Morning, _following, morning
from challenge.plan import plan_due
from challenge.rates import PAUSED
from tests.integration.desk.town import FRIDAY, Town


def settle(desk: Any, people: int) -> None:
    with desk.database.write() as session:
        Town(session, desk.challenge).settle(people)
    while plan_due(desk.database, desk.challenge, FRIDAY):
        pass


def look(desk: Any) -> Morning:
    found: Morning = desk.ask(lambda rows: morning(rows, desk.challenge, desk.settings, FRIDAY))
    return found


def test_it_counts_what_went_out_and_what_is_due(desk: Any) -> None:
    settle(desk, 60)
    found = look(desk)
    rows = desk.ask(lambda session: session.exec(select(Delivery)).all())
    recent = [row for row in rows if row.closed_at and row.closed_at >= FRIDAY.replace(minute=0) - timedelta(days=1)]
    assert found.went_out == {
        mail: dict(Counter(str(row.state) for row in recent if row.mail == mail))
        for mail in sorted({row.mail for row in recent})
    }
    assert found.sent == sum(row.state is DeliveryState.sent for row in recent) > 0
    waiting = [row for row in rows if row.state is DeliveryState.scheduled]
    midnight = FRIDAY.replace(hour=0, minute=0) + timedelta(days=1)
    assert found.due_today == sum(FRIDAY < row.due_at < midnight for row in waiting)
    assert found.due_now == sum(row.due_at <= FRIDAY for row in waiting)


def test_what_was_sent_is_as_many_as_the_domains_took(desk: Any) -> None:
    """Counts of domains are kept by the hour, so both begin with the hour in which it was 24 hours ago."""
    minutes = (-1461, -1460, -1450, -1430, -1, 0)  # it is 14:20; the hour began 1,460 minutes ago
    with desk.database.write() as session:
        Town(session, desk.challenge).settle(1)
        for row in session.exec(select(Delivery)):
            session.delete(row)
    for place, minute in enumerate(minutes):
        at = FRIDAY + timedelta(minutes=minute)
        with desk.database.write() as session:
            tally(session, {("example.com", "sent"): 1}, at)
            session.add(mail(f"day-{place + 1}", at, state=DeliveryState.sent, closed_at=at))
    watched = desk.ask(lambda rows: numbers(rows, FRIDAY))
    assert (look(desk).sent, watched.day.sent, watched.domains[0].sent) == (5, 5, 5)
    page = desk.browser("viewer").text("/dashboard/")
    assert "Sent since 14:00 yesterday (UTC)" in page


def test_it_names_the_receivers_that_refused_more_than_once(desk: Any) -> None:
    """Three of Ana's mails failed in the last day, one the day before; nobody else's did."""
    with desk.database.write() as session:
        Town(session, desk.challenge).settle(2)
        for row in session.exec(select(Delivery)):
            session.delete(row)
    for place, hours in enumerate((1, 2, 23, 25)):
        at = FRIDAY - timedelta(hours=hours)
        with desk.database.write() as session:
            row = mail(f"resend:{place}:day-1", at, state=DeliveryState.failed, closed_at=at)
            row.reason = "550 no such user"
            session.add(row)
    first = desk.ask(lambda rows: rows.get(Subscriber, rows.get(Enrollment, 1).subscriber_id).email)
    (domain,) = look(desk).failing
    assert (domain.name, domain.failed, domain.reason) == (first.partition("@")[2], 3, "550 no such user")
    assert f"<b>{domain.name} refuses:</b> 3 mails failed there" in desk.browser("viewer").text("/dashboard/")


def test_a_mail_at_midnight_is_tomorrows_for_both(desk: Any) -> None:
    with desk.database.write() as session:
        Town(session, desk.challenge).settle(1)
        for row in session.exec(select(Delivery)):
            session.delete(row)
        session.add(mail("day-1", FRIDAY.replace(hour=0, minute=0) + timedelta(days=1)))
    found = look(desk)
    assert (found.due_today, [day.total for day in found.ahead][:2]) == (0, [0, 1])


def mail(key: str, at: datetime, **more: Any) -> Delivery:
    return Delivery(
        enrollment_id=1, key=key, mail="day", is_daily=not more, planned_at=at, due_at=at, created_at=at, **more
    )


def test_it_looks_a_week_ahead_from_the_rows_that_exist(desk: Any) -> None:
    with desk.database.write() as session:
        Town(session, desk.challenge).settle(1)
        row = session.get_one(Enrollment, 1)
        for mail in session.exec(select(Delivery)):
            session.delete(mail)
        at = FRIDAY + timedelta(days=1)
        session.add(
            Delivery(
                enrollment_id=row.id or 0, key="day-3", mail="day", is_daily=True, planned_at=at, due_at=at, created_at=at
            )
        )  # fmt: skip
    ahead = look(desk).ahead
    assert [(day.day.isoformat(), day.mails) for day in ahead] == [
        ("2027-03-05", {}), ("2027-03-06", {"day": 1}), ("2027-03-07", {"day": 1}), ("2027-03-08", {"day": 1}),
        ("2027-03-09", {"finish": 1}), ("2027-03-10", {}), ("2027-03-11", {}),
    ]  # fmt: skip


def test_it_follows_each_pace_ahead() -> None:
    friday = date(2027, 3, 5)
    assert [day.day for day, _ in _following(friday, 3, 5, Pace.weekdays)] == [8, 9, 10]
    assert [name for _, name in _following(friday, 3, 5, Pace.daily)] == ["day", "day", "finish"]
    assert [name for _, name in _following(friday, 5, 5, Pace.daily)] == ["finish"]
    assert _following(friday, 3, 5, Pace.every_other_day)[-1][0] > _following(friday, 3, 5, Pace.daily)[-1][0]


def test_it_lists_what_needs_a_human(desk: Any) -> None:
    settle(desk, 30)
    with desk.database.write() as session:
        Town(session, desk.challenge).trouble()
        stop_sending(session, "535 5.7.8 wrong password")
        failed = session.exec(select(Delivery).where(Delivery.state == DeliveryState.sent).limit(2)).all()
        for row in failed:
            row.state, row.reason, row.closed_at = (
                DeliveryState.failed,
                "550 5.7.1 blocked",
                FRIDAY - timedelta(hours=1),
            )
            session.add(row)
            session.add(
                Event(
                    enrollment_id=row.enrollment_id, kind=EventKind.complained, occurred_at=FRIDAY - timedelta(hours=1),
                    recorded_at=FRIDAY,
                )
            )  # fmt: skip
        domains = [session.get_one(Enrollment, row.enrollment_id) for row in failed]
        assert len(domains) == 2
    page = desk.browser("owner").text("/dashboard/")
    for words in ("What needs you", "535 5.7.8 wrong password", "Resume sending", "Uncertain:", "Leave it",
                  "Send once more", "454 4.7.0 TLS", "Complaints rise", "No clinician has signed"):  # fmt: skip
        assert words in page, words
    viewer = desk.browser("viewer").text("/dashboard/")
    assert "@example" not in viewer
    assert "Resume sending" not in viewer
    assert "Leave it" not in viewer


def test_it_decides_an_uncertain_mail_and_closes_an_alert(desk: Any) -> None:
    settle(desk, 20)
    with desk.database.write() as session:
        Town(session, desk.challenge).trouble()
        raise_alert(session, "relay", "again")
    marketer = desk.browser("marketer")
    one, two = (row.id for row, _ in look(desk).undecided)
    for number, choice in ((one, "hold"), (two, "resend")):
        path = f"/dashboard/uncertain/{number}/{choice}"
        assert len(look(desk).undecided) == (2 if choice == "hold" else 1)
        marketer.post(path, on=path)
    assert look(desk).undecided == []
    assert desk.ask(lambda rows: rows.get(Delivery, two).state) is DeliveryState.scheduled
    marketer.post("/dashboard/alerts/relay/done", on="/dashboard/")
    assert desk.rows(Alert) == 0
    assert desk.deeds("marketer")[1:] == [
        "held an uncertain mail", "sent an uncertain mail once more", "closed an alert"
    ]  # fmt: skip


def test_it_lets_only_owners_stop_and_resume_sending(small_desk: Any) -> None:
    owner, marketer = small_desk.browser("owner"), small_desk.browser("marketer")
    assert marketer.post("/dashboard/sending/stop", on="/dashboard/account").status_code == 403
    owner.post("/dashboard/sending/stop", on="/dashboard/sending/stop")
    assert small_desk.ask(is_stopped) == "stopped by owner"
    assert "stopped by owner" in marketer.text("/dashboard/")
    owner.post("/dashboard/sending/resume", on="/dashboard/sending/resume")
    assert small_desk.ask(is_stopped) == ""
    assert owner.get("/dashboard/sending/resume").status_code == 404
    assert small_desk.deeds("owner")[1:] == ["stopped sending", "resumed sending"]


def test_it_shows_the_last_audit_and_asks_for_a_new_one(desk: Any) -> None:
    settle(desk, 20)
    marketer = desk.browser("marketer")
    assert "not been audited yet" in marketer.text("/dashboard/")
    marketer.post("/dashboard/audit", on="/dashboard/")
    assert "A new audit is asked for" in marketer.text("/dashboard/")
    assert accounts.run(desk.database, desk.challenge, desk.settings)
    page = marketer.text("/dashboard/")
    assert "were accounted for" in page
    assert "A new audit is asked for" not in page
    with desk.database.write() as session:
        session.delete(session.exec(select(Delivery).where(Delivery.state == DeliveryState.sent)).first())
    assert accounts.run(desk.database, desk.challenge, desk.settings)
    assert "The accounts do not balance" in marketer.text("/dashboard/")


def test_it_runs_one_audit_at_a_time_and_not_too_often(desk: Any) -> None:
    now = real_now()
    assert desk.ask(lambda rows: accounts.is_wanted(rows, now))
    with desk.database.write() as session:
        assert accounts._begin(session, now)
    assert not accounts.run(desk.database, desk.challenge, desk.settings)
    with desk.database.write() as session:
        assert not accounts._begin(session, now)
        assert accounts._begin(session, now + timedelta(hours=7))  # its process must have died
    with desk.database.write() as session:
        session.delete(session.get_one(Installation, accounts._RUNNING))
    assert accounts.run(desk.database, desk.challenge, desk.settings)
    assert not desk.ask(lambda rows: accounts.is_wanted(rows, real_now()))
    assert desk.ask(lambda rows: accounts.is_wanted(rows, real_now() + timedelta(minutes=6)))
    soon, ran_for = real_now() + timedelta(minutes=2), desk.ask(accounts.last).as_of
    assert not desk.ask(lambda rows: accounts.is_wanted(rows, soon, as_of=ran_for + timedelta(minutes=2)))
    assert desk.ask(lambda rows: accounts.is_wanted(rows, soon, as_of=ran_for + timedelta(days=2))), "a warped clock"
    with desk.database.write() as session:
        accounts.ask(session)
    assert desk.ask(lambda rows: accounts.is_wanted(rows, real_now()))


def test_it_audits_in_a_process_of_its_own(small_desk: Any) -> None:
    accountant = accounts.Accountant(small_desk.settings)
    accountant.look(small_desk.database, FRIDAY, is_busy=True)
    assert accountant._process is None, "mails that are due go first"
    accountant.look(small_desk.database, FRIDAY)
    assert accountant._process is not None
    assert accountant._process.wait(60) == 0
    assert small_desk.ask(accounts.last).balanced
    first = accountant._process
    with small_desk.database.write() as session:
        accounts.ask(session)
    accountant.look(small_desk.database, FRIDAY, is_busy=True)
    assert accountant._process is not first, "but who asks is answered"
    accountant.stop()


def test_it_welcomes_an_empty_desk(small_desk: Any) -> None:
    page = small_desk.browser("owner").text("/dashboard/")
    assert all(words in page for words in ("Nothing went out", "No mail is planned"))
    assert "What needs you" in page  # nobody has signed the exercises that ship
    signed = replace(small_desk.challenge, reviewed_by="Dr. Ada")
    small_desk.app.extensions["challenge"] = replace(small_desk.service, challenge=signed)
    assert "Nothing needs you" in small_desk.browser("owner").text("/dashboard/")


def test_it_shows_what_each_recipient_domain_does(small_desk: Any) -> None:
    with small_desk.database.write() as session:
        tally(
            session,
            {("gmail.com", "sent"): 1234, ("gmail.com", "complained"): 2, ("slow.example", "deferred"): 7},
            small_desk.service.clock.now(),
        )
        session.add(RateBudget(scope=f"{PAUSED}slow.example", free_at=real_now() + timedelta(hours=1)))
    page = small_desk.browser("viewer").text("/dashboard/")
    rows = re.findall(r'<th scope="row">([a-z.]+)</th>((?:<td>.*?</td>)+)</tr>', page)
    told = {domain: re.findall(r"<td>(.*?)</td>", cells) for domain, cells in rows}
    assert told["gmail.com"] == ["1,234", "0", "0", "2", "open"]
    assert told["slow.example"][:4] == ["0", "7", "0", "0"]
    assert told["slow.example"][4].startswith("left alone until ")
    assert "1,234 to Gmail" in page
