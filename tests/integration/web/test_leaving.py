"""The way out of every mail: RFC 8058 word by word, and a page where every choice is one tap and can be taken back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel, select

from challenge import participation as acts
from challenge import signup
from challenge.clock import set_up
from challenge.db import Database
from challenge.events import lock, suppress
from challenge.going_on import can_go_on, go_on
from challenge.journey import Pace
from challenge.models import Delivery, DeliveryState, Enrollment, EnrollmentState, Event, EventKind
from challenge.plan import plan_due
from challenge.programme.definition import shipped
from challenge.rendering.links import Address
from challenge.settings import read_settings
from challenge.tokens import Tokens
from challenge.web import create_app

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
ENCODINGS = ("application/x-www-form-urlencoded", "multipart/form-data")
START = "2027-03-01T12:00:00Z"


class Site:
    """The app and one confirmed person, whose welcome waits to be sent."""

    def __init__(self, folder: Path, **more: str) -> None:
        environ = {
            "CHALLENGE_DATA_DIR": str(folder),
            "CHALLENGE_CLOCK_START": START,
            "CHALLENGE_SIGNUP_RATE": "",
            "CHALLENGE_SECRET_KEY": "k" * 40,
        }
        self.settings = read_settings(environ | more, None)
        self.database = Database(self.settings.database)
        self.database.migrate()
        with self.database.write() as session:
            set_up(session, self.settings)
        self.app = create_app(self.settings, shipped())
        self.service = self.app.extensions["challenge"]
        self.client = self.app.test_client(use_cookies=False)
        self.now = self.service.clock.now()
        with self.database.write() as session:
            if session.get(Enrollment, 1) is None:
                signup.register(
                    session, signup.read({"email": "ana@example.com", "timezone": "UTC"}), shipped(), self.now
                )
                signup.confirm(session, *lock(session, 1), shipped(), self.now, source="test")
        plan_due(self.database, shipped(), self.now)
        self.path = self.link(1)

    def link(self, enrollment_id: int) -> str:
        links = self.service.composer.links
        return str(links.unsubscribe_url(Address(enrollment_id, 1, "welcome")).removeprefix(links.base_url))

    def close(self) -> None:
        self.service.database.close()
        self.database.close()

    def state(self, number: int = 1) -> EnrollmentState:
        with self.database.read() as session:
            return session.get_one(Enrollment, number).state

    def pace(self) -> str:
        with self.database.read() as session:
            return session.get_one(Enrollment, 1).pace

    def press(self, wish: str) -> Any:
        """The button with this wish, on the page as it is shown now."""
        page = self.client.get(self.path).data.decode()
        buttons = re.findall(r'name="nonce" value="([^"]+)"><button[^>]* name="do" value="([^"]+)"', page)
        return self.client.post(self.path, data={"do": wish, "nonce": {do: nonce for nonce, do in buttons}[wish]})

    def rows(self) -> dict[str, list[Any]]:
        """Every row of every table, without the looks that are counted, what marks them, and their day's key."""
        with self.database.read() as session:
            connection = session.connection()
            tables = {
                table.name: [tuple(row) for row in connection.execute(table.select())]
                for table in SQLModel.metadata.sorted_tables
                if table.name not in ("installation", "stats_mark")
            }
            events = [row for row in session.exec(select(Event)) if row.kind is not EventKind.clicked]
            tables["event"] = [(row.id, row.kind, row.occurred_at, str(row.detail)) for row in events]
            return tables


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr("challenge.web.page.DOUBLE_TAP_SECONDS", 0.0)
    site = Site(tmp_path)
    yield site
    site.close()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_it_stops_with_one_click_of_a_bare_client(site: Site, encoding: str) -> None:
    """R3, R4, R5: no cookie, no Origin, no Referer, no User-Agent; both encodings; no redirect."""
    for _ in range(2):
        answer = site.client.post(site.path, data=ONE_CLICK, content_type=encoding, headers={"User-Agent": ""})
        assert answer.status_code == 200
        assert "Location" not in answer.headers
        assert "Set-Cookie" not in answer.headers
        assert site.state() is EnrollmentState.stopped
    with site.database.read() as session:
        assert {row.state for row in session.exec(select(Delivery))} == {DeliveryState.cancelled}
        assert len(session.exec(select(Event).where(Event.kind == EventKind.unsubscribed)).all()) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"List-Unsubscribe=",
        b"List-Unsubscribe=One-Click2",
        b"list-unsubscribe=one-click",
        b"Unsubscribe=One-Click",
        b'{"List-Unsubscribe": "One-Click"}',
        b"do=",
        b"do=erase",
        b"\xff\x00",
    ],
)
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "application/json", "text/plain", ""])
def test_it_changes_nothing_for_another_body(site: Site, body: bytes, kind: str) -> None:
    """R4: a wrong body is no wish."""
    before = site.rows()
    answer = site.client.post(site.path, data=body, content_type=kind)
    assert answer.status_code == 400
    assert site.rows() == before


