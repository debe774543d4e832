"""Twelve points of the dialogue, eight faults at each: nobody is lost, nobody gets two, what cannot be known is listed."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from challenge.db import Database
from challenge.delivery.relay import SmtpUrl, Timeouts
from challenge.delivery.send import drain
from challenge.delivery.smtp import Sender
from challenge.dispatch import resume_sending
from challenge.models import Delivery, DeliveryState, Enrollment, Subscriber
from tests.integration.delivery.conftest import FAULTS, POINTS
from tests.integration.engine.conftest import Engine

PEOPLE = 5
OPEN = {"scheduled", "claimed", "handed_over"}


def one_round(engine: Engine, trusting: ssl.SSLContext) -> None:
    """Plans, sends, and mends what needs a human."""
    engine.tick()
    sender = Sender(SmtpUrl.parse(engine.smtp_url), 2, Timeouts(0.5, 0.5), tls_context=trusting)

    async def run() -> None:
        await drain(engine.database, engine.composer, sender, "w", lambda: engine.now, seconds=5.0)
        await sender.close(1)

    asyncio.run(run())
    with engine.database.write() as session:
        resume_sending(session)
    engine.now += timedelta(minutes=40)


def states_of(database: Database, prefix: str) -> dict[str, str]:
    query = (
        select(Subscriber.email, Delivery.state)
        .join(Enrollment, Enrollment.subscriber_id == Subscriber.id)  # type: ignore[arg-type]
        .join(Delivery, Delivery.enrollment_id == Enrollment.id)  # type: ignore[arg-type]
    )
    with database.read() as session:
        return {email: str(state) for email, state in session.exec(query) if email.startswith(prefix)}


def uncertain_rows(database: Database) -> list[tuple[int, str]]:
    with database.read() as session:
        query = select(Delivery.enrollment_id, Delivery.key).where(Delivery.state == DeliveryState.uncertain)
        return sorted((enrollment, key) for enrollment, key in session.exec(query))


def test_it_knows_twelve_points_and_eight_faults() -> None:
    assert (len(set(POINTS)), len(set(FAULTS))) == (12, 8)


@pytest.mark.parametrize("point", POINTS)
def test_it_accounts_for_every_mail_whatever_the_relay_does(
    database: Database, faulty: Any, trusting: ssl.SSLContext, point: str
) -> None:
    engine = Engine(database, faulty.url())
    for fault in FAULTS:
        faulty.strike(point, fault)
        for number in range(PEOPLE):
            engine.sign_up(f"{fault}-{number}@example.com", confirmed=False)
        for _ in range(12):
            one_round(engine, trusting)
            states = states_of(database, f"{fault}-")
            if not OPEN & set(states.values()):
                break
        copies = Counter(recipient for recipient, _ in faulty.taken)
        got = {email: (state, copies[email]) for email, state in states.items()}
        assert faulty.left == 0, f"{fault}: the fault never happened"
        assert len(got) == PEOPLE
        allowed = {("sent", 1), ("uncertain", 0), ("uncertain", 1), ("failed", 0)}
        assert set(got.values()) <= allowed, f"{fault}: {got}"
        uncertain = Counter(states.values())["uncertain"]
        if point in ("mid_body", "before_dot"):
            # Our dot may cross the fault on the wire; test_dialogue has what happens when it does not.
            assert faulty.ambiguous <= uncertain <= 1, f"{fault}: {got}"
        else:
            assert uncertain == faulty.ambiguous, f"{fault}: {got}"
        failed = Counter(states.values())["failed"]
        assert failed <= (fault == "5xx"), f"{fault}: {got}"  # one refusal for good, one mail
    accounts = engine.audit()
    assert accounts.balanced, accounts.problems
    assert sorted(accounts.uncertain) == uncertain_rows(database)
