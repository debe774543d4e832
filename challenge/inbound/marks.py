"""Which of our mails is this about? Finds what we alone can make: the VERP address (it is the ENVID too, so a report's
Original-Envelope-Id holds it), the Message-ID, the unsubscribe link.

Each carries an HMAC, so finding one also proves that the mail it names was ours (RFC 3464 4.1). Asked by everything that
arrives; some complaint feeds keep only one of the three.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from challenge.errors import BadToken
from challenge.tokens import Purpose, Tokens

_LONGEST = 400_000
_TRIES = 40
_TAG = r"([a-z2-7]{16})"
_VERP = re.compile(rf"(?<![\w-])b(\d{{1,18}})-{_TAG}@", re.IGNORECASE)
_KEY = r"[a-z]+(?:-[a-z0-9-]{1,30})?(?:\.[a-z0-9-]{1,30}){0,4}"  # up to resend:1:already:1:day-3
_MESSAGE_ID = re.compile(rf"(?<![\w.-])(\d{{1,18}})\.({_KEY})\.{_TAG}@", re.IGNORECASE)
_UNSUBSCRIBE = re.compile(r"/unsubscribe/([\w-]{16,64})(?![\w-])")


@dataclass(frozen=True)
class Mark:
    """A mail of ours: its numbers as far as the mark tells them, and which mark it was."""

    delivery_id: int | None
    enrollment_id: int | None
    by: str
    key: str = ""


def find_mark(text: str, tokens: Tokens) -> Mark | None:
    """The first genuine mark in `text`, whatever else stands around it; None when there is none."""
    text = text[:_LONGEST]
    return next(chain(_verp(text, tokens), _message_ids(text, tokens), _links(text, tokens)), None)


def _verp(text: str, tokens: Tokens) -> Iterator[Mark]:
    for found in islice(_VERP.finditer(text), _TRIES):
        if tokens.is_tag(f"verp:{int(found[1])}", found[2]):
            yield Mark(int(found[1]), None, "verp")


def _message_ids(text: str, tokens: Tokens) -> Iterator[Mark]:
    for found in islice(_MESSAGE_ID.finditer(text), _TRIES):
        key = found[2].lower().replace(".", ":")
        if tokens.is_tag(f"mid:{int(found[1])}:{key}", found[3]):
            yield Mark(None, int(found[1]), "message-id", key)


def _links(text: str, tokens: Tokens) -> Iterator[Mark]:
    for found in islice(_UNSUBSCRIBE.finditer(text), _TRIES):
        try:
            enrollment_id, delivery_id = tokens.read(Purpose.unsubscribe, found[1], 2)
        except BadToken:
            continue
        yield Mark(delivery_id, enrollment_id, "unsubscribe link")
