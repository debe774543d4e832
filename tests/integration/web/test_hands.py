"""What do hands do to the pages? Taps counted, double taps, the back button, two devices, a page left open, and
browsers without script, pictures or style: nothing breaks and nothing counts twice."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sqlmodel import col, func, select

from challenge.models import Enrollment, EnrollmentState, Event, EventKind
from challenge.rendering.links import Address, Link
from challenge.web import page as pages
from tests.integration.web.stage import Person, Stage

pytestmark = pytest.mark.browser
SMALL = {"width": 320, "height": 568}
PATIENT_MS = 500


@pytest.fixture(autouse=True)
def _quicker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the test of the trembling hand waits as long as people do."""
    if "trembling" not in request.node.name:
        monkeypatch.setattr(pages, "DOUBLE_TAP_SECONDS", PATIENT_MS / 1000 - 0.1)


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport=SMALL, has_touch=True)
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()


def count(stage: Stage, person: Person, kind: EventKind) -> int:
    with stage.database.read() as session:
        query = select(func.count()).select_from(Event).where(Event.enrollment_id == person.id, Event.kind == kind)
        return session.exec(query).one()


def enrollment(stage: Stage, person: Person) -> Enrollment:
    with stage.database.read() as session:
        return session.get_one(Enrollment, person.id)


class Hand:
    """Somebody who opens links of a mail, types and taps, and counts it."""

    def __init__(self, page: Any) -> None:
        self.page, self.fields, self.taps = page, 0, 0

    def open(self, url: str) -> None:
        self.taps += 1
        self.page.goto(url)

    def type(self, field: str, text: str) -> None:
        self.fields += 1
        self.page.fill(field, text)

    def tap(self, words: str) -> None:
        self.taps += 1
        with self.page.expect_navigation():
            self.page.tap(f"button:text-is({words!r})")

    def told(self) -> tuple[int, int]:
        """(fields, taps) since it was asked last."""
        told, self.fields, self.taps = (self.fields, self.taps), 0, 0
        return told


def test_it_takes_as_few_taps_as_can_be(stage: Stage, page: Any) -> None:
    hand, links = Hand(page), stage.service.composer.links
    page.goto(stage.url)
    hand.type("#email", "hand@example.com")
    hand.tap("Start my 5 days")
    assert hand.told() == (1, 1)
    with stage.database.read() as session:
        number = session.exec(select(Enrollment.id).order_by(col(Enrollment.id).desc()).limit(1)).one() or 0
    hand.open(links.confirm_url(Address(number, 0, "confirm")))
    hand.tap("Yes, start")
    assert (hand.told(), page.inner_text("h1")) == ((0, 2), "You are in")

    person = stage.person(2)
    to = Address(person.id, delivery_of(stage, person, "day-2"), "day-2")
    hand.open(links.tracked(Link.day, to))
    hand.tap("I did day 2")
    assert (hand.told(), count(stage, person, EventKind.completed)) == ((0, 2), 1)
    page.wait_for_timeout(PATIENT_MS)
    hand.tap("Undo")
    assert (hand.told(), count(stage, person, EventKind.undone)) == ((0, 1), 1)
    hand.open(links.tracked(Link.position, to))
    hand.tap("Show me lying down")
    assert (hand.told(), enrollment(stage, person).position) == ((0, 2), "lying")
    hand.open(links.tracked(Link.rest, to))
    hand.tap("Not today, I need rest")
    assert (hand.told(), count(stage, person, EventKind.rested)) == ((0, 2), 1)


def delivery_of(stage: Stage, person: Person, key: str) -> int:
    from challenge.models import Delivery

    with stage.database.read() as session:
        query = select(Delivery.id).where(Delivery.enrollment_id == person.id, Delivery.key == key)
        return session.exec(query).one() or 0


