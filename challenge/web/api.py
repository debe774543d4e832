"""The JSON side: sign-ups from other sites, and the dashboard's numbers for other programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, current_app, g, jsonify, request

from challenge import accounts
from challenge.access.tokens import Scope, find_token
from challenge.errors import BadInput
from challenge.stats.filter import DIMENSIONS, read
from challenge.stats.mails import Numbers, all_numbers
from challenge.web import service, tables
from challenge.web.joining import join
from challenge.web.openapi import FILTERS, described, document, parameter, schema_of
from challenge.web.speaking import said

room = Blueprint("api", __name__)
_WORD = {"type": ["string", "null"]}
_SIGN_UP: dict[str, Any] = {
    "type": "object",
    "required": ["email"],
    "properties": {
        "email": {"type": "string", "maxLength": 320, "examples": ["ana@example.com"]},
        "first_name": _WORD,
        "timezone": _WORD | {"description": "IANA name, e.g. Europe/Berlin"},
        "hour": {"type": ["integer", "string", "null"], "description": "a whole hour from 6 to 21, in that zone"},
        "position": _WORD | {"description": "seated, standing or lying"},
        "goal": _WORD,
        "pace": _WORD,
        "consent": {"description": "kept with the words that were shown"},
        **{f"utm_{name}": _WORD for name in ("source", "medium", "campaign", "term", "content")},
        "referrer": _WORD,
        "form_variant": _WORD,
    },
}
_ACCEPTED_ANSWER = {
    "type": "object",
    "required": ["status", "next"],
    "properties": {"status": {"const": "accepted"}, "next": {"type": "string"}},
}
_NAME = parameter("name", "path", "Which table.", enum=list(tables.names()))
_BY = parameter("by", "query", "For `groups`: which dimension stands side by side.", enum=list(DIMENSIONS))
_GOAL = parameter(
    "goal", "query", "For `experiments`: what counts, like `signed_up`, `confirmed`, `done-1`, `finished`, `joined`."
)
_CELL = {"type": ["string", "number", "null"]}
_TABLE = {
    "type": "object",
    "required": ["table", "columns", "rows"],
    "properties": {
        "table": {"type": "string"},
        "columns": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["key", "title", "kind"],
                "properties": {"key": {"type": "string"}, "title": {"type": "string"}, "kind": {"type": "string"}},
            },
        },
        "rows": {"type": "array", "items": {"type": "object", "additionalProperties": _CELL}},
    },
}
_BAD = {422: "A filter cannot be read."}
_ACCEPTED = {"status": "accepted", "next": "Please look for the e-mail that we sent, and say yes there."}


@room.route("/api/v1/signups", methods=["POST", "OPTIONS"])
@described(
    "Signs somebody up",
    answers={202: _ACCEPTED_ANSWER},
    body=_SIGN_UP,
    errors={
        400: "Not a JSON object.",
        413: "More than 256 KB.",
        422: "A field cannot be accepted.",
        429: "Too many from one network.",
    },
)
def sign_up() -> Any:
    """202, and the same answer whether or not the address is known."""
    if request.method == "OPTIONS":
        return Response(status=204)
    fields = request.get_json(silent=True)
    if not isinstance(fields, dict):
        return _error("Send a JSON object with at least an email.", 400)
    try:
        # Our form on another site says when it was shown, and has visitors.
        way = "embed" if fields.get("shown") else "api"
        join(fields, f"{way} {request.headers.get('Origin', '')[:200]}".strip())
    except BadInput as error:
        return _error(said(error), 422, field=error.field)
    response = jsonify(_ACCEPTED)
    response.status_code = 202
    return response


@room.get("/api/v1/stats")
@described("The funnel", answers={200: schema_of(Numbers)}, parameters=FILTERS, scope=Scope.read, errors=_BAD)
def stats() -> Any:
    """The same numbers as `challenge stats --json` and the dashboard's funnel and mails, from the same query."""
    if answer := refused(Scope.read):
        return answer
    found = service()
    with found.database.read() as session:
        ask = tables.ask_from(session, found.challenge, found.clock.now(), request.args)
        return jsonify(all_numbers(*ask.whose, ask.filter).to_dict())


