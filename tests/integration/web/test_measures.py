"""Do tired hands and blurred eyes get what they need? Every page in every state, measured in a real browser.

One browser and one server for all of it: axe with every rule it has, targets, gaps, reflow, reading grade.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from challenge.programme.reading import grade
from tests.integration.web.stage import Stage, State, states

pytestmark = pytest.mark.browser
WIDTHS = (320, 390, 768, 1280)
CONTRAST = ["color-contrast", "color-contrast-enhanced", "link-in-text-block"]
SPACING = """* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important }
p { margin-bottom: 2em !important } html { font-size: 225% !important }"""

# All that can be tapped, as boxes: a choice is its whole label. Returns what is too small and which two are too near.
TARGETS = """([least, gap]) => {
  const boxes = [...document.querySelectorAll("a[href], button, select, summary, .choice, input:not([type=hidden])")]
    .filter((one) => one.offsetParent && !one.closest(".trap, .skip, details:not([open]) > :not(summary)") && !(one.matches("input") && one.closest(".choice")))
    .map((one) => ({ words: one.innerText?.trim().slice(0, 40) || one.name, main: one.matches(".main"), at: one.getBoundingClientRect() }));
  const small = boxes.filter(({ at, main }) => at.height < (main ? 88 : least) - .5 || at.width < least - .5);
  const apart = (a, b) => Math.max(a.left - b.right, b.left - a.right, a.top - b.bottom, b.top - a.bottom);
  const near = boxes.flatMap((a, i) => boxes.slice(i + 1).filter((b) => apart(a.at, b.at) < gap - .5).map((b) => `${a.words} / ${b.words}: ${apart(a.at, b.at)}`));
  return { small: small.map(({ words, at }) => `${words}: ${at.width} x ${at.height}`), near, count: boxes.length };
}"""
WIDE = """() => {
  const page = document.scrollingElement;
  if (page.scrollWidth <= page.clientWidth) return [];
  return [...document.querySelectorAll("body *")].filter((one) => one.offsetParent && one.getBoundingClientRect().right > page.clientWidth + .5).map((one) => one.outerHTML.slice(0, 90));
}"""
SHAPE = """() => ({
  h1: document.querySelectorAll("h1").length, main: document.querySelectorAll("main").length,
  primary: [...document.querySelectorAll(".main:not(.second)")].filter((one) => one.offsetParent).length,
  size: parseFloat(getComputedStyle(document.body).fontSize), moving: document.getAnimations().length,
  left: [...document.querySelectorAll("main :is(h1, h2, h3, p, li, dt, dd, label, legend, button, summary)")].filter((one) => one.offsetParent && !one.querySelector("p, li")).map((one) => one.innerText.trim()),
})"""


@pytest.fixture(scope="module")
def axe() -> str:
    import axe_playwright_python

    return next(Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")).read_text()


@pytest.fixture(scope="module")
def every(stage: Stage) -> list[State]:
    return list(states(stage))


def test_it_measures_up_on_every_page_in_every_state(stage: Stage, browser: Any, axe: str, every: list[State]) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 640}, bypass_csp=True)
    page = context.new_page()
    wrong: dict[str, Any] = {}
    for state in every:
        page.set_viewport_size({"width": 320, "height": 640})
        page.goto(stage.url + state.path)
        state.steps(page)
        if found := {**_look(page), **_axe(page, axe)}:
            wrong[state.name] = found
    context.close()
    assert not wrong, json.dumps(wrong, indent=1)


def _look(page: Any) -> dict[str, Any]:
    """What a tape measure finds at each width, in light; and at 320 px with 200 % text and wide spacing."""
    found: dict[str, Any] = {}
    shape = page.evaluate(SHAPE)
    if (shape["h1"], shape["main"]) != (1, 1) or shape["primary"] > 1 or shape["size"] < 18 or shape["moving"]:
        found["shape"] = {**shape, "left": ""}
    text = " ".join(words if words.endswith((".", "?", "!", ":")) else f"{words}." for words in shape["left"] if words)
    if (said := grade(text)) > 6:
        found["grade"] = round(said, 1)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 640})
        targets, wide = page.evaluate(TARGETS, [60, 16]), page.evaluate(WIDE)
        if targets["small"] or targets["near"] or wide or not targets["count"]:
            found[f"{width} px"] = {**targets, "wide": wide[:3]}
    page.set_viewport_size({"width": 320, "height": 640})
    style = page.add_style_tag(content=SPACING)
    if wide := page.evaluate(WIDE):
        found["200 %"] = wide[:3]
    style.evaluate("style => style.remove()")
    return found


def _axe(page: Any, axe: str) -> dict[str, Any]:
    """All rules of axe in light, and contrast again in dark."""
    page.evaluate(axe)
    every_rule = "Object.fromEntries(axe.getRules().map(({ ruleId }) => [ruleId, { enabled: true }]))"
    found = _violations(page, f"{{ resultTypes: ['violations'], rules: {every_rule} }}")
    page.emulate_media(color_scheme="dark")
    found += _violations(page, f"{{ resultTypes: ['violations'], runOnly: {json.dumps(CONTRAST)} }}")
    page.emulate_media(color_scheme="light")
    return {"axe": found} if found else {}


def _violations(page: Any, options: str) -> list[str]:
    found = page.evaluate(f"axe.run(document, {options}).then(({{ violations }}) => violations)")
    return [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found]
