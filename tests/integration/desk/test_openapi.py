"""The API holds to its description: schemathesis asks every route in process, bounded; nothing answers 5xx or off schema."""

from __future__ import annotations

import re
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from challenge.access.tokens import Scope, add_token
from tests.integration.desk.town import Town

EXAMPLES = 12
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_it_describes_every_route_of_the_api(small_desk: Any) -> None:
    found = small_desk.app.test_client().get("/api/openapi.json").json
    assert found["openapi"] == "3.1.0"
    routes = {
        re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for rule in small_desk.app.url_map.iter_rules()
        if rule.rule.startswith("/api/v1/")
    }
    assert set(found["paths"]) == routes
    assert len(routes) >= 6


def test_it_keeps_to_its_description(small_desk: Any) -> None:
    with small_desk.database.write() as session:
        Town(session, small_desk.challenge).settle(12)
        tokens = {scope: add_token(session, scope, scope) for scope in Scope}
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", small_desk.app)
    asked = []

    for result in schema.get_all_operations():
        operation: Any = result.ok()  # type: ignore[union-attr]
        scope = operation.definition.raw.get("x-scope", "")
        headers = {"Authorization": f"Bearer {tokens[scope]}"} if scope else {}

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def ask(case: Any) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS)  # noqa: B023 - called in this round of the loop

        ask()
        asked.append(operation.label)
    assert len(asked) >= 6
