"""May these addresses send for this domain? SPF (RFC 7208), evaluated with its limits."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from challenge.doctor.finding import Finding, not_checked, ok, problem, warning
from challenge.doctor.resolving import NotAnswered, Resolver

_MOST_LOOKUPS = 10
_MOST_VOID = 2
_MOST_HOSTS = 10
_RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
_TERM = re.compile(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)((?:[:/]\S*)?)", re.IGNORECASE)
_MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(\S*)", re.IGNORECASE)
_MACRO = re.compile(r"%(?:\{([slodiphcrtv])(\d{0,3})(r?)([.+,/_=-]*)\}|([%_-]))", re.IGNORECASE)
_IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class _Broken(Exception):  # noqa: N818
    """The record cannot be evaluated: permerror, in the words of RFC 7208 2.6.7."""


@dataclass(frozen=True)
class Verdict:
    """`result`: pass, fail, softfail, neutral, none or permerror; how many DNS look-ups it took; why, when broken."""

    result: str
    lookups: int
    why: str = ""


def evaluate(address: str, domain: str, resolver: Resolver) -> Verdict:
    """check_host() of RFC 7208 4 for postmaster@domain. Raises NotAnswered (temperror)."""
    run = _Run(ipaddress.ip_address(address), f"postmaster@{domain}", resolver)
    try:
        return Verdict(run.check(domain, 0), run.lookups)
    except _Broken as error:
        return Verdict("permerror", run.lookups, str(error))


class _Run:
    """One evaluation, with its counters."""

    def __init__(self, address: _IpAddress, sender: str, resolver: Resolver) -> None:
        self.address, self.sender, self.resolver = address, sender, resolver
        self.lookups = self.void = 0

    def check(self, domain: str, depth: int) -> str:
        record = record_of(domain, self.resolver)
        if record is None:
            return "none"
        redirect = ""
        for term in record.split()[1:]:
            if modifier := _MODIFIER.fullmatch(term):
                if modifier[1].lower() == "redirect":
                    redirect = modifier[2]
                continue
            found = _TERM.fullmatch(term)
            if found is None:
                raise _Broken(f"“{term}” in the record of {domain} is not SPF.")
            if self._matches(found[2].lower(), found[3], domain, depth):
                return _RESULTS[found[1] or "+"]
        if not redirect:
            return "neutral"
        self._look_up()
        result = self.check(self._expanded(redirect, domain), depth + 1)
        if result == "none":
            raise _Broken(f"redirect={redirect} leads to a domain without a record.")
        return result

    def _matches(self, mechanism: str, rest: str, domain: str, depth: int) -> bool:
        if mechanism == "all":
            return True
        if mechanism in ("ip4", "ip6"):
            return self._is_in(rest.removeprefix(":"))
        self._look_up()
        target, four, six = _target(rest)
        target = self._expanded(target, domain) if target else domain
        match mechanism:
            case "include":
                result = self.check(target, depth + 1)
                if result == "none":
                    raise _Broken(f"include:{target} has no record.")
                return result == "pass"
            case "a":
                return self._is_one_of(self._addresses(target), four, six)
            case "mx":
                hosts = [host for _, host in self.resolver.mx(target) if host]
                self._void(hosts)
                if len(hosts) > _MOST_HOSTS:
                    raise _Broken(f"mx:{target} has more than {_MOST_HOSTS} hosts.")
                return any(self._is_one_of(self.resolver.addresses(host), four, six) for host in hosts)
            case "exists":
                return bool(self._addresses(target))
            case _:
                return self._is_named(target)

    def _look_up(self) -> None:
        self.lookups += 1
        if self.lookups > _MOST_LOOKUPS:
            raise _Broken(f"It takes more than {_MOST_LOOKUPS} DNS look-ups.")

    def _void(self, found: Sequence[object]) -> None:
        self.void += not found
        if self.void > _MOST_VOID:
            raise _Broken(f"More than {_MOST_VOID} of its names do not exist.")

    def _addresses(self, name: str) -> list[str]:
        found = self.resolver.addresses(name)
        self._void(found)
        return found

    def _is_in(self, network: str) -> bool:
        try:
            wanted = ipaddress.ip_network(network, strict=False)
        except ValueError:
            raise _Broken(f"{network} is not a network.") from None
        return self.address in wanted

    def _is_one_of(self, addresses: Sequence[str], four: int, six: int) -> bool:
        for text in addresses:
            other = ipaddress.ip_address(text)
            if other.version != self.address.version:
                continue
            if self.address in ipaddress.ip_network(f"{other}/{four if other.version == 4 else six}", strict=False):
                return True
        return False

    def _is_named(self, target: str) -> bool:
        """ptr: discouraged, but evaluated (RFC 7208 5.5)."""
        for name in self.resolver.names(str(self.address))[:_MOST_HOSTS]:
            under = name == target or name.endswith(f".{target}")
            if under and str(self.address) in self.resolver.addresses(name):
                return True
        return False

    def _expanded(self, text: str, domain: str) -> str:
        """The macros that domain names use (RFC 7208 7)."""
        local, _, host = self.sender.partition("@")
        values = {"s": self.sender, "l": local, "o": host, "d": domain, "i": _dotted(self.address), "h": host}
        values |= {"v": "in-addr" if self.address.version == 4 else "ip6", "p": "unknown"}

        def value(found: re.Match[str]) -> str:
            if found[5]:
                return {"%": "%", "_": " ", "-": "%20"}[found[5]]
            parts = re.split(f"[{re.escape(found[4] or '.')}]", values.get(found[1].lower(), ""))
            parts = parts[::-1] if found[3] else parts
            return ".".join(parts[-int(found[2]) :] if found[2] and int(found[2]) else parts)

        return _MACRO.sub(value, text)


def record_of(domain: str, resolver: Resolver) -> str | None:
    """The domain's SPF record; None when it has none. Raises _Broken when it has two."""
    records = [text for text in resolver.txt(domain) if re.match(r"v=spf1(?: |$)", text, re.IGNORECASE)]
    if len(records) > 1:
        raise _Broken(f"{domain} has {len(records)} SPF records.")
    return records[0] if records else None


