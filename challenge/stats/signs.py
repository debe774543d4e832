"""Who opened and clicked which mail? Marked in the blocks that `rows` makes, from groups that the database counts.

A click on a link that ends it (unsubscribe; the preferences, where it ended within the hour) is a sign that the mail was
opened, and of nothing else. A reminder of day 3 is another mail than day 3, though its events bear that number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    type_coerce,
)
from sqlalchemy import select as columns
from sqlmodel import Session, col

from challenge.db import among
from challenge.models import Delivery, Event, EventKind
from challenge.stats.blocks import SHIFT, SIZE, Block

_GROUPED = {
    (EventKind.opened.value, "person"): "opened_people",
    (EventKind.opened.value, "proxy"): "opened_proxy",
    (EventKind.clicked.value, "person"): "clicked",
}
_WAY_OUT, _PREFERENCES = "unsubscribe", "preferences"
_ENDS_WITHIN = timedelta(hours=1)
_NUMBER = col(Event.enrollment_id).bitwise_rshift(literal_column(str(SHIFT))).label("number")
_KIND = type_coerce(col(Event.kind), String).label("kind")
_LINK = case((col(Event.link).in_((_WAY_OUT, _PREFERENCES)), col(Event.link)), else_="").label("way")
_IDS = func.aggregate_strings(cast(col(Event.enrollment_id), String), ",")
_SEEN = or_(
    and_(col(Event.kind).in_((EventKind.opened, EventKind.clicked)), col(Event.who) == "person"),
    and_(col(Event.kind) == EventKind.opened, col(Event.who) == "proxy"),
)


def mark_signs(
    session: Session,
    whom: Callable[[Any], ColumnElement[bool]],
    blocks: Mapping[int, Block],
    beside: Mapping[str, Sequence[int]],
    left: Mapping[int, Sequence[datetime]],
) -> None:
    """`beside`: mails that are about a day and are not its own, by name; `left`: when who unsubscribed. Those who are in
    another challenge are in no block's people."""
    ended = _ended_by(session, left)
    names = [(among(session, Event.delivery_id, ids), literal(mail)) for mail, ids in beside.items()]
    other = case(*names, else_="") if names else literal("")
    of_days = (
        columns(_NUMBER, _KIND, col(Event.who), _LINK, col(Event.day), other.label("mail"), _IDS)
        .where(whom(Event.enrollment_id), _SEEN, col(Event.day).is_not(None))
        .group_by("number", "kind", col(Event.who), "way", col(Event.day), "mail")
    )
    of_others = (
        columns(_NUMBER, _KIND, col(Event.who), _LINK, col(Event.day), col(Delivery.mail), _IDS)
        .join(Delivery, and_(col(Delivery.id) == col(Event.delivery_id), whom(Delivery.enrollment_id)))
        .where(whom(Event.enrollment_id), _SEEN, col(Event.day).is_(None))
        .group_by("number", "kind", col(Event.who), "way", col(Event.day), col(Delivery.mail))
    )
    for query in (of_days, of_others):
        for number, kind, who, way, day, mail, found in session.connection().execute(query).all():
            people = 0
            for id in found.split(","):
                people |= 1 << (int(id) & (SIZE - 1))
            if number in blocks and (mine := people & blocks[number].get("people")):
                bits, name = blocks[number].sets["bits"], mail or str(day)
                out = mine if way == _WAY_OUT else mine & ended.get((number, name), 0) if way == _PREFERENCES else 0
                if out:
                    bits[f"way_out:{name}"] |= out
                if mine := mine ^ out:
                    bits[f"{_GROUPED[kind, who]}:{name}"] |= mine
                if mine and day and mail and kind == EventKind.clicked:
                    bits[f"reminded:{day}"] |= mine


def _ended_by(session: Session, left: Mapping[int, Sequence[datetime]]) -> dict[tuple[int, str], int]:
    """(Block, mail) -> people who went from that mail to the preferences and unsubscribed there."""
    found: dict[tuple[int, str], int] = defaultdict(int)
    if not left:
        return found
    query = (
        columns(
            col(Event.enrollment_id),
            col(Event.day),
            col(Delivery.mail),
            type_coerce(col(Event.occurred_at), DateTime),
        )
        .outerjoin(Delivery, col(Delivery.id) == col(Event.delivery_id))
        .where(
            among(session, Event.enrollment_id, list(left)),
            col(Event.kind) == EventKind.clicked,
            col(Event.link) == _PREFERENCES,
        )
    )
    for id, day, mail, at in session.connection().execute(query).all():
        if any(at <= end <= at + _ENDS_WITHIN for end in left[id]):
            found[id >> SHIFT, str(day) if mail in (None, "day") else mail] |= 1 << (id & (SIZE - 1))
    return found
