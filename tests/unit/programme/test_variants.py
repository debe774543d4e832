"""Who gets which version: equal shares, the same each time, and only words that the file has."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from scipy import stats

from challenge.programme.definition import Challenge, ContentError, content_dir, load, shipped
from challenge.programme.translation import translated
from challenge.programme.variants import assign

WORDS = """
[variants.landing.b]
headline = "Steadier in five mornings"
[variants.subjects.b]
day = "Morning {number} is here"
"""


def challenge_with(folder: Path, words: str) -> Challenge:
    shutil.copytree(content_dir(shipped()), folder / "c")
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


@pytest.mark.parametrize(
    "words",
    [
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
