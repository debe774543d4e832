"""DMARC as RFC 9989 has it: our parser beside checkdmarc's, the tree walk, alignment."""

from __future__ import annotations

from typing import Any

import pytest
from checkdmarc.dmarc import parse_dmarc_record
from hypothesis import given, settings
from hypothesis import strategies as st

from challenge.doctor.dmarc import dmarc, is_aligned, organisational, parse
from challenge.doctor.finding import State

_POLICY = st.sampled_from(["none", "quarantine", "reject", "NONE", "Reject"])
_TAGS = st.fixed_dictionaries(
    {},
    optional={
        "p": _POLICY,
        "sp": _POLICY,
        "np": _POLICY,
        "adkim": st.sampled_from(["r", "s", "S", "x"]),
        "aspf": st.sampled_from(["r", "s", "relaxed"]),
        "fo": st.sampled_from(["0", "1", "1:d:s", "d", "0:1", "d:d"]),
        "psd": st.sampled_from(["y", "n", "u"]),
        "t": st.sampled_from(["y", "n"]),
        "pct": st.sampled_from(["100", "0", "x"]),
        "ri": st.just("86400"),
        "rf": st.just("afrf"),
        "xyz": st.sampled_from(["1", "hello"]),
    },
)


@settings(max_examples=150)
@given(_TAGS, st.randoms(use_true_random=False), st.sampled_from([";", "; ", " ; "]), st.booleans())
def test_it_reads_what_checkdmarc_reads(tags: dict[str, str], dice: Any, between: str, ends: bool) -> None:
    parts = [f"{name}={value}" for name, value in tags.items()]
    dice.shuffle(parts)
    text = between.join(["v=DMARC1", *parts]) + (";" if ends else "")
    theirs = parse_dmarc_record(text, "ours.example")["tags"]
    ours = parse(text)
    assert ours is not None
    for name in ("p", "sp", "np", "adkim", "aspf", "psd", "t"):
        assert ours.tags[name] == theirs[name]["value"], (name, text)
    theirs_fo = theirs["fo"]["value"]
    assert ours.tags["fo"] == (":".join(theirs_fo) if isinstance(theirs_fo, list) else theirs_fo), text


@pytest.mark.parametrize(
    "text", ["", "v=spf1 -all", "v=DMARC2; p=none", "p=none; v=DMARC1", "v=dmarc1; p=none", "DMARC1"]
)
def test_what_is_none_is_none(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    "tag", ["pct=50", "rf=afrf", "ri=3600", "xyz=1", "p=rejekt", "adkim=x", "nonsense", "p=reject; p=none"]
)
def test_it_warns_and_reads_on(tag: str) -> None:
    found = parse(f"v=DMARC1; {tag}; sp=reject")
    assert found is not None
    assert found.warnings
    assert found.tags["sp"] == "reject"


def test_the_domain_of_an_organisation_follows_from_the_records(zone: Any) -> None:
    zone.texts |= {
        "_dmarc.example.com": ["v=DMARC1; p=reject"],
        "_dmarc.own.big.example": ["v=DMARC1; p=none; psd=n"],
        "_dmarc.big.example": ["v=DMARC1; p=none"],
        "_dmarc.co.uk": ["v=DMARC1; p=none; psd=y"],
    }
    assert organisational("a.b.example.com", zone) == "example.com"
    assert organisational("mail.own.big.example", zone) == "own.big.example"
    assert organisational("mail.shop.co.uk", zone) == "shop.co.uk"
    assert organisational("co.uk", zone) == "co.uk"
    assert organisational("nothing.example.net", zone) == "nothing.example.net"


def test_the_walk_up_is_short(zone: Any) -> None:
    organisational(".".join("abcdefghijklmno") + ".example", zone)
    assert len(zone.asked) == 8


def test_alignment_is_relaxed_or_strict(zone: Any) -> None:
    zone.texts["_dmarc.ours.example"] = ["v=DMARC1; p=none"]
    assert is_aligned("ours.example", "bounce.ours.example", "r", zone)
    assert not is_aligned("ours.example", "bounce.ours.example", "s", zone)
    assert is_aligned("ours.example", "OURS.example.", "s", zone)
    assert not is_aligned("ours.example", "relay.example", "r", zone)


@pytest.mark.parametrize(
    ("texts", "bounce", "signer", "states"),
    [
        (["v=DMARC1; p=none; rua=mailto:d@ours.example"], "bounce.ours.example", "ours.example", ["ok", "ok"]),
        (["v=DMARC1; p=none; rua=mailto:d@ours.example"], "relay.example", "ours.example", ["ok", "warning"]),
        (["v=DMARC1; p=none; rua=mailto:d@ours.example"], "bounce.ours.example", "", ["ok", "warning"]),
        (["v=DMARC1; p=none; rua=mailto:d@ours.example"], "relay.example", "", ["ok", "problem"]),
        (["v=DMARC1; p=none; rua=mailto:d@ours.example; aspf=s"], "bounce.ours.example", "", ["ok", "problem"]),
        (["v=DMARC1; p=none"], "ours.example", "ours.example", ["warning", "ok"]),
        (["v=DMARC1; p=none; pct=20; rua=mailto:d@ours.example"], "ours.example", "ours.example", ["warning", "ok"]),
        ([], "ours.example", "ours.example", ["problem"]),
        (["v=DMARC1; p=none", "v=DMARC1; p=reject"], "ours.example", "ours.example", ["problem"]),
    ],
)
def test_it_judges_record_and_alignment(
    zone: Any, texts: list[str], bounce: str, signer: str, states: list[str]
) -> None:
    zone.texts["_dmarc.ours.example"] = texts
    assert [one.state for one in dmarc("ours.example", bounce, signer, zone)] == states


def test_a_silent_dns_is_not_a_missing_record(zone: Any) -> None:
    zone.silent.add("_dmarc.ours.example")
    assert [one.state for one in dmarc("ours.example", "ours.example", "", zone)] == [State.not_checked]
