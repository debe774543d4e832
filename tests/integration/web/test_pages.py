"""The pages through Flask's test client: what a person sees, what a scanner cannot do, what bad input gets."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import altcha
import pytest
from flask.testing import FlaskClient
from sqlmodel import col, func, select, update

from challenge import conversions, signup
from challenge import participation as acts
from challenge.access.users import add_user
from challenge.clock import set_up
from challenge.db import Database
from challenge.events import lock
from challenge.models import (
    Consent,
    Delivery,
    DeliveryState,
    Enrollment,
    EnrollmentState,
    Event,
    EventKind,
    Subscriber,
    Visit,
)
from challenge.plan import plan_due
from challenge.programme.definition import Challenge, shipped
from challenge.programme.exercises import Position
from challenge.rendering.links import Address, Link
from challenge.rendering.message import Letter
from challenge.rendering.templates import Content
from challenge.settings import Settings, read_settings
from challenge.tokens import Purpose
from challenge.tracking.spool import SPOOL, Drain
from challenge.web import create_app, health

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
BROWSER = {"User-Agent": "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/131.0 Safari/537.36"}


class Site:
    """The app, its rows and its links."""

    def __init__(self, folder: Path, challenge: Challenge | None = None, **settings: Any) -> None:
        environ = {
            "CHALLENGE_DATA_DIR": str(folder),
            "CHALLENGE_CLOCK_START": NOON.isoformat(),
            "CHALLENGE_SIGNUP_RATE": "",
        }
        self.settings: Settings = read_settings(environ, None, **settings)
        self.database = Database(self.settings.database)
        self.database.migrate()
        with self.database.write() as session:
            set_up(session, self.settings)
        self.app = create_app(self.settings, challenge or shipped())
        self.client: FlaskClient = self.app.test_client()
        self.links = self.app.extensions["challenge"].composer.links

    def person(self, *, confirmed: bool = True) -> Address:
        self.client.post("/signup", data={"email": "ana@example.com", "timezone": "UTC"})
        to = Address(1, 1, "day-1")
        if confirmed:
            self.press(self.path(self.links.confirm_url(to)))
        clock = self.app.extensions["challenge"].clock
        plan_due(self.database, shipped(), clock.now())
        return to

    def began(self, days: int, **wishes: Any) -> Address:
        """Somebody whose days began so many days ago."""
        at = NOON - timedelta(days=days)
        with self.database.write() as session:
            fields = {"email": "ana@example.com", "timezone": "UTC"}
            signup.register(session, signup.read(fields), shipped(), at)
            enrollment, subscriber = lock(session, 1)
            signup.confirm(session, enrollment, subscriber, shipped(), at, source="test")
            acts.change(session, 1, acts.Wishes(**wishes), at)
        return Address(1, 1, "day-1")

    def close(self) -> None:
        self.database.close()
        self.app.extensions["challenge"].database.close()

    def path(self, url: str) -> str:
        return url.removeprefix(self.links.base_url)

    def press(self, page: str, action: str = "", *, after_seconds: float = 3, **fields: Any) -> Any:
        """Loads a page, looks at it for a while, and presses its button."""
        nonce = re.search(rb'name="nonce" value="(\d+)\.[^"]+"', self.client.get(page).data)
        assert nonce is not None
        at = int(nonce[1]) - int(after_seconds * 1000)
        tag = self.app.extensions["challenge"].tokens.tag(f"nonce:{page.rpartition('/')[2]}:{at}")
        return self.client.post(action or page, data={"nonce": f"{at}.{tag}", **fields})

    def take_opens(self) -> None:
        """What the web process does once a second."""
        self.app.extensions["challenge"].opens.leave()
        drain = Drain(self.database, self.settings.data_dir / SPOOL)
        drain.take_all()
        drain.close()

    def events(self, kind: EventKind) -> int:
        with self.database.read() as session:
            return session.exec(select(func.count()).select_from(Event).where(Event.kind == kind)).one()

    def count(self, table: Any) -> int:
        with self.database.read() as session:
            return session.exec(select(func.count()).select_from(table)).one()

    def enrollment(self) -> Enrollment:
        with self.database.read() as session:
            return session.get_one(Enrollment, 1)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"email": ""},
        {"email": "ana"},
        {"email": "ana@localhost"},
        {"email": "a\r\nBcc: x@example.com@example.com"},
        {"email": "ana@example.com", "first_name": "=?utf-8?q?x=0d=0aBcc:_e@x?="},
        {"email": "ana@example.com", "first_name": "Ana\x00"},
        {"email": "ana@example.com", "first_name": "Ana\r\nBcc: x@example.com"},
        {"email": "ana@example.com", "timezone": "Mars/Olympus"},
        {"email": "ana@example.com", "timezone": "../../etc/passwd"},
        {"email": "ana@example.com", "hour": "3"},
        {"email": "ana@example.com", "hour": "8.5"},
        {"email": "ana@example.com", "position": "flying"},
    ],
)
def test_it_says_what_to_change_and_keeps_what_was_typed(site: Site, fields: dict[str, str]) -> None:
    answer = site.client.post("/signup", data=fields)
    assert answer.status_code == 422
    assert b'role="alert"' in answer.data
    assert site.client.post("/api/v1/signups", json=fields).status_code == 422
    assert site.count(Subscriber) == 0


def test_it_answers_the_same_whether_or_not_somebody_is_known(site: Site) -> None:
    answers = [site.client.post("/signup", data={"email": "ana@example.com"}) for _ in range(3)]
    assert {(a.status_code, a.headers["Location"], a.data) for a in answers} == {(303, "/check-inbox", answers[0].data)}
    json = [site.client.post("/api/v1/signups", json={"email": e}).data for e in ("ana@example.com", "ben@example.com")]
    assert json[0] == json[1]
    assert site.count(Enrollment) == 2


def test_it_takes_a_filled_honeypot_for_a_robot(site: Site) -> None:
    answer = site.client.post("/signup", data={"email": "ana@example.com", "website": "http://spam"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/check-inbox")
    assert site.client.post("/api/v1/signups", json={"email": "ana@example.com", "website": "x"}).status_code == 202
    assert site.count(Subscriber) == 0


def test_it_refuses_ten_megabytes_and_what_is_not_json(site: Site) -> None:
    assert site.client.post("/signup", data={"email": "a" * 10_000_000}).status_code == 413
    assert site.client.post("/api/v1/signups", data=b"x" * 10_000_000, content_type="application/json").status_code in (
        400,
        413,
    )
    for body in (b"{", b"[]", b'"x"', b"", b"\xff\xfe"):
        assert site.client.post("/api/v1/signups", data=body, content_type="application/json").status_code == 400
    assert site.client.post("/api/v1/signups", json={"email": 5}).status_code == 422


def test_it_limits_sign_ups_per_network_on_every_way_in(tmp_path: Path) -> None:
    site = Site(tmp_path, signup_rate="3/minute")
    codes = [site.client.post("/signup", data={"email": f"p{n}@example.com"}).status_code for n in range(3)]
    codes.append(site.client.post("/api/v1/signups", json={"email": "p4@example.com"}).status_code)
    assert codes == [303, 303, 303, 429]


def test_it_asks_a_very_quick_hand_to_press_again(site: Site) -> None:
    shown = re.search(rb'name="shown" value="([^"]+)"', site.client.get("/").data)
    assert shown is not None
    answer = site.client.post("/signup", data={"email": "ana@example.com", "shown": shown[1].decode()})
    assert answer.status_code == 422
    assert b"once more" in answer.data


def test_it_confirms_by_the_button_only(site: Site) -> None:
    to = site.person(confirmed=False)
    path = site.path(site.links.confirm_url(to))
    for method in ("GET", "HEAD", "OPTIONS"):
        for _ in range(5):
            site.client.open(path, method=method)
    site.client.post(path)
    site.client.post(path, data={"nonce": "1.aaaa"})
    assert site.enrollment().state is EnrollmentState.pending
    assert b"You are in" in site.press(path).data
    assert site.client.get(path).status_code == 200
    assert (site.count(Consent), site.events(EventKind.confirmed)) == (1, 1)
    with site.database.read() as session:
        consent = session.exec(select(Consent)).one()
    assert (consent.wording, consent.version) == (shipped().consent.challenge, shipped().consent.version)
    assert consent.evidence["came_from"] == "direct"
    assert consent.evidence["signed_up_at"].startswith("2027-03-01T12:00")


def test_it_counts_a_double_tap_once_and_undoes_it(site: Site) -> None:
    to = site.person()
    page = site.links.day_path(to, 1)
    for _ in range(3):
        assert b"Day 1 is done" in site.press(page, f"{page}/complete").data
    assert site.events(EventKind.completed) == 1
    assert b"I did day 1" in site.press(page, f"{page}/undo").data
    site.press(page, f"{page}/undo")
    assert site.events(EventKind.undone) == 1
    site.press(page, f"{page}/complete")
    assert site.events(EventKind.completed) == 2


def test_it_takes_a_second_tap_for_a_trembling_hand(site: Site) -> None:
    to = site.person()
    page, choices = site.links.day_path(to, 1), site.links.preferences_path(to)
    site.press(page, f"{page}/complete")
    assert b"two taps" in site.press(page, f"{page}/undo", after_seconds=1).data
    assert site.events(EventKind.undone) == 0
    site.press(choices, do="pause")
    assert b"two taps" in site.press(choices, do="resume", after_seconds=1).data
    assert site.enrollment().state is EnrollmentState.paused
    assert b"cannot bring them back" in site.press(choices, do="erase", really="yes", after_seconds=1).data
    assert site.count(Subscriber) == 1


def test_it_catches_up_on_earlier_days_and_takes_them_back_together(site: Site) -> None:
    to = site.person()
    page = site.links.day_path(to, 3)
    assert b"2 of 5 done" in site.press(page, f"{page}/complete", day=["1", "2"]).data
    site.press(page, f"{page}/complete", day=["1", "2"])
    assert site.events(EventKind.completed) == 2
    site.press(page, f"{page}/undo", day=["1", "2"], of="completed")
    assert site.events(EventKind.undone) == 2
    for wrong in ("0", "6", "x", "-1", "²"):
        assert site.press(page, f"{page}/complete", day=[wrong]).status_code == 422
    assert site.events(EventKind.completed) == 2


def test_it_changes_nothing_on_get_or_without_the_nonce(site: Site) -> None:
    to = site.person()
    before = site.count(Event)
    page = site.links.day_path(to, 1)
    for action in ("complete", "undo", "rest", "position"):
        answer = site.client.get(f"{page}/{action}")
        assert (answer.status_code, answer.headers["Location"]) == (303, page)
        assert site.client.post(f"{page}/{action}").status_code == 200
    for path in (page, site.links.preferences_path(to), site.path(site.links.unsubscribe_url(to))):
        assert site.client.get(path).status_code == 200
        assert site.client.head(path).status_code == 200
    site.client.post(site.links.preferences_path(to), data={"do": "pause"})
    assert site.count(Event) - site.events(EventKind.clicked) == before
    assert site.enrollment().state is EnrollmentState.active


def test_it_rests_and_takes_the_rest_back(site: Site) -> None:
    to = site.person()
    page = site.links.day_path(to, 1)
    site.press(page, f"{page}/rest")
    assert site.events(EventKind.rested) == 0  # day 1 has not come yet: there is nothing to rest from


def test_it_names_the_mail_that_really_comes_next(site: Site) -> None:
    to = site.began(2)  # day 1 came yesterday, day 2 this Monday morning
    page = site.links.day_path(to, 2)
    assert "The next e-mail comes Tuesday at 8\N{NO-BREAK SPACE}am." in site.press(page, f"{page}/complete").text
    site.press(page, f"{page}/undo", of="completed")
    resting = site.press(page, f"{page}/rest").text
    assert "Tomorrow is a rest day." in resting
    assert "The next e-mail comes Tuesday at 8\N{NO-BREAK SPACE}am." in resting  # that of the rest day


def test_it_names_a_nudge_when_that_comes_next(site: Site) -> None:
    to = site.began(1, pace="weekly")  # day 1 came this Monday morning
    page, choices = site.links.day_path(to, 1), site.links.preferences_path(to)
    assert "are saved. The next e-mail comes Thursday at 8" in site.press(choices, hour="8").text
    done = site.press(page, f"{page}/complete").text
    assert "The next e-mail comes Monday, March\N{NO-BREAK SPACE}8, at 8\N{NO-BREAK SPACE}am." in done


def test_it_says_when_the_next_mail_comes_after_each_choice(site: Site) -> None:
    to = site.began(1)
    choices, leave = site.links.preferences_path(to), site.path(site.links.unsubscribe_url(to))

    def told(answer: Any) -> str:
        (words,) = re.findall(r'(?s)<(?:p|div) role="status"[^>]*>(.*?)</(?:p|div)>', answer.text)
        return " ".join(re.sub(r"<[^>]+>", "", words).replace("\N{NO-BREAK SPACE}", " ").split())

    assert told(site.press(choices, hour="19")) == "Your choices are saved. The next e-mail comes Tuesday at 7 pm."
    weekly = "The next e-mail comes Thursday at 7 pm."
    assert told(site.press(leave, do="pace weekly")).endswith(f"That is how your e-mails come from now on. {weekly}")
    for page in (choices, leave):
        paused = told(site.press(page, do="pause"))
        assert paused.startswith("You are on a break. No e-mails come until you go on.")
        assert "next e-mail" not in paused
        assert told(site.press(choices, hour="18")) == "Your choices are saved."
        site.press(choices, hour="19")
        assert told(site.press(page, do="resume")) == f"Welcome back. {weekly}"
    site.client.post(leave, data={"do": "everything"})
    assert told(site.press(leave, do="go on")) == f"That is taken back. Your e-mails go on. {weekly}"


def test_it_offers_rest_only_where_there_is_something_to_move(site: Site) -> None:
    to = site.began(1)
    page, leave = site.links.day_path(to, 1), site.path(site.links.unsubscribe_url(to))
    assert "Not today, I need rest" in site.client.get(page).text
    site.client.post(leave, data={"do": "everything"})
    assert "Not today, I need rest" not in site.client.get(page).text
    site.press(leave, do="go on")
    assert "Not today, I need rest" in site.client.get(page).text


def test_it_saves_all_choices_at_once_and_loses_none(site: Site) -> None:
    to = site.began(1)
    choices = site.links.preferences_path(to)
    page = site.client.get(choices).text
    form = re.search(r'(?s)<form method="post" id="choices".*?</form>', page)
    assert form is not None
    names = set(re.findall(r'name="(\w+)"', form[0]))
    assert {"hour", "timezone", "pace", "position", "goal", "first_name", "locale", "tracking"} <= names
    assert page.count('value="save"') == 1
    typed: dict[str, Any] = {"hour": "19", "first_name": "Ana", "position": "lying", "tracking": "off", "locale": "de"}
    for do, wish in (("pause", "resume"), ("resume", "pause"), ("save", "pause")):
        after = site.press(choices, do=do, **(typed | {"first_name": "www.example.com"} if do == "save" else typed))
        assert f'name="do" value="{wish}"' in after.text
        assert re.search(r'<option value="19" selected>', after.text)
        assert re.search(r'value="lying" checked', after.text)
        assert re.search(r'value="off" checked', after.text)
        assert re.search(r'<option value="de" lang="de" selected>', after.text)
    assert after.status_code == 422
    assert site.enrollment().position == "seated"


def test_it_leads_back_to_the_form_from_its_address(site: Site) -> None:
    answer = site.client.get("/signup?lang=de&utm_source=x")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/?lang=de&utm_source=x")
    for words in ("", "?_scheme=javascript&_external=1&endpoint=x&_anchor=y"):
        assert site.client.get(f"/signup{words}").headers["Location"] == "/"


@pytest.mark.parametrize("encoding", ["application/x-www-form-urlencoded", "multipart/form-data"])
def test_it_unsubscribes_with_one_click(site: Site, encoding: str) -> None:
    to = site.person()
    path = site.path(site.links.unsubscribe_url(to))
    assert site.client.post(path, data={"List-Unsubscribe": "No"}, content_type=encoding).status_code == 400
    assert site.enrollment().state is EnrollmentState.active
    bare = site.app.test_client(use_cookies=False)
    answer = bare.post(path, data={"List-Unsubscribe": "One-Click"}, content_type=encoding)
    assert answer.status_code == 200
    assert "Location" not in answer.headers
    assert "Set-Cookie" not in answer.headers
    assert site.enrollment().state is EnrollmentState.stopped
    with site.database.read() as session:
        assert set(session.exec(select(Delivery.state))) == {"cancelled"}


def test_it_keeps_preferences_and_shows_and_erases_data(site: Site) -> None:
    to = site.person()
    page = site.links.preferences_path(to)
    assert (
        b"are saved"
        in site.press(page, hour="19", timezone="Asia/Tokyo", position="lying", pace="weekdays", tracking="off").data
    )
    assert (site.enrollment().position, site.enrollment().pace) == ("lying", "weekdays")
    assert site.press(page, hour="3").status_code == 422
    site.press(page, do="pause")
    assert site.enrollment().state is EnrollmentState.paused
    site.press(page, do="resume")
    assert site.enrollment().state is EnrollmentState.active
    assert site.client.get(f"{page}/my-data").json["person"]["timezone"] == "Asia/Tokyo"  # type: ignore[index]
    assert b"cannot bring them back" in site.press(page, do="erase").data
    assert site.count(Subscriber) == 1
    site.press(page, do="erase", really="yes")
    assert (site.count(Subscriber), site.count(Event), site.count(Delivery)) == (0, 0, 0)
    assert site.client.get(page).status_code == 404


def test_it_puts_every_day_into_the_calendar_and_no_way_into_the_pages(site: Site) -> None:
    to = site.person()
    path = site.links.path(Link.calendar, to)

    def days() -> list[str]:
        return re.findall(r"DTSTART;TZID=(\S+)", site.client.get(path).text)

    assert days() == [f"UTC:2027030{day}T080000" for day in range(2, 7)]
    choices = site.links.preferences_path(to)
    site.press(choices, pace="weekly", timezone="Europe/Berlin", hour="19", locale="de")
    told = site.client.get(path)
    assert told.mimetype == "text/calendar"
    assert days() == [
        f"Europe/Berlin:{day}T190000" for day in ("20270302", "20270309", "20270316", "20270323", "20270330")
    ]
    whole = told.text.replace("\r\n ", "")
    assert "SUMMARY:Tag 1: Ein sanfter Anfang\r\n" in whole
    assert "DESCRIPTION:Der Link ist in deiner E-Mail von diesem Morgen.\r\n" in whole
    assert not re.search(r"https?:|URL|/day/|/preferences/|MS\b", whole)
    site.press(choices, do="pause")
    assert days() == []


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5])
def test_it_has_a_landing_page_for_any_number_of_days(tmp_path: Path, length: int) -> None:
    short = replace(shipped(), days=shipped().days[:length])
    site = Site(tmp_path, short)
    page = site.client.get("/").text
    pictures = re.findall(r'<figure><img src="[^"]*/([^"/]+)"[^>]*><figcaption>([^<]+)', page)
    assert [caption for _, caption in pictures] == ["Sitting", "Standing", "Lying down"]
    wanted = [(short.days[n], at) for n, at in ((0, "seated"), (length // 2, "standing"), (-1, "lying"))]
    assert [file for file, _ in pictures] == [day.exercises_for(at)[1][1].picture.file for day, at in wanted]
    assert f"Your {length} days" in page
    site.close()


def test_it_shows_a_picture_once_where_a_move_has_one_position(tmp_path: Path) -> None:
    day = shipped().day(1)
    seated = tuple(replace(one, moves={Position.seated: one.moves[Position.seated]}) for one in day.slots[1])
    site = Site(tmp_path, replace(shipped(), days=(replace(day, slots=(day.slots[0], seated)),)))
    assert site.client.get("/").text.count("<figure>") == len(
        {one.moves[Position.seated].picture.file for one in seated[:1]}
    )
    site.close()


def test_it_lists_zones_of_places_and_takes_the_others_too(site: Site) -> None:
    def listed(page: str) -> list[str]:
        select = re.search(r'(?s)<select id="timezone".*?</select>', site.client.get(page).text)
        assert select is not None
        return re.findall(r'<option value="([^"]+)"', select[0])

    found = listed("/")
    assert {"America/New_York", "Europe/Berlin", "Arctic/Longyearbyen", "UTC"} <= set(found)
    odd = {"Factory", "W-SU", "Etc/GMT+5", "US/Pacific", "SystemV/EST5", "Cuba", "Japan", "EST5EDT", "Canada/Central"}
    assert not odd & set(found)
    assert site.client.post("/signup", data={"email": "ana@example.com", "timezone": "US/Pacific"}).status_code == 303
    choices = site.links.preferences_path(Address(1, 1, "day-1"))
    assert set(listed(choices)) - set(found) == {"US/Pacific"}  # theirs, so that saving does not change it
    assert '<option value="US/Pacific" selected>' in site.client.get(choices).text


@pytest.mark.parametrize("known", ["nobody", "agreed", "joined"])
def test_it_offers_news_of_the_programme_once_and_sells_nothing(site: Site, known: str) -> None:
    to = site.person()
    certificate = site.links.path(Link.certificate, to)
    ask = "Yes, write to me about it"
    assert ask not in site.client.get(certificate).text  # nothing done yet
    day = site.links.day_path(to, 1)
    site.press(day, f"{day}/complete")
    assert ask in site.client.get(certificate).text
    if known == "agreed":
        path = site.links.preferences_path(to)
        site.press(path, do="programme")
    elif known == "joined":
        told = conversions.read({"key": "o1", "email": "ana@example.com"}, NOON)
        tokens = site.app.extensions["challenge"].tokens
        with site.database.write() as session:
            conversions.record(session, told, shipped().slug, tokens, NOON, "file")
    page = site.client.get(certificate).text
    assert (ask in page) == (known == "nobody")
    assert ("You said yes to news" in page) == (known == "agreed")
    assert (shipped().invitation_url in page, shipped().invitation_label in page) == (False, False)


def test_it_dates_the_certificate_by_the_last_day_done(site: Site) -> None:
    to = site.person()
    late = datetime(2027, 2, 28, 23, 30, tzinfo=UTC)
    with site.database.write() as session:
        for day in range(1, 6):
            acts.complete(session, 1, day, late + timedelta(days=day - 5))
        acts.undo(session, 1, 2, 5, late, of="completed")
        acts.complete(session, 1, 2, late)
        acts.change(session, 1, acts.Wishes(timezone="Europe/Berlin"), NOON)
    page = site.client.get(site.links.path(Link.certificate, to)).text
    assert "You did all 5 days" in page
    assert "March 1, 2027" in page  # in Berlin it was the next day already
    with site.database.write() as session:
        session.exec(update(Event).where(col(Event.day) == 2).values(occurred_at=late - timedelta(days=1)))
        session.exec(update(Event).where(col(Event.day) == 5).values(occurred_at=late - timedelta(days=3)))
    assert "February 28, 2027" in site.client.get(site.links.path(Link.certificate, to)).text


def test_it_records_opens_and_clicks_and_keeps_machines_apart(site: Site) -> None:
    to = site.person()
    pixel, day = site.path(site.links.open_url(to)), site.path(site.links.tracked(Link.day, to))
    assert site.client.get(pixel, headers=BROWSER).mimetype == "image/gif"
    site.client.get(pixel, headers={"User-Agent": "Mozilla/5.0"})
    answer = site.client.get(day, headers=BROWSER)
    assert (answer.status_code, answer.headers["Location"]) == (
        302,
        site.links.target(Link.day, Address(1, 1, "confirm")),
    )
    site.take_opens()
    with site.database.read() as session:
        assert [event.who for event in session.exec(select(Event).where(Event.kind == "opened"))] == ["person", "proxy"]
    for link in (Link.day, Link.rest, Link.position, Link.preferences):
        site.client.get(site.path(site.links.tracked(link, to)), headers=BROWSER)
    with site.database.read() as session:
        clicks = session.exec(select(Event).where(Event.kind == EventKind.clicked)).all()
        assert {event.who for event in clicks} == {"machine"}
        assert "127.0.0.1" not in str([event.model_dump() for event in clicks])
    assert site.client.get("/o/forged.gif").status_code == 200
    assert site.client.get("/c/forged").status_code == 404


def test_it_never_redirects_where_somebody_else_wants(site: Site) -> None:
    to = site.person()
    forged = site.links.tokens.sign(Purpose.day, 1, 1)
    assert site.client.get(f"/c/{forged}").status_code == 404
    assert (
        site.client.get(site.path(site.links.tracked(Link.day, to)) + "?to=https://evil.example")
        .headers["Location"]
        .startswith(site.links.base_url)
    )


def test_it_stores_nothing_when_tracking_is_off(site: Site) -> None:
    to = site.person()
    site.press(site.links.preferences_path(to), tracking="off")
    site.client.get(site.path(site.links.open_url(to)), headers=BROWSER)
    site.take_opens()
    assert site.events(EventKind.opened) == 0


def test_it_lets_nobody_into_the_dashboard_without_a_login(site: Site) -> None:
    add_user(site.database, "mara", "long enough")
    assert site.client.get("/dashboard/").status_code == 302
    assert site.client.post("/dashboard/login", data={"name": "mara", "password": "long enough"}).status_code == 400
    token = re.search(rb'name="csrf_token" value="([^"]+)"', site.client.get("/dashboard/login").data)
    assert token is not None
    wrong = {"name": "mara", "password": "wrong", "csrf_token": token[1].decode()}
    assert site.client.post("/dashboard/login", data=wrong).status_code == 401
    right = wrong | {"password": "long enough", "next": "//evil.example"}
    assert site.client.post("/dashboard/login", data=right).headers["Location"] == "/dashboard/"
    assert b"needs you" in site.client.get("/dashboard/").data
    add_user(site.database, "mara", "another one", replace=True)
    assert site.client.get("/dashboard/").status_code == 302


def test_it_sends_strict_headers_and_no_cookies_to_visitors(site: Site) -> None:
    to = site.person()
    for path in ("/", "/privacy", site.links.day_path(to, 1)):
        answer = site.client.get(path)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert "Set-Cookie" not in answer.headers
    assert site.client.get(site.links.day_path(to, 1)).headers["Referrer-Policy"] == "no-referrer"


def test_it_is_ready_without_redis(site: Site) -> None:
    answer = site.client.get("/readyz")
    assert (answer.status_code, answer.json["redis"]) == (200, "not set")  # type: ignore[index]
    assert b"challenge_deliveries" in site.client.get("/metrics").data


def test_metrics_count_open_mails_each_time_and_closed_ones_seldom_where_that_is_long(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> dict[str, str]:
        lines = site.client.get("/metrics").get_data(as_text=True).splitlines()
        return dict(re.findall(r'challenge_deliveries{state="(\w+)"} (\S+)', "\n".join(lines)))

    def turn(key: str, state: DeliveryState = DeliveryState.sent) -> None:
        with site.database.write() as session:
            mail = session.exec(select(Delivery).where(Delivery.key == key)).one()
            mail.state = state

    site.person()
    assert told() == {"scheduled": "1.0"}
    turn("welcome")
    assert told() == {"sent": "1.0"}
    monkeypatch.setattr(health, "_LONG_SECONDS", -1.0)
    monkeypatch.setattr(health, "_SELDOM", 1e6)
    told()
    turn("welcome", DeliveryState.scheduled)
    assert told() == {"sent": "1.0", "scheduled": "1.0"}


def test_it_allows_other_sites_only_when_they_are_named(tmp_path: Path) -> None:
    site = Site(tmp_path, allowed_origins="https://clinic.example")
    good = site.client.options("/api/v1/signups", headers={"Origin": "https://clinic.example"})
    assert good.headers["Access-Control-Allow-Origin"] == "https://clinic.example"
    bad = site.client.options("/api/v1/signups", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in bad.headers


def test_it_asks_for_a_token_before_it_tells_numbers(site: Site) -> None:
    assert site.client.get("/api/v1/stats").status_code == 401
    assert site.client.get("/api/v1/stats", headers={"Authorization": "Bearer x"}).status_code == 401


WAYS_IN = [("/signup", "data"), ("/api/v1/signups", "json")]


@pytest.mark.parametrize(("path", "body"), WAYS_IN)
def test_it_guards_every_way_in_alike(tmp_path: Path, path: str, body: str) -> None:
    site = Site(tmp_path)

    def join(**fields: str) -> int:
        with site.app.test_client() as client:
            return client.post(path, **{body: {"email": "ana@example.com", **fields}}).status_code

    now = int(time.time())
    tag = site.app.extensions["challenge"].tokens.tag
    assert join(email="q@example.com", shown=f"{now}.{tag(f'shown:{now}')}") == 422  # too quick for a person
    assert join(email="f@example.com", shown=f"{now - 60}.{tag('shown:1')}") == 422  # forged
    assert join(email="b@example.com", website="x") in (303, 202)
    assert site.count(Subscriber) == 0
    early = now - 60
    assert join(email="c@example.com", shown=f"{early}.{tag(f'shown:{early}')}") in (303, 202)
    site.database.close()


@pytest.mark.parametrize(("path", "body"), WAYS_IN)
def test_it_answers_the_same_beyond_the_rate_of_an_address_and_does_nothing(
    tmp_path: Path, path: str, body: str
) -> None:
    site = Site(tmp_path, signup_address_rate="3/hour")

    def join(email: str, **fields: str) -> tuple[int, bytes, int]:
        with site.app.test_client() as client:
            answer = client.post(path, **{body: {"email": email, **fields}})
            return answer.status_code, answer.data, site.events(EventKind.signed_up)

    assert join("ana+x@example.com", hour="99")[0] == 422  # what is no sign-up does not count
    answers = [join(email) for email in ("ana@example.com", "ana+1@example.com", "ANA+2@Example.com")]
    answers += [join(email) for email in ("ana@example.com", "ana+3@example.com")]  # one mailbox
    assert len({answer[:2] for answer in answers}) == 1
    assert [events for _, _, events in answers] == [1, 2, 3, 3, 3]
    assert join("+ana@example.com")[2] == join("ben@example.com")[2] - 1 == 4  # another address is not held up
    with site.database.read() as session:
        assert "ana+1@example.com" in session.exec(select(Subscriber.email)).all()  # the tag is mailed
    site.database.close()


def test_it_counts_an_address_itself_while_the_counter_is_away(tmp_path: Path) -> None:
    site = Site(tmp_path, signup_address_rate="1/hour", redis_url="redis://127.0.0.1:9/0")
    for _ in range(3):
        assert site.client.post("/signup", data={"email": "ana@example.com"}).status_code == 303
    assert site.events(EventKind.signed_up) == 1
    site.database.close()


def test_it_says_that_it_will_not_write_again_to_who_never_said_yes(site: Site) -> None:
    to = site.person(confirmed=False)
    stop, confirm = site.path(site.links.unsubscribe_url(to)), site.path(site.links.confirm_url(to))
    page = site.client.post(stop, data={"List-Unsubscribe": "One-Click"}).data
    assert b"We will not write again." in page
    assert b"You can sign up again" not in page
    page = site.client.get(confirm).data
    assert b"We will not write again." in page
    assert b"start again" not in page
    site.client.post("/signup", data={"email": "ana@example.com"})
    assert site.events(EventKind.signed_up) == 1
    site.press(stop, do="go on")
    assert b"We will not write again." not in site.client.get(stop).data
    assert site.enrollment().state is EnrollmentState.pending


@pytest.mark.parametrize("locale", ["en", "de"])
def test_it_lets_nobody_write_into_a_stranger_s_mailbox(site: Site, locale: str) -> None:
    """A name that a stranger typed stands nowhere in the mail that asks, also when a variant's body would name it."""
    composer = site.app.extensions["challenge"].composer
    content = Content("confirm", has_name=True, locale=locale)
    subject, text, page = composer.templates.shown(content, "Mallory", composer.links, Address(1, 1, "confirm"))
    plain = composer.templates.shown(content._replace(has_name=False), "", composer.links, Address(1, 1, "confirm"))
    assert (subject, text, page) == plain
    letter = Letter(Address(1, 1, "confirm"), "ana@example.com", "Mallory", content, NOON)
    assert b"Mallory" not in composer.compose(letter).data


