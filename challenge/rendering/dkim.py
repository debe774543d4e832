"""Who signed this mail? DKIM signatures (RFC 6376, RFC 8463) over the finished bytes; used by `message`.

Relaxed/relaxed, no `l=`; headers that a forger would add a second time are signed once more than they occur
(oversigned). Two keys give two signatures: RSA for everybody, Ed25519 beside it, never alone (RFC 8463 3).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from challenge.errors import SettingsError, UsageError
from challenge.rendering.quoted import Holed, cut
from challenge.settings import Settings

LEAST_RSA_BITS = 2048
_OVERSIGNED = ("from", "to", "subject", "date", "reply-to", "list-id", "list-unsubscribe", "list-unsubscribe-post")
_SIGNED = (*_OVERSIGNED, "message-id", "feedback-id", "auto-submitted", "mime-version", "content-type")
Header = tuple[str, str]
_LATER = {"t": "qzttzq", "bh": "qzbhbzq"}


@dataclass(frozen=True)
class Key:
    """One private key and the selector under which its public half is in the DNS."""

    selector: str
    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

    @property
    def algorithm(self) -> str:
        return "rsa-sha256" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519-sha256"

    def sign(self, data: bytes) -> bytes:
        """PKCS #1 v1.5 over SHA-256, or Ed25519 over the SHA-256 digest (RFC 8463 3)."""
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.private.sign(hashlib.sha256(data).digest())


@dataclass(frozen=True)
class Signed:
    """What is signed of a mail's headers, with holes; `starts`: per key the new header without its signature, as it is
    written and in relaxed form, with two holes for the time and the body's hash."""

    data: Holed
    starts: tuple[tuple[Holed, Holed], ...]


class Signer:
    """Signs for one domain with every key."""

    def __init__(self, domain: str, keys: Sequence[Key]) -> None:
        self.domain, self.keys = domain, tuple(keys)

    def prepare(self, headers: Sequence[Header], marks: Mapping[str, str]) -> Signed:
        """For many mails with these headers. Values may be folded; marks stand where something differs per mail."""
        names, data = _covered(headers)
        starts = [self._start(key, names) for key in self.keys]
        written = [cut(f"DKIM-Signature: {start}".encode(), _LATER) for start in starts]
        relaxed = [cut(relaxed_header("DKIM-Signature", start), _LATER) for start in starts]
        return Signed(cut(data, marks), tuple(zip(written, relaxed, strict=True)))

    def sign(self, signed: Signed, values: Mapping[str, bytes], body: bytes, at: datetime) -> bytes:
        """The DKIM-Signature headers to put before the others. `body` is in relaxed form already.

        `at` becomes `t=`, so that the same mail composed again has the same signature. RSA-2048 takes 250 us, Ed25519
        30 us, hashing 30 KB 17 us; canonicalising it would take 1,000 us more."""
        later = {
            "t": b"%d" % int(at.timestamp()),
            "bh": binascii.b2a_base64(hashlib.sha256(body).digest(), newline=False),
        }
        data, headers = signed.data.fill(values), []
        for key, (written, relaxed) in zip(self.keys, signed.starts, strict=True):
            signature = binascii.b2a_base64(key.sign(data + relaxed.fill(later)), newline=False)
            headers += [written.fill(later), _folded(signature)]
        return b"".join(headers)

    def _start(self, key: Key, names: list[str]) -> str:
        return (
            f"v=1; a={key.algorithm}; c=relaxed/relaxed; d={self.domain};\r\n s={key.selector}; t={_LATER['t']};\r\n"
            f" h={_folded_names(names)};\r\n bh={_LATER['bh']};\r\n b="
        )


