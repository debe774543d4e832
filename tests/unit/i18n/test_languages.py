from __future__ import annotations

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from challenge import catalogues
from challenge.errors import BadInput, UsageError
from challenge.i18n import Language, Languages
from challenge.programme.definition import Challenge, shipped
from challenge.programme.translation import sentences, translated


def test_it_offers_a_language_when_pages_and_challenge_have_it(mirrored: tuple[Challenge, Path]) -> None:
    challenge, ours = mirrored
    both = Languages(challenge, ours)
    assert both.locales == ("en", "ar")
    assert (both.get("ar").dir, both.get("ar").lang, both.get("en").dir) == ("rtl", "ar", "ltr")
    shutil.rmtree(ours)
    assert Languages(challenge, ours).locales == ("en",)


@pytest.mark.parametrize("instead", ['msgstr ""', '#, fuzzy\nmsgid "Gone"\nmsgstr "«Gone»"\n\n'])
@pytest.mark.parametrize("whose", ["ours", "theirs"])
def test_it_offers_a_language_only_when_nothing_in_it_waits(
    mirrored: tuple[Challenge, Path], monkeypatch: pytest.MonkeyPatch, instead: str, whose: str
) -> None:
    challenge, ours = mirrored
    monkeypatch.setattr(catalogues, "CATALOGUES", ours)
    (whole,) = catalogues.progress(challenge)
    assert (whole.locale, whole.right, whole.is_offered) == ("ar", whole.all, True)
    file, words = (ours, "Please check this") if whose == "ours" else (challenge.folder / "locales", "A soft start")
    text = (file / "ar.po").read_text()
    said = f'msgstr "«{words}»"'
    assert said in text
    (file / "ar.po").write_text(text.replace(said, instead) if instead.startswith("msgstr") else text + "\n" + instead)
    assert Languages(challenge, ours).locales == ("en",)
    assert Languages(challenge, ours).choose("ar") == "en"
    (part,) = catalogues.progress(challenge)
    assert (whole.all - part.right, part.is_offered) == (1 if instead.startswith("msgstr") else 0, False)


def test_it_does_not_offer_what_was_only_begun(
    mirrored: tuple[Challenge, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge, ours = mirrored
    monkeypatch.setattr(catalogues, "CATALOGUES", ours)
    catalogues.update(challenge, "fr")
    assert Languages(challenge, ours).locales == ("en", "ar")
    told = {one.locale: (one.right, one.is_offered) for one in catalogues.progress(challenge)}
    assert told["fr"] == (0, False)
    shutil.rmtree(challenge.folder / "locales")
    told = {one.locale: (0 < one.right < one.all, one.is_offered) for one in catalogues.progress(challenge)}
    assert told["ar"] == (True, False)


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (["ar-EG", "en"], "ar"),
        (["fr", "ar"], "ar"),
        (["fr"], "en"),
        ([""], "en"),
        (["../x", "*"], "en"),
        (["EN-us"], "en"),
    ],
)
def test_it_chooses_what_is_asked_for_first(mirrored: tuple[Challenge, Path], wanted: list[str], chosen: str) -> None:
    assert Languages(*mirrored).choose(*wanted) == chosen


def test_it_tells_the_whole_challenge_in_the_language(mirrored: tuple[Challenge, Path]) -> None:
    challenge, ours = mirrored
    told = Languages(challenge, ours).get("ar").challenge
    day = told.day(1)
    assert (day.title, told.consent.version, told.therapist) == (
        "«A soft start»",
        shipped().consent.version,
        "Dr. Gretchen Hawley",
    )
    (_, move), _ = day.exercises_for("seated")
    assert move.steps[0] == "«Sit on the front edge of your chair.»"
    assert told.subject("day", 1) == "«Day 1: «A soft start»»"


def test_it_shows_nothing_that_no_translator_saw() -> None:
    """Every text of the dataclasses that is not a name, a number word or a file was given to a translator."""
    marked = translated(shipped(), lambda words: "")
    kept = {word for _, move in marked.moves() for word in (move.title, move.dose, move.feel, move.picture.alt)}
    assert kept == {""}
    assert sentences(marked)[7:] == [""]


def test_it_writes_hours_dates_and_numbers_as_the_language_does() -> None:
    english, german = Language("en", shipped()), Language("de", shipped())
    assert [english.hour(hour) for hour in (6, 12, 13, 0)] == ["6 am", "12 noon", "1 pm", "12 am"]
    assert (german.hour(8), german.date(date(2027, 3, 2)), german.number(12345.5)) == ("08:00", "2. März", "12.345,5")
    late = datetime(2027, 3, 1, 23, 30, tzinfo=UTC)
    assert (english.weekday(late, "UTC"), german.weekday(late, "Europe/Berlin")) == ("Monday", "Dienstag")
    assert (german.name, Language("pt_BR", shipped()).lang) == ("Deutsch", "pt-BR")


def test_it_isolates_only_names_that_run_the_other_way() -> None:
    english, hebrew = Language("en", shipped()), Language("he", shipped())
    assert (english.isolated("Ana"), english.isolated("שרה")) == ("Ana", "\u2068שרה\u2069")
    assert (hebrew.isolated("Ana"), hebrew.isolated("שרה"), hebrew.isolated("")) == ("\u2068Ana\u2069", "שרה", "")


def test_it_names_a_catalogue_that_cannot_be_read(mirrored: tuple[Challenge, Path]) -> None:
    challenge, ours = mirrored
    (ours / "ar.po").write_text("<html>not a catalogue</html>")
    with pytest.raises(UsageError, match=r"ar\.po is not a catalogue"):
        Languages(challenge, ours)


def test_it_says_what_is_wrong_with_a_field_in_the_language() -> None:
    error = BadInput("hour", "Please choose an hour from %(first)s to %(last)s.", first=6, last=21)
    assert error.sentence == "Please choose an hour from 6 to 21."
    assert error.said(lambda words: words.replace("Please choose", "Bitte:")) == "Bitte: an hour from 6 to 21."


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("", "is not translated"),
        ("Bitte %(first)s", "has other placeholders"),
        ("%(first)s %(last)s %(x)s", "has other"),
    ],
)
def test_it_finds_gaps(
    mirrored: tuple[Challenge, Path], monkeypatch: pytest.MonkeyPatch, said: str, problem: str
) -> None:
    challenge, ours = mirrored
    monkeypatch.setattr(catalogues, "CATALOGUES", ours)
    assert list(catalogues.gaps(challenge)) == []
    words = "Please choose an hour from %(first)s to %(last)s."
    file = ours / "ar.po"
    file.write_text(file.read_text().replace(f'msgstr "«{words}»"', f'msgstr "{said}"'))
    (gap,) = catalogues.gaps(challenge)
    assert (gap.words, gap.catalogue) == (words, file)
    assert gap.problem.startswith(problem)


def test_it_keeps_translations_when_words_are_added(
    mirrored: tuple[Challenge, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge, ours = mirrored
    monkeypatch.setattr(catalogues, "CATALOGUES", ours)
    before = (ours / "ar.po").read_text()
    assert 'msgstr "«Please check this»"' in before
    (ours / "ar.po").write_text(before.replace('msgid "Please check this"', 'msgid "Gone"'))
    catalogues.update(challenge, "ar")
    after = (ours / "ar.po").read_text()
    assert "Gone" not in after
    assert 'msgid "Please check this"\nmsgstr ""' in after
    assert [gap.words for gap in catalogues.gaps(challenge)] == ["Please check this"]
    catalogues.update(challenge, "ar")
    assert (ours / "ar.po").read_text() == after
