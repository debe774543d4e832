"""What belongs to the person? Their days and certificate, their calendar, their data, and the way to erase it all."""

from __future__ import annotations

import json
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, render_template, request
from sqlmodel import select

from challenge import participation as acts
from challenge.events import done_times, lock
from challenge.journey import day_of, outlook
from challenge.models import Consent, Subscriber
from challenge.plan import facts_of
from challenge.rendering.links import Address
from challenge.tokens import Purpose
from challenge.web import service
from challenge.web.calendar import Entry, written
from challenge.web.page import is_double_tap, nonce, person, preferences_path, read_one
from challenge.web.speaking import challenge, say

room = Blueprint("mine", __name__)


@room.get("/certificate/<token>")
def certificate(token: str) -> str:
    """The days done, and once all are done a certificate to print."""
    enrollment_id, _ = service().tokens.read(Purpose.day, token, 2)
    with service().database.read() as session:
        enrollment, subscriber = person(session, enrollment_id)
        done = done_times(session, enrollment_id)
        known = select(Consent.id).where(Consent.enrollment_id == enrollment_id, Consent.kind == "programme")
        agreed = session.exec(known).first() is not None
        may_ask = bool(done) and enrollment.state != "pending" and not acts.has_joined(session, subscriber)
        out = acts.opened_days(session, enrollment_id)
    links, to = service().composer.links, Address(enrollment_id, 0, "finish")
    preferences = preferences_path(enrollment_id)
    return render_template(
        "certificate.html",
        subscriber=subscriber,
        done=sorted(done),
        agreed=agreed,
        may_ask=may_ask,
        days=[(number, links.day_path(to, number)) for number in sorted({*out, *done})],
        finished=max(done.values(), default=service().clock.now()).astimezone(ZoneInfo(subscriber.timezone)),
        preferences=preferences,
        nonce=nonce(preferences.rpartition("/")[2]),
    )


@room.get("/calendar/<token>.ics")
def calendar(token: str) -> Response:
    """All the mornings as a calendar; asked again, it shows what a rest or a pause has moved.

    Others look into a calendar: no link of the person's is in it, and no word that a subject line could not say."""
    enrollment_id = read_one(Purpose.calendar, token)
    with service().database.read() as session:
        _, subscriber = person(session, enrollment_id)
        facts = facts_of(session, [enrollment_id])[enrollment_id]
    now, told = service().clock.now(), challenge()
    words = say("The link is in your e-mail of that morning.")
    days = [
        Entry(owed.key, owed.due_at, say("Day %(day)s: %(title)s") % {"day": day.number, "title": day.title}, words)
        for owed in outlook(told.length, facts, now)
        for day in (told.day(day_of(owed.key)),)
    ]
    response = Response(written(days, subscriber.timezone, enrollment_id, now), mimetype="text/calendar")
    response.headers["Content-Disposition"] = 'inline; filename="challenge.ics"'
    return response


@room.get("/preferences/<token>/data")
def show_data(token: str) -> str:
    """Everything that is kept about the person, to read."""
    data, subscriber = _data(token)
    return render_template("my_data.html", data=data, subscriber=subscriber, token=token)


@room.get("/preferences/<token>/my-data")
def my_data(token: str) -> Response:
    """The same as a file that another program can read."""
    data, _ = _data(token)
    response = Response(json.dumps(data, indent=2, ensure_ascii=False, default=str), mimetype="application/json")
    response.headers["Content-Disposition"] = 'attachment; filename="my-data.json"'
    return response


def erase(token: str, enrollment_id: int) -> str:
    """Asks once more, for this cannot be undone; the second tap of a trembling hand is no answer."""
    if request.form.get("really") != "yes" or is_double_tap(token):
        return render_template("erase.html", token=token, nonce=nonce(token))
    with service().database.write() as session:
        enrollment, _ = lock(session, enrollment_id)
        acts.erase(session, enrollment.subscriber_id)
    return render_template("erased.html")


def _data(token: str) -> tuple[dict[str, Any], Subscriber]:
    with service().database.read() as session:
        enrollment, subscriber = person(session, read_one(Purpose.preferences, token))
        return acts.my_data(session, enrollment.subscriber_id), subscriber
