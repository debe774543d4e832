"""Takes the pictures of the pages: each at 320 and 1280 px, light and dark, into docs/pictures/pages, and the README's.

python -m docs.shoot            those that are kept in the repository
python -m docs.shoot day erase  only these, by the names in tests/integration/web/stage.py
"""

from __future__ import annotations

import io
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.integration.web.stage import CHROMIUM, served, states

PICTURES = Path(__file__).parent / "pictures" / "pages"
WIDTHS = (320, 1280)
SCHEMES = ("light", "dark")
SHOWN = (
    "landing", "landing-open", "check-inbox", "confirm", "confirmed", "joined", "day", "day-done", "day-resting", "sheet",
    "preferences", "my-data", "erase", "certificate-all", "exercises-found", "privacy", "embed", "unsubscribe",
)  # fmt: skip
_COLOURS = 48


def main(wanted: list[str]) -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as stage, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page()
        for state in states(stage):
            if state.name not in (wanted or SHOWN):
                continue
            page.set_viewport_size({"width": 320, "height": 640})
            page.goto(stage.url + state.path)
            state.steps(page)
            for width in WIDTHS:
                for scheme in SCHEMES:
                    _take(page, PICTURES / f"{state.name}-{width}-{scheme}.png", width, scheme)
        if not wanted:
            page.goto(stage.url)
            _take(page, PICTURES.parent / "landing.png", 900, "light", longest=1125)
        browser.close()


def _take(page: Any, file: Path, width: int, scheme: str, longest: int = 20_000) -> None:
    page.set_viewport_size({"width": width, "height": 640 if width < 700 else 800})
    page.emulate_media(color_scheme=scheme)
    picture: Image.Image = Image.open(io.BytesIO(page.screenshot(full_page=True, animations="disabled")))
    picture = picture.crop((0, 0, picture.width, min(picture.height, longest)))
    picture.convert("RGB").quantize(_COLOURS, kmeans=3, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main(sys.argv[1:])
