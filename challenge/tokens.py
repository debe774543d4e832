"""Is this link ours, and what may it do? Made by rendering, checked by the pages.

A token is `purpose ‖ integers ‖ tag` in base64url: the integers as varints, the tag the first 12 bytes of keyed
BLAKE2b (RFC 7693) over the rest. Tokens never expire: an unsubscribe link must work for years (RFC 8058, CAN-SPAM).
The first key signs, every key verifies, so a key can be rotated without breaking a link.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache

from challenge.errors import BadToken

_TAG_BYTES = 12
_LONGEST = 64


class Purpose(IntEnum):
    """What a token may be used for; a token for one purpose is worth nothing for another."""

    confirm = 1
    day = 2
    preferences = 3
    unsubscribe = 4
    opened = 5
    clicked = 6
    calendar = 7
    join = 8
    reply = 9
    joined = 10


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
_BASE32 = [a + b for a in "abcdefghijklmnopqrstuvwxyz234567" for b in "abcdefghijklmnopqrstuvwxyz234567"]  # RFC 4648 6
_SMALL = tuple(bytes((number,)) for number in range(0x80))


class Tokens:
    """Signs and reads tokens under one or more secrets (first signs, all verify)."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = [
            hashlib.blake2b(secret.encode(), person=b"challenge-link", digest_size=32).digest() for secret in secrets
        ]
        self._keyed = hashlib.blake2b(key=self._keys[0], digest_size=_TAG_BYTES)
        self._texts = [hashlib.blake2b(key=key, person=b"text", digest_size=10) for key in self._keys]

    def sign(self, purpose: Purpose, *numbers: int) -> str:
        """The token for `purpose` about these non-negative integers."""
        payload = _SMALL[purpose] + b"".join(map(_varint, numbers))
        tag = self._keyed.copy()
        tag.update(payload)
        coded = binascii.b2a_base64(payload + tag.digest(), newline=False)
        return coded.translate(_URL_SAFE).rstrip(b"=").decode()

    def read(self, purpose: Purpose, token: str, count: int) -> tuple[int, ...]:
        """The `count` integers that were signed for `purpose`. Raises BadToken."""
        payload = self._verified(token)
        if payload[0] != purpose:
            raise BadToken("This link is for something else.")
        numbers = _numbers(payload[1:])
        if len(numbers) != count:
            raise BadToken("This link is incomplete.")
        return numbers

    def tag(self, text: str) -> str:
        """A short tag over any text (VERP addresses, nonces): lower-case base32, 16 characters."""
        return _text_tag(self._texts[0], text)

    def is_tag(self, text: str, tag: str) -> bool:
        return any(
            hmac.compare_digest(_text_tag(keyed, text).encode(), tag.lower().encode("utf-8", "replace"))
            for keyed in self._texts
        )

    def _verified(self, token: str) -> bytes:
        try:
            if len(token) > _LONGEST or not token.isascii():
                raise ValueError
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            if base64.urlsafe_b64encode(raw).decode().rstrip("=") != token:
                raise ValueError  # two spellings of one link would hide a flipped bit
        except ValueError:
            raise BadToken("This link was cut short or changed.") from None
        payload, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        if not payload or not any(hmac.compare_digest(_tag(key, payload), tag) for key in self._keys):
            raise BadToken("This link was cut short or changed.")
        return payload


def _tag(key: bytes, payload: bytes) -> bytes:
    return hashlib.blake2b(payload, key=key, digest_size=_TAG_BYTES).digest()


def _text_tag(keyed: hashlib.blake2b, text: str) -> str:
    digest = keyed.copy()
    digest.update(text.encode("utf-8", "replace"))
    number = int.from_bytes(digest.digest(), "big")
    return "".join([_BASE32[number >> shift & 0x3FF] for shift in range(70, -1, -10)])


@lru_cache(maxsize=1024)  # one mail's links are about the same two numbers
def _varint(number: int) -> bytes:
    if number < 0x80:
        return _SMALL[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _numbers(payload: bytes) -> tuple[int, ...]:
    numbers, number, shift = [], 0, 0
    for byte in payload:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    return tuple(numbers)
