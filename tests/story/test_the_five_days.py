"""The whole service over real processes: web, two workers, Valkey, SMTP, and a person at a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from challenge.supervisor import free_port
from tests.conftest import fresh_postgres

CHROMIUM = Path("/usr/bin/chromium")
DAYS = [f"day-{n}" for n in range(1, 6)]
PATIENCE_SECONDS = 150


class Running:
    """`challenge up` under a warped clock, seen from outside."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.port = free_port()
        self.web = f"http://127.0.0.1:{self.port}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CHALLENGE_")}
        self.environ = kept | {
            "CHALLENGE_DATA_DIR": str(folder / "var"),
            "CHALLENGE_PORT": str(self.port),
            "CHALLENGE_CLOCK_START": "2027-03-01T10:00:00Z",
            "CHALLENGE_CLOCK_SPEED": "17280",
            "CHALLENGE_SIGNUP_MIN_SECONDS": "0",
            **environ,
        }
        self.log = (folder / "up.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "challenge.cli", "up"],
            cwd=folder,
            env=self.environ,
            stdout=self.log,
            stderr=self.log,
        )
        self.wait(lambda: self.get("/readyz") is not None)

    def get(self, path: str) -> str | None:
        try:
            with urllib.request.urlopen(self.web + path if path.startswith("/") else path, timeout=10) as answer:
                return str(answer.read().decode())
        except (OSError, urllib.error.URLError):
            return None

    def post(self, path: str, **fields: str) -> str:
        url = self.web + path if path.startswith("/") else path
        with urllib.request.urlopen(url, urllib.parse.urlencode(fields).encode(), timeout=10) as answer:
            return str(answer.read().decode())

    def press(self, page: str, action: str) -> str:
        """Loads a page as a person does and presses its button."""
        nonce = re.search(r'name="nonce" value="([^"]+)"', self.get(page) or "")
        assert nonce is not None
        return self.post(action, nonce=nonce[1])

    def wait(self, is_so: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if found := is_so():
                return found
            assert self.process.poll() is None, self.told()
            time.sleep(0.1)
        raise AssertionError(f"waited {seconds} s in vain\n{self.told()}")

    def mail(self, to: str, key: str) -> dict[str, Any]:
        """The mail, when it has come."""

        def look() -> dict[str, Any] | None:
            query = urllib.parse.urlencode({"to": to})
            mails = json.loads(self.get(f"/inbox/api/mails?{query}") or '{"mails": []}')["mails"]
            return next((mail for mail in mails if mail["key"] == key), None)

        found: dict[str, Any] = self.wait(look)
        return found

    def keys(self, to: str) -> list[str]:
        query = urllib.parse.urlencode({"to": to})
        return [mail["key"] for mail in json.loads(self.get(f"/inbox/api/mails?{query}") or "{}")["mails"]]

    def command(self, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "challenge.cli", *words],
            env=self.environ, capture_output=True, text=True, timeout=60, input=given, check=False,
        )  # fmt: skip

    def told(self) -> str:
        self.log.flush()
        return Path(self.log.name).read_text()[-3000:]

    def stop(self) -> None:
        """Ctrl-C, and no process of ours is left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, self.told()
        self.log.close()
        assert _processes_with(self.environ["CHALLENGE_DATA_DIR"]) == []


def _processes_with(text: str) -> list[str]:
    """Command lines or environments of living processes that name our data directory."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            told = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if text.encode() in told and int(folder.name) != os.getpid():
            found.append((folder / "cmdline").read_bytes().decode(errors="replace"))
    return found


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def start(**environ: str) -> Running:
        started.append(Running(tmp_path, **environ))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def _link(mail: dict[str, Any], words: str) -> str:
    found = re.search(rf"{words}:\s+(\S+)", mail["text"])
    assert found is not None
    return found[1]


