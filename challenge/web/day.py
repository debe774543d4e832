"""What does the person do today? The page behind each day's mail, its buttons, and the same day on paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for

from challenge import participation as acts
from challenge.errors import BadInput
from challenge.events import done_days
from challenge.models import EnrollmentState
from challenge.plan import current_plan
from challenge.programme.exercises import Position
from challenge.tracking.record import record_press
from challenge.web import service
from challenge.web.page import is_double_tap, next_mail, nonce, person, preferences_path, read_day, was_shown
from challenge.web.speaking import challenge
from challenge.web.track import seen

room = Blueprint("day", __name__)


@dataclass(frozen=True)
class Said:
    """What the last button did: a word for the page, and the earlier days it was about."""

    word: str = ""
    days: tuple[int, ...] = ()


@room.get("/day/<token>")
def show(token: str) -> str:
    return _page(token, Said())


@room.post("/day/<token>/complete")
def complete(token: str) -> str:
    """The day is done; with `day` fields, the earlier days that were done without saying so."""
    enrollment_id, number = read_day(token)
    if not was_shown(token):
        return _page(token, Said())
    days = _days() or (number,)
    evidence = seen()
    with service().database.write() as session:
        for day in days:
            if acts.complete(session, enrollment_id, day, service().clock.now()):
                record_press(session, enrollment_id, day, evidence)
    return _page(token, Said("completed", tuple(day for day in days if day != number)))


@room.post("/day/<token>/undo")
def undo(token: str) -> str:
    """Takes back what the pressed button names: the days, or the rest."""
    enrollment_id, number = read_day(token)
    if not was_shown(token):
        return _page(token, Said())
    if is_double_tap(token):
        return _page(token, Said("too quick", _days()))
    days, of = _days() or (number,), request.form.get("of", "")
    undone = ""
    with service().database.write() as session:
        for day in days:
            undone = acts.undo(session, enrollment_id, day, service().challenge.length, service().clock.now(), of=of)
    return _page(token, Said("undone" if undone else ""))


@room.post("/day/<token>/rest")
def rest(token: str) -> str:
    enrollment_id, number = read_day(token)
    if not was_shown(token):
        return _page(token, Said())
    with service().database.write() as session:
        acts.rest(session, enrollment_id, number, service().challenge.length, service().clock.now())
    return _page(token, Said("rested"))


@room.post("/day/<token>/position")
def switch_position(token: str) -> str:
    """Seated, standing or lying from now on, chosen on the day's page."""
    enrollment_id, _ = read_day(token)
    if not was_shown(token):
        return _page(token, Said())
    position = request.form.get("position", "")
    if position not in list(Position):
        raise BadInput("position", "Please choose one of: %(options)s.", options=", ".join(Position))
    with service().database.write() as session:
        acts.change(session, enrollment_id, acts.Wishes(position=position), service().clock.now())
    return _page(token, Said("switched"))


@room.get("/day/<token>/complete")
@room.get("/day/<token>/undo")
@room.get("/day/<token>/rest")
@room.get("/day/<token>/position")
def pressed(token: str) -> Any:
    """The address that a pressed button leaves in the browser, opened again: to the page, and nothing is done."""
    return redirect(url_for("day.show", token=token), 303)


@room.get("/day/<token>/sheet")
def sheet(token: str) -> str:
    """The day on one page of paper."""
    enrollment_id, number = read_day(token)
    with service().database.read() as session:
        enrollment, _ = person(session, enrollment_id)
    today = challenge().day(number)
    pairs = today.exercises_for(enrollment.position, enrollment.goal or None)
    return render_template("sheet.html", day=today, pairs=pairs, token=token)


def _page(token: str, said: Said) -> str:
    enrollment_id, number = read_day(token)
    found = service()
    with found.database.read() as session:
        enrollment, subscriber = person(session, enrollment_id)
        done = done_days(session, enrollment_id)
        out = acts.opened_days(session, enrollment_id)
        known = current_plan(session, enrollment, found.challenge.length, found.clock.now())
    today = challenge().day(number)
    return render_template(
        "day.html",
        token=token,
        nonce=nonce(token),
        day=today,
        pairs=today.exercises_for(enrollment.position, enrollment.goal or None),
        done=sorted(done),
        is_done=number in done,
        is_latest=number == max(out, default=number),
        rests=bool(known.upcoming) and known.upcoming[0].mail == "rest",
        can_rest=acts.can_rest(known),
        said=said,
        earlier=[day for day in out if day < number and day not in done],
        next_words=next_mail(known, subscriber),
        position=Position(enrollment.position),
        pending=enrollment.state is EnrollmentState.pending,
        stopped=enrollment.state is EnrollmentState.stopped,
        preferences=preferences_path(enrollment_id),
        progress=[(n, n in done, n == number) for n in range(1, found.challenge.length + 1)],
    )


def _days() -> tuple[int, ...]:
    """The days that the form names. Raises BadInput for one the challenge does not have."""
    given: list[Any] = request.form.getlist("day")
    return tuple(acts.require_day(service().challenge, _whole(day)) for day in given[:366])


def _whole(day: str) -> int:
    """0, which is no day, for what is no number, or one that Python would not read."""
    return int(day) if day.isdecimal() and len(day) <= 4 else 0
