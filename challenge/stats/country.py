"""In which country is a time zone? From the IANA tables that ship with tzdata; nobody is located by address."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

UNKNOWN = "(none)"


def country_of(zone: str) -> str:
    """The ISO 3166 code of the zone's (first) country, e.g. `US`; `(none)` for zones like UTC that have none."""
    countries, links = _tables()
    return countries.get(zone) or countries.get(links.get(zone, ""), UNKNOWN)


@cache
def _tables() -> tuple[dict[str, str], dict[str, str]]:
    """(zone -> country, old name -> zone). zone.tab: code, coordinates, zone; tzdata.zi: `L zone old-name`."""
    folder = files("tzdata") / "zoneinfo"
    rows = (line.split("\t") for line in (folder / "zone.tab").read_text().splitlines() if not line.startswith("#"))
    countries = {row[2]: row[0] for row in rows}
    links = (line.split(" ") for line in (folder / "tzdata.zi").read_text().splitlines() if line.startswith("L "))
    return countries, {link[2]: link[1] for link in links}
