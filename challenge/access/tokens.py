"""Which programs may ask? Bearer tokens: shown once, kept as a hash, with one scope each."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from enum import StrEnum

from sqlmodel import Session, col, select

from challenge.access.log import COMMAND_LINE, write_down
from challenge.clock import real_now
from challenge.db import Database
from challenge.errors import UsageError
from challenge.models import ApiToken

_USED_EVERY = timedelta(hours=1)


class Scope(StrEnum):
    """`read`: the numbers, no address among them. `conversions`: may tell who joined, and read nothing."""

    read = "read"
    conversions = "conversions"


def add_token(session: Session, name: str, scope: str = Scope.read, by: str = COMMAND_LINE) -> str:
    """Makes a token and returns it; nobody can show it again. Raises UsageError."""
    if not name or len(name) > 64 or not name.isprintable() or name != name.strip():
        raise UsageError("A token's name has 1 to 64 printable characters, and no blank at its ends.")
    if scope not in list(Scope):
        raise UsageError(f"A token's scope is one of: {', '.join(Scope)}.")
    if session.exec(select(ApiToken.id).where(ApiToken.name == name)).first() is not None:
        raise UsageError(f"There is a token {name} already. `challenge token remove {name}` ends it.")
    value = secrets.token_urlsafe(32)
    session.add(ApiToken(name=name, token_hash=token_hash(value), scope=scope, made_by=by[:64], created_at=real_now()))
    write_down(session, by, "added a token", detail=f"{name}, {scope}")
    return value


def every_token(session: Session) -> list[ApiToken]:
    return list(session.exec(select(ApiToken).order_by(col(ApiToken.name))))


def remove_token(session: Session, name: str, by: str = COMMAND_LINE) -> None:
    """It is refused from now on. Raises UsageError."""
    row = session.exec(select(ApiToken).where(ApiToken.name == name)).first()
    if row is None:
        raise UsageError(f"There is no token {name}. `challenge token list` shows which there are.")
    session.delete(row)
    write_down(session, by, "removed a token", detail=name)


def find_token(database: Database, value: str) -> ApiToken | None:
    """The token with this value, or None; notes once an hour that it is in use."""
    with database.read() as session:
        row = session.exec(select(ApiToken).where(ApiToken.token_hash == token_hash(value))).first()
    if row is not None and (row.used_at is None or row.used_at < real_now() - _USED_EVERY):
        with database.write() as session:
            current = session.get(ApiToken, row.id)
            if current is not None:
                current.used_at = real_now()
                session.add(current)
    return row


def token_hash(value: str) -> str:
    """What is kept of a bearer token; it has 256 bits of chance, so a fast hash is enough."""
    return hashlib.sha256(value.encode()).hexdigest()
