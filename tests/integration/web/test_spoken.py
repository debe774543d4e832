"""Whose language does a page speak? With an Arabic made by a rule: each sentence between two marks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlmodel import select

from challenge import catalogues, i18n
from challenge.clock import set_up
from challenge.db import Database
from challenge.i18n import Languages
from challenge.models import Consent, Enrollment, Subscriber
from challenge.programme.definition import Challenge, shipped
from challenge.rendering.links import Address, Link, Links
from challenge.settings import read_settings
from challenge.web import create_app

ARABIC = {"Accept-Language": "ar-EG,en;q=0.5"}
TO = Address(1, 1, "day-1")
NAMES = {
    "Gretchen",
    "Hawley",
    "The",
    "MSing",
    "Link",
    "ana",
    "example",
    "com",
    "America",
    "New",
    "York",
    "New_York",
    "America/New_York",
    "English",
}


@pytest.fixture
def site(
    tmp_path: Path, mirrored: tuple[Challenge, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[FlaskClient, Links, Database]]:
    challenge, ours = mirrored
    monkeypatch.setattr(i18n, "CATALOGUES", ours)
    start = datetime(2027, 3, 1, 12, tzinfo=UTC).isoformat()
    environ = {
        "CHALLENGE_DATA_DIR": str(tmp_path / "var"),
        "CHALLENGE_CLOCK_START": start,
        "CHALLENGE_SIGNUP_RATE": "",
        "CHALLENGE_SMTP_URL": "smtp+plain://127.0.0.1:25",
    }
    settings = read_settings(environ, None)
    database = Database(settings.database)
    database.migrate()
    with database.write() as session:
        set_up(session, settings)
    app = create_app(settings, challenge)
    yield app.test_client(), app.extensions["challenge"].composer.links, database
    database.close()
    app.extensions["challenge"].database.close()


def one(database: Database) -> Subscriber:
    with database.read() as session:
        return session.exec(select(Subscriber)).one()


def test_it_speaks_what_the_browser_asks_for(site: tuple[FlaskClient, Links, Database]) -> None:
    client, _, _ = site
    page = client.get("/", headers=ARABIC)
    assert '<html lang="ar" dir="rtl">' in page.text
    assert "«Five mornings to steadier legs»" in page.text
    assert (page.headers["Content-Language"], "Accept-Language" in page.headers["Vary"]) == ("ar", True)
    assert '<html lang="en" dir="ltr">' in client.get("/").text
    assert '<html lang="ar" dir="rtl">' in client.get("/?lang=ar").text
    assert '<html lang="en" dir="ltr">' in client.get("/?lang=xx", headers={"Accept-Language": "fr"}).text
    assert '<html lang="en" dir="ltr">' in client.get("/dashboard/login", headers=ARABIC).text


@pytest.mark.parametrize("way", ["form", "hidden field", "json"])
def test_it_keeps_the_language_somebody_signs_up_in(site: tuple[FlaskClient, Links, Database], way: str) -> None:
    client, links, database = site
    match way:
        case "form":
            client.post("/signup", data={"email": "ana@example.com"}, headers=ARABIC)
        case "hidden field":
            client.post("/signup", data={"email": "ana@example.com", "locale": "ar"})
        case _:
            client.post("/api/v1/signups", json={"email": "ana@example.com", "locale": "ar"})
    assert one(database).locale == "ar"
    page = client.get(links.confirm_url(TO).removeprefix(links.base_url), headers={"Accept-Language": "en"})
    assert '<html lang="ar" dir="rtl">' in page.text


def test_it_keeps_the_language_that_was_asked_for_through_the_form_and_the_links(
    site: tuple[FlaskClient, Links, Database],
) -> None:
    client, links, _ = site
    page = client.get("/?lang=ar").text
    assert '<input type="hidden" name="locale" value="ar">' in page
    wrong = client.post("/signup", data={"email": "ana", "locale": "ar"})
    assert (wrong.status_code, '<html lang="ar" dir="rtl">' in wrong.text) == (422, True)
    assert '<input type="hidden" name="locale" value="ar">' in wrong.text
    right = client.post("/signup", data={"email": "ana@example.com", "locale": "ar"})
    assert right.headers["Location"] == "/check-inbox?lang=ar"
    for path in (
        "/?lang=ar",
        "/check-inbox?lang=ar",
        "/exercises?lang=ar",
        "/privacy?lang=ar",
        links.preferences_path(TO),
    ):
        page = client.get(path).text
        assert 'href="/exercises?lang=ar"' in page, path
        assert 'href="/privacy?lang=ar"' in page, path
    assert '<input type="hidden" name="lang" value="ar">' in client.get("/exercises?lang=ar").text
    assert 'href="/?lang=ar"' in client.get("/check-inbox?lang=ar").text
    own = client.get("/", headers=ARABIC).text  # the browser says it each time
    assert 'href="/privacy"' in own
    assert (
        client.post("/signup", data={"email": "b@example.com", "locale": "ar"}, headers=ARABIC).headers["Location"]
        == "/check-inbox"
    )
    assert 'href="/privacy?lang=en"' in client.get("/?lang=en", headers=ARABIC).text
    assert 'href="/privacy"' in client.get("/?lang=xx").text
    assert 'name="lang"' not in client.get("/exercises").text


def test_it_lets_a_visitor_choose_the_language_and_knows_where_they_came_from(
    site: tuple[FlaskClient, Links, Database],
) -> None:
    client, _, _ = site
    page = client.get("/?utm_source=clinic", headers={"Referer": "https://clinic.example/news"}).text
    found = re.findall(r'<a class="go" href="([^"]+)" lang="(\w+)" hreflang="\w+"( aria-current="true")?>([^<]+)', page)
    assert [(lang, bool(here), name) for _, lang, here, name in found] == [
        ("en", True, "English"),
        ("ar", False, "العربية"),
    ]
    switched = client.get(
        found[1][0].replace("&amp;", "&"), headers={"Referer": "http://localhost/?utm_source=clinic"}
    ).text
    assert '<html lang="ar" dir="rtl">' in switched
    assert 'name="utm_source" value="clinic"' in switched
    assert 'name="referrer" value="https://clinic.example/news"' in switched
    assert "hreflang" not in client.get("/privacy").text


def test_it_shows_no_choice_where_there_is_one_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(i18n, "CATALOGUES", tmp_path)
    settings = read_settings({"CHALLENGE_DATA_DIR": str(tmp_path)}, None)
    database = Database(settings.database)
    database.migrate()
    database.close()
    app = create_app(settings, shipped())
    assert "hreflang" not in app.test_client().get("/").text
    app.extensions["challenge"].database.close()


def test_it_asks_for_the_yes_in_the_words_it_keeps_as_evidence(site: tuple[FlaskClient, Links, Database]) -> None:
    client, links, database = site
    client.post("/signup", data={"email": "ana@example.com"}, headers=ARABIC)
    path = links.confirm_url(TO).removeprefix(links.base_url)
    nonce = re.search(r'name="nonce" value="([^"]+)"', client.get(path).text)
    assert nonce is not None
    client.post(path, data={"nonce": nonce[1]})
    with database.read() as session:
        consent = session.exec(select(Consent)).one()
        assert session.exec(select(Enrollment)).one().confirmed_at is not None
    assert consent.wording.startswith("«Yes, send me the 5-Day MS Strength Challenge")


def test_it_says_errors_in_the_language(site: tuple[FlaskClient, Links, Database]) -> None:
    client, _, _ = site
    assert "«Please type your e-mail address.»" in client.post("/signup", data={"email": ""}, headers=ARABIC).text
    assert (
        "«Please choose an hour from 6 to 21.»"
        in client.post("/signup", data={"email": "ana@example.com", "hour": "3"}, headers=ARABIC).text
    )
    assert "«This link was cut short or changed.»" in client.get("/day/x", headers=ARABIC).text
    assert "«This page is not here»" in client.get("/nowhere", headers=ARABIC).text


def test_it_lets_a_person_change_the_language(site: tuple[FlaskClient, Links, Database]) -> None:
    client, links, database = site
    client.post("/signup", data={"email": "ana@example.com"})
    path = links.preferences_path(TO)
    page = client.get(path, headers=ARABIC).text
    assert '<html lang="en" dir="ltr">' in page
    assert '<option value="ar" lang="ar">' in page
    nonce = re.search(r'name="nonce" value="([^"]+)"', page)
    assert nonce is not None
    changed = client.post(path, data={"nonce": nonce[1], "locale": "ar"}).text
    assert '<html lang="ar" dir="rtl">' in changed
    assert one(database).locale == "ar"


def test_it_leaves_no_word_of_a_page_behind(site: tuple[FlaskClient, Links, Database]) -> None:
    """On pages in the made language every letter stands between the marks, but for names, zones and figures."""
    client, links, _ = site
    client.post("/signup", data={"email": "ana@example.com"}, headers=ARABIC)
    confirm = links.confirm_url(TO).removeprefix(links.base_url)
    nonce = re.search(r'name="nonce" value="([^"]+)"', client.get(confirm).text)
    assert nonce is not None
    client.post(confirm, data={"nonce": nonce[1]})
    paths = [
        "/",
        "/exercises",
        "/privacy",
        "/check-inbox",
        confirm,
        links.path(Link.day, TO),
        links.path(Link.certificate, TO),
    ]
    paths += [links.preferences_path(TO), links.unsubscribe_url(TO).removeprefix(links.base_url)]
    for path in paths:
        page = client.get(path.partition("#")[0], headers=ARABIC).text
        shown = re.sub(r"(?s)<(script|style|select)[^>]*>.*?</\1>|<[^>]+>|&\w+;", " ", page.partition("<body")[2])
        left = re.sub(r"(?s)«[^«»]*(?:«[^«»]*»[^«»]*)*»", " ", shown)
        assert set(re.findall(r"[A-Za-z]{3,}", left)) - NAMES == set(), path


def test_it_has_every_word_in_every_language_it_ships() -> None:
    """`challenge words --write de` adds what is new; then say it in German."""
    assert [(gap.words, gap.problem) for gap in catalogues.gaps(shipped())] == []
    assert [language.locale for language in Languages(shipped()).all()] == ["en", "de"]
    german = Languages(shipped()).get("de")
    assert german.challenge.subject("day", 1) == "Tag 1: Ein sanfter Anfang"
    assert german.gettext("Stop these e-mails") == "Diese E-Mails beenden"


def test_it_speaks_german_from_the_form_to_the_day(tmp_path: Path) -> None:
    settings = read_settings({"CHALLENGE_DATA_DIR": str(tmp_path)}, None)
    database = Database(settings.database)
    database.migrate()
    database.close()
    app = create_app(settings, shipped())
    page = app.test_client().get("/", headers={"Accept-Language": "de-AT,en;q=0.3"}).text
    assert '<html lang="de" dir="ltr">' in page
    assert "Fünf Morgen für sicherere Beine" in page
    assert "Deine E-Mail" in page
    app.extensions["challenge"].database.close()