def test_it_shows_the_button_at_once_and_undo_as_large(stage: Stage, page: Any) -> None:
    person = stage.person(3)
    for path in ("/", person.day(3), stage.person().confirm):
        page.goto(stage.url + path)
        box = page.locator(".main:not(.second)").first.bounding_box()
        assert box["height"] >= 88
        assert box["y"] + box["height"] <= SMALL["height"], path
    page.goto(stage.url + person.day(3))
    page.evaluate("document.documentElement.style.fontSize = '225%'")
    box = page.locator("button.main").bounding_box()
    assert box["y"] + box["height"] <= SMALL["height"]
    page.goto(stage.url + person.day(3))
    did = page.locator("button.main").bounding_box()
    Hand(page).tap("I did day 3")
    undo = page.locator("button:text-is('Undo')").bounding_box()
    assert (undo["width"], undo["height"]) == (did["width"], did["height"])


def test_it_counts_a_trembling_tap_once(stage: Stage, page: Any) -> None:
    person = stage.person(2)
    page.goto(stage.url + person.day(2))
    box = page.locator("button.main").bounding_box()
    for _ in range(4):  # down and up where the finger is, whatever stands there by now
        page.touchscreen.tap(box["x"] + 40, box["y"] + 40)
        page.wait_for_timeout(120)
    page.wait_for_selector("button:text-is('Undo')")
    page.wait_for_load_state()
    assert (count(stage, person, EventKind.completed), count(stage, person, EventKind.undone)) == (1, 0)
    page.goto(stage.url + person.preferences)
    page.wait_for_timeout(2100)
    page.dblclick("button:text-is('Pause my e-mails')")
    page.wait_for_selector("button:text-is('Go on with my days')")
    assert enrollment(stage, person).state is EnrollmentState.paused


def test_it_survives_the_back_button_and_a_reload(stage: Stage, page: Any) -> None:
    person, hand = stage.person(2), Hand(page)
    page.goto(stage.url + person.day(2))
    hand.tap("I did day 2")
    page.go_back()
    if page.locator("button:text-is('I did day 2')").count():
        hand.tap("I did day 2")
    page.reload()
    assert "Day 2 is done" in page.inner_text("main")
    assert count(stage, person, EventKind.completed) == 1


def test_it_agrees_on_two_devices(stage: Stage, browser: Any) -> None:
    person = stage.person(2)
    contexts = [browser.new_context(viewport=SMALL, has_touch=True) for _ in range(2)]
    hands = [Hand(context.new_page()) for context in contexts]
    for hand in hands:
        hand.page.goto(stage.url + person.day(2))
    for hand in hands:
        hand.tap("I did day 2")
        assert "Day 2 is done" in hand.page.inner_text("[role=status]")
    hands[0].page.wait_for_timeout(PATIENT_MS)
    for hand in hands:
        hand.tap("Undo")
        assert hand.page.locator("button:text-is('I did day 2')").count() == 1
    assert (count(stage, person, EventKind.completed), count(stage, person, EventKind.undone)) == (1, 1)
    for hand in hands:
        hand.page.goto(stage.url + person.day(2))
    for hand in hands:
        hand.tap("Not today, I need rest")
    assert count(stage, person, EventKind.rested) == 1
    for context in contexts:
        context.close()