@pytest.mark.parametrize("suffix", ["", "/", "?utm_source=x", "?List-Unsubscribe=One-Click"])
def test_it_never_redirects(site: Site, suffix: str) -> None:
    """R5: also with a slash or words behind the link, and over http behind a proxy."""
    for headers in ({}, {"X-Forwarded-Proto": "http"}, {"Host": "other.example"}):
        answer = site.client.post(site.path + suffix, data=ONE_CLICK, headers=headers)
        assert answer.status_code in (200, 404), suffix
        assert "Location" not in answer.headers
    assert (site.state() is EnrollmentState.stopped) is (suffix != "/")


def test_it_shows_a_page_and_changes_no_row_a_thousand_times(site: Site) -> None:
    """R6: GET and HEAD only show; that somebody looked is counted, and nothing that holds for a person changes."""
    before = site.rows()
    for number in range(1000):
        answer = site.client.open(site.path, method="HEAD" if number % 2 else "GET")
        assert answer.status_code == 200
    assert site.rows() == before
    with site.database.read() as session:
        assert len(session.exec(select(Event).where(Event.kind == EventKind.clicked)).all()) <= 3
    for method in ("PUT", "DELETE", "PATCH"):
        assert site.client.open(site.path, method=method, data=ONE_CLICK).status_code == 405
    assert site.client.options(site.path).status_code == 200
    assert site.client.get(f"{site.path}?List-Unsubscribe=One-Click&do=everything").status_code == 200
    assert site.rows() == before


def test_it_refuses_a_link_with_any_one_bit_flipped(site: Site) -> None:
    """R6: hard to forge; every bit of every letter."""
    head, token = site.path.rsplit("/", 1)
    before = site.rows()
    for at in range(len(token)):
        for bit in range(7):
            letter = chr(ord(token[at]) ^ (1 << bit))
            if letter.isprintable() and letter not in "/?#%\\ ":
                answer = site.client.post(f"{head}/{token[:at]}{letter}{token[at + 1 :]}", data=ONE_CLICK)
                assert answer.status_code == 404, (at, bit)
    for wrong in (token[:-1], token + "A", token + "=", token[::-1], token.swapcase()):
        assert site.client.post(f"{head}/{wrong}", data=ONE_CLICK).status_code == 404
    assert site.rows() == before


def test_it_works_after_the_key_changed_and_ten_years_later(tmp_path: Path) -> None:
    """P8: the link of an old mail."""
    first = Site(tmp_path)
    path = first.path
    first.close()
    with_new_key = {"CHALLENGE_SECRET_KEY": f"{'n' * 40},{'k' * 40}"}
    second = Site(tmp_path, **with_new_key)
    assert second.path != path
    clock = second.service.clock
    later = second.now + timedelta(days=3653)
    clock.now = lambda: later
    assert second.client.get(path).status_code == 200
    assert second.client.post(path, data=ONE_CLICK).status_code == 200
    assert second.state() is EnrollmentState.stopped
    assert Tokens(("n" * 40,)) is not None
    second.close()


def test_it_offers_each_choice_as_one_tap(site: Site) -> None:
    page = site.client.get(site.path).data.decode()
    wishes = re.findall(r'name="do" value="([^"]+)"', page)
    fewer = [f"pace {pace}" for pace in (Pace.weekdays, Pace.weekly)]
    assert wishes == ["everything", "this", *fewer, "pause"]
    assert page.count("<form") == len(wishes)


def test_it_pauses_and_takes_that_back(site: Site) -> None:
    assert b"on a break" in site.press("pause").data
    assert site.state() is EnrollmentState.paused
    site.press("resume")
    assert site.state() is EnrollmentState.active


