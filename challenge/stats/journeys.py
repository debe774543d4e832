"""What has one person reached? Pure: a fold over one person's events and sent mails; `rows` asks for everybody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

HUMAN_LATER = timedelta(seconds=10)
_SIGNALS = frozenset({"opened", "clicked", "completed", "undone", "rested", "paused", "resumed", "changed"})


class Happened(NamedTuple):
    """One event, as far as counting cares. `detail` only of `undone` and `joined`; one that `refunds` another takes its
    amount back, and says `since` when the person is in by what is left (None: by nothing)."""

    kind: str
    day: int
    who: str
    at: datetime
    delivery: int = 0
    detail: dict[str, Any] | None = None


@dataclass
class Reached:
    """What one person reached. Days done are not undone and not unsure; `joined_at` is the first time that was not taken
    back, `paused_at` the last, `left_at` each time that they unsubscribed."""

    opened_people: set[int] = field(default_factory=set)
    opened_proxy: set[int] = field(default_factory=set)
    clicked: set[int] = field(default_factory=set)
    done: dict[int, datetime] = field(default_factory=dict)
    rested: set[int] = field(default_factory=set)
    rested_at: datetime | None = None
    paused_at: datetime | None = None
    left_at: list[datetime] = field(default_factory=list)
    bounced: set[int] = field(default_factory=set)
    joined_at: datetime | None = None
    paid: list[tuple[str, int]] = field(default_factory=list)


def fold(events: Iterable[Happened]) -> Reached:
    """The events of one person, in the order they were written, as what they add up to.

    A completion that a scanner may have pressed (`unsure`) counts from the next sign of a person on, ten seconds later
    or more; an undo takes back what it says (nothing said: the completion).
    """
    reached = Reached()
    unsure: dict[int, datetime] = {}
    rests: dict[int, int] = {}
    for event in events:
        match event.kind:
            case "opened" if event.who == "person":
                reached.opened_people.add(event.day)
            case "opened" if event.who == "proxy":
                reached.opened_proxy.add(event.day)
            case "clicked" if event.who == "person":
                reached.clicked.add(event.day)
            case "completed" if event.who in ("unsure", "machine"):
                unsure[event.day] = event.at
            case "completed":
                reached.done.setdefault(event.day, event.at)
            case "undone" if (event.detail or {}).get("of", "completed") == "completed":
                reached.done.pop(event.day, None)
                unsure.pop(event.day, None)
            case "undone":
                rests[event.day] = rests.get(event.day, 0) - 1
            case "rested":
                rests[event.day] = rests.get(event.day, 0) + 1
                reached.rested_at = event.at
            case "paused":
                reached.paused_at = event.at
            case "unsubscribed":
                reached.left_at.append(event.at)
            case "bounced":
                reached.bounced.add(event.delivery)
            case "joined":
                _join(reached, event)
        if unsure and event.who == "person" and event.kind in _SIGNALS:
            for day in [day for day, at in unsure.items() if event.at - at >= HUMAN_LATER]:
                reached.done.setdefault(day, unsure.pop(day))
    reached.rested = {day for day, count in rests.items() if count > 0}
    return reached


def _join(reached: Reached, event: Happened) -> None:
    detail = event.detail or {}
    if "refunds" in detail:
        since = datetime.fromisoformat(detail["since"]).astimezone(UTC) if detail.get("since") else None
        reached.joined_at = since.replace(tzinfo=event.at.tzinfo) if since else None
    else:
        reached.joined_at = reached.joined_at or event.at
    if detail.get("amount"):
        reached.paid.append((str(detail.get("currency", "")), int(detail["amount"])))
