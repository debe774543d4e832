"""Getting in and out. A wrong name takes as long as a wrong password, and both get the same answer."""

from __future__ import annotations

from typing import Any

from flask import make_response, redirect, render_template, request, session, url_for

from challenge.access import sessions, users
from challenge.access.log import write_down
from challenge.access.throttle import Throttle
from challenge.web import network, service
from challenge.web.dashboard.door import is_ours, me, my_session, needs, open_to_all, room

_KNOWN = "challenge_known"
_YEAR = 365 * 24 * 3600


@room.get("/login")
@open_to_all
def login() -> str:
    return render_template("dashboard/login.html", problem="", name="")


@room.post("/login")
@open_to_all
def log_in() -> Any:
    found = service()
    name, password = request.form.get("name", "").strip()[:64], request.form.get("password", "")[:1000]
    is_known = found.tokens.is_tag(f"known:{name}", request.cookies.get(_KNOWN, ""))
    throttle = Throttle(found.key, name, network(), knows_browser=is_known)
    if wait := throttle.wait(found.database):
        minutes = -(-int(wait.total_seconds()) // 60)
        answer = make_response(
            render_template(
                "dashboard/login.html", problem=f"Too many tries. Please try again in {minutes} minutes.", name=name
            ),
            429,
        )
        answer.headers["Retry-After"] = str(int(wait.total_seconds()) + 1)
        return answer
    with found.database.read() as rows:
        user = users.find(rows, name)
    if not users.fits(user, password) or user is None:
        return render_template("dashboard/login.html", problem="Name and password do not fit together.", name=name), 401
    with found.database.write() as rows:
        key = sessions.start(rows, user, request.headers.get("User-Agent", ""))
        throttle.succeed(rows)
        write_down(rows, user.name, "logged in")
    session.clear()
    session.permanent, session["key"] = True, key
    target = request.form.get("next", "")
    response = redirect(target if is_ours(target) else url_for("dashboard.today"), 303)
    response.set_cookie(
        _KNOWN,
        found.tokens.tag(f"known:{name}"),
        max_age=_YEAR,
        httponly=True,
        samesite="Strict",
        secure=found.settings.public_url.startswith("https://"),
        path="/dashboard/login",
    )
    return response


@room.post("/logout")
@needs(None)
def log_out() -> Any:
    with service().database.write() as rows:
        sessions.end(rows, me(), my_session().id or 0)
    session.clear()
    return redirect(url_for("dashboard.login"), 303)
