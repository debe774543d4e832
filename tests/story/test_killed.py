"""Every process may be killed at any moment: nothing is lost, nothing is doubled, what is undecided is listed."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import fresh_postgres
from tests.story.test_the_five_days import Running, _processes_with

PEOPLE = 150
KILLS = 10


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    assert _processes_with(str(tmp_path)) == []


def _members(service: Running) -> dict[str, list[int]]:
    """Process ids by role, found by their command lines under our data directory."""
    found: dict[str, list[int]] = {"web": [], "worker": [], "valkey": []}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environ = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if service.environ["CHALLENGE_DATA_DIR"].encode() not in environ + command or b"guard" in command:
            continue
        for role, mark in (
            ("web", b"challenge.web.serve"),
            ("worker", b"challenge.cli\0worker"),
            ("valkey", b"valkey-server"),
        ):
            if mark in command:
                found[role].append(int(folder.name))
    return found


@pytest.mark.story
@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_it_loses_and_doubles_nothing_when_processes_are_killed(
    folder: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    extra = (
        {"CHALLENGE_DATABASE_URL": fresh_postgres(request.getfixturevalue("postgres_server"))}
        if kind == "postgres"
        else {}
    )
    service = Running(
        folder, CHALLENGE_LEASE_SECONDS="2", CHALLENGE_SIGNUP_RATE="", CHALLENGE_CLOCK_SPEED="43200", **extra
    )
    try:
        rows = "".join(f"p{n}@example.com,UTC,2026-10-01,form\n" for n in range(PEOPLE))
        (folder / "people.csv").write_text("email,timezone,consent_at,consent_source\n" + rows)
        assert service.command("import", str(folder / "people.csv"), "--confirmed").returncode == 0
        dice = random.Random(kind)
        for _ in range(KILLS):
            time.sleep(0.5 + dice.random())
            members = {role: ids for role, ids in _members(service).items() if ids}
            if members:  # between two starts there may be nobody to kill
                os.kill(dice.choice(members[dice.choice(sorted(members))]), signal.SIGKILL)
        states = service.wait(lambda: _all_over(service))
    finally:
        service.stop()
    _check(folder, states)


def _all_over(service: Running) -> dict[str, dict[str, int]] | None:
    """The audit's mails once every finish mail is closed."""
    done = service.command("audit", "--json")
    if done.returncode not in (0, 1):
        return None
    mails: dict[str, dict[str, int]] = json.loads(done.stdout)["mails"]
    finish = mails.get("finish", {})
    closed = sum(count for state, count in finish.items() if state in ("sent", "uncertain", "expired"))
    if closed < PEOPLE:
        return None
    assert json.loads(done.stdout)["balanced"], done.stdout
    return mails


def _check(folder: Path, mails: dict[str, dict[str, int]]) -> None:
    """What the inbox got against what the rows say."""
    box = sqlite3.connect(folder / "var" / "inbox.sqlite3")
    got = Counter(box.execute("SELECT recipient, mail_key FROM mail").fetchall())
    box.close()
    assert [pair for pair, count in got.items() if count > 1] == []
    per_mail = Counter(key for _, key in got)
    for key in ("welcome", *(f"day-{n}" for n in range(1, 6)), "finish"):
        states = mails[key]
        sent, unsure = states.get("sent", 0), states.get("uncertain", 0)
        assert sum(states.values()) == PEOPLE
        assert sent <= per_mail[key] <= sent + unsure


def test_it_leaves_no_orphan_when_the_supervisor_itself_is_killed(folder: Path) -> None:
    service = Running(folder)
    service.process.kill()
    service.process.wait(10)
    until = time.monotonic() + 60
    while _processes_with(service.environ["CHALLENGE_DATA_DIR"]) and time.monotonic() < until:
        time.sleep(0.2)
    service.log.close()
