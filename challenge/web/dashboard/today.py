"""The start page: what needs a human, and where people are."""

from __future__ import annotations

from flask import render_template
from sqlmodel import col, select

from challenge.access.roles import May
from challenge.audit import audit
from challenge.dispatch import is_stopped, needs_review
from challenge.models import Alert
from challenge.stats.funnel import funnel
from challenge.web import service
from challenge.web.dashboard.door import needs, room


@room.get("/")
@needs(May.read_numbers)
def today() -> str:
    found = service()
    now = found.clock.now()
    with found.database.read() as rows:
        numbers = funnel(rows, found.challenge.slug, found.challenge.length, now)
        accounts = audit(rows, found.challenge, found.settings, now)
        alerts = rows.exec(select(Alert).order_by(col(Alert.seen_at).desc())).all()
        stopped = is_stopped(rows)
    return render_template(
        "dashboard/today.html",
        numbers=numbers,
        accounts=accounts,
        alerts=alerts,
        stopped=stopped,
        now=now,
        unreviewed=not found.challenge.reviewed_by,
        blocked=needs_review(found.challenge, found.settings),
    )