def signer_of(settings: Settings) -> Signer | None:
    """The signer the settings describe; None when no key was set. Raises SettingsError."""
    files = [Path(name.strip()) for name in settings.dkim_key_file.split(",") if name.strip()]
    selectors = [name.strip() for name in settings.dkim_selector.split(",") if name.strip()]
    if not files:
        return None
    if len(files) != len(selectors):
        raise SettingsError(
            "CHALLENGE_DKIM_SELECTOR", f"names {len(selectors)} selectors for {len(files)} keys; name one for each."
        )
    keys = [Key(selector, _read(file)) for selector, file in zip(selectors, files, strict=True)]
    if all(key.algorithm == "ed25519-sha256" for key in keys):
        raise SettingsError(
            "CHALLENGE_DKIM_KEY_FILE", "has no RSA key; many receivers cannot check Ed25519 alone (RFC 8463)."
        )
    return Signer(settings.dkim_domain or settings.sender_domain, keys)


@dataclass(frozen=True)
class MadeKey:
    """A new key: where it is, and the TXT record of its public half."""

    selector: str
    file: Path
    record: str


def make_keys(folder: Path, selector: str) -> tuple[MadeKey, MadeKey]:
    """Writes an RSA-2048 and an Ed25519 key, readable by this user only. Raises UsageError: a file is there already."""
    return (
        _write(folder, f"r{selector}", rsa.generate_private_key(65537, LEAST_RSA_BITS)),
        _write(folder, f"e{selector}", ed25519.Ed25519PrivateKey.generate()),
    )


def _write(folder: Path, selector: str, key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> MadeKey:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / f"{selector}.pem"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(pem)
    except OSError as error:
        raise UsageError(
            f"{file} cannot be written ({error.strerror}). Choose another folder or --selector."
        ) from error
    return MadeKey(selector, file, _record(key))


def _record(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> str:
    """RFC 6376 3.6.1, RFC 8463 4; a TXT string holds at most 255 characters, so a long key is cut in two."""
    if isinstance(key, rsa.RSAPrivateKey):
        kind, form, encoding = "rsa", serialization.PublicFormat.SubjectPublicKeyInfo, serialization.Encoding.DER
    else:
        kind, form, encoding = "ed25519", serialization.PublicFormat.Raw, serialization.Encoding.Raw
    public = base64.b64encode(key.public_key().public_bytes(encoding, form)).decode()
    text = f"v=DKIM1; k={kind}; p={public}"
    return " ".join(f'"{text[i : i + 250]}"' for i in range(0, len(text), 250))


def relaxed_header(name: str, value: str) -> bytes:
    """RFC 6376 3.4.2, without the final CRLF."""
    unfolded = re.sub(r"[ \t]+", " ", value.replace("\r\n", "")).strip()
    return f"{name.lower()}:{unfolded}".encode()


def _covered(headers: Sequence[Header]) -> tuple[list[str], bytes]:
    """The names for `h=` and the canonical bytes of those that exist."""
    values = {name.lower(): relaxed_header(name, value) for name, value in headers}
    names = [name for name in _SIGNED if name in values] + list(_OVERSIGNED)
    return names, b"".join(values[name] + b"\r\n" for name in _SIGNED if name in values)


def _folded(signature: bytes) -> bytes:
    return b"\r\n ".join(signature[i : i + 72] for i in range(0, len(signature), 72)) + b"\r\n"


def _folded_names(names: list[str]) -> str:
    rows: list[str] = [""]
    for index, name in enumerate(names):
        word = name + (":" if index < len(names) - 1 else "")
        if len(rows[-1]) + len(word) > 68:
            rows.append("")
        rows[-1] += word
    return "\r\n  ".join(rows)


def _read(file: Path) -> rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        raise SettingsError("CHALLENGE_DKIM_KEY_FILE", f"{file} cannot be read ({error.strerror}).") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SettingsError(
            "CHALLENGE_DKIM_KEY_FILE", f"{file} is not a private key in PEM without a password."
        ) from error
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= LEAST_RSA_BITS:
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    raise SettingsError(
        "CHALLENGE_DKIM_KEY_FILE", f"{file} must be RSA with {LEAST_RSA_BITS} bits or more, or Ed25519 (RFC 8301)."
    )
