"""May this sign-up come in? One door for every way in: our form, a form or script on another site, the JSON API.

Nobody has to solve anything: a field that people do not see, a least time between showing the form and posting it,
rates per network and per address, and, when it is switched on, a proof of work that the browser does by itself
(ALTCHA v2; bound to the address, so that a proof is worth nothing for another).
"""

from __future__ import annotations

import time
from typing import Any, cast

import altcha
from flask import Flask, request
from flask_limiter import Limiter

from challenge import signup
from challenge.errors import BadInput
from challenge.settings import Settings
from challenge.web import service
from challenge.web.speaking import asked
from challenge.web.track import came_from

HONEYPOT = "website"
WAYS_IN = ("public.sign_up", "api.sign_up")
WORK = "embed.proof"  # asked for before each of them, so it has as many
_PROOF_ITERATIONS = 2000
_PROOF_PREFIX = "00"  # one try in 256 succeeds
_PROOF_LASTS_SECONDS = 3600


def join(fields: dict[str, Any], way: str) -> None:
    """One sign-up, however it came in; a filled honeypot gets the same answer as a person. Raises BadInput."""
    if fields.get(HONEYPOT):
        return
    found = service()
    spoken = found.composer.templates.languages.choose(str(fields.get("locale") or "")[:16], *asked())
    wish = signup.read({"referrer": came_from(), **fields, "locale": spoken}, consent_source=way)
    if _is_too_quick(fields.get("shown")):
        raise BadInput("email", "That was very quick. Please press the button once more.")
    if found.settings.signup_proof and not _is_proof(fields.get("proof"), wish.email_key):
        raise BadInput("email", "Please press the button once more.")
    with found.database.write() as session:
        signup.register(session, wish, found.challenge, found.clock.now())


def shown() -> str:
    """When a form was shown, so that its post can tell: seconds and a tag."""
    now = int(time.time())
    return f"{now}.{service().tokens.tag(f'shown:{now}')}"


def ask_proof(email: str) -> dict[str, Any]:
    """The work that a browser does before this address may join. Raises BadInput for what is no address."""
    _, key = signup.address(email)
    task = altcha.create_challenge(
        "PBKDF2/SHA-256",
        _PROOF_ITERATIONS,
        key_prefix=_PROOF_PREFIX,
        expires_at=int(time.time()) + _PROOF_LASTS_SECONDS,
        data={"for": _bound(key)},
        hmac_secret=_secret(),
    )
    return cast(dict[str, Any], task.to_dict())


def limit(app: Flask, limiter: Limiter, settings: Settings) -> None:
    """The same limits on every way in."""
    limits = []
    if settings.signup_rate:
        limits.append(limiter.shared_limit(settings.signup_rate, scope="signup", methods=["POST"]))
        work = limiter.shared_limit(settings.signup_rate, scope="signup work", methods=["POST"])
        app.view_functions[WORK] = cast(Any, work(app.view_functions[WORK]))
    if settings.signup_address_rate:
        limits.append(
            limiter.shared_limit(
                settings.signup_address_rate,
                scope="signup address",
                key_func=_address,
                methods=["POST"],
                exempt_when=lambda: not _address(),
                deduct_when=lambda answer: answer.status_code < 400,
            )
        )
    for endpoint in WAYS_IN:
        for one in limits:
            app.view_functions[endpoint] = cast(Any, one(app.view_functions[endpoint]))


def _address() -> str:
    """The address that wants to join, as a code, for what is kept must not tell who it is; empty for no address."""
    fields = (request.get_json(silent=True) if request.is_json else request.form) or {}
    text = fields.get("email", "") if hasattr(fields, "get") else ""
    try:
        _, key = signup.address(text if isinstance(text, str) else "")
    except BadInput:
        return ""
    return service().tokens.tag(f"rate:{key}")


def _is_too_quick(when: Any) -> bool:
    """A form of ours says when it was shown. One on another site cannot, and is held by the other guards alone."""
    if when is None or when == "":
        return False
    at, _, tag = str(when)[:64].partition(".")
    if not (at.isascii() and at.isdigit()) or not service().tokens.is_tag(f"shown:{at}", tag):
        return True
    return time.time() - int(at) < service().settings.signup_min_seconds


def _is_proof(given: Any, key: str) -> bool:
    if not isinstance(given, str) or not given or len(given) > 4096:
        return False
    try:
        payload = altcha.Payload.from_base64(given)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    asked_for = payload.challenge.parameters
    data = asked_for.data if isinstance(asked_for.data, dict) else {}
    if data.get("for") != _bound(key):
        return False
    return bool(altcha.verify_solution(payload, _secret()).verified)


def _bound(key: str) -> str:
    return service().tokens.tag(f"proof:{key}")


def _secret() -> str:
    return f"proof {service().settings.keys[0]}"
