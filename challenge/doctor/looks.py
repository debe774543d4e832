"""How does one HTML part look to a person and to a filter? Hidden text, contrast, pictures without words, misleading links.

Reads the finished, inlined HTML: what a mail program gets, not what a template meant. Colours are inherited as the inline
styles say; where none is said, black on white.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import urlsplit

LEAST_CONTRAST, LEAST_LARGE_CONTRAST, LARGE_PIXELS = 4.5, 3.0, 24.0
_VOID = {"img", "br", "hr", "meta", "link", "input", "col", "area", "base", "source", "wbr"}
_SILENT = {"style", "script", "title", "head"}
_HIDING = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d]*[1-9])|opacity\s*:\s*0(?![.\d]*[1-9])"
    r"|max-height\s*:\s*0(?![.\d]*[1-9])|mso-hide\s*:\s*all|text-indent\s*:\s*-\d{3,}",
    re.IGNORECASE,
)
_STYLE = re.compile(r"(?:^|;)\s*([a-z-]+)\s*:\s*([^;]+)")
_HEX = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})\b", re.IGNORECASE)
_RGB = re.compile(r"rgba?\(\s*(\d+)[ ,]+(\d+)[ ,]+(\d+)", re.IGNORECASE)
_NAMED = {"black": (0, 0, 0), "white": (255, 255, 255)}
_ADDRESS_TEXT = re.compile(r"(?:https?://|www\.)([\w.-]+)", re.IGNORECASE)
Colour = tuple[int, int, int]


@dataclass
class Looks:
    """What was seen: each fault in a few words, and where the links lead."""

    faults: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Ground:
    """What an element hands down to what is in it."""

    tag: str
    colour: Colour
    background: Colour
    pixels: float
    is_hidden: bool
    link: str


def look(page: str) -> Looks:
    """Everything worth a word in one HTML part."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.seen


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.2: from 1 (the same) to 21 (black and white)."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen = Looks()
        self._stack = [_Ground("", (0, 0, 0), (255, 255, 255), 16.0, False, "")]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "img":
            self._picture(given)
        if tag == "a" and given.get("href"):
            self.seen.links.append(given["href"])
        if tag not in _VOID:
            self._stack.append(self._ground(tag, given))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        for at in range(len(self._stack) - 1, 0, -1):
            if self._stack[at].tag == tag:
                del self._stack[at:]
                return

    def handle_data(self, data: str) -> None:
        words = " ".join(data.split())
        ground = self._stack[-1]
        if not words or any(one.tag in _SILENT for one in self._stack):
            return
        self.seen.words.append(words)
        short = words[:40]
        if ground.is_hidden:
            self.seen.faults.append(f"hidden text “{short}”")
            return
        found = contrast(ground.colour, ground.background)
        least = LEAST_LARGE_CONTRAST if ground.pixels >= LARGE_PIXELS else LEAST_CONTRAST
        if found < least:
            self.seen.faults.append(f"“{short}” has a contrast of {found:.1f}, not {least}")
        said = _ADDRESS_TEXT.match(words)
        if said and ground.link and (urlsplit(ground.link).hostname or "") != said[1].lower().rstrip("."):
            self.seen.faults.append(f"a link says {said[1]} and leads to {urlsplit(ground.link).hostname}")

    def _picture(self, given: dict[str, str]) -> None:
        tiny = given.get("width") in ("1", "0") or given.get("height") in ("1", "0")
        self.seen.pictures.append(given.get("src", ""))
        if "alt" not in given:
            self.seen.faults.append(f"a picture without words (alt): {given.get('src', '')[-40:]}")
        elif not given["alt"].strip() and not tiny and given.get("role") != "presentation":
            self.seen.faults.append(f"a picture with empty words (alt): {given.get('src', '')[-40:]}")

    def _ground(self, tag: str, given: dict[str, str]) -> _Ground:
        above = self._stack[-1]
        style = {name.lower(): value.strip() for name, value in _STYLE.findall(given.get("style", "").lower())}
        fill = _colour(style.get("background-color") or style.get("background") or given.get("bgcolor", ""))
        hidden = above.is_hidden or bool(_HIDING.search(given.get("style", ""))) or "hidden" in given
        return _Ground(
            tag,
            _colour(style.get("color") or given.get("color", "")) or above.colour,
            fill or above.background,
            _pixels(style.get("font-size", ""), above.pixels),
            hidden,
            given.get("href", "") if tag == "a" else above.link,
        )


def _colour(text: str) -> Colour | None:
    if found := _HEX.search(text):
        digits = found[1] if len(found[1]) == 6 else "".join(digit * 2 for digit in found[1])
        return (int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16))
    if found := _RGB.search(text):
        return (int(found[1]), int(found[2]), int(found[3]))
    return _NAMED.get(text.strip())


def _pixels(text: str, above: float) -> float:
    found = re.match(r"([\d.]+)(px|pt|em|rem|%)?", text)
    if not found or found[1].strip(".") == "":
        return above
    size = float(found[1])
    match found[2]:
        case "pt":
            return size * 4 / 3
        case "em":
            return size * above
        case "rem":
            return size * 16
        case "%":
            return size * above / 100
        case _:
            return size


def _luminance(colour: Colour) -> float:
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
