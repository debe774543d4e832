"""Which bytes go over the wire? Headers and parts of one mail; the same row always gives the same bytes.

CRLF only, 7 bit, quoted-printable, text part first (RFC 2046 5.1.4). Everything a person typed reaches only the body
and, encoded, the To header is the bare address: no name can grow a header (CVE-2024-6923).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, parseaddr

from challenge.errors import ChallengeError
from challenge.programme.definition import Challenge
from challenge.rendering.dkim import signer_of
from challenge.rendering.links import Address, Links
from challenge.rendering.templates import Content, Templates, fill
from challenge.settings import Settings
from challenge.tokens import Tokens

_PLANNED = frozenset(
    b"""
    DKIM-Signature From To Reply-To Subject Date Message-ID List-ID List-Unsubscribe List-Unsubscribe-Post Feedback-ID Auto-Submitted X-Challenge-Mail MIME-Version Content-Type
    """.split()
)
_SAFE_HEAD = re.compile(rb"(?:[A-Za-z-]+: [!-~][ -~\t]{0,900}(?:\r\n[ \t]{1,2}[!-~][ -~\t]{0,990})*\r\n)+")
_FIELD = re.compile(rb"(?m)^([A-Za-z-]+):")


class UnsafeMessage(ChallengeError):  # noqa: N818
    """The finished bytes are not what was planned; the mail is not sent."""


@dataclass(frozen=True)
class Letter:
    """Who gets which content. `composed_at` is the Date header, kept in the row so that a retry is the same bytes."""

    to: Address
    email: str
    first_name: str
    content: Content
    composed_at: datetime


@dataclass(frozen=True)
class Message:
    """A finished mail: envelope and bytes."""

    sender: str
    recipient: str
    data: bytes


class Composer:
    """Composes the mails of one installation."""

    def __init__(self, settings: Settings, challenge: Challenge) -> None:
        self.settings, self.challenge = settings, challenge
        self.tokens = Tokens(settings.keys)
        self.links = Links(settings.public_url, self.tokens, challenge)
        address = settings.mail_postal_address or "Postal address: not set (CHALLENGE_MAIL_POSTAL_ADDRESS)"
        self.templates = Templates(challenge, settings.public_url, address)
        self._domain = settings.sender_domain
        self._bounce_domain = settings.bounce_domain or self._domain
        self._fixed = self._fixed_headers()
        self.signer = signer_of(settings)

    def compose(self, letter: Letter) -> Message:
        """The message for one person. Raises UnsafeMessage when the bytes are not what was planned."""
        prepared = self.templates.prepared(letter.content)
        text, page = fill(prepared, letter.content, letter.first_name, self.links, letter.to)
        boundary = prepared.boundary
        sender = self.envelope_sender(letter.to)
        headers = self._headers(letter, prepared.subject, boundary, sender)
        mark = boundary.encode()
        body = (
            b"\r\n--"
            + mark
            + b"\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
            + text
            + b"\r\n--"
            + mark
            + b"\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
            + page
            + b"\r\n--"
            + mark
            + b"--\r\n"
        )
        if self.signer is not None:
            headers = self.signer.sign(headers, body.removeprefix(b"\r\n"), letter.composed_at) + headers
        head = b"".join(f"{name}: {value}\r\n".encode("ascii") for name, value in headers)
        _check(headers, head)
        return Message(sender, _wire_address(letter.email), head + body)

    def envelope_sender(self, to: Address) -> str:
        """VERP with a tag of ours: a bounce tells whose it is, and that it is genuine (RFC 3464 4.1)."""
        return f"b{to.delivery_id}-{self.tokens.tag(f'verp:{to.delivery_id}')}@{self._bounce_domain}"

    def message_id(self, to: Address) -> str:
        """Stable per enrollment and mail, the same on every retry."""
        tag = self.tokens.tag(f"mid:{to.enrollment_id}:{to.key}")
        return f"<{to.enrollment_id}.{to.key.replace(':', '.')}.{tag}@{self._domain}>"

    def _headers(self, letter: Letter, subject: str, boundary: str, sender: str) -> list[tuple[str, str]]:
        to = letter.to
        stop = self.links.unsubscribe_url(to)
        mailto = f"{sender}?subject=unsubscribe"
        headers = [
            ("From", self._fixed["From"]),
            ("To", _wire_address(letter.email)),
            ("Subject", _header_text(subject)),
            ("Date", format_datetime(letter.composed_at)),
            ("Message-ID", self.message_id(to)),
            ("List-ID", self._fixed["List-ID"]),
            ("List-Unsubscribe", f"<{stop}>,\r\n <mailto:{mailto}>"),
            ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
            ("Feedback-ID", f"{letter.content.mail}:{self.challenge.slug}:mail:{self._fixed['feedback']}"),
            ("Auto-Submitted", "auto-generated"),
            ("X-Challenge-Mail", to.key),
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


def _wire_address(email: str) -> str:
    """The address with its domain in A-labels (RFC 5891); a local part that needs SMTPUTF8 stays as it is."""
    local, _, domain = email.rpartition("@")
    return f"{local}@{domain if domain.isascii() else domain.encode('idna').decode()}"


def _header_text(text: str) -> str:
    return text if text.isascii() and len(text) < 60 else Header(text, "utf-8", maxlinelen=70).encode(linesep="\r\n")


def _display_name(name: str) -> str:
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