@pytest.mark.parametrize(("path", "body"), WAYS_IN)
def test_it_asks_for_a_proof_of_work_on_every_way_in(tmp_path: Path, path: str, body: str) -> None:
    site = Site(tmp_path, signup_proof=True)

    def join(email: str, proof: str = "") -> int:
        return site.client.post(path, **{body: {"email": email, "proof": proof}}).status_code

    def prove(email: str) -> str:
        task = site.client.post("/api/v1/signups/proof", json={"email": email}).json["proof"]  # type: ignore[index]
        asked = altcha.Challenge.from_dict(task)
        solution = altcha.solve_challenge(asked)
        assert solution is not None
        return altcha.Payload(asked, solution).to_base64()

    proof = prove("ANA@example.com")
    forged = altcha.Payload.from_base64(proof)
    forged.challenge.parameters.cost = 1
    for wrong in ("", "x", "e30=", forged.to_base64(), "é", "A" * 5000):
        assert join("ana@example.com", wrong) == 422
    assert join("ben@example.com", proof) == 422  # worth nothing for another address
    assert site.count(Subscriber) == 0
    assert join("ana@example.com", proof) in (303, 202)
    assert site.client.post("/api/v1/signups/proof", json={"email": "x"}).status_code == 422
    site.database.close()


def test_it_asks_for_no_proof_unless_it_is_switched_on(site: Site) -> None:
    assert site.client.post("/api/v1/signups/proof", json={"email": "ana@example.com"}).json == {"proof": None}
    assert b"noscript" not in site.client.get("/").data


