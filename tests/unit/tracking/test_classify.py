"""The labelled replay, and what must not change a verdict."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from challenge.errors import SettingsError
from challenge.tracking.classify import RULES, Context, Evidence, Who, classify, source_of
from challenge.tracking.networks import networks
from tests.unit.tracking.replay import KEY, request, sequences, verdicts

SEQUENCES = sequences()


def test_there_are_sixty_sequences_and_more() -> None:
    assert len(SEQUENCES) >= 60
    assert {request.who for requests in SEQUENCES.values() for request in requests} == set(Who)


@pytest.mark.parametrize("name", SEQUENCES)
def test_each_request_is_taken_for_what_it_is(name: str) -> None:
    requests = SEQUENCES[name]
    assert verdicts(requests) == [request.who for request in requests]


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_order_of_arrival_and_duplicates_change_nothing(name: str) -> None:
    requests = SEQUENCES[name]
    chance = random.Random(name)
    for _ in range(5):
        told = requests * chance.randint(1, 3)
        chance.shuffle(told)
        assert verdicts(requests, told) == [request.who for request in requests]


@pytest.mark.parametrize("name", SEQUENCES)
def test_a_scanners_burst_changes_not_one_count_of_persons(name: str) -> None:
    requests = SEQUENCES[name]
    persons = sum(who == "person" for who in verdicts(requests))
    for offset in (0, 100, 900, 5000):
        burst = [
            request(f"{offset + place} {link} chrome 192.0.3.{place} -> machine")
            for place, link in enumerate(("open", "day", "rest", "unsubscribe", "calendar", "exercises"))
        ]
        found = verdicts(requests + burst)
        assert sum(who == "person" for who in found) == persons
        assert found[len(requests) :] == ["machine"] * len(burst)


def test_a_verdict_says_why_and_by_which_rules() -> None:
    only = request("8 day chrome 40.107.12.4 -> machine")
    verdict = classify(only.sighting, Context(only.after))
    assert (verdict.reasons, verdict.rules) == (("network of microsoft-365-protection",), RULES)


def test_nothing_kept_tells_the_address() -> None:
    kept = request("900 day chrome 203.0.113.53 -> person").sighting.evidence.to_dict()
    assert "203.0.113" not in str(kept)
    assert Evidence.from_dict(kept).to_dict() == kept
    assert Evidence.from_dict({"method": "GET", "agent": "browser", "prefetch": False, "source": "ab"}).network == ""


def test_neighbours_share_a_hash_and_another_days_key_makes_another() -> None:
    assert source_of("203.0.113.1", KEY) == source_of("203.0.113.200", KEY) != source_of("203.0.114.1", KEY)
    assert source_of("2001:db8:1:2::3", KEY) == source_of("2001:db8:1:ffff::3", KEY)
    assert source_of("203.0.113.1", KEY) != source_of("203.0.113.1", b"another day")
    assert source_of("unix:", KEY) == ""


def test_each_line_of_the_list_has_a_source_and_the_list_a_date(tmp_path: Path) -> None:
    assert networks().version == "2026-11-23"
    own = tmp_path / "own.txt"
    own.write_text("# ours, 2027-01-01\n192.0.2.0/24 | probable | ours | asked our provider\n")
    found = networks(own)
    match = found.match("192.0.2.7")
    assert match is not None
    assert (match.name, match.certain, found.match("40.107.1.1"), found.match("nonsense")) == (
        "ours",
        False,
        None,
        None,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# no date\n",
        "# 2027-01-01\n192.0.2.0/24 | certain | ours |\n",
        "# 2027-01-01\n192.0.2.1/24 | certain | ours | us\n",
        "# 2027-01-01\n192.0.2.0/24 | perhaps | ours | us\n",
    ],
)
def test_a_list_that_cannot_be_read_names_the_variable(tmp_path: Path, text: str) -> None:
    own = tmp_path / "own.txt"
    own.write_text(text)
    with pytest.raises(SettingsError, match="CHALLENGE_SCANNER_NETWORKS"):
        networks(own)
