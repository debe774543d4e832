"""Which language do we speak to this person? Catalogues, and dates, hours and numbers as that language writes them.

English is what the sources say. A language is offered when `challenge/locales/<locale>.po` has the words of pages and
mails and `<challenge>/locales/<locale>.po` those of the challenge, and no sentence in them waits for its translation;
both are read as they are, no build step.
"""

from __future__ import annotations

import gettext
import io
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime, time
from functools import cached_property
from pathlib import Path
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_skeleton, format_time
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import write_mo
from babel.messages.pofile import PoFileError, read_po
from babel.numbers import format_currency, format_decimal

from challenge.errors import UsageError
from challenge.programme.definition import Challenge
from challenge.programme.translation import translated

CATALOGUES = Path(__file__).parent / "locales"
SOURCE = "en"
_FIRST_STRONG, _POP = "\u2068", "\u2069"


def N_(words: str) -> str:  # noqa: N802 - the name that extractors know
    """Marks words for the catalogues where they stand; they are translated where they are shown."""
    return words


class Language:
    """One language: words, direction, dates, hours, numbers, and the challenge told in it."""

    def __init__(self, locale: str, challenge: Challenge, catalogues: Iterable[Catalog] = ()) -> None:
        self.locale = locale
        self._told = challenge
        self._babel = Locale.parse(locale)
        self._words = gettext.NullTranslations()
        for catalogue in catalogues:
            words = _compiled(catalogue)
            words.add_fallback(self._words)
            self._words = words

    @property
    def lang(self) -> str:
        """For `lang=` and Content-Language (BCP 47)."""
        return self.locale.replace("_", "-")

    @cached_property
    def dir(self) -> str:
        """`ltr` or `rtl`."""
        return self._babel.text_direction

    @property
    def name(self) -> str:
        """What its speakers call it."""
        return (self._babel.get_display_name() or self.locale).capitalize()

    @cached_property
    def challenge(self) -> Challenge:
        """The challenge in this language; a sentence nobody translated stays as it was written."""
        return self._told if self.locale == self._told.locale else translated(self._told, self.gettext)

    def gettext(self, words: str) -> str:
        return self._words.gettext(words) if words else ""

    def ngettext(self, one: str, many: str, count: int) -> str:
        return self._words.ngettext(one, many, count)

    def hour(self, hour: int) -> str:
        """A whole hour as people say it: `8 am`, `12 noon`, `08:00`."""
        if self._babel.language == "en":
            return "12 noon" if hour == 12 else f"{hour % 12 or 12} {'am' if hour < 12 else 'pm'}"
        return format_time(time(hour), "short", locale=self._babel)

    def weekday(self, at: datetime, timezone: str) -> str:
        """`Monday`, as it is where the person lives."""
        return format_date(at.astimezone(ZoneInfo(timezone)).date(), "EEEE", locale=self._babel)

    def date(self, day: date) -> str:
        """`March 2`, `2. März`: day and month."""
        return format_skeleton("MMMMd", day, locale=self._babel)

    def full_date(self, at: datetime) -> str:
        """`March 2, 2027`, `2. März 2027`, where the time says."""
        return format_date(at.date(), "long", locale=self._babel)

    def number(self, number: float) -> str:
        return format_decimal(number, locale=self._babel)

    def price(self, amount: float, currency: str) -> str:
        """`$49.00`, `49,00 €`."""
        return format_currency(amount, currency, locale=self._babel)

    def isolated(self, name: str) -> str:
        """A name in plain text; one that runs the other way is kept from turning the sentence around it (UAX 9)."""
        return f"{_FIRST_STRONG}{name}{_POP}" if _direction(name) not in ("", self.dir) else name


class Languages:
    """The languages a challenge can be told in."""

    def __init__(self, challenge: Challenge, catalogues: Path | None = None) -> None:
        """Raises UsageError for a catalogue that cannot be read."""
        catalogues = catalogues or CATALOGUES
        self._source = challenge.locale
        self._spoken = {
            challenge.locale: Language(challenge.locale, challenge, _existing(catalogues, challenge.locale))
        }
        theirs = challenge.folder / "locales"
        for file in sorted(theirs.glob("*.po")):
            if file.stem == SOURCE or (catalogues / file.name).is_file():
                both = [*_existing(catalogues, file.stem), read_catalogue(file)]
                if all(is_translated(message) for catalogue in both for message in catalogue if message.id):
                    self._spoken[file.stem] = Language(file.stem, challenge, both)

    @property
    def locales(self) -> tuple[str, ...]:
        """The challenge's own language first."""
        return tuple(self._spoken)

    def all(self) -> tuple[Language, ...]:
        return tuple(self._spoken.values())

    def get(self, locale: str) -> Language:
        """The language; the challenge's own when `locale` is not offered."""
        return self._spoken.get(locale) or self._spoken[self._source]

    def choose(self, *wanted: str) -> str:
        """The best of what a person or a browser asks for, most wanted first: `de-AT` gets `de`."""
        spoken = {locale.lower(): locale for locale in reversed(self.locales)}
        by_language = {locale.partition("_")[0]: whole for locale, whole in spoken.items()}
        for word in (word.replace("-", "_").lower() for word in wanted):
            if found := spoken.get(word) or by_language.get(word.partition("_")[0]):
                return found
        return self._source


def _existing(folder: Path, locale: str) -> list[Catalog]:
    file = folder / f"{locale}.po"
    return [read_catalogue(file)] if file.is_file() else []


def is_translated(message: Message) -> bool:
    """Whether somebody has said it in the language, in every plural form, and is sure of it."""
    forms = message.string if isinstance(message.string, (list, tuple)) else (message.string,)
    return bool(forms) and all(forms) and not message.fuzzy


def read_catalogue(file: Path) -> Catalog:
    """Raises UsageError for a file that is no catalogue."""
    try:
        with file.open("rb") as source:
            return read_po(source, locale=file.stem, abort_invalid=True)
    except (OSError, PoFileError, UnknownLocaleError, ValueError) as error:
        raise UsageError(f"{file} is not a catalogue ({error}). Mend it, or take it away.") from error


def _compiled(catalogue: Catalog) -> gettext.GNUTranslations:
    packed = io.BytesIO()
    write_mo(packed, catalogue)
    packed.seek(0)
    return gettext.GNUTranslations(packed)


def _direction(text: str) -> str:
    """`ltr` or `rtl` by the first letter that has one; empty when none has."""
    for letter in text:
        match unicodedata.bidirectional(letter):
            case "L":
                return "ltr"
            case "R" | "AL":
                return "rtl"
    return ""
