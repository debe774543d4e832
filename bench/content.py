"""What does everybody send? Our real day mail, with longer words, so that it is the 30 KB that the peers send too."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from challenge.programme.definition import Challenge, load
from challenge.rendering.links import Address, Link, Links
from challenge.rendering.message import Composer, Letter
from challenge.rendering.templates import Content
from challenge.settings import Settings

_SHIPPED = Path(__file__).parent.parent / "challenge" / "content" / "ms-strength"
_INTRO = 'intro = "First loosen the inner thighs. Then wake up the outer hips.'
_MORE = " Move slowly, and rest as long as you like. This sentence is here to make the mail as long as the others."
SIZE = 30_000
BASE_URL = "https://challenge.example.org"
SENDER = "hello@challenge.example.org"


@dataclass(frozen=True)
class Facts:
    """What a mail of ours is: bytes as shipped, bytes as sent here, and places with a signed address in it."""

    shipped: int
    padded: int
    signed: int


def padded(folder: Path) -> Challenge:
    """The shipped challenge in `folder`, with a first day whose mail is about 30 KB."""
    shutil.copytree(_SHIPPED, folder, dirs_exist_ok=True)
    file = folder / "challenge.toml"
    text = file.read_text()
    assert _INTRO in text, "the first day's intro has changed: change bench/content.py with it"
    empty = len(_compose(load(folder)))
    file.write_text(text.replace(_INTRO, _INTRO + _MORE * 10))
    each = (len(_compose(load(folder))) - empty) / 10
    file.write_text(text.replace(_INTRO, _INTRO + _MORE * round((SIZE - empty) / each)))
    return load(folder)


def facts(challenge: Challenge) -> Facts:
    """Measured on a mail composed with `challenge`, and one with what ships."""
    data = _compose(challenge)
    joined = data.replace(b"=\r\n", b"")
    signed = sum(
        joined.count(f"{BASE_URL}/{path}/".encode()) for path in ("c", "o", "unsubscribe", "day", "preferences")
    )
    return Facts(len(_compose(load(_SHIPPED))), len(data), signed)


def bundle(challenge: Challenge, path: Path) -> Path:
    """The same words as templates for the peers (both Django's and Jinja2's read them), as JSON."""
    composer = _composer(challenge)
    subject, text, page = composer.templates.shown(_CONTENT, "{{ name }}", _Slots(composer.links), _TO)
    names = sorted({link.name for link in Link if f"links.{link.name} " in text + page} | {"unsubscribe", "open"})
    told = {"subject": subject, "text": text, "html": page, "links": names, "sender": SENDER, "base_url": BASE_URL}
    path.write_text(json.dumps(told))
    return path


class _Slots(Links):
    """Instead of addresses, the places where a peer's template puts its own."""

    def __init__(self, links: Links) -> None:
        super().__init__(links.base_url, links.tokens, links.challenge)

    def tracked(self, link: Link, to: Address) -> str:
        return f"{{{{ links.{link.name} }}}}"

    def unsubscribe_url(self, to: Address) -> str:
        return "{{ links.unsubscribe }}"

    def open_url(self, to: Address) -> str:
        return "{{ links.open }}"


_TO = Address(123_456, 123_456, "day-1")
_CONTENT = Content("day", day=1, has_name=True)


def _composer(challenge: Challenge) -> Composer:
    return Composer(Settings(secret_key="k" * 40, base_url=BASE_URL, mail_from=SENDER), challenge)


def _compose(challenge: Challenge) -> bytes:
    letter = Letter(_TO, "person123456@d6.example", "Person 123456", _CONTENT, datetime.now(UTC).replace(microsecond=0))
    return _composer(challenge).compose(letter).data
