"""What does a visitor see before joining? Landing page, sign-up, exercise index, privacy, pictures."""

from __future__ import annotations

import time
from typing import Any, cast

from flask import Blueprint, Flask, Response, abort, redirect, render_template, request, send_file, url_for
from flask_limiter import Limiter

from challenge.errors import BadInput
from challenge.i18n import N_
from challenge.journey import FIRST_HOUR, LAST_HOUR
from challenge.programme.definition import picture_path
from challenge.programme.exercises import Goal, Position, find
from challenge.settings import Settings
from challenge.signup import DEFAULT_HOUR, DEFAULT_ZONE, read, register
from challenge.tokens import Tokens
from challenge.web import service
from challenge.web.page import labelled, zone_options
from challenge.web.speaking import asked, challenge, language, say

room = Blueprint("public", __name__)
_KEPT = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "form_variant")
HONEYPOT = "website"


@room.get("/")
def landing() -> str:
    return _form({}, None)


@room.post("/signup")
def sign_up() -> Any:
    """Answers the same whether or not the address is known; a filled honeypot gets that answer too."""
    fields = request.form.to_dict()
    if fields.get(HONEYPOT):
        return redirect(url_for("public.check_inbox"), 303)
    try:
        if _is_too_fast(fields.get("shown", ""), service().tokens, service().settings):
            raise BadInput("email", "That was very quick. Please press the button once more.")
        enroll(fields, "form")
    except BadInput as error:
        return _form(fields, error), 422
    return redirect(url_for("public.check_inbox"), 303)


def enroll(fields: dict[str, Any], consent_source: str) -> None:
    """One sign-up, however it came in. Raises BadInput."""
    found = service()
    spoken = found.composer.templates.languages.choose(str(fields.get("locale") or "")[:16], *asked())
    signup = read({**fields, "locale": spoken}, consent_source=consent_source)
    with found.database.write() as session:
        register(session, signup, found.challenge, found.clock.now())


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
    """A picture by edition, so that it may be kept for a year."""
    try:
        path = picture_path(service().challenge, file)
    except LookupError:
        abort(404)
    response = send_file(path, max_age=31536000 if edition == service().challenge.edition else 300)
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def limit(app: Flask, limiter: Limiter, settings: Settings) -> None:
    """The same limit on every way in."""
    if settings.signup_rate:
        shared = limiter.shared_limit(settings.signup_rate, scope="signup", methods=["POST"])
        for endpoint in ("public.sign_up", "api.sign_up"):
            app.view_functions[endpoint] = cast(Any, shared(app.view_functions[endpoint]))


def _form(fields: dict[str, Any], error: BadInput | None) -> str:
    kept = {name: (fields.get(name) or request.args.get(name, ""))[:100] for name in _KEPT}
    kept["referrer"] = (fields.get("referrer") or request.referrer or "")[:500]
    now = int(time.time())
    return render_template(
        "landing.html",
        fields=fields,
        error=error,
        kept={name: value for name, value in kept.items() if value},
        shown=f"{now}.{service().tokens.tag(f'shown:{now}')}",
        honeypot=HONEYPOT,
        zones=zone_options(),
        zone=fields.get("timezone") or DEFAULT_ZONE,
        hours=[(hour, language().hour(hour)) for hour in range(FIRST_HOUR, LAST_HOUR + 1)],
        hour=str(fields.get("hour") or DEFAULT_HOUR),
        positions=labelled(Position),
        position=fields.get("position") or Position.seated,
        goals=labelled(Goal, N_("A bit of all")),
    )


def _is_too_fast(shown: str, tokens: Tokens, settings: Settings) -> bool:
    """A form of ours says when it was shown; a form on another site does not, and is held by the rate alone."""
    at, _, tag = shown.partition(".")
    if not at.isdigit() or not tokens.is_tag(f"shown:{at}", tag):
        return False
    return time.time() - int(at) < settings.signup_min_seconds
