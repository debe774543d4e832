"""The participant's pages: yes, today, rest, preferences, stop. Every GET only shows; every POST answers with a page."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, render_template, request
from sqlmodel import Session, select

from challenge import participation as acts
from challenge import signup
from challenge.errors import BadInput, NotFound
from challenge.events import done_days, lock
from challenge.i18n import N_
from challenge.journey import FIRST_HOUR, LAST_HOUR, Pace, day_of
from challenge.models import Consent, Enrollment, EnrollmentState, Subscriber
from challenge.plan import current_plan
from challenge.programme.exercises import Goal, Position
from challenge.rendering.links import Address
from challenge.tokens import Purpose
from challenge.web import service
from challenge.web.speaking import challenge, language, say, speak

room = Blueprint("participant", __name__)
_NONCE_DAYS = 2 * 366
PACES = {
    Pace.daily: N_("Every day"),
    Pace.weekdays: N_("Monday to Friday"),
    Pace.every_other_day: N_("Every other day"),
    Pace.when_done: N_("Next day when I did the last"),
}


@room.get("/confirm/<token>")
def ask_confirm(token: str) -> str:
    enrollment_id = _one(Purpose.confirm, token)
    with service().database.read() as session:
        enrollment, subscriber = _person(session, enrollment_id)
        if enrollment.state is EnrollmentState.pending:
            return render_template("confirm.html", subscriber=subscriber, nonce=_nonce(token))
        return render_template("confirmed.html", subscriber=subscriber, hour=language().hour(subscriber.hour))


@room.post("/confirm/<token>")
def confirm(token: str) -> str:
    """The explicit yes. A bare POST without the page's nonce shows the page again."""
    enrollment_id = _one(Purpose.confirm, token)
    if not _is_ours(token):
        return ask_confirm(token)
    found = service()
    with found.database.write() as session:
        enrollment, subscriber = lock(session, enrollment_id)
        said = found.composer.templates.languages.get(subscriber.locale).challenge
        signup.confirm(session, enrollment, subscriber, said, found.clock.now(), source="confirmation page")
    return ask_confirm(token)


@room.get("/day/<token>")
def day(token: str) -> str:
    enrollment_id, number = _day_token(token)
    return _day_page(token, enrollment_id, number, said="")


@room.post("/day/<token>/complete")
def complete(token: str) -> str:
    enrollment_id, number = _day_token(token)
    if not _is_ours(token):
        return _day_page(token, enrollment_id, number, said="")
    with service().database.write() as session:
        acts.complete(session, enrollment_id, number, service().clock.now())
    return _day_page(token, enrollment_id, number, said="completed")


@room.post("/day/<token>/undo")
def undo(token: str) -> str:
    enrollment_id, number = _day_token(token)
    if not _is_ours(token):
        return _day_page(token, enrollment_id, number, said="")
    with service().database.write() as session:
        undone = acts.undo(session, enrollment_id, number, service().challenge.length, service().clock.now())
    return _day_page(token, enrollment_id, number, said="undone" if undone else "")


@room.post("/day/<token>/rest")
def rest(token: str) -> str:
    enrollment_id, number = _day_token(token)
    if not _is_ours(token):
        return _day_page(token, enrollment_id, number, said="")
    with service().database.write() as session:
        acts.rest(session, enrollment_id, number, service().challenge.length, service().clock.now())
    return _day_page(token, enrollment_id, number, said="rested")


@room.post("/day/<token>/position")
def switch_position(token: str) -> str:
    """Seated, standing or lying from now on, chosen on the day's page."""
    enrollment_id, number = _day_token(token)
    if _is_ours(token):
        _change(enrollment_id, acts.Wishes(position=_option("position", Position)))
    return _day_page(token, enrollment_id, number, said="")


@room.get("/preferences/<token>")
def preferences(token: str) -> str:
    return _preferences_page(token, _one(Purpose.preferences, token), said="")


@room.post("/preferences/<token>")
def change_preferences(token: str) -> Any:
    enrollment_id = _one(Purpose.preferences, token)
    if not _is_ours(token):
        return _preferences_page(token, enrollment_id, said="")
    found, do = service(), request.form.get("do", "save")
    if do == "erase":
        return _erase(token, enrollment_id)
    try:
        if do == "pause":
            with found.database.write() as session:
                acts.pause(session, enrollment_id, found.clock.now())
        elif do == "resume":
            with found.database.write() as session:
                acts.resume(session, enrollment_id, found.clock.now())
        elif do == "programme":
            with found.database.write() as session:
                _, subscriber = _person(session, enrollment_id)
                said = found.composer.templates.languages.get(subscriber.locale).challenge
                acts.agree_to_programme(session, enrollment_id, said, found.clock.now())
        else:
            _change(enrollment_id, _wishes())
    except BadInput as error:
        return _preferences_page(token, enrollment_id, said="", error=error), 422
    return _preferences_page(token, enrollment_id, said={"save": "saved"}.get(do, do))


