"""Who did what? One row per deed, written by whoever does the deed, in the same transaction."""

from __future__ import annotations

from sqlmodel import Session

from challenge.clock import real_now
from challenge.models import AuditEntry

COMMAND_LINE = "command line"


def write_down(session: Session, user: str, deed: str, *, enrollment_id: int | None = None, detail: str = "") -> None:
    """Ids and words, never an address: the log outlives an erasure."""
    session.add(
        AuditEntry(at=real_now(), user=user[:64], deed=deed[:64], enrollment_id=enrollment_id, detail=detail[:500])
    )
