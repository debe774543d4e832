"""One mail came back: whose is it, is it genuine, and what follows? Called by `challenge inbound receive`, once per mail.

A report is genuine when it carries a mark of ours: the VERP address it was sent to, our Message-ID or our unsubscribe link
in what was returned. Without one it is written down and changes nothing. A mail to the List-Unsubscribe address stops, one to
`done+…` marks the day done; neither from a machine. Anything else is a person's, and nobody here answers it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from sqlmodel import Session, select

from challenge import participation
from challenge.db import Database
from challenge.errors import NotFound
from challenge.guards import BY_MAIL
from challenge.inbound.effects import take
from challenge.inbound.marks import Mark, find_mark
from challenge.inbound.mime import Part, read
from challenge.inbound.parse import own_text, parse
from challenge.inbound.replying import is_answer
from challenge.inbound.report import Hardness, Reason, Report, ReportKind
from challenge.journey import day_of
from challenge.models import Delivery
from challenge.tokens import Tokens

_SENT_TO = ("delivered-to", "x-original-to", "envelope-to", "x-envelope-to", "x-delivered-to", "to", "cc")
_DEEPEST = 3
_STOP = re.compile(
    r"(?i)\W*(?:re|aw|sv|antw)?\W*(?:please )?(?:unsubscribe(?: me| request)?|stop|remove(?: me)?|opt[- ]?out|abmelden|abbestellen|désabonner"
    r"|desinscrire|cancelar suscripci[oó]n|darse de baja|baja|cancella(?:mi)?|disiscrizione|afmelden|avregistrera)\W*"
)
log = logging.getLogger(__name__)


class Exit(IntEnum):
    """What the mail server is told (sysexits.h): done with it, nobody here reads it, or try again later."""

    taken = 0
    for_a_person = 67
    later = 75


@dataclass(frozen=True)
class Outcome:
    """`exit` for the mail server, `said` for its log and, where it refuses, for the person who wrote."""

    exit: Exit
    said: str


def receive(
    database: Database, tokens: Tokens, data: bytes, recipients: Sequence[str], now: datetime, reply_to: str
) -> Outcome:
    """What follows from one mail. `recipients`: the envelope's, where the server tells them; `now`: challenge time."""
    mail = read(data)
    sent_to = " ".join([*recipients, *(value for name in _SENT_TO for value in mail.all(name))])
    if reports := parse(data):
        return _take(database, reports, _mark(tokens, sent_to, mail, data), now)
    mark = find_mark(sent_to, tokens)
    if mark and _is_from_a_machine(mail):
        silent = Report("", ReportKind.other, Reason.unknown, Hardness.none, evidence=mail.get("subject")[:500])
        return _take(database, [silent], mark, now)
    if mark and _wants_to_stop(mail):
        return _stop(database, mark, now)
    if mark and re.search(rf"(?i)\bdone\+b{mark.delivery_id}-", sent_to):
        return _done(database, mark, now)
    return Outcome(Exit.for_a_person, f"Nobody reads mail to this address. Please write to {reply_to}.")


def _take(database: Database, reports: list[Report], mark: Mark | None, now: datetime) -> Outcome:
    effects = []
    with database.write() as session:
        delivery_id = _delivery_id(session, mark)
        for report in reports:
            effects.append(
                take(
                    session,
                    report,
                    now,
                    delivery_id=delivery_id,
                    enrollment_id=mark.enrollment_id if mark else None,
                    authenticated_by=mark.by if mark else "",
                    source=BY_MAIL,
                )
            )
    said = ", ".join(
        f"{report.kind} ({report.reason}): {effect}" for report, effect in zip(reports, effects, strict=True)
    )
    return Outcome(Exit.taken, said)


def _delivery_id(session: Session, mark: Mark | None) -> int | None:
    """A Message-ID names the enrollment and the mail's key; the row follows from them."""
    if mark is None or mark.delivery_id is not None or mark.enrollment_id is None:
        return mark.delivery_id if mark else None
    query = select(Delivery.id).where(Delivery.enrollment_id == mark.enrollment_id, Delivery.key == mark.key)
    return session.exec(query).first()


def _stop(database: Database, mark: Mark, now: datetime) -> Outcome:
    with database.write() as session:
        delivery = session.get(Delivery, mark.delivery_id)
        try:
            if delivery is not None:
                participation.unsubscribe(session, delivery.enrollment_id, now, how="mailto", delivery=delivery)
        except NotFound:
            delivery = None
    return Outcome(Exit.taken, "unsubscribed" if delivery else "unsubscribed: was erased already")


def _done(database: Database, mark: Mark, now: datetime) -> Outcome:
    with database.write() as session:
        delivery = session.get(Delivery, mark.delivery_id)
        day = day_of(delivery.key) if delivery else None
        if delivery is None or day is None:
            return Outcome(Exit.taken, "nothing to mark as done: that mail was of no day, or its person was erased")
        is_new = participation.complete(session, delivery.enrollment_id, day, now, reasons="by mail")
    return Outcome(Exit.taken, f"day {day} {'is done' if is_new else 'was done already'}")


def _wants_to_stop(mail: Part) -> bool:
    """The subject our List-Unsubscribe header asks for, or "stop" as the first thing that was written."""
    if _STOP.fullmatch(mail.get("subject").strip()[:200]):
        return True
    lines = (line.strip() for line in own_text(mail)[:4000].splitlines())
    return bool(_STOP.fullmatch(next((line for line in lines if line), "")[:200]))


def _is_from_a_machine(mail: Part) -> bool:
    """Also what the parser calls ordinary: nothing that a machine sent may stand for a person's wish (RFC 3834)."""
    automatic = mail.get("auto-submitted").strip().lower()
    return is_answer(mail) or automatic not in ("", "no") or mail.get("return-path").strip() == "<>"


def _mark(tokens: Tokens, sent_to: str, mail: Part, data: bytes) -> Mark | None:
    """The first mark of ours: where the mail was sent to, then anywhere in it, read as its encodings mean it."""
    for text in (sent_to, data.decode("latin-1"), "\n".join(_readings(mail, _DEEPEST))):
        if mark := find_mark(text, tokens):
            return mark
    return None


def _readings(mail: Part, deep: int) -> Iterator[str]:
    for part in mail.walk():
        yield "\n".join(value for _, value in part.fields)
        if part.kind.startswith(("message/rfc822", "message/global", "text/rfc822", "message/partial")) and deep:
            yield from _readings(read(part.decoded()), deep - 1)
        elif not part.children and part.kind.startswith(("text/", "message/")):
            yield part.text()
