"""What does a mail say? Fills a mail folder once per distinct content and leaves holes for what differs per person.

`templates/emails/<mail>/{subject.txt,body.txt,body.html}` over `_base`. Content that is equal (same mail, day,
position, progress, …) is rendered, CSS-inlined and encoded once; names and links are filled in afterwards.
"""

from __future__ import annotations

import hashlib
import html
import re
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import css_inline
from jinja2 import (
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PrefixLoader,
    StrictUndefined,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
)
from markupsafe import Markup

from challenge.i18n import Language, Languages
from challenge.programme.definition import Challenge, ContentError
from challenge.rendering.links import Address, Link, Links
from challenge.rendering.quoted import Holed, holed, quoted

_HERE = Path(__file__).parent.parent
FOLDERS = next((path for path in (_HERE.parent / "templates" / "emails", _HERE / "_emails") if path.is_dir()), _HERE)
_THEIRS = "mails"  # beside the challenge's TOML: what variants send in a mail's place
_NAME_TEXT, _NAME_HTML = "name_text", "name_html"
_INDENT = re.compile(r"\n[ \t]+")  # in HTML it says nothing, and every blank of it would be encoded
_GAP = re.compile(r"\n{3,}")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9'-]+(?: [A-Za-z0-9'-]+)*")
_MUST_LEAD_TO = {"confirm": "confirm", "day": "day", "nudge": "day"}
_WITHOUT_NAME = ("confirm",)  # whoever types somebody else's address must not get words of theirs into that mailbox
_OTHER = ("confirm", "unsubscribe", "open", "bymail")

# What a template or a catalogue can do wrong: syntax, an unknown word, a hole that has no value.
_UNFIT = (TemplateError, LookupError, ValueError, TypeError)


class Content(NamedTuple):
    """All that a mail's words depend on, but for the name and the links. Equal contents are rendered once.

    Of `already` alone: `stage` (`before` day 1, `day`, `after` the last, `paused`) and `next_on`, the local date of the
    next mail (ISO 8601), empty when none is planned."""

    mail: str
    day: int = 0
    position: str = "seated"
    goal: str = ""
    done: tuple[int, ...] = ()
    rested: int = 0
    hour: int = 8
    pace: str = "daily"
    has_name: bool = False
    tracking: bool = True
    locale: str = "en"
    variant: str = ""
    stage: str = ""
    next_on: str = ""


@dataclass(frozen=True)
class Prepared:
    """One content, encoded: subject as text, both parts with holes, and the line that parts them."""

    subject: str
    boundary: str
    text: Holed
    html: Holed
    language: Language


