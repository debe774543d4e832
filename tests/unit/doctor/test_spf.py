"""SPF as RFC 7208 has it, against a DNS of a few lines."""

from __future__ import annotations

from typing import Any

import pytest

from challenge.doctor.finding import State
from challenge.doctor.spf import evaluate, spf


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 ip4:192.0.2.0/24 -all", "pass"),
        ("v=spf1 ip4:198.51.100.0/24 -all", "fail"),
        ("v=spf1 ip4:198.51.100.0/24 ~all", "softfail"),
        ("v=spf1 ?all", "neutral"),
        ("v=spf1", "neutral"),
        ("v=spf1 a -all", "pass"),
        ("v=spf1 a:other.example -all", "fail"),
        ("v=spf1 a:other.example/8 -all", "fail"),
        ("v=spf1 a:near.example/24 -all", "pass"),
        ("v=spf1 mx -all", "pass"),
        ("v=spf1 include:relay.example -all", "pass"),
        ("v=spf1 include:strict.example -all", "fail"),
        ("v=spf1 redirect=relay.example", "pass"),
        ("v=spf1 exists:%{ir}.list.example -all", "pass"),
        ("v=spf1 ptr:named.example -all", "pass"),
        ("v=spf1 ip6:2001:db8::/32 -all", "fail"),
        ("V=SPF1 IP4:192.0.2.1 -ALL", "pass"),
        ("v=spf1 exp=why.example ip4:192.0.2.1 -all", "pass"),
        ("v=spf1 include:nowhere.example -all", "permerror"),
        ("v=spf1 ipv4:192.0.2.1 -all", "permerror"),
        ("v=spf1 ip4:192.0.2.999 -all", "permerror"),
        ("v=spf10 ip4:192.0.2.1", "none"),
    ],
)
def test_it_evaluates(zone: Any, record: str, result: str) -> None:
    zone.texts |= {
        "ours.example": [record, "unrelated"],
        "relay.example": ["v=spf1 ip4:192.0.2.1 -all"],
        "strict.example": ["v=spf1 -all"],
    }
    zone.hosts |= {
        "ours.example": ["192.0.2.1"],
        "other.example": ["203.0.113.1"],
        "near.example": ["192.0.2.77"],
        "mx.example": ["192.0.2.1"],
        "1.2.0.192.list.example": ["127.0.0.2"],
        "host.named.example": ["192.0.2.1"],
    }
    zone.exchanges["ours.example"] = [(10, "mx.example")]
    zone.reverse["192.0.2.1"] = ["host.named.example"]
    assert evaluate("192.0.2.1", "ours.example", zone).result == result


def _chain(zone: Any, length: int) -> None:
    zone.texts["ours.example"] = ["v=spf1 include:1.example -all"]
    for number in range(1, length + 1):
        zone.texts[f"{number}.example"] = [f"v=spf1 include:{number + 1}.example -all"]
    zone.texts[f"{length}.example"] = ["v=spf1 ip4:192.0.2.1 -all"]


def test_ten_lookups_are_allowed_and_the_eleventh_is_not(zone: Any) -> None:
    _chain(zone, 10)
    assert evaluate("192.0.2.1", "ours.example", zone).result == "pass"
    _chain(zone, 11)
    assert evaluate("192.0.2.1", "ours.example", zone).result == "permerror"


def test_a_circle_ends(zone: Any) -> None:
    zone.texts["ours.example"] = ["v=spf1 include:ours.example -all"]
    assert evaluate("192.0.2.1", "ours.example", zone).result == "permerror"


def test_three_names_that_do_not_exist_are_too_many(zone: Any) -> None:
    zone.texts["ours.example"] = ["v=spf1 a:x.example a:y.example a:z.example ip4:192.0.2.1 -all"]
    assert evaluate("192.0.2.1", "ours.example", zone).result == "permerror"


@pytest.mark.parametrize(
    ("texts", "own", "state"),
    [
        ([], [], State.problem),
        (["v=spf1 ip4:192.0.2.1 -all"], ["192.0.2.1"], State.ok),
        (["v=spf1 ip4:192.0.2.1 -all"], ["192.0.2.1", "192.0.2.2"], State.problem),
        (["v=spf1 ip4:192.0.2.1 -all"], [], State.not_checked),
        (["v=spf1 a:smtp.relay.example -all"], [], State.ok),
        (["v=spf1 +all"], ["192.0.2.1"], State.problem),
        (["v=spf1 all"], ["192.0.2.1"], State.problem),
        (["v=spf1 -all", "v=spf1 ~all"], ["192.0.2.1"], State.problem),
        (["v=spf1 include:nowhere.example -all"], [], State.problem),
    ],
)
def test_it_says_whether_the_relay_is_covered(zone: Any, texts: list[str], own: list[str], state: State) -> None:
    zone.texts["ours.example"] = texts
    zone.hosts["smtp.relay.example"] = ["198.51.100.9"]
    [found] = spf("ours.example", own, "smtp.relay.example", zone)
    assert found.state is state
    assert bool(found.to_do) == (state is not State.ok)


def test_a_silent_dns_is_not_a_missing_record(zone: Any) -> None:
    zone.silent.add("ours.example")
    assert [one.state for one in spf("ours.example", [], "", zone)] == [State.not_checked]
