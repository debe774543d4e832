"""Can people join from another site? The small script, the plain form and the link, on a host page of another origin."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import delete, select

from challenge.models import Enrollment, Visit, Visitor
from tests.integration.web.stage import Stage, served

pytestmark = pytest.mark.browser


class Host:
    """Somebody else's site: one page, with a style of its own."""

    def __init__(self) -> None:
        host = self
        self.body = ""

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                page = "<!doctype html><html lang=en><title>Clinic</title><style>body { font: 20px serif; color: #300 }</style>"
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(f"{page}<main><h1>Our clinic</h1>{host.body}</main>".encode())

            def log_message(self, *_words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join(10)
        self.server.server_close()


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "with proof of work"])
def stage(request: pytest.FixtureRequest, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder: Path = tmp_path_factory.mktemp("stage")
    with served(folder, allowed_origins=host.url, signup_proof=request.param) as stage:
        yield stage


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": 320, "height": 568}, timezone_id="Asia/Tokyo", user_agent="Mozilla/5.0 (Linux) Chrome/140.0"
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    yield page
    context.close()


def snippet(stage: Stage, number: int) -> str:
    """What the operator copies from /embed."""
    found: str = re.findall(r"<pre>(.*?)</pre>", stage.app.test_client().get("/embed").text, re.DOTALL)[number]
    for mark, sign in (("&lt;", "<"), ("&gt;", ">"), ("&#34;", '"')):
        found = found.replace(mark, sign)
    return found


def newest(stage: Stage, count: int) -> Enrollment:
    with stage.database.read() as session:
        rows = session.exec(select(Enrollment).order_by(Enrollment.id)).all()  # type: ignore[arg-type]
    assert len(rows) == count
    return rows[-1]


def joined(stage: Stage) -> int:
    with stage.database.read() as session:
        return len(session.exec(select(Enrollment.id)).all())


def test_it_joins_by_the_small_script_without_leaving_the_page(stage: Stage, host: Host, page: Any) -> None:
    host.body, before = snippet(stage, 1), joined(stage)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{host.url}/?utm_campaign=march")
    page.fill("[data-challenge] input[type=email]", "ana@example.com")
    page.click("[data-challenge] button")
    page.wait_for_function("document.querySelector('.challenge-said').textContent.includes('one e-mail')")
    assert page.url.startswith(host.url)
    row = newest(stage, before + 1)
    assert (row.form_variant, row.utm_campaign, row.referrer) == ("my-site", "march", "127.0.0.1")
    assert {url for url in asked if not url.startswith((host.url, stage.url))} == set()
    assert page.context.cookies() == []
    button = page.locator("[data-challenge] button")
    assert button.bounding_box()["height"] >= 60
    assert button.evaluate("one => getComputedStyle(one).fontFamily") == "serif"  # the host's own type
    assert page.locator("[data-challenge] a:text('Join')").count() == 0


def test_it_says_what_is_wrong_beside_the_field(stage: Stage, host: Host, page: Any) -> None:
    host.body, before = snippet(stage, 1), joined(stage)
    page.goto(host.url)
    page.fill("[data-challenge] input[type=email]", "ana@example")
    page.click("[data-challenge] button")
    page.wait_for_function("document.querySelector('.challenge-said').textContent.includes('look right')")
    assert page.evaluate("document.activeElement.type") == "email"
    assert joined(stage) == before


def test_it_keeps_a_link_when_the_script_is_blocked(stage: Stage, host: Host, page: Any) -> None:
    host.body = snippet(stage, 1)
    page.route("**/embed.js", lambda route: route.abort())
    page.goto(host.url)
    page.click("[data-challenge] a")
    page.wait_for_selector("#email")
    assert page.url == f"{stage.url}/?utm_source=my-site"


def test_it_leads_to_its_own_page_when_it_may_not_post(stage: Stage, host: Host, page: Any) -> None:
    host.body = snippet(stage, 1)
    page.goto(host.url.replace("127.0.0.1", "localhost"))  # an origin that is not on the list
    page.fill("[data-challenge] input[type=email]", "ben@example.com")
    page.click("[data-challenge] button")
    _end_on_our_page(stage, page)


def test_it_joins_by_a_plain_form(stage: Stage, host: Host, page: Any) -> None:
    host.body, before = snippet(stage, 2), joined(stage)
    page.goto(host.url)
    page.fill("#join", "cleo@example.com")
    page.click("button")
    _end_on_our_page(stage, page)
    assert newest(stage, before + 1).form_variant == "my-site"


def test_it_joins_on_our_own_page_and_takes_the_zone_along(stage: Stage, page: Any) -> None:
    before = joined(stage)
    page.goto(stage.url)
    page.fill("#email", "dora@example.com")
    page.click("button.main")
    page.wait_for_url("**/check-inbox")
    with stage.database.read() as session:
        from challenge.models import Subscriber

        row = session.get_one(Subscriber, newest(stage, before + 1).subscriber_id)
    assert row.timezone == "Asia/Tokyo"


def _end_on_our_page(stage: Stage, page: Any) -> None:
    """With a proof of work, a form without one is shown again on our page: one more press, and nothing typed twice."""
    page.wait_for_url(f"{stage.url}/**")
    if stage.settings.signup_proof:
        assert "once more" in page.inner_text("[role=alert]")
        page.click("button.main")
    page.wait_for_url("**/check-inbox")


@pytest.mark.parametrize("number", [1, 2], ids=["script", "plain form"])
def test_it_counts_who_saw_the_form_once_it_is_in_sight(stage: Stage, host: Host, page: Any, number: int) -> None:
    with stage.database.write() as session:
        session.exec(delete(Visit))
        session.exec(delete(Visitor))
    host.body = f"<div style='height: 9000px'>Much to read.</div>{snippet(stage, number)}"
    for _ in range(2):
        page.goto(f"{host.url}/?utm_campaign=march")
        page.wait_for_selector("form", state="attached")
        page.wait_for_timeout(200)
        assert (
            page.evaluate("performance.getEntriesByType('resource').filter((one) => one.name.includes('seen')).length")
            == 0
        )
        with page.expect_response("**/seen.gif*") as answer:
            page.evaluate("document.querySelector('form').scrollIntoView()")
        assert answer.value.ok
        assert "set-cookie" not in answer.value.headers
        page.wait_for_function("[...document.images].every((one) => one.complete && one.naturalWidth)")
    with stage.database.read() as session:
        row = session.exec(select(Visit)).one()
    assert (row.visitors, row.views, row.who, row.form_variant) == (1, 2, "person", "my-site")
    assert row.utm_campaign == ("march" if number == 1 else "")
    assert page.context.cookies() == []