def _target(rest: str) -> tuple[str, int, int]:
    """`:host/24//64` -> host, 24, 64."""
    found = re.fullmatch(r"(?::([^/]*))?(?:/(\d{1,3}))?(?://(\d{1,3}))?", rest)
    if found is None or int(found[2] or 32) > 32 or int(found[3] or 128) > 128:
        raise _Broken(f"“{rest}” is not a host with a prefix length.")
    return found[1] or "", int(found[2] or 32), int(found[3] or 128)


def _dotted(address: _IpAddress) -> str:
    return str(address) if address.version == 4 else ".".join(address.exploded.replace(":", ""))


def spf(domain: str, own: Sequence[str], relay_host: str, resolver: Resolver) -> Iterator[Finding]:
    """Does the bounce domain's record cover the addresses that mails leave from? `own`: those, when the operator knows."""
    try:
        yield _spf(domain, own, relay_host, resolver)
    except NotAnswered as error:
        yield not_checked("spf", str(error), "Try again; if it stays so, look at this machine's resolver.")
    except _Broken as error:
        yield problem("spf", str(error), f"Correct the SPF record of {domain}: receivers treat it as an error.")


def _spf(domain: str, own: Sequence[str], relay_host: str, resolver: Resolver) -> Finding:
    record = record_of(domain, resolver)
    if record is None:
        to_do = f"Publish the TXT record your relay names at {domain}, such as: v=spf1 include:RELAY -all"
        return problem("spf", f"{domain}, the domain of the envelope sender, has no SPF record.", to_do)
    if re.search(r"(?:^|\s)\+?all(?:\s|$)", record, re.IGNORECASE):
        return problem(
            "spf", f"{domain} lets the whole world send in its name (+all).", "End the record with -all or ~all."
        )
    addresses = list(own) or (resolver.addresses(relay_host) if relay_host else [])
    verdicts = {address: evaluate(address, domain, resolver) for address in addresses or ["192.0.2.1"]}
    for verdict in verdicts.values():
        if verdict.result == "permerror":
            return problem(
                "spf", f"The SPF record of {domain} cannot be evaluated: {verdict.why}", "Correct the record."
            )
    most = max(verdict.lookups for verdict in verdicts.values())
    if addresses and all(verdict.result == "pass" for verdict in verdicts.values()):
        told = ok(
            "spf", f"The record of {domain} covers {', '.join(addresses)} ({most} DNS look-ups of {_MOST_LOOKUPS})."
        )
        close = f"It takes {most} DNS look-ups of {_MOST_LOOKUPS}; one more include may break it."
        return warning("spf", close, "Take out an include that is not needed.") if most >= 9 else told
    if own:
        bad = ", ".join(
            f"{address} ({verdict.result})" for address, verdict in verdicts.items() if verdict.result != "pass"
        )
        return problem("spf", f"The SPF record of {domain} does not cover {bad}.", "Add them, or the relay's include.")
    words = f"{domain} has a record; from which addresses the relay sends cannot be seen from here."
    return not_checked(
        "spf", words, "Run it again with --ip for each of them, or send a mail to yourself and read its headers."
    )
