"""A town of people in every state, written as the engine would have: what the pictures, axe and the measurements look at."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlmodel import Session, col, select

from challenge.alerts import raise_alert
from challenge.journey import Fact, Owed, Pace, Rhythm, plan
from challenge.models import (
    Consent,
    Delivery,
    DeliveryState,
    Enrollment,
    EnrollmentState,
    Event,
    EventKind,
    Subscriber,
    Visit,
)
from challenge.programme.definition import Challenge
from challenge.programme.variants import Variants

VARIANTS = Variants(
    landing={"b": {"headline": "Eight minutes a day, sitting down if you like"}},
    subjects={"b": {"day": "Your eight minutes: {title}"}},
)
FRIDAY = datetime(2027, 3, 5, 14, 20, tzinfo=UTC)
_ZONES = (
    "America/New_York",
    "America/Chicago",
    "America/Los_Angeles",
    "Europe/London",
    "Europe/Berlin",
    "Australia/Sydney",
)
_SOURCES = (("newsletter", 5, 0.13), ("podcast", 3, 0.16), ("instagram", 4, 0.03), ("clinic", 2, 0.2), ("", 3, 0.06))
_NAMES = ("Ana", "Ben", "Cleo", "Dora", "Eli", "Fay", "Gus", "Hana", "Ivo", "June", "Kay", "Leo", "Mia", "Noor", "Ola")
_SEEN = (
    (0.42, EventKind.opened, "person", "", "a browser"),
    (0.35, EventKind.opened, "proxy", "", "apple privacy"),
    (0.38, EventKind.clicked, "person", "day", "a browser"),
    (0.04, EventKind.clicked, "machine", "day", "several links of one mail within seconds"),
)
_RECEIPT = "250 2.0.0 Ok: queued as 4F8C21"


class Town:
    """Everybody's rows; the same people for the same seed."""

    def __init__(self, session: Session, challenge: Challenge, now: datetime = FRIDAY, seed: int = 5) -> None:
        self.session, self.challenge, self.now = session, challenge, now
        self.dice = random.Random(seed)

    def settle(self, people: int) -> None:
        """`people` who signed up over the last five weeks, the more the later."""
        for number in range(people):
            back = timedelta(days=35) * (1 - ((number + 1) / people) ** 0.7)
            self._person(number, self.now - back - timedelta(minutes=self.dice.randrange(300)))
        self._visits()

    def _visits(self) -> None:
        """Two of five who saw the page with `a` signed up, and a few more with `b`; a crawler comes by each day."""
        seen: Counter[tuple[str, str, str, str]] = Counter()
        for row in self.session.exec(select(Enrollment)).all():
            day, words = row.signed_up_at.date().isoformat(), (row.source, row.form_variant)
            seen[(day, "person", *words)] += 1 + (self.dice.random() < 0.75) + (words[1] == "a")
            seen[(day, "machine", "", "a")] = 3
        for (day, who, source, variant), count in sorted(seen.items()):
            self.session.add(
                Visit(
                    day=day, who=who, words=f"{source} {variant}", challenge=self.challenge.slug,
                    edition=self.challenge.edition, source=source, form_variant=variant, visitors=count, views=count * 4 // 3,
                )
            )  # fmt: skip

    def trouble(self) -> None:
        """What needs a human: two uncertain mails, a relay that refused, a domain that fails."""
        raise_alert(self.session, "relay", "The relay cannot be used: 454 4.7.0 TLS not available due to local problem")
        rows = [row for row in self.session.new if isinstance(row, Delivery)] or list(self._sent_today())
        for row in rows[:2]:
            row.state, row.receipt, row.reason = DeliveryState.uncertain, "", "the connection broke after the final dot"
            self.session.add(row)

    def _sent_today(self) -> Any:
        since = self.now - timedelta(hours=8)
        query = select(Delivery).where(col(Delivery.closed_at) > since, Delivery.mail == "day").limit(2)
        return self.session.exec(query)

    def _person(self, number: int, at: datetime) -> None:
        dice = self.dice
        source, _, joins = dice.choices(_SOURCES, [weight for _, weight, _ in _SOURCES])[0]
        zone, name = dice.choice(_ZONES), dice.choice(_NAMES)
        email = f"{name.lower()}{number}@example.{dice.choice(('com', 'org', 'net'))}"
        someone = Subscriber(email=email, email_key=email, first_name=name, timezone=zone, hour=8, created_at=at)
        self.session.add(someone)
        self.session.flush()
        row = Enrollment(
            subscriber_id=someone.id or 0,
            challenge=self.challenge.slug,
            edition=self.challenge.edition,
            position=dice.choice(("seated", "seated", "standing", "lying")),
            source=source or "direct",
            utm_source=source,
            utm_campaign=dice.choice(("spring", "relaunch")) if source else "",
            form_variant=dice.choice("ab"),
            variant=dice.choice("ab"),
            signed_up_at=at,
        )
        self.session.add(row)
        self.session.flush()
        rhythm = Rhythm(zone, 8, Pace.daily)
        facts = [self._event(row, EventKind.signed_up, at, rhythm=rhythm)]
        if dice.random() < 0.78 and at + timedelta(minutes=30) < self.now:
            yes = min(at + timedelta(minutes=dice.randrange(2, 900)), self.now - timedelta(minutes=10))
            row.state, row.confirmed_at = EnrollmentState.active, yes
            self._consent(row, yes)
            facts.append(self._event(row, EventKind.confirmed, yes, rhythm=rhythm))
            self._live(row, facts, joins)
        wanted = plan(self.challenge.length, facts, self.now)
        mails = [self._mail(row, someone, owed) for owed in wanted.owed if self._left(row, owed)]
        self.session.add_all(mails)
        self.session.flush()
        for mail in mails:
            self._seen(row, mail)
        if wanted.state == "ended":
            row.state = EnrollmentState.ended
        row.plan_at = self.now
        self.session.add(row)

    def _live(self, row: Enrollment, facts: list[Fact], joins: float) -> None:
        """Morning by morning: does it, rests, or does not; some stop."""
        keen, dice = self.dice.betavariate(3, 1.6), self.dice
        while row.state is EnrollmentState.active:
            coming = plan(self.challenge.length, facts, facts[-1].at).upcoming
            last = facts[-1].at
            owed = next((mail for mail in coming if mail.due_at > last), None)
            if owed is None:
                nearer = plan(self.challenge.length, facts, self.now).owed
                owed = next((mail for mail in nearer if mail.due_at > last and mail.mail == "day"), None)
            if owed is None or owed.due_at + timedelta(hours=1) > self.now:
                return
            at = min(owed.due_at + timedelta(minutes=dice.randrange(4, 500)), self.now - timedelta(minutes=1))
            day = int(owed.key[4:]) if owed.mail == "day" else 0
            luck = dice.random()
            if day and luck < keen:
                facts.append(self._event(row, EventKind.completed, at, day=day))
                if day == self.challenge.length and dice.random() < joins * 2:
                    self._event(row, EventKind.joined, at, detail={"amount": 4900, "currency": "USD"})
            elif day and luck < keen + 0.08:
                facts.append(self._event(row, EventKind.rested, at, day=day))
            elif luck > 0.985:
                facts.append(self._event(row, EventKind.unsubscribed, at, detail={"how": "link"}))
                row.state = EnrollmentState.stopped
            else:
                facts.append(Fact("opened", at))

    def _left(self, row: Enrollment, owed: Owed) -> bool:
        return owed.due_at <= self.now and (row.confirmed_at is not None or owed.mail == "confirm")

    def _mail(self, row: Enrollment, to: Subscriber, owed: Owed) -> Delivery:
        at, day = owed.due_at, int(owed.key[4:]) if owed.mail == "day" else 1
        kept = {
            "first_name": to.first_name, "day": day, "position": row.position, "goal": "", "done": [], "rested": 0,
            "hour": 8, "pace": "daily", "tracking": True,
        }  # fmt: skip
        return Delivery(
            enrollment_id=row.id or 0, key=owed.key, mail=owed.mail, is_daily=owed.is_daily, state=DeliveryState.sent,
            planned_at=at, due_at=at, created_at=at, closed_at=at + timedelta(seconds=self.dice.randrange(2, 90)),
            composed_at=at, receipt=_RECEIPT, context=kept, edition=self.challenge.edition, attempts=1,
        )  # fmt: skip

    def _seen(self, row: Enrollment, mail: Delivery) -> None:
        day, closed = int(mail.key[4:]) if mail.mail == "day" else None, mail.closed_at or self.now
        for chance, kind, who, link, why in _SEEN:
            at = closed + timedelta(minutes=self.dice.randrange(1, 300))
            if self.dice.random() < chance and at < self.now:
                self._event(row, kind, at, day=day, who=who, link=link, reasons=why, delivery_id=mail.id)

    def _event(
        self, row: Enrollment, kind: EventKind, at: datetime, *, rhythm: Rhythm | None = None, **more: Any
    ) -> Fact:
        if rhythm is not None:
            more["detail"] = {"timezone": rhythm.timezone, "hour": rhythm.hour, "pace": rhythm.pace}
        self.session.add(Event(enrollment_id=row.id or 0, kind=kind, occurred_at=at, recorded_at=at, **more))
        return Fact(kind, at, more.get("day") or 0, rhythm=rhythm)

    def _consent(self, row: Enrollment, at: datetime) -> None:
        words = self.challenge.consent
        self.session.add(
            Consent(
                enrollment_id=row.id or 0, kind="challenge", version=words.version, wording=words.challenge, given_at=at,
                source="confirmation page",
            )
        )  # fmt: skip