class Templates:
    """The mail folders of one installation."""

    def __init__(
        self,
        challenge: Challenge,
        base_url: str,
        postal_address: str,
        *,
        plain_subjects: bool = False,
        takes_mail: bool = False,
        folders: Path = FOLDERS,
    ) -> None:
        self.challenge, self.base_url, self.postal_address = challenge, base_url, postal_address
        self.languages = Languages(challenge)
        self.plain_subjects, self.takes_mail = plain_subjects, takes_mail
        self._folders = folders
        self._environment = lru_cache(maxsize=None)(self._make_environment)
        self._inliner = css_inline.CSSInliner(keep_style_tags=True, keep_at_rules=True, load_remote_stylesheets=False)
        self.prepared = lru_cache(maxsize=256)(self._prepare)
        self._refuse_broken_variants()

    def shown(self, content: Content, name: str, links: Links, to: Address) -> tuple[str, str, str]:
        """(subject, text, HTML) as a person reads them, for previews and lints."""
        subject, text, page = self._rendered(content)
        for hole, mark in _marks().items():
            value = _value(hole, name, links, to, tracking=content.tracking)
            written = self.languages.get(content.locale).isolated(value) if hole == _NAME_TEXT else value
            text, page = text.replace(mark, written), page.replace(mark, html.escape(value))
        return subject, text, page

    def _prepare(self, content: Content) -> Prepared:
        subject, text, page = self._rendered(content)
        boundary = "=_" + hashlib.blake2b(f"{self.challenge.edition}{content!r}".encode(), digest_size=12).hexdigest()
        language = self.languages.get(content.locale)
        return Prepared(subject, boundary, holed(text, _marks()), holed(page, _marks()), language)

    def _make_environment(self, language: Language, *, is_html: bool) -> Environment:
        """One pair per language: the words are part of what is compiled and kept."""
        theirs = self.challenge.folder / _THEIRS
        made = Environment(
            loader=ChoiceLoader([FileSystemLoader(self._folders), PrefixLoader({_THEIRS: FileSystemLoader(theirs)})]),
            extensions=["jinja2.ext.i18n"],
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            autoescape=is_html,
        )
        made.policies["ext.i18n.trimmed"] = True
        made.install_gettext_callables(language.gettext, language.ngettext, newstyle=True)  # type: ignore[attr-defined]
        return made

    def _rendered(self, content: Content) -> tuple[str, str, str]:
        """(subject, text, HTML). Raises ContentError: a template with a mistake, and in which line."""
        try:
            return self._filled(content)
        except _UNFIT as error:
            raise self._mistake(error, content) from error

    def _filled(self, content: Content) -> tuple[str, str, str]:
        if content.mail not in self.challenge.subjects:
            words = f"has no subject for the mail {content.mail}"
            raise ContentError(self.challenge.folder, None, words, f'Write {content.mail} = "…" under [subjects].')
        language = self.languages.get(content.locale)
        values = self._values(content, language)
        plain, rich = self._environment(language, is_html=False), self._environment(language, is_html=True)
        own = language.challenge.variants.folder(content.variant, content.mail, content.day)
        folder = f"{_THEIRS}/{own}" if own else content.mail
        subject = " ".join(plain.get_template(f"{content.mail}/subject.txt").render(values).split())
        named = content.mail not in _WITHOUT_NAME
        text = whole(
            plain.get_template(f"{folder}/body.txt").render(values | {"name": _mark(_NAME_TEXT) if named else ""})
        )
        name = Markup(f'<span dir="auto">{_mark(_NAME_HTML)}</span>') if named else ""
        page = rich.get_template(f"{folder}/body.html").render(values | {"name": name, "subject": subject})
        return (
            subject,
            _GAP.sub("\n\n", text).strip() + "\n",
            _INDENT.sub("\n", self._inliner.inline(whole(page))).strip() + "\n",
        )

    def _refuse_broken_variants(self) -> None:
        """Composes each mail of a variant once: what would fail for a share of the people stops the start instead.
        Raises ContentError."""
        for variant, mails in self.challenge.variants.mails.items():
            for key, folder in mails.items():
                mail, _, day = key.partition("-")
                content = Content(mail, int(day or 1) if mail in ("day", "nudge") else 0, variant=variant)
                place = self.challenge.folder / _THEIRS / folder
                _, text, page = self._rendered(content)
                for wanted in {"unsubscribe", _MUST_LEAD_TO.get(mail, "unsubscribe")}:
                    for part, words in (("body.txt", text), ("body.html", page)):
                        if _mark(wanted) not in words:
                            what = "has no link that stops the mails" if wanted == "unsubscribe" else "has no main link"
                            raise ContentError(place / part, None, what, f"Take it from templates/emails/{mail}/{part}")

    def check(self) -> None:
        """Fills in each mail in each language once: what would keep people's mails back stops the start instead. Raises
        ContentError."""
        mails = sorted(path.parent.name for path in self._folders.glob("*/subject.txt"))
        for locale in self.languages.locales:
            for mail in mails:
                self._rendered(Content(mail, 1, has_name=True, locale=locale))

    def _mistake(self, error: Exception, content: Content) -> ContentError:
        own = self.challenge.variants.folder(content.variant, content.mail, content.day)
        path, line = self.challenge.folder / _THEIRS / own if own else self._folders / content.mail, None
        for frame in traceback.extract_tb(error.__traceback__):  # Jinja shows the lines of templates as frames
            if Path(frame.filename).suffix in (".txt", ".html"):
                path, line = Path(frame.filename), frame.lineno
        said, advice = str(error), "Mend that line"
        if isinstance(error, UnicodeDecodeError):
            files = (*self._folders.glob("*/*"), *(self.challenge.folder / _THEIRS).glob("*/*"))
            return unreadable(error, next((file for file in files if file.read_bytes() == error.object), path))
        if isinstance(error, TemplateSyntaxError):
            return unreadable(error, path)
        if isinstance(error, TemplateNotFound):
            said, advice = f"there is no template {error.name}", "Check the name, or put the file there"
        elif isinstance(error, UndefinedError):
            advice = "Check how it is spelt; the other mails show which words there are"
        elif isinstance(error, KeyError):
            said, advice = f"nothing fills {error}", "Give it behind the sentence, or take it out"
        return ContentError(path, line, f"cannot be filled in: {said.rstrip('.')}", f"{advice}.")

    def _values(self, content: Content, language: Language) -> dict[str, object]:
        challenge = language.challenge
        number = content.day or 1
        day = challenge.day(number)
        return {
            "challenge": challenge,
            "language": language,
            "start": "left" if language.dir == "ltr" else "right",
            "end": "right" if language.dir == "ltr" else "left",
            "mail": content.mail,
            "day": day,
            "pairs": day.exercises_for(content.position, content.goal or None),
            "done": content.done,
            "rested": content.rested,
            "has_name": content.has_name and content.mail not in _WITHOUT_NAME,
            "tracking": content.tracking,
            "position": content.position,
            "hour": language.hour(content.hour),
            "pace": content.pace,
            "stage": content.stage,
            "next_day": _next_day(content.next_on, language),
            "postal_address": self.postal_address,
            "base_url": self.base_url,
            "picture_url": lambda picture: f"{self.base_url}/pictures/{challenge.edition}/{picture.file}",
            "subject_line": lambda: challenge.subject(
                content.mail, number, plain=self.plain_subjects, variant=content.variant
            ),
            "link": {link.name: _mark(link.name) for link in Link},
            "confirm_url": _mark("confirm"),
            "unsubscribe_url": _mark("unsubscribe"),
            "open_url": _mark("open"),
            "by_mail": _mark("bymail") if self.takes_mail else "",
        }


