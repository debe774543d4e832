"""What does a mail's HTML say, element by element? A small tree with inlined styles, for the mail lint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = {"meta", "img", "br", "hr", "link", "input"}
_INHERITED = {"color", "background-color", "font-size", "line-height", "text-decoration"}
Color = tuple[int, int, int]


@dataclass
class Element:
    """One element. `style` is its inline style; text children are strings."""

    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element | str] = field(default_factory=list)

    @property
    def style(self) -> dict[str, str]:
        pairs = (row.partition(":") for row in self.attributes.get("style", "").split(";") if ":" in row)
        return {name.strip().lower(): value.strip() for name, _, value in pairs}

    @property
    def classes(self) -> set[str]:
        return set(self.attributes.get("class", "").split())

    def walk(self) -> Iterator[Element]:
        yield self
        for child in self.children:
            if isinstance(child, Element):
                yield from child.walk()

    def all(self, *tags: str) -> list[Element]:
        return [element for element in self.walk() if element.tag in tags]

    def above(self) -> Iterator[Element]:
        """This element, then its parents."""
        element: Element | None = self
        while element is not None:
            yield element
            element = element.parent

    @property
    def text(self) -> str:
        """All the words inside, with single blanks."""
        return " ".join("".join(self._words()).split())

    def _words(self) -> Iterator[str]:
        for child in self.children:
            yield from (child,) if isinstance(child, str) else child._words()

    def computed(self, name: str, dark: dict[str, dict[str, str]] | None = None) -> str:
        """The value that holds here: its own, else the nearest parent's. `dark`: class -> what a dark client sets."""
        for element in self.above():
            for one in element.classes & (dark or {}).keys():
                if dark and name in dark[one]:
                    return dark[one][name]
            if name in element.style:
                return element.style[name]
            if name not in _INHERITED:
                return ""
        return ""


def parsed(page: str) -> Element:
    """The root of the page; `<html>` is its first element."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.root


def dark_rules(page: str) -> dict[str, dict[str, str]]:
    """Class -> properties of `@media (prefers-color-scheme: dark)`."""
    found: dict[str, dict[str, str]] = {}
    for block in re.findall(r"@media \(prefers-color-scheme:\s*dark\)\s*\{((?:[^{}]*\{[^{}]*\})*)\s*\}", page):
        for selectors, body in re.findall(r"([^{}]+)\{([^{}]*)\}", block):
            pairs = dict(re.findall(r"([\w-]+)\s*:\s*([^;!]+?)\s*!important", body))
            for selector in selectors.split(","):
                found.setdefault(selector.strip().lstrip("."), {}).update(pairs)
    return found


def color(text: str) -> Color:
    """A colour written as `#rrggbb`. Raises ValueError for any other way of writing: mail programs know this one."""
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise ValueError(f"{text!r} is not written as #rrggbb")
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def inverted(one: Color) -> Color:
    """What a mail program makes of a colour that turns everything around."""
    return 255 - one[0], 255 - one[1], 255 - one[2]


def contrast(one: Color, other: Color) -> float:
    """WCAG 2.2 contrast ratio, from 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(one: Color) -> float:
    red, green, blue = ((c / 255 / 12.92) if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in one)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self._open = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self._open)
        self._open.children.append(element)
        if tag not in _VOID:
            self._open = element

    def handle_endtag(self, tag: str) -> None:
        for element in self._open.above():
            if element.tag == tag:
                self._open = element.parent or self.root
                return

    def handle_data(self, data: str) -> None:
        self._open.children.append(data)
