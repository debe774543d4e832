"""What does a domain's DMARC record say, and whose is it? RFC 9989: parsing, the tree walk, alignment.

Unknown tags are ignored, a value that is wrong counts as if it were absent (4.8), `pct`, `rf` and `ri` are gone and only
worth a word. The organisational domain follows from the records themselves, not from a public list (4.10).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from challenge.doctor.finding import Finding, not_checked, ok, problem, warning
from challenge.doctor.resolving import NotAnswered, Resolver

_POLICIES = ("none", "quarantine", "reject")
_ALLOWED = {
    "p": _POLICIES,
    "sp": _POLICIES,
    "np": _POLICIES,
    "adkim": ("r", "s"),
    "aspf": ("r", "s"),
    "psd": ("y", "n", "u"),
    "t": ("y", "n"),
}
_DEFAULTS = {"adkim": "r", "aspf": "r", "fo": "0", "psd": "u", "t": "n"}
_REMOVED = ("pct", "rf", "ri")
_TAG = re.compile(r"\s*([A-Za-z0-9_]+)\s*=\s*([^;]*?)\s*")
_VERSION = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|$)")
_MOST_LABELS = 8


@dataclass(frozen=True)
class Record:
    """The effective values: defaults filled in, `sp` and `np` inherited."""

    tags: dict[str, str]
    warnings: list[str] = field(default_factory=list)

    @property
    def policy(self) -> str:
        return self.tags["p"]


def parse(text: str) -> Record | None:
    """The record, or None when the text is none (it must begin with `v=DMARC1`)."""
    if not _VERSION.match(text):
        return None
    given: dict[str, str] = {}
    warnings: list[str] = []
    for part in text.split(";")[1:]:
        if not part.strip():
            continue
        found = _TAG.fullmatch(part)
        if found is None:
            warnings.append(f"“{part.strip()}” is not a tag and was ignored.")
            continue
        name, value = found[1].lower(), found[2]
        value = value if name in ("rua", "ruf") else value.lower()
        if word := _fault(name, value, given):
            warnings.append(word)
        else:
            given[name] = value
    tags = {"v": "DMARC1", **_DEFAULTS, **given}
    if "p" not in given:
        tags["p"] = "none"
        warnings.append("There is no p tag: that means p=none.")
    tags["sp"] = given.get("sp", tags["p"])
    tags["np"] = given.get("np", tags["sp"])
    return Record(tags, warnings)


def _fault(name: str, value: str, given: dict[str, str]) -> str:
    if name in _REMOVED:
        return f"The tag {name} was removed by RFC 9989 and says nothing any more."
    if name not in _ALLOWED and name not in ("fo", "rua", "ruf"):
        return f"The tag {name} is unknown and was ignored."
    if name in given:
        return f"The tag {name} is there twice; the first counts."
    if name in _ALLOWED and value not in _ALLOWED[name]:
        return f"{name}={value} is not one of {', '.join(_ALLOWED[name])}; it counts as absent."
    if name == "fo" and not _is_fo(value):
        return f"fo={value} is not valid; it counts as absent."
    return ""


def _is_fo(value: str) -> bool:
    options = [option.strip() for option in value.split(":")]
    both = "0" in options and "1" in options
    return not both and len(options) == len(set(options)) and set(options) <= {"0", "1", "d", "s"}


def walk(domain: str, resolver: Resolver) -> list[tuple[str, Record]]:
    """The records from the domain upwards, as far as RFC 9989 4.10 looks. Raises NotAnswered."""
    labels = domain.lower().strip(".").split(".")
    found: list[tuple[str, Record]] = []
    while labels:
        name = ".".join(labels)
        records = [record for text in resolver.txt(f"_dmarc.{name}") if (record := parse(text)) is not None]
        if len(records) == 1:
            found.append((name, records[0]))
            if records[0].tags["psd"] == "n" or (records[0].tags["psd"] == "y" and len(found) > 1):
                break
        labels = labels[1:] if len(labels) <= _MOST_LABELS else labels[-(_MOST_LABELS - 1) :]
    return found


def organisational(domain: str, resolver: Resolver) -> str:
    """Whose domain it is, by the records above it; the domain itself when there are none. Raises NotAnswered."""
    domain = domain.lower().strip(".")
    found = walk(domain, resolver)
    for name, record in found:
        if record.tags["psd"] == "n":
            return name
    for name, record in found:
        if record.tags["psd"] == "y" and name != domain:
            return ".".join(domain.split(".")[-name.count(".") - 2 :])
    return found[-1][0] if found else domain


def is_aligned(one: str, other: str, mode: str, resolver: Resolver) -> bool:
    """Strict: the same domain. Relaxed: the same organisational domain."""
    one, other = one.lower().strip("."), other.lower().strip(".")
    if one == other or mode == "s":
        return one == other
    return organisational(one, resolver) == organisational(other, resolver)


def dmarc(sender: str, bounce: str, signer: str, resolver: Resolver) -> Iterator[Finding]:
    """The record of the From domain, and whether the bounce and the signing domain are aligned with it."""
    try:
        yield from _examined(sender, bounce, signer, resolver)
    except NotAnswered as error:
        yield not_checked("dmarc", str(error), "Try again; if it stays so, look at this machine's resolver.")


def _examined(sender: str, bounce: str, signer: str, resolver: Resolver) -> Iterator[Finding]:
    texts = [text for text in resolver.txt(f"_dmarc.{sender}") if _VERSION.match(text)]
    if len(texts) > 1:
        yield problem("dmarc", f"_dmarc.{sender} has {len(texts)} records: receivers use none.", "Leave one record.")
        return
    found = walk(sender, resolver)
    if not found:
        to_do = f"Publish at _dmarc.{sender} the TXT record: v=DMARC1; p=none; rua=mailto:dmarc@{sender}"
        yield problem("dmarc", f"{sender} has no DMARC record; Gmail, Yahoo and Microsoft ask for one.", to_do)
        return
    name, record = found[0]
    policy = record.policy if name == sender else record.tags["sp"]
    words = f"_dmarc.{name} says {policy}."
    if record.warnings:
        yield warning("dmarc", f"{words} {' '.join(record.warnings)}", f"Correct the record at _dmarc.{name}.")
    elif "rua" not in record.tags:
        yield warning(
            "dmarc", f"{words} No reports are asked for (rua).", "Add rua=mailto:… to see who sends in your name."
        )
    else:
        yield ok("dmarc", words)
    by_spf = is_aligned(sender, bounce, record.tags["aspf"], resolver)
    by_dkim = bool(signer) and is_aligned(sender, signer, record.tags["adkim"], resolver)
    yield _alignment(sender, bounce, signer, by_spf=by_spf, by_dkim=by_dkim)


def _alignment(sender: str, bounce: str, signer: str, *, by_spf: bool, by_dkim: bool) -> Finding:
    told = f"From {sender}, bounces {bounce}, signed by {signer or 'nobody'}"
    if by_spf and by_dkim:
        return ok("alignment", f"{told}: both aligned.")
    if by_spf or by_dkim:
        missing = "the signature (CHALLENGE_DKIM_DOMAIN)" if by_spf else "the bounce domain (CHALLENGE_BOUNCE_DOMAIN)"
        return warning(
            "alignment", f"{told}: only one is aligned.", f"Bring {missing} under the domain of the From address."
        )
    to_do = "Let CHALLENGE_BOUNCE_DOMAIN or CHALLENGE_DKIM_DOMAIN be the From domain or one below it."
    return problem("alignment", f"{told}: neither is aligned, so DMARC fails for every mail.", to_do)
