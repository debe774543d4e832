"""What does the person want otherwise? Hour, zone, position, pace, goal, counting, a break."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request

from challenge import participation as acts
from challenge import signup
from challenge.errors import BadInput
from challenge.i18n import N_
from challenge.journey import FIRST_HOUR, LAST_HOUR, Pace
from challenge.plan import current_plan
from challenge.programme.exercises import Goal, Position
from challenge.rendering.links import Address, Link
from challenge.tokens import Purpose
from challenge.web import service
from challenge.web.mine import erase
from challenge.web.page import is_double_tap, labelled, next_mail, nonce, person, read_one, was_shown, zone_options
from challenge.web.speaking import language, say

room = Blueprint("preferences", __name__)
PACES = {
    Pace.daily: N_("Every day"),
    Pace.weekdays: N_("Monday to Friday"),
    Pace.every_other_day: N_("Every other day"),
    Pace.weekly: N_("Once a week"),
    Pace.when_done: N_("Next day when I did the last"),
}


@room.get("/preferences/<token>")
def show(token: str) -> str:
    return _page(token)


@room.post("/preferences/<token>")
def change(token: str) -> Any:
    """One page; `do` says which button was pressed."""
    enrollment_id = read_one(Purpose.preferences, token)
    do = request.form.get("do", "save")
    if not was_shown(token):
        return _page(token)
    if do == "erase":
        return erase(token, enrollment_id)
    if do in ("pause", "resume") and is_double_tap(token):
        return _page(token, said="too quick")
    try:
        _do(do, enrollment_id)
    except BadInput as error:
        return _page(token, error=error), 422
    return _page(token, said=do)


def _do(do: str, enrollment_id: int) -> None:
    found = service()
    wishes = _wishes() if do == "save" else None
    with found.database.write() as session:
        match do:
            case "pause":
                acts.pause(session, enrollment_id, found.clock.now())
            case "resume":
                acts.resume(session, enrollment_id, found.clock.now())
            case "programme":
                _, subscriber = person(session, enrollment_id)
                said = found.composer.templates.languages.get(subscriber.locale).challenge
                acts.agree_to_programme(session, enrollment_id, said, found.clock.now())
            case _:
                acts.change(session, enrollment_id, wishes or acts.Wishes(), found.clock.now())


def _page(token: str, *, said: str = "", error: BadInput | None = None) -> str:
    """What was typed and not saved stays on the page, whichever button was pressed."""
    found = service()
    with found.database.read() as session:
        enrollment, subscriber = person(session, read_one(Purpose.preferences, token))
        known = current_plan(session, enrollment, found.challenge.length, found.clock.now())
    links, to = found.composer.links, Address(enrollment.id or 0, 0, "")
    return render_template(
        "preferences.html",
        token=token,
        nonce=nonce(token),
        enrollment=enrollment,
        subscriber=subscriber,
        said=said,
        error=error,
        fields={} if said == "save" else request.form,
        next_words=next_mail(known, subscriber),
        hours=[(hour, language().hour(hour)) for hour in range(FIRST_HOUR, LAST_HOUR + 1)],
        zones=zone_options(subscriber.timezone),
        positions=labelled(Position),
        goals=labelled(Goal, N_("A bit of all")),
        paces=[(pace, say(words)) for pace, words in PACES.items()],
        certificate=links.path(Link.certificate, to),
        calendar=links.path(Link.calendar, to),
        unsubscribe=links.unsubscribe_url(to).removeprefix(links.base_url),
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
