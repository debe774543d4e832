"""Who has a login? Adds, lists, removes, and checks a password; called by the commands and the dashboard."""

from __future__ import annotations

import secrets
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlmodel import Session, col, func, select

from challenge.access.log import COMMAND_LINE, write_down
from challenge.access.roles import Role
from challenge.access.sessions import end_all
from challenge.clock import real_now
from challenge.db import Database
from challenge.errors import UsageError
from challenge.models import User

LEAST_PASSWORD = 8
_hasher = PasswordHasher()


def add_user(
    database: Database,
    name: str,
    password: str,
    *,
    role: str = "",
    replace: bool = False,
    by: str = COMMAND_LINE,
) -> None:
    """A user of the dashboard, an owner unless told otherwise; a changed password ends all sessions. Raises UsageError."""
    _check(name, password, role)
    digest = _hasher.hash(password)  # a quarter of a second: before the transaction, not inside it
    with database.write() as session:
        user = find(session, name)
        if user is not None and not replace:
            raise UsageError(
                f"There is a user {name} already; `challenge user add {name} --replace` changes the password."
            )
        new = user is None
        user = user or User(name=name, password_hash="", role=Role.owner, created_at=real_now())
        if role and role != user.role and not new:
            _keep_an_owner(session, user)
        user.password_hash, user.role = digest, role or user.role
        session.add(user)
        session.flush()
        end_all(session, user)
        write_down(session, by, "added a user" if new else "changed a user", detail=f"{name}, {user.role}")


def change_password(session: Session, user: User, password: str) -> None:
    """A new password for somebody who is logged in; all their sessions end. Raises UsageError."""
    _check(user.name, password, user.role)
    user.password_hash = _hasher.hash(password)
    session.add(user)
    end_all(session, user)
    write_down(session, user.name, "changed their password")


def change_role(session: Session, user: User, role: str, by: str) -> None:
    """Raises UsageError for an unknown role, and when the last owner would be gone."""
    if role not in list(Role):
        raise UsageError(f"A role is one of: {', '.join(Role)}.")
    if role == user.role:
        return
    _keep_an_owner(session, user)
    user.role = role
    session.add(user)
    write_down(session, by, "changed a role", detail=f"{user.name}, {role}")


def remove_user(session: Session, name: str, by: str = COMMAND_LINE) -> None:
    """Their sessions end with them; the log keeps their name. Raises UsageError."""
    user = find(session, name)
    if user is None:
        raise UsageError(f"There is no user {name}. `challenge user list` shows who there is.")
    _keep_an_owner(session, user)
    session.delete(user)
    write_down(session, by, "removed a user", detail=name)


def find(session: Session, name: str) -> User | None:
    return session.exec(select(User).where(User.name == name)).first()


def everybody(session: Session) -> list[User]:
    return list(session.exec(select(User).order_by(User.name)))


def fits(user: User | None, password: str) -> bool:
    """Whether the password is this user's. Takes as long for a name nobody has, so that time tells nothing."""
    try:
        _hasher.verify(user.password_hash if user else _nobodys_hash(), password)
    except VerificationError:
        return False
    return user is not None


@cache
def _nobodys_hash() -> str:
    return _hasher.hash(secrets.token_hex(16))


def _check(name: str, password: str, role: str) -> None:
    if not name or len(name) > 64 or not name.isprintable() or name != name.strip():
        raise UsageError("A user's name has 1 to 64 printable characters, and no blank at its ends.")
    if len(password) < LEAST_PASSWORD:
        raise UsageError(f"A password needs {LEAST_PASSWORD} characters or more.")
    if len(password) > 1000:
        raise UsageError("A password has at most 1000 characters.")
    if role and role not in list(Role):
        raise UsageError(f"A role is one of: {', '.join(Role)}.")


def _keep_an_owner(session: Session, user: User) -> None:
    others = select(func.count()).select_from(User).where(User.role == Role.owner, col(User.id) != user.id)
    if user.role == Role.owner and session.exec(others).one() == 0:
        raise UsageError(f"{user.name} is the only owner; make somebody else an owner first.")
