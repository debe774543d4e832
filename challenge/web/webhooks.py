"""What do relays tell us about mails they took? One address per provider; the rules are in `challenge.inbound`."""

from __future__ import annotations

import logging
import urllib.request
from functools import lru_cache
from http.client import HTTPMessage
from typing import IO, Any, NoReturn

from flask import Blueprint, current_app, jsonify, request

from challenge.clock import real_now
from challenge.inbound import mailgun, postmark, sendgrid, ses
from challenge.inbound.hook import Batch, Post, Refused, accept
from challenge.settings import Settings
from challenge.web import service

room = Blueprint("webhooks", __name__)
LONGEST_POST = 1024 * 1024  # SendGrid's batches have up to 768 KB
_LONGEST_CERTIFICATE = 64 * 1024
_SECONDS = 5.0
log = logging.getLogger(__name__)


def _ses(post: Post, settings: Settings) -> Batch:
    return ses.read(post, settings, current_app.extensions.get("amazon", from_amazon))


PROVIDERS = {"ses": _ses, "sendgrid": sendgrid.read, "mailgun": mailgun.read, "postmark": postmark.read}


@room.post("/webhooks/<provider>")
def receive(provider: str) -> Any:
    """200 with what each event did; 401 when nothing proves it or it is not set up, 403 stale, 404 nobody we know, 409 a
    replay. No cookie and no form: the signature is all that counts."""
    read = PROVIDERS.get(provider)
    if read is None:
        return jsonify(error=f"There is no webhook {provider[:40]}. There are: {', '.join(sorted(PROVIDERS))}."), 404
    request.max_content_length = LONGEST_POST
    found, at = service(), real_now()
    post = Post(request.get_data(cache=False), {name.lower(): value for name, value in request.headers}, at)
    try:
        batch = read(post, found.settings)
        with found.database.write() as session:
            did = accept(session, provider, batch, found.tokens, found.settings, at, found.clock.now())
    except Refused as error:
        log.warning("A webhook was refused.", extra={"action": "webhook_refused", "from": provider, "why": str(error)})
        is_over = provider == "mailgun" and error.status in (403, 409)  # any other answer would bring it back for hours
        return jsonify(error=str(error)), 406 if is_over else error.status
    return jsonify(taken=len(did), did=did)


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect would lead away from the host that was checked."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> NoReturn:
        raise Refused("Amazon answered with a redirect.", 503)


@lru_cache(maxsize=8)
def from_amazon(url: str) -> bytes:
    """The body at an address of Amazon SNS that `ses` has checked; a certificate is fetched once per process."""
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(url, timeout=_SECONDS) as answer:
            return bytes(answer.read(_LONGEST_CERTIFICATE))
    except OSError as error:
        raise Refused(f"Amazon SNS cannot be reached ({type(error).__name__}).", 503) from error
