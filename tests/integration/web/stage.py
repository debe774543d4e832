"""A served app with people in every state, for the browser: the measurements and the screenshots both use it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import col, update
from werkzeug.serving import make_server

from challenge import conversion_links, signup
from challenge import participation as acts
from challenge.clock import set_up
from challenge.db import Database
from challenge.events import lock
from challenge.models import Delivery, DeliveryState, Enrollment
from challenge.plan import plan_due
from challenge.programme.definition import shipped
from challenge.rendering.links import Address, Link, Links
from challenge.settings import read_settings
from challenge.supervisor import free_port
from challenge.web import create_app

NOW = datetime(2027, 3, 5, 12, tzinfo=UTC)
CHROMIUM = Path("/usr/bin/chromium")


@dataclass(frozen=True)
class Person:
    """One participant and the paths of their pages."""

    id: int
    links: Links

    @property
    def _to(self) -> Address:
        return Address(self.id, 0, "finish")

    def day(self, number: int) -> str:
        return self.links.day_path(self._to, number)

    @property
    def confirm(self) -> str:
        return self.links.confirm_url(self._to).removeprefix(self.links.base_url)

    @property
    def preferences(self) -> str:
        return self.links.preferences_path(self._to)

    @property
    def unsubscribe(self) -> str:
        return self.links.unsubscribe_url(self._to).removeprefix(self.links.base_url)

    @property
    def certificate(self) -> str:
        return self.links.path(Link.certificate, self._to)

    @property
    def calendar(self) -> str:
        return self.links.path(Link.calendar, self._to)


class Stage:
    """The app on a port of its own. `url` is where it answers."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        given = {"signup_rate": "", "signup_min_seconds": 0, "clock_start": NOW, "base_url": self.url, **settings}
        environ = {"CHALLENGE_DATA_DIR": str(folder), "CHALLENGE_MAIL_REPLY_TO": "Help <help@challenge.example>"}
        self.settings = read_settings(environ, None, **given)
        self.database = Database(self.settings.database)
        self.database.migrate()
        with self.database.write() as session:
            set_up(session, self.settings)
        self.app = create_app(self.settings, shipped())
        self.service = self.app.extensions["challenge"]
        self.server = make_server("127.0.0.1", port, _whole(self.app), threaded=True)
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()
        self._people = 0

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join(10)
        self.server.server_close()
        self.service.database.close()
        self.database.close()

    def person(
        self, days_out: int | None = None, *, done: Sequence[int] = (), name: str = "Ana", state: str = ""
    ) -> Person:
        """Somebody who has had the mails of so many days (None: has not said yes); they came through the real steps."""
        self._people += 1
        fields = {"email": f"p{self._people}@example.com", "first_name": name, "timezone": "UTC"}
        began = NOW - timedelta(days=days_out or 0, hours=1)
        with self.database.write() as session:
            signup.register(session, signup.read(fields), shipped(), began)
            enrollment = session.exec(_newest()).one()
            number = enrollment.id or 0
            if days_out is not None:
                enrollment, subscriber = lock(session, number)
                signup.confirm(session, enrollment, subscriber, shipped(), began, source="test")
        for day in range((days_out or 0) + 1):
            plan_due(self.database, shipped(), began + timedelta(days=day, minutes=1))
            self._send(number, began + timedelta(days=day, minutes=1))
        now = self.service.clock.now()
        with self.database.write() as session:
            for day in done:
                acts.complete(session, number, day, now)
            if state == "resting":
                acts.rest(session, number, days_out or 1, shipped().length, now)
            elif state == "paused":
                acts.pause(session, number, now)
            elif state == "stopped":
                acts.unsubscribe(session, number, now, how="test")
        return Person(number, self.service.composer.links)

    def join_link(self, person: Person, *, taken_back: bool = False) -> str:
        """The path of a link by which this person says that they joined."""
        with self.database.write() as session:
            row = conversion_links.make(session, person.id, (4900, "USD"), "test")
            number = row.id or 0
            if taken_back:
                conversion_links.take_back(session, number, person.id, "test")
        return person.links.joined_url(number).removeprefix(self.url)

    def _send(self, enrollment_id: int, now: datetime) -> None:
        """What the workers would have done."""
        with self.database.write() as session:
            rows = update(Delivery).where(col(Delivery.enrollment_id) == enrollment_id, col(Delivery.due_at) <= now)
            session.exec(rows.values(state=DeliveryState.sent, closed_at=now))
            session.exec(update(Enrollment).where(col(Enrollment.id) == enrollment_id).values(plan_at=now))


