"""What may each role do? Asked by every page of the dashboard before it answers."""

from __future__ import annotations

from enum import StrEnum


class May(StrEnum):
    """One thing that a page needs."""

    read_numbers = "read_numbers"
    see_people = "see_people"
    change_people = "change_people"
    run_sending = "run_sending"
    manage_access = "manage_access"
    read_log = "read_log"


class Role(StrEnum):
    """`viewer` reads numbers and no address; `marketer` also works with people; `owner` may do everything."""

    owner = "owner"
    marketer = "marketer"
    viewer = "viewer"


_RIGHTS: dict[Role, frozenset[May]] = {
    Role.viewer: frozenset({May.read_numbers}),
    Role.marketer: frozenset({May.read_numbers, May.see_people, May.change_people}),
    Role.owner: frozenset(May),
}


def may(role: str, need: May) -> bool:
    """Whether the role has the right; a role nobody knows has none."""
    return role in _RIGHTS and need in _RIGHTS[Role(role)]
