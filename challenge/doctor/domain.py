"""Are the sender's names in the DNS in order? Published keys, MX, null MX, SOA, and the reverse names of own addresses."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from challenge.doctor.finding import Finding, not_checked, ok, problem, warning
from challenge.doctor.resolving import NotAnswered, Resolver
from challenge.errors import SettingsError
from challenge.rendering.dkim import LEAST_RSA_BITS, Key, Signer, signer_of
from challenge.settings import Settings

_TRY_AGAIN = "Try again; if it stays so, look at this machine's resolver."


def dkim(settings: Settings, resolver: Resolver) -> Iterator[Finding]:
    """Each private key against what is published under its selector."""
    try:
        signer = signer_of(settings)
    except SettingsError as error:
        yield problem("dkim", str(error), "Correct the setting; `challenge dkim new FOLDER` makes keys.")
        return
    if signer is None:
        to_do = "`challenge dkim new FOLDER` makes keys and prints the records; a relay that signs for your domain will do too."
        yield problem("dkim", "Mails are not signed here (CHALLENGE_DKIM_KEY_FILE is empty).", to_do)
        return
    for key in signer.keys:
        yield _key(signer, key, resolver)


def _key(signer: Signer, key: Key, resolver: Resolver) -> Finding:
    check, name = f"dkim {key.selector}", f"{key.selector}._domainkey.{signer.domain}"
    if isinstance(key.private, rsa.RSAPrivateKey) and key.private.key_size < LEAST_RSA_BITS:
        words = f"The key of {key.selector} has {key.private.key_size} bits; {LEAST_RSA_BITS} are asked for (RFC 8301)."
        return problem(check, words, "Make new keys with `challenge dkim new FOLDER`.")
    try:
        texts = resolver.txt(name)
    except NotAnswered as error:
        return not_checked(check, str(error), _TRY_AGAIN)
    records = [tags for text in texts if "p" in (tags := _tags(text))]
    if not records:
        return problem(
            check, f"{name} has no key.", "Publish the record that `challenge dkim new` printed, and wait for the DNS."
        )
    if len(records) > 1:
        return problem(check, f"{name} has {len(records)} keys.", "Leave one: receivers may take either.")
    tags = records[0]
    if not tags["p"]:
        return problem(check, f"The key at {name} is revoked (p is empty).", "Sign with another selector.")
    kind = "rsa" if isinstance(key.private, rsa.RSAPrivateKey) else "ed25519"
    if tags.get("k", "rsa").lower() != kind or _bytes(tags["p"]) != public_bytes(key):
        return problem(
            check,
            f"The key at {name} is not the public half of ours.",
            "Publish the record of this key, or set its key file.",
        )
    if "sha256" not in tags.get("h", "sha256").lower():
        return problem(check, f"The key at {name} forbids SHA-256 (h={tags['h']}).", "Take the h tag away.")
    if "y" in tags.get("t", "").lower().split(":"):
        return warning(
            check,
            f"The key at {name} says “testing” (t=y).",
            "Take the t tag away: receivers may ignore the signature.",
        )
    return ok(check, f"{name} is the public half of our {kind} key.")


def public_bytes(key: Key) -> bytes:
    """As the p tag carries it, decoded."""
    public = key.private.public_key()
    if isinstance(key.private, rsa.RSAPrivateKey):
        return public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _bytes(text: str) -> bytes:
    """RSA keys may be published as SubjectPublicKeyInfo or bare (RFC 6376 3.6.1): both mean the same key."""
    try:
        raw = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        return b""
    try:
        found = serialization.load_der_public_key(raw)
    except (ValueError, UnsupportedAlgorithm):
        return raw
    if isinstance(found, rsa.RSAPublicKey):
        return found.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return raw


def _tags(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(";") if "=" in part)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def mx(domains: dict[str, str], resolver: Resolver) -> Iterator[Finding]:
    """`domains`: what it is for -> domain. Bounces and answers must find a way back."""
    for what, domain in domains.items():
        check = f"mx {what}"
        try:
            hosts = resolver.mx(domain)
            if any(host == "" for _, host in hosts):
                words = f"{domain} says it takes no mail (null MX, RFC 7505)."
                yield problem(
                    check, words, "Receivers refuse senders they cannot answer: publish an MX, or use another domain."
                )
            elif hosts:
                yield from _reached(check, domain, [host for _, host in hosts], resolver)
            elif resolver.addresses(domain):
                yield warning(
                    check, f"{domain} has no MX, only an address.", "Publish an MX record: some servers ask for one."
                )
            else:
                yield problem(
                    check, f"{domain} has no MX and no address: what is sent there is lost.", "Publish an MX record."
                )
        except NotAnswered as error:
            yield not_checked(check, str(error), _TRY_AGAIN)


def _reached(check: str, domain: str, hosts: list[str], resolver: Resolver) -> Iterator[Finding]:
    dead = [host for host in hosts if not resolver.addresses(host)]
    if len(dead) == len(hosts):
        yield problem(check, f"No MX of {domain} has an address ({', '.join(dead)}).", "Correct the MX records.")
    elif dead:
        yield warning(check, f"{', '.join(dead)}, an MX of {domain}, has no address.", "Take it away, or give it one.")
    else:
        yield ok(check, f"{domain} takes mail at {', '.join(hosts)}.")


def soa(domain: str, bounce: str, resolver: Resolver) -> Iterator[Finding]:
    """Yahoo refuses a From or envelope domain that is not in the DNS."""
    from challenge.doctor.dmarc import organisational

    for name in dict.fromkeys((domain, bounce)):
        try:
            if (
                resolver.has_soa(name)
                or resolver.has_soa(organisational(name, resolver))
                or resolver.has_soa(_parent(name))
            ):
                yield ok(f"soa {name}", f"{name} lies in a zone that exists.")
            else:
                yield problem(
                    f"soa {name}",
                    f"{name} lies in no zone (no SOA).",
                    "Register the domain, or correct its name servers.",
                )
        except NotAnswered as error:
            yield not_checked(f"soa {name}", str(error), _TRY_AGAIN)


def _parent(name: str) -> str:
    return name.partition(".")[2] if name.count(".") > 1 else name


def ptr(own: Sequence[str], resolver: Resolver) -> Iterator[Finding]:
    """Forward-confirmed reverse DNS of the addresses mails leave from; the relay's are the relay's business."""
    if not own:
        words = "Mails leave from the relay's addresses, which cannot be seen from here."
        yield not_checked("ptr", words, "Run it again with --ip for each address, if you send from your own.")
    for address in own:
        try:
            names = resolver.names(address)
            confirmed = [name for name in names if address in resolver.addresses(name)]
        except NotAnswered as error:
            yield not_checked(f"ptr {address}", str(error), _TRY_AGAIN)
            continue
        if confirmed:
            yield ok(f"ptr {address}", f"{address} is {confirmed[0]}, and back.")
        else:
            words = (
                f"{address} is called {', '.join(names)}, which does not lead back."
                if names
                else f"{address} has no name (PTR)."
            )
            yield problem(f"ptr {address}", words, "Let whoever owns the address set a name that leads back to it.")
