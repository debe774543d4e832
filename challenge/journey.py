"""What is next for this person, and when? Pure: asked by the planner, and again by the audit, with the same events.

The answer is a fold over the person's events in the order they happened. A daily mail belongs to a *morning*: a local
date at the person's hour in the zone they had then, turned into UTC for that date (PEP 495: in a spring gap the hour
an instant later, in an autumn fold the first of the two).

    confirmed            welcome at once, day 1 the next morning
    a morning passes     the next mail the next morning that the pace allows
    rested on a morning  the next morning brings `rest:DATE`, everything else moves on by one
    missed (our fault)   the same mail the next morning
    paused, resumed      nothing; then the next mail the next morning
    changed              hour, zone or pace from the next mail on
    resent               one more copy of a mail that fell due, beside the sequence: `resend:1:day-3`
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

FIRST_HOUR, LAST_HOUR = 6, 21
CONFIRM_AGAIN = timedelta(hours=1)
MORNING_LASTS = timedelta(hours=4)
MISSES_BEFORE_EXPIRED = 3
WAIT_FOR_DONE_DAYS = 7
COMEBACK_AFTER_DAYS = 7
_DAY = timedelta(days=1)
_NEVER = datetime.min.replace(tzinfo=UTC)


class Pace(StrEnum):
    """Which mornings a person wants."""

    daily = "daily"
    every_other_day = "every_other_day"
    weekdays = "weekdays"
    when_done = "when_done"


@dataclass(frozen=True)
class Rhythm:
    """Where and when a person's mornings are."""

    timezone: str
    hour: int
    pace: Pace = Pace.daily


@dataclass(frozen=True)
class Fact:
    """One event, as far as planning cares. `day` for completed and undone, `key` for missed and resent, `rhythm` for
    signed_up, confirmed and changed; `of` says what an `undone` undoes (nothing said: the
    completion), and that a sign-up was `imported`."""

    kind: str
    at: datetime
    day: int = 0
    key: str = ""
    of: str = ""
    rhythm: Rhythm | None = None


@dataclass(frozen=True)
class Owed:
    """One mail a person is owed. `due_at` is its morning (UTC); a daily mail is part of the one sequence."""

    key: str
    mail: str
    due_at: datetime
    is_daily: bool


@dataclass(frozen=True)
class Plan:
    """Everything owed so far, then what comes next. `look_again_at`: when the answer changes by time alone."""

    owed: tuple[Owed, ...]
    upcoming: tuple[Owed, ...]
    state: str
    look_again_at: datetime | None

    @property
    def all(self) -> tuple[Owed, ...]:
        return self.owed + self.upcoming


@dataclass
class _Walk:
    """The fold's memory: what fell due, and the one mail that is next."""

    days: int
    rhythm: Rhythm
    owed: list[Owed] = field(default_factory=list)
    state: str = "pending"
    confirms: int = 0
    confirm_at: datetime | None = None
    next_key: str = ""
    next_at: datetime | None = None
    last_key: str = ""
    last_at: datetime | None = None
    last_morning: date | None = None
    done: set[int] = field(default_factory=set)


def plan(days: int, facts: Iterable[Fact], now: datetime) -> Plan:
    """What `facts` make owed by `now` in a challenge of `days` days, and what comes next.

    Facts that happened at the same instant count in the order given.
    """
    ordered = sorted(facts, key=lambda fact: fact.at)
    walk = _Walk(days, next((fact.rhythm for fact in ordered if fact.rhythm), Rhythm("UTC", 8)))
    for fact in ordered:
        if fact.at > now:
            break
        _pass_mornings(walk, fact.at)
        _apply(walk, fact)
    _pass_mornings(walk, now + timedelta(microseconds=1))
    owed, state, look_again_at = tuple(walk.owed), walk.state, _look_again(walk)
    return Plan(owed, _upcoming(walk), state, look_again_at)


def morning(rhythm: Rhythm, day: date) -> datetime:
    """UTC of the person's hour on a local date. In a gap the clock's next instant, in a fold the first."""
    zone = ZoneInfo(rhythm.timezone)
    wall = datetime(day.year, day.month, day.day, rhythm.hour, tzinfo=zone)
    return wall.astimezone(UTC)


def local_date(rhythm: Rhythm, at: datetime) -> date:
    return at.astimezone(ZoneInfo(rhythm.timezone)).date()


def is_waking(timezone: str, at: datetime) -> bool:
    """Whether a mail may reach the person now: from 6 to 21 local."""
    return FIRST_HOUR <= at.astimezone(ZoneInfo(timezone)).hour < LAST_HOUR


def next_waking(timezone: str, at: datetime) -> datetime:
    """`at`, or the start of the next waking window when it lies outside one."""
    if is_waking(timezone, at):
        return at
    rhythm = Rhythm(timezone, FIRST_HOUR)
    today = local_date(rhythm, at)
    return next(start for start in (morning(rhythm, today), morning(rhythm, today + _DAY)) if start > at)


