"""Who joined: told by the programme's site (`POST /api/v1/conversions`, with a bearer token or a signature), or by its
person, who opens a link that was made for them and presses its button."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from flask import Blueprint, g, jsonify, render_template, request
from sqlalchemy.exc import IntegrityError

from challenge import conversion_links as links
from challenge.access.tokens import Scope
from challenge.clock import real_now
from challenge.conversions import (
    KeyUsedTwice,
    Outcome,
    Refund,
    find_person,
    is_signed,
    read,
    read_refund,
    record,
    refund,
)
from challenge.errors import BadInput
from challenge.models import ConversionLink
from challenge.money import main_units
from challenge.tokens import Purpose
from challenge.web import service
from challenge.web.api import refused
from challenge.web.openapi import described
from challenge.web.page import nonce, person, was_shown
from challenge.web.speaking import language

room = Blueprint("conversions", __name__)


_WORD = {"type": ["string", "null"]}
_BODY: dict[str, Any] = {
    "type": "object",
    "description": "Who joined: `ref` from the join link, or `email`. `key` may come as the header Idempotency-Key. To take "
    "one back: `refunds`, the key it had, with a `key` of this refund's own; a negative `amount` for a part of it.",
    "properties": {
        "key": {"type": "string", "examples": ["order-1001"]},
        "ref": _WORD,
        "email": _WORD,
        "amount": {"type": ["number", "string", "null"]},
        "currency": _WORD | {"examples": ["USD"]},
        "joined_at": _WORD,
        "refunds": _WORD | {"description": "the key of the conversion to take back", "examples": ["order-1001"]},
    },
}
_LINK_BODY = _BODY | {
    "description": "For whom: `ref` from the join link, or `email`. With a `key` (of the order) it is the same link again.",
    "properties": {name: _BODY["properties"][name] for name in ("key", "ref", "email", "amount", "currency")}
    | {"days": {"type": ["integer", "null"], "description": "how long it is good: 30 unless said, 0 for ever"}},
}
_LINK = {
    "type": "object",
    "required": ["url", "ends_at"],
    "properties": {"url": {"type": "string"}, "ends_at": {"type": ["string", "null"]}},
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
        key = request.headers.get("Idempotency-Key", "").strip()
        conversion = read_refund(fields, key) if fields.get("refunds") else read(fields, now, key=key)
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
                if isinstance(conversion, Refund):
                    return refund(session, conversion, now)
                return record(session, conversion, found.challenge.slug, found.tokens, now, how)
        except IntegrityError:  # the same key in the same moment: the second look finds it
            if last:
                raise
    raise AssertionError


@room.post("/api/v1/conversions/links")
@described(
    "Makes a link by which one person says once that they joined",
    answers={201: ("Made, or there already.", {"application/json": _LINK})},
    body=_LINK_BODY,
    scope=Scope.conversions,
    errors={
        400: "Not a JSON object.",
        404: "Nobody here is known by that address or token.",
        409: "The key was used for another link.",
        413: "More than 256 KB.",
        422: "A field cannot be accepted.",
    },
)
def make_link() -> Any:
    """For a checkout that shows a page after the payment: opening the link records nothing, its button does."""
    if answer := refused(Scope.conversions):
        return answer
    fields = request.get_json(silent=True)
    if not isinstance(fields, dict):
        return jsonify(error="Send a JSON object with ref or email."), 400
    found, key = service(), request.headers.get("Idempotency-Key", "").strip() or fields.get("key")
    try:
        told = read({**fields, "key": key or "new"}, found.clock.now())
        days = links.read_days(fields.get("days"))
        with found.database.write() as session:
            number = find_person(session, told, found.challenge.slug, found.tokens)
            if number is None:
                return jsonify(error="Nobody here is known by that address or token."), 404
            price = (told.amount, told.currency)
            row = links.make(session, number, price, f"token {g.token}", days=days, key=told.key if key else "")
            ends_at = row.ends_at.isoformat() if row.ends_at else None
            return jsonify(url=found.composer.links.joined_url(row.id or 0), ends_at=ends_at), 201
    except KeyUsedTwice as error:
        return jsonify(error=error.sentence, field=error.field), 409
    except BadInput as error:
        return jsonify(error=error.sentence, field=error.field), 422


@room.get("/joined/<token>")
def ask_joined(token: str) -> str:
    """One button; whoever only looks (a mail filter, a preview) records nothing."""
    (number,) = service().tokens.read(Purpose.joined, token, 1)
    with service().database.read() as session:
        link = links.find(session, number, real_now())
        if link is None:
            return render_template("joined.html", standing=str(links.Standing.ended))
        person(session, link.row.enrollment_id)
        return render_template("joined.html", standing=str(link.standing), price=_price(link.row), nonce=nonce(token))


@room.post("/joined/<token>")
def joined(token: str) -> str:
    """Records it, once. A bare POST without the page's nonce shows the page again."""
    (number,) = service().tokens.read(Purpose.joined, token, 1)
    if was_shown(token):
        # told by the programme's site in the same moment: the page says so
        with suppress(IntegrityError, KeyUsedTwice), service().database.write() as session:
            links.use(session, number, service().clock.now())
    return ask_joined(token)


def _price(row: ConversionLink) -> str:
    return language().price(main_units(row.amount, row.currency), row.currency) if row.amount else ""
