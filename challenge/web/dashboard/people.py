"""People: search, one person's story, and what was in their mails. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response, abort, render_template, request

from challenge import people as who
from challenge.access.roles import May
from challenge.delivery.kept import letter_of
from challenge.errors import BadInput, ChallengeError
from challenge.models import Delivery, Enrollment, EnrollmentState, Subscriber
from challenge.rendering.links import Links
from challenge.rendering.message import Composer
from challenge.tokens import Purpose, Tokens
from challenge.web import service
from challenge.web.dashboard.door import needs, room
from challenge.web.tables import csv_line


@room.get("/people")
@needs(May.see_people)
def people() -> str:
    words, source = request.args.get("q", "").strip()[:320], request.args.get("source", "").strip()[:100]
    before, state = request.args.get("before", type=int), _state()
    with service().database.read() as rows:
        found, more = who.search(rows, words, source, before if before and 0 < before < 2**31 else None, state=state)
    return render_template(
        "dashboard/people.html",
        found=found,
        more=more,
        words=words,
        source=source,
        state=state,
        states=list(EnrollmentState),
    )


@room.get("/people.csv")
@needs(May.see_people)
def people_file() -> Response:
    """All runs in one state and from one source, without names and addresses: the number leads to the person's page."""
    state, source = _state(), request.args.get("source", "").strip()[:100]
    database, now = service().database, service().clock.now()

    def lines() -> Iterator[str]:
        with database.read() as rows:
            yield "\ufeff" + csv_line(["number", *who.RUN[1:]])
            for number, *run in who.runs(rows, state, source):
                yield csv_line([number, *(at.isoformat() if isinstance(at, datetime) else at for at in run)])

    response = Response(lines(), content_type="text/csv; charset=utf-8")
    named = "-".join(filter(None, (f"runs-as-of-{now.astimezone(UTC):%Y%m%dT%H%MZ}", state)))
    response.headers["Content-Disposition"] = f'attachment; filename="{named}.csv"'
    return response


def _state() -> str:
    state = request.args.get("state", "")
    if state and state not in list(EnrollmentState):
        raise BadInput("state", f"state must be one of: {', '.join(EnrollmentState)}.")
    return state


@room.get("/people/<int:number>")
@needs(May.see_people)
def person(number: int) -> str:
    found = service()
    now = found.clock.now()
    with found.database.read() as rows:
        story = who.story(rows, number, found.challenge.length, now) or abort(404)
    return render_template(
        "dashboard/person.html",
        story=story,
        number=number,
        now=now,
        zone=ZoneInfo(story.subscriber.timezone),
        joined_url=found.composer.links.joined_url,
        section="dashboard.people",
    )


@room.get("/people/<int:number>/mails/<int:delivery>")
@needs(May.see_people)
def mail(number: int, delivery: int) -> str:
    row, subscriber = _mail(number, delivery)
    try:
        subject, text, _ = _shown(row, subscriber)
    except ChallengeError:
        subject, text = "", ""
    return render_template(
        "dashboard/mail.html",
        row=row,
        subscriber=subscriber,
        subject=subject,
        text=text,
        number=number,
        is_old=_composer(row).challenge.edition != (row.edition or service().challenge.edition),
        section="dashboard.people",
    )


@room.get("/people/<int:number>/mails/<int:delivery>/html")
@needs(May.see_people)
def mail_html(number: int, delivery: int) -> Response:
    """The HTML part by itself, for a frame that runs nothing; its links and its pixel lead nowhere."""
    row, subscriber = _mail(number, delivery)
    try:
        _, _, page = _shown(row, subscriber)
    except ChallengeError:
        abort(404)
    response = Response(page, mimetype="text/html")
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; img-src 'self' {service().settings.public_url} data:; style-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox"
    )
    return response


class _NoTokens(Tokens):
    """Signs nothing: whoever looks at somebody's mail must not be able to press its buttons for them."""

    def __init__(self) -> None:
        super().__init__(["shown at the desk"])

    def sign(self, purpose: Purpose, *numbers: int) -> str:
        return "shown-at-the-desk"


def _composer(row: Delivery) -> Composer:
    """What made this mail; today's, where its edition was not kept."""
    found = service()
    is_of_now = row.edition in ("", found.challenge.edition)
    return found.composer if is_of_now else found.editions.composer(row.edition) or found.composer


def _shown(row: Delivery, subscriber: Subscriber) -> tuple[str, str, str]:
    composer = _composer(row)
    letter = letter_of(row, subscriber)
    links = Links(composer.links.base_url, _NoTokens(), composer.challenge)
    return composer.templates.shown(letter.content, letter.first_name, links, letter.to)


def _mail(number: int, delivery: int) -> tuple[Delivery, Subscriber]:
    with service().database.read() as rows:
        row = rows.get(Delivery, delivery)
        enrollment: Any = rows.get(Enrollment, row.enrollment_id) if row else None
        if row is None or enrollment is None or row.enrollment_id != number:
            abort(404)
        return row, rows.get_one(Subscriber, enrollment.subscriber_id)
