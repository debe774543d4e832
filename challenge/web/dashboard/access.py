"""Who may come in: users and their roles, tokens of programs. For owners."""

from __future__ import annotations

from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for

from challenge.access import tokens, users
from challenge.access.log import write_down
from challenge.access.roles import May, Role
from challenge.access.sessions import end_all
from challenge.models import User
from challenge.web import service
from challenge.web.dashboard.door import me, needs, room


@room.get("/access")
@needs(May.manage_access)
def access() -> str:
    return _page()


@room.post("/access/users")
@needs(May.manage_access)
def add_user() -> Any:
    given = request.form
    users.add_user(
        service().database, given.get("name", ""), given.get("password", ""), role=given.get("role", ""), by=me().name
    )
    flash(f"{given['name']} can log in now. Tell them the password in person.")
    return redirect(url_for("dashboard.access"), 303)


@room.post("/access/users/<int:number>/role")
@needs(May.manage_access)
def change_role(number: int) -> Any:
    with service().database.write() as rows:
        user = rows.get(User, number, with_for_update=True) or abort(404)
        users.change_role(rows, user, request.form.get("role", ""), me().name)
    flash("The role is changed.")
    return redirect(url_for("dashboard.access"), 303)


@room.post("/access/users/<int:number>/end")
@needs(May.manage_access)
def end_sessions_of(number: int) -> Any:
    with service().database.write() as rows:
        user = rows.get(User, number) or abort(404)
        count = end_all(rows, user)
        write_down(rows, me().name, "ended all sessions", detail=f"of {user.name}, {count} sessions")
    flash(f"{user.name} is logged out everywhere.")
    return redirect(url_for("dashboard.access"), 303)


@room.route("/access/users/<int:number>/remove", methods=["GET", "POST"])
@needs(May.manage_access)
def remove_user(number: int) -> Any:
    with service().database.read() as rows:
        user = rows.get(User, number) or abort(404)
    if request.method != "POST":
        return render_template(
            "dashboard/confirm.html",
            heading=f"Remove {user.name}?",
            words="They are logged out at once and cannot log in again. The log keeps what they did.",
            button=f"Remove {user.name}",
            back=url_for("dashboard.access"),
            danger=True,
        )
    with service().database.write() as rows:
        users.remove_user(rows, user.name, me().name)
    flash(f"{user.name} is removed.")
    return redirect(url_for("dashboard.access"), 303)


@room.post("/access/tokens")
@needs(May.manage_access)
def add_token() -> Any:
    """The answer shows the token, and nothing ever shows it again; so no redirect here."""
    name = request.form.get("name", "").strip()
    with service().database.write() as rows:
        value = tokens.add_token(rows, name, request.form.get("scope", ""), me().name)
    return _page(new_token=value, new_name=name)


@room.route("/access/tokens/<name>/remove", methods=["GET", "POST"])
@needs(May.manage_access)
def remove_token(name: str) -> Any:
    if request.method != "POST":
        return render_template(
            "dashboard/confirm.html",
            heading=f"End the token {name}?",
            words="Programs that use it are refused from now on. It cannot be brought back; a new one can be made.",
            button=f"End {name}",
            back=url_for("dashboard.access"),
            danger=True,
        )
    with service().database.write() as rows:
        tokens.remove_token(rows, name, me().name)
    flash(f"The token {name} is refused from now on.")
    return redirect(url_for("dashboard.access"), 303)


def _page(**new: str) -> str:
    with service().database.read() as rows:
        everybody, every_token = users.everybody(rows), tokens.every_token(rows)
    return render_template(
        "dashboard/access.html",
        users=everybody,
        tokens=every_token,
        roles=list(Role),
        scopes=list(tokens.Scope),
        least=users.LEAST_PASSWORD,
        **new,
    )
