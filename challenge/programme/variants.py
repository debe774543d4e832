"""Which version does somebody get? Variants of the landing page's headline and of subject lines, beside the words that
stand in the challenge itself, which are variant `a`.

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
    """`landing`: variant -> its headline (`headline`); `subjects`: variant -> mail -> subject line."""

    landing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    subjects: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def headline(self, variant: str, otherwise: str) -> str:
        return self.landing.get(variant, {}).get("headline", otherwise)

    def subject(self, variant: str, mail: str, otherwise: str) -> str:
        return self.subjects.get(variant, {}).get(mail, otherwise)

    def for_landing(self, visitor: str) -> str:
        """The variant of the page for a visitor; empty while there is nothing to test."""
        return assign("landing", self.landing, visitor)

    def for_mails(self, email_key: str) -> str:
        """The variant of the mails for a person, for as long as the challenge lasts."""
        return assign("mails", self.subjects, email_key)


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
