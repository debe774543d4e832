"""Is the content fit for a person's morning? Asked by `challenge lint`, the dashboard and the tests.

`definition.load` refuses what cannot be sent at all; the lint judges what can be sent but should not be: words that are
hard to read, a muscle without its day of rest, a subject line that tells a stranger of a person's health.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from challenge.programme.definition import Challenge, Day, tired_muscles
from challenge.programme.exercises import Exercise, Goal, Kind, Load, Move, Position, Sides
from challenge.programme.reading import grade, sentences, words

MAX_GRADE = 6.0
MAX_WORDS = 15
MIN_SAFETY_LINES = 3
MIN_ALT_WORDS = 6
# Guidelines for adults with mild to moderate MS: 1 set of 10-15, building to 2, with 1-2 minutes of rest.
REPETITIONS, SETS, REST_SECONDS = range(10, 16), range(1, 3), range(60, 121)
Level = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """One thing to mend. `where` names the table of the TOML; an `error` keeps the content from shipping."""

    level: Level
    where: str
    text: str
    advice: str


def lint(challenge: Challenge) -> list[Finding]:
    """All findings, in the order of the file. An empty list means: fit, and signed by a clinician."""
    return [
        *_review(challenge),
        *_safety(challenge),
        *_subjects(challenge),
        *_stretches(challenge),
        *_rest(challenge),
        *_doses(challenge),
        *_pictures(challenge),
        *_grades(challenge),
        *_long_sentences(challenge),
    ]


def _error(where: str, text: str, advice: str) -> Finding:
    return Finding("error", where, text, advice)


def _review(challenge: Challenge) -> Iterator[Finding]:
    if not challenge.reviewed_by:
        advice = "Let a clinician read every line, then write who and when into reviewed_by"
        yield Finding("warning", "reviewed_by", "no clinician has signed these words", advice)


def _safety(challenge: Challenge) -> Iterator[Finding]:
    if len(challenge.safety) < MIN_SAFETY_LINES:
        text = f"{len(challenge.safety)} safety lines, at least {MIN_SAFETY_LINES} are needed"
        yield _error("safety", text, "Say when to stop, how to stay cool, what to hold and whom to ask")
    for exercise, move in challenge.moves():
        if not move.stop.strip():
            yield _error(_place(exercise, move), "does not say when to stop", "Fill in stop")


def _subjects(challenge: Challenge) -> Iterator[Finding]:
    private = {word.lower() for word in challenge.private_words}
    for mail in challenge.subjects:
        variants = ("", *challenge.variants.of_mails)
        subjects = {challenge.subject(mail, day.number, variant=name) for day in challenge.days for name in variants}
        for said in sorted(private & {word.lower() for subject in subjects for word in words(subject)}):
            yield _error(f"subjects.{mail}", f"says {said!r}", "Others see a subject line: leave a person's health out")


def _stretches(challenge: Challenge) -> Iterator[Finding]:
    for day in challenge.days:
        for exercise in day.slots[0]:
            if exercise.kind is not Kind.stretch or challenge.daily_stretch not in exercise.muscles:
                text = f"{exercise.slug} does not stretch the {challenge.daily_stretch}"
                yield _error(_of(day), text, "Put a stretch for them first on every day")


def _rest(challenge: Challenge) -> Iterator[Finding]:
    for day, muscle in tired_muscles(challenge.days):
        text = f"{muscle} may work hard on day {day.number - 1} and again today"
        yield _error(_of(day), text, "Give one of the days a light exercise, or other muscles")


def _doses(challenge: Challenge) -> Iterator[Finding]:
    for exercise, move in challenge.moves():
        if str(move.repetitions) not in words(move.dose):
            text = f"dose does not say the {move.repetitions} of repetitions"
            yield _error(_place(exercise, move), text, "Let the words and the numbers agree")
        if challenge.locale.startswith("en") and ("each side" in move.dose) is (move.sides is Sides.together):
            said, wanted = ("says", 'Write sides = "alternating" or "one then other"')
            if move.sides is not Sides.together:
                said, wanted = ("does not say", f"Say it in dose, or take sides = {str(move.sides)!r} out")
            yield _error(_place(exercise, move), f"dose {said} each side", f"{wanted}: the timer goes by it")
        fits = move.repetitions in REPETITIONS and move.sets in SETS and move.rest_seconds in REST_SECONDS
        if exercise.load is Load.hard and not fits:
            text = "a hard exercise outside the published dose"
            yield _error(_place(exercise, move), text, "1 set of 10 to 15, building to 2; rest 60 to 120 seconds")


def _pictures(challenge: Challenge) -> Iterator[Finding]:
    seen: dict[str, str] = {}
    for exercise, move in challenge.moves():
        place, alt = _place(exercise, move), move.picture.alt
        if len(words(alt)) < MIN_ALT_WORDS:
            yield _error(place, "alt does not say the movement", "Say how the body starts and what moves where")
        if alt in seen:
            yield _error(place, f"alt is the same as in {seen[alt]}", "Say what is different in this picture")
        seen[alt] = place


def _grades(challenge: Challenge) -> Iterator[Finding]:
    """The worst of what people may get on each day: every position, every goal."""
    for day in challenge.days:
        hardest = max(grade(text) for text in _letters(day))
        if hardest > MAX_GRADE:
            text = f"reads like school grade {hardest:.1f}, at most {MAX_GRADE:g} is easy"
            yield _error(_of(day), text, "Use shorter words and shorter sentences")


def _long_sentences(challenge: Challenge) -> Iterator[Finding]:
    for where, text in _all_words(challenge):
        for sentence in sentences(text):
            if (length := len(words(sentence))) > MAX_WORDS:
                finding = f"a sentence of {length} words: {sentence}"
                yield _error(where, finding, f"Make two of it; {MAX_WORDS} words are enough")


def _letters(day: Day) -> set[str]:
    choices = ((position, goal) for position in Position for goal in (None, *Goal))
    return {" ".join([day.intro, *_pair_words(day, *choice)]) for choice in choices}


def _pair_words(day: Day, position: Position, goal: Goal | None) -> list[str]:
    return [words for _, move in day.exercises_for(position, goal) for words in _move_words(move)]


def _move_words(move: Move) -> tuple[str, ...]:
    return (*move.steps, move.dose, move.feel, move.easier, move.harder, f"Stop if {move.stop}")


def _all_words(challenge: Challenge) -> Iterator[tuple[str, str]]:
    yield "headline", challenge.headline
    for name, landing in challenge.variants.landing.items():
        yield f"variants.landing.{name}", landing["headline"]
    yield "tagline", challenge.tagline
    yield from (("invitation", text) for text in challenge.about_programme)
    yield from (("why", text) for text in challenge.why_paragraphs)
    yield from (("safety", text) for text in challenge.safety)
    yield from (("consent", text) for text in (challenge.consent.challenge, challenge.consent.programme))
    yield from ((_of(day), day.intro) for day in challenge.days)
    yield from ((f"exercise.{exercise.slug}", exercise.why) for exercise in challenge.exercises.values())
    for exercise, move in challenge.moves():
        yield from ((_place(exercise, move), text) for text in (*_move_words(move), move.picture.alt))


def _of(day: Day) -> str:
    return f"day {day.number}"


def _place(exercise: Exercise, move: Move) -> str:
    return f"exercise.{exercise.slug}.{move.position}"