@pytest.mark.parametrize("hours", [48, 24 * 365])
def test_it_takes_a_page_that_was_left_open(
    stage: Stage, page: Any, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    person = stage.person(2)
    page.goto(stage.url + person.day(2))
    monkeypatch.setattr(pages, "time", SimpleNamespace(time=lambda: time.time() + hours * 3600))
    Hand(page).tap("I did day 2")
    assert count(stage, person, EventKind.completed) == 1


def _nothing(_route: Any) -> None:
    _route.abort()


WITHOUT: dict[str, Callable[[Any], Any]] = {
    "script": lambda browser: browser.new_context(viewport=SMALL, has_touch=True, java_script_enabled=False),
    "pictures": lambda browser: _without(browser, "**/pictures/**"),
    "style": lambda browser: _without(browser, "**/*.css"),
}


def _without(browser: Any, pattern: str) -> Any:
    context = browser.new_context(viewport=SMALL, has_touch=True)
    context.route(pattern, _nothing)
    return context


@pytest.mark.parametrize("missing", list(WITHOUT))
def test_it_works_without(stage: Stage, browser: Any, missing: str) -> None:
    person, context = stage.person(2), WITHOUT[missing](browser)
    page = context.new_page()
    page.set_default_timeout(15_000)
    hand = Hand(page)
    page.goto(stage.url)
    hand.type("#email", f"{missing}@example.com")
    hand.tap("Start my 5 days")
    page.goto(stage.url + person.day(2))
    assert "Hold for 20 seconds, 2 times each side." in page.inner_text("main")
    alts = page.eval_on_selector_all("main img", "all => all.map((one) => one.alt)") if missing == "pictures" else ["x"]
    assert all(alts)
    hand.tap("I did day 2")
    assert "Day 2 is done" in page.inner_text("[role=status]")
    page.wait_for_timeout(PATIENT_MS)
    hand.tap("Undo")
    hand.tap("I did day 1")
    page.goto(stage.url + person.day(2))
    hand.tap("Not today, I need rest")
    page.goto(stage.url + person.preferences)
    hand.tap("Save my choices")
    found = [count(stage, person, kind) for kind in (EventKind.completed, EventKind.undone, EventKind.rested)]
    assert found == [2, 1, 1]
    context.close()


def test_it_shows_where_the_keyboard_is(stage: Stage, page: Any) -> None:
    person = stage.person(3)
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/", person.day(3), person.preferences, "/exercises"):
        page.goto(stage.url + path)
        seen = 0
        for _ in range(60):
            page.keyboard.press("Tab")
            found = page.evaluate(FOCUSED)
            if found is None:
                break
            assert found["ring"], (path, found)
            assert found["clear"], (path, found)
            seen += 1
        assert seen > 5


FOCUSED = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const ringed = one.closest(".choice") || one, at = ringed.getBoundingClientRect();
  const x = at.x + at.width / 2, y = Math.min(at.y + at.height / 2, innerHeight - 1), top = document.elementFromPoint(x, y);
  const ring = getComputedStyle(ringed).boxShadow.match(/ (\\d+)px(?=,|$)/g) || [];
  return { words: one.outerHTML.slice(0, 80), ring: ring.some((px) => parseFloat(px) >= 6), clear: !!top && (ringed.contains(top) || top.contains(ringed)) };
}"""


def test_it_times_and_counts_by_the_keyboard(stage: Stage, page: Any) -> None:
    page.clock.install()
    page.goto(stage.url + stage.person(1).day(1))  # seated lean: 20 seconds, 3 times; clamshell: 3 seconds, 10 times
    long, short = page.locator(".pacer").nth(0), page.locator(".pacer").nth(1)

    def said(box: Any) -> str:
        return str(box.locator("[role=status]").inner_text())

    def wait(seconds: int) -> None:
        page.clock.run_for(seconds * 1000 + 400)

    long.locator("button").focus()
    page.keyboard.press("Enter")
    assert said(long) == "Get ready."
    wait(3)
    assert said(long) == "Hold and breathe. 1 of 3"
    wait(20)
    assert "Rest as long as you like" in said(long)
    wait(3600)  # nobody is hurried
    assert "Rest as long as you like" in said(long)
    for _ in range(2):
        page.keyboard.press("Space")
        wait(23)
    assert "All done" in said(long)
    page.keyboard.press("Enter")
    wait(5)
    page.keyboard.press("Enter")
    assert "Stopped" in said(long)
    short.locator("button").focus()
    page.keyboard.press("Enter")
    wait(3 + 10 * 3 + 9 * 5 + 10)
    assert "All done" in said(short)

    page.goto(stage.url + stage.person(3).day(3))  # side taps: counted
    box = page.locator(".pacer").nth(1)
    box.locator("button").first.focus()
    for _ in range(10):
        page.keyboard.press("Space")
    assert said(box) == "10 of 20"
    for _ in range(10):
        page.keyboard.press("Space")
    assert said(box) == "20 of 20. That is enough."
    page.keyboard.press("Space")
    assert said(box) == "21 of 20. That is enough."
    box.locator("button").last.press("Enter")
    assert said(box) == "0 of 20"


def test_it_times_both_sides_and_every_round(stage: Stage, page: Any) -> None:
    def sets_of_two(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=answer.text().replace('data-sets="1"', 'data-sets="2"'))

    def said(box: Any) -> str:
        return str(box.locator("[role=status]").inner_text())

    def go(box: Any, seconds: int) -> str:
        page.clock.run_for(2000)
        box.locator("button").press("Enter")
        page.clock.run_for(seconds * 1000 + 400)
        return said(box)

    person = stage.person(1)
    page.clock.install()
    page.goto(stage.url + person.day(1))
    with page.expect_navigation():
        page.click("button:text-is('Show me standing')")  # side lunge: 20 seconds, 2 times each side, by turns
    turns, whole = page.locator(".pacer").nth(0), page.locator(".pacer").nth(1)
    for hold in (1, 2, 3):
        assert go(turns, 23) == f"{hold} of 4. Now the other side. Rest as long as you like."
    assert go(turns, 23) == "All done. Let go slowly."
    # side lift: 2 seconds, 10 times on one side, then on the other
    assert go(whole, 3 + 10 * 2 + 9 * 5 + 9) == "10 of 20. Now the other side. Rest as long as you like."
    assert go(whole, 3) == "Hold and breathe. 11 of 20"
    page.clock.run_for(10 * 7000)
    assert said(whole) == "All done. Let go slowly."

    page.route("**/day/*", sets_of_two)
    page.goto(stage.url + person.day(1))
    turns = page.locator(".pacer").nth(0)
    for _ in range(4):
        go(turns, 23)
    assert said(turns) == "Round 1 of 2. 4 of 4. Next comes round 2 of 2. Rest as long as you like."
    assert go(turns, 3) == "Hold and breathe. Round 2 of 2. 1 of 4"
    page.clock.run_for(20_000)
    for _ in range(3):
        go(turns, 23)
    assert said(turns) == "All done. Let go slowly."

    page.goto(stage.url + stage.person(3).day(3))  # side taps, 10 each side, by turns: counted
    taps = page.locator(".pacer").nth(1)
    said_in_turn = []
    for _ in range(40):
        taps.locator("button").first.press("Enter")
        said_in_turn.append(said(taps))
    assert said_in_turn[9::10] == [
        "Round 1 of 2. 10 of 20",
        "Round 1 of 2. 20 of 20. Next comes round 2 of 2.",
        "Round 2 of 2. 10 of 20",
        "Round 2 of 2. 20 of 20. That is enough.",
    ]
    page.unroute("**/day/*")


def test_it_takes_a_second_tap_on_the_timer_for_a_trembling_hand(stage: Stage, page: Any) -> None:
    page.clock.install()
    page.goto(stage.url + stage.person(1).day(1))
    box = page.locator(".pacer").nth(0)
    go, status = box.locator("button"), box.locator("[role=status]")
    go.press("Enter")
    page.clock.run_for(1500)
    go.press("Enter")
    assert status.inner_text() == "Get ready."
    page.clock.run_for(2000)
    go.press("Enter")
    assert "Stopped" in status.inner_text()
    page.clock.run_for(1500)
    go.press("Enter")
    assert "Stopped" in status.inner_text()


def test_it_prints_a_day_and_a_certificate_on_one_page_each(stage: Stage, page: Any) -> None:
    person, finished = stage.person(3), stage.person(5, done=range(1, 6))
    sheets = [f"{person.day(day)}/sheet" for day in range(1, 6)]
    for path in [*sheets, finished.certificate]:
        page.goto(stage.url + path)
        printed = page.pdf(prefer_css_page_size=True, print_background=False)
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1, path
    page.emulate_media(media="print")
    assert page.locator("main h1").is_visible()
    assert not page.locator("button, nav, footer").locator("visible=true").count()
