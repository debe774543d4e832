"""The picture in each mail that tells it was opened. Answered before Flask, for nothing of a page is needed and it is asked
for more often than all pages together; the answer goes out when the open is on disk, and waits for no database."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from challenge.clock import real_now
from challenge.errors import BadToken
from challenge.tokens import Purpose
from challenge.tracking.classify import HEADERS, observe
from challenge.tracking.opens import Open

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from challenge.web import Service

_START, _END = "/o/", ".gif"
_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_HEADERS = [
    ("Content-Type", "image/gif"),
    ("Content-Length", str(len(_GIF))),
    ("Cache-Control", "no-store, max-age=0"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Robots-Tag", "noindex, nofollow"),
    ("Referrer-Policy", "no-referrer"),
]
_SEEN = [(name, f"HTTP_{name.upper().replace('-', '_')}") for name in HEADERS]
log = logging.getLogger(__name__)


class Picture:
    """Takes /o/<token>.gif; everything else is the pages'. OPTIONS and other methods are answered and do nothing."""

    def __init__(self, pages: WSGIApplication, found: Service) -> None:
        self._pages, self._found = pages, found
        self._is_well = True
        secure = found.settings.public_url.startswith("https://")
        self._headers = [*_HEADERS, ("Strict-Transport-Security", "max-age=31536000")] if secure else _HEADERS

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        if not (path.startswith(_START) and path.endswith(_END)):
            return self._pages(environ, start_response)
        if method not in ("GET", "HEAD"):
            status = "204 No Content" if method == "OPTIONS" else "405 Method Not Allowed"
            start_response(status, [("Allow", "GET, HEAD, OPTIONS")])
            return []
        try:
            self._opened(path[len(_START) : -len(_END)], environ)
        except BadToken:
            pass  # always a picture, also for a link that is not ours: a mail must not show a broken image
        except (OSError, SQLAlchemyError):  # also when the disk is full
            if self._is_well:
                log.exception("Opens are not recorded.", extra={"action": "event_lost"})
            self._is_well = False
        start_response("200 OK", list(self._headers))
        return [] if method == "HEAD" else [_GIF]

    def _opened(self, token: str, environ: WSGIEnvironment) -> None:
        found, real = self._found, real_now()
        (delivery_id,) = found.tokens.read(Purpose.opened, token, 1)
        address = environ.get("REMOTE_ADDR", "")
        headers = {name: environ[key] for name, key in _SEEN if key in environ}
        evidence = observe(environ["REQUEST_METHOD"], headers, address, found.day_keys.at(real), found.networks)
        found.opens.append(Open(delivery_id, evidence, found.clock.now(), real).to_line())
        self._is_well = True
