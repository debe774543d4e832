"""From the file to the mail: who signs up is in a test, and the mail has that variant's subject."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sqlmodel import select

from challenge.models import Enrollment
from challenge.rendering.message import Composer
from tests.unit.programme.test_variants import WORDS, challenge_with


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