@pytest.mark.story
def test_it_brings_a_person_through_the_five_days_on_postgresql(
    running: Callable[..., Running], postgres_server: str
) -> None:
    service = running(CHALLENGE_DATABASE_URL=fresh_postgres(postgres_server))
    service.post("/signup", email="ana@example.com", first_name="Ana", timezone="Europe/Berlin")
    service.post("/signup", email="ANA@example.com", first_name="Ana", timezone="Europe/Berlin")
    confirm = _link(service.mail("ana@example.com", "confirm"), "Yes, open my page")
    service.press(confirm, confirm)
    for key in DAYS:
        link = _link(service.mail("ana@example.com", key), rf"I did {key.replace('-', ' ')}")
        with urllib.request.urlopen(link, timeout=10) as answer:
            page = answer.url
        assert "is done" in service.press(page, f"{page}/complete")
    service.mail("ana@example.com", "finish")
    assert service.keys("ana@example.com") == ["confirm", "welcome", *DAYS, "finish"]
    numbers = json.loads(service.command("stats", "--json").stdout)
    assert (numbers["signed_up"], numbers["confirmed"], numbers["finished"]) == (1, 1, 1)
    assert [day["done"] for day in numbers["days"]] == [1] * 5
    assert service.command("audit").returncode == 0
    token = service.command("token", "add", "story").stdout.strip()
    asking = urllib.request.Request(f"{service.web}/api/v1/audit", headers={"Authorization": f"Bearer {token}"})

    def audited_beside_the_tick() -> bool:
        try:
            with urllib.request.urlopen(asking, timeout=10) as answer:
                return bool(json.load(answer)["balanced"])
        except urllib.error.HTTPError:  # none was run yet
            return False

    service.wait(audited_beside_the_tick)


@pytest.mark.story
@pytest.mark.browser
def test_it_brings_a_person_through_the_five_days_in_a_browser(running: Callable[..., Running]) -> None:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    service = running()
    assert service.command("user", "add", "mara", given="long enough\n").returncode == 0
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        phone = browser.new_context(
            viewport={"width": 320, "height": 568},
            java_script_enabled=False,
            user_agent="Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Mobile",
        )
        page = phone.new_page()
        page.goto(f"{service.web}/?utm_source=podcast")
        page.fill("#email", "ana@example.com")
        page.click("button.main")
        assert "look at your e-mail" in (page.text_content("h1") or "")
        page.goto(_link(service.mail("ana@example.com", "confirm"), "Yes, open my page"))
        page.click("button.main")
        assert page.text_content("h1") == "You are in"
        for number, key in enumerate(DAYS, 1):
            mail = service.mail("ana@example.com", key)
            if number == 3:
                page.goto(f"{service.web}/inbox/{mail['id']}/html")
                assert page.evaluate("document.querySelectorAll('h1').length") == 1
            page.goto(_link(mail, f"I did day {number}"))
            box = page.locator("button.main").bounding_box()
            assert box is not None
            assert box["height"] >= 88
            assert box["y"] + box["height"] <= 568
            page.click("button.main")
            assert f"Day {number} is done" in (page.text_content("[role=status]") or "")
            if number == 2:
                page.wait_for_timeout(2100)  # sooner it would be the second tap of a trembling hand
                page.click("text=Undo")
                page.click("button.main")
        service.mail("ana@example.com", "finish")
        desk = browser.new_page()
        desk.goto(f"{service.web}/dashboard/")
        desk.fill("#name", "mara")
        desk.fill("#password", "long enough")
        desk.click("button.main")
        desk.wait_for_selector("section[aria-labelledby=days] tbody tr")
        shown = [row.split() for row in desk.locator("section[aria-labelledby=days] tbody tr").all_inner_texts()]
        browser.close()
    numbers = json.loads(service.command("stats", "--json").stdout)
    assert [[int(cells[i]) for i in (0, 1, 2, 3, 4, 5)] for cells in shown] == [
        [day["day"], day["sent"], day["opened_least"], day["opened_most"], day["clicked"], day["done"]]
        for day in numbers["days"]
    ]
    assert [(day["sent"], day["clicked"], day["done"]) for day in numbers["days"]] == [(1, 1, 1)] * 5
    assert numbers["by_source"]["podcast"] == [1, 1, 1]
    accounts = service.command("audit", "--json")
    assert accounts.returncode == 0
    assert json.loads(accounts.stdout)["balanced"]
