"""Takes the pictures of the mails: each at 320 and 1280 px, light and dark, into docs/pictures/mails; the day's mail also
turned around, without pictures, and in each other language there is.

python -m docs.shoot_mails            all of them
python -m docs.shoot_mails day rest   only these
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Route, sync_playwright

from challenge.programme.definition import shipped
from challenge.rendering.lint import rendered
from challenge.rendering.message import Composer
from challenge.rendering.templates import Content
from challenge.settings import Settings
from docs.shoot import SCHEMES, WIDTHS, _take
from tests.integration.web.stage import CHROMIUM

PICTURES = Path(__file__).parent / "pictures" / "mails"
SITE = "https://challenge.example"
_TURNED = "html { background-color: #fff; filter: invert(1) }"
_DONE = (1, 2)
MAILS = {
    "confirm": Content("confirm"),
    "welcome": Content("welcome", has_name=True),
    "already": Content("already", 3, done=_DONE, has_name=True, stage="day", next_on="2027-03-04"),
    "already-paused": Content("already", 3, done=_DONE, has_name=True, stage="paused"),
    "day": Content("day", 3, done=_DONE, has_name=True),
    "nudge": Content("nudge", 3, done=_DONE, pace="when_done", has_name=True),
    "rest": Content("rest", done=_DONE, has_name=True),
    "finish": Content("finish", done=(1, 2, 3, 4, 5), has_name=True),
    "invitation": Content("invitation", done=(1, 2, 3, 4, 5), has_name=True),
    "comeback": Content("comeback", done=_DONE, has_name=True),
}


def main(wanted: list[str]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    composer = Composer(
        Settings(
            secret_key="k" * 64,
            base_url=SITE,
            mail_from="Dr. Gretchen Hawley <hello@challenge.example>",
            mail_postal_address="1 Main Street, Springfield",
        ),
        shipped(),
    )
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        page.route("**/*", _picture)
        for name, content in MAILS.items():
            if wanted and name not in wanted:
                continue
            page.set_content(rendered(composer.templates, content, composer.links).page)
            for width in WIDTHS:
                for scheme in SCHEMES:
                    _take(page, PICTURES / f"{name}-{width}-{scheme}.png", width, scheme)
        if not wanted or "day" in wanted:
            _other_ways(page, composer)
        browser.close()


def _other_ways(page: Any, composer: Composer) -> None:
    day = rendered(composer.templates, MAILS["day"], composer.links).page
    page.set_content(day)
    page.add_style_tag(content=_TURNED)
    _take(page, PICTURES / "day-320-turned-around.png", 320, "light")
    page.set_content(day.replace("/pictures/", "/missing/"))
    _take(page, PICTURES / "day-320-no-pictures.png", 320, "light")
    for locale in composer.templates.languages.locales[1:]:
        content = Content("day", 3, done=_DONE, has_name=True, locale=locale)
        page.set_content(rendered(composer.templates, content, composer.links).page)
        _take(page, PICTURES / f"day-320-{locale}.png", 320, "light")


def _picture(route: Route) -> None:
    """Pictures come from the challenge's folder; nothing else is there."""
    file = shipped().folder / "pictures" / route.request.url.rpartition("/")[2]
    if "/pictures/" in route.request.url and file.is_file():
        route.fulfill(path=file)
    else:
        route.abort()


if __name__ == "__main__":
    main(sys.argv[1:])