def unreadable(error: TemplateSyntaxError | UnicodeDecodeError, path: Path) -> ContentError:
    """What a template that cannot be read is told as; `path` where the error does not know it."""
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return ContentError(path, line, "cannot be filled in: it is not in UTF-8", "Save it as UTF-8.")
    advice = "Mend that line. Each {% if %}, {% for %} and {% block %} needs its end."
    said = (error.message or str(error)).rstrip(".")
    return ContentError(Path(error.filename or path), error.lineno, f"cannot be filled in: {said}", advice)


def _next_day(date_text: str, language: Language) -> dict[str, str]:
    """Weekday and date as the language says them; empty without a date."""
    if not date_text:
        return {}
    noon = datetime.fromisoformat(f"{date_text}T12:00Z")
    return {"weekday": language.weekday(noon, "UTC"), "date": language.date(noon.date())}


def whole(text: str) -> str:
    """The text with a question mark for each half of a letter: half a surrogate pair cannot be encoded."""
    return text.encode("utf-8", "replace").decode()


def encoded(
    holes: Iterable[str], content: Content, language: Language, name: str, links: Links, to: Address, stop: str
) -> dict[str, bytes]:
    """What fills these holes for one person, as quoted-printable. `stop`: where the mails can be ended."""
    values = {"unsubscribe": _wrapped(stop), **_name_values(name, language)}
    for hole in holes:
        if hole not in values:
            values[hole] = _wrapped(_value(hole, name, links, to, tracking=content.tracking))
    return values


@lru_cache(maxsize=512)
def _name_values(name: str, language: Language) -> dict[str, bytes]:
    return {_NAME_TEXT: _name_bytes(language.isolated(name)), _NAME_HTML: _name_bytes(html.escape(name))}


def _name_bytes(name: str) -> bytes:
    if len(name) < 70 and _PLAIN_NAME.fullmatch(name):
        return name.encode("ascii") + b"=\r\n"
    return quoted(name) + b"=\r\n"


def _wrapped(url: str) -> bytes:
    """A URL holds no character that needs encoding but `=`; it may need more than one line."""
    if len(url) < 75 and "=" not in url and url.isascii() and url.isprintable():
        return url.encode("ascii") + b"=\r\n"
    return quoted(url) + b"=\r\n"


def _value(hole: str, name: str, links: Links, to: Address, *, tracking: bool) -> str:
    match hole:
        case "name_text" | "name_html":
            return name
        case "confirm":
            return links.confirm_url(to)
        case "unsubscribe":
            return links.unsubscribe_url(to)
        case "open":
            return links.open_url(to)
        case "bymail":
            return links.done_by_mail(to)
        case _:
            link = Link[hole]
            return links.tracked(link, to) if tracking else links.target(link, to)


def _mark(hole: str) -> str:
    return f"qzx{hole.replace('_', 'y')}xzq"


@lru_cache(maxsize=1)
def _marks() -> dict[str, str]:
    return {hole: _mark(hole) for hole in (_NAME_TEXT, _NAME_HTML, *_OTHER, *(link.name for link in Link))}
