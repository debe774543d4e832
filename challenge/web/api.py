"""The JSON side: sign-ups from other sites, and the dashboard's numbers for other programs."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request

from challenge.access.tokens import Scope, find_token
from challenge.audit import audit
from challenge.errors import BadInput
from challenge.stats.filter import read
from challenge.stats.funnel import funnel
from challenge.web import service
from challenge.web.joining import join
from challenge.web.speaking import said

room = Blueprint("api", __name__)
_ACCEPTED = {"status": "accepted", "next": "Please look for the e-mail that we sent, and say yes there."}


@room.route("/api/v1/signups", methods=["POST", "OPTIONS"])
def sign_up() -> Any:
    """202, and the same answer whether or not the address is known."""
    if request.method == "OPTIONS":
        return Response(status=204)
    fields = request.get_json(silent=True)
    if not isinstance(fields, dict):
        return _error("Send a JSON object with at least an email.", 400)
    try:
        join(fields, f"api {request.headers.get('Origin', '')}".strip())
    except BadInput as error:
        return _error(said(error), 422, field=error.field)
    response = jsonify(_ACCEPTED)
    response.status_code = 202
    return response


@room.get("/api/v1/stats")
def stats() -> Any:
    if answer := refused(Scope.read):
        return answer
    found = service()
    with found.database.read() as session:
        numbers = funnel(session, found.challenge.slug, found.challenge.length, found.clock.now(), read(request.args))
        return jsonify(numbers.to_dict())


@room.get("/api/v1/audit")
def accounts() -> Any:
    if answer := refused(Scope.read):
        return answer
    found = service()
    with found.database.read() as session:
        return jsonify(audit(session, found.challenge, found.settings, found.clock.now()).to_dict())


def refused(scope: Scope) -> Response | None:
    """The answer to whoever has no bearer token of this scope; None for whoever has."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    token = find_token(service().database, value.strip()) if scheme.lower() == "bearer" and value else None
    if token is not None and token.scope == scope:
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
