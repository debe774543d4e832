from __future__ import annotations

from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from challenge.embedded import store
from challenge.embedded.store import Inbox, StoredMail

PLAIN = b"From: a@b.example\r\nSubject: Day 1\r\nX-Challenge-Mail: day-1\r\n\r\nGo: https://x.example/day/1\r\n"


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    inbox = Inbox(tmp_path / "inbox.sqlite3")
    yield inbox
    inbox.close()


def received(raw: bytes) -> StoredMail:
    return StoredMail(1, "s@x.example", "r@x.example", 0.0, "", "", raw)


def with_html(html: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = "Grüße"
    message.set_content("https://x.example/a\n")
    message.add_alternative(html, subtype="html")
    return message


def test_it_keeps_the_bytes_and_reads_the_subject_and_the_key(inbox: Inbox) -> None:
    number = inbox.add("s@x.example", "r@x.example", PLAIN)
    mail = inbox.get(number)
    assert mail is not None
    assert (mail.sender, mail.recipient, mail.subject, mail.key) == ("s@x.example", "r@x.example", "Day 1", "day-1")
    assert mail.raw == PLAIN
    assert mail.text.strip() == "Go: https://x.example/day/1"


def test_it_pages_newest_first(inbox: Inbox) -> None:
    numbers = [inbox.add("s", f"p{n}@x.example", PLAIN) for n in range(5)]
    first = inbox.newest(limit=2)
    assert [mail.id for mail in first] == numbers[:2:-1]
    assert [mail.id for mail in inbox.newest(limit=9, before_id=first[-1].id)] == numbers[2::-1]


def test_it_searches_for_the_words_as_they_are_written(inbox: Inbox) -> None:
    inbox.add("s", "per_son@x.example", PLAIN)
    inbox.add("s", "person@x.example", PLAIN)
    assert [mail.recipient for mail in inbox.newest("per_son")] == ["per_son@x.example"]
    assert len(inbox.newest("DAY-1")) == 2
    assert inbox.newest("100%") == []


def test_it_knows_a_person_whatever_the_case_of_the_address(inbox: Inbox) -> None:
    first, _, last = (inbox.add("s", to, PLAIN) for to in ("Ada@x.example", "bob@x.example", "ada@X.example"))
    assert [mail.id for mail in inbox.mails_for("ada@x.example")] == [first, last]
    assert [mail.id for mail in inbox.mails_for("ada@x.example", since_id=first)] == [last]
    mail = inbox.get(first)
    assert mail is not None
    assert inbox.neighbours(mail) == (None, last)


def test_it_keeps_the_newest(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "KEPT", 10)
    for _ in range(500):
        inbox.add("s", "r@x.example", PLAIN)
    assert inbox.count() == 10
    assert inbox.newest(limit=1)[0].id == 500


def test_it_finds_nothing_under_a_number_that_sqlite_cannot_hold(inbox: Inbox) -> None:
    inbox.add("s", "r@x.example", PLAIN)
    assert inbox.get(10**30) is None
    assert list(inbox.mails_for("r@x.example", 10**30)) == list(inbox.since(10**30)) == []
    assert len(inbox.newest(before_id=10**30)) == 1
    assert inbox.newest(before_id=-(10**30)) == []


def test_it_lists_each_link_of_both_parts_once() -> None:
    html = '<a class=b href="https://x.example/a">a</a> <a href="https://x.example/b?c=1&amp;d=2">b</a>'
    assert received(with_html(html).as_bytes()).links == ["https://x.example/a", "https://x.example/b?c=1&d=2"]


def test_it_hands_out_the_pictures_inside_a_mail() -> None:
    message = with_html('<img src="cid:one@x">')
    part = message.get_payload(1)
    assert isinstance(part, EmailMessage)
    part.add_related(b"\x89PNG", "image", "png", cid="<one@x>")
    assert received(message.as_bytes()).pictures == {"one@x": "data:image/png;base64,iVBORw=="}


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        (b"Subject: Gr\xc3\xbc\xc3\x9fe", "Grüße"),
        (b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"Subject: =?nope?q?abc?=", "=?nope?q?abc?="),
        (b"Subject: a\r\n b", "a b"),
        (b"From: <<<>@[", "<<<>@["),
    ],
)
def test_it_shows_a_header_as_a_person_reads_it(header: bytes, shown: str) -> None:
    assert [value for _, value in received(header + b"\r\n\r\nx").headers] == [shown]


@pytest.mark.parametrize(
    ("date", "shown"),
    [
        (b"Tue, 09 Mar 2027 08:00:00 +0000", "Tue 9 Mar 2027, 08:00 UTC"),
        (b"Tue, 09 Mar 2027 08:00:00 +0200", "Tue 9 Mar 2027, 08:00 UTC+02:00"),
        (b"Tue, 99 Mar 2027 08:00:00 +0000", ""),
        (b"soon", ""),
        (b"\xff", ""),
    ],
)
def test_it_says_when_a_mail_was_written(date: bytes, shown: str) -> None:
    assert received(b"From: a@b\r\nDate: " + date + b"\r\n\r\nx").written_at == shown
    assert received(b"From: a@b\r\n\r\nDate: " + date).written_at == ""


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"From", b"Date", b"To", b"Subject", b"Content-Type", b"Content-Transfer-Encoding", b"Content-ID"]
            ),
            st.one_of(
                st.binary(max_size=30),
                st.sampled_from([b"text/html; charset=x", b"multipart/mixed; boundary=b", b"image/png", b"base64"]),
            ),
        ),
        max_size=5,
    ),
    st.one_of(st.binary(max_size=40), st.just(b"--b\r\nContent-Type: text/html; charset=idna\r\n\r\n\xff\r\n--b--")),
)
def test_it_can_show_whatever_comes_over_the_wire(fields: list[tuple[bytes, bytes]], body: bytes) -> None:
    mail = received(b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n" + body)
    shown = [
        mail.text,
        mail.html,
        mail.source,
        mail.written_at,
        *mail.links,
        *mail.pictures,
        *(value for _, value in mail.headers),
    ]
    assert not any("\ud800" <= letter <= "\udfff" for letter in "".join(shown)), "half a character cannot be sent"
