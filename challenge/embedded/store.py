"""Which mails did the built-in inbox receive? A small SQLite file, written by `inbox`, read by the /inbox pages."""

from __future__ import annotations

import base64
import email
import email.policy
import re
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from html import unescape
from pathlib import Path

KEPT = 20_000
_DATE = re.compile(rb"(?im)^date:[ \t]*(.+?)\r?$")
LARGEST_ID = 2**63 - 1  # what SQLite can hold; a larger number in an address finds nothing
_COLUMNS = "id, sender, recipient, received_at, subject, mail_key, raw"


@dataclass(frozen=True)
class StoredMail:
    """One mail as it came over the wire. `received_at`: Unix seconds, real time; `key`: its X-Challenge-Mail."""

    id: int
    sender: str
    recipient: str
    received_at: float
    subject: str
    key: str
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        return email.message_from_bytes(self.raw, policy=email.policy.default)

    @property
    def written_at(self) -> str:
        """Its date as the person reads it, in the time of the trial: under a warped clock that is what counts."""
        found = _DATE.search(self.raw.partition(b"\r\n\r\n")[0])
        with suppress(ValueError):
            return (
                f"{parsedate_to_datetime(found[1].decode('ascii', 'replace')):%a %-d %b %Y, %H:%M %Z}" if found else ""
            )
        return ""

    @property
    def text(self) -> str:
        return _part(self.message, "plain")

    @property
    def html(self) -> str:
        return _part(self.message, "html")

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(name, _readable(str(value))) for name, value in self.message.raw_items()]

    @property
    def source(self) -> str:
        return self.raw.decode("utf-8", "replace")

    @property
    def links(self) -> list[str]:
        """Each once: those of the text part, then those only the HTML part has."""
        anchors = re.findall(r"""<a\s[^>]*?href\s*=\s*["'](https?://[^"']+)""", self.html, re.IGNORECASE)
        return list(dict.fromkeys(re.findall(r"https?://[^\s<>\"]+", self.text) + [unescape(link) for link in anchors]))

    @property
    def pictures(self) -> dict[str, str]:
        """Content-ID -> data: address of the pictures that travel inside the mail."""
        return {
            str(part["Content-ID"]).strip(" <>"): f"data:{part.get_content_type()};base64,{_base64(part)}"
            for part in self.message.walk()
            if part.get_content_maintype() == "image" and part["Content-ID"]
        }


class Inbox:
    """The mails of one data directory; keeps the newest 20,000."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        self._connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;"
            "CREATE TABLE IF NOT EXISTS mail (id INTEGER PRIMARY KEY AUTOINCREMENT, sender TEXT, recipient TEXT,"
            " received_at REAL, subject TEXT, mail_key TEXT, raw BLOB);"
            "CREATE INDEX IF NOT EXISTS mail_person ON mail (recipient COLLATE NOCASE, id);"
        )

    def add(self, sender: str, recipient: str, raw: bytes) -> int:
        """Keeps one mail; returns its number."""
        message = email.message_from_bytes(raw.split(b"\r\n\r\n", 1)[0] + b"\r\n\r\n", policy=email.policy.default)
        values = (
            sender,
            recipient,
            time.time(),
            str(message["Subject"] or ""),
            str(message["X-Challenge-Mail"] or ""),
            raw,
        )
        with self._lock:
            number = (
                self._connection.execute(
                    "INSERT INTO mail (sender, recipient, received_at, subject, mail_key, raw) VALUES (?,?,?,?,?,?)",
                    values,
                ).lastrowid
                or 0
            )
            if number % 500 == 0:
                self._connection.execute("DELETE FROM mail WHERE id <= ?", (number - KEPT,))
        return number

    def newest(self, search: str = "", limit: int = 50, before_id: int = 0, recipient: str = "") -> list[StoredMail]:
        """Newest first."""
        where = ["1"]
        values: list[object] = []
        if search:
            like = "%" + search.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_") + "%"
            where.append(r"(recipient LIKE ? ESCAPE '\' OR subject LIKE ? ESCAPE '\' OR mail_key LIKE ? ESCAPE '\')")
            values += [like, like, like]
        if before_id:
            where.append("id < ?")
            values.append(_held(before_id))
        if recipient:
            where.append("recipient = ? COLLATE NOCASE")
            values.append(recipient)
        return self._rows(f"WHERE {' AND '.join(where)} ORDER BY id DESC LIMIT ?", [*values, limit])

    def get(self, number: int) -> StoredMail | None:
        return next(iter(self._rows("WHERE id = ?", [_held(number)])), None)

    def neighbours(self, mail: StoredMail) -> tuple[int | None, int | None]:
        """The numbers of the mails before and after this one to the same person."""
        same = "FROM mail WHERE recipient = ? COLLATE NOCASE AND id"
        with self._lock:
            before, after = self._connection.execute(
                f"SELECT (SELECT max(id) {same} < ?), (SELECT min(id) {same} > ?)",
                (mail.recipient, mail.id, mail.recipient, mail.id),
            ).fetchone()
        return before, after

    def mails_for(self, address: str, since_id: int = 0) -> Sequence[StoredMail]:
        """Oldest first, after `since_id`."""
        return self._rows("WHERE recipient = ? COLLATE NOCASE AND id > ? ORDER BY id", [address, _held(since_id)])

    def since(self, since_id: int, limit: int = 1000) -> Sequence[StoredMail]:
        """All mails after `since_id`, oldest first."""
        return self._rows("WHERE id > ? ORDER BY id LIMIT ?", [_held(since_id), limit])

    def count(self) -> int:
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM mail").fetchone()[0])

    def close(self) -> None:
        self._connection.close()

    def _rows(self, tail: str, values: Sequence[object]) -> list[StoredMail]:
        with self._lock:
            found = self._connection.execute(f"SELECT {_COLUMNS} FROM mail {tail}", values).fetchall()
        return [StoredMail(*row) for row in found]


def _held(number: int) -> int:
    return max(0, min(number, LARGEST_ID))


def _readable(value: str) -> str:
    """A header as a person reads it; what no rule can decode is shown as it came."""
    plain = re.sub(r"\r?\n", "", value).encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    try:
        return str(make_header(decode_header(plain)))
    except (HeaderParseError, LookupError, ValueError):
        return plain


def _base64(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    return base64.b64encode(payload if isinstance(payload, bytes) else b"").decode("ascii")


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body(preferencelist=(kind,))
    if part is None:
        return ""
    try:
        return str(part.get_content())
    except (LookupError, ValueError):
        return "(this part cannot be shown)"
