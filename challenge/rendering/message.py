"""Which bytes go over the wire? Headers and parts of one mail; the same row always gives the same bytes.

CRLF only, 7 bit, quoted-printable, text part first (RFC 2046 5.1.4). Everything a person typed reaches only the body
and, encoded, the To header is the bare address: no name can grow a header (CVE-2024-6923).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, parseaddr
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import idna

from challenge.errors import ChallengeError
from challenge.i18n import Language
from challenge.programme.definition import Challenge
from challenge.rendering.links import Address, Links
from challenge.rendering.quoted import Holed, cut, joined, relaxed_body
from challenge.rendering.templates import Content, Prepared, Templates, encoded, whole
from challenge.settings import Settings, Subjects
from challenge.tokens import Tokens

if TYPE_CHECKING:
    from challenge.rendering.dkim import Signed, Signer

_PLANNED = frozenset(
    b"""
    From To Reply-To Subject Date Message-ID List-ID List-Unsubscribe List-Unsubscribe-Post Feedback-ID Auto-Submitted X-Challenge-Mail MIME-Version Content-Type
    """.split()
)
_SAFE_HEAD = re.compile(rb"(?:[A-Za-z-]+: [!-~][ -~\t]{0,900}(?:\r\n[ \t]{1,2}[!-~][ -~\t]{0,990})*\r\n)+")
_FIELD = re.compile(rb"(?m)^([A-Za-z-]+):")
_WORD = re.compile(r"[^\s\x00-\x1f\x7f<>]{1,320}")
_ENDS_BADLY = re.compile(rb"(?<!\r)\n|\r(?!\n)|\0|\n\.|^\.|[\x80-\xff]")
_OF_HEAD = ("to", "date", "id", "stop", "sender", "key")


class UnsafeMessage(ChallengeError):  # noqa: N818
    """The finished bytes are not what was planned; the mail is not sent."""


class Letter(NamedTuple):
    """Who gets which content. `composed_at` is the Date header, kept in the row so that a retry is the same bytes. Of a
    second copy `edition` says from which words it was made, and `digest` what its bytes must be; empty: not known."""

    to: Address
    email: str
    first_name: str
    content: Content
    composed_at: datetime
    edition: str = ""
    digest: str = ""


class Message(NamedTuple):
    """A finished mail: envelope and bytes, as they go over the wire: CRLF only, no line that starts with a dot. The same
    `digest` means the same bytes."""

    sender: str
    recipient: str
    data: bytes
    digest: str = ""


@dataclass(frozen=True)
class _Form:
    """All of a mail but what differs per person, checked once per content: headers, what DKIM signs of them, body."""

    head: Holed
    lines: int
    signed: Signed | None
    body: Holed
    checksum: int
    holes: tuple[str, ...]
    language: Language


class Composer:
    """Composes the mails of one installation.

    Measured with a mail of 30 KB and 12 links: 31 us each, once its content has been seen."""

    def __init__(self, settings: Settings, challenge: Challenge) -> None:
        self.settings, self.challenge = settings, challenge
        self.tokens = Tokens(settings.keys)
        self.links = Links(
            settings.public_url, self.tokens, challenge, settings.bounce_domain or settings.sender_domain
        )
        address = settings.mail_postal_address or "Postal address: not set, see `challenge doctor`"
        self.templates = Templates(
            challenge,
            settings.public_url,
            address,
            plain_subjects=settings.subjects is Subjects.plain,
            takes_mail=bool(settings.bounce_domain),
        )
        self._domain = settings.sender_domain
        self._fixed = self._fixed_headers()
        self.signer = _signer(settings) if settings.dkim_key_file else None
        self._form = lru_cache(maxsize=256)(self._make_form)

    def compose(self, letter: Letter) -> Message:
        """The message for one person. Raises UnsafeMessage when the bytes are not what was planned."""
        form, to = self._form(letter.content), letter.to
        sender, recipient = self.envelope_sender(to), _wire_address(letter.email)
        stop = self.links.unsubscribe_url(to)
        values = encoded(form.holes, letter.content, form.language, letter.first_name, self.links, to, stop)
        body = form.body.fill(values)
        of_head = {
            "to": recipient.encode(),
            "date": _date(letter.composed_at),
            "id": self.message_id(to).encode("ascii"),
            "stop": stop.encode("ascii"),
            "sender": sender.encode("ascii"),
            "key": to.key.encode("ascii"),
        }
        head = form.head.fill(of_head)
        if not _WORD.fullmatch(recipient) or head.count(b"\r\n") != form.lines or _bare_ends(head) != form.lines:
            raise UnsafeMessage("The headers would not be what was planned; the mail was not made.")
        if self.signer is not None and form.signed is not None:
            head = self.signer.sign(form.signed, of_head, body, letter.composed_at) + head
        # Nobody chooses these bytes, so a CRC will do; of a body, what is the same for all was looked at once.
        digest = zlib.crc32(b"\0".join(values.values()), zlib.crc32(head, form.checksum))
        return Message(sender, recipient, b"".join((head, b"\r\n", body)), f"{digest:08x}")

    def envelope_sender(self, to: Address) -> str:
        return self.links.envelope_sender(to)

    def message_id(self, to: Address) -> str:
        """Stable per enrollment and mail, the same on every retry."""
        tag = self.tokens.tag(f"mid:{to.enrollment_id}:{to.key}")
        return f"<{to.enrollment_id}.{to.key.replace(':', '.')}.{tag}@{self._domain}>"

    def _make_form(self, content: Content) -> _Form:
        """Raises UnsafeMessage: what a template makes could not go over the wire as it is."""
        prepared = self.templates.prepared(content)
        headers = self._headers(content, prepared.subject, prepared.boundary)
        marks = {hole: _mark(hole) for hole in _OF_HEAD}
        head = cut("".join(f"{name}: {value}\r\n" for name, value in headers).encode("ascii"), marks)
        _check(headers, head.fill(dict.fromkeys(_OF_HEAD, b"x")))
        body = _parts(prepared)
        sample = body.fill(dict.fromkeys(body.holes, b"x=\r\n"))
        if _ENDS_BADLY.search(sample) or relaxed_body(sample) != sample:
            raise UnsafeMessage(f"The mail {content.mail} is not made of clean lines; it was not made.")
        signed = self.signer.prepare(headers, marks) if self.signer else None
        lines = sum(1 + value.count("\r\n") for _, value in headers)
        return _Form(head, lines, signed, body, zlib.crc32(sample), tuple(dict.fromkeys(body.holes)), prepared.language)

    def _headers(self, content: Content, subject: str, boundary: str) -> list[tuple[str, str]]:
        """With marks where something differs per person."""
        sender = _mark("sender")
        headers = [
            ("From", self._fixed["From"]),
            ("To", _mark("to")),
            ("Subject", _header_text(subject)),
            ("Date", _mark("date")),
            ("Message-ID", _mark("id")),
            ("List-ID", self._fixed["List-ID"]),
            ("List-Unsubscribe", f"<{_mark('stop')}>,\r\n <mailto:{sender}?subject=unsubscribe>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("Feedback-ID", f"{content.mail}:{self.challenge.slug}:mail:{self._fixed['feedback']}"),
            ("Auto-Submitted", "auto-generated"),
            ("X-Challenge-Mail", _mark("key")),
            ("MIME-Version", "1.0"),
            ("Content-Type", f'multipart/alternative;\r\n boundary="{boundary}"'),
        ]
        if reply := self._fixed.get("Reply-To"):
            headers.insert(2, ("Reply-To", reply))
        return headers

    def _fixed_headers(self) -> dict[str, str]:
        name, address = parseaddr(self.settings.sender)
        fixed = {
            "From": f"{_display_name(name)} <{address}>" if name else address,
            "List-ID": f"{_display_name(self.challenge.title)}\r\n <{self.challenge.slug}.{self._domain}>",
            "feedback": hashlib.blake2b(self._domain.encode(), digest_size=5).hexdigest(),
        }
        if self.settings.mail_reply_to:
            reply_name, reply = parseaddr(self.settings.mail_reply_to)
            fixed["Reply-To"] = f"{_display_name(reply_name)} <{reply}>" if reply_name else reply
        return fixed


def _parts(prepared: Prepared) -> Holed:
    """Both parts with what stands around them."""
    mark = b"--" + prepared.boundary.encode()
    start = mark + b"\r\nContent-Type: text/%s; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    return joined(start % b"plain", prepared.text, b"\r\n" + start % b"html", prepared.html, b"\r\n" + mark + b"--\r\n")


def _signer(settings: Settings) -> Signer | None:
    """Only a process that signs carries the library that can (9 MB)."""
    from challenge.rendering.dkim import signer_of

    return signer_of(settings)


def _mark(hole: str) -> str:
    return f"qzh{hole}hzq"


@lru_cache(maxsize=16)
def _date(at: datetime) -> bytes:
    return format_datetime(at).encode("ascii")


def _bare_ends(head: bytes) -> int:
    """How many line ends a reader would find who takes any of CR and LF for one."""
    return max(head.count(b"\r"), head.count(b"\n"))


def _wire_address(email: str) -> str:
    """The address with its domain in A-labels (RFC 5891); a local part that needs SMTPUTF8 stays as it is.

    IDNA 2008, as the address is compared: Python's own codec is IDNA 2003, where straße.de is somebody else's strasse.de."""
    local, _, domain = email.rpartition("@")
    try:
        local.encode()
        return f"{local}@{domain if domain.isascii() else idna.encode(domain, uts46=True, transitional=False).decode()}"
    except UnicodeError:
        raise UnsafeMessage("The address cannot be written in a mail.") from None


def _header_text(text: str) -> str:
    text = whole(text)
    return text if text.isascii() and len(text) < 60 else Header(text, "utf-8", maxlinelen=70).encode(linesep="\r\n")


def _display_name(name: str) -> str:
    name = whole(name)
    if not name.isascii():
        return Header(name, "utf-8").encode(linesep="\r\n")
    return '"' + name.replace("\\", "").replace('"', "") + '"' if any(c in '.,;:<>@()[]"' for c in name) else name


def _check(headers: list[tuple[str, str]], head: bytes) -> None:
    """Exactly the planned headers, nothing but folded ASCII in them. Looks at the finished bytes: a name that grew a
    header would show as one more field than was planned."""
    names = _FIELD.findall(head)
    if _SAFE_HEAD.fullmatch(head) and len(names) == len(headers) and _PLANNED.issuperset(names):
        return
    raise UnsafeMessage("The headers would not be what was planned; the mail was not made.")
