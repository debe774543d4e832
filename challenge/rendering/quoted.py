"""How does text become quoted-printable with holes? Everything that is equal for many people is encoded once.

A hole stands on a line of its own between two soft line breaks, so what fills it needs no new wrapping of 30 KB.
Dots at a line's start and everything outside printable ASCII are encoded: the body needs no dot-stuffing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

LINE = 76
_PLAIN = re.compile(rb"[ -<>-~]")
_ENCODED = [bytes([byte]) if _PLAIN.match(bytes([byte])) else b"=%02X" % byte for byte in range(256)]


@dataclass(frozen=True)
class Holed:
    """Encoded text: `pieces[0] hole[0] pieces[1] … hole[n-1] pieces[n]`."""

    pieces: tuple[bytes, ...]
    holes: tuple[str, ...]

    def fill(self, values: Mapping[str, bytes]) -> bytes:
        """The whole text; each value is encoded and ends with a soft line break."""
        out = [self.pieces[0]]
        for hole, piece in zip(self.holes, self.pieces[1:], strict=True):
            out.append(values[hole])
            out.append(piece)
        return b"".join(out)


def holed(text: str, marks: Mapping[str, str]) -> Holed:
    """Encodes `text`; wherever a mark stands, a hole of that name is left. Line ends become CRLF (RFC 2045 6.7)."""
    pattern = "|".join(re.escape(mark) for mark in marks.values())
    names = {mark: name for name, mark in marks.items()}
    parts = re.split(f"({pattern})", text) if pattern else [text]
    pieces = [quoted(part) for part in parts[::2]]
    holes = [names[mark] for mark in parts[1::2]]
    last = len(pieces) - 1
    glued = [
        piece + (b"=\r\n" if index < last and piece and not piece.endswith(b"\r\n") else b"")
        for index, piece in enumerate(pieces)
    ]
    return Holed(tuple(glued), tuple(holes))


def quoted(text: str) -> bytes:
    """Quoted-printable with CRLF and lines of at most 76 characters."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return b"\r\n".join(_line(line.encode("utf-8", "replace")) for line in lines)


def _line(raw: bytes) -> bytes:
    out: list[bytes] = []
    line: list[bytes] = []
    length = 0
    for index, byte in enumerate(raw):
        piece = _ENCODED[byte]
        at_end = index == len(raw) - 1
        if (length == 0 and byte == 0x2E) or (at_end and byte in b" \t"):
            piece = b"=%02X" % byte
        if length + len(piece) > LINE - 1:
            out.append(b"".join(line) + b"=\r\n")
            line, length = [], 0
            if byte == 0x2E:
                piece = b"=2E"
        line.append(piece)
        length += len(piece)
    return b"".join(out) + b"".join(line)
