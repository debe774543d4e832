"""Which people is a number about? One frozen value that page, command and API make from the same words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date

from challenge.errors import BadInput

NONE = "(none)"
NOBODY_KNOWN = "(nobody known)"
DIMENSIONS = (
    "edition",
    "source",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_term",
    "utm_content",
    "referrer",
    "form_variant",
    "variant",
    "position",
    "country",
)
OF_A_VISIT = tuple(name for name in DIMENSIONS if name not in ("variant", "position", "country"))


@dataclass(frozen=True)
class Filter:
    """`since` and `until` are days (UTC) of the sign-up, both included. An empty word means everybody; `(none)` means
    those without: no source known, no variant assigned."""

    since: date | None = None
    until: date | None = None
    edition: str = ""
    source: str = ""
    utm_source: str = ""
    utm_medium: str = ""
    utm_campaign: str = ""
    utm_term: str = ""
    utm_content: str = ""
    referrer: str = ""
    form_variant: str = ""
    variant: str = ""
    position: str = ""
    country: str = ""

    @property
    def words(self) -> dict[str, str]:
        """The dimensions that are asked for."""
        return {name: word for name in DIMENSIONS if (word := getattr(self, name))}

    @property
    def is_empty(self) -> bool:
        return self == Filter()

    @property
    def fits_visits(self) -> bool:
        """Whether visits can be counted under it: a visitor has no position, no zone and no mail variant yet."""
        return all(name in OF_A_VISIT for name in self.words)

    def includes(self, day: str) -> bool:
        """Whether a day, written like 2027-03-01, lies between `since` and `until`."""
        return (self.since is None or day >= self.since.isoformat()) and (
            self.until is None or day <= self.until.isoformat()
        )

    def to_query(self) -> dict[str, str]:
        """The parameters of an address that `read` turns into this filter again."""
        days = {"from": self.since, "to": self.until}
        return {name: day.isoformat() for name, day in days.items() if day} | self.words


EVERYBODY = Filter()


def read(query: Mapping[str, str]) -> Filter:
    """The filter of an address or of a command: `from`, `to` (like 2027-03-01) and the dimensions; other parameters
    are ignored. Raises BadInput."""
    since, until = _day(query, "from"), _day(query, "to")
    if since and until and since > until:
        raise BadInput("from", "from must not be later than to.")
    known = {field.name for field in fields(Filter)} & set(DIMENSIONS)
    return Filter(since, until, **{name: query.get(name, "").strip()[:200] for name in known})


def _day(query: Mapping[str, str], name: str) -> date | None:
    text = query.get(name, "").strip()
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise BadInput(name, f"{name} must be a day like 2027-03-01.") from None
