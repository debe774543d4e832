"""Where does each link of a mail lead? Made here for the mails, looked up here again when somebody clicks.

A click link carries the delivery and a code; the target follows from the code, never from the address that was
clicked, so it can never redirect to somebody else's site.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from challenge.journey import day_of
from challenge.programme.definition import Challenge
from challenge.tokens import Purpose, Tokens


class Link(IntEnum):
    """What a link in a mail is for. The numbers are in mails that were sent: never change one."""

    day = 1
    rest = 2
    position = 3
    preferences = 4
    calendar = 5
    certificate = 6
    invitation = 7
    exercises = 8
    resume = 9
    previous = 10


class Address(NamedTuple):
    """Whose mail it is, as numbers."""

    enrollment_id: int
    delivery_id: int
    key: str


class Links:
    """Makes the addresses in mails and the targets of clicks."""

    def __init__(self, base_url: str, tokens: Tokens, challenge: Challenge, bounce_domain: str = "") -> None:
        self.base_url, self.tokens, self.challenge = base_url, tokens, challenge
        self.bounce_domain = bounce_domain

    def tracked(self, link: Link, to: Address) -> str:
        """The address in the mail that first records the click."""
        return f"{self.base_url}/c/{self.tokens.sign(Purpose.clicked, to.delivery_id, link)}"

    def target(self, link: Link, to: Address) -> str:
        """Where the link leads in the end."""
        if link is Link.invitation:
            glue = "&" if "?" in self.challenge.invitation_url else "?"
            ref = self.tokens.sign(Purpose.join, to.enrollment_id, to.delivery_id)
            return f"{self.challenge.invitation_url}{glue}ref={ref}"
        return f"{self.base_url}{self.path(link, to)}"

    def path(self, link: Link, to: Address) -> str:
        """The page of this service that a link leads to."""
        match link:
            case Link.day:
                return self.day_path(to, day_of(to.key) or 1)
            case Link.rest:
                return self.day_path(to, day_of(to.key) or 1) + "#rest"
            case Link.previous:
                return self.day_path(to, max(day_of(to.key) - 1, 1))
            case Link.position:
                return self.day_path(to, day_of(to.key) or 1) + "#position"
            case Link.preferences:
                return self.preferences_path(to)
            case Link.resume:
                return self.preferences_path(to) + "#break"
            case Link.calendar:
                return f"/calendar/{self.tokens.sign(Purpose.calendar, to.enrollment_id)}.ics"
            case Link.certificate:
                return f"/certificate/{self.tokens.sign(Purpose.day, to.enrollment_id, 0)}"
            case _:
                return "/exercises"

    def day_path(self, to: Address, day: int) -> str:
        return f"/day/{self.tokens.sign(Purpose.day, to.enrollment_id, day)}"

    def preferences_path(self, to: Address) -> str:
        return f"/preferences/{self.tokens.sign(Purpose.preferences, to.enrollment_id)}"

    def confirm_url(self, to: Address) -> str:
        return f"{self.base_url}/confirm/{self.tokens.sign(Purpose.confirm, to.enrollment_id)}"

    def joined_url(self, number: int) -> str:
        """Where somebody says that they joined: conversion link `number`."""
        return f"{self.base_url}/joined/{self.tokens.sign(Purpose.joined, number)}"

    def unsubscribe_url(self, to: Address) -> str:
        return f"{self.base_url}/unsubscribe/{self.tokens.sign(Purpose.unsubscribe, to.enrollment_id, to.delivery_id)}"

    def envelope_sender(self, to: Address) -> str:
        """VERP with a tag of ours: a bounce tells whose it is, and that it is genuine (RFC 3464 4.1)."""
        return f"b{to.delivery_id}-{self.tokens.tag(f'verp:{to.delivery_id}')}@{self.bounce_domain}"

    def done_by_mail(self, to: Address) -> str:
        """Where a mail says that the day was done; `inbound.receive` takes it (RFC 6068)."""
        return f"mailto:done+{self.envelope_sender(to)}"

    def open_url(self, to: Address) -> str:
        return f"{self.base_url}/o/{self.tokens.sign(Purpose.opened, to.delivery_id)}.gif"
