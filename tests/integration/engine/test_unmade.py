"""A mail that cannot be made: a template, a catalogue or a row at fault holds up nobody else, costs the person nothing, is
told, and goes out when it is mended."""

from __future__ import annotations

import shutil
import threading
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import select

import worker
from challenge import jobs
from challenge.alerts import raise_alert
from challenge.db import Database
from challenge.delivery import prepare
from challenge.dispatch import is_stopped, stop_sending
from challenge.models import Alert, Delivery, DeliveryState
from challenge.programme.definition import shipped
from challenge.programme.source import ContentError
from challenge.rendering.templates import FOLDERS, Templates


def alerts(engine: Any) -> dict[str, str]:
    with engine.database.read() as session:
        return {alert.code: alert.text for alert in session.exec(select(Alert))}


def of(engine: Any, id: int) -> Delivery:
    with engine.database.read() as session:
        row: Delivery = session.exec(select(Delivery).where(Delivery.enrollment_id == id)).one()
        return row


@pytest.mark.parametrize("fault", ["of a content", "of a row"])
def test_the_others_go_out_and_it_follows_when_it_is_mended(
    engine: Any, relay: Any, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    pia = engine.sign_up("pia@example.com", position="lying")
    for number in range(3):
        engine.sign_up(f"p{number}@example.com")
    prepared, letter = engine.composer.templates.prepared, prepare._letter

    def no_content(content: Any) -> Any:
        if content.position == "lying":
            raise KeyError("nom")
        return prepared(content)

    def no_letter(row: Any, *rest: Any) -> Any:
        if row.position == "lying":
            raise KeyError("nom")
        return letter(row, *rest)

    with monkeypatch.context() as patch:
        if fault == "of a content":
            patch.setattr(engine.composer.templates, "prepared", no_content)
        else:
            patch.setattr(prepare, "_letter", no_letter)
        engine.send()
    assert {name for name, _ in relay.messages} == {f"p{number}@example.com" for number in range(3)}
    row = of(engine, pia)
    assert (row.state, row.strikes, row.attempts, row.claimed_by) == (DeliveryState.scheduled, 0, 0, "")
    assert row.due_at == engine.now + timedelta(minutes=10)
    assert "KeyError: 'nom'" in row.reason
    assert "KeyError: 'nom'" in alerts(engine)["unmade"]
    assert engine.drain() == {}, "it is not tried again at once"
    engine.live(1)
    assert relay.keys("pia@example.com") == ["welcome"]
    assert engine.audit().balanced, engine.audit().problems


def test_ticks_that_fail_are_told_on_the_desk(engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, asked = threading.Event(), []

    def fail(*_: Any) -> None:
        asked.append(1)
        if len(asked) > 2:
            stop.set()
        raise KeyError("a program error")

    crew: Any = SimpleNamespace(is_complete=True)
    monkeypatch.setattr(worker, "tick", fail)
    monkeypatch.setattr(worker, "FAILING_SECONDS", 0.0)
    settings = engine.settings.model_copy(
        update={"database_url": engine.database.url, "redis_url": "redis://127.0.0.1:1/0"}
    )
    worker._tick_until(stop, crew, settings, engine.challenge)
    assert "KeyError" in alerts(engine)["tick"]


def test_a_drain_that_fails_is_told_on_the_desk(engine: Any) -> None:
    jobs._tell_failed(engine.database, RuntimeError("broken"))
    assert "RuntimeError" in alerts(engine)["drain"]


@pytest.mark.parametrize(
    ("words", "told"),
    [("{{ challenge.titel }}", "titel"), ("{% if %}", "line 1"), ("{{ 1 + 'x' }}", "unsupported operand")],
)
def test_a_broken_template_stops_the_start(tmp_path: Path, words: str, told: str) -> None:
    folders = tmp_path / "emails"
    shutil.copytree(FOLDERS, folders)
    Templates(shipped(), "https://x.example", "1 Main Street", folders=folders).check()
    (folders / "confirm" / "body.html").write_text(words)
    with pytest.raises(ContentError, match=told) as refused:
        Templates(shipped(), "https://x.example", "1 Main Street", folders=folders).check()
    assert "confirm" in str(refused.value)


def test_two_may_stop_sending_and_raise_the_first_alert_in_the_same_moment(engine: Any) -> None:
    both, failed = threading.Barrier(2), []

    def go(number: int) -> None:
        database = Database(engine.database.url)
        try:
            both.wait(5)
            with database.write() as session:
                raise_alert(session, "relay", f"told by {number}")
                stop_sending(session, f"stopped by {number}")
                time.sleep(0.2)
        except SQLAlchemyError as error:
            failed.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=go, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert "told by" in alerts(engine)["relay"]
    with engine.database.read() as session:
        assert is_stopped(session).startswith("stopped by")
