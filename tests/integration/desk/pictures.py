"""Takes the pictures of the dashboard for the docs: `python -m tests.integration.desk.pictures [FOLDER [PAGE…]]`.

Without pages, those of the docs; any page of `PAGES` can be asked for.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from werkzeug.serving import make_server

from challenge.access.tokens import add_token
from challenge.access.users import add_user
from challenge.clock import set_up
from challenge.db import Database
from challenge.plan import plan_due
from challenge.programme.definition import shipped
from challenge.settings import read_settings
from challenge.web import create_app
from tests.integration.desk.town import FRIDAY, VARIANTS, Town

CHROMIUM = Path("/usr/bin/chromium")
FOLDER = Path(__file__).parents[3] / "docs" / "pictures" / "dashboard"
PASSWORD = "five-mornings"
PAGES = {
    "today": "/dashboard/",
    "funnel": "/dashboard/funnel",
    "funnel-podcast": "/dashboard/funnel?source=podcast&from=2027-02-01",
    "sources": "/dashboard/sources",
    "mails": "/dashboard/mails",
    "weeks": "/dashboard/weeks",
    "experiments": "/dashboard/experiments",
    "people": "/dashboard/people",
    "person": "/dashboard/people/40",
    "mail": "/dashboard/people/40/mails/{mail}",
    "ask": "/dashboard/people/40/erase",
    "joined": "/dashboard/people/40/joined",
    "access": "/dashboard/access",
    "log": "/dashboard/log",
    "account": "/dashboard/account",
    "checks": "/dashboard/doctor",
}
IN_THE_DOCS = ("today", "funnel", "mails", "experiments", "person", "access")


@contextmanager
def served(people: int, *, trouble: bool = True) -> Iterator[tuple[str, Any]]:
    """(address, app) of a dashboard over a town; the login is mara, an owner."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "CHALLENGE_DATA_DIR": folder,
            "CHALLENGE_CLOCK_START": FRIDAY.isoformat(),
            "CHALLENGE_SIGNUP_RATE": "",
        }
        settings, challenge = read_settings(environ, None), replace(shipped(), variants=VARIANTS)
        database = Database(settings.database)
        database.migrate()
        with database.write() as session:
            set_up(session, settings)
            town = Town(session, challenge)
            town.settle(people)
            if trouble and people:
                town.trouble()
        while plan_due(database, challenge, FRIDAY):
            pass
        add_user(database, "mara", PASSWORD, role="owner")
        add_user(database, "vic", PASSWORD, role="viewer")
        with database.write() as session:
            add_token(session, "spreadsheet", by="mara")
        app = create_app(settings, challenge)
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.port}", app
        finally:
            server.shutdown()
            app.extensions["challenge"].database.close()
            database.close()


def enter(browser: Browser, address: str, *, width: int, scheme: Any = "light", name: str = "mara") -> Any:
    """A page that is logged in."""
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.goto(f"{address}/dashboard/login")
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button.main")
    page.wait_for_url("**/dashboard/")
    return page


def paths(page: Any, address: str) -> dict[str, str]:
    """Every page to look at, with the number of a mail of person 40 filled in."""
    page.goto(f"{address}/dashboard/people/40")
    mail = page.locator("table a[href*='/mails/']").first.get_attribute("href") or "/0"
    return {name: path.replace("{mail}", mail.split("/mails/")[1].split("/")[0]) for name, path in PAGES.items()}


def small(picture: bytes) -> Image.Image:
    """The picture in its 128 most frequent colours, each of them kept exactly; a page of words and bars needs no more."""
    page = Image.open(BytesIO(picture)).convert("RGB")
    counted: Any = page.getcolors(page.width * page.height)
    frequent = sorted(counted, reverse=True)[:128]
    palette = Image.new("P", (1, 1))
    palette.putpalette([part for _, colour in frequent for part in colour])
    return page.quantize(palette=palette, dither=Image.Dither.NONE)


def main(folder: Path, wanted: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with served(640) as (address, _), sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for width in (390, 1280):
                page = enter(browser, address, width=width, scheme=scheme)
                for name, path in paths(page, address).items():
                    if name in (wanted or IN_THE_DOCS):
                        page.goto(address + path)
                        small(page.screenshot(full_page=True)).save(
                            folder / f"{name}-{width}-{scheme}.png", optimize=True
                        )
                page.context.close()
        if not wanted:  # the README's
            page = enter(browser, address, width=900)
            page.set_viewport_size({"width": 900, "height": 1125})
            small(page.screenshot()).save(folder.parent / "dashboard.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else FOLDER, sys.argv[2:])
