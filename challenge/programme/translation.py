"""How is a challenge told in another language? Every sentence of its TOML that people read, through one function.

`sentences` is made by `translated` itself, so nothing can be shown that no translator saw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from challenge.programme.definition import Challenge, Consent, Day, Exercise, Goal, Move, Position
from challenge.programme.variants import NO_VARIANTS

Say = Callable[[str], str]


def translated(challenge: Challenge, say: Say) -> Challenge:
    """The challenge with `say` applied to each of its sentences. Names of people and programmes stay."""
    exercises = {slug: _exercise(exercise, say) for slug, exercise in challenge.exercises.items()}
    words = challenge.consent
    return replace(
        challenge,
        title=say(challenge.title),
        headline=say(challenge.headline),
        tagline=say(challenge.tagline),
        why_paragraphs=_all(challenge.why_paragraphs, say),
        safety=_all(challenge.safety, say),
        private_words=_all(challenge.private_words, say),
        invitation_label=say(challenge.invitation_label),
        about_programme=_all(challenge.about_programme, say),
        consent=Consent(words.version, say(words.challenge), say(words.programme)),
        subjects=MappingProxyType({mail: say(subject) for mail, subject in challenge.subjects.items()}),
        plain_subjects=MappingProxyType({mail: say(words) for mail, words in challenge.plain_subjects.items()}),
        days=tuple(_day(day, exercises, say) for day in challenge.days),
        exercises=MappingProxyType(exercises),
        variants=NO_VARIANTS,  # a test is made in one language
    )


def sentences(challenge: Challenge) -> list[str]:
    """Every sentence a translator has to see, once: the choices a person has, then those of `translated`."""
    seen: dict[str, None] = dict.fromkeys(choice.label for choice in (*Position, *Goal))

    def say(words: str) -> str:
        seen.setdefault(words)
        return words

    translated(challenge, say)
    return list(seen)


def _all(texts: tuple[str, ...], say: Say) -> tuple[str, ...]:
    return tuple(say(text) for text in texts)


def _day(day: Day, exercises: Mapping[str, Exercise], say: Say) -> Day:
    first, second = (tuple(exercises[exercise.slug] for exercise in slot) for slot in day.slots)
    return replace(day, title=say(day.title), intro=say(day.intro), slots=(first, second))


def _exercise(exercise: Exercise, say: Say) -> Exercise:
    return replace(
        exercise,
        title=say(exercise.title),
        muscles=_all(exercise.muscles, say),
        symptoms=_all(exercise.symptoms, say),
        why=say(exercise.why),
        moves=MappingProxyType({at: _move(move, say) for at, move in exercise.moves.items()}),
    )


def _move(move: Move, say: Say) -> Move:
    return replace(
        move,
        title=say(move.title),
        steps=_all(move.steps, say),
        dose=say(move.dose),
        feel=say(move.feel),
        easier=say(move.easier),
        harder=say(move.harder),
        stop=say(move.stop),
        picture=replace(move.picture, alt=say(move.picture.alt)),
    )
