"""How does text become quoted-printable with holes? Everything that is equal for many people is encoded once.

A hole stands on a line of its own between two soft line breaks, so what fills it needs no new wrapping of 30 KB.
Dots at a line's start, everything outside printable ASCII, blanks at a line's end and blanks behind blanks are encoded:
the body needs no dot-stuffing, and it is its own relaxed form (RFC 6376 3.4.4), so DKIM hashes it as it is.
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
        """The whole text; values are put in as they are (a body's: encoded, with a soft line break at the end)."""
        out = [b""] * (2 * len(self.holes) + 1)
        out[::2] = self.pieces
        out[1::2] = [values[hole] for hole in self.holes]
        return b"".join(out)


def joined(*texts: Holed | bytes) -> Holed:
    """One text of several."""
    pieces: list[bytes] = [b""]
    holes: list[str] = []
    for text in texts:
        first, *rest = (text,) if isinstance(text, bytes) else text.pieces
        pieces[-1] += first
        pieces += rest
        holes += () if isinstance(text, bytes) else text.holes
    return Holed(tuple(pieces), tuple(holes))


def cut(text: bytes, marks: Mapping[str, str]) -> Holed:
    """`text` as it is, with a hole wherever a mark stands."""
    names = {mark.encode(): name for name, mark in marks.items()}
    parts = re.split(b"(" + b"|".join(map(re.escape, names)) + b")", text)
    return Holed(tuple(parts[::2]), tuple(names[mark] for mark in parts[1::2]))


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


def relaxed_body(body: bytes) -> bytes:
    """RFC 6376 3.4.4: runs of blanks are one, none before a line end, no empty lines at the end."""
    body = re.sub(rb"[ \t]+", b" ", body).replace(b" \r\n", b"\r\n")
    body = body.rstrip(b"\r\n") if body.endswith(b"\r\n") else body.rstrip(b" ")
    return body + b"\r\n" if body else b""


def _line(raw: bytes) -> bytes:
    out: list[bytes] = []
    line: list[bytes] = []
    length = 0
    for index, byte in enumerate(raw):
        piece = _ENCODED[byte]
        at_end = index == len(raw) - 1
        if (length == 0 and byte == 0x2E) or (byte == 0x20 and (at_end or raw[index - 1 : index] == b" ")):
            piece = b"=%02X" % byte
        if length + len(piece) > LINE - 1:
            out.append(b"".join(line) + b"=\r\n")
            line, length = [], 0
            if byte == 0x2E:
                piece = b"=2E"
        line.append(piece)
        length += len(piece)
    return b"".join(out) + b"".join(line)
