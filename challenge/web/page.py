"""Whose page is it, and was it shown before its button was pressed? Asked by every page behind a person's link."""

from __future__ import annotations

import time
from collections.abc import Iterable

from flask import request
from sqlmodel import Session

from challenge.errors import NotFound
from challenge.models import Enrollment, Subscriber
from challenge.programme.exercises import Goal, Position
from challenge.rendering.links import Address
from challenge.signup import zones
from challenge.tokens import Purpose
from challenge.web import service
from challenge.web.speaking import say, speak

DOUBLE_TAP_SECONDS = 2.0
_KEPT_SECONDS = 2 * 366 * 86400


def person(session: Session, enrollment_id: int) -> tuple[Enrollment, Subscriber]:
    """The enrollment and its subscriber, whose language the page speaks. Raises NotFound when erased."""
    enrollment = session.get(Enrollment, enrollment_id)
    if enrollment is None:
        raise NotFound("This link belongs to somebody whose data was erased.")
    subscriber = session.get_one(Subscriber, enrollment.subscriber_id)
    speak(subscriber.locale)
    return enrollment, subscriber


def read_one(purpose: Purpose, token: str) -> int:
    """The enrollment that a link of one number is about. Raises BadToken."""
    return service().tokens.read(purpose, token, 1)[0]


def read_day(token: str) -> tuple[int, int]:
    """(enrollment, day) of a day's link. Raises BadToken, and NotFound for a day the challenge does not have."""
    enrollment_id, number = service().tokens.read(Purpose.day, token, 2)
    if not 1 <= number <= service().challenge.length:
        raise NotFound("This challenge has no such day.")
    return enrollment_id, number


def preferences_path(enrollment_id: int) -> str:
    return service().composer.links.preferences_path(Address(enrollment_id, 0, ""))


def labelled(options: Iterable[Position | Goal], none_of_them: str = "") -> list[tuple[str, str]]:
    """(value, words) of every option, after the one that chooses none of them."""
    first = [("", say(none_of_them))] if none_of_them else []
    return [*first, *((option.value, say(option.label)) for option in options)]


def zone_options() -> list[tuple[str, str]]:
    """(name, words) of every zone that may be chosen."""
    return [(name, name.replace("_", " ")) for name in zones()]


def nonce(token: str) -> str:
    """Says that the page was shown, and when: a tag over the link and the real time in milliseconds."""
    at = int(time.time() * 1000)
    return f"{at}.{service().tokens.tag(f'nonce:{token}:{at}')}"


def was_shown(token: str) -> bool:
    """Whether the form's nonce was rendered by this link's page; good for two years, for no rest may expire a page."""
    return _age_seconds(token) is not None


def is_double_tap(token: str) -> bool:
    """Whether the button was pressed so soon that it was the second tap of a trembling hand on the page before.

    Undo stands where "I did it" stood: without this, a double tap would do the day and take it back.
    """
    age = _age_seconds(token)
    return age is not None and age < DOUBLE_TAP_SECONDS


def _age_seconds(token: str) -> float | None:
    at, _, tag = request.form.get("nonce", "").partition(".")
    if not at.isdigit() or not at.isascii() or len(at) > 16 or not service().tokens.is_tag(f"nonce:{token}:{at}", tag):
        return None
    age = time.time() - int(at) / 1000
    return age if -60 <= age <= _KEPT_SECONDS else None
