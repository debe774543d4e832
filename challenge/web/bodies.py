"""Has all of a request come before a page is made? Stands before the app where a server gives each request a thread.

A thread that waits for a body waits as long as its sender likes: granian has no time limit for that, and a read that is
given up holds up its whole event loop. So a body is read here, at most half of the threads wait for one at a time, and a
request beyond them is told to come again. The other half is there for pages, opens, clicks and health.
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from challenge.web import LONGEST_BODY

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_TURN_SECONDS = 0.1  # bodies that came with their headers are read in less, however many come at once
_BODILESS = ("GET", "HEAD", "OPTIONS")
_BUSY = (
    "503 Service Unavailable",
    b"Too many requests wait for the rest of them. Please try again in a few seconds.\n",
)
_SHORT = ("400 Bad Request", b"The request is not complete. Please try again.\n")


class Bodies:
    """`threads`: how many the server has."""

    def __init__(self, pages: WSGIApplication, threads: int) -> None:
        self._pages, self._waiting = pages, threading.BoundedSemaphore(max(1, threads // 2))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = _length(environ)
        if environ["REQUEST_METHOD"] in _BODILESS or not length:
            environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(), "0"
        elif length <= LONGEST_BODY:  # the app refuses a longer one without reading it
            body = self._read(environ, length)
            if not isinstance(body, bytes):
                return _answer(start_response, *body)
            environ["wsgi.input"] = io.BytesIO(body)
        return self._pages(environ, start_response)

    def _read(self, environ: WSGIEnvironment, length: int) -> bytes | tuple[str, bytes]:
        """The whole body, or what to answer instead."""
        if not self._waiting.acquire(timeout=_TURN_SECONDS):
            return _BUSY
        try:
            body = environ["wsgi.input"].read(length)
        except (OSError, RuntimeError):
            return _SHORT  # the sender went away
        finally:
            self._waiting.release()
        return bytes(body) if len(body) == length else _SHORT


def _length(environ: WSGIEnvironment) -> int:
    """As it was told; 0 when nothing was told that can be read, and more than is taken for a number without end."""
    told = str(environ.get("CONTENT_LENGTH") or "")
    if not (told.isascii() and told.isdigit()):
        return 0
    return int(told) if len(told) <= 18 else LONGEST_BODY + 1


def _answer(start_response: StartResponse, status: str, words: bytes) -> list[bytes]:
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(words))),
        ("Connection", "close"),
    ]
    start_response(status, [*headers, ("Retry-After", "5"), ("Cache-Control", "no-store")])
    return [words]
