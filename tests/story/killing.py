"""The whole service while its processes are killed -9: who was lost, who got two, what nobody can know?

The gate kills ten times (`test_killed`), `python -m bench kill` a hundred. The oracle is exact: every row is held
against the copies that the inbox got of that mail for that person.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
from redis.exceptions import RedisError
from sqlalchemy import text

from challenge.db import Database
from challenge.embedded.valkey import socket_path
from tests.postgres import KillablePostgres
from tests.story.test_the_five_days import Running

LEASE_SECONDS = "2"
_SEQUENCE = ("welcome", *(f"day-{number}" for number in range(1, 6)), "finish")
_MARKS = (("web", b"challenge.web.serve"), ("worker", b"challenge.cli\0worker"), ("valkey", b"valkey-server"))


@dataclass
class Verdict:
    """`lost` and `doubled`: (address, mail); `uncertain`: those rows, and whether each had arrived; `forgotten`:
    sign-ups that were answered with 202 and are not in the database."""

    kills: Counter[str] = field(default_factory=Counter)
    mails: int = 0
    signed_up: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)
    doubled: list[tuple[str, str]] = field(default_factory=list)
    uncertain: dict[tuple[str, str], bool] = field(default_factory=dict)
    forgotten: list[str] = field(default_factory=list)
    listed: int = 0
    balanced: bool = False


def killed(
    folder: Path, *, people: int, hours: int, kills: int, dice: random.Random, speed: str = "43200",
    postgres: KillablePostgres | None = None, database_url: str = "",
) -> Verdict:  # fmt: skip
    """`people`, spread over `hours` of the day, go through their five days and others sign up meanwhile; `kills` times somebody is killed."""
    environ = {"CHALLENGE_LEASE_SECONDS": LEASE_SECONDS, "CHALLENGE_SIGNUP_RATE": "", "CHALLENGE_CLOCK_SPEED": speed}
    if database_url:
        environ["CHALLENGE_DATABASE_URL"] = database_url
    service = Running(folder, **environ)
    database = Database(database_url or f"sqlite:///{folder / 'var' / 'challenge.sqlite3'}")
    verdict = Verdict()
    try:
        _import(service, folder, people, hours)
        with _signing_up(service) as answered:
            for role in _deck(kills, dice, has_postgres=postgres is not None):
                time.sleep(0.3 + 0.7 * dice.random())
                verdict.kills[_kill(service, role, dice, postgres)] += 1
        service.wait(lambda: _is_over(database, people), 120 + kills)
    finally:
        service.stop()
    _judge(verdict, folder, database, people, answered)
    accounts = json.loads(service.command("audit", "--json").stdout)
    verdict.balanced, verdict.listed = accounts["balanced"], len(accounts["uncertain"])
    database.close()
    return verdict


def _import(service: Running, folder: Path, people: int, hours: int) -> None:
    """The more hours they are spread over, the more of the time a mail is on its way, and the longer it takes."""
    rows = "".join(f"p{n}@example.com,UTC,{6 + n % hours},2026-10-01,form\n" for n in range(people))
    (folder / "people.csv").write_text("email,timezone,hour,consent_at,consent_source\n" + rows)
    assert service.command("import", str(folder / "people.csv"), "--confirmed").returncode == 0


@contextmanager
def _signing_up(service: Running) -> Iterator[list[str]]:
    """Somebody signs up about ten times a second; the list holds whom the service said yes to."""
    answered: list[str] = []
    over = threading.Event()

    def go_on() -> None:
        number = 0
        while not over.wait(0.1):
            address, number = f"s{number}@example.com", number + 1
            request = urllib.request.Request(
                f"{service.web}/api/v1/signups",
                json.dumps({"email": address, "timezone": "UTC"}).encode(),
                {"Content-Type": "application/json"},
            )
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    if answer.status == 202:
                        answered.append(address)
            except (OSError, urllib.error.URLError, ValueError):
                continue  # nobody said yes to this one

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield answered
    finally:
        over.set()
        thread.join()


def _deck(kills: int, dice: random.Random, *, has_postgres: bool) -> list[str]:
    """Everybody's turn comes, workers' twice as often, in a random order; `flush` empties all of Redis."""
    roles = ["worker", "worker", "web", "valkey", "flush", *(["postgres"] if has_postgres else [])]
    deck = (roles * (kills // len(roles) + 1))[:kills]
    dice.shuffle(deck)
    return deck


def _kill(service: Running, role: str, dice: random.Random, postgres: KillablePostgres | None) -> str:
    """Kills one process of the role, or of another when that role has none just now; returns whose."""
    if role == "postgres" and postgres is not None:
        postgres.kill()
        postgres.start()
        return role
    if role == "flush":
        with suppress(RedisError):  # it may be starting again
            redis.Redis(unix_socket_path=str(socket_path(Path(service.environ["CHALLENGE_DATA_DIR"])))).flushall()
        return role
    until = time.monotonic() + 30
    while time.monotonic() < until:
        members = {name: ids for name, ids in _members(service).items() if ids}
        with suppress(ProcessLookupError, IndexError):  # between two starts there may be nobody to kill
            victim = role if role in members else dice.choice(sorted(members))
            os.kill(dice.choice(members[victim]), signal.SIGKILL)
            return victim
        time.sleep(0.1)
    raise AssertionError(f"nobody came back\n{service.told()}")


def _members(service: Running) -> dict[str, list[int]]:
    """Process ids by role, found by their command lines under our data directory."""
    found: dict[str, list[int]] = {role: [] for role, _ in _MARKS}
    ours = service.environ["CHALLENGE_DATA_DIR"].encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environ = (folder / "cmdline").read_bytes(), (folder / "environ").read_bytes()
        except OSError:
            continue
        if ours not in environ + command or b"guard" in command:
            continue
        for role, mark in _MARKS:
            if mark in command:
                found[role].append(int(folder.name))
    return found


def _is_over(database: Database, people: int) -> bool:
    """Every imported person's finish mail and every question to confirm is closed."""
    with database.engine.connect() as connection:
        finished = connection.execute(
            text("SELECT count(*) FROM delivery WHERE key = 'finish' AND closed_at IS NOT NULL")
        ).scalar()
        asked = connection.execute(
            text("SELECT count(*) FROM delivery WHERE mail = 'confirm' AND closed_at IS NULL")
        ).scalar()
        unplanned = connection.execute(
            text("SELECT count(*) FROM enrollment WHERE state = 'pending' AND plan_at IS NOT NULL")
        ).scalar()
    return finished == people and not asked and not unplanned


