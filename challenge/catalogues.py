"""Do the catalogues have every word that people see? Gathers the words, updates the `.po` files, finds what is missing.

Asked by `challenge words` and by the tests, never while the service runs (`i18n` reads the catalogues there).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import write_po
from jinja2 import TemplateSyntaxError

from challenge.i18n import CATALOGUES, Languages, read_catalogue
from challenge.programme.definition import Challenge
from challenge.programme.translation import sentences
from challenge.rendering.templates import FOLDERS, unreadable

_HERE = Path(__file__).parent
# Errors are written where they happen and translated where they are shown: their words count as marked.
_KEYWORDS = {**DEFAULT_KEYWORDS, "say": None, "BadInput": (2,), "BadToken": None, "NotFound": None}
_ENGLISH_ONLY = "web/templates/dashboard/**", "web/templates/inbox/**", "web/dashboard/**", "web/api/**", "web/api.py"
# What a person can be told; operators and programs are spoken to in English.
_CODE = "web/**.py", "signup.py", "participation.py", "tokens.py", "events.py"
_JINJA = {"trimmed": "true", "silent": "false"}
_PLACEHOLDER = re.compile(r"%\(\w+\)[sd]|\{\w*\}|<[^>]*>")


@dataclass(frozen=True)
class Gap:
    """One sentence that a catalogue does not have right."""

    catalogue: Path
    words: str
    problem: str


def words_of_the_pages() -> Catalog:
    """What pages, mails and errors say."""
    catalog = Catalog()
    code = [(pattern, "ignore") for pattern in _ENGLISH_ONLY]
    code += [("web/templates/**.html", "jinja2"), *((pattern, "python") for pattern in _CODE)]
    _gather(catalog, _HERE, code)
    _gather(catalog, FOLDERS, [("**.html", "jinja2"), ("**.txt", "jinja2")])
    return catalog


def words_of_the_challenge(challenge: Challenge) -> Catalog:
    """What the challenge's TOML says."""
    catalog = Catalog()
    for sentence in sentences(challenge):
        catalog.add(sentence, locations=[("challenge.toml", 0)])
    return catalog


def catalogues(challenge: Challenge) -> list[tuple[Path, Catalog]]:
    """The two folders of `.po` files, and what each file in them must have."""
    return [
        (CATALOGUES, words_of_the_pages()),
        (challenge.folder / "locales", words_of_the_challenge(challenge)),
    ]


def gaps(challenge: Challenge) -> Iterator[Gap]:
    """What is missing, unsure, or has other placeholders than the English, over every language there is."""
    for folder, wanted in catalogues(challenge):
        for file in sorted(folder.glob("*.po")):
            known = read_catalogue(file)
            for message in wanted:
                if message.id and (problem := _problem(message, known.get(message.id, message.context))):
                    yield Gap(file, _forms(message.id)[0], problem)


@dataclass(frozen=True)
class Progress:
    """How far a language is: sentences that are right, of so many; whether people are offered it."""

    locale: str
    right: int
    all: int
    is_offered: bool


def progress(challenge: Challenge) -> list[Progress]:
    """Every language that has a catalogue."""
    both, offered = catalogues(challenge), Languages(challenge, CATALOGUES).locales
    found = []
    for locale in sorted({file.stem for folder, _ in both for file in folder.glob("*.po")}):
        right = everything = 0
        for folder, wanted in both:
            file = folder / f"{locale}.po"
            known = read_catalogue(file) if file.is_file() else Catalog()
            for message in (one for one in wanted if one.id):
                everything += 1
                right += not _problem(message, known.get(message.id, message.context))
        found.append(Progress(locale, right, everything, locale in offered))
    return found


def update(challenge: Challenge, locale: str) -> list[Path]:
    """Adds new words to the language's files (made when there are none) and drops the old. The files written."""
    return [_update(folder / f"{locale}.po", locale, wanted) for folder, wanted in catalogues(challenge)]


def _update(file: Path, locale: str, wanted: Catalog) -> Path:
    known = read_catalogue(file) if file.is_file() else Catalog(locale=locale)
    written = Catalog(
        locale=locale,
        project=file.parent.parent.name,
        fuzzy=False,
        header_comment=f"# {file.parent.parent.name} in {locale}. `challenge words --write {locale}` adds what is new.",
        creation_date=known.creation_date,
        revision_date=known.revision_date,
    )
    for message in wanted:
        if not message.id:
            continue
        before = known.get(message.id, message.context)
        kept = before.string if before is not None else ""
        flags = (before.flags if before else set()) & {"fuzzy"} | message.flags - {"fuzzy"}
        written.add(message.id, kept or ("", "") if message.pluralizable else kept, message.locations, flags=flags)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as out:
        write_po(out, written, width=0, omit_header=False, include_lineno=False, sort_by_file=False)
    return file


def _gather(catalog: Catalog, folder: Path, methods: list[tuple[str, str]]) -> None:
    """Raises ContentError: a template with a mistake, and in which line."""
    options = {pattern: _JINJA for pattern, method in methods if method == "jinja2"}
    reading = folder

    def remember(name: str, method: str, options: dict[str, Any]) -> None:
        nonlocal reading
        reading = folder / name

    try:
        found = list(
            extract_from_dir(folder, methods, options, _KEYWORDS, callback=remember, directory_filter=lambda path: True)
        )
    except (TemplateSyntaxError, UnicodeDecodeError) as error:
        raise unreadable(error, reading) from error
    for name, _, message, _, context in sorted(found, key=lambda one: (one[0], one[1])):
        catalog.add(message, locations=[(name, 0)], context=context)


def _problem(wanted: Message, known: Message | None) -> str:
    if known is None or not known.string or (isinstance(known.string, tuple) and not all(known.string)):
        return "is not translated"
    if known.fuzzy:
        return "is marked fuzzy"
    said, asked = _forms(known.string), _forms(wanted.id)
    every = {mark for words in asked for mark in _PLACEHOLDER.findall(words)}
    must = set.intersection(*(set(_PLACEHOLDER.findall(words)) for words in asked))
    for words in said:
        there = _PLACEHOLDER.findall(words)
        if not must <= set(there) <= every:
            return f"has other placeholders: {words}"
    return ""


def _forms(words: str | list[str] | tuple[str, ...]) -> tuple[str, ...]:
    """The forms of a plural; one for a sentence without."""
    return (words,) if isinstance(words, str) else tuple(words)
