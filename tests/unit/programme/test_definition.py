"""Loading a challenge: every broken file is refused with the file, the line and what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from challenge.errors import ChallengeError
from challenge.journey import Pace as JourneyPace
from challenge.programme.definition import ContentError, Pace, load, picture_path, shipped

TOML = """\
slug = "tiny"
title = "Tiny"
locale = "en"
pace = "daily"
headline = "Two mornings"
tagline = "Small."
why = ["Because."]
safety = ["Stop if it hurts."]
reviewed_by = ""
daily_stretch = "inner thighs"
private_words = ["MS"]

[invitation]
therapist = "Dr. A"
programme = "More"
url = "https://example.org/more"
label = "See more"
about = ["It has more."]

[consent]
version = "1"
challenge = "Yes."
programme = "Yes, too."

[subjects]
day = "Day {number} of {length}: {title}"

[[day]]
number = 1
title = "Begin"
intro = "Hello."
minutes = 5
stretch = ["reach"]
partner = ["reach"]

[[day]]
number = 2
title = "Go On"
intro = "Again."
minutes = 5
stretch = ["reach"]
partner = ["reach"]

[exercise.reach]
title = "Reach"
kind = "stretch"
load = "light"
muscles = ["inner thighs"]
goals = ["walk"]
symptoms = ["stiff legs"]
why = "It helps."

[exercise.reach.seated]
title = "Seated reach"
steps = ["Sit.", "Reach."]
dose = "Do it 10 times."
repetitions = 10
sets = 1
hold_seconds = 0
rest_seconds = 60
feel = "A pull."
easier = "Less."
harder = "More."
stop = "it hurts."
picture = "reach.png"
alt = "A person sits and reaches one arm out."
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    (tmp_path / "pictures").mkdir()
    for name in ("reach.png", "reach.svg"):
        (tmp_path / "pictures" / name).write_text("drawn")

    def write(text: str) -> Path:
        path = tmp_path / "challenge.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_it_reads_the_whole_file(write: Write) -> None:
    challenge = load(write(TOML).parent)
    assert (challenge.slug, challenge.length, challenge.pace, challenge.reviewed_by) == ("tiny", 2, Pace.daily, "")
    (_, move), _ = challenge.day(2).exercises_for("seated")
    assert move.steps == ("Sit.", "Reach.")
    assert challenge.day(1).exercise_slugs == ("reach", "reach")


def test_it_reads_a_file_as_windows_saves_it(write: Write) -> None:
    plain = load(write(TOML))
    marked = load(write("\ufeff" + TOML))
    assert (marked.slug, marked.edition) == ("tiny", plain.edition)
    with pytest.raises(ContentError, match="line 1: slug"):
        load(write("\ufeff" + TOML.replace('"tiny"', '"Tiny one"', 1)))


def test_it_fills_subject_lines(write: Write) -> None:
    challenge = load(write(TOML))
    assert challenge.subject("day", 2) == "Day 2 of 2: Go On"
    with pytest.raises(LookupError, match="tiny has no subject for nudge"):
        challenge.subject("nudge")


@pytest.mark.parametrize("number", [0, -1, 3])
def test_it_has_no_days_beyond_its_own(write: Write, number: int) -> None:
    with pytest.raises(LookupError, match="tiny has no day"):
        load(write(TOML)).day(number)


def test_it_gives_pictures_of_its_own_and_no_other_file(write: Write) -> None:
    challenge = load(write(TOML))
    assert picture_path(challenge, "reach.png").read_text() == "drawn"
    for other in ("../challenge.toml", "reach.svg", "/etc/passwd", ""):
        with pytest.raises(LookupError, match="no such picture"):
            picture_path(challenge, other)


def test_it_knows_the_same_paces_as_the_journey() -> None:
    assert {pace.value for pace in Pace} == {pace.value for pace in JourneyPace}


