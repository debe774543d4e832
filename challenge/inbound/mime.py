"""What does this mail consist of, however broken it is? The parser's own reader: it never raises and never recurses far.

The standard library's parser costs a millisecond or more a mail, stops at some malformed ones and descends into the
returned message, which must not be mistaken for the report. This one reads headers, the parts of the outer message and
their text; what was returned (message/rfc822, text/rfc822-headers) stays closed until somebody asks for it.
"""

from __future__ import annotations

import binascii
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_LARGEST = 8_000_000
_DEEPEST = 6
_MOST_PARTS = 100
_LONGEST_TEXT = 200_000
_LONGEST_SUBJECT = 500
_FIELD = re.compile(rb"([!-9;-~]{1,100})[ \t]*:[ \t]*(.*)", re.DOTALL)
_PARAMETER = re.compile(r';\s*([\w-]+)(?:\*\d{0,2}\*?)?\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]*)')
_WORD = re.compile(r"=\?([\w.:-]+)(?:\*[\w-]*)?\?([bqBQ])\?([^?\s]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)\s+(=\?)")
_LOST_BOUNDARY = re.compile(rb"(?im)^--([^\n]{1,200})\ncontent-[a-z-]+:")
_TAG = re.compile(r"<[^<>]{0,2000}>")
_BREAK = re.compile(r"(?i)<(?:br|/?p|/?div|/?tr|/?li|/?h\d|/?td|/?table|/?pre|hr)\b[^<>]{0,2000}>")
_MAYBE_MARKUP = re.compile(r"(?i)</?(?:html|body|p|br|div|table)\b")
# Not text, quadratic in time, or able to raise where others only replace.
_NOT_FOR_TEXT = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}


@dataclass(slots=True)
class Part:
    """One part: its fields in order (names in lower case, values unfolded), its kind, its raw body, its children."""

    fields: list[tuple[str, str]]
    body: bytes
    kind: str = "text/plain"
    parameters: dict[str, str] = field(default_factory=dict)
    children: list[Part] = field(default_factory=list)

    def get(self, name: str) -> str:
        """The first value of a header, decoded; empty when there is none."""
        for known, value in self.fields:
            if known == name:
                return _subject(value) if name == "subject" else decoded_words(value)
        return ""

    def all(self, name: str) -> list[str]:
        return [decoded_words(value) for known, value in self.fields if known == name]

    def walk(self) -> Iterator[Part]:
        """This part and those inside it; never what was returned."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def is_text(self) -> bool:
        return not self.children and self.kind in ("text/plain", "text/html", "text", "plain", "text/enriched")

    def text(self) -> str:
        """The body as a person would read it: transfer encoding, charset and markup undone."""
        return _readable(self.decoded(), self.parameters.get("charset", ""), self.kind)

    def inner(self) -> Part:
        """What a message/rfc822 or text/rfc822-headers part carries."""
        return read(self.decoded(), outer=False)

    def decoded(self) -> bytes:
        """The body with its transfer encoding undone."""
        encoding = self.get("content-transfer-encoding").strip().lower()
        return _undone(self.body[:_LARGEST], encoding)


def read(data: bytes, *, outer: bool = True) -> Part:
    """The mail as a tree. `outer=False` reads only the headers and keeps the body as it is."""
    data = data[:_LARGEST].replace(b"\r\n", b"\n").replace(b"\r", b"\n").lstrip(b"\n\0 \t\xef\xbb\xbf")
    if data.startswith((b"From ", b">From ")):
        data = data.partition(b"\n")[2]
    fields, body = _split(data)
    budget = [_MOST_PARTS]
    return _part(fields, body, _DEEPEST if outer else 0, budget)


def decoded_words(value: str) -> str:
    """RFC 2047 words undone; what cannot be decoded stays as it is."""
    if "=?" not in value:
        return value
    return _WORD.sub(_decoded_word, _BETWEEN_WORDS.sub(r"\1\2", value))


def _subject(value: str) -> str:
    """Many patterns look at it; nobody's has more to say."""
    return decoded_words(value[: 4 * _LONGEST_SUBJECT])[:_LONGEST_SUBJECT]


def _part(fields: list[tuple[str, str]], body: bytes, depth: int, budget: list[int]) -> Part:
    kind, parameters = _content_type(next((value for name, value in fields if name == "content-type"), ""))
    part = Part(fields, body, kind, parameters)
    if depth and kind.startswith("multipart/"):
        for raw in _pieces(body, parameters.get("boundary", "")):
            budget[0] -= 1
            if budget[0] < 0:
                break
            part.children.append(_part(*_split(raw), depth - 1, budget))
        if not part.children:
            part.kind = "text/plain"  # a boundary that is nowhere: what there is, is text
    return part


