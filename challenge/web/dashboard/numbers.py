"""Where do we lose people, after which mail, where do they come from, does it get better? All under one filter."""

from __future__ import annotations

from datetime import date
from typing import Any

from flask import Response, abort, jsonify, render_template, request

from challenge.access.roles import May
from challenge.stats import funnel as way
from challenge.stats import groups
from challenge.stats import mails as each
from challenge.stats.filter import DIMENSIONS, Filter
from challenge.stats.unknown import unknown
from challenge.web import service, tables
from challenge.web.dashboard.door import needs, room

_DAYS_SHOWN = 28
_NAMES = {
    "edition": "Challenge edition",
    "source": "Source",
    "utm_source": "UTM source",
    "utm_medium": "UTM medium",
    "utm_campaign": "UTM campaign",
    "utm_term": "UTM term",
    "utm_content": "UTM content",
    "referrer": "Referring site",
    "form_variant": "Form variant",
    "variant": "Mail variant",
    "position": "Position",
    "country": "Country of the zone",
}


@room.get("/funnel")
@needs(May.read_numbers)
def funnel() -> str:
    """From sign-up to joined, day by day, and who is still in."""
    with service().database.read() as rows:
        ask = ask_of(rows)
        numbers = way.funnel(*ask.whose, ask.filter)
        still_in = groups.survival(*ask.whose, ask.filter)
        choices = groups.choices(*ask.whose)
    return render_template(
        "dashboard/funnel.html",
        numbers=numbers,
        steps={step.name: step for step in numbers.steps},
        survival=still_in,
        **filters_of(ask.filter, choices),
    )


@room.get("/mails")
@needs(May.read_numbers)
def mails() -> str:
    """What became of each mail, after which people left, and on which day."""
    with service().database.read() as rows:
        ask = ask_of(rows)
        found = each.each_mail(*ask.whose, ask.filter)
        left = each.leaving(*ask.whose, ask.filter)
        choices = groups.choices(*ask.whose)
    return render_template(
        "dashboard/mails.html", mails=found, leaving=left, days_shown=_DAYS_SHOWN, **filters_of(ask.filter, choices)
    )


@room.get("/sources")
@needs(May.read_numbers)
def sources() -> str:
    """Which people get further, and what they bring; by source, or by any other word we know of them."""
    with service().database.read() as rows:
        ask = ask_of(rows)
        found = groups.groups(*ask.whose, ask.by, ask.filter)
        stranger = unknown(rows)
        choices = groups.choices(*ask.whose)
    is_shown = ask.filter.is_empty
    currencies = tables.currencies_of(found, stranger if is_shown else None)
    return render_template(
        "dashboard/sources.html",
        groups=found,
        by=ask.by,
        currencies=currencies,
        stranger=stranger if stranger.count or stranger.revenue_smallest_unit else None,
        is_stranger_shown=is_shown,
        dimensions=[(name, _NAMES[name]) for name in DIMENSIONS],
        total={
            currency: sum(group.revenue.get(currency, 0) for group in found)
            + (stranger.revenue_smallest_unit.get(currency, 0) if is_shown else 0)
            for currency in currencies
        },
        signed_up=sum(group.signed_up for group in found),
        joined=sum(group.joined for group in found) + (stranger.count if is_shown else 0),
        **filters_of(ask.filter, choices),
    )


@room.get("/weeks")
@needs(May.read_numbers)
def weeks() -> str:
    """Week by week: does it get better?"""
    with service().database.read() as rows:
        ask = ask_of(rows)
        found = groups.cohorts(*ask.whose, ask.filter)
        choices = groups.choices(*ask.whose)
    return render_template("dashboard/weeks.html", cohorts=found, **filters_of(ask.filter, choices))


@room.get("/tables/<name>.<any(csv, json):kind>")
@needs(May.read_numbers)
def table_file(name: str, kind: str) -> Any:
    """A table of the pages as a file."""
    if name not in tables.names():
        abort(404)
    with service().database.read() as rows:
        ask = ask_of(rows)
        found = tables.table(name, ask)
    is_csv = kind == "csv"
    response = Response(found.to_csv(), content_type="text/csv; charset=utf-8") if is_csv else jsonify(found.to_dict())
    named = f"{found.file_name(ask.filter, ask.now)}.{kind}"
    response.headers["Content-Disposition"] = f'{"attachment" if is_csv else "inline"}; filename="{named}"'
    return response


def ask_of(rows: Any) -> tables.Ask:
    found = service()
    return tables.ask_from(rows, found.challenge, found.clock.now(), request.args)


def filters_of(filter: Filter, choices: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """What the form over every page of numbers needs. A word that is asked for stays a choice, whether or not it is one."""
    offered = [
        (
            name,
            _NAMES[name],
            list(dict.fromkeys([*choices.get(name, ()), *([word] if (word := getattr(filter, name)) else [])])),
        )
        for name in DIMENSIONS
        if name in choices or getattr(filter, name)
    ]
    asked = filter.to_query()
    return {
        "filter": filter,
        "offered": offered,
        "asked": asked,
        "chips": [
            (_chip(name, word), {key: value for key, value in asked.items() if key != name})
            for name, word in asked.items()
        ],
    }


def _chip(name: str, word: str) -> str:
    if name in ("from", "to"):
        return f"{name} {date.fromisoformat(word):%-d %b %Y}"
    return f"{_NAMES[name]}: {word}"
