"""What somebody sends who means harm, or a tool that is careless: it changes nothing, and is no failure of ours."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from sqlmodel import SQLModel

from challenge.access.tokens import Scope, add_token
from challenge.conversions import is_signed
from challenge.db import Database
from challenge.errors import BadInput
from challenge.signup import consent_time
from tests.integration.desk.town import FRIDAY, Town

_COUNTED = {"dashboard_session", "visit", "visitor", "installation"}  # that somebody looked


def _rows(database: Database) -> dict[str, list[Any]]:
    with database.read() as session:
        return {
            name: sorted(map(str, session.execute(table.select())))
            for name, table in SQLModel.metadata.tables.items()
            if name not in _COUNTED
        }


def test_it_changes_nothing_when_it_is_only_looked_at(small_desk: Any) -> None:
    """GET and HEAD of every route, as an owner who is logged in: link checkers and previews ask with HEAD."""
    with small_desk.database.write() as session:
        Town(session, small_desk.challenge, FRIDAY).settle(3)
    owner, before = small_desk.browser("owner"), None
    looked = []
    for rule in small_desk.app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint == "static":
            continue
        choices = re.search(r"<any\(([\w, ]+)\):\w+>", rule.rule)
        for choice in choices[1].split(", ") if choices else [""]:
            path = re.sub(r"<any\(.*?\):\w+>", choice, rule.rule)
            path = re.sub(r"<\w+>", "x", re.sub(r"<int:\w+>", "1", path))
            before = before or _rows(small_desk.database)
            got, head = owner.client.get(path), owner.client.head(path)
            assert head.status_code == got.status_code < 500, (path, got.status_code, head.status_code)
            assert head.data == b"", path
            assert _rows(small_desk.database) == before, path
            looked.append(path)
    assert "/dashboard/people/1/erase" in looked
    assert len(looked) > 50


def test_it_refuses_what_no_database_can_hold(desk: Any) -> None:
    owner = desk.browser("owner")
    for path in ("people?q=a%00b", "log?who=%00", "funnel?source=a%00", "access/tokens/a%00b/remove"):
        assert owner.get(f"/dashboard/{path}").status_code == 400, path
    for path in ("/?utm_source=%00", "/c/%00", "/exercises?goal=%00"):
        assert desk.browser().get(path).status_code == 400, path
    assert desk.browser().log_in("ow\0ner").status_code == 400
    assert owner.post("/dashboard/access/tokens", on="/dashboard/access", name="a\0", scope="read").status_code == 400


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"email":' * 20_000, b'{"email":' + b"[" * 5000 + b"]" * 5000 + b"}"]
)
def test_it_takes_no_json_that_is_nested_without_end(small_desk: Any, body: bytes) -> None:
    visitor = small_desk.browser().client
    for path in ("/api/v1/signups", "/webhooks/postmark"):
        assert visitor.post(path, data=body, content_type="application/json").status_code in (400, 401)
    assert visitor.post("/api/v1/signups/proof", data=body, content_type="application/json").status_code == 200


def test_it_refuses_half_a_letter_where_a_tag_belongs(small_desk: Any) -> None:
    body = json.dumps({"email": "a@example.com", "shown": "123.\ud800"})
    answer = small_desk.browser().client.post("/api/v1/signups", data=body, content_type="application/json")
    assert answer.status_code == 422


@pytest.mark.parametrize("amount", ["1e999999", "9" * 100_000, "1e-999999", "sNaN", [1], True])
def test_it_refuses_amounts_beyond_every_money(small_desk: Any, amount: Any) -> None:
    with small_desk.database.write() as session:
        token = add_token(session, "shop", Scope.conversions)
    answer = small_desk.browser().client.post(
        "/api/v1/conversions",
        json={"key": "k", "email": "a@example.com", "currency": "USD", "amount": amount},
        headers={"Authorization": f"Bearer {token}"},
    )
    assert (answer.status_code, answer.json["field"]) == (422, "amount")


@pytest.mark.parametrize("header", ["t=\xb2,v1=a", "t=,v1=a", "=,=,,", "t=999999999999,v1=\xff"])
def test_it_knows_no_signature_of_odd_digits(header: str) -> None:
    assert not is_signed(b"{}", header, "a secret", FRIDAY)


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday", ""])
def test_it_tells_an_import_of_times_nobody_lived_in(text: str) -> None:
    with pytest.raises(BadInput, match="consent_at"):
        consent_time(text, FRIDAY)


@pytest.mark.parametrize("digits", ["9" * 5000, "9" * 30, "9" * 19])
def test_it_takes_no_number_that_no_row_can_have(small_desk: Any, digits: str) -> None:
    """Python reads no more than 4,300 digits, and a database no more than 19."""
    owner = small_desk.browser("owner")
    for path in (f"people/{digits}", f"people/1/mails/{digits}", f"people/{digits}/pause"):
        assert owner.get(f"/dashboard/{path}").status_code == 404, path
    for path in (f"people?before={digits}", f"log?before={digits}"):
        assert owner.get(f"/dashboard/{path}").status_code == 200, path
    stranger = small_desk.browser()
    for path in (f"/inbox/{digits}", f"/inbox/{digits}/html"):
        assert stranger.get(path).status_code == 404, path
    for body in ('{"email": "a@b.example", "hour": %s}', '{"email": %s}'):
        answer = stranger.client.post("/api/v1/signups", data=body % digits, content_type="application/json")
        assert answer.status_code in (400, 422)
    for field in ("hour", "shown"):
        answer = stranger.client.post("/signup", data={"email": "a@b.example", field: digits})
        assert answer.status_code == 422, field