def _judge(verdict: Verdict, folder: Path, database: Database, people: int, answered: list[str]) -> None:
    box = sqlite3.connect(folder / "var" / "inbox.sqlite3")
    copies = Counter((address, key) for address, key in box.execute("SELECT recipient, mail_key FROM mail"))
    box.close()
    with database.engine.connect() as connection:
        query = "SELECT s.email, d.key, d.state FROM delivery d JOIN enrollment e ON e.id = d.enrollment_id JOIN subscriber s ON s.id = e.subscriber_id"
        states = {(email, key): state for email, key, state in connection.execute(text(query))}
        known = set(connection.execute(text("SELECT email FROM subscriber")).scalars())
    verdict.mails, verdict.signed_up = copies.total(), len(answered)
    verdict.forgotten = sorted(set(answered) - known)
    verdict.doubled = sorted(mail for mail, count in copies.items() if count > 1)
    verdict.uncertain = {mail: copies[mail] > 0 for mail, state in states.items() if state == "uncertain"}
    owed = {(f"p{number}@example.com", key) for number in range(people) for key in _SEQUENCE}
    owed |= {(address, "confirm") for address in answered}
    arrived = {mail for mail, state in states.items() if state == "sent" and copies[mail]}
    verdict.lost = sorted(owed - arrived - verdict.uncertain.keys())
    stray = [mail for mail in copies if states.get(mail) not in ("sent", "uncertain")]
    assert not stray, f"the inbox got what the rows do not know of: {stray[:5]}"
