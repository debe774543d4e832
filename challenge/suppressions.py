"""Which addresses must not be mailed, and who decided it? The list as an operator keeps it; called by the commands.

Addresses are kept as hashes under the installation key, so the list survives erasure and a change of CHALLENGE_SECRET_KEY,
and an export of it names nobody. No sign-up and no import of people overrides it: only `remove`, which is written down.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from sqlmodel import Session, col, delete, select

from challenge.access.log import write_down
from challenge.bounced import give_up
from challenge.cells import safe
from challenge.db import Database
from challenge.errors import BadInput, UsageError
from challenge.events import address_hash, installation_key, suppress, without_addresses
from challenge.models import Subscriber, Suppression
from challenge.signup import address

COLUMNS = ("key_id", "address_hash", "reason", "evidence", "created_at")
_BATCH = 500


@dataclass
class Taken:
    """What became of the lines of a file. `problems`: (line, what to do)."""

    added: int = 0
    known: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)


def entries(session: Session) -> list[Suppression]:
    """The whole list, oldest first."""
    return list(session.exec(select(Suppression).order_by(col(Suppression.created_at), col(Suppression.id))))


def key_id(session: Session) -> str:
    """Which installation's hashes these are; it tells nothing about the key."""
    return hashlib.blake2b(installation_key(session), person=b"key id", digest_size=8).hexdigest()


def add(session: Session, text: str, reason: str, by: str, now: datetime) -> bool:
    """From now on nobody mails this address; what was on its way is taken back. False when it was known. Raises BadInput."""
    _, email_key = address(text)
    wanted = address_hash(installation_key(session), email_key)
    if _is_listed(session, wanted):
        return False
    write_down(session, by, "suppression added", detail=f"{wanted[:12]}: {without_addresses(reason)}")
    _stop(session, email_key, reason, now)
    return True


def remove(session: Session, text: str, reason: str, by: str) -> bool:
    """The explicit decision that an address (or a hash from the list) may be mailed again, with its reason in the log. It
    enrolls nobody: its owner signs up anew. False when it was not listed. Raises BadInput, UsageError."""
    if not reason.strip():
        raise UsageError("Say why with --reason: it is kept in the log.")
    wanted = text if _is_hash(text) else address_hash(installation_key(session), address(text)[1])
    found = session.exec(select(Suppression).where(Suppression.address_hash == wanted)).first()
    if found is None:
        return False
    session.exec(delete(Suppression).where(col(Suppression.id) == found.id))
    was = f"{wanted[:12]}, listed for {found.reason}: {without_addresses(reason)}"
    write_down(session, by, "suppression removed", detail=was)
    return True


def export(session: Session, out: TextIO) -> int:
    """Writes the list as CSV: hashes, reasons, dates, and whose key made the hashes. Returns how many."""
    writer, rows, key = csv.writer(out, quoting=csv.QUOTE_ALL), entries(session), key_id(session)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([key, row.address_hash, safe(row.reason), safe(row.evidence), row.created_at.isoformat()])
    return len(rows)


def import_list(database: Database, path: Path, by: str, now: datetime) -> Taken:
    """Adds the addresses of a CSV file (`email`, and `reason` if known) or an export of this installation. A bad line is
    told and does not stop the others; running it twice adds nothing twice. Raises UsageError."""
    taken, batch = Taken(), []
    for numbered in _lines(path):
        batch.append(numbered)
        if len(batch) == _BATCH:
            _take(database, batch, now, taken)
            batch = []
    _take(database, batch, now, taken)
    if taken.added:
        with database.write() as session:
            write_down(session, by, "suppressions imported", detail=f"{taken.added} of {path.name}")
    return taken


def _take(database: Database, batch: list[tuple[int, dict[str, str]]], now: datetime, taken: Taken) -> None:
    with database.write() as session:
        own, key = key_id(session), installation_key(session)
        for line, row in batch:
            try:
                email_key, wanted = _whom(row, own, key)
                if _is_listed(session, wanted):
                    taken.known += 1
                    continue
                at, reason = _when(row.get("created_at", ""), now), row.get("reason", "") or "imported"
                if email_key:
                    _stop(session, email_key, reason, at)
                else:
                    session.add(_copied(row, wanted, reason, at))
                taken.added += 1
            except BadInput as error:
                taken.problems.append((line, error.sentence))


def _copied(row: dict[str, str], wanted: str, reason: str, at: datetime) -> Suppression:
    evidence = without_addresses(row.get("evidence", ""))[:500]
    return Suppression(address_hash=wanted, reason=without_addresses(reason)[:64], evidence=evidence, created_at=at)


def _whom(row: dict[str, str], own: str, key: bytes) -> tuple[str, str]:
    """(address as compared or empty, its hash). Raises BadInput."""
    if row.get("email"):
        email_key = address(row["email"])[1]
        return email_key, address_hash(key, email_key)
    wanted = row.get("address_hash", "")
    if not _is_hash(wanted):
        raise BadInput("email", "The line has neither an address in `email` nor a hash in `address_hash`.")
    if row.get("key_id") != own:
        raise BadInput("key_id", "This hash was made by another installation and means nothing here: import addresses.")
    return "", wanted


def _stop(session: Session, email_key: str, reason: str, now: datetime) -> None:
    reason = without_addresses(reason)[:64]
    subscriber = session.exec(select(Subscriber).where(Subscriber.email_key == email_key)).first()
    if subscriber is None:
        suppress(session, email_key, reason, "", now)
    else:
        give_up(session, subscriber, reason, "", now)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if not {"email", "address_hash"} & set(reader.fieldnames or ()):
                raise UsageError(f"{path} has no column email. The first line names the columns: email, reason.")
            for row in reader:
                yield reader.line_num, {name: (row.get(name) or "").strip() for name in ("email", *COLUMNS)}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as a CSV file in UTF-8: {error}.") from error


def _is_listed(session: Session, wanted: str) -> bool:
    return session.exec(select(Suppression.id).where(Suppression.address_hash == wanted)).first() is not None


def _is_hash(text: str) -> bool:
    return len(text) == 48 and set(text) <= set("0123456789abcdef")


def _when(text: str, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(text) if text else now
    except ValueError:
        raise BadInput("created_at", "created_at must be a time like 2026-10-01T09:30:00Z.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def told(rows: Iterable[Suppression]) -> list[dict[str, str]]:
    """The list as plain words, for printing."""
    return [
        {
            "address_hash": row.address_hash,
            "reason": row.reason,
            "evidence": row.evidence,
            "created_at": row.created_at.isoformat(),
        }
        for row in rows
    ]
