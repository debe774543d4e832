"""The log: who did what, when, to whom. For owners; it only grows."""

from __future__ import annotations

from flask import render_template, request
from sqlmodel import col, select

from challenge.access.roles import May
from challenge.models import AuditEntry
from challenge.web import service
from challenge.web.dashboard.door import needs, room

_PAGE = 50


@room.get("/log")
@needs(May.read_log)
def journal() -> str:
    before, who = request.args.get("before", type=int), request.args.get("who", "")[:64]
    query = select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(_PAGE + 1)
    if before and 0 < before < 2**31:
        query = query.where(col(AuditEntry.id) < before)
    if who:
        query = query.where(AuditEntry.user == who)
    with service().database.read() as rows:
        found = rows.exec(query).all()
    return render_template("dashboard/journal.html", entries=found[:_PAGE], more=len(found) > _PAGE, who=who)
