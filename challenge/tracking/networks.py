"""Is an address in a network that filters mail? Reads a dated list with a source in each line, or the operator's own."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from challenge.errors import SettingsError

SHIPPED = Path(__file__).parent / "networks.txt"
_VARIABLE = "CHALLENGE_SCANNER_NETWORKS"
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class Match:
    """A network that was recognised: its name, and whether that alone decides."""

    name: str
    certain: bool


@dataclass(frozen=True)
class Networks:
    """The list of one version."""

    version: str
    entries: tuple[tuple[_Network, Match], ...]

    def match(self, address: str) -> Match | None:
        """The first entry the address lies in; also for IPv4 written as IPv6 (RFC 4291 section 2.5.5.2)."""
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return None
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return next((match for network, match in self.entries if ip.version == network.version and ip in network), None)


@cache
def networks(path: Path = SHIPPED) -> Networks:
    """The list in a file. Raises SettingsError, naming the line that cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(_VARIABLE, f"{path} cannot be read: {error}.") from None
    version = re.search(r"\d{4}-\d\d-\d\d", lines[0]) if lines else None
    if version is None:
        raise SettingsError(_VARIABLE, f"the first line of {path} must be a comment with its date, like 2026-11-23.")
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    return Networks(version[0], tuple(_entry(path, number, line) for number, line in rows))


def _entry(path: Path, number: int, line: str) -> tuple[_Network, Match]:
    parts = [part.strip() for part in line.split("|")]
    try:
        if len(parts) != 4 or parts[1] not in ("certain", "probable") or not parts[3]:
            raise ValueError("write: network | certain or probable | name | source")
        return ipaddress.ip_network(parts[0]), Match(parts[2][:40], parts[1] == "certain")
    except ValueError as error:
        raise SettingsError(_VARIABLE, f"line {number} of {path} cannot be read: {error}.") from None
