"""The mails' own lint: what each rule catches, and that the mails that ship pass."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from pathlib import Path

import pytest

from challenge.doctor import mails as linted
from challenge.doctor.finding import Finding, State
from challenge.doctor.requirements import REQUIREMENTS, answers
from challenge.programme.definition import shipped
from challenge.rendering.dkim import make_keys
from challenge.settings import Settings

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def found_in(**settings: str) -> dict[str, Finding]:
    made = Settings(**{"secret_key": "k" * 32, "mail_from": "hello@ours.example", **settings})  # type: ignore[arg-type]
    return {one.check: one for one in linted.mails(made, shipped(), NOON)}


def test_the_mails_that_ship_pass(tmp_path: Path) -> None:
    keys = make_keys(tmp_path, "a")
    found = found_in(
        base_url="https://ours.example",
        dkim_selector=",".join(key.selector for key in keys),
        dkim_key_file=",".join(str(key.file) for key in keys),
    )
    assert {check: (one.state, one.words) for check, one in found.items() if one.state is not State.ok} == {
        "content": (State.warning, "reviewed_by: no clinician has signed these words.")
    }


def test_without_https_nobody_unsubscribes_with_one_click() -> None:
    assert found_in()["mail one-click"].state is State.problem


HEAD = (
    "From: hello@ours.example\nTo: ana@example.com\nSubject: Day 1\nDate: Mon, 1 Mar 2027 12:00:00 +0000\n"
    "Message-ID: <1.day-1.x@ours.example>\nList-ID: <x.ours.example>\nFeedback-ID: day:x:mail:0123456789\n"
    "List-Unsubscribe: <https://ours.example/unsubscribe/t>\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
)
SETTINGS = Settings(secret_key="k" * 32, mail_from="hello@ours.example", base_url="https://ours.example")


def faults(head: str) -> list[str]:
    mail = message_from_bytes(head.encode())
    return [
        *linted._header_faults(mail, SETTINGS),
        *linted._one_click_faults(mail),
        *linted._word_faults(mail),
    ]


def test_a_good_head_is_good() -> None:
    assert faults(HEAD) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("Subject: Day 1", "Subject: Day 1\nSubject: Day 2", "2 times"),
        ("Message-ID", "X-Id", "message-id is missing"),
        ("@ours.example>\nList", "@other.example>\nList", "Message-ID"),
        (":0123456789", ":1", "Feedback-ID"),
        ("<https:", "<http:", "https"),
        ("=One-Click", "=Yes", "Post"),
        ("Subject: Day 1", "Subject: Re: Day 1", "answer"),
        ("Subject: Day 1", "Subject: YOUR MORNING IS HERE", "shouts"),
        ("Subject: Day 1", "Subject: Act now", "spam"),
        ("From: hello@ours.example", "From: a@ours.example, b@ours.example", "From"),
        ("Subject: Day 1", "DKIM-Signature: v=1; h=from:list-unsubscribe; b=x\nSubject: Day 1", "cover"),
    ],
)
def test_a_bad_head_is_told(old: str, new: str, fault: str) -> None:
    assert any(fault in words for words in faults(HEAD.replace(old, new)))


def page_of(body: str) -> list[str]:
    mail = message_from_bytes(
        f"{HEAD}Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/plain\n\n"
        "https://ours.example/c/1 https://ours.example/unsubscribe/t\n--b\nContent-Type: text/html\n\n"
        f'{body}<a href="https://ours.example/unsubscribe/t">Stop</a>\n--b--\n'.encode()
    )
    return [*linted._link_faults(mail, SETTINGS, shipped()), *linted._word_faults(mail)]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="https://ours.example/c/1">I did it</a>', ""),
        ('<a href="https://ours.example/c/1">https://bank.example</a>', "leads to ours.example"),
        ('<a href="https://evil.example/">I did it</a>', "leads to evil.example"),
        ('<a href="https://ours.example/c/2">I did it</a>', "not in the text part"),
        ("<p>Risk-free!!!</p>", "spam"),
    ],
)
def test_links_and_words_are_read(body: str, fault: str) -> None:
    found = page_of(body)
    assert any(fault in words for words in found) if fault else found == []


def test_a_requirement_is_as_good_as_its_worst_finding() -> None:
    found = [Finding("dkim a", State.ok, ""), Finding("dkim b", State.problem, ""), Finding("dmarc", State.ok, "")]
    states = {one.requirement.checks[0]: one.state for one in answers(found)}
    assert (states["dkim"], states["dmarc"], states["spf"]) == (State.problem, State.ok, State.not_checked)
    assert len({requirement.asks for requirement in REQUIREMENTS}) == len(REQUIREMENTS)
