"""A link by which one person says once that they joined: its button records, looking does not, and somebody made it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlmodel import select

from challenge import conversion_links as links
from challenge.access.tokens import Scope, add_token
from challenge.cli import cli
from challenge.clock import real_now, set_up
from challenge.conversions import KeyUsedTwice
from challenge.db import Database
from challenge.errors import UsageError
from challenge.models import AuditEntry, Conversion, ConversionLink, Event, EventKind
from challenge.participation import erase, my_data
from challenge.programme.definition import shipped
from challenge.settings import read_settings
from challenge.web import create_app
from tests.integration.stats.conftest import MONDAY, Town

NOW = MONDAY + timedelta(days=10)
PRICE = (4900, "USD")


@pytest.fixture
def town(database: Database) -> Town:
    return Town(database)


@pytest.fixture
def site(town: Town, tmp_path: Path) -> Iterator[Any]:
    url = town.database.engine.url.render_as_string(hide_password=False)
    environ = {
        "CHALLENGE_DATABASE_URL": url,
        "CHALLENGE_DATA_DIR": str(tmp_path),
        "CHALLENGE_CLOCK_START": NOW.isoformat(),
    }
    settings = read_settings(environ, None)
    with town.database.write() as session:
        set_up(session, settings)
    app = create_app(settings, shipped())
    yield app
    app.extensions["challenge"].database.close()


def made(town: Town, site: Any, number: int, **more: Any) -> str:
    with town.database.write() as session:
        row = links.make(session, number, PRICE, "mara", **more)
        url: str = site.extensions["challenge"].composer.links.joined_url(row.id)
    return "/" + url.split("/", 3)[3]


def press(client: Any, path: str) -> str:
    page = client.get(path).text
    found = re.search(r'name="nonce" value="([^"]+)"', page)
    answer = client.post(path, data={"nonce": found[1] if found else ""})
    assert answer.status_code == 200
    return str(answer.text)


def count(town: Town, table: Any) -> int:
    with town.database.read() as session:
        return len(session.exec(select(table)).all())


def test_looking_records_nothing_and_the_button_once(town: Town, site: Any) -> None:
    number = town.person(source="podcast", sent={1: 20})
    path, client = made(town, site, number), site.test_client()
    for _ in range(3):
        page = client.get(path)
        client.head(path)
        client.post(path)  # a filter that also posts has not seen the page
    assert "Did you join The MSing Link?" in page.text
    assert "$49.00" in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert count(town, Conversion) == count(town, Event) == 0
    for _ in range(3):
        assert "We have noted" in press(client, path)
    with town.database.read() as session:
        row = session.exec(select(Conversion)).one()
        event = session.exec(select(Event).where(Event.kind == EventKind.joined)).one()
        assert (row.enrollment_id, row.amount, row.currency, row.how) == (number, 4900, "USD", "link")
        assert (event.enrollment_id, event.detail["how"]) == (number, "link")
        assert [row.deed for row in session.exec(select(AuditEntry))] == ["made a join link"]
        assert session.exec(select(AuditEntry.user)).one() == "mara"
        (challenge,) = my_data(session, 1)["challenges"]
        assert [row["amount"] for row in challenge["joined"] + challenge["join_links"]] == [4900, 4900]
    assert "Did you join" not in client.get(path).text
    assert client.get(path[:-3] + "AAA").status_code == 404


def test_eight_taps_at_once_are_one(town: Town, site: Any) -> None:
    path = made(town, site, town.person())
    hands = [threading.Thread(target=lambda: press(site.test_client(), path)) for _ in range(8)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join(30)
    assert count(town, Conversion) == count(town, Event) == 1


def test_a_link_ends_is_taken_back_and_goes_with_its_person(town: Town, site: Any) -> None:
    number, client = town.person(), site.test_client()
    path = made(town, site, number, days=1)
    back, gone = made(town, site, number), made(town, site, number)
    with town.database.write() as session:
        first, second, _ = session.exec(select(ConversionLink).order_by(ConversionLink.id)).all()  # type: ignore[arg-type]
        first.ends_at = real_now() - timedelta(seconds=1)
        session.add(first)
        links.take_back(session, second.id or 0, number, "mara")
    for ended in (path, back):
        assert "has ended" in press(client, ended)
    with town.database.write() as session:
        erase(session, 1)
    assert "has ended" in press(client, gone)
    assert count(town, Conversion) == count(town, ConversionLink) == 0


def test_a_used_link_and_another_persons_cannot_be_taken_back(town: Town, site: Any) -> None:
    one, other = town.person(), town.person()
    press(site.test_client(), made(town, site, one))
    made(town, site, other)
    with town.database.write() as session:
        for number in (1, 2):
            with pytest.raises(UsageError):
                links.take_back(session, number, one, "mara")


def test_a_checkout_makes_the_link_of_its_order(town: Town, site: Any) -> None:
    town.person(), town.person()
    with town.database.write() as session:
        tokens = {scope: add_token(session, scope, scope) for scope in Scope}
    client = site.test_client()

    def post(scope: str = Scope.conversions, **fields: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {tokens[Scope(scope)]}"} if scope else {}
        answer = client.post("/api/v1/conversions/links", json=fields, headers=headers)
        return answer.status_code, answer.json

    order: dict[str, Any] = {"key": "order-1", "email": "Person1@example.com", "amount": "49.00", "currency": "USD"}
    status, told = post(**order)
    assert (status, told["url"].startswith("http")) == (201, True)
    assert post(**order) == (201, told)
    assert post(**order | {"amount": 50})[0] == 409
    assert post(**order | {"email": "person2@example.com"})[0] == 409
    assert post(email="stranger@example.com")[0] == 404
    assert post(email="person2@example.com", days=-1)[0] == post(email="person2@example.com", days=9999)[0] == 422
    assert post(email="person2@example.com", days=0)[1]["ends_at"] is None
    assert (post(Scope.read, **order)[0], post("", **order)[0]) == (403, 401)
    press(client, "/" + told["url"].split("/", 3)[3])
    headers = {"Authorization": f"Bearer {tokens[Scope.conversions]}"}
    assert client.post("/api/v1/conversions", json=order, headers=headers).status_code == 409  # counted by the link
    assert count(town, Conversion) == 1
    with town.database.read() as session:
        assert "token conversions" in set(session.exec(select(AuditEntry.user)))


def test_the_same_key_for_somebody_else_is_refused(town: Town) -> None:
    one, other = town.person(), town.person()
    with town.database.write() as session:
        links.make(session, one, PRICE, "mara", key="order-1")
        with pytest.raises(KeyUsedTwice):
            links.make(session, other, PRICE, "mara", key="order-1")


def test_a_command_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHALLENGE_DATA_DIR", str(tmp_path))
    town = Town(Database(read_settings().database))
    town.database.migrate()
    town.person()
    with town.database.write() as session:
        set_up(session, read_settings())

    def run(*words: str) -> Any:
        return CliRunner().invoke(cli, ["conversions", "link", *words])

    told = json.loads(run("person1@example.com", "--amount", "49", "--currency", "usd", "--days", "7", "--json").output)
    assert "/joined/" in told["url"]
    assert told["ends_at"] > real_now().isoformat(sep=" ")
    assert run("person1@example.com", "--days", "0").output.startswith("http")
    assert isinstance(run("stranger@example.com").exception, UsageError)
    with town.database.read() as session:
        rows = session.exec(select(ConversionLink).order_by(ConversionLink.id)).all()  # type: ignore[arg-type]
        assert [(row.amount, row.currency, row.made_by) for row in rows] == [
            (4900, "USD", "command line"),
            (0, "", "command line"),
        ]
    town.database.close()
