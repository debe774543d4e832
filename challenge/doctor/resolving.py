"""What does the DNS say? One small interface, so that every check can be tried against a fake one."""

from __future__ import annotations

from typing import Any, Protocol

import dns.exception
import dns.name
import dns.resolver
import dns.reversename

from challenge.errors import ChallengeError


class NotAnswered(ChallengeError):  # noqa: N818
    """The DNS did not answer: that says nothing about whether the record is there."""


class Resolver(Protocol):
    """Each returns an empty list when the name or the record does not exist, and raises NotAnswered when nobody knows."""

    def txt(self, name: str) -> list[str]: ...

    def mx(self, name: str) -> list[tuple[int, str]]:
        """(preference, host without the final dot); a null MX is (0, "")."""

    def addresses(self, name: str) -> list[str]: ...

    def names(self, address: str) -> list[str]:
        """PTR: the names of an IP address."""

    def has_soa(self, name: str) -> bool: ...


class Dns:
    """The system's resolver. `seconds`: how long one question may take in all."""

    def __init__(self, seconds: float = 4.0) -> None:
        self._resolver = dns.resolver.Resolver()
        self._resolver.lifetime = seconds

    def txt(self, name: str) -> list[str]:
        return [b"".join(answer.strings).decode("utf-8", "replace") for answer in self._ask(name, "TXT")]

    def mx(self, name: str) -> list[tuple[int, str]]:
        found = [(answer.preference, str(answer.exchange).rstrip(".")) for answer in self._ask(name, "MX")]
        return sorted(found)

    def addresses(self, name: str) -> list[str]:
        return [str(answer.address) for kind in ("A", "AAAA") for answer in self._ask(name, kind)]

    def names(self, address: str) -> list[str]:
        reverse = dns.reversename.from_address(address).to_text()
        return [str(answer.target).rstrip(".").lower() for answer in self._ask(reverse, "PTR")]

    def has_soa(self, name: str) -> bool:
        return bool(self._ask(name, "SOA"))

    def _ask(self, name: str, kind: str) -> list[Any]:
        try:
            return list(self._resolver.resolve(name, kind))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, ValueError, OSError) as error:
            raise NotAnswered(f"The DNS did not answer for {name} {kind}: {type(error).__name__}.") from error
