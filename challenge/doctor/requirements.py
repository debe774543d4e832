"""What do Gmail, Yahoo and Microsoft ask of us, and do we do it? One row per rule of theirs, answered by the findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from challenge.doctor.finding import Finding, State, worst

ALL = "Gmail, Yahoo, Microsoft"


@dataclass(frozen=True)
class Requirement:
    """`checks`: the findings that answer it, by the beginning of their names."""

    who: str
    asks: str
    checks: tuple[str, ...]


REQUIREMENTS = (
    Requirement(ALL, "SPF passes for the envelope sender's domain", ("spf",)),
    Requirement(ALL, "Mails are signed with DKIM, RSA of 2048 bits or more", ("dkim",)),
    Requirement(ALL, "The From domain has a DMARC record", ("dmarc",)),
    Requirement(ALL, "The From domain is aligned with SPF or DKIM; Microsoft wants both to pass", ("alignment",)),
    Requirement(ALL, "The sending address has a name that leads back to it (PTR)", ("ptr",)),
    Requirement("Gmail, Yahoo", "Mails travel under TLS", ("relay",)),
    Requirement("Yahoo", "The sender's domains are in the DNS (SOA)", ("soa",)),
    Requirement(ALL, "The sender's domain takes mail (MX, no null MX)", ("mx",)),
    Requirement(
        "Gmail, Yahoo",
        "One click unsubscribes (RFC 8058), and a link in the body is there",
        ("mail one-click", "mail links", "https"),
    ),
    Requirement("Gmail", "One From address, each header once, a Message-ID of its own, Feedback-ID", ("mail headers",)),
    Requirement("Gmail", "The sender's name is the sender's, without pictures or addresses", ("from name",)),
    Requirement("Gmail", "Nothing hidden, links say where they lead, no fake Re:", ("mail looks", "mail words")),
    Requirement("Gmail", "Under 102 KB of HTML, or the end is clipped", ("mail size",)),
    Requirement("Gmail, Yahoo", "Called spam less than 1 time in 1,000, never 3", ("spam rate",)),
    Requirement("Gmail", "Under about 5,000 mails a day to personal Gmail, or all of this for ever", ("gmail volume",)),
)


@dataclass(frozen=True)
class Answer:
    """A requirement with the state that its findings give it."""

    requirement: Requirement
    state: State


def answers(findings: Sequence[Finding]) -> list[Answer]:
    """Each requirement, answered by the worst finding that belongs to it."""
    return [
        Answer(
            requirement,
            worst(
                one.state
                for one in findings
                if any(one.check == name or one.check.startswith(f"{name} ") for name in requirement.checks)
            ),
        )
        for requirement in REQUIREMENTS
    ]