@pytest.mark.parametrize("pace", [Pace.weekdays, Pace.weekly])
def test_it_sends_fewer_and_takes_that_back(site: Site, pace: str) -> None:
    answer = site.press(f"pace {pace}").data
    assert site.pace() == pace
    assert b'value="pace daily"' in answer
    page = site.client.get(site.path).data.decode()
    assert f'value="pace {pace}"' not in page
    nonce = re.search(r'name="nonce" value="([^"]+)"', page)
    assert nonce is not None
    site.client.post(site.path, data={"do": "pace daily", "nonce": nonce[1]})
    assert site.pace() == "daily"


@pytest.mark.parametrize("wish", ["pause", "pace weekdays", "go on", "resume"])
def test_it_wants_the_pages_nonce_for_all_but_stopping(site: Site, wish: str) -> None:
    before = site.rows()
    assert site.client.post(site.path, data={"do": wish}).status_code == 200
    assert site.client.post(site.path, data={"do": wish, "nonce": "1.abc"}).status_code == 200
    assert site.rows() == before


def test_it_stops_all_challenges_or_this_one(site: Site) -> None:
    with site.database.write() as session:
        one = session.get_one(Enrollment, 1)
        more = Enrollment(subscriber_id=one.subscriber_id, challenge="other", signed_up_at=site.now)
        more.state = EnrollmentState.active
        session.add(more)
    site.press("this")
    assert (site.state(1), site.state(2)) == (EnrollmentState.stopped, EnrollmentState.active)
    site.press("go on")
    site.press("everything")
    assert (site.state(1), site.state(2)) == (EnrollmentState.stopped, EnrollmentState.stopped)


def test_it_takes_a_stop_back_within_a_day(site: Site) -> None:
    site.press("everything")
    with site.database.read() as session:
        assert {row.state for row in session.exec(select(Delivery))} == {DeliveryState.cancelled}
    assert b"go on" in site.press("go on").data
    assert site.state() is EnrollmentState.active
    plan_due(site.database, shipped(), site.service.clock.now())
    with site.database.read() as session:
        rows = {row.key: row.state for row in session.exec(select(Delivery))}
    assert rows["welcome"] is DeliveryState.scheduled
    site.press("everything")
    later = site.service.clock.now() + timedelta(hours=25)
    site.service.clock.now = lambda: later
    page = site.client.get(site.path).data
    assert b'value="go on"' not in page
    assert b"Start again" in page


def test_it_never_takes_back_a_complaint_or_a_dead_address(site: Site) -> None:
    site.press("everything")
    with site.database.write() as session:
        suppress(session, "ana@example.com", "complaint", "", site.now)
    with site.database.write() as session:
        assert can_go_on(session, session.get_one(Enrollment, 1), site.now)
        assert not go_on(session, 1, 5, site.now)
    assert site.state() is EnrollmentState.stopped


@pytest.mark.parametrize("before", ["pending", "paused", "ended"])
def test_it_goes_back_to_what_was_before(site: Site, before: str) -> None:
    with site.database.write() as session:
        signup.register(session, signup.read({"email": "ben@example.com", "timezone": "UTC"}), shipped(), site.now)
    number = 2 if before == "pending" else 1
    now = site.now
    if before == "paused":
        with site.database.write() as session:
            acts.pause(session, 1, now)
    if before == "ended":
        now += timedelta(days=30)
        with site.database.write() as session:
            enrollment, _ = lock(session, 1)
            enrollment.state = EnrollmentState.ended
            session.add(enrollment)
    with site.database.write() as session:
        acts.unsubscribe(session, number, now, how="test")
    with site.database.write() as session:
        assert go_on(session, number, 5, now + timedelta(minutes=1))
    assert site.state(number) == before


def test_it_keeps_a_shaking_hand_from_undoing_the_stop(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.press("everything")
    assert b"two taps" in site.press("go on").data
    assert site.state() is EnrollmentState.stopped
    site.close()


def test_it_keeps_by_which_mail_somebody_left(site: Site) -> None:
    """Link of mail 1; another run of the same person stops with it, and by no mail of its own."""
    with site.database.write() as session:
        person = session.get_one(Enrollment, 1)
        other = Enrollment(
            subscriber_id=person.subscriber_id, challenge="another", state=EnrollmentState.active, signed_up_at=site.now
        )
        session.add(other)
    assert site.client.post(site.path, data=ONE_CLICK).status_code == 200
    with site.database.read() as session:
        stops = select(Event.enrollment_id, Event.delivery_id).where(Event.kind == EventKind.unsubscribed)
        assert sorted(session.exec(stops), key=str) == [(1, 1), (2, None)]
