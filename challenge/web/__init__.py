"""The web door: parse, call one step, answer. `create_app` puts the rooms together; `serve` runs it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from flask import Flask, Response, abort, current_app, jsonify, render_template, request
from flask.json.provider import DefaultJSONProvider
from flask_limiter import Limiter
from flask_wtf import CSRFProtect
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.proxy_fix import ProxyFix

from challenge.access.sessions import LONGEST
from challenge.clock import Clock, set_up
from challenge.db import Database
from challenge.editions import Editions
from challenge.errors import BadInput, BadToken, NotFound
from challenge.events import installation_key
from challenge.i18n import N_
from challenge.programme.definition import Challenge
from challenge.rendering.message import Composer
from challenge.settings import Settings
from challenge.tokens import Tokens
from challenge.tracking.daykeys import DayKeys
from challenge.tracking.networks import SHIPPED, Networks, networks
from challenge.tracking.spool import SPOOL, Spool

LONGEST_BODY = 256 * 1024
csrf = CSRFProtect()


@dataclass(frozen=True)
class Service:
    """What every page needs."""

    settings: Settings
    challenge: Challenge
    database: Database
    clock: Clock
    composer: Composer
    key: bytes
    day_keys: DayKeys
    networks: Networks
    opens: Spool
    editions: Editions

    @property
    def tokens(self) -> Tokens:
        return self.composer.tokens


class _Json(DefaultJSONProvider):
    """A body nested deeper than Python descends is no JSON: an answer of 400, not a failure of ours."""

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        try:
            return super().loads(s, **kwargs)
        except RecursionError:
            raise ValueError("nested too deeply") from None


def service() -> Service:
    """The service of the running app."""
    return cast(Service, current_app.extensions["challenge"])


def create_app(settings: Settings, challenge: Challenge) -> Flask:
    """The whole web side. The database must be migrated."""
    from challenge.web import (
        api,
        conversions,
        dashboard,
        day,
        embed,
        health,
        joining,
        leaving,
        mine,
        participant,
        picture,
        preferences,
        public,
        speaking,
        track,
        webhooks,
    )

    database = Database(settings.database)
    with database.write() as session:
        set_up(session, settings)
        key = installation_key(session)
    app = Flask(__name__)
    app.json = _Json(app)
    app.config.update(
        SECRET_KEY=settings.keys[0],
        SECRET_KEY_FALLBACKS=list(settings.keys[1:]),
        MAX_CONTENT_LENGTH=LONGEST_BODY,
        MAX_FORM_MEMORY_SIZE=LONGEST_BODY,
        PERMANENT_SESSION_LIFETIME=LONGEST,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.public_url.startswith("https://"),
        WTF_CSRF_CHECK_DEFAULT=False,
        WTF_CSRF_TIME_LIMIT=None,
        SEND_FILE_MAX_AGE_DEFAULT=3600,
    )
    app.extensions["challenge"] = found = Service(
        settings,
        challenge,
        database,
        Clock(database),
        Composer(settings, challenge),
        key,
        DayKeys(database),
        networks(Path(settings.scanner_networks) if settings.scanner_networks else SHIPPED),
        Spool(settings.data_dir / SPOOL),
        Editions(database, settings),
    )
    app.wsgi_app = picture.Picture(app.wsgi_app, found)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.trusted_proxies, x_proto=1)  # type: ignore[method-assign]
    csrf.init_app(app)
    limiter = _limiter(app, settings)
    for door in (
        public,
        embed,
        participant,
        leaving,
        day,
        preferences,
        mine,
        track,
        dashboard,
        api,
        conversions,
        health,
        webhooks,
    ):
        app.register_blueprint(door.room)
    joining.limit(app, limiter, settings)
    if settings.uses_inbox and not settings.is_production:
        _add_inbox(app, settings.data_dir)
    _answer_errors(app)
    app.before_request(_refuse_nul)
    app.after_request(_headers)
    app.context_processor(_words)
    speaking.install(app)
    return app


def _add_inbox(app: Flask, data_dir: Path) -> None:
    from challenge.web.inbox import inbox_blueprint

    app.register_blueprint(inbox_blueprint(data_dir / "inbox.sqlite3"))


def _limiter(app: Flask, settings: Settings) -> Limiter:
    return Limiter(
        network,
        app=app,
        storage_uri=re.sub(r"^unix:", "redis+unix:", settings.redis_url) or "memory://",
        in_memory_fallback_enabled=bool(settings.redis_url),
        key_prefix="challenge",
        headers_enabled=False,
    )


def network() -> str:
    """Rates count per network: an IPv6 visitor owns a /64 of addresses."""
    try:
        address = ipaddress.ip_address((request.remote_addr or "").partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    return str(ipaddress.ip_network((address, 64 if address.version == 6 else 32), strict=False).network_address)


def _words() -> dict[str, Any]:
    from challenge.web import speaking

    return {"challenge": speaking.challenge(), "settings": service().settings}


def _refuse_nul() -> None:
    """No browser sends one in an address, and PostgreSQL takes none in a text."""
    if "\0" in request.path or b"%00" in request.query_string or b"\0" in request.query_string:
        abort(400)


def _headers(response: Response) -> Response:
    headers = response.headers
    headers.setdefault(
        "Content-Security-Policy",
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-src 'self'; base-uri 'none'; frame-ancestors 'self'",
    )
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer" if request.view_args else "same-origin")
    headers.setdefault("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
    if request.view_args and "token" in request.view_args:
        headers["Cache-Control"] = headers.get("Cache-Control") or "no-store"
        headers.setdefault("X-Robots-Tag", "noindex, nofollow")
    if service().settings.public_url.startswith("https://"):
        headers.setdefault("Strict-Transport-Security", "max-age=31536000")
    return response


def _answer_errors(app: Flask) -> None:
    from challenge.web.speaking import language, said

    def sorry(status: int, heading: str, *words: str) -> tuple[str, int] | tuple[Response, int]:
        if request.path.startswith(("/api/", "/webhooks/")):
            return jsonify(error=" ".join(words)), status
        say = language().gettext
        return render_template("sorry.html", heading=say(heading), words=" ".join(map(say, words))), status

    @app.errorhandler(BadToken)
    def bad_token(error: BadToken) -> Any:
        return sorry(404, N_("This link does not work"), str(error), N_("Please open it from the e-mail again."))

    @app.errorhandler(NotFound)
    def gone(error: NotFound) -> Any:
        return sorry(404, N_("This is no longer here"), str(error))

    @app.errorhandler(BadInput)
    def bad_input(error: BadInput) -> Any:
        return sorry(422, N_("Please check this"), said(error))

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Any:
        words = _SORRY.get(error.code or 500, error.description or "Something went wrong.")
        return (
            sorry(error.code or 500, words[0], words[1])
            if isinstance(words, tuple)
            else sorry(error.code or 500, N_("Sorry"), words)
        )


_SORRY = {
    400: (N_("This did not work"), N_("The page may be old. Go back, load it again, and try once more.")),
    404: (N_("This page is not here"), N_("Please check the address, or open the link from the e-mail again.")),
    405: (N_("This did not work"), N_("Please use the buttons on the page.")),
    413: (N_("That is too much"), N_("What was sent is too large. Please send less.")),
    429: (N_("One moment, please"), N_("Those were many tries in a short time. Please wait a minute, then try again.")),
    500: (N_("Something went wrong here"), N_("It is not your fault. Please try again in a few minutes.")),
}
