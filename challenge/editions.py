"""What did the words say when this mail went out? Each edition of the challenge that sends mails is kept once, as its
files, by the worker that sends; the desk asks when it shows a mail that was made from other words than today's.
"""

from __future__ import annotations

import io
import logging
import re
import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from challenge.clock import real_now
from challenge.db import Database
from challenge.errors import ChallengeError
from challenge.models import Edition
from challenge.programme.definition import MAIL_PARTS, Challenge, content_dir, load
from challenge.rendering.message import Composer
from challenge.settings import Settings

_PATTERNS = ("*.toml", "locales/*.po", "pictures/*.png", "pictures/*.svg", *(f"mails/*/{part}" for part in MAIL_PARTS))
log = logging.getLogger(__name__)


def keep(database: Database, challenge: Challenge) -> None:
    """Keeps the files of this edition, unless they are kept already; safe in several processes at once."""
    with database.read() as session:
        if session.exec(select(Edition.edition).where(Edition.edition == challenge.edition)).first() is not None:
            return
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in _files(content_dir(challenge)):
            archive.write(file, file.relative_to(content_dir(challenge)))
    row = Edition(edition=challenge.edition, kept_at=real_now(), files=packed.getvalue())
    with database.write() as session, suppress(IntegrityError), session.begin_nested():  # another process was first
        session.add(row)


class Editions:
    """The editions that were kept, each unpacked under the data folder and read once in a process."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        self._folder = settings.data_dir / "editions"
        self._composers: dict[str, Composer] = {}
        self._lock = threading.Lock()

    def composer(self, edition: str) -> Composer | None:
        """What made the mails of this edition; None when it was not kept, or cannot be read by this version any more."""
        if not re.fullmatch(r"[0-9a-f]{12}", edition):
            return None
        with self._lock:
            if edition not in self._composers and (found := self._read(edition)) is not None:
                self._composers[edition] = found
            return self._composers.get(edition)

    def _read(self, edition: str) -> Composer | None:
        if not (self._folder / edition).is_dir() and not self._unpack(edition):
            return None
        for file in (self._folder / edition).glob("*.toml"):
            try:
                if (challenge := load(file)).edition == edition:
                    return Composer(self._settings, challenge)
            except ChallengeError as error:
                log.warning("An old edition cannot be read.", extra={"action": "edition_unread", "why": str(error)})
        return None

    def _unpack(self, edition: str) -> bool:
        with self._database.read() as session:
            row = session.get(Edition, edition)
        if row is None:
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=self._folder, prefix="new-"))
        with zipfile.ZipFile(io.BytesIO(row.files)) as archive:
            archive.extractall(fresh)
        try:
            fresh.rename(self._folder / edition)
        except OSError:  # another process was first
            shutil.rmtree(fresh)
        return True


def _files(folder: Path) -> Iterator[Path]:
    for pattern in _PATTERNS:
        yield from sorted(folder.glob(pattern))
