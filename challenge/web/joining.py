"""May this sign-up come in? One door for every way in: our form, a form or script on another site, the JSON API.

Nobody has to solve anything: a field that people do not see, a least time between showing the form and posting it,
rates per network and per address, and, when it is switched on, a proof of work that the browser does by itself
(ALTCHA v2; bound to the address, so that a proof is worth nothing for another). Beyond the rate of an address the answer is
the same as ever, for whoever asks must not learn that somebody else asked, nor be able to shut them out.
"""

from __future__ import annotations

import time
from typing import Any, cast

import altcha
from flask import Flask, current_app
from flask_limiter import Limiter
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from redis.exceptions import RedisError

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
_RATE = "challenge address rate"


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
    write = signup.register if _is_within_rate(wish.email_key) else signup.pretend
    with found.database.write() as session:
        write(session, wish, found.challenge, found.clock.now())


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
    if settings.signup_rate:
        network = limiter.shared_limit(settings.signup_rate, scope="signup", methods=["POST"])
        for endpoint in WAYS_IN:
            app.view_functions[endpoint] = cast(Any, network(app.view_functions[endpoint]))
        work = limiter.shared_limit(settings.signup_rate, scope="signup work", methods=["POST"])
        app.view_functions[WORK] = cast(Any, work(app.view_functions[WORK]))
    if settings.signup_address_rate:
        app.extensions[_RATE] = _AddressRate(limiter, settings.signup_address_rate)


class _AddressRate:
    """Counts where the network's rates are counted; in this process while that is away."""

    def __init__(self, limiter: Limiter, rate: str) -> None:
        self._limiter, self._rate = limiter, parse(rate)
        self._here = FixedWindowRateLimiter(MemoryStorage())

    def takes(self, code: str) -> bool:
        try:
            return self._limiter.limiter.hit(self._rate, "challenge", code, "signup address")
        except RedisError:
            return self._here.hit(self._rate, code)


def _is_within_rate(email_key: str) -> bool:
    """Counted by a code, for what is kept must not tell who it is; ana+1@ and ana+2@ are one mailbox."""
    rate: _AddressRate | None = current_app.extensions.get(_RATE)
    local, _, domain = email_key.rpartition("@")
    mailbox = f"{local.partition('+')[0] or local}@{domain}"
    return rate is None or rate.takes(service().tokens.tag(f"rate:{mailbox}"))


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