HARD_TWICE = TOML.replace('load = "light"', 'load = "hard"')
WRONG = {
    "a missing key": ("headline = ", "subline = ", "slug = ", "headline is missing", "Add a line headline ="),
    "a misspelt key": ('harder = "More."', 'harder = "More."\nhardr = ""', "hardr", "hardr is not known", "Known here"),
    "an unknown table": ("[subjects]", "[subject]", "slug = ", "subjects is missing", "Add a line [subjects]"),
    "an empty text": ('feel = "A pull."', 'feel = "  "', "feel", "feel is empty", "Write a few words"),
    "a number as text": ('title = "Tiny"', "title = 5", "title = 5", "title is not text", "in quotes"),
    "a line end in a text": ('title = "Tiny"', 'title = "Ti\\nny"', "Ti", "title has a line end", "one line"),
    "an empty list": ('why = ["Because."]', "why = []", "why = []", "why is not a list of texts", "Write why"),
    "a list with a number": (
        '["Sit.", "Reach."]',
        '["Sit.", 2]',
        "Sit.",
        "steps is not a list of texts",
        "Write steps",
    ),
    "a text as number": ("sets = 1", 'sets = "1"', "sets", "whole number from 1 to 5", "Write sets = 1"),
    "truth as number": ("sets = 1", "sets = true", "sets", "whole number from 1 to 5", "Write sets = 1"),
    "too long a rest": ("rest_seconds = 60", "rest_seconds = 6000", "rest_sec", "from 0 to 600", "Write rest_seconds"),
    "a day out of order": ("number = 2", "number = 3", "number = 3", "number is not 2", "Number the days 1, 2, 3"),
    "an unknown pace": ('pace = "daily"', 'pace = "hourly"', "pace", "'hourly' is an unknown pace", "daily, when_done"),
    "an unknown load": ('load = "light"', 'load = "heavy"', "load", "'heavy' is an unknown load", "light, hard"),
    "an unknown kind": ('kind = "stretch"', 'kind = "yoga"', "kind", "'yoga' is an unknown kind", "stretch, strength"),
    "an unknown goal": ('goals = ["walk"]', 'goals = ["fly"]', "goals", "'fly' is an unknown goal", "walk, stairs"),
    "an unknown position": (
        "reach.seated]",
        "reach.floating]",
        "floating",
        "unknown position",
        "seated, standing, lying",
    ),
    "unknown sides": ("sets = 1", 'sides = "left"\nsets = 1', "sides", "'left' is an unknown sides", "one then other"),
    "an unknown exercise": (
        'partner = ["reach"]',
        'partner = ["x"]',
        'r = ["x"]',
        "'x' is an unknown exercise",
        "reach",
    ),
    "a slug with spaces": ('slug = "tiny"', 'slug = "Tiny one"', "slug", "'Tiny one' is not plain", "small letters"),
    "no https": ("https://example.org/more", "http://example.org", "url", "not an https address", "https://"),
    "an address of a script": ("https://example.org/more", "javascript:alert(1)", "url", "not an https", "https://"),
    "a brace nobody fills": ("{number} of", "{name} of", "day = ", "day has braces nobody fills", "{number}, {title}"),
    "an open brace": (
        "Day {number} of",
        "Day {number of",
        "day = ",
        "day has braces nobody fills",
        "{number}, {title}",
    ),
    "a lost picture": ('"reach.png"', '"gone.png"', "gone", "pictures/gone.png does not exist", "draw.py"),
    "a picture elsewhere": ('"reach.png"', '"../reach.png"', "../", "is not a plain PNG name", "seated-march.png"),
    "no equals sign": ('locale = "en"', "locale en", "locale en", "is not TOML", "Mend that line"),
}


@pytest.mark.parametrize(("old", "new", "at", "problem", "advice"), WRONG.values(), ids=WRONG.keys())
def test_it_says_which_line_and_what_to_do(
    write: Write, old: str, new: str, at: str, problem: str, advice: str
) -> None:
    assert old in TOML
    text = TOML.replace(old, new, 1)
    path = write(text)
    with pytest.raises(ContentError) as caught:
        load(path)
    error = caught.value
    assert isinstance(error, ChallengeError)
    assert problem in error.problem
    assert advice in error.advice
    assert error.line == [at in line for line in text.splitlines()].index(True) + 1
    assert str(error) == f"{path}, line {error.line}: {error.problem}. {error.advice}"


def test_it_names_the_line_in_the_right_one_of_many_tables(write: Write) -> None:
    text = TOML.replace('intro = "Again."\n', "")
    with pytest.raises(ContentError, match="intro is missing") as caught:
        load(write(text))
    headers = [number for number, line in enumerate(text.splitlines(), 1) if line == "[[day]]"]
    assert caught.value.line == headers[1]


def test_it_refuses_an_exercise_without_a_move(write: Write) -> None:
    with pytest.raises(ContentError, match="has no move") as caught:
        load(write(TOML[: TOML.index("[exercise.reach.seated]")]))
    assert "[exercise.reach.seated]" in caught.value.advice


def test_it_refuses_the_same_muscle_hard_two_days_running(write: Write) -> None:
    with pytest.raises(ContentError, match="inner thighs is loaded hard on days 1 and 2") as caught:
        load(write(HARD_TWICE))
    assert caught.value.line is not None
    assert HARD_TWICE.splitlines()[caught.value.line - 1] == 'partner = ["reach"]'


@pytest.mark.parametrize(
    ("content", "problem", "line"),
    [
        (b'slug = "a"\ntitle = "\xff"', "is not UTF-8", 2),
        (b"a = " + b"[" * 5000, "is nested too deeply", None),
        (b'slug = "a"\n\ntitle = ', "is not TOML", 3),
    ],
)
def test_it_refuses_what_is_no_text(tmp_path: Path, content: bytes, problem: str, line: int | None) -> None:
    path = tmp_path / "challenge.toml"
    path.write_bytes(content)
    with pytest.raises(ContentError, match=problem) as caught:
        load(path)
    assert caught.value.line == line


def test_it_says_why_a_file_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match=r"cannot be read \(No such file or directory\)") as caught:
        load(tmp_path / "nowhere")
    assert str(caught.value).startswith(str(tmp_path / "nowhere" / "challenge.toml"))


@pytest.mark.parametrize("changed", ["challenge.toml", os.path.join("pictures", "reach.png")])
def test_it_changes_its_edition_with_each_byte(write: Write, changed: str) -> None:
    path = write(TOML)
    before = load(path).edition
    assert load(path).edition == before
    file = path.parent / changed
    file.write_text(file.read_text() + "\n")
    assert load(path).edition != before


def test_it_reads_the_shipped_challenge_once() -> None:
    assert shipped() is shipped()