def test_it_tells_other_sites_why_they_must_wait(tmp_path: Path) -> None:
    site = Site(tmp_path, signup_rate="1/minute", allowed_origins="https://clinic.example")
    headers = {"Origin": "https://clinic.example"}
    answers = [
        site.client.post("/api/v1/signups", json={"email": f"p{n}@example.com"}, headers=headers) for n in (1, 2)
    ]
    assert [answer.status_code for answer in answers] == [202, 429]
    assert answers[1].headers["Access-Control-Allow-Origin"] == "https://clinic.example"
    site.database.close()


def test_it_hands_out_work_only_so_often(tmp_path: Path) -> None:
    site = Site(tmp_path, signup_rate="2/minute", signup_proof=True)
    asked = [site.client.post("/api/v1/signups/proof", json={"email": "ana@example.com"}) for _ in range(3)]
    assert [answer.status_code for answer in asked] == [200, 200, 429]
    assert site.client.post("/signup", data={"email": "ana@example.com"}).status_code == 422  # it has its own budget
    site.database.close()


def test_it_keeps_where_somebody_came_from(site: Site) -> None:
    page = site.client.get(
        "/?utm_source=pod&utm_campaign=march&form_variant=b", headers={"Referer": "https://a.example/x"}
    )
    kept = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
    kept.pop("shown")
    site.client.post("/signup", data={"email": "ana@example.com", **kept})
    row = site.enrollment()
    assert (row.source, row.utm_source, row.utm_campaign, row.form_variant, row.referrer) == (
        "pod", "pod", "march", "b", "a.example",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("symptom=spasms", ["inner-thigh-lean", "inner-thigh-turn"]),
        ("goal=stairs&position=standing&muscle=outer+hips", ["side-step", "stand-up"]),
        ("position=lying&muscle=inner+thighs", ["inner-thigh-lean", "inner-thigh-turn"]),
        ("muscle=wings", []),
        ("position=flying", []),
    ],
)
def test_it_finds_exercises_by_symptom_goal_position_and_muscle(site: Site, asked: str, found: list[str]) -> None:
    page = site.client.get(f"/exercises?{asked}").text
    shown = re.findall(r'<h2 id="([a-z-]+)"', page)
    assert [slug for slug in shown if slug != "safety"] == found
    assert ("Nothing fits all of that" in page) == (not found)


