"""From the file to the mail: who signs up is in a test, and the mail has that variant's subject."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sqlmodel import select

from challenge.delivery.kept import letter_of
from challenge.models import Delivery, Enrollment, Subscriber
from challenge.rendering.message import Composer
from tests.unit.programme.test_variants import SHORT_PAGE, SHORT_TEXT, WORDS, challenge_with


def test_each_person_gets_their_variant_each_time(engine: Any, relay: Any, tmp_path: Path) -> None:
    engine.challenge = challenge_with(tmp_path, WORDS)
    engine.composer = Composer(engine.settings, engine.challenge)
    for number in range(8):
        engine.sign_up(f"p{number}@example.com", locale="en")
    engine.live(24)
    with engine.database.read() as session:
        variants = list(session.exec(select(Enrollment.variant).order_by(Enrollment.id)))  # type: ignore[arg-type]
    assert set(variants) == {"a", "b"}
    for number, variant in enumerate(variants):
        assert variant == engine.challenge.variants.for_mails(f"p{number}@example.com")
        mails = [data for to, data in relay.messages if to == f"p{number}@example.com" and b"Mail: day-1" in data]
        subject = re.search(rb"Subject: ([^\r]+)", mails[0])
        assert subject is not None
        assert (subject[1] == b"Morning 1 is here") == (variant == "b")


def test_a_whole_mail_goes_to_its_share_and_can_be_shown_as_it_was(engine: Any, relay: Any, tmp_path: Path) -> None:
    engine.challenge = challenge_with(tmp_path, '[variants.mails.b]\nday-2 = "short"', short=(SHORT_TEXT, SHORT_PAGE))
    engine.composer = Composer(engine.settings, engine.challenge)
    for number in range(8):
        engine.sign_up(f"p{number}@example.com", locale="en", first_name="Ana")
    engine.sign_up("de@example.com", locale="de")
    engine.live(48)
    seen = set()
    with engine.database.read() as session:
        rows = session.exec(select(Delivery)).all()
        runs = {row.id: row for row in session.exec(select(Enrollment))}
        people = {row.id: row for row in session.exec(select(Subscriber))}
    for row in rows:
        enrollment = runs[row.enrollment_id]
        person = people[enrollment.subscriber_id]
        sent = [data for to, data in relay.messages if to == person.email and f"Mail: {row.key}\r".encode() in data]
        if row.key not in ("day-1", "day-2"):
            continue
        has_it = b"Only two moves today" in sent[0]
        assert has_it == (row.key == "day-2" and enrollment.variant == "b") == (sent[0].count(b"Only two moves") == 2)
        assert engine.composer.compose(letter_of(row, person)).data == sent[0]
        seen.add((person.locale, enrollment.variant))
    assert seen == {("en", "a"), ("en", "b"), ("de", "")}
