"""Is it one receiver that refuses us, or all of them; and for how long is a mail put off? Asked by the ledger.

What is known of earlier answers stands in `RateBudget`, in challenge time: `refused:ROW:PERSON@DOMAIN` and `put_off:ROW`,
when that began. A mail counts once, however often it is tried; what a human resumed after counts no more.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from challenge.delivery.retry import Decision, decide
from challenge.delivery.smtp import Outcome
from challenge.dispatch import REFUSED, REFUSED_COUNTS
from challenge.guards import PUT_OFF, domain_of, pause
from challenge.journey import ANSWERS, is_copy
from challenge.models import Delivery, DeliveryState, Enrollment, RateBudget, Subscriber

SEVERAL = 2
PUT_OFF_LASTS = timedelta(days=3)


def weighed(session: Session, row: Delivery, outcome: Outcome, now: datetime) -> Decision:
    """What becomes of the row, seen beside what receivers said of others and of this mail before."""
    decision = decide(outcome, row.strikes)
    if not decision.lasts:
        return decision
    enrollment = session.get_one(Enrollment, row.enrollment_id)
    domain = domain_of(session.get_one(Subscriber, enrollment.subscriber_id).email_key)
    has_no_morning = row.mail in ANSWERS or is_copy(row.key)  # any other is moved on when its morning is over
    if has_no_morning and now - _began(session, f"{PUT_OFF}{row.id}", now) >= PUT_OFF_LASTS:
        words = f"A mail ({row.key}) to {domain} was put off for three days and is given up: {decision.reason}."
        return Decision(DeliveryState.failed, decision.reason, alert=("put_off", words))
    return _refused(session, row, domain, decision, now) if decision.refuses_us else decision


def _refused(session: Session, row: Delivery, domain: str, decision: Decision, now: datetime) -> Decision:
    """Several people at several domains within an hour: everything waits for a human. Several at one: that domain is
    left alone for an hour. One: only this mail waits."""
    _began(session, f"{REFUSED}{row.id}:{row.enrollment_id}@{domain}"[:255], now)
    is_recent = col(RateBudget.free_at) > now - REFUSED_COUNTS
    scopes = session.exec(select(RateBudget.scope).where(col(RateBudget.scope).startswith(REFUSED), is_recent))
    people = {tuple(scope.rpartition(":")[2].split("@", 1)) for scope in scopes}
    domains = {where for _, where in people}
    code, words = decision.alert or ("", "")
    named = ", ".join(sorted({domain, *sorted(domains)[:5]}))
    if len(people) >= SEVERAL and len(domains) > 1:
        return replace(decision, alert=(code, f"{named}: {words}"), stop=True)
    if sum(where == domain for _, where in people) >= SEVERAL:
        pause(session, domain)
    return replace(decision, alert=(code, f"{named}: {words}"))


def _began(session: Session, scope: str, now: datetime) -> datetime:
    """When this began: now, unless it is known. The row's lock is held: nobody else asks."""
    row = session.get(RateBudget, scope)
    if row is None:
        row = RateBudget(scope=scope, free_at=now)
        session.add(row)
        session.flush()
    return row.free_at