def test_it_asks_for_no_hovering_and_moves_nothing() -> None:
    folder = Path(create_app.__code__.co_filename).parent / "static"
    style = (folder / "site.css").read_text()
    assert re.findall(r":hover|animation|transition|@import|https?:(?!//www\.w3\.org)", style) == []
    scripts = "".join((folder / f"{name}.js").read_text() for name in ("signup", "timer", "print", "proof", "embed"))
    assert re.findall(r"mouseover|dragstart|contextmenu|touchstart|cookie|localStorage|innerHTML", scripts) == [
        "cookie"  # in the words that say there is none
    ]


def test_the_picture_is_answered_alike_for_all_and_kept_with_the_visitors_own_network(site: Site) -> None:
    pixel = site.path(site.links.open_url(site.person()))
    got, looked = site.client.get(pixel, headers=BROWSER), site.client.head(pixel, headers=BROWSER)
    assert (got.status_code, got.mimetype, len(got.data)) == (200, "image/gif", got.content_length)
    assert (looked.status_code, looked.data, looked.headers) == (200, b"", got.headers)
    assert got.headers["Cache-Control"] == "no-store, max-age=0"
    assert got.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert site.client.post(pixel).status_code == 405
    site.take_opens()
    with site.database.read() as session:
        events = session.exec(select(Event).where(Event.kind == EventKind.opened)).all()
        assert sorted(event.who for event in events) == ["machine", "person"]
        assert all(event.detail["source"] and event.day is None for event in events)