def done_days(facts: Sequence[Fact]) -> set[int]:
    """Days that count as done: completed and not undone since."""
    done: set[int] = set()
    for fact in sorted(facts, key=lambda fact: fact.at):
        _mark_done(done, fact)
    return done


def day_of(key: str) -> int:
    """The day a mail's key is about: 3 for `day-3` and `nudge:day-3`, else 0."""
    name = key.rpartition(":")[2]
    return int(name[4:]) if name.startswith("day-") else 0


def is_copy(key: str) -> bool:
    """Whether a mail is a copy that somebody asked for, such as `resend:1:day-3`."""
    return key.startswith("resend:")


def _mark_done(done: set[int], fact: Fact) -> None:
    if fact.kind == "completed":
        done.add(fact.day)
    elif fact.kind == "undone" and fact.of in ("", "completed"):
        done.discard(fact.day)


def _apply(walk: _Walk, fact: Fact) -> None:
    _mark_done(walk.done, fact)
    match fact.kind:
        case "signed_up":
            _sign_up(walk, fact)
        case "confirmed" if walk.state == "pending":
            _confirm(walk, fact)
        case "changed" if fact.rhythm:
            _change(walk, fact.rhythm, fact.at)
        case "rested":
            _rest(walk)
        case "undone" if fact.of == "rested" and walk.next_key.startswith("rest:"):
            _aim_next(walk, fact.at)
        case "completed" | "undone" if not walk.next_key.startswith("rest:"):
            _aim_next(walk, fact.at)
        case "missed":
            _miss(walk, fact)
        case "paused" if walk.state == "active":
            walk.state = "paused"
        case "resumed" if walk.state == "paused":
            walk.state = "active"
            _resume(walk, fact.at)
        case "unsubscribed" | "suppressed" | "complained":
            walk.state = "stopped"
        case "resent" if walk.state in ("pending", "active", "ended"):
            _copy(walk, fact)


def _sign_up(walk: _Walk, fact: Fact) -> None:
    if walk.state != "pending":
        return
    walk.rhythm = fact.rhythm or walk.rhythm
    if fact.of == "imported":
        return  # agreed elsewhere: there is nothing to ask
    if walk.confirm_at and fact.at < walk.confirm_at + CONFIRM_AGAIN:
        return
    walk.confirms += 1
    walk.confirm_at = fact.at
    key = "confirm" if walk.confirms == 1 else f"confirm:{walk.confirms}"
    walk.owed.append(Owed(key, "confirm", fact.at, is_daily=False))


def _confirm(walk: _Walk, fact: Fact) -> None:
    walk.rhythm = fact.rhythm or walk.rhythm
    walk.state = "active"
    walk.owed.append(Owed("welcome", "welcome", fact.at, is_daily=True))
    walk.last_key, walk.last_at = "welcome", fact.at
    _aim(walk, "day-1", local_date(walk.rhythm, fact.at) + _DAY, fact.at)


def _pass_mornings(walk: _Walk, until: datetime) -> None:
    """Makes owed what fell due before `until`."""
    while walk.state == "active" and walk.next_at and walk.next_at < until:
        at, key = walk.next_at, walk.next_key
        walk.owed.append(_mail(key, at))
        walk.last_key, walk.last_at, walk.last_morning = key, at, local_date(walk.rhythm, at)
        _aim_next(walk, at)


def _mail(key: str, at: datetime) -> Owed:
    mail = "day" if key.startswith("day-") else key.partition(":")[0]
    return Owed(key, mail, at, is_daily=mail in ("day", "finish"))


def _aim_next(walk: _Walk, at: datetime) -> None:
    """Sets what follows the last mail that fell due, or ends the journey."""
    if walk.state != "active" or walk.last_morning is None:
        return
    key = _following(walk)
    if not key:
        walk.next_key, walk.next_at, walk.state = "", None, "ended"
        return
    gap = _gap(walk, key)
    if key == "comeback":
        gap = COMEBACK_AFTER_DAYS
    elif _waits(walk) and not key.startswith("nudge:"):  # not done yet: wait for it, but not for ever
        gap = WAIT_FOR_DONE_DAYS
    _aim(walk, key, walk.last_morning + _DAY * gap, at)


def _following(walk: _Walk) -> str:
    last, day = walk.last_key, _current_day(walk)
    if last == "comeback":
        return ""
    if last == "finish":
        return "comeback" if len(walk.done) < walk.days else ""
    if last == f"day-{day}" and _waits(walk):
        return f"nudge:day-{day}"
    return f"day-{day + 1}" if day < walk.days else "finish"


def _waits(walk: _Walk) -> bool:
    day = _current_day(walk)
    return walk.rhythm.pace is Pace.when_done and day > 0 and day not in walk.done