@room.get("/preferences/<token>/my-data")
def my_data(token: str) -> Response:
    """Everything that is kept about the person, as a file."""
    enrollment_id = _one(Purpose.preferences, token)
    with service().database.read() as session:
        enrollment, _ = _person(session, enrollment_id)
        data = acts.my_data(session, enrollment.subscriber_id)
    response = Response(json.dumps(data, indent=2, ensure_ascii=False, default=str), mimetype="application/json")
    response.headers["Content-Disposition"] = 'attachment; filename="my-data.json"'
    return response


@room.get("/unsubscribe/<token>")
def ask_unsubscribe(token: str) -> str:
    enrollment_id, _ = service().tokens.read(Purpose.unsubscribe, token, 2)
    with service().database.read() as session:
        enrollment, subscriber = _person(session, enrollment_id)
    return render_template(
        "unsubscribe.html",
        stopped=enrollment.state is EnrollmentState.stopped,
        subscriber=subscriber,
        token=token,
        preferences=_preferences_path(enrollment_id),
    )


@room.post("/unsubscribe/<token>")
def unsubscribe(token: str) -> Any:
    """RFC 8058: no cookie, no nonce, no redirect; both body encodings. Another body changes nothing."""
    enrollment_id, _ = service().tokens.read(Purpose.unsubscribe, token, 2)
    wish = request.form.get("List-Unsubscribe") or request.form.get("do")
    if wish not in ("One-Click", "everything", "this"):
        return render_template(
            "sorry.html", heading=say("Nothing was changed"), words=say("Please use the button on the page.")
        ), 400
    with service().database.write() as session:
        how = "one-click" if wish == "One-Click" else "page"
        acts.unsubscribe(session, enrollment_id, service().clock.now(), how=how, everything=wish != "this")
    return ask_unsubscribe(token)


@room.get("/certificate/<token>")
def certificate(token: str) -> str:
    """The days done, and once all are done a certificate to print."""
    enrollment_id, _ = service().tokens.read(Purpose.day, token, 2)
    with service().database.read() as session:
        enrollment, subscriber = _person(session, enrollment_id)
        done = done_days(session, enrollment_id)
        known = select(Consent.id).where(Consent.enrollment_id == enrollment_id, Consent.kind == "programme")
        agreed = session.exec(known).first() is not None
        open_days = acts.opened_days(session, enrollment_id)
    links = service().composer.links
    to = Address(enrollment_id, 0, "finish")
    return render_template(
        "certificate.html",
        subscriber=subscriber,
        done=sorted(done),
        agreed=agreed,
        days=[(number, links.day_path(to, number)) for number in open_days],
        preferences=_preferences_path(enrollment_id),
        nonce=_nonce(_preferences_path(enrollment_id).rpartition("/")[2]),
        enrollment=enrollment,
    )


@room.get("/calendar/<token>.ics")
def calendar(token: str) -> Response:
    """The mornings to come as a calendar; asked again, it shows what a rest or a pause has moved (RFC 5545)."""
    found = service()
    (enrollment_id,) = found.tokens.read(Purpose.calendar, token, 1)
    with found.database.read() as session:
        enrollment, subscriber = _person(session, enrollment_id)
        response = Response(_ics(session, enrollment, subscriber), mimetype="text/calendar")
    response.headers["Content-Disposition"] = 'inline; filename="challenge.ics"'
    return response


def _ics(session: Session, enrollment: Enrollment, subscriber: Subscriber) -> str:
    found = service()
    now = found.clock.now()
    mornings = {owed.key: owed.due_at for owed in current_plan(session, enrollment, found.challenge.length, now).all}
    links, to = found.composer.links, Address(enrollment.id or 0, 0, "welcome")
    rows = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Challenge//EN", "CALSCALE:GREGORIAN"]
    for key, at in mornings.items():
        number = day_of(key) if key.startswith("day-") else 0
        if number:
            rows += _vevent(enrollment.id or 0, number, at, now, f"{links.base_url}{links.day_path(to, number)}")
    return "".join(f"{_folded(row)}\r\n" for row in [*rows, "END:VCALENDAR"])


def _vevent(enrollment_id: int, number: int, at: datetime, now: datetime, url: str) -> list[str]:
    return [
        "BEGIN:VEVENT",
        f"UID:day-{number}.{enrollment_id}@challenge",
        f"DTSTAMP:{now:%Y%m%dT%H%M%SZ}",
        f"DTSTART:{at:%Y%m%dT%H%M%SZ}",
        "DURATION:PT15M",
        f"SUMMARY:Day {number}",
        f"URL:{url}",
        "END:VEVENT",
    ]


def _folded(row: str) -> str:
    return "\r\n ".join(row[start : start + 73] for start in range(0, len(row), 73))


