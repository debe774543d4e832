"""The marketer's desk, behind a login: where people are, and what needs a human."""

from __future__ import annotations

import secrets
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from flask import Blueprint, redirect, render_template, request, session, url_for
from sqlmodel import col, select

from challenge.audit import audit
from challenge.clock import real_now
from challenge.db import Database
from challenge.dispatch import is_stopped, needs_review
from challenge.errors import UsageError
from challenge.models import Alert, User
from challenge.stats.funnel import funnel
from challenge.web import csrf, service

room = Blueprint("dashboard", __name__, url_prefix="/dashboard")
_hasher = PasswordHasher()
_NOBODY = _hasher.hash(secrets.token_hex(16))
_OPEN = {"dashboard.login", "dashboard.log_in"}


@room.before_request
def guard() -> Any:
    """Every page but the login needs a user; every POST a CSRF token."""
    if request.method == "POST":
        csrf.protect()
    if request.endpoint in _OPEN:
        return None
    if _user() is None:
        return redirect(url_for("dashboard.login", next=request.path))
    return None


@room.get("/login")
def login() -> str:
    return render_template("dashboard/login.html", failed=False)


@room.post("/login")
def log_in() -> Any:
    name, password = request.form.get("name", "")[:64], request.form.get("password", "")[:1000]
    with service().database.read() as rows:
        user = rows.exec(select(User).where(User.name == name)).first()
    try:
        _hasher.verify(user.password_hash if user else _NOBODY, password)
    except VerificationError:
        user = None
    if user is None:
        return render_template("dashboard/login.html", failed=True), 401
    session.clear()
    session["user"], session["key"] = user.name, user.session_key
    target = request.form.get("next", "")
    safe = target.startswith("/dashboard") and "//" not in target and "\\" not in target
    return redirect(target if safe else url_for("dashboard.overview"), 303)


@room.post("/logout")
def log_out() -> Any:
    session.clear()
    return redirect(url_for("dashboard.login"), 303)


@room.get("/")
def overview() -> str:
    found = service()
    now = found.clock.now()
    with found.database.read() as rows:
        numbers = funnel(rows, found.challenge.slug, found.challenge.length, now)
        accounts = audit(rows, found.challenge, found.settings, now)
        alerts = rows.exec(select(Alert).order_by(col(Alert.seen_at).desc())).all()
        stopped = is_stopped(rows)
    return render_template(
        "dashboard/overview.html",
        numbers=numbers,
        accounts=accounts,
        alerts=alerts,
        stopped=stopped,
        now=now,
        unreviewed=not found.challenge.reviewed_by,
        blocked=needs_review(found.challenge, found.settings),
        user=session.get("user", ""),
    )


def add_user(database: Database, name: str, password: str, *, replace: bool = False) -> None:
    """A user of the dashboard. A changed password ends all sessions. Raises UsageError."""
    if not name or len(name) > 64 or not name.isprintable():
        raise UsageError("A user's name has 1 to 64 printable characters.")
    if len(password) < 8:
        raise UsageError("A password needs 8 characters or more.")
    with database.write() as rows:
        user = rows.exec(select(User).where(User.name == name)).first()
        if user is not None and not replace:
            raise UsageError(
                f"There is a user {name} already; `challenge user add {name} --replace` changes the password."
            )
        user = user or User(name=name, password_hash="", session_key="", created_at=real_now())
        user.password_hash, user.session_key = _hasher.hash(password), secrets.token_hex(16)
        rows.add(user)


def _user() -> User | None:
    name = session.get("user")
    if not name:
        return None
    with service().database.read() as rows:
        user = rows.exec(select(User).where(User.name == name)).first()
    return user if user is not None and secrets.compare_digest(user.session_key, str(session.get("key", ""))) else None
