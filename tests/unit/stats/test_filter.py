from __future__ import annotations

from datetime import date

import pytest

from challenge.errors import BadInput
from challenge.stats.country import country_of
from challenge.stats.filter import EVERYBODY, NONE, Filter, read


def test_it_reads_what_it_writes() -> None:
    wanted = Filter(since=date(2027, 3, 1), until=date(2027, 3, 7), source="podcast", country="US", variant=NONE)
    assert read(wanted.to_query()) == wanted
    assert wanted.to_query()["from"] == "2027-03-01"


def test_it_ignores_other_parameters_and_empty_words() -> None:
    assert read({"page": "2", "source": " ", "from": ""}) == EVERYBODY
    assert EVERYBODY.is_empty
    assert not read({"source": "podcast"}).is_empty


@pytest.mark.parametrize(
    "query", [{"from": "yesterday"}, {"to": "2027-02-30"}, {"from": "2027-03-02", "to": "2027-03-01"}]
)
def test_it_refuses_days_that_are_none(query: dict[str, str]) -> None:
    with pytest.raises(BadInput):
        read(query)


def test_it_knows_what_a_visit_cannot_have() -> None:
    assert read({"source": "podcast", "form_variant": "b"}).fits_visits
    assert not read({"position": "seated"}).fits_visits


@pytest.mark.parametrize(
    ("zone", "country"),
    [("America/New_York", "US"), ("US/Eastern", "US"), ("Europe/Vienna", "AT"), ("UTC", NONE), ("Asia/Calcutta", "IN")],
)
def test_it_knows_the_country_of_a_zone(zone: str, country: str) -> None:
    assert country_of(zone) == country
