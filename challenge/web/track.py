"""The click redirect and the visits. They record, and change nothing else for the person."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from flask import Blueprint, redirect, request
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import select

from challenge.clock import real_now
from challenge.errors import BadToken, NotFound
from challenge.models import Event
from challenge.rendering.links import Address, Link
from challenge.signup import origin
from challenge.tokens import Purpose
from challenge.tracking.classify import UNSUBSCRIBE, Evidence, observe
from challenge.tracking.record import find, record_click
from challenge.tracking.visits import count_visit, visitor_of
from challenge.web import service
from challenge.web.speaking import challenge

room = Blueprint("track", __name__)
_LOOKS_KEPT = 3
log = logging.getLogger(__name__)


@room.get("/c/<token>")
def clicked(token: str) -> Any:
    """To the page behind the link; the target follows from the link's number, never from the address."""
    delivery_id, number = service().tokens.read(Purpose.clicked, token, 2)
    try:
        link = Link(number)
    except ValueError:
        raise BadToken("This link is for something else.") from None
    to = _click(delivery_id, link.name)
    response = redirect(service().composer.links.target(link, to), 302)
    response.headers["Cache-Control"] = "no-store"
    return response


def seen() -> Evidence:
    """What is kept of the request that is being answered."""
    found = service()
    address, key = request.remote_addr or "", found.day_keys.at(real_now())
    return observe(request.method, dict(request.headers), address, key, found.networks)


def looked_at_landing() -> None:
    """Counts a visit of our own page, unless it comes from another of our pages."""
    words = origin({"referrer": request.referrer or "", **request.args.to_dict()})
    if _host(request.referrer or "") in _our_hosts():
        return
    _count_visit(words | {"form_variant": words["form_variant"] or landing_variant()})


def looked_at_embedded() -> None:
    """Counts a visit of a form on another site; its words are those that its sign-ups bring."""
    _count_visit(origin({"referrer": came_from(), **request.args.to_dict()}))


def came_from() -> str:
    """The other site that this request comes from; empty for none, and for one of ours."""
    site = request.referrer or request.headers.get("Origin", "")
    return "" if _host(site) in {"", *_our_hosts()} else site


def _our_hosts() -> set[str]:
    return {_host(service().settings.public_url), _host(request.host_url)}


def _host(site: str) -> str:
    try:
        return urlsplit(site).hostname or ""
    except ValueError:
        return ""


def _count_visit(words: dict[str, str]) -> None:
    """Without a cookie; what was asked for comes also when it cannot be counted."""
    found, evidence, real = service(), seen(), real_now()
    words |= {"challenge": found.challenge.slug, "edition": found.challenge.edition}
    try:
        with found.database.write() as session:
            count_visit(session, evidence, _visitor(), words, found.clock.now().date(), real.date())
    except SQLAlchemyError:
        log.exception("A visit was not counted.", extra={"action": "visit_lost"})


def landing_variant() -> str:
    """The version of the page that this visitor gets, the same all day; empty while there is nothing to test, and for
    whoever reads another language than the test's."""
    return challenge().variants.for_landing(_visitor()) if challenge().variants.landing else ""


def _visitor() -> str:
    agent, key = request.headers.get("User-Agent", ""), service().day_keys.at(real_now())
    return visitor_of(request.remote_addr or "", agent, key)


def looked_at_unsubscribe(delivery_id: int) -> None:
    """Scanners fetch the unsubscribe link together with the others, so that it was looked at is kept as a click: the
    first few times, for a thousand looks tell no more than three."""
    looks = select(Event.id).where(Event.delivery_id == delivery_id, Event.link == UNSUBSCRIBE).limit(_LOOKS_KEPT)
    with service().database.read() as session:
        if len(session.exec(looks).all()) >= _LOOKS_KEPT:
            return
    with suppress(NotFound):
        _click(delivery_id, UNSUBSCRIBE)


def _click(delivery_id: int, link: str) -> Address:
    found, evidence = service(), seen()
    try:
        with found.database.write() as session:
            return record_click(session, delivery_id, link, evidence, found.clock.now())
    except SQLAlchemyError:  # the person's way goes on even when the database is too busy to count them
        log.exception("A click was not recorded.", extra={"action": "event_lost"})
    with found.database.read() as session:
        row, enrollment = find(session, delivery_id)
        return Address(enrollment.id or 0, row.id or 0, row.key)