@room.get("/api/v1/tables")
@described(
    "Which tables there are",
    answers={200: {"type": "object", "properties": {"tables": {"type": "array", "items": {"type": "string"}}}}},
    scope=Scope.read,
)
def table_names() -> Any:
    """Their names; each is one query that the dashboard shows, too."""
    return refused(Scope.read) or jsonify(tables=tables.names())


@room.get("/api/v1/tables/<name>")
@described(
    "One table",
    answers={200: _TABLE},
    parameters=(_NAME, *FILTERS, _BY, _GOAL),
    scope=Scope.read,
    errors=_BAD | {404: "There is no such table."},
)
def table(name: str) -> Any:
    """Rows with a value for every column, equal to the dashboard's page."""
    found = _table(name)
    return jsonify(found.to_dict()) if isinstance(found, tables.Table) else found


@room.get("/api/v1/tables/<name>.csv")
@described(
    "One table as CSV",
    answers={200: ("RFC 4180, UTF-8 with a byte order mark; no cell is a formula.", {"text/csv": {"type": "string"}})},
    parameters=(_NAME, *FILTERS, _BY, _GOAL),
    scope=Scope.read,
    errors=_BAD | {404: "There is no such table."},
)
def table_csv(name: str) -> Any:
    """The same rows for a spreadsheet."""
    found = _table(name)
    if not isinstance(found, tables.Table):
        return found
    response = Response(found.to_csv(), content_type="text/csv; charset=utf-8")
    named = found.file_name(read(request.args), service().clock.now())
    response.headers["Content-Disposition"] = f'attachment; filename="{named}.csv"'
    return response


def _table(name: str) -> Any:
    if answer := refused(Scope.read):
        return answer
    if name not in tables.names():
        return _error(f"There is no such table. There are: {', '.join(tables.names())}.", 404)
    found = service()
    with found.database.read() as session:
        return tables.table(name, tables.ask_from(session, found.challenge, found.clock.now(), request.args))


@room.get("/api/openapi.json")
def describe() -> Any:
    """The description of all this, for programs and for people's tools."""
    return jsonify(document(current_app, service().settings.public_url))


@room.get("/api/v1/audit")
@described(
    "The accounts of every mail owed",
    answers={200: schema_of(accounts.Accounts)},
    scope=Scope.read,
    errors={404: "No audit has been run yet."},
)
def last_audit() -> Any:
    """What the last audit said, and when it ran: it looks at everybody, so workers run it, not a request."""
    if answer := refused(Scope.read):
        return answer
    with service().database.read() as session:
        found = accounts.last(session)
    return jsonify(_spelled(found)) if found else _error("No audit has been run yet; a worker's tick runs one.", 404)


def _spelled(found: accounts.Accounts) -> dict[str, Any]:
    return asdict(found) | {"as_of": found.as_of.isoformat(), "ran_at": found.ran_at.isoformat()}


def refused(scope: Scope) -> Response | None:
    """The answer to whoever has no bearer token of this scope; None for whoever has."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    token = find_token(service().database, value.strip()) if scheme.lower() == "bearer" and value else None
    if token is not None and token.scope == scope:
        g.token = token.name
        return None
    if token is not None:
        return _error(f"This token may not do that; `challenge token add NAME --scope {scope}` makes one.", 403)
    response = _error("Send a bearer token; `challenge token add NAME` makes one.", 401)
    response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _error(words: str, status: int, **more: str) -> Response:
    response = jsonify(error=words, **more)
    response.status_code = status
    return response


@room.after_request
def _for_scripts(response: Response) -> Response:
    """Also a refusal must be readable on the other site."""
    return with_cors(response) if request.endpoint == "api.sign_up" else response


def with_cors(response: Response) -> Response:
    origin, allowed = request.headers.get("Origin", ""), service().settings.origins
    if origin and (origin in allowed or "*" in allowed):
        response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
        response.headers["Access-Control-Allow-Methods"] = "POST, OPTIONS"
        response.headers["Access-Control-Allow-Headers"] = "Content-Type"
        response.headers["Vary"] = "Origin"
    return response