def _whole(app: Any) -> Callable[..., list[bytes]]:
    """Each answer as one piece: a browser that goes away must not leave a file open."""

    def serve(environ: Any, start: Any) -> list[bytes]:
        answer = app(environ, start)
        try:
            return [b"".join(answer)]
        finally:
            answer.close()

    return serve


def _newest() -> Any:
    from sqlmodel import select

    return select(Enrollment).order_by(col(Enrollment.id).desc()).limit(1)


@dataclass(frozen=True)
class State:
    """One page in one state: where it is, and what to press there."""

    name: str
    path: str
    steps: Callable[[Any], None] = lambda _page: None


def states(stage: Stage) -> Iterator[State]:
    """Every page of the participant in every state."""
    started, finished = stage.person(3), stage.person(5, done=range(1, 6))
    late, resting = stage.person(3, done=[1]), stage.person(2, done=[1], state="resting")
    waiting, fresh = stage.person(), stage.person(0)
    yield State("landing", "/")
    yield State("landing-open", "/", lambda page: page.click("summary"))
    yield State("landing-wrong", "/", _wrong_address)
    yield State("check-inbox", "/check-inbox")
    yield State("confirm", waiting.confirm)
    yield State("confirmed", fresh.confirm)
    yield State("confirmed-stopped", stage.person(1, state="stopped").confirm)
    yield State("day", started.day(1))
    yield State("day-late", late.day(3))
    yield State("day-done", late.day(1))
    yield State("day-all-done", finished.day(5))
    yield State("day-pressed", stage.person(2).day(2), _press("I did day 2"))
    yield State("day-undone", stage.person(2, done=[2]).day(2), _press("Undo", after_ms=2100))
    yield State("day-caught-up", stage.person(3).day(3), _press("I did all of them"))
    yield State("day-resting", resting.day(2))
    yield State("day-resting-earlier", resting.day(1))
    yield State("day-standing", stage.person(2).day(2), _press("Show me standing"))
    yield State("day-lying", stage.person(2).day(2), _press("Show me lying down"))
    yield State("day-waiting", waiting.day(1))
    yield State("day-stopped", stage.person(1, state="stopped").day(1))
    yield State("sheet", started.day(1) + "/sheet")
    yield State("preferences", started.preferences)
    yield State("preferences-saved", stage.person(1).preferences, _press("Save my choices"))
    yield State("preferences-wrong", started.preferences, _wrong_name)
    yield State("preferences-paused", stage.person(2, state="paused").preferences)
    yield State("preferences-over", stage.person(1, state="stopped").preferences)
    yield State("my-data", late.preferences + "/data")
    yield State("erase", started.preferences, _press("Erase me"))
    yield State("erased", stage.person(1).preferences, _erase)
    yield State("certificate", late.certificate)
    yield State("certificate-none", fresh.certificate)
    yield State("certificate-all", finished.certificate)
    yield State("exercises", "/exercises")
    yield State("exercises-found", "/exercises?position=lying&goal=walk&symptom=&muscle=")
    yield State("exercises-none", "/exercises?position=lying&muscle=wings")
    yield State("privacy", "/privacy")
    yield State("embed", "/embed")
    yield State("unsubscribe", started.unsubscribe)
    yield State("unsubscribe-stopped", stage.person(2).unsubscribe, _press("Stop all e-mails"))
    yield State("unsubscribe-paused", stage.person(2, state="paused").unsubscribe)
    yield State("joined", stage.join_link(late))
    yield State("joined-used", stage.join_link(late), _press("Yes, I joined"))
    yield State("joined-ended", stage.join_link(late, taken_back=True))
    yield State("link-broken", "/day/abc")
    yield State("page-missing", "/nothing-here")


def _press(words: str, after_ms: int = 0) -> Callable[[Any], None]:
    def press(page: Any) -> None:
        page.wait_for_timeout(after_ms)
        with page.expect_navigation():
            page.click(f"button:text-is({words!r})")

    return press


def _wrong_address(page: Any) -> None:
    page.fill("#email", "ana")
    _press("Start my 5 days")(page)


def _wrong_name(page: Any) -> None:
    page.fill("#first_name", "www.example.com")
    _press("Save my choices")(page)


def _erase(page: Any) -> None:
    _press("Erase me")(page)
    _press("Yes, erase me", after_ms=2100)(page)


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Stage]:
    stage = Stage(folder, **settings)
    yield stage
    stage.close()
