"""How hard is a text to read? Asked by the lint of the content, and by nobody while mails go out.

Flesch-Kincaid grade (Kincaid et al. 1975): 0.39 words per sentence + 11.8 syllables per word - 15.59. English only.
Syllables are counted by rule, not by dictionary: about one word in twenty is off by one, and most of that evens out.
"""

from __future__ import annotations

import re

# The dot of these ends no sentence.
_SHORTENED = re.compile(r"\b(Dr|Mr|Mrs|Ms|St|e\.g|i\.e|etc)\.(?=\s)")
_WORD = re.compile(r"[A-Za-z0-9]+(?:['’-][A-Za-z0-9]+)*")
_SILENT = re.compile(r"(?:(?:[^aeiouylsxzcgh]|(?<![cs])h)es|[^td]ed|[^l]e)$")
# Vowels that stand together but are spoken apart: radio, video, usual, doing, easier.
_SPLIT = re.compile(r"i[ao](?!n)|eo$|[^gq]ua[^r]|[aeiouy]ing$|ie(?:r|st)$")
_BY_HEART = {"ms": 2, "msing": 3, "dr": 2, "people": 2, "area": 3, "idea": 3, "quiet": 2}


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text, in order, without what surrounds them. Text that has no words has no sentences."""
    whole = _SHORTENED.sub(r"\1", text)
    found = (part.strip() for part in re.split(r"(?<=[.!?:])\s+", whole))
    return tuple(part for part in found if words(part))


def words(text: str) -> tuple[str, ...]:
    """The words of a text; a number is one, and so is `side-step`."""
    return tuple(_WORD.findall(text))


def syllables(word: str) -> int:
    """How often the mouth opens, at least once. A number counts as one."""
    return sum(map(_syllables, word.lower().split("-")))


def _syllables(word: str) -> int:
    plain = word.replace("’", "'").removesuffix("'s")
    if plain in _BY_HEART:
        return _BY_HEART[plain]
    spoken = _SILENT.sub(lambda ending: ending[0][0], plain) if len(plain) > 3 else plain
    return max(1, len(re.findall(r"[aeiouy]+", spoken)) + len(_SPLIT.findall(spoken)))


def grade(text: str) -> float:
    """The American school grade that reads the text with ease. 0.0 for a text without words."""
    said, count = words(text), len(sentences(text))
    if not said:
        return 0.0
    return 0.39 * len(said) / count + 11.8 * sum(map(syllables, said)) / len(said) - 15.59
