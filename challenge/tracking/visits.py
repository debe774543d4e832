"""Who looked at the landing page? Counted by day without a cookie: a visitor is a hash under a key that is thrown away
the day after the next, so nobody can be followed from one day to another. Machines are counted apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date

from sqlalchemy import text
from sqlmodel import Session

from challenge.clock import real_now
from challenge.tracking.classify import Context, Evidence, Sighting, Who, classify

_WORDS = (
    "challenge",
    "edition",
    "source",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "referrer",
    "form_variant",
)
MOST_WORDS = 500  # rows of a day: anybody can put anything into a link
OTHER = "other"
_IS_ONE_MORE = text(
    "SELECT (SELECT count(*) FROM visit WHERE day = :day) >= :most "
    "AND NOT EXISTS (SELECT 1 FROM visit WHERE day = :day AND who = :who AND words = :words)"
)
_NEW_VISITOR = text("INSERT INTO visitor (day, hash) VALUES (:day, :hash) ON CONFLICT DO NOTHING")
_COUNT = text(
    f"INSERT INTO visit (day, who, words, {', '.join(_WORDS)}, visitors, views) "
    f"VALUES (:day, :who, :words, {', '.join(f':{name}' for name in _WORDS)}, :new, 1) "
    "ON CONFLICT (day, who, words) DO UPDATE SET views = visit.views + 1, visitors = visit.visitors + :new"
)


def visitor_of(address: str, agent: str, key: bytes) -> str:
    """A visitor of one day: the same address and browser, under the day's key."""
    return hashlib.blake2b(f"{address}\n{agent}".encode("utf-8", "replace"), key=key[:64], digest_size=12).hexdigest()


def count_visit(
    session: Session, evidence: Evidence, visitor: str, words: Mapping[str, str], today: date, real_today: date
) -> None:
    """One sight of the page. `words`: challenge, edition, source, UTM, referrer and form variant; `today` in challenge
    time, as sign-ups are dated; `real_today` the day of the key. Beyond `MOST_WORDS` of a day, new words count as `other`."""
    kept = {name: words.get(name, "") for name in _WORDS}
    verdict = classify(Sighting("landing", real_now(), evidence), Context()).who
    who = Who.machine if verdict is Who.machine else Who.person
    session.flush()
    row = {"day": today.isoformat(), "who": who.value, "words": _digest(kept)}
    if session.connection().execute(_IS_ONE_MORE, {**row, "most": MOST_WORDS}).scalar():
        kept = dict.fromkeys(_WORDS, "") | {name: kept[name] for name in ("challenge", "edition")} | {"source": OTHER}
        row["words"] = _digest(kept)
    new = session.connection().execute(_NEW_VISITOR, {"day": real_today.isoformat(), "hash": visitor}).rowcount
    session.connection().execute(_COUNT, {**row, "new": max(new, 0), **kept})


def _digest(kept: Mapping[str, str]) -> str:
    return hashlib.blake2b("\x1f".join(kept.values()).encode(), digest_size=16).hexdigest()
