"""What has one person reached? Pure: a fold over one person's events and sent mails; `rows` asks for everybody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

HUMAN_LATER = timedelta(seconds=10)
WAYS_TO_LEAVE = ("unsubscribed", "bounced", "complained", "other")
_SIGNALS = frozenset({"opened", "clicked", "completed", "undone", "rested", "paused", "resumed", "changed"})


class Happened(NamedTuple):
    """One event, as far as counting cares. `detail` only of `undone`, `joined` and `resumed`; one that `refunds` another
    takes its amount back, and says `since` when the person is in by what is left (None: by nothing). `reasons` only of
    `suppressed`."""

    kind: str
    day: int
    who: str
    at: datetime
    delivery: int = 0
    detail: dict[str, Any] | None = None
    reasons: str = ""


class Left(NamedTuple):
    """How a run was stopped: `why` is one of `WAYS_TO_LEAVE`, `delivery` the mail that it was about (0: none was named)."""

    why: str
    at: datetime
    delivery: int = 0


@dataclass
class Reached:
    """What one person reached. Days done are not undone and not unsure; `joined_at` is the first time that was not taken
    back, `paused_at` the last, `left_at` each time that they unsubscribed, `left` what ended it, unless it was taken
    back. `bounced`: delivery -> when it came back last."""

    opened_people: set[int] = field(default_factory=set)
    opened_proxy: set[int] = field(default_factory=set)
    clicked: set[int] = field(default_factory=set)
    done: dict[int, datetime] = field(default_factory=dict)
    rested: set[int] = field(default_factory=set)
    rested_at: datetime | None = None
    paused_at: datetime | None = None
    left_at: list[datetime] = field(default_factory=list)
    left: Left | None = None
    bounced: dict[int, datetime] = field(default_factory=dict)
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
                reached.left = reached.left or Left("unsubscribed", event.at, event.delivery)
            case "bounced":
                reached.bounced[event.delivery] = event.at
            case "complained":
                reached.left = Left("complained", event.at, event.delivery)
            case "suppressed":
                reached.left = reached.left or _suppressed(reached, event)
            case "resumed" if (event.detail or {}).get("of") == "unsubscribed":
                reached.left = None
            case "joined":
                _join(reached, event)
        if unsure and event.who == "person" and event.kind in _SIGNALS:
            for day in [day for day, at in unsure.items() if event.at - at >= HUMAN_LATER]:
                reached.done.setdefault(day, unsure.pop(day))
    reached.rested = {day for day, count in rests.items() if count > 0}
    return reached


def _suppressed(reached: Reached, event: Happened) -> Left:
    """By a mail of this run that came back; else the address was ended from elsewhere: at the desk, by another run."""
    if reached.bounced and "bounce" in event.reasons:
        return Left("bounced", event.at, max(reached.bounced, key=lambda mail: reached.bounced[mail]))
    return Left("other", event.at, event.delivery)


def _join(reached: Reached, event: Happened) -> None:
    detail = event.detail or {}
    if "refunds" in detail:
        since = datetime.fromisoformat(detail["since"]).astimezone(UTC) if detail.get("since") else None
        reached.joined_at = since.replace(tzinfo=event.at.tzinfo) if since else None
    else:
        reached.joined_at = reached.joined_at or event.at
    if detail.get("amount"):
        reached.paid.append((str(detail.get("currency", "")), int(detail["amount"])))