def _current_day(walk: _Walk) -> int:
    """The day the sequence stands at: the highest whose mail fell due."""
    return max((day_of(owed.key) for owed in walk.owed if owed.mail == "day"), default=0)


def _gap(walk: _Walk, key: str) -> int:
    """Mornings from the last mail to this one, counting this one."""
    return 2 if walk.rhythm.pace is Pace.every_other_day and _mail(key, walk.last_at or _NEVER).is_daily else 1


def _aim(walk: _Walk, key: str, earliest: date, after: datetime) -> None:
    """The next mail is `key`, on the first morning from the local date `earliest` on, later than `after`."""
    day = earliest
    while (at := morning(walk.rhythm, day)) <= after or not _allowed(walk.rhythm.pace, day):
        day += _DAY
    walk.next_key, walk.next_at = key, at


def _allowed(pace: Pace, day: date) -> bool:
    return pace is not Pace.weekdays or day.weekday() < 5


def _change(walk: _Walk, rhythm: Rhythm, at: datetime) -> None:
    before, walk.rhythm = walk.rhythm, rhythm
    if walk.state == "active" and walk.next_at and rhythm != before:
        _aim_again(walk, walk.next_key, at)


def _resume(walk: _Walk, at: datetime) -> None:
    """The pause was the rest: the next mail of the sequence comes, not the announcement of a rest day."""
    if walk.next_at is not None:
        _aim_again(walk, _following(walk) if walk.next_key.startswith("rest:") else walk.next_key, at)


def _aim_again(walk: _Walk, key: str, at: datetime) -> None:
    """The same mail on the first morning from now on; a local date that had its mail is not used again."""
    if walk.last_key == "welcome" or walk.last_at is None:
        confirmed_on = local_date(walk.rhythm, walk.last_at or at)
        _aim(walk, key, confirmed_on + _DAY, at)
        return
    walk.last_morning = local_date(walk.rhythm, walk.last_at)
    _aim_next(walk, at) if key == _following(walk) else _aim(walk, key, walk.last_morning + _DAY, at)


def _rest(walk: _Walk) -> None:
    """The next morning is a rest day: it brings `rest:DATE`, and what was to come moves on by one morning."""
    sequence = walk.next_key.startswith(("day-", "finish"))
    if walk.state == "active" and walk.next_at and walk.last_morning and sequence:
        walk.next_key = f"rest:{local_date(walk.rhythm, walk.next_at).isoformat()}"


def _miss(walk: _Walk, fact: Fact) -> None:
    """The mail did not leave and through no fault of the person: the same mail the next morning, the rest behind it."""
    index = next((i for i, owed in enumerate(walk.owed) if owed.key == fact.key and owed.mail != "welcome"), None)
    if index is None or walk.state not in ("active", "ended"):
        return
    missed_on = local_date(walk.rhythm, walk.owed[index].due_at)
    copies = [owed for owed in walk.owed[index:] if is_copy(owed.key)]
    before = [owed for owed in walk.owed[:index] if not is_copy(owed.key)]
    walk.owed[index:] = copies  # nothing else behind it had a row yet: the sequence waits for the open mail
    walk.last_key, walk.last_at, walk.last_morning = before[-1].key, before[-1].due_at, missed_on
    walk.state = "active"
    still_morning = fact.at - MORNING_LASTS
    _aim(walk, fact.key, max(missed_on + _DAY, local_date(walk.rhythm, still_morning)), still_morning)


def _copy(walk: _Walk, fact: Fact) -> None:
    """A copy moves nothing: the sequence does not know of it. Only an answer to what was just pressed may wake anybody."""
    original = next((owed for owed in walk.owed if owed.key == fact.key and not is_copy(owed.key)), None)
    if original is None or (original.mail == "confirm" and walk.state != "pending"):
        return
    count = 1 + sum(is_copy(owed.key) and owed.key.split(":", 2)[2] == fact.key for owed in walk.owed)
    due = fact.at if original.mail == "confirm" else next_waking(walk.rhythm.timezone, fact.at)
    walk.owed.append(Owed(f"resend:{count}:{fact.key}", original.mail, due, is_daily=False))


def _upcoming(walk: _Walk) -> tuple[Owed, ...]:
    """The mails to come, up to and with the next of the daily sequence; walks on, so it is asked last."""
    behind = len(walk.owed)
    while walk.state == "active" and walk.next_at and not any(owed.is_daily for owed in walk.owed[behind:]):
        _pass_mornings(walk, walk.next_at + timedelta(microseconds=1))
    return tuple(walk.owed[behind:])


def _look_again(walk: _Walk) -> datetime | None:
    """Only the comeback ends a journey without closing a daily mail, so the planner must be woken for it."""
    return walk.next_at if walk.state == "active" and walk.next_key == "comeback" else None
