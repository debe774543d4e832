"""How does a person leave, or get fewer mails? The way out of every mail: one tap each, changed only by a POST.

The POST of RFC 8058 needs nothing but its link and one word in the body, in either encoding: no cookie, no nonce, no
redirect. To stop is never made harder than that; every other choice also needs the page's nonce.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, render_template, request
from sqlmodel import Session

from challenge import asking, going_on
from challenge import participation as acts
from challenge.errors import BadInput
from challenge.journey import Pace
from challenge.models import Delivery, Enrollment
from challenge.plan import current_plan
from challenge.tokens import Purpose
from challenge.web import service
from challenge.web.page import is_double_tap, next_mail, nonce, person, preferences_path, was_shown
from challenge.web.preferences import PACES
from challenge.web.speaking import say
from challenge.web.track import looked_at_unsubscribe

room = Blueprint("leaving", __name__)
_STOPS = {"One-Click": "one-click", "everything": "page", "this": "page"}
_FEWER = (Pace.weekdays, Pace.weekly)


@room.get("/unsubscribe/<token>")
def ask_unsubscribe(token: str) -> str:
    enrollment_id, delivery_id = service().tokens.read(Purpose.unsubscribe, token, 2)
    looked_at_unsubscribe(delivery_id)
    return _page(token, enrollment_id)


@room.post("/unsubscribe/<token>")
def unsubscribe(token: str) -> Any:
    """RFC 8058, and the page's buttons. A body without a wish changes nothing."""
    enrollment_id, delivery_id = service().tokens.read(Purpose.unsubscribe, token, 2)
    found, now = service(), service().clock.now()
    wish = request.form.get("List-Unsubscribe") or request.form.get("do", "")
    if wish in _STOPS:
        with found.database.write() as session:
            mail = session.get(Delivery, delivery_id)
            acts.unsubscribe(session, enrollment_id, now, how=_STOPS[wish], everything=wish != "this", delivery=mail)
        return _page(token, enrollment_id, said="stopped")
    if wish not in ("go on", "pause", "resume") and wish.removeprefix("pace ") not in list(Pace):
        return render_template(
            "sorry.html", heading=say("Nothing was changed"), words=say("Please use the button on the page.")
        ), 400
    if not was_shown(token):
        return _page(token, enrollment_id)
    if is_double_tap(token):
        return _page(token, enrollment_id, said="too quick")
    with found.database.write() as session:
        before = session.get_one(Enrollment, enrollment_id).pace
        _do(session, enrollment_id, wish)
    return _page(token, enrollment_id, said=wish.partition(" ")[0] if wish != "go on" else wish, before=before)


def _do(session: Session, enrollment_id: int, wish: str) -> None:
    found, now = service(), service().clock.now()
    match wish:
        case "go on":
            if not going_on.go_on(session, enrollment_id, found.challenge.length, now):
                raise BadInput("do", say("These e-mails stopped some time ago. Please sign up again."))
        case "pause":
            acts.pause(session, enrollment_id, now)
        case "resume":
            acts.resume(session, enrollment_id, now)
        case _:
            acts.change(session, enrollment_id, acts.Wishes(pace=wish.removeprefix("pace ")), now)


def _page(token: str, enrollment_id: int, *, said: str = "", before: str = "") -> str:
    now = service().clock.now()
    with service().database.read() as session:
        enrollment, subscriber = person(session, enrollment_id)
        can_go_on = going_on.can_go_on(session, enrollment, now)
        known = current_plan(session, enrollment, service().challenge.length, now)
        quiet = asking.is_quiet(session, enrollment.subscriber_id, now)
    return render_template(
        "unsubscribe.html",
        state=str(enrollment.state),
        said=said,
        nonce=nonce(token),
        can_go_on=can_go_on,
        next_words=next_mail(known, subscriber),
        quiet=quiet,
        fewer=[(pace.value, say(PACES[pace])) for pace in _FEWER if pace.value != enrollment.pace],
        pace_words=say(PACES[Pace(enrollment.pace)]),
        before=before if before != enrollment.pace else "",
        preferences=preferences_path(enrollment_id),
    )
