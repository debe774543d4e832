"""Is it alive, is it ready, how is it doing? For load balancers and Prometheus."""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint, Response, jsonify
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from redis.exceptions import RedisError
from sqlalchemy import TextClause, func, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, select

from challenge.dispatch import count_due, is_stopped, living_workers
from challenge.jobs import connect
from challenge.models import Delivery
from challenge.web import service

room = Blueprint("health", __name__)
# The words of the partial indexes; SQLite takes the second only when its column is asked for.
_OPEN = (text("state = 'scheduled'"), text("state IN ('claimed', 'handed_over') AND claimed_by >= ''"))
_CLOSED = (text("state NOT IN ('scheduled', 'claimed', 'handed_over')"),)
_LONG_SECONDS, _SELDOM = 0.05, 100
_kept: tuple[Any, float, dict[str, int]] = (None, 0.0, {})


@room.get("/healthz")
def alive() -> Any:
    return jsonify(alive=True)


@room.get("/readyz")
def ready() -> Any:
    """200 while the database answers: a dead Redis must not cost a sign-up; it and the workers are told in the body."""
    found = service()
    try:
        with found.database.read() as session:
            living = len(living_workers(session, found.settings))
            stopped = is_stopped(session)
    except SQLAlchemyError as error:
        return jsonify(ready=False, database=type(error).__name__), 503
    return jsonify(ready=True, database="ok", redis=_redis(), workers=living, sending_stopped=stopped)


@room.get("/metrics")
def metrics() -> Response:
    """Counts from the rows, so that they are the same whichever process is asked. Closed deliveries are millions in the
    end: where counting them is long, the count stands for a hundred times as long; what is open is counted each time."""
    found, registry = service(), CollectorRegistry()
    deliveries = Gauge("challenge_deliveries", "Deliveries by state", ["state"], registry=registry)
    due = Gauge("challenge_deliveries_due", "Deliveries due now (counted up to 100000)", registry=registry)
    workers = Gauge("challenge_workers", "Workers with a heartbeat", registry=registry)
    with found.database.read() as session:
        for state, count in (_count(session, _OPEN) | _closed(session)).items():
            deliveries.labels(state).set(count)
        due.set(count_due(session, found.challenge, found.settings, found.clock.now(), 100_000))
        workers.set(len(living_workers(session, found.settings)))
    return Response(generate_latest(registry), mimetype="text/plain")


def _closed(session: Session) -> dict[str, int]:
    global _kept  # noqa: PLW0603 - one count a process
    began = time.monotonic()
    place, until, counts = _kept
    if place == session.get_bind().engine.url and began < until:
        return counts
    counts = _count(session, _CLOSED)
    took = time.monotonic() - began
    if took > _LONG_SECONDS:
        _kept = (session.get_bind().engine.url, began + _SELDOM * took, counts)
    return counts


def _count(session: Session, which: tuple[TextClause, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for condition in which:
        query = select(Delivery.state, func.count()).where(condition).group_by(Delivery.state)
        found |= {str(state): count for state, count in session.exec(query)}
    return found


def _redis() -> str:
    if not service().settings.redis_url:
        return "not set"
    try:
        connect(service().settings.redis_url).ping()
    except RedisError as error:
        return f"away ({type(error).__name__})"
    return "ok"
