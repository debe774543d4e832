"""What is done to a person: each deed is asked about on a page of its own, then done and logged in one transaction."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Response, abort, flash, redirect, render_template, request, url_for
from sqlmodel import col, select

from challenge.access.roles import May
from challenge.conversion_links import LASTS_DAYS, read_days
from challenge.conversions import REFUND, read_time
from challenge.deeds import Desk
from challenge.errors import BadInput
from challenge.models import Conversion, Delivery, Enrollment, Subscriber
from challenge.money import main_units, read_price
from challenge.people import joinings_of, revenue_of
from challenge.web import service
from challenge.web.dashboard.door import me, needs, room


@dataclass(frozen=True)
class _Deed:
    """What is asked, the button, and what it does; `{name}` and `{key}` are filled in."""

    heading: str
    words: str
    button: str
    do: Callable[[Desk, int], str]
    danger: bool = False
    asks_why: bool = False


_DEEDS = {
    "pause": _Deed("Pause {name}?", "No mail goes out until somebody resumes it.", "Pause", Desk.pause),
    "resume": _Deed("Resume {name}?", "The next mail comes on their next morning.", "Resume", Desk.resume),
    "suppress": _Deed(
        "Never mail {name} again?",
        "Every challenge of theirs stops now, and nothing can sign this address up again.",
        "Never mail again",
        lambda desk, number: desk.suppress(number, request.form.get("why", "").strip()[:200]),
        danger=True,
        asks_why=True,
    ),
    "erase": _Deed(
        "Erase {name}?",
        "Everything about this person goes, for ever: address, mails, events. The numbers lose one person.",
        "Erase for ever",
        Desk.erase,
        danger=True,
    ),
}


@room.route("/people/<int:number>/<any(pause, resume, suppress, erase):deed>", methods=["GET", "POST"])
@needs(May.change_people)
def change_person(number: int, deed: str) -> Any:
    """Asks, then does it."""
    asked, there = _DEEDS[deed], url_for("dashboard.person", number=number)
    if request.method != "POST":
        words = f"{asked.words} {_revenue_words(number)}".strip() if deed == "erase" else asked.words
        return _ask(number, asked.heading, words, asked.button, danger=asked.danger, asks_why=asked.asks_why)
    flash(_do(number, lambda desk: asked.do(desk, number)))
    return redirect(url_for("dashboard.people") if deed == "erase" else there, 303)


@room.route("/people/<int:number>/export", methods=["GET", "POST"])
@needs(May.change_people)
def export_person(number: int) -> Any:
    """All that is kept, as a file for the person who asked for it."""
    if request.method != "POST":
        words = "A file with all that is kept about them. Send it to nobody but them."
        return _ask(number, "Export the data of {name}?", words, "Make the file")
    data = _do(number, lambda desk: desk.export(number))
    return Response(
        json.dumps(data, indent=2, ensure_ascii=False, default=str),
        mimetype="application/json",
        headers={"Content-Disposition": f'attachment; filename="person-{number}.json"'},
    )


@room.route("/people/<int:number>/joined", methods=["GET", "POST"])
@needs(May.change_people)
def join_person(number: int) -> Any:
    """They joined the programme: note it here, or make the link by which they say so themselves."""
    if request.method != "POST":
        return _ask_joined(number)
    now = service().clock.now()
    try:
        price = read_price(request.form.get("amount", "").strip(), request.form.get("currency", ""))
        joined_at = read_time(request.form.get("joined_at", "").strip(), now)
        days = read_days(request.form.get("days", "").strip())
        form = request.form.get("form", "")[:64] or secrets.token_hex(12)
        if request.form.get("do") == "link":
            flash(_do(number, lambda desk: desk.make_link(number, price, days)))
        else:
            flash(_do(number, lambda desk: desk.join(number, price, joined_at, form)))
    except BadInput as error:
        return _ask_joined(number, error), 422
    return redirect(url_for("dashboard.person", number=number), 303)


@room.route("/people/<int:number>/links/<int:link>/back", methods=["GET", "POST"])
@needs(May.change_people)
def take_back_link(number: int, link: int) -> Any:
    """A link that was not used."""
    if request.method != "POST":
        words = "Whoever opens it is told that it was taken back. Nothing else changes."
        return _ask(number, "Take this link of {name} back?", words, "Take back")
    flash(_do(number, lambda desk: desk.take_back_link(number, link)))
    return redirect(url_for("dashboard.person", number=number), 303)


@room.route("/people/<int:number>/conversions/<int:conversion>/back", methods=["GET", "POST"])
@needs(May.change_people)
def take_back_joining(number: int, conversion: int) -> Any:
    """A conversion that was a mistake, or was paid back."""
    if request.method != "POST":
        words = (
            "All that is left of this amount goes out of the revenue, and when nothing else says that they joined, they "
            "count as not joined. The story keeps both. They are not invited again."
        )
        return _ask(number, "Take back that {name} joined?", words, "Take back", asks_why=True)
    why = request.form.get("why", "").strip()[:200]
    flash(_do(number, lambda desk: desk.take_back_joining(number, conversion, why)))
    return redirect(url_for("dashboard.person", number=number), 303)


def _revenue_words(number: int) -> str:
    with service().database.read() as rows:
        sums = revenue_of(rows, number)
    return f"They paid {sums}: that goes out of the revenue of the past as well." if sums else ""


def _ask_joined(number: int, error: BadInput | None = None) -> str:
    with service().database.read() as rows:
        enrollment = rows.get(Enrollment, number) or abort(404)
        last = rows.exec(
            select(Conversion)
            .where(Conversion.currency != "", Conversion.how != REFUND)
            .order_by(col(Conversion.id).desc())
        ).first()
        return render_template(
            "dashboard/joined.html",
            who=rows.get_one(Subscriber, enrollment.subscriber_id),
            known=[one.row for one in joinings_of(rows, [number]) if not one.is_whole],
            typed=request.form,
            error=error,
            usual=(f"{main_units(last.amount, last.currency):g}", last.currency) if last else ("", ""),
            form=request.form.get("form") or secrets.token_hex(12),
            today=service().clock.now().date(),
            lasts_days=LASTS_DAYS,
            back=url_for("dashboard.person", number=number),
            section="dashboard.people",
        )


@room.route("/people/<int:number>/mails/<int:delivery>/again", methods=["GET", "POST"])
@needs(May.change_people)
def send_again(number: int, delivery: int) -> Any:
    """One more copy of this mail."""
    with service().database.read() as rows:
        row = rows.get(Delivery, delivery)
    if row is None or row.enrollment_id != number:
        abort(404)
    if request.method != "POST":
        words = (
            "It is a mail of its own beside the daily ones, with today's words. The daily mails go on as they would."
        )
        return _ask(number, f"Send {row.key} to {{name}} again?", words, "Send one more copy")
    flash(_do(number, lambda desk: desk.send_again(number, row.key)))
    return redirect(url_for("dashboard.person", number=number), 303)


@room.route("/uncertain/<int:delivery>/<any(hold, resend):choice>", methods=["GET", "POST"])
@needs(May.change_people)
def decide_uncertain(delivery: int, choice: str) -> Any:
    """The two choices for a mail nobody can say anything about."""
    with service().database.read() as rows:
        row = rows.get(Delivery, delivery) or abort(404)
    number = row.enrollment_id
    if request.method != "POST" and choice == "hold":
        words = (
            "If it arrived, they have it once. If it did not, they miss this one mail. The next ones come as planned."
        )
        return _ask(number, f"Leave {row.key} to {{name}} as it is?", words, "Leave it")
    if request.method != "POST":
        words = "The same bytes with the same Message-ID go out once more. In the worst case they have it twice."
        return _ask(number, f"Send {row.key} to {{name}} once more?", words, "Send once more")
    flash(_do(number, lambda desk: desk.hold(delivery) if choice == "hold" else desk.send_once_more(delivery)))
    return redirect(url_for("dashboard.today"), 303)


def _do(number: int, deed: Callable[[Desk], Any]) -> Any:
    found = service()
    with found.database.write() as rows:
        if rows.get(Enrollment, number) is None:
            abort(404)
        return deed(Desk(rows, me().name, found.clock.now(), found.challenge.length))


def _ask(number: int, heading: str, words: str, button: str, *, danger: bool = False, asks_why: bool = False) -> str:
    with service().database.read() as rows:
        enrollment = rows.get(Enrollment, number) or abort(404)
        name = rows.get_one(Subscriber, enrollment.subscriber_id).email
    return render_template(
        "dashboard/confirm.html",
        heading=heading.replace("{name}", name),
        words=words,
        button=button,
        back=url_for("dashboard.person", number=number),
        danger=danger,
        asks_why=asks_why,
        section="dashboard.people",
    )
