"""What do machines that read mail before people do? They follow every link of every mail, in every way seen in the
field, also with a browser that runs the scripts and waits. Nothing that counts for a person may come of it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlmodel import col, func, select

from challenge.models import Consent, Delivery, DeliveryState, Enrollment, Event, EventKind, Subscriber
from challenge.rendering.links import Address
from challenge.rendering.templates import FOLDERS, Content
from tests.integration.web.stage import Person, Stage

BROWSER_WAITS_SECONDS = 10  # as long as they wait in the field; every tab waits at once, so this is all it costs
LOOKS = (EventKind.opened, EventKind.clicked)  # written down, judged, and worth nothing for the person
_CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36"
PROFILES = {
    "no agent": {"User-Agent": ""},
    "curl": {"User-Agent": "curl/8.5.0", "Accept": "*/*"},
    "python": {"User-Agent": "python-requests/2.32", "Connection": "close"},
    "gateway": {"User-Agent": _CHROME, "Accept-Language": "en-US", "Cache-Control": "no-cache"},
    "headless": {"User-Agent": _CHROME.replace("Chrome/", "HeadlessChrome/")},
    "prefetch": {"User-Agent": _CHROME, "Sec-Purpose": "prefetch", "Purpose": "prefetch"},
    "prerender": {"User-Agent": _CHROME, "Sec-Purpose": "prefetch;prerender"},
    "old prefetch": {"User-Agent": _CHROME, "X-Moz": "prefetch", "X-Purpose": "preview"},
    "mail proxy": {"User-Agent": "Mozilla/5.0 (via ggpht.com GoogleImageProxy)"},
    "apple": {"User-Agent": "Mozilla/5.0"},
    "preview": {"User-Agent": "WhatsApp/2.24", "Range": "bytes=0-2047"},
    "robot": {"User-Agent": "Mozilla/5.0 (compatible; bingbot/2.0)", "From": "bingbot@microsoft.com"},
}


@pytest.fixture(scope="module")
def people(stage: Stage) -> list[Person]:
    """Somebody who has not said yes, and somebody in the middle."""
    return [stage.person(), stage.person(3, done=[1])]


@pytest.fixture(scope="module")
def links(stage: Stage, people: list[Person]) -> list[str]:
    """Every address in every mail there is, for each of them."""
    return sorted({url for person in people for url in _links_of(stage, person) if url.startswith(stage.url)})


def _links_of(stage: Stage, person: Person) -> Iterator[str]:
    composer = stage.service.composer
    with stage.database.read() as session:
        delivery = session.exec(select(Delivery.id).where(Delivery.enrollment_id == person.id).limit(1)).one() or 0
    for mail in sorted(path.parent.name for path in FOLDERS.glob("*/subject.txt")):
        for day, stage_of in ((1, "day"), (3, "paused")) if mail in ("day", "nudge", "already") else ((1, ""),):
            key = f"day-{day}" if mail == "day" else mail
            content = Content(mail, day=day, has_name=True, stage=stage_of)
            _, text, page = composer.templates.shown(content, "Ana", composer.links, Address(person.id, delivery, key))
            yield from re.findall(r"https?://[^\s<>\"]+", text)
            yield from map(html.unescape, re.findall(r'(?:href|src)="(http[^"]+)"', page))


def _all_that_counts(stage: Stage) -> tuple[Any, ...]:
    with stage.database.read() as session:
        events = select(Event.enrollment_id, Event.kind, func.count()).where(col(Event.kind).not_in(LOOKS))
        return (
            session.exec(events.group_by(col(Event.enrollment_id), col(Event.kind))).all(),
            [row.model_dump() for row in session.exec(select(Enrollment).order_by(col(Enrollment.id))).all()],
            [row.model_dump() for row in session.exec(select(Subscriber).order_by(col(Subscriber.id))).all()],
            session.exec(select(func.count()).select_from(Consent)).one(),
            session.exec(select(func.count()).where(Delivery.state == DeliveryState.cancelled)).one(),
        )


def test_it_gives_scanners_every_link_and_nothing_for_it(stage: Stage, links: list[str]) -> None:
    assert len(links) > 15
    before, client = _all_that_counts(stage), stage.app.test_client(use_cookies=False)
    for name, headers in PROFILES.items():
        for url in links:
            path = url.removeprefix(stage.url)
            for method in ("HEAD", "GET", "OPTIONS") if name == "gateway" else ("GET",):
                answer = client.open(path, method=method, headers=headers, buffered=True)
                assert answer.status_code < 400, (method, path, answer.status_code)
                if answer.headers.get("Location", "").startswith(stage.url):
                    client.open(
                        answer.headers["Location"].removeprefix(stage.url),
                        method=method,
                        headers=headers,
                        buffered=True,
                    )
    assert _all_that_counts(stage) == before


@pytest.mark.browser
def test_it_gives_nothing_to_a_browser_that_runs_the_scripts_and_waits(
    stage: Stage, browser: Any, links: list[str]
) -> None:
    from playwright.sync_api import Error

    before, context = _all_that_counts(stage), browser.new_context()
    for url in links:
        tab = context.new_page()
        with suppress(Error):  # a calendar is downloaded, and the programme's own site cannot be reached from here
            tab.goto(url)
        tab.mouse.wheel(0, 2000)
        tab.mouse.move(160, 200)
    context.pages[-1].wait_for_timeout(BROWSER_WAITS_SECONDS * 1000)
    assert sum(tab.url.startswith(stage.url) for tab in context.pages) > 12
    context.close()
    assert _all_that_counts(stage) == before
