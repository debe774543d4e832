"""Who may come in? Every page says what it needs; the guard looks before the page runs, and a POST needs a CSRF token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    flash,
    g,
    redirect,
    render_template,
    request,
    session,
    url_for,
)

from challenge.access import sessions
from challenge.access.roles import May, may
from challenge.errors import UsageError
from challenge.models import User, UserSession
from challenge.web import csrf, service

room = Blueprint("dashboard", __name__, url_prefix="/dashboard")
_View = TypeVar("_View", bound=Callable[..., Any])
_LARGEST = 2**31 - 1
_PAGES = (
    ("dashboard.today", "Today", May.read_numbers),
    ("dashboard.funnel", "Funnel", May.read_numbers),
    ("dashboard.mails", "Mails", May.read_numbers),
    ("dashboard.sources", "Sources", May.read_numbers),
    ("dashboard.weeks", "Weeks", May.read_numbers),
    ("dashboard.experiments", "Experiments", May.read_numbers),
    ("dashboard.people", "People", May.see_people),
    ("dashboard.access", "Access", May.manage_access),
    ("dashboard.journal", "Log", May.read_log),
    ("dashboard.doctor", "Checks", May.run_sending),
)


def needs(right: May | None) -> Callable[[_View], _View]:
    """What a page needs; None = anybody who is logged in. A page that says nothing is shut."""

    def mark(view: _View) -> _View:
        view.needs = right  # type: ignore[attr-defined]
        return view

    return mark


def open_to_all(view: _View) -> _View:
    """For the login itself."""
    view.is_open = True  # type: ignore[attr-defined]
    return view


@room.before_request
def guard() -> Any:
    """Sends strangers to the login, and tells a user whose role is too small."""
    if request.method == "POST":
        csrf.protect()
        if any("\0" in value for value in request.form.values()):  # PostgreSQL takes none in a text
            abort(400)
    view = current_app.view_functions[request.endpoint or ""]
    if getattr(view, "is_open", False):
        return None
    found = sessions.find(service().database, str(session.get("key", "")))
    if found is None:
        session.clear()
        there = request.full_path.rstrip("?") if request.method == "GET" else ""
        return redirect(url_for("dashboard.login", next=there or None))
    g.user, g.session = found
    if any(isinstance(value, int) and value > _LARGEST for value in (request.view_args or {}).values()):
        abort(404)
    if not hasattr(view, "needs"):
        abort(404)
    if view.needs is not None and not may(g.user.role, view.needs):
        return render_template("dashboard/shut.html", role=g.user.role), 403
    return None


@room.after_request
def keep_private(response: Response) -> Response:
    """No proxy and no back button of a shared computer keeps these pages."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


@room.errorhandler(UsageError)
def refused(error: UsageError) -> Any:
    """What cannot be done is told in words where the person was."""
    flash(str(error), "wrong")
    back = request.form.get("back", "")
    return redirect(back if is_ours(back) else url_for("dashboard.today"), 303)


@room.context_processor
def words() -> dict[str, Any]:
    """For every template here: who is in, what they may do, the pages they may open."""
    role = g.user.role if "user" in g else ""
    return {
        "challenge": service().challenge,  # the desk speaks English, whatever the browser asks for
        "user": g.get("user"),
        "may": lambda right: may(role, May(right)),
        "pages": [(endpoint, name) for endpoint, name, right in _PAGES if may(role, right)],
    }


def me() -> User:
    """The user who is asking."""
    user: User = g.user
    return user


def my_session() -> UserSession:
    found: UserSession = g.session
    return found


def is_ours(target: str) -> bool:
    """Whether a redirect to this address stays on the dashboard."""
    return target.startswith("/dashboard") and "//" not in target and "\\" not in target and target.isprintable()