def _split(data: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body. A line that is no header ends the headers, also without the empty line before it."""
    fields: list[tuple[str, str]] = []
    name, value = "", b""
    position = 0
    while position < len(data):
        end = data.find(b"\n", position)
        end = len(data) if end < 0 else end
        line = data[position:end]
        if not line.strip():
            position = end + 1
            break
        if line[:1] in (b" ", b"\t"):
            if name and len(value) < 20_000:
                value += b" " + line.strip()
        elif found := _FIELD.match(line):
            if name:
                fields.append((name, _as_text(value)))
            name, value = found[1].decode("ascii").lower(), found[2][:20_000].strip()
            if len(fields) > 1000:
                break
        else:
            break
        position = end + 1
    if name:
        fields.append((name, _as_text(value)))
    return fields, data[position:]


def _pieces(body: bytes, boundary: str) -> list[bytes]:
    mark = b"--" + boundary.encode("latin-1", "replace")
    padded = b"\n" + body
    if not boundary or b"\n" + mark not in padded:
        lost = _LOST_BOUNDARY.search(body)
        if lost is None:
            return []
        mark = b"--" + lost[1].rstrip()
    pieces = []
    for raw in padded.split(b"\n" + mark)[1 : _MOST_PARTS + 2]:
        if raw.startswith(b"--"):
            break
        pieces.append(raw.partition(b"\n")[2])
    return pieces


def _content_type(value: str) -> tuple[str, dict[str, str]]:
    kind = value.partition(";")[0].strip().lower() or "text/plain"
    parameters: dict[str, str] = {}
    for name, text in _PARAMETER.findall(value[:4000]):
        parameters[name.lower()] = parameters.get(name.lower(), "") + text.strip('"').replace("\\", "")
    return kind, parameters


def _undone(body: bytes, encoding: str) -> bytes:
    try:
        if encoding == "quoted-printable":
            return binascii.a2b_qp(body)
        if encoding == "base64":
            letters = re.sub(rb"[^A-Za-z0-9+/]", b"", body)
            return binascii.a2b_base64(letters[: len(letters) // 4 * 4] + _rest(letters))
    except (ValueError, binascii.Error):
        pass
    return body


def _rest(letters: bytes) -> bytes:
    tail = letters[len(letters) // 4 * 4 :]
    return tail + b"=" * (4 - len(tail)) if len(tail) > 1 else b""


def _readable(raw: bytes, charset: str, kind: str) -> str:
    text = _decoded(raw[:_LONGEST_TEXT], charset)
    if kind == "text/html" or _MAYBE_MARKUP.search(text[:300]):
        return _without_markup(text)
    return text


def _decoded(raw: bytes, charset: str) -> str:
    name = charset.strip().lower().replace("-", "_")
    if raw.isascii() and not name.startswith(("iso_2022", "utf_7", "hz", "utf_16", "utf_32")):
        return raw.decode("ascii")
    if name and name not in _NOT_FOR_TEXT:
        try:
            return raw.decode(charset.strip(), "replace").encode("utf-8", "replace").decode()  # no half surrogates
        except (LookupError, ValueError, AssertionError):
            pass
    return _as_text(raw)


def _as_text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _decoded_word(found: re.Match[str]) -> str:
    charset, how, text = found[1], found[2].lower(), found[3]
    raw = text.encode("latin-1", "replace")
    raw = _undone(raw, "base64") if how == "b" else binascii.a2b_qp(raw, header=True)
    return re.sub(r"[\r\n\0]", " ", _decoded(raw, charset))


def _without_markup(text: str) -> str:
    for name in ("style", "script", "title"):
        text = _without_element(text, name)
    return html.unescape(_TAG.sub("", _BREAK.sub("\n", text))).replace("\xa0", " ")


def _without_element(text: str, name: str) -> str:
    lower, kept, position = text.lower(), [], 0
    if len(lower) != len(text):  # a few letters change their length: leave the text alone
        return text
    while (start := lower.find(f"<{name}", position)) >= 0:
        kept.append(text[position:start])
        end = lower.find(f"</{name}", start)
        if end < 0:
            return "".join(kept)
        position = end + len(name) + 3
    return "".join([*kept, text[position:]])
