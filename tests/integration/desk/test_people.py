"""People at the desk: found by a part of their address, told as a story, changed only after a question."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from challenge import signup
from challenge.conversions import read, record_for
from challenge.editions import keep
from challenge.events import append, lock
from challenge.models import (
    Conversion,
    ConversionLink,
    Delivery,
    DeliveryState,
    Edition,
    Enrollment,
    EnrollmentState,
    Event,
    EventKind,
    Subscriber,
)
from challenge.plan import plan_due
from tests.unit.programme.test_variants import SHORT_PAGE, SHORT_TEXT, challenge_with


def enroll(desk: Any, email: str, confirmed: bool = True, **fields: str) -> int:
    now = desk.service.clock.now()
    with desk.database.write() as session:
        fields = {"timezone": "Europe/Berlin"} | fields
        signup.register(session, signup.read({"email": email, **fields}), desk.challenge, now)
    with desk.database.write() as session:
        number = max(session.exec(select(Enrollment.id)))
        enrollment, subscriber = lock(session, number)
        if confirmed:
            signup.confirm(session, enrollment, subscriber, desk.challenge, now, source="confirmation page")
    plan_due(desk.database, desk.challenge, now)
    return int(number)


def send_welcome(desk: Any, number: int) -> Delivery:
    now = desk.service.clock.now()
    with desk.database.write() as session:
        row: Delivery = session.exec(
            select(Delivery).where(Delivery.enrollment_id == number, Delivery.key == "welcome")
        ).one()
        row.state, row.closed_at, row.composed_at, row.receipt = DeliveryState.sent, now, now, "250 taken"
        row.edition = desk.challenge.edition
        row.context = {
            "first_name": "Ana", "day": 1, "position": "seated", "goal": "", "done": [], "rested": 0, "hour": 8,
            "pace": "daily", "tracking": True,
        }  # fmt: skip
        session.add(row)
        return row


def test_it_finds_people_by_address_name_and_source(desk: Any) -> None:
    numbers = [
        enroll(desk, "ana.smith@example.com", first_name="Ana", utm_source="podcast"),
        enroll(desk, "ben_100%@example.org", first_name="Ben"),
        enroll(desk, "cleo@example.net", first_name="Zoë", utm_source="podcast"),
    ]
    marketer = desk.browser("marketer")

    def found(query: str) -> list[int]:
        return [
            int(n) for n in re.findall(r'href="/dashboard/people/(\d+)"', marketer.text(f"/dashboard/people{query}"))
        ]

    assert found("") == numbers[::-1]
    assert found("?q=SMITH") == found("?q=ana.smith@example.com") == numbers[:1]
    assert found("?q=zo") == numbers[2:]
    assert found("?q=100%25") == numbers[1:2]
    assert found("?q=example.n%25t") == []
    assert found("?source=podcast") == [numbers[2], numbers[0]]
    assert found("?q=ana&source=podcast") == numbers[:1]
    assert found(f"?before={numbers[1]}") == numbers[:1]
    assert "Nobody fits" in marketer.text("/dashboard/people?q=nobody")


def test_it_tells_one_persons_whole_story(desk: Any) -> None:
    number = enroll(desk, "ana@example.com", first_name="<b>Ana</b>".replace("<b>", "").replace("</b>", ""))
    row = send_welcome(desk, number)
    now = desk.service.clock.now()
    with desk.database.write() as session:
        enrollment, _ = lock(session, number)
        append(session, enrollment, EventKind.opened, now, day=1, delivery=row, who="proxy", reasons="apple privacy")
        for link in ("day", "rest", "preferences"):
            append(
                session,
                enrollment,
                EventKind.clicked,
                now,
                day=1,
                delivery=row,
                link=link,
                who="machine",
                reasons="a burst",
            )
        append(session, enrollment, EventKind.completed, now + timedelta(hours=1), day=1)
    page = desk.browser("marketer").text(f"/dashboard/people/{number}")
    for words in (
        "Mail welcome: sent",
        "250 taken",
        "Did day 1",
        "apple privacy",
        "3 times within a minute",
        "Said yes",
    ):
        assert words in page, words
    assert desk.challenge.consent.challenge[:40] in page
    assert "Europe/Berlin, at 8:00" in page


def test_it_shows_a_mail_whose_links_do_nothing(desk: Any) -> None:
    number = enroll(desk, "ana@example.com")
    row = send_welcome(desk, number)
    marketer = desk.browser("marketer")
    assert "As text" in marketer.text(f"/dashboard/people/{number}/mails/{row.id}")
    answer = marketer.get(f"/dashboard/people/{number}/mails/{row.id}/html")
    page = answer.get_data(as_text=True)
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "Ana" in page
    before = desk.rows(Event)
    links = set(re.findall(r'(?:href|src)="(?:http://[^/"]+)?(/[^"]+)"', page))
    assert any(link.startswith("/o/") for link in links)
    for link in links:
        if not link.startswith(("/pictures", "/static")):
            marketer.get(link)
            marketer.client.post(link, data={"List-Unsubscribe": "One-Click"})
    assert desk.rows(Event) == before
    other = enroll(desk, "ben@example.com")
    assert marketer.get(f"/dashboard/people/{other}/mails/{row.id}").status_code == 404


def test_it_hides_people_from_viewers(desk: Any) -> None:
    number = enroll(desk, "ana@example.com")
    viewer = desk.browser("viewer")
    for path in (
        "",
        f"/{number}",
        f"/{number}/mails/1",
        f"/{number}/mails/1/html",
        f"/{number}/export",
        f"/{number}/erase",
    ):
        assert viewer.get(f"/dashboard/people{path}").status_code == 403
    for deed in ("pause", "erase", "export", "suppress"):
        assert viewer.post(f"/dashboard/people/{number}/{deed}", on="/dashboard/account").status_code == 403
    assert "ana@" not in viewer.text("/dashboard/")
    assert desk.rows(Subscriber) == 1


@pytest.mark.parametrize(
    ("deed", "state"), [("pause", EnrollmentState.paused), ("suppress", EnrollmentState.stopped), ("erase", None)]
)
def test_it_asks_before_it_acts_and_logs_who(desk: Any, deed: str, state: EnrollmentState | None) -> None:
    number = enroll(desk, "ana@example.com")
    marketer, path = desk.browser("marketer"), f"/dashboard/people/{number}/{deed}"
    assert "ana@example.com" in marketer.text(path)
    assert desk.ask(lambda rows: rows.get(Enrollment, number).state) is EnrollmentState.active
    assert marketer.post(path, on=path, why="by phone").status_code == 303
    left = desk.ask(lambda rows: rows.get(Enrollment, number))
    assert (left.state if left else None) is state
    assert len(desk.deeds("marketer")) == 2  # the login, the deed
    again = marketer.post(path, on="/dashboard/account", back=f"/dashboard/people/{number}")
    assert again.status_code == (404 if deed == "erase" else 303)
    assert len(desk.deeds("marketer")) == 2


def test_it_exports_resumes_and_sends_again(desk: Any) -> None:
    number = enroll(desk, "ana@example.com")
    row = send_welcome(desk, number)
    marketer, path = desk.browser("marketer"), f"/dashboard/people/{number}"
    answer = marketer.post(f"{path}/export", on=f"{path}/export")
    assert answer.json is not None
    assert answer.json["person"]["email"] == "ana@example.com"
    assert "attachment" in answer.headers["Content-Disposition"]
    marketer.post(f"{path}/mails/{row.id}/again", on=f"{path}/mails/{row.id}/again")
    assert "resend:1:welcome" in marketer.text(path)
    marketer.post(f"{path}/pause", on=f"{path}/pause")
    marketer.post(f"{path}/resume", on=f"{path}/resume")
    assert desk.deeds("marketer")[1:] == [
        "exported a person's data", "sent a mail again", "paused a person", "resumed a person"
    ]  # fmt: skip
    assert all(words in marketer.text(path) for words in ("What the desk did", "sent a mail again"))


def test_it_has_no_page_for_people_who_are_not_there(desk: Any) -> None:
    marketer = desk.browser("marketer")
    for path in ("1", "1/pause", "1/mails/1", "1/mails/1/again", "1/mails/1/html", "1/explode"):
        assert marketer.get(f"/dashboard/people/{path}").status_code == 404
    assert marketer.get("/dashboard/uncertain/1/hold").status_code == 404
    assert marketer.get(f"/dashboard/people/{2**70}").status_code == 404
    assert marketer.get("/dashboard/people?before=nonsense").status_code == 200


def test_it_notes_who_joined_and_makes_links(desk: Any) -> None:
    number = enroll(desk, "ana@example.com")
    marketer, path = desk.browser("marketer"), f"/dashboard/people/{number}"
    asked = marketer.text(f"{path}/joined")
    form = re.search(r'name="form" value="(\w+)"', asked)
    assert form is not None
    fields = {"amount": "49", "currency": "usd", "form": form[1], "days": "30"}
    for wrong in ({"amount": "a lot"}, {"currency": ""}, {"joined_at": "2999-01-01"}, {"days": "-1"}):
        answer = marketer.post(f"{path}/joined", on=f"{path}/joined", **fields | wrong)
        assert (answer.status_code, 'role="alert"' in answer.text, desk.rows(Conversion)) == (422, True, 0)
    for _ in range(2):
        assert marketer.post(f"{path}/joined", on=f"{path}/joined", **fields).status_code == 303
    assert desk.rows(Conversion) == 1
    assert "It is noted already" in marketer.text(f"{path}/joined")
    assert 'value="49"' in marketer.text(f"{path}/joined")  # the price of the last one
    for _ in range(2):
        marketer.post(f"{path}/joined", on=f"{path}/joined", **fields, do="link")
    page = marketer.text(path)
    assert all(words in page for words in ("Joined the programme", "49.00 USD, noted at the desk", "by marketer"))
    first, second = sorted(set(re.findall(r"http://\S+/joined/[\w-]+", page)))
    assert first != second
    marketer.post(f"{path}/links/1/back", on=f"{path}/links/1/back")
    assert len(set(re.findall(r"http://\S+/joined/[\w-]+", marketer.text(path)))) == 1
    other = enroll(desk, "ben@example.com")
    marketer.post(f"/dashboard/people/{other}/links/2/back", on=f"/dashboard/people/{other}/links/2/back")
    assert desk.rows(ConversionLink) == 1
    assert desk.deeds("marketer")[1:] == [
        "noted that somebody joined", "made a join link", "made a join link", "took a join link back"
    ]  # fmt: skip
    assert desk.browser("viewer").get(f"{path}/joined").status_code == 403


def test_it_shows_a_mail_in_the_words_it_had(desk: Any, tmp_path: Path) -> None:
    """The version that lost was taken out of the file, and its picture with it; its mails still say what they said."""
    then = challenge_with(tmp_path, '[variants.mails.b]\nday-2 = "short"', short=(SHORT_TEXT, SHORT_PAGE))
    for _ in range(2):
        keep(desk.database, then)
    number = enroll(desk, "ana@example.com")
    row = send_welcome(desk, number)
    with desk.database.write() as session:
        mine = session.get_one(Delivery, row.id)
        mine.key, mine.mail, mine.edition = "day-2", "day", then.edition
        mine.context = {**(row.context or {}), "day": 2, "variant": "b"}
        session.add(mine)
    marketer, path = desk.browser("marketer"), f"/dashboard/people/{number}/mails/{row.id}"
    page = marketer.text(path)
    assert "Only two moves today, Ana." in page
    assert "version b" in page
    assert "were changed since" not in page
    shown = marketer.text(f"{path}/html")
    picture = re.search(rf"/pictures/{then.edition}/([\w-]+.png)", shown)
    assert picture is not None
    answer = marketer.get(picture[0])
    assert (answer.status_code, "31536000" in answer.headers["Cache-Control"]) == (200, True)
    answer.close()
    with desk.database.write() as session:
        session.get_one(Delivery, row.id).edition = "0123456789ab"
    assert "those of then were not kept" in marketer.text(path)
    assert "Only two moves" not in marketer.text(path)
    assert desk.rows(Edition) == 1


def test_what_was_a_mistake_is_taken_back_once_and_logged(desk: Any) -> None:
    number, marketer, now = enroll(desk, "ana@example.com"), desk.browser("marketer"), desk.service.clock.now()
    with desk.database.write() as session:
        for key, amount in (("o-1", "49"), ("o-2", "10")):
            told = read({"key": key, "email": "a@example.com", "amount": amount, "currency": "USD"}, now)
            record_for(session, number, told, now, "api")
        first = session.exec(select(Conversion.id).where(Conversion.key == "o-1")).one()
    page, there = f"/dashboard/people/{number}", f"/dashboard/people/{number}/conversions/{first}/back"
    assert there in marketer.text(page)
    assert "Take back that" in marketer.text(there)
    assert desk.rows(Conversion) == 2
    for _ in range(2):
        assert marketer.post(there, there, why="ordered twice, ana@example.com").status_code == 303
    assert desk.rows(Conversion) == 3
    story = marketer.text(page)
    assert "Joining the programme was taken back" in story
    assert "ordered twice" in story
    assert "ordered twice, ana@" not in story
    assert there not in story
    assert desk.deeds("marketer").count("took back that somebody joined") == 1
    assert "They paid 10.00 USD: that goes out of the revenue" in marketer.text(f"{page}/erase")
    assert desk.browser("viewer").get(there).status_code == 403
    assert marketer.post(f"/dashboard/people/{number + 1}/conversions/{first}/back", there).status_code != 200


def test_a_file_of_those_in_one_state_has_no_name_and_no_address(desk: Any) -> None:
    first = enroll(desk, "ana@example.com", first_name="Ana", utm_source="=podcast")
    enroll(desk, "ben@example.com", confirmed=False, utm_source="=podcast")
    marketer = desk.browser("marketer")
    answer = marketer.get("/dashboard/people.csv?state=active&source=%3Dpodcast")
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert rows[0] == ["number", "state", "source", "utm_campaign", "position", "pace", "signed_up_at", "confirmed_at"]
    assert [row[:3] for row in rows[1:]] == [[str(first), "active", "'=podcast"]]
    assert "-active.csv" in answer.headers["Content-Disposition"]
    assert "ana" not in answer.text.lower()
    assert len(marketer.get("/dashboard/people.csv").text.splitlines()) == 3
    assert "ben@example.com" not in marketer.text("/dashboard/people?state=active")
    assert "/dashboard/people.csv?state=active" in marketer.text("/dashboard/people?state=active")
    assert marketer.get("/dashboard/people?state=asleep").status_code == 422
    assert desk.browser("viewer").get("/dashboard/people.csv").status_code == 403
