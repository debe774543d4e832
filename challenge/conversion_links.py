"""A link that its person opens once, to say that they joined: for whoever sells by hand, and for a checkout that shows a
page after the payment and calls nobody. Made at the desk, by a command or by API; only the button behind it records.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from challenge.access.log import write_down
from challenge.clock import real_now
from challenge.conversions import KeyUsedTwice, Told, record_for
from challenge.errors import BadInput, UsageError
from challenge.events import lock
from challenge.models import Conversion, ConversionLink
from challenge.money import written

LASTS_DAYS, LONGEST_DAYS = 30, 3660


class Standing(StrEnum):
    """`open` waits for its button, `used` has recorded a conversion, `ended` was not used in time."""

    open = "open"
    used = "used"
    ended = "ended"


@dataclass(frozen=True)
class Link:
    """A link as a page shows it; `price` like `49.00 USD`."""

    row: ConversionLink
    standing: Standing

    @property
    def price(self) -> str:
        return written(self.row.amount, self.row.currency)


def read_days(text: object) -> int:
    """For how many days a link is good; nothing typed means a month, 0 for ever. Raises BadInput."""
    word = LASTS_DAYS if text is None or text == "" else text
    if isinstance(word, bool) or not str(word).isascii() or not str(word).strip().isdigit() or len(str(word)) > 4:
        raise BadInput("days", "days must be a whole number; 0 = for ever.")
    if (days := int(str(word))) > LONGEST_DAYS:
        raise BadInput("days", "days must be fewer: ten years are enough.")
    return days


def make(
    session: Session, enrollment_id: int, price: tuple[int, str], by: str, *, days: int = LASTS_DAYS, key: str = ""
) -> ConversionLink:
    """The link of this person at this price, logged with who made it. With the same `key` (of an order, say) it is the
    same link. Raises NotFound, and KeyUsedTwice where the key is another's."""
    lock(session, enrollment_id)
    known = session.exec(select(ConversionLink).where(ConversionLink.key == key)).first() if key else None
    if known is not None:
        if (known.enrollment_id, known.amount, known.currency) != (enrollment_id, *price):
            raise KeyUsedTwice("key", "This key was used for another link. Send a new key.")
        return known
    now = real_now()
    row = ConversionLink(
        key=key or f"link:{secrets.token_hex(12)}",
        enrollment_id=enrollment_id,
        amount=price[0],
        currency=price[1],
        made_by=by[:64],
        made_at=now,
        ends_at=now + timedelta(days=days) if days else None,
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:  # another's, in the same moment
        raise KeyUsedTwice("key", "This key was used for another link. Send a new key.") from None
    write_down(session, by, "made a join link", enrollment_id=enrollment_id, detail=f"{row.id} {written(*price)}")
    return row


def find(session: Session, number: int, real: datetime) -> Link | None:
    """The link with this number; None once it was taken back, or its person erased."""
    row = session.get(ConversionLink, number, populate_existing=True)
    return _seen(session, row, real) if row else None


def links_of(session: Session, enrollment_ids: list[int], real: datetime) -> list[Link]:
    """The links of one person's runs, the latest first."""
    query = select(ConversionLink).where(col(ConversionLink.enrollment_id).in_(enrollment_ids))
    return [_seen(session, row, real) for row in session.exec(query.order_by(col(ConversionLink.id).desc()))]


def use(session: Session, number: int, now: datetime) -> Standing:
    """Records the conversion, once. `now` is challenge time."""
    link = _locked(session, number)
    if link is None or link.standing is not Standing.open:
        return link.standing if link else Standing.ended
    row = link.row
    told = Told(key=row.key, email_key="", ref="", amount=row.amount, currency=row.currency, joined_at=None)
    record_for(session, row.enrollment_id, told, now, "link")
    return Standing.used


def take_back(session: Session, number: int, enrollment_id: int, by: str) -> None:
    """A link of this person that was not used records nothing any more. Raises UsageError."""
    link = _locked(session, number)
    if link is None or link.row.enrollment_id != enrollment_id or link.standing is Standing.used:
        raise UsageError("There is no such link that was not used.")
    write_down(session, by, "took a join link back", enrollment_id=enrollment_id, detail=f"{number} {link.price}")
    session.delete(link.row)


def _locked(session: Session, number: int) -> Link | None:
    """The link as it is once its person is locked: the second of two taps waits here, and finds it used."""
    if (link := find(session, number, real_now())) is not None:
        lock(session, link.row.enrollment_id)
    return find(session, number, real_now())


def _seen(session: Session, row: ConversionLink, real: datetime) -> Link:
    is_used = session.exec(select(Conversion.id).where(Conversion.key == row.key)).first() is not None
    if is_used:
        return Link(row, Standing.used)
    return Link(row, Standing.ended if row.ends_at and row.ends_at <= real else Standing.open)
