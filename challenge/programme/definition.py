"""What is the challenge? Reads one TOML file and its pictures; asked by every step that words or days concern.

The file is refused as a whole when anything in it is wrong: a person must never get half a day.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

from challenge.programme.exercises import Exercise, Goal, Kind, Load, Move, Picture, Position, Sides, choose
from challenge.programme.source import ContentError, Table, read
from challenge.programme.variants import NO_VARIANTS, Variants, is_name

__all__ = [
    "Challenge",
    "Consent",
    "ContentError",
    "Day",
    "Exercise",
    "Goal",
    "Kind",
    "Load",
    "Move",
    "Pace",
    "Picture",
    "Position",
    "Sides",
    "content_dir",
    "load",
    "picture_path",
    "shipped",
]

_SHIPPED = Path(__file__).parent.parent / "content" / "ms-strength"
MAIL_PARTS = ("body.txt", "body.html")
_SUBJECT_WORDS = {"number", "title", "length"}


class Pace(StrEnum):
    """When the next day comes, unless the person chose otherwise."""

    daily = "daily"
    when_done = "when_done"
    every_other_day = "every_other_day"
    weekdays = "weekdays"
    weekly = "weekly"


@dataclass(frozen=True)
class Day:
    """One morning: two slots, each with the exercises that may fill it, best first."""

    number: int
    title: str
    intro: str
    minutes: int
    slots: tuple[tuple[Exercise, ...], tuple[Exercise, ...]]

    @property
    def exercise_slugs(self) -> tuple[str, ...]:
        """Every exercise the day may ask for."""
        return tuple(exercise.slug for slot in self.slots for exercise in slot)

    def exercises_for(
        self, position: Position | str, goal: Goal | str | None = None
    ) -> tuple[tuple[Exercise, Move], tuple[Exercise, Move]]:
        """The day's pair for this person: the stretch first, then its partner."""
        stretch, partner = (choose(slot, position, goal) for slot in self.slots)
        return (stretch, stretch.move_for(position)), (partner, partner.move_for(position))


@dataclass(frozen=True)
class Consent:
    """What people agree to, word for word. A changed word needs a new `version`; both are kept as evidence."""

    version: str
    challenge: str
    programme: str


@dataclass(frozen=True)
class Challenge:
    """One challenge as it ships. `edition` changes with every byte of its words, their translations and its pictures.

    `daily_stretch` is the muscle that each day's stretch is for; `private_words` tell of a person's health, so no
    subject line may say them. `reviewed_by` is empty until a clinician has read all of it.
    """

    folder: Path
    edition: str
    slug: str
    title: str
    locale: str
    pace: Pace
    headline: str
    tagline: str
    why_paragraphs: tuple[str, ...]
    safety: tuple[str, ...]
    reviewed_by: str
    daily_stretch: str
    private_words: tuple[str, ...]
    therapist: str
    programme: str
    invitation_url: str
    invitation_label: str
    about_programme: tuple[str, ...]
    consent: Consent
    subjects: Mapping[str, str]
    plain_subjects: Mapping[str, str]
    days: tuple[Day, ...]
    exercises: Mapping[str, Exercise]
    variants: Variants = NO_VARIANTS

    @property
    def length(self) -> int:
        return len(self.days)

    def day(self, number: int) -> Day:
        """Day `number`, counted from 1. Raises LookupError for a day the challenge does not have."""
        if not 1 <= number <= self.length:
            raise LookupError(f"{self.slug} has no day {number}")
        return self.days[number - 1]

    def subject(self, mail: str, day: int = 1, *, plain: bool = False, variant: str = "") -> str:
        """The subject line of a mail (`day`, `nudge`, `confirm`, …); `plain` ones may tell what it is about, and are in no
        test of variants.

        Raises LookupError for a mail without one."""
        if mail not in self.subjects:
            raise LookupError(f"{self.slug} has no subject for {mail}")
        words = self.variants.subject(variant, mail, self.subjects[mail])
        if plain:
            words = self.plain_subjects.get(mail, self.subjects[mail])
        return words.format(number=day, title=self.day(day).title, length=self.length)

    def moves(self) -> Iterator[tuple[Exercise, Move]]:
        """Every exercise in every position it has."""
        return ((exercise, move) for exercise in self.exercises.values() for move in exercise.moves.values())


def load(path: Path) -> Challenge:
    """Reads a challenge from its folder or its TOML file; the caller keeps it. Raises ContentError."""
    path = path / "challenge.toml" if path.suffix != ".toml" else path
    root = read(path)
    exercises = {slug: _exercise(slug, table) for slug, table in root.tables("exercise").items()}
    days = tuple(_day(row, number, exercises) for number, row in enumerate(root.rows("day"), 1))
    _refuse_tired_muscles(root, days)
    return _challenge(root, exercises, days)


@cache
def shipped() -> Challenge:
    """The challenge that comes with the service."""
    return load(_SHIPPED)


