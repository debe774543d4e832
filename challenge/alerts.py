"""What must a human know at once? Raised by any step, shown by the dashboard and by `doctor`."""

from __future__ import annotations

from sqlmodel import Session

from challenge.clock import real_now
from challenge.models import Alert


def raise_alert(session: Session, code: str, words: str) -> None:
    """Tells the humans, once per code while it lasts; the dashboard and `doctor` show it."""
    now = real_now()
    row = session.get(Alert, code)
    if row is None:
        session.add(Alert(code=code, text=words, raised_at=now, seen_at=now))
    else:
        row.count, row.seen_at, row.text = row.count + 1, now, words
        session.add(row)
