"""The programme's site tells who joined: `POST /api/v1/conversions`, with a bearer token or a signature."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, jsonify, request
from sqlalchemy.exc import IntegrityError

from challenge.access.tokens import Scope
from challenge.clock import real_now
from challenge.conversions import KeyUsedTwice, Outcome, is_signed, read, record
from challenge.errors import BadInput
from challenge.web import service
from challenge.web.api import refused
from challenge.web.openapi import described

room = Blueprint("conversions", __name__)


_WORD = {"type": ["string", "null"]}
_BODY: dict[str, Any] = {
    "type": "object",
    "description": "Who joined: `ref` from the join link, or `email`. `key` may come as the header Idempotency-Key.",
    "properties": {
        "key": {"type": "string", "examples": ["order-1001"]},
        "ref": _WORD,
        "email": _WORD,
        "amount": {"type": ["number", "string", "null"]},
        "currency": _WORD | {"examples": ["USD"]},
        "joined_at": _WORD,
    },
}
_OUTCOME = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}


@room.post("/api/v1/conversions")
@described(
    "Tells who joined the programme",
    answers={
        200: ("Known already.", {"application/json": _OUTCOME}),
        201: ("Written down.", {"application/json": _OUTCOME}),
    },
    body=_BODY,
    scope=Scope.conversions,
    errors={
        400: "Not a JSON object.",
        409: "The key was used for another one.",
        413: "More than 256 KB.",
        422: "A field cannot be accepted.",
    },
)
def told() -> Any:
    """201 written down, 200 known already, 409 the key was used for another one, 422 what to change, 401 who are you."""
    found = service()
    signature, secret = request.headers.get("X-Challenge-Signature", ""), found.settings.conversion_secret
    signed = bool(signature) and is_signed(request.get_data(), signature, secret, real_now())
    if not signed and (answer := refused(Scope.conversions)):
        return answer
    fields = request.get_json(silent=True)
    if not isinstance(fields, dict):
        return jsonify(error="Send a JSON object with key, and ref or email."), 400
    now = found.clock.now()
    try:
        conversion = read(fields, now, key=request.headers.get("Idempotency-Key", "").strip())
        outcome = _record(conversion, now, "webhook" if signed else "api")
    except KeyUsedTwice as error:
        return jsonify(error=error.sentence, field=error.field), 409
    except BadInput as error:
        return jsonify(error=error.sentence, field=error.field), 422
    return jsonify(status=outcome), 200 if outcome is Outcome.repeated else 201


def _record(conversion: Any, now: Any, how: str) -> Outcome:
    found = service()
    for last in (False, True):
        try:
            with found.database.write() as session:
                return record(session, conversion, found.challenge.slug, found.tokens, now, how)
        except IntegrityError:  # the same key in the same moment: the second look finds it
            if last:
                raise
    raise AssertionError
