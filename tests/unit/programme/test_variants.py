"""Who gets which version: equal shares, the same each time, and only words that the file has."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from scipy import stats

from challenge.programme.definition import MAIL_PARTS, Challenge, ContentError, content_dir, load, shipped
from challenge.programme.translation import translated
from challenge.programme.variants import assign

WORDS = """
[variants.landing.b]
headline = "Steadier in five mornings"
[variants.subjects.b]
day = "Morning {number} is here"
"""


MAILS = """
[variants.mails.b]
day-2 = "short"
welcome = "warm"
"""
SHORT_TEXT = """{% import "_base/parts.txt" as parts with context %}
Only two moves today, {{ name }}.
{{ parts.link(link.day, "I did it") }}
{% include "_base/foot.txt" %}"""
SHORT_PAGE = """{% extends "day/body.html" %}{% block body %}<p>Only two moves today.</p>{{ super() }}{% endblock %}"""


def challenge_with(folder: Path, words: str, **mails: tuple[str, str]) -> Challenge:
    """The shipped challenge with these words; `mails`: folder -> (text, HTML)."""
    shutil.copytree(content_dir(shipped()), folder / "c")
    for name, parts in mails.items():
        (folder / "c" / "mails" / name).mkdir(parents=True)
        for part, template in zip(MAIL_PARTS, parts, strict=True):
            (folder / "c" / "mails" / name / part).write_text(template)
    file = folder / "c" / "challenge.toml"
    text = file.read_text()
    file.write_text(text.replace("[[day]]\nnumber = 1\n", f"{words}\n[[day]]\nnumber = 1\n", 1))
    return load(file)


def test_shares_are_equal_and_tests_independent() -> None:
    people = [f"person{number}@example.com" for number in range(30_000)]
    counts = Counter(assign("mails", ["b", "c"], person) for person in people)
    assert sorted(counts) == ["a", "b", "c"]
    assert stats.chisquare(list(counts.values())).pvalue > 0.001
    both = Counter((assign("mails", ["b"], person), assign("landing", ["b"], person)) for person in people)
    assert stats.chi2_contingency([[both[one, two] for two in "ab"] for one in "ab"]).pvalue > 0.001


def test_it_is_sticky_and_empty_without_a_test() -> None:
    assert {assign("mails", ["b"], "ana@example.com") for _ in range(5)} == {
        assign("mails", {"b": {}}, "ana@example.com")
    }
    assert assign("mails", [], "ana@example.com") == ""


def test_the_file_says_what_differs_and_the_rest_stays(tmp_path: Path) -> None:
    found = challenge_with(tmp_path, WORDS)
    assert found.subject("day", 3, variant="b") == "Morning 3 is here"
    assert found.subject("day", 3, variant="a") == found.subject("day", 3) != found.subject("day", 3, variant="b")
    assert found.subject("nudge", 3, variant="b") == found.subject("nudge", 3)
    assert found.subject("day", 3, plain=True, variant="b") == found.subject("day", 3, plain=True)
    assert found.variants.headline("b", found.headline) == "Steadier in five mornings"
    assert found.variants.headline("gone", found.headline) == found.headline
    assert {found.variants.for_mails(f"p{number}@example.com") for number in range(50)} == {"a", "b"}
    other = translated(found, lambda words: words)
    assert other.subject("day", 3, variant="b") == other.subject("day", 3)
    assert shipped().variants.for_mails("ana@example.com") == ""


def test_whole_mails_and_subjects_are_one_test(tmp_path: Path) -> None:
    found = challenge_with(
        tmp_path, WORDS + MAILS + '[variants.mails.c]\nday = "short"', short=("x", "y"), warm=("x", "y")
    )
    variants = found.variants
    assert variants.of_mails == ("b", "c")
    assert {variants.for_mails(f"p{number}@example.com") for number in range(60)} == {"a", "b", "c"}
    assert [variants.folder("b", "day", day) for day in (1, 2, 3)] == ["", "short", ""]
    assert [variants.folder("c", "day", day) for day in (1, 2)] == ["short", "short"]
    assert (variants.folder("b", "welcome", 2), variants.folder("b", "nudge", 2)) == ("warm", "")
    assert variants.folder("a", "welcome", 1) == variants.folder("", "day", 2) == ""


def test_the_edition_is_also_that_of_a_variants_mails(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    editions = {
        challenge_with(folder, MAILS, short=(text, "y"), warm=("x", "y")).edition
        for folder, text in ((one, "x"), (other, "x, and more"))
    }
    assert len(editions) == 2


@pytest.mark.parametrize(
    "words",
    [
        MAILS,
        '[variants.mails.b]\nday-9 = "short"',
        '[variants.mails.b]\npostcard = "short"',
        '[variants.mails.b]\nday-2 = "../short"',
        '[variants.landing.a]\nheadline = "x"',
        '[variants.landing.B-1]\nheadline = "x"',
        '[variants.landing.b]\nheading = "x"',
        '[variants.subjects.b]\nday = "{name}"',
        '[variants.colour.b]\nday = "x"',
    ],
)
def test_it_refuses_what_nobody_would_see(tmp_path: Path, words: str) -> None:
    with pytest.raises(ContentError):
        challenge_with(tmp_path, words)
