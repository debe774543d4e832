"""How hard is a text? Counts checked by hand, grades against published examples."""

from __future__ import annotations

import pytest

from challenge.programme.reading import grade, sentences, syllables, words

BY_HAND = {
    1: [
        "breathe",
        "sides",
        "knees",
        "placed",
        "raised",
        "straight",
        "done",
        "moves",
        "squeeze",
        "breaths",
        "once",
        "shoes",
        "a",
        "10",
    ],
    2: [
        "muscles",
        "challenge",
        "lower",
        "slowly",
        "little",
        "doing",
        "being",
        "people",
        "needed",
        "outside",
        "table",
        "pushes",
        "stretches",
        "side-step",
    ],
    3: ["area", "easier", "therapist", "strengthening", "idea", "video", "radio", "usual", "sclerosis"],
    4: ["exercises"],
}


@pytest.mark.parametrize(("count", "word"), [(count, word) for count, row in BY_HAND.items() for word in row])
def test_it_counts_syllables(word: str, count: int) -> None:
    assert syllables(word) == count
    assert syllables(word.upper()) == count


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Sit tall. Breathe!  Ready? Go", ("Sit tall.", "Breathe!", "Ready?", "Go")),
        ("Ask Dr. Hawley first.", ("Ask Dr Hawley first.",)),
        ("Choose: sit or stand.", ("Choose:", "sit or stand.")),
        ("Hold 2.5 seconds.", ("Hold 2.5 seconds.",)),
        ("…  ! ?", ()),
        ("", ()),
    ],
)
def test_it_parts_sentences(text: str, expected: tuple[str, ...]) -> None:
    assert sentences(text) == expected


def test_it_counts_a_hyphened_word_once() -> None:
    assert words("Don't side-step, 10 times – e-mail us.") == ("Don't", "side-step", "10", "times", "e-mail", "us")


@pytest.mark.parametrize(
    ("text", "published"),
    [
        ("The cat sat on the mat.", -1.45),
        ("This sentence, taken as a reading passage unto itself, is being used to prove a point.", 7.6),
        ("The Australian platypus is seemingly a hybrid of a mammal and reptilian creature.", 11.3),
    ],
)
def test_it_agrees_with_published_grades(text: str, published: float) -> None:
    assert grade(text) == pytest.approx(published, abs=0.1)


def test_it_grades_no_text_as_nothing() -> None:
    assert grade(" – ") == 0.0
