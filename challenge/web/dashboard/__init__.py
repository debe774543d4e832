"""The marketer's desk, behind a login: each file is one subject, and all hang their pages on the room of `door`."""

from challenge.web.dashboard import access, account, deeds, door, journal, login, people, today

room = door.room

__all__ = ["access", "account", "deeds", "journal", "login", "people", "room", "today"]
