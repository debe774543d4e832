"""How does a person join? The yes of the confirmation page."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from flask import Blueprint, render_template
from sqlmodel import Session

from challenge import asking, signup
from challenge.events import lock
from challenge.models import Enrollment, EnrollmentState, Subscriber
from challenge.plan import current_plan
from challenge.rendering.links import Address, Link
from challenge.tokens import Purpose
from challenge.web import service
from challenge.web.page import nonce, person, read_one, was_shown
from challenge.web.speaking import language, say

room = Blueprint("participant", __name__)


@room.get("/confirm/<token>")
def ask_confirm(token: str) -> str:
    enrollment_id = read_one(Purpose.confirm, token)
    with service().database.read() as session:
        enrollment, subscriber = person(session, enrollment_id)
        if enrollment.state is EnrollmentState.pending:
            return render_template("confirm.html", subscriber=subscriber, nonce=nonce(token))
        return _confirmed(session, enrollment, subscriber)


@room.post("/confirm/<token>")
def confirm(token: str) -> str:
    """The explicit yes. A bare POST without the page's nonce shows the page again."""
    enrollment_id = read_one(Purpose.confirm, token)
    if not was_shown(token):
        return ask_confirm(token)
    found = service()
    with found.database.write() as session:
        enrollment, subscriber = lock(session, enrollment_id)
        said = found.composer.templates.languages.get(subscriber.locale).challenge
        signup.confirm(session, enrollment, subscriber, said, found.clock.now(), source="confirmation page")
    return ask_confirm(token)


def _confirmed(session: Session, enrollment: Enrollment, subscriber: Subscriber) -> str:
    found = service()
    now, zone = found.clock.now(), ZoneInfo(subscriber.timezone)
    known = current_plan(session, enrollment, found.challenge.length, now)
    first = next((owed.due_at.astimezone(zone) for owed in known.upcoming if owed.key == "day-1"), None)
    links, to = found.composer.links, Address(enrollment.id or 0, 0, "")
    soon = first is not None and (first.date() - now.astimezone(zone).date()).days <= 1
    words = say("Day 1 comes tomorrow at %(hour)s.") if soon else say("Day 1 comes on %(weekday)s at %(hour)s.")
    return render_template(
        "confirmed.html",
        going=enrollment.state is not EnrollmentState.stopped,
        quiet=asking.is_quiet(session, subscriber.id or 0, now),
        first_words=words % _when(first, subscriber.timezone) if first else say("Your e-mails are on their way."),
        zone_words=subscriber.timezone.rpartition("/")[2].replace("_", " "),
        preferences=links.preferences_path(to),
        calendar=links.path(Link.calendar, to),
    )


def _when(at: datetime, timezone: str) -> dict[str, str]:
    return {
        "weekday": language().weekday(at, timezone),
        "hour": language().hour(at.hour).replace(" ", "\N{NO-BREAK SPACE}"),
    }