def content_dir(challenge: Challenge) -> Path:
    """The folder that holds the challenge's TOML and its `pictures`."""
    return challenge.folder


def picture_path(challenge: Challenge, file: str) -> Path:
    """Where a picture lies. Raises LookupError unless an exercise uses it, so no other file can be asked for."""
    if not any(move.picture.file == file for _, move in challenge.moves()):
        raise LookupError(f"{challenge.slug} has no such picture")
    return challenge.folder / "pictures" / file


def tired_muscles(days: tuple[Day, ...]) -> Iterator[tuple[Day, str]]:
    """Each muscle that two days running may load hard, with the second of the days."""
    for yesterday, today in pairwise(days):
        for muscle in sorted(_hard_muscles(yesterday) & _hard_muscles(today)):
            yield today, muscle


def _hard_muscles(day: Day) -> set[str]:
    hard = (exercise for slot in day.slots for exercise in slot if exercise.load is Load.hard)
    return {muscle for exercise in hard for muscle in exercise.muscles}


def _refuse_tired_muscles(root: Table, days: tuple[Day, ...]) -> None:
    for day, muscle in tired_muscles(days):
        row = root.rows("day")[day.number - 1]
        problem = f"{muscle} is loaded hard on days {day.number - 1} and {day.number}"
        row.wrong("partner", problem, "Give the second day a light exercise, or other muscles")


def _challenge(root: Table, exercises: dict[str, Exercise], days: tuple[Day, ...]) -> Challenge:
    invitation = root.table("invitation")
    subjects = _subjects(root.table("subjects"))
    challenge = Challenge(
        folder=root.source.path.parent,
        edition=_edition(root, exercises),
        slug=_slug(root, "slug"),
        title=root.text("title"),
        locale=root.text("locale"),
        pace=root.choice("pace", Pace),
        headline=root.text("headline"),
        tagline=root.text("tagline"),
        why_paragraphs=root.texts("why"),
        safety=root.texts("safety"),
        reviewed_by=root.text("reviewed_by", may_be_empty=True),
        daily_stretch=root.text("daily_stretch"),
        private_words=root.texts("private_words"),
        therapist=invitation.text("therapist"),
        programme=invitation.text("programme"),
        invitation_url=_address(invitation, "url"),
        invitation_label=invitation.text("label"),
        about_programme=invitation.texts("about"),
        consent=_consent(root.table("consent")),
        subjects=subjects,
        plain_subjects=_subjects(root.table("plain_subjects")) if root.has("plain_subjects") else MappingProxyType({}),
        days=days,
        exercises=MappingProxyType(exercises),
        variants=_variants(root.table("variants"), subjects, len(days)) if root.has("variants") else NO_VARIANTS,
    )
    invitation.finish()
    root.finish()
    return challenge


def _edition(root: Table, exercises: dict[str, Exercise]) -> str:
    digest = hashlib.sha256(root.source.text.encode())
    for catalogue in sorted((root.source.path.parent / "locales").glob("*.po")):
        digest.update(catalogue.read_bytes())
    for name in sorted({move.picture.file for exercise in exercises.values() for move in exercise.moves.values()}):
        digest.update((root.source.path.parent / "pictures" / name).read_bytes())
    for part in sorted((root.source.path.parent / "mails").glob("*/*")):
        if part.name in MAIL_PARTS:
            digest.update(f"{part.parent.name}/{part.name}\n".encode() + part.read_bytes())
    return digest.hexdigest()[:12]


def _consent(table: Table) -> Consent:
    consent = Consent(table.text("version"), table.text("challenge"), table.text("programme"))
    table.finish()
    return consent


def _subjects(table: Table) -> Mapping[str, str]:
    subjects = {mail: table.text(mail) for mail in table.values}
    for mail, subject in subjects.items():
        if not _can_be_filled(subject):
            table.wrong(mail, f"{mail} has braces nobody fills", "Use only {number}, {title} and {length}")
    return MappingProxyType(subjects)


def _variants(table: Table, subjects: Mapping[str, str], length: int) -> Variants:
    known = {*subjects, *(f"day-{number}" for number in range(1, length + 1))}
    readers: dict[str, Callable[[Table], Mapping[str, str]]] = {
        "landing": lambda words: {"headline": words.text("headline")},
        "subjects": _subjects,
        "mails": lambda words: _mails(words, known),
    }
    found: dict[str, dict[str, Mapping[str, str]]] = {kind: {} for kind in readers}
    for kind, read_words in readers.items():
        for name, words in table.tables(kind).items() if table.has(kind) else ():
            if not is_name(name):
                words.wrong(
                    "", f"{name!r} cannot be a variant", "Use small letters and digits; a is the challenge itself"
                )
            found[kind][name] = read_words(words)
            words.finish()
    table.finish()
    return Variants(*(MappingProxyType(found[kind]) for kind in ("landing", "subjects", "mails")))