def _day_page(token: str, enrollment_id: int, number: int, *, said: str) -> str:
    found = service()
    with found.database.read() as session:
        enrollment, subscriber = _person(session, enrollment_id)
        done = done_days(session, enrollment_id)
        upcoming = current_plan(session, enrollment, found.challenge.length, found.clock.now()).upcoming
        rests = bool(upcoming) and upcoming[0].mail == "rest"
        next_day = next((owed for owed in upcoming if owed.mail in ("day", "finish")), None)
    today = challenge().day(number)
    return render_template(
        "day.html",
        token=token,
        nonce=_nonce(token),
        day=today,
        pairs=today.exercises_for(enrollment.position, enrollment.goal or None),
        done=sorted(done),
        is_done=number in done,
        rests=rests,
        said=said,
        next_words=_next_words(next_day.due_at, subscriber) if next_day else "",
        position=enrollment.position,
        positions=list(Position),
        pending=enrollment.state is EnrollmentState.pending,
        stopped=enrollment.state is EnrollmentState.stopped,
        preferences=_preferences_path(enrollment_id),
        progress=[(n, n in done, n == number) for n in range(1, found.challenge.length + 1)],
    )


def _next_words(at: datetime, subscriber: Subscriber) -> str:
    local = at.astimezone(ZoneInfo(subscriber.timezone))
    words = say("%(weekday)s at %(hour)s")
    return words % {"weekday": language().weekday(at, subscriber.timezone), "hour": language().hour(local.hour)}


def _preferences_page(token: str, enrollment_id: int, *, said: str, error: BadInput | None = None) -> str:
    with service().database.read() as session:
        enrollment, subscriber = _person(session, enrollment_id)
    return render_template(
        "preferences.html",
        token=token,
        nonce=_nonce(token),
        enrollment=enrollment,
        subscriber=subscriber,
        said=said,
        error=error,
        hours=[(hour, language().hour(hour)) for hour in range(FIRST_HOUR, LAST_HOUR + 1)],
        zones=signup.zones(),
        positions=list(Position),
        goals=list(Goal),
        paces=PACES,
    )


def _erase(token: str, enrollment_id: int) -> str:
    """Asks once more, for this cannot be undone."""
    if request.form.get("really") != "yes":
        return render_template("erase.html", token=token, nonce=_nonce(token))
    with service().database.write() as session:
        enrollment, _ = lock(session, enrollment_id)
        acts.erase(session, enrollment.subscriber_id)
    return render_template(
        "sorry.html",
        heading=say("Everything about you is erased"),
        words=say("We keep nothing and will not write again."),
    )


def _wishes() -> acts.Wishes:
    form = request.form
    return acts.Wishes(
        hour=signup.hour(form["hour"]) if "hour" in form else None,
        timezone=signup.zone(form["timezone"]) if "timezone" in form else None,
        position=_option("position", Position),
        pace=_option("pace", Pace),
        goal=_option("goal", Goal, empty=True),
        first_name=signup.name(form["first_name"]) if "first_name" in form else None,
        tracking=form["tracking"] == "on" if "tracking" in form else None,
        locale=service().composer.templates.languages.choose(form["locale"]) if "locale" in form else None,
    )


def _option(name: str, options: Any, *, empty: bool = False) -> str | None:
    value = request.form.get(name)
    if value is None or (value == "" and empty):
        return value
    if value not in list(options):
        raise BadInput(name, "Please choose one of: %(options)s.", options=", ".join(options))
    return value


def _change(enrollment_id: int, wishes: acts.Wishes) -> None:
    with service().database.write() as session:
        acts.change(session, enrollment_id, wishes, service().clock.now())


def _person(session: Session, enrollment_id: int) -> tuple[Enrollment, Subscriber]:
    enrollment = session.get(Enrollment, enrollment_id)
    if enrollment is None:
        raise NotFound("This link belongs to somebody whose data was erased.")
    subscriber = session.get_one(Subscriber, enrollment.subscriber_id)
    speak(subscriber.locale)
    return enrollment, subscriber


def _one(purpose: Purpose, token: str) -> int:
    return service().tokens.read(purpose, token, 1)[0]


def _day_token(token: str) -> tuple[int, int]:
    enrollment_id, number = service().tokens.read(Purpose.day, token, 2)
    if not 1 <= number <= service().challenge.length:
        raise NotFound("This challenge has no such day.")
    return enrollment_id, number


def _preferences_path(enrollment_id: int) -> str:
    return service().composer.links.preferences_path(Address(enrollment_id, 0, ""))


def _nonce(token: str) -> str:
    """Says that the page was shown: a tag over the link and the day it was rendered (real time)."""
    day_number = int(time.time()) // 86400
    return f"{day_number}.{service().tokens.tag(f'nonce:{token}:{day_number}')}"


def _is_ours(token: str) -> bool:
    """Whether the form's nonce was rendered by this link's page; good for two years, for no rest may expire a page."""
    day_number, _, tag = request.form.get("nonce", "").partition(".")
    if not day_number.isdigit() or not 0 <= time.time() // 86400 - int(day_number) <= _NONCE_DAYS:
        return False
    return service().tokens.is_tag(f"nonce:{token}:{day_number}", tag)
