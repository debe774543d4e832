"""Which browsers are logged in? Starts, finds and ends sessions; real time, for no warped clock may log people out.

The browser holds a random key in its signed cookie; the row holds a hash of it. Nobody is logged in without a row.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import timedelta

from sqlmodel import Session, col, delete, select

from challenge.clock import real_now
from challenge.db import Database
from challenge.models import User, UserSession

IDLE = timedelta(days=14)
LONGEST = timedelta(days=90)
_SEEN_EVERY = timedelta(minutes=5)
_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS", "Mac"),
    ("Linux", "Linux"),
)


def start(session: Session, user: User, agent: str) -> str:
    """A new session; returns the key for the cookie. Sessions of this user that are over are tidied away."""
    now, key = real_now(), secrets.token_urlsafe(32)
    session.exec(
        delete(UserSession).where(
            col(UserSession.user_id) == user.id,
            (col(UserSession.seen_at) < now - IDLE) | (col(UserSession.started_at) < now - LONGEST),
        )
    )
    session.add(
        UserSession(user_id=user.id or 0, key_hash=_digest(key), browser=browser_of(agent), started_at=now, seen_at=now)
    )
    return key


def find(database: Database, key: str) -> tuple[User, UserSession] | None:
    """The user and session of a cookie's key; None when it ended, was idle for two weeks, or is three months old."""
    now = real_now()
    with database.read() as session:
        query = select(User, UserSession).join(UserSession, col(UserSession.user_id) == col(User.id))
        found = session.exec(query.where(UserSession.key_hash == _digest(key))).first()
    if found is None or found[1].seen_at < now - IDLE or found[1].started_at < now - LONGEST:
        return None
    if found[1].seen_at < now - _SEEN_EVERY:
        with database.write() as session:
            row = session.get(UserSession, found[1].id)
            if row is not None:
                row.seen_at = now
                session.add(row)
    return found[0], found[1]


def of(session: Session, user: User) -> list[UserSession]:
    """The sessions of a user that still hold, the latest first."""
    now = real_now()
    query = select(UserSession).where(
        UserSession.user_id == user.id,
        col(UserSession.seen_at) >= now - IDLE,
        col(UserSession.started_at) >= now - LONGEST,
    )
    return list(session.exec(query.order_by(col(UserSession.seen_at).desc(), col(UserSession.id).desc())))


def end(session: Session, user: User, number: int) -> bool:
    """Ends one session of this user. False when it is none of theirs."""
    mine = (col(UserSession.id) == number) & (col(UserSession.user_id) == user.id)
    return bool(session.exec(delete(UserSession).where(mine)).rowcount)


def end_all(session: Session, user: User, *, but: int | None = None) -> int:
    """Ends all sessions of a user, except the one they are in when it is given; returns how many."""
    mine = col(UserSession.user_id) == user.id
    wanted = mine if but is None else mine & (col(UserSession.id) != but)
    return int(session.exec(delete(UserSession).where(wanted)).rowcount)


def browser_of(agent: str) -> str:
    """`Firefox on Windows`: enough to tell one's own devices apart, and nothing more is kept."""
    browser = next((name for word, name in _BROWSERS if re.search(rf"\b{word}\w*/", agent)), "A browser")
    system = next((name for word, name in _SYSTEMS if word in agent), "")
    return f"{browser} on {system}" if system else browser


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
