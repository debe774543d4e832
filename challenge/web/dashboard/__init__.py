"""The marketer's desk, behind a login: each file is one subject, and all hang their pages on the room of `door`."""

from challenge.web.dashboard import (
    access,
    account,
    deeds,
    doctor,
    door,
    experiments,
    figures,
    journal,
    login,
    numbers,
    people,
    today,
)

room = door.room

__all__ = [
    "access",
    "account",
    "deeds",
    "doctor",
    "experiments",
    "figures",
    "journal",
    "login",
    "numbers",
    "people",
    "room",
    "today",
]
