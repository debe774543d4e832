"""A second copy of an uncertain mail has the bytes of the first, or there is none: words, keys and settings may change."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import delete

from challenge import editions
from challenge.delivery.kept import kept_words
from challenge.delivery.ledger import DeliveryLedger, Kept
from challenge.delivery.prepare import prepare
from challenge.dispatch import bring_back, claim_due
from challenge.models import Alert, Edition
from challenge.programme.definition import content_dir, load
from challenge.rendering.message import Composer


def hand_over_and_die(engine: Any) -> bytes:
    """A worker is killed behind the dot; what it wrote."""
    editions.keep(engine.database, engine.challenge)
    engine.sign_up("ana@example.com", confirmed=False, first_name="Ana")
    engine.tick()
    ids = claim_due(engine.database, "dead", engine.challenge, engine.settings, engine.now, 10)
    (letter,) = prepare(engine.database, ids, engine.challenge, engine.settings, engine.now)
    message = engine.composer.compose(letter)
    data: bytes = message.data

    async def run() -> None:
        ledger = DeliveryLedger(engine.database, engine.settings, "dead", engine.challenge.edition, lambda: engine.now)
        ledger.keep(ids[0], Kept(kept_words(letter, message.digest), letter.composed_at))
        assert await ledger.before_dot(ids[0])
        ledger.close()

    asyncio.run(run())
    return data


def other_words(engine: Any, folder: Path) -> None:
    shutil.copytree(content_dir(engine.challenge), folder / "content")
    file = folder / "content" / "challenge.toml"
    file.write_text(file.read_text().replace("Please say yes to your", "Please agree to your"))
    engine.challenge = load(file)
    engine.composer = Composer(engine.settings, engine.challenge)


def words_that_nobody_kept(engine: Any, folder: Path) -> None:
    other_words(engine, folder)
    with engine.database.write() as session:
        session.exec(delete(Edition))


def other_settings(**changed: str) -> Callable[[Any, Path], None]:
    def change(engine: Any, _folder: Path) -> None:
        engine.settings = engine.settings.model_copy(update=changed)
        engine.composer = Composer(engine.settings, engine.challenge)

    return change


@pytest.mark.parametrize(
    ("change", "comes"),
    [
        (lambda _engine, _folder: None, True),
        (other_words, True),
        (words_that_nobody_kept, False),
        (other_settings(secret_key=f"{'n' * 40},{'k' * 40}"), False),
        (other_settings(mail_from="Else <else@example.org>"), False),
        (other_settings(mail_postal_address="2 Main Street"), False),
    ],
    ids=["nothing", "words", "words that nobody kept", "secret key", "sender", "postal address"],
)
def test_it_sends_the_same_bytes_or_none(
    make_engine: Any, relay: Any, tmp_path: Path, change: Callable[[Any, Path], None], comes: bool
) -> None:
    engine = make_engine(on_uncertain="resend_once", data_dir=tmp_path / "data")
    first = hand_over_and_die(engine)
    edition = engine.row("confirm").edition
    change(engine, tmp_path)
    bring_back(engine.database, engine.settings, engine.now)
    engine.now += timedelta(minutes=7)
    engine.send()
    assert [data for _, data in relay.messages] == [first] * comes
    assert engine.states() == {"confirm": "sent" if comes else "uncertain"}
    assert engine.row("confirm").edition == edition
    with engine.database.read() as session:
        assert (session.get(Alert, "uncertain") is None) == comes
