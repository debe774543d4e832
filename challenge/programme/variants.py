"""Which version does somebody get? Variants of the landing page's headline, and of the mails: their subject lines, and
whole mails. They stand beside the words of the challenge itself, which are variant `a`.

Assignment is by hash: nothing to store before somebody joins, the same answer each time, and equal shares. Words of
variants are in the challenge's own language; whoever reads another one is in no test.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

FIRST = "a"


@dataclass(frozen=True)
class Variants:
    """`landing`: variant -> its headline (`headline`); `subjects`: variant -> mail -> subject line; `mails`: variant ->
    mail, or one day's (`day-2`) -> the folder under `mails/` beside the challenge's TOML that is sent in its place."""

    landing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    subjects: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    mails: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def of_mails(self) -> tuple[str, ...]:
        """The versions that differ in a mail or a subject line: one test, for a person has one version of all mails."""
        return tuple(sorted({*self.subjects, *self.mails}))

    def headline(self, variant: str, otherwise: str) -> str:
        return self.landing.get(variant, {}).get("headline", otherwise)

    def subject(self, variant: str, mail: str, otherwise: str) -> str:
        return self.subjects.get(variant, {}).get(mail, otherwise)

    def folder(self, variant: str, mail: str, day: int) -> str:
        """The folder that this version sends in the mail's place; empty where it sends the mail itself."""
        found = self.mails.get(variant, {})
        return (found.get(f"day-{day}") if mail == "day" else None) or found.get(mail, "")

    def for_landing(self, visitor: str) -> str:
        """The variant of the page for a visitor; empty while there is nothing to test."""
        return assign("landing", self.landing, visitor)

    def for_mails(self, email_key: str) -> str:
        """The variant of the mails for a person, for as long as the challenge lasts."""
        return assign("mails", self.of_mails, email_key)


NO_VARIANTS = Variants()


def assign(test: str, others: Iterable[str], unit: str) -> str:
    """One of `a` and the others, each for an equal share of units; independent from one test to another."""
    names = sorted({FIRST, *others})
    if len(names) < 2:
        return ""
    digest = hashlib.blake2b(f"{test}\n{','.join(names)}\n{unit}".encode("utf-8", "replace"), digest_size=8).digest()
    return names[int.from_bytes(digest) % len(names)]


def is_name(word: str) -> bool:
    """A variant's name is short and plain; `a` is taken by the words that stand in the challenge itself."""
    return word != FIRST and re.fullmatch(r"[a-z0-9]{1,16}", word) is not None
