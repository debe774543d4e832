"""What does the API take and answer? An OpenAPI 3.1 document, from data that stands next to each route.

A route says it with `@described`; the schema of an answer follows from the dataclass that is its answer, so it cannot
fall behind. `/api/openapi.json` serves the document, and the gate holds the routes against it.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from importlib.metadata import version
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from flask import Flask

from challenge.stats.filter import DIMENSIONS

_View = TypeVar("_View", bound=Callable[..., Any])
_PLAIN: dict[Any, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    str: {"type": "string"},
    datetime: {"type": "string", "format": "date-time"},
    date: {"type": "string", "format": "date"},
    type(None): {"type": "null"},
    Any: {},
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "field": {"type": "string"}},
}
_NO_TOKEN = {401: "No bearer token, or one that is not known.", 403: "The token has another scope."}


def described(
    summary: str,
    *,
    answers: Mapping[int, Any],
    parameters: tuple[dict[str, Any], ...] = (),
    body: dict[str, Any] | None = None,
    scope: str = "",
    errors: Mapping[int, str] | None = None,
) -> Callable[[_View], _View]:
    """Describes a route. `answers`: status -> schema, or (words, {media type: schema}); `scope`: the bearer token it
    needs; `errors`: status -> words."""

    def mark(view: _View) -> _View:
        told = {400: "An address with a NUL in it."} | dict(errors or {}) | (_NO_TOKEN if scope else {})
        operation: dict[str, Any] = {
            "summary": summary,
            "description": " ".join((view.__doc__ or summary).split()),
            "operationId": view.__name__,
            "parameters": list(parameters),
            "responses": {str(status): _answer(found) for status, found in answers.items()}
            | {str(status): _answer((words, {"application/json": ERROR})) for status, words in told.items()},
        }
        if body is not None:
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        if scope:
            operation["security"] = [{"bearer": []}]
            operation["x-scope"] = scope
        view.operation = operation  # type: ignore[attr-defined]
        return view

    return mark


def parameter(name: str, where: str, words: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": words,
        "schema": {"type": "string"} | schema,
    }


FILTERS = (
    parameter("from", "query", "Signed up on or after this day (UTC), like 2027-03-01.", format="date"),
    parameter("to", "query", "Signed up on or before this day (UTC).", format="date"),
    *(
        parameter(name, "query", f"Only people with this {name.replace('_', ' ')}; `(none)`: only those without.")
        for name in DIMENSIONS
    ),
)


def schema_of(kind: Any) -> dict[str, Any]:
    """The JSON schema of what `asdict` makes of a value of this type."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if isinstance(kind, type) and is_dataclass(kind):
        hints = get_type_hints(kind)
        return {
            "type": "object",
            "required": [field.name for field in fields(kind)],
            "properties": {field.name: schema_of(hints[field.name]) for field in fields(kind)},
            "additionalProperties": False,
        }
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(part) for part in inside]}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(inside[1])}
    if origin in (tuple, list):
        if origin is tuple and inside[-1] is not Ellipsis:
            sized = {"minItems": len(inside), "maxItems": len(inside)}
            return {"type": "array", "items": {"anyOf": [schema_of(part) for part in inside]}, **sized}
        return {"type": "array", "items": schema_of(inside[0])}
    return {"type": "string"}


def document(app: Flask, base_url: str) -> dict[str, Any]:
    """The whole description, of the routes this app has."""
    paths: dict[str, dict[str, Any]] = {}
    for rule in app.url_map.iter_rules():
        operation = getattr(app.view_functions[rule.endpoint], "operation", None)
        if operation is None:
            continue
        path = re.sub(r"<(?:\w+(?:\(.*?\))?:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) & {"GET", "POST", "PUT", "DELETE"}:
            paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Challenge",
            "version": version("challenge"),
            "description": "Sign-ups from other sites, the dashboard's numbers, and who joined. No answer has an address in it.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": base_url}],
        "paths": dict(sorted(paths.items())),
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
    }


def _answer(found: Any) -> dict[str, Any]:
    words, content = found if isinstance(found, tuple) else ("As asked.", {"application/json": found})
    return {"description": words, "content": {media: {"schema": schema} for media, schema in content.items()}}
