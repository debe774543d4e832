"""What must a human know at once? Raised by any step, shown by the dashboard and by `doctor`."""

from __future__ import annotations

from sqlmodel import Session

from challenge.clock import real_now
from challenge.db import at_end, inserting
from challenge.models import Alert


def raise_alert(session: Session, code: str, words: str) -> None:
    """Tells the humans, once per code while it lasts; the dashboard and `doctor` show it."""
    at_end(session, f"alert {code}", lambda last: _write(last, code, words))


def _write(session: Session, code: str, words: str) -> None:
    now = real_now()
    made = inserting(session, Alert).values(code=code, text=words, raised_at=now, seen_at=now, count=1)
    again = {"count": Alert.count + 1, "seen_at": now, "text": words}
    session.execute(made.on_conflict_do_update(index_elements=["code"], set_=again))