def _mails(table: Table, known: set[str]) -> Mapping[str, str]:
    """Mail -> folder; what the folder says is read where mails are made."""
    folders = {mail: table.text(mail) for mail in table.values}
    for mail, folder in folders.items():
        if mail not in known:
            table.wrong(mail, f"{mail} is no mail", f"Use one of: {', '.join(sorted(known))}")
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", folder):
            table.wrong(mail, f"{folder!r} is not a plain folder", "Use small letters, digits and hyphens")
        for part in MAIL_PARTS:
            if not (table.source.path.parent / "mails" / folder / part).is_file():
                table.wrong(mail, f"mails/{folder}/{part} does not exist", "A mail has both parts, saying the same")
    return MappingProxyType(folders)


def _can_be_filled(subject: str) -> bool:
    try:
        slots = list(string.Formatter().parse(subject))
    except ValueError:
        return False
    return all(name is None or (name in _SUBJECT_WORDS and not spec and not how) for _, name, spec, how in slots)


def _address(table: Table, key: str) -> str:
    address = table.text(key)
    if not re.fullmatch(r"https://[^\s/?#@\"<>]+\.[^\s\"<>]+", address):
        table.wrong(key, f"{key} is not an https address", f'Write {key} = "https://…"')
    return address


def _slug(table: Table, key: str) -> str:
    slug = table.text(key)
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug):
        table.wrong(key, f"{key} {slug!r} is not plain", "Use small letters, digits and hyphens")
    return slug


def _day(table: Table, number: int, exercises: Mapping[str, Exercise]) -> Day:
    if table.number("number", 1, 366) != number:
        table.wrong("number", f"number is not {number}", "Number the days 1, 2, 3 … in the order of the file")
    slots = (_slot(table, "stretch", exercises), _slot(table, "partner", exercises))
    day = Day(number, table.text("title"), table.text("intro"), table.number("minutes", 1, 60), slots)
    table.finish()
    return day


def _slot(table: Table, key: str, exercises: Mapping[str, Exercise]) -> tuple[Exercise, ...]:
    slugs = table.texts(key)
    for slug in slugs:
        if slug not in exercises:
            table.wrong(key, f"{slug!r} is an unknown exercise", f"Use one of: {', '.join(exercises)}")
    return tuple(exercises[slug] for slug in slugs)


def _exercise(slug: str, table: Table) -> Exercise:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug):
        table.wrong("", f"{slug!r} is not a plain name", "Use small letters, digits and hyphens")
    exercise = Exercise(
        slug=slug,
        title=table.text("title"),
        kind=table.choice("kind", Kind),
        load=table.choice("load", Load),
        muscles=table.texts("muscles"),
        goals=table.choices("goals", Goal),
        symptoms=table.texts("symptoms"),
        why=table.text("why"),
        moves=MappingProxyType({at: _move(at, table.table(at)) for at in Position if table.has(at)}),
    )
    _refuse_unknown_position(table, exercise)
    table.finish()
    return exercise


def _refuse_unknown_position(table: Table, exercise: Exercise) -> None:
    for key, value in table.values.items():
        if isinstance(value, dict) and key not in list(Position):
            table.table(key).wrong("", f"{key!r} is an unknown position", f"Use one of: {', '.join(Position)}")
    if not exercise.moves:
        table.wrong("", "has no move", f"Add a table [{table.header}.seated]")


def _move(position: Position, table: Table) -> Move:
    move = Move(
        position=position,
        title=table.text("title"),
        steps=table.texts("steps"),
        dose=table.text("dose"),
        repetitions=table.number("repetitions", 1, 60),
        sets=table.number("sets", 1, 5),
        hold_seconds=table.number("hold_seconds", 0, 300),
        rest_seconds=table.number("rest_seconds", 0, 600),
        feel=table.text("feel"),
        easier=table.text("easier"),
        harder=table.text("harder"),
        stop=table.text("stop"),
        picture=Picture(_picture_file(table), table.text("alt")),
        sides=table.choice("sides", Sides) if table.has("sides") else Sides.together,
    )
    table.finish()
    return move


def _picture_file(table: Table) -> str:
    file = table.text("picture")
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*\.png", file):
        table.wrong("picture", f"picture {file!r} is not a plain PNG name", 'Write picture = "seated-march.png"')
    for name in (file, file.removesuffix(".png") + ".svg"):
        if not (table.source.path.parent / "pictures" / name).is_file():
            table.wrong("picture", f"pictures/{name} does not exist", "Draw it with draw.py, or mend the name")
    return file


def alt_texts(path: Path) -> dict[str, str]:
    """What each picture says, by file name; read without needing the pictures, for they are drawn from it."""
    moves = (
        table.table(position)
        for table in read(path).tables("exercise").values()
        for position in Position
        if table.has(position)
    )
    return {move.text("picture"): move.text("alt") for move in moves}
