"""One's own login: the browsers that are logged in, ending them, a new password."""

from __future__ import annotations

from typing import Any

from flask import flash, redirect, render_template, request, session, url_for

from challenge.access import sessions, users
from challenge.access.log import write_down
from challenge.access.throttle import Throttle
from challenge.web import network, service
from challenge.web.dashboard.door import me, my_session, needs, room


@room.get("/account")
@needs(None)
def account() -> str:
    with service().database.read() as rows:
        mine = sessions.of(rows, me())
    return render_template("dashboard/account.html", sessions=mine, current=my_session().id, least=users.LEAST_PASSWORD)


@room.post("/account/sessions/<int:number>/end")
@needs(None)
def end_session(number: int) -> Any:
    with service().database.write() as rows:
        if sessions.end(rows, me(), number):
            write_down(rows, me().name, "ended a session")
    flash("That browser is logged out.")
    return redirect(url_for("dashboard.account"), 303)


@room.post("/account/sessions/end")
@needs(None)
def end_sessions() -> Any:
    """Everywhere, this browser too: whoever presses this does not trust what is open."""
    with service().database.write() as rows:
        count = sessions.end_all(rows, me())
        write_down(rows, me().name, "ended all sessions", detail=f"{count} sessions")
    session.clear()
    return redirect(url_for("dashboard.login"), 303)


@room.post("/account/password")
@needs(None)
def password() -> Any:
    """Asks for the old password again, as slowly as the login does: an open browser is not a person."""
    found = service()
    throttle = Throttle(found.key, me().name, network(), knows_browser=True)
    if throttle.wait(found.database) or not users.fits(me(), request.form.get("old", "")[:1000]):
        flash("The old password is not right.", "wrong")
        return redirect(url_for("dashboard.account"), 303)
    with found.database.write() as rows:
        user = rows.merge(me())
        users.change_password(rows, user, request.form.get("new", ""))
        throttle.succeed(rows)
        key = sessions.start(rows, user, request.headers.get("User-Agent", ""))
    session.clear()
    session.permanent, session["key"] = True, key
    flash("The password is changed, and all other browsers are logged out.")
    return redirect(url_for("dashboard.account"), 303)
