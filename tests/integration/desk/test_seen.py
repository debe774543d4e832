"""Every page of the desk in a real browser: axe with every rule it has, no sideways scrolling, without script, on paper.

One browser and one server for all of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.integration.desk.pictures import CHROMIUM, PASSWORD, enter, paths, served

pytestmark = pytest.mark.browser
_EVERY_RULE = """async () => {
  const rules = Object.fromEntries(axe.getRules().map(({ ruleId }) => [ruleId, { enabled: true }]));
  const found = await axe.run(document, { rules, resultTypes: ['violations'] });
  return found.violations.map(({ id, nodes }) => [id, nodes.length, nodes[0].html.slice(0, 160)]);
}"""
_CONTRAST = """async () => {
  const found = await axe.run(document, { runOnly: ['color-contrast', 'color-contrast-enhanced'] });
  return found.violations.map(({ id, nodes }) => [id, nodes.length, nodes[0].html.slice(0, 160)]);
}"""


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[str, Any]]:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    with served(60) as (address, _), sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield address, browser
        browser.close()


@pytest.fixture(scope="module")
def axe() -> str:
    import axe_playwright_python

    return next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()


def test_it_has_no_violation_on_any_page(place: tuple[str, Any], axe: str) -> None:
    address, browser = place
    problems: dict[str, Any] = {}
    page = enter(browser, address, width=1280)
    for name, path in {"login": "/dashboard/login", **paths(page, address)}.items():
        page.goto(address + path)
        problems |= violations(page, axe, name)
    page.context.close()
    viewer = enter(browser, address, width=1280, name="vic")
    viewer.goto(f"{address}/dashboard/access")
    assert viewer.get_by_role("heading", level=1).count() == 1
    problems |= violations(viewer, axe, "role refused")
    viewer.context.close()
    stranger = browser.new_context().new_page()
    stranger.goto(f"{address}/dashboard/login")
    stranger.fill("#name", "mara")
    stranger.fill("#password", "a wrong one")
    stranger.click("button.main")
    assert stranger.locator("[role=alert]").count() == 1
    problems |= violations(stranger, axe, "login error")
    stranger.context.close()
    assert not problems, json.dumps(problems, indent=1)


def violations(page: Any, axe: str, name: str) -> dict[str, Any]:
    """What every rule says in the light, and those of contrast in the dark."""
    problems: dict[str, Any] = {}
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true })")
    page.evaluate(axe)
    if found := page.evaluate(_EVERY_RULE):
        problems[f"{name} light"] = found
    page.emulate_media(color_scheme="dark")
    if found := page.evaluate(_CONTRAST):
        problems[f"{name} dark"] = found
    page.emulate_media(color_scheme="light")
    return problems


@pytest.mark.parametrize("width", [320, 390])
def test_it_never_scrolls_sideways_and_keeps_targets_large(place: tuple[str, Any], width: int) -> None:
    address, browser = place
    page = enter(browser, address, width=width)
    problems = {}
    for name, path in paths(page, address).items():
        page.goto(address + path)
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        small = page.eval_on_selector_all(
            "button, a.button, input:not([type=hidden]), select, summary, nav a",
            "all => all.filter((one) => one.offsetParent && one.getBoundingClientRect().height < 44).map((one) => one.outerHTML.slice(0, 90))",
        )
        if wide > 0 or small:
            problems[name] = (wide, small)
    page.context.close()
    assert not problems, json.dumps(problems, indent=1)


def test_it_works_without_script_and_by_keyboard(place: tuple[str, Any]) -> None:
    address, browser = place
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(f"{address}/dashboard/funnel")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("mara")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/dashboard/funnel")
    page.locator("summary").first.focus()
    page.keyboard.press("Enter")
    page.locator("#f-source").select_option("podcast")
    page.locator("#f-source").press("Tab")
    page.get_by_role("button", name="Show").press("Enter")
    page.wait_for_url("**source=podcast**")
    assert page.locator("section[aria-labelledby=way] tbody tr").count() == 10
    page.get_by_role("link", name="Source: podcast").press("Enter")
    page.wait_for_url("**/dashboard/funnel")
    page.context.close()


def test_it_keeps_its_numbers_fresh_by_itself(place: tuple[str, Any]) -> None:
    address, browser = place
    page = enter(browser, address, width=1280)
    page.clock.install()
    page.goto(f"{address}/dashboard/")
    page.evaluate("document.querySelector('#headline .n').textContent = 'old'")
    page.clock.run_for(11_000)
    expect(page.locator("#headline .n").first).to_contain_text("%")
    page.context.close()


def test_it_prints_on_a4(place: tuple[str, Any]) -> None:
    address, browser = place
    page = enter(browser, address, width=1280)
    page.goto(f"{address}/dashboard/funnel")
    page.emulate_media(media="print")
    assert not page.locator(".bar nav").is_visible()
    assert page.locator("section[aria-labelledby=way] table").is_visible()
    paper = page.pdf(format="A4")
    assert paper.startswith(b"%PDF")
    assert paper.count(b"/Type /Page\n") <= 3
    page.set_viewport_size({"width": 688, "height": 1000})  # A4 without its margins, at 96 dots an inch
    wide = page.evaluate(
        "Math.max(...[...document.querySelectorAll('table')].map((one) => one.getBoundingClientRect().right))"
    )
    assert wide <= 688
    page.context.close()
