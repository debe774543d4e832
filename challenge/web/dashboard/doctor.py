"""Is this installation fit to send? What `challenge doctor` prints, as a page; it looks when it is asked to."""

from __future__ import annotations

from flask import render_template, request

from challenge.access.roles import May
from challenge.doctor.examine import examine
from challenge.doctor.resolving import Dns
from challenge.web import service
from challenge.web.dashboard.door import needs, room

_PATIENCE_SECONDS = 5.0


@room.get("/doctor")
@needs(May.run_sending)
def doctor() -> str:
    """Nothing changes: a look asks the DNS, the relay and the database, which takes some seconds."""
    found = None
    if request.args.get("look"):
        known = service()
        found = examine(
            known.settings, known.challenge, known.database, Dns(_PATIENCE_SECONDS), seconds=_PATIENCE_SECONDS
        )
    return render_template("dashboard/doctor.html", found=found)
