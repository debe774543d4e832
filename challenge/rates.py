"""How many mails may leave now? The rates over all and to each recipient domain, and the domains that are left alone.

They hold across workers: what is given out stands in `RateBudget`, in real time, and its row is locked meanwhile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from challenge.clock import real_now
from challenge.db import among, inserting
from challenge.models import RateBudget

PAUSED = "pause:"
_ALL = "all"


def take(session: Session, rate: float, limit: int) -> int:
    """How many of `limit` mails may go now at `rate` mails a second (0: all); they are given out."""
    return _give_out(session, _ALL, rate, limit)[0] if rate else limit


def give_back(session: Session, rate: float, count: int) -> None:
    """So many of what was taken did not go."""
    if rate and count:
        row = _budget(session, _ALL, _window(rate))
        row.free_at -= timedelta(seconds=count / rate)
        session.add(row)


def domain_waits(session: Session, domains: Sequence[str], rate: float) -> list[timedelta]:
    """For each mail, by its recipient's domain, how long (real time) it must wait at `rate` mails a second to a domain;
    what need not wait is given out."""
    now, given = real_now(), {}
    counts = Counter(domains)
    for domain in sorted(counts):  # locked in one order by all
        given[domain] = _give_out(session, f"@{domain}", rate, counts[domain])
    waits, seen = [], Counter[str]()
    for domain in domains:
        allowed, free_at = given[domain]
        seen[domain] += 1
        behind = timedelta(seconds=(seen[domain] - allowed) / rate)
        waits.append(free_at - _window(rate) - now + behind if seen[domain] > allowed else timedelta())
    return waits


def paused_domains(session: Session, domains: Iterable[str]) -> dict[str, timedelta]:
    """For each recipient domain that the guards hold back, how long (real time) it must wait."""
    now, scopes = real_now(), [f"{PAUSED}{domain}" for domain in set(domains)]
    held = select(RateBudget).where(among(session, col(RateBudget.scope), scopes), col(RateBudget.free_at) > now)
    return {row.scope.removeprefix(PAUSED): row.free_at - now for row in session.exec(held)}


def _give_out(session: Session, scope: str, rate: float, wanted: int) -> tuple[int, datetime]:
    """How many of `wanted` go, and until when all is given out then."""
    now, window = real_now(), _window(rate)
    row = _budget(session, scope, window)
    free_at = max(row.free_at, now)
    allowed = max(0, min(wanted, int((now + window - free_at).total_seconds() * rate + 1e-3)))
    if allowed:
        row.free_at = free_at + timedelta(seconds=allowed / rate)
        session.add(row)
    return allowed, max(row.free_at, now)


def _budget(session: Session, scope: str, longest: timedelta) -> RateBudget:
    """The scope's row, locked. Two workers may make it in the same moment. Nothing is given out further ahead than
    `longest`: what lies beyond was written under a clock that has been set back since."""
    now = real_now()
    row = session.get(RateBudget, scope, with_for_update=True)
    if row is None:
        session.execute(inserting(session, RateBudget).values(scope=scope, free_at=now).on_conflict_do_nothing())
        row = session.get_one(RateBudget, scope, with_for_update=True)
    row.free_at = min(row.free_at, now + longest)
    return row


def _window(rate: float) -> timedelta:
    """What may be given out ahead: a second's worth, or one mail where that takes longer."""
    return timedelta(seconds=max(1.0, 1 / rate))
