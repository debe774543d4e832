"""What must a human know at once? Raised by any step, shown by the dashboard and by `doctor`."""

from __future__ import annotations

from sqlmodel import Session

from challenge.clock import real_now
from challenge.db import inserting
from challenge.models import Alert


def raise_alert(session: Session, code: str, words: str) -> None:
    """Tells the humans, once per code while it lasts; the dashboard and `doctor` show it. The first of a code may be raised
    by two workers in the same moment."""
    now = real_now()
    row = session.get(Alert, code)
    if row is not None:
        row.count, row.seen_at, row.text = row.count + 1, now, words
        session.add(row)
        return
    first = {"code": code, "text": words, "raised_at": now, "seen_at": now, "count": 1}
    session.execute(inserting(session, Alert).values(first).on_conflict_do_nothing())
