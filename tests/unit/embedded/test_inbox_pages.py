from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from challenge.embedded.store import Inbox
from challenge.web.inbox import inbox_blueprint


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    inbox = Inbox(tmp_path / "inbox.sqlite3")
    yield inbox
    inbox.close()


@pytest.fixture
def pages(inbox: Inbox, tmp_path: Path) -> FlaskClient:
    app = Flask(__name__)
    app.register_blueprint(inbox_blueprint(tmp_path / "inbox.sqlite3"))
    return app.test_client()


def mail(html: str, key: str = "day-1") -> bytes:
    message = EmailMessage()
    message["Subject"], message["X-Challenge-Mail"] = "Hello", key
    message.set_content("Confirm: https://x.example/confirm/abc")
    message.add_alternative(html, subtype="html")
    return message.as_bytes()


@pytest.mark.parametrize(
    ("html", "framed"),
    [
        (
            "<!doctype html>\n<html lang=en><head><title>x",
            '<!doctype html>\n<html lang=en><head><base target="_blank">',
        ),
        ("<!DOCTYPE html><html><HEAD a=b><title>x", '<!DOCTYPE html><html><HEAD a=b><base target="_blank">'),
        ("<p>only words</p>", '<base target="_blank"><p>only words</p>'),
    ],
)
def test_it_lets_links_leave_the_frame_and_keeps_the_doctype_first(
    inbox: Inbox, pages: FlaskClient, html: str, framed: str
) -> None:
    number = inbox.add("s@x.example", "r@x.example", mail(html))
    assert pages.get(f"/inbox/{number}/html").text.startswith(framed)


def test_it_shows_a_mail_without_scripts_and_without_an_origin(inbox: Inbox, pages: FlaskClient) -> None:
    number = inbox.add("s@x.example", "r@x.example", mail("<script>alert(1)</script>"))
    policy = pages.get(f"/inbox/{number}/html").headers["Content-Security-Policy"]
    rules = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert "script-src" not in rules
    assert rules["img-src"] == "'self' http: https: data:"
    assert rules["sandbox"].split() == ["allow-popups", "allow-popups-to-escape-sandbox"]


def test_it_answers_with_the_mails_of_one_person_after_a_number(inbox: Inbox, pages: FlaskClient) -> None:
    first = inbox.add("s@x.example", "r@x.example", mail("<p>", "confirm:1"))
    inbox.add("s@x.example", "other@x.example", mail("<p>"))
    second = inbox.add("s@x.example", "r@x.example", mail("<p>"))
    found = pages.get("/inbox/api/mails?to=r@x.example").get_json()["mails"]
    assert [(one["id"], one["key"], one["subject"]) for one in found] == [
        (first, "confirm:1", "Hello"),
        (second, "day-1", "Hello"),
    ]
    assert found[0]["links"] == ["https://x.example/confirm/abc"]
    later = pages.get(f"/inbox/api/mails?to=r@x.example&since={first}").get_json()["mails"]
    assert [one["id"] for one in later] == [second]


@pytest.mark.parametrize("number", ["7", "99999999999999999999"])
def test_it_says_404_for_a_mail_that_is_not_there(pages: FlaskClient, number: str) -> None:
    assert pages.get(f"/inbox/{number}/html").status_code == 404
    assert pages.get(f"/inbox/api/mails?since={number}").get_json() == {"mails": []}