@pytest.mark.parametrize("day", ["9" * 5000, "9" * 30, "x", "-1", "0", "6", "²", "1.0"])
def test_it_knows_no_such_day(site: Site, day: str) -> None:
    page = site.links.day_path(site.person(), 1)
    for action in ("complete", "undo"):
        assert site.press(page, f"{page}/{action}", day=day).status_code == 422
    assert site.events(EventKind.completed) == 0


def test_it_keeps_little_of_where_a_sign_up_says_it_comes_from(site: Site) -> None:
    site.client.post(
        "/api/v1/signups", json={"email": "ana@example.com"}, headers={"Origin": "https://" + "x" * 50_000}
    )
    with site.database.read() as session:
        (event,) = session.exec(select(Event)).all()
    assert event.detail["way"].startswith("api https://xxx")
    assert len(event.detail["way"]) <= 204


def test_it_counts_any_word_in_a_link_but_only_so_many(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("challenge.tracking.visits.MOST_WORDS", 5)
    for number in range(12):
        site.client.get(f"/seen.gif?utm_source=s{number}&utm_term=t{number}&form_variant=v{number}", headers=BROWSER)
        site.client.get("/seen.gif?utm_source=s0&utm_term=t0&form_variant=v0", headers=BROWSER)
    with site.database.read() as session:
        rows = session.exec(select(Visit).order_by(Visit.id)).all()  # type: ignore[arg-type]
    assert [(row.source, row.utm_source, row.utm_term, row.form_variant, row.views) for row in rows] == [
        ("s0", "s0", "t0", "v0", 13), *((f"s{n}", f"s{n}", f"t{n}", f"v{n}", 1) for n in range(1, 5)), ("other", "", "", "", 7)
    ]  # fmt: skip
    assert rows[-1].challenge == rows[0].challenge != ""
