"""What does a visitor see before joining? Landing page, sign-up, exercise index, privacy, pictures."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request, send_file, url_for

from challenge.errors import BadInput
from challenge.i18n import N_
from challenge.journey import FIRST_HOUR, LAST_HOUR
from challenge.programme.definition import picture_path
from challenge.programme.exercises import Goal, Position, find
from challenge.signup import DEFAULT_HOUR, DEFAULT_ZONE
from challenge.web import service
from challenge.web.joining import HONEYPOT, join, shown
from challenge.web.page import labelled, zone_options
from challenge.web.speaking import ask, challenge, language, say
from challenge.web.track import came_from, landing_variant, looked_at_landing

room = Blueprint("public", __name__)
_KEPT = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "form_variant")


@room.get("/")
def landing() -> str:
    looked_at_landing()
    return _form({}, None)


@room.post("/signup")
def sign_up() -> Any:
    """Answers the same whether or not the address is known; a filled honeypot gets that answer too."""
    fields = request.form.to_dict()
    ask(fields.get("locale", ""))
    try:
        join(fields, "form")
    except BadInput as error:
        return _form(fields, error), 422
    return redirect(url_for("public.check_inbox"), 303)


@room.get("/signup")
def signed_up() -> Any:
    """Where a form that was not right leaves the browser, opened again: to the form."""
    words: dict[str, Any] = {name: request.args[name] for name in ("lang", *_KEPT) if name in request.args}
    return redirect(url_for("public.landing", **words), 303)


@room.get("/check-inbox")
def check_inbox() -> str:
    return render_template("check_inbox.html")


@room.get("/privacy")
def privacy() -> str:
    return render_template("privacy.html")


@room.get("/exercises")
def exercises() -> str:
    """The exercise index; an unknown word finds nothing rather than everything."""
    wished = {name: request.args.get(name, "")[:60] for name in ("position", "goal", "symptom", "muscle")}
    all_of_them = challenge().exercises.values()
    found = find(challenge(), **{name: word or None for name, word in wished.items()})
    return render_template(
        "exercises.html",
        found=[(exercise, exercise.move_for(wished["position"])) for exercise in found],
        asked=wished,
        asked_for=any(wished.values()),
        symptoms=_words(N_("Anything"), {word for exercise in all_of_them for word in exercise.symptoms}),
        muscles=_words(N_("Any"), {word for exercise in all_of_them for word in exercise.muscles}),
        positions=labelled(Position, N_("Any way")),
        goals=labelled(Goal, N_("Anything")),
    )


def _words(any_of_them: str, words: set[str]) -> list[tuple[str, str]]:
    return [("", say(any_of_them)), *((word, word.capitalize()) for word in sorted(words))]


@room.get("/pictures/<edition>/<file>")
def picture(edition: str, file: str) -> Response:
    """A picture by edition, so that it may be kept for a year; also that of a mail whose words were changed since."""
    found = service()
    old = None if edition == found.challenge.edition else found.editions.composer(edition)
    try:
        path = picture_path(old.challenge if old else found.challenge, file)
    except LookupError:
        abort(404)
    response = send_file(path, max_age=31536000 if old or edition == found.challenge.edition else 300)
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _form(fields: dict[str, Any], error: BadInput | None) -> str:
    kept = {name: (fields.get(name) or request.args.get(name, ""))[:100] for name in _KEPT}
    kept["form_variant"] = kept["form_variant"] or landing_variant()
    kept["referrer"] = (fields.get("referrer") or request.args.get("referrer") or came_from())[:500]
    return render_template(
        "landing.html",
        headline=challenge().variants.headline(kept["form_variant"], challenge().headline),
        fields=fields,
        error=error,
        kept={name: value for name, value in kept.items() if value},
        came_from={name: value for name, value in kept.items() if value and name != "form_variant"},
        shown=shown(),
        asks_proof=service().settings.signup_proof,
        honeypot=HONEYPOT,
        zones=zone_options(fields.get("timezone", "")),
        zone=fields.get("timezone") or DEFAULT_ZONE,
        hours=[(hour, language().hour(hour)) for hour in range(FIRST_HOUR, LAST_HOUR + 1)],
        hour=str(fields.get("hour") or DEFAULT_HOUR),
        positions=labelled(Position),
        position=fields.get("position") or Position.seated,
        goals=labelled(Goal, N_("A bit of all")),
    )
