"""The start page: what went out, what is due, what needs a human, the next seven days; and the few buttons it takes."""

from __future__ import annotations

from typing import Any

from flask import abort, flash, redirect, render_template, request, url_for

from challenge import accounts, guards
from challenge.access.log import write_down
from challenge.access.roles import May
from challenge.dispatch import is_stopped, resume_sending, stop_sending
from challenge.models import Alert
from challenge.morning import morning
from challenge.stats.funnel import funnel
from challenge.web import service
from challenge.web.dashboard.door import me, needs, room

DOMAINS = 10  # recipient domains on the page; the largest first


@room.get("/")
@needs(May.read_numbers)
def today() -> str:
    found = service()
    now = found.clock.now()
    with found.database.read() as rows:
        numbers = funnel(rows, found.challenge.slug, found.challenge.length, now)
        this = morning(rows, found.challenge, found.settings, now)
        audited, is_asked = accounts.last(rows), accounts.is_asked(rows)
        watched = guards.numbers(rows, now, domains=DOMAINS)
    return render_template(
        "dashboard/today.html",
        numbers=numbers,
        this=this,
        audited=audited,
        is_asked=is_asked,
        watched=watched,
        now=now,
    )


@room.post("/audit")
@needs(May.change_people)
def ask_audit() -> Any:
    """The workers' next tick runs it; the page shows it when it is there."""
    with service().database.write() as rows:
        accounts.ask(rows)
        write_down(rows, me().name, "asked for an audit")
    flash("Asked. The workers run it now; the result stands here when it is done.")
    return redirect(url_for("dashboard.today"), 303)


@room.post("/alerts/<code>/done")
@needs(May.change_people)
def close_alert(code: str) -> Any:
    """Somebody has seen to it; it comes back when it happens again."""
    with service().database.write() as rows:
        row = rows.get(Alert, code[:64])
        if row is not None:
            write_down(rows, me().name, "closed an alert", detail=f"{row.code}: {row.text}")
            rows.delete(row)
    flash("Taken off the list. It comes back if it happens again.")
    return redirect(url_for("dashboard.today"), 303)


@room.route("/sending/<any(stop, resume):what>", methods=["GET", "POST"])
@needs(May.run_sending)
def sending(what: str) -> Any:
    """Stops all mails, or lets them leave again."""
    with service().database.read() as rows:
        stopped = is_stopped(rows)
    if request.method != "POST":
        return _ask_sending(what, stopped)
    with service().database.write() as rows:
        if what == "stop":
            stop_sending(rows, f"stopped by {me().name}")
        else:
            resume_sending(rows)
        write_down(rows, me().name, f"{'stopped' if what == 'stop' else 'resumed'} sending", detail=stopped)
    flash("No mail leaves." if what == "stop" else "Mails leave again.")
    return redirect(url_for("dashboard.today"), 303)


def _ask_sending(what: str, stopped: str) -> str:
    if what == "stop":
        heading, button = "Stop all mails?", "Stop sending"
        words = (
            "No mail leaves until an owner resumes. What is due stays due; mornings that are missed move on by a day."
        )
    elif stopped:
        heading, button = "Let mails leave again?", "Resume sending"
        words = f"It was stopped: {stopped}. Resume when that is mended; what is due goes out at once."
    else:
        abort(404)
    return render_template(
        "dashboard/confirm.html",
        heading=heading,
        words=words,
        button=button,
        back=url_for("dashboard.today"),
        danger=what == "stop",
    )
