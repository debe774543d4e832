"""Who joined, and nobody here is known by what was told of them? Counted and shown, for their money is money."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from sqlmodel import Session, col, select

from challenge.conversions import REFUND, refunds_of
from challenge.models import Conversion


@dataclass(frozen=True)
class Unknown:
    """`count` joined and were not taken back; `revenue_smallest_unit`: currency -> sum in its smallest unit (cents), less
    what was paid back."""

    count: int
    revenue_smallest_unit: dict[str, int]


def unknown(session: Session) -> Unknown:
    """Told of nobody known, or of somebody whom no address and no link led to."""
    rows = session.exec(select(Conversion).where(col(Conversion.enrollment_id).is_(None))).all()
    sums: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.currency:
            sums[row.currency] += row.amount
    backs = [row for row in rows if row.how == REFUND]
    count = sum(not refunds_of(row, backs).is_whole for row in rows if row.how != REFUND)
    return Unknown(count, {currency: amount for currency, amount in sorted(sums.items()) if amount})
