"""What is next for this person, and when? Pure: asked by the planner, and again by the audit, with the same events.

The answer is a fold over the person's events in the order they happened. A daily mail belongs to a *morning*: a local
date at the person's hour in the zone they had then, turned into UTC for that date (PEP 495: in a spring gap the hour
an instant later, in an autumn fold the first of the two).

    confirmed            welcome at once (when imported: in waking hours), day 1 the next morning
    a morning passes     the next mail the next morning that the pace allows
    a day not done       one nudge, on the first morning that is free; where the next morning brings the next day,
                         that mail carries the nudge as a line, for nobody gets two mails on one morning
    rested               the next morning brings `rest:DATE`, everything else moves on by one
    missed (our fault)   the same mail the next morning
    paused, resumed      nothing; then the next mail the next morning
    unsubscribed         nothing more; taken back at once (`resumed` of it), as after a break
    changed              hour, zone or pace from the next mail on
    finish               two mornings later the invitation, for who did a day; a week later the comeback, for who
                         has days left
    joined               no invitation from then on, in whichever run it was told
    signed_up_again      somebody typed the address of who is in: at once, and beside the sequence, the mail that tells
                         them so and where they are: `already:1:day-3`
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
ALREADY_AGAIN = timedelta(days=1)
MORNING_LASTS = timedelta(hours=4)
ANSWER_LASTS = timedelta(hours=1)
MISSES_BEFORE_EXPIRED = 3
WAIT_FOR_DONE_DAYS = 7
INVITATION_AFTER_DAYS = 2
COMEBACK_AFTER_DAYS = 7
ALREADY = "already"
ANSWERS = ("confirm", "welcome", ALREADY)  # mails that answer what a person just did
_BESIDE = ("resend:", f"{ALREADY}:")
_DAY = timedelta(days=1)
_INSTANT = timedelta(microseconds=1)  # what is due at the moment something happens was owed before it
_NEVER = datetime.min.replace(tzinfo=UTC)


class Pace(StrEnum):
    """Which mornings a person wants."""

    daily = "daily"
    every_other_day = "every_other_day"
    weekdays = "weekdays"
    weekly = "weekly"
    when_done = "when_done"


# Mornings from one mail of the sequence to the next, and from a day's mail to the nudge for it.
_GAPS = {Pace.every_other_day: 2, Pace.weekly: 7}
_NUDGES = {Pace.every_other_day: 1, Pace.weekly: 3, Pace.when_done: 1}


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
    beside: list[Owed] = field(default_factory=list)
    state: str = "pending"
    stopped_as: str = ""
    confirms: int = 0
    confirm_at: datetime | None = None
    already_at: datetime | None = None
    next_key: str = ""
    next_at: datetime | None = None
    dates: dict[str, date] = field(default_factory=dict)  # by key: what the date was for the person then
    floor: date = date.min
    floor_before_rest: date = date.min
    is_imported: bool = False
    has_joined: bool = False
    done: set[int] = field(default_factory=set)

    def owe(self, owed: Owed) -> None:
        self.owed.append(owed)
        self.dates[owed.key] = local_date(self.rhythm, owed.due_at)

    @property
    def last(self) -> Owed:
        return self.owed[-1]

    @property
    def last_daily(self) -> Owed:
        return next(owed for owed in reversed(self.owed) if owed.is_daily)

    def date_of(self, owed: Owed) -> date:
        """The local date of a past mail: where the person was then, or where they are now, whichever is later, so that
        nobody who flies back over the date line gets two mails with one date."""
        return max(self.dates[owed.key], local_date(self.rhythm, owed.due_at))

    def has(self, key: str) -> bool:
        return any(owed.key == key for owed in self.owed)


def plan(days: int, facts: Iterable[Fact], now: datetime) -> Plan:
    """What `facts` make owed by `now` in a challenge of `days` days, and what comes next.

    Facts that happened at the same instant count in the order given.
    """
    facts = tuple(facts)
    walk = _walk_to(days, facts, now)
    to_come = [fact.at for fact in facts if fact.at > now]  # written by a machine whose clock is ahead
    owed, state = (*walk.owed, *walk.beside), walk.state
    look_again_at = min((at for at in (_look_again(walk), *to_come) if at), default=None)
    return Plan(owed, _upcoming(walk), state, look_again_at)


def outlook(days: int, facts: Iterable[Fact], now: datetime) -> tuple[Owed, ...]:
    """The mails of every day: those that fell due, then all to come, as they stand now. Nothing is to come for who
    waits, pauses or stopped; who goes on is taken to do each day to come when it comes."""
    walk = _walk_to(days, facts, now)
    while walk.state == "active" and walk.next_at and not walk.has("finish"):
        _pass_mornings(walk, walk.next_at + _INSTANT)
        if walk.last.mail == "day":
            walk.done.add(day_of(walk.last.key))
            _aim_next(walk, walk.last.due_at)
    return tuple(owed for owed in walk.owed if owed.mail == "day")


def _walk_to(days: int, facts: Iterable[Fact], now: datetime) -> _Walk:
    ordered = sorted(facts, key=lambda fact: fact.at)
    walk = _Walk(days, next((fact.rhythm for fact in ordered if fact.rhythm), Rhythm("UTC", 8)))
    for fact in ordered:
        if fact.at > now:
            break
        _pass_mornings(walk, fact.at + _INSTANT)
        _apply(walk, fact)
    _pass_mornings(walk, now + _INSTANT)
    return walk


def morning(rhythm: Rhythm, day: date) -> datetime:
    """UTC of the person's hour on a local date. In a gap the clock's next instant, in a fold the first."""
    zone = ZoneInfo(rhythm.timezone)
    wall = datetime(day.year, day.month, day.day, rhythm.hour, tzinfo=zone)
    return wall.astimezone(UTC)


def local_date(rhythm: Rhythm, at: datetime) -> date:
    return at.astimezone(ZoneInfo(rhythm.timezone)).date()


def is_waking(timezone: str, at: datetime) -> bool:
    """Whether a mail may reach the person now: from 6:00 to 21:59 local."""
    return FIRST_HOUR <= at.astimezone(ZoneInfo(timezone)).hour <= LAST_HOUR


def next_waking(timezone: str, at: datetime) -> datetime:
    """`at`, or the start of the next waking window when it lies outside one."""
    if is_waking(timezone, at):
        return at
    rhythm = Rhythm(timezone, FIRST_HOUR)
    today = local_date(rhythm, at)
    return next(start for start in (morning(rhythm, today), morning(rhythm, today + _DAY)) if start > at)


def may_come(mail: str, timezone: str, planned_at: datetime, now: datetime, *, any_date: bool = False) -> bool:
    """Whether a mail may leave now: an answer at any time while it is one, all else in waking hours of its own date
    (`any_date`: a copy that somebody asked for)."""
    if mail in ANSWERS and now - planned_at < ANSWER_LASTS:
        return True
    if mail in ANSWERS or any_date:
        return is_waking(timezone, now)
    zone = ZoneInfo(timezone)
    return is_waking(timezone, now) and now.astimezone(zone).date() == planned_at.astimezone(zone).date()


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


def is_beside(key: str) -> bool:
    """Whether a mail stands beside the sequence, which neither waits for it nor knows of it."""
    return key.startswith(_BESIDE)


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
        case "signed_up_again" if walk.state in ("active", "paused", "ended"):
            _say_already(walk, fact.at)
        case "confirmed" if walk.state == "pending":
            _confirm(walk, fact)
        case "changed" if fact.rhythm:
            _change(walk, fact.rhythm, fact.at)
        case "rested":
            _rest(walk, fact.at)
        case "undone" if fact.of == "rested" and walk.next_key.startswith("rest:"):
            walk.floor = walk.floor_before_rest
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
        case "resumed" if fact.of == "unsubscribed" and walk.stopped_as:
            walk.state, walk.stopped_as = walk.stopped_as, ""
            if walk.state == "active":
                _resume(walk, fact.at)
        case "unsubscribed" if walk.state != "stopped":
            walk.stopped_as, walk.state = walk.state, "stopped"
        case "suppressed" | "complained":
            walk.stopped_as, walk.state = "", "stopped"
        case "joined":
            walk.has_joined = True
            if walk.next_key == "invitation":
                _aim_next(walk, fact.at)
        case "resent" if walk.state in ("pending", "active", "ended"):
            _copy(walk, fact)


def _sign_up(walk: _Walk, fact: Fact) -> None:
    if walk.state != "pending":
        return
    walk.rhythm = fact.rhythm or walk.rhythm
    if fact.of == "imported":
        walk.is_imported = True
        return  # agreed elsewhere: there is nothing to ask
    if walk.confirm_at and fact.at < walk.confirm_at + CONFIRM_AGAIN:
        return
    walk.confirms += 1
    walk.confirm_at = fact.at
    key = "confirm" if walk.confirms == 1 else f"confirm:{walk.confirms}"
    walk.owe(Owed(key, "confirm", fact.at, is_daily=False))


def _say_already(walk: _Walk, at: datetime) -> None:
    """Once a day, however often somebody types the address; the end of the key says how far they are."""
    if walk.already_at and at < walk.already_at + ALREADY_AGAIN:
        return
    walk.already_at = at
    count = 1 + sum(owed.mail == ALREADY and not is_copy(owed.key) for owed in walk.beside)
    walk.beside.append(Owed(f"{ALREADY}:{count}:{walk.last_daily.key}", ALREADY, at, is_daily=False))


def _confirm(walk: _Walk, fact: Fact) -> None:
    """Welcome answers a tap, so it comes at once; nobody tapped when a list was imported, so it waits for the day."""
    walk.rhythm = fact.rhythm or walk.rhythm
    walk.state = "active"
    at = next_waking(walk.rhythm.timezone, fact.at) if walk.is_imported else fact.at
    walk.owe(Owed("welcome", "welcome", at, is_daily=True))
    _aim_next(walk, at)


def _pass_mornings(walk: _Walk, until: datetime) -> None:
    """Makes owed what fell due before `until`."""
    while walk.state == "active" and walk.next_at and walk.next_at < until:
        walk.owe(_mail(walk.next_key, walk.next_at))
        _aim_next(walk, walk.last.due_at)


def _mail(key: str, at: datetime) -> Owed:
    mail = "day" if key.startswith("day-") else key.partition(":")[0]
    return Owed(key, mail, at, is_daily=mail in ("day", "finish"))


def _aim_next(walk: _Walk, after: datetime) -> None:
    """Sets what follows the last mail that fell due, or ends the journey."""
    if walk.state != "active":
        return
    if key := _following(walk):
        _aim(walk, key, _earliest(walk, key), after)
    else:
        walk.next_key, walk.next_at, walk.state = "", None, "ended"


def _following(walk: _Walk) -> str:
    if walk.has("finish"):
        return _after_finish(walk)
    day = _current_day(walk)
    if _is_nudge_due(walk, day):
        return f"nudge:day-{day}"
    return f"day-{day + 1}" if day < walk.days else "finish"


def _after_finish(walk: _Walk) -> str:
    if walk.done and not walk.has_joined and not walk.has("invitation") and not walk.has("comeback"):
        return "invitation"
    return "comeback" if len(walk.done) < walk.days and not walk.has("comeback") else ""


def _is_nudge_due(walk: _Walk, day: int) -> bool:
    """Who waits for "done" is nudged once a day of the challenge; who has free mornings, once in all."""
    if day == 0 or day in walk.done or walk.rhythm.pace not in _NUDGES:
        return False
    if walk.rhythm.pace is Pace.when_done:
        return not walk.has(f"nudge:day-{day}")
    return walk.last.key == f"day-{day}" and not any(owed.mail == "nudge" for owed in walk.owed)


def _current_day(walk: _Walk) -> int:
    """The day the sequence stands at: the highest whose mail fell due."""
    return max((day_of(owed.key) for owed in walk.owed if owed.mail == "day"), default=0)


def _earliest(walk: _Walk, key: str) -> date:
    """The first local date on which this mail may come; a local date that had its mail is not used again."""
    last, mail = walk.date_of(walk.last), _mail(key, _NEVER).mail
    if mail in ("invitation", "comeback"):
        wanted = walk.date_of(walk.last_daily) + _DAY * (
            INVITATION_AFTER_DAYS if mail == "invitation" else COMEBACK_AFTER_DAYS
        )
    elif mail == "nudge":
        wanted = last + _DAY * _NUDGES[walk.rhythm.pace]
    elif _waits(walk):  # not done yet: wait for it, but not for ever
        wanted = last + _DAY * WAIT_FOR_DONE_DAYS
    else:
        gap = 1 if _current_day(walk) == 0 else _GAPS.get(walk.rhythm.pace, 1)
        wanted = walk.date_of(walk.last_daily) + _DAY * gap
    return max(wanted, last + _DAY, walk.floor)


def _waits(walk: _Walk) -> bool:
    day = _current_day(walk)
    return walk.rhythm.pace is Pace.when_done and day > 0 and day not in walk.done


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
        _aim_rest(walk, at) if walk.next_key.startswith("rest:") else _aim_next(walk, at)


def _resume(walk: _Walk, at: datetime) -> None:
    """The pause was the rest: the next mail of the sequence comes, not the announcement of a rest day."""
    if walk.next_key.startswith("rest:"):
        walk.floor = walk.floor_before_rest
    _aim_next(walk, at)


def _rest(walk: _Walk, at: datetime) -> None:
    """The next morning is a rest day: it brings `rest:DATE`, and what was to come moves on by one morning."""
    resting = walk.next_key.startswith(("day-", "nudge:", "finish"))
    if walk.state != "active" or walk.next_at is None or not resting or _current_day(walk) == 0:
        return
    moved = local_date(walk.rhythm, walk.next_at)
    if walk.next_key.startswith("nudge:") and walk.rhythm.pace is not Pace.when_done:
        moved = walk.date_of(walk.last_daily) + _DAY * _GAPS.get(walk.rhythm.pace, 1)
    walk.floor_before_rest, walk.floor = walk.floor, moved + _DAY
    _aim_rest(walk, at)


def _aim_rest(walk: _Walk, at: datetime) -> None:
    """On the next morning; its key is its date."""
    _aim(walk, "rest:", walk.date_of(walk.last) + _DAY, at)
    walk.next_key += local_date(walk.rhythm, walk.next_at or at).isoformat()


def _miss(walk: _Walk, fact: Fact) -> None:
    """The mail did not leave and through no fault of the person: the same mail the next morning, the rest behind it."""
    index = next((i for i, owed in enumerate(walk.owed) if owed.key == fact.key and owed.mail not in ANSWERS), None)
    if index is None or walk.state not in ("active", "ended"):
        return
    missed_on = walk.date_of(walk.owed[index])
    del walk.owed[index:]  # nothing behind it had a row yet: the sequence waits for the open mail
    walk.state = "active"
    still_morning = fact.at - MORNING_LASTS
    walk.floor = max(missed_on + _DAY, local_date(walk.rhythm, still_morning))
    _aim(walk, fact.key, walk.floor, still_morning)


def _copy(walk: _Walk, fact: Fact) -> None:
    """A copy moves nothing: the sequence does not know of it. Only an answer to what was just pressed may wake anybody."""
    original = next((owed for owed in (*walk.owed, *walk.beside) if owed.key == fact.key), None)
    if original is None or (original.mail == "confirm" and walk.state != "pending"):
        return
    count = 1 + sum(is_copy(owed.key) and owed.key.split(":", 2)[2] == fact.key for owed in walk.beside)
    due = fact.at if original.mail == "confirm" else next_waking(walk.rhythm.timezone, fact.at)
    walk.beside.append(Owed(f"resend:{count}:{fact.key}", original.mail, due, is_daily=False))


def _upcoming(walk: _Walk) -> tuple[Owed, ...]:
    """The mails to come, up to and with the next of the daily sequence; walks on, so it is asked last."""
    behind = len(walk.owed)
    while walk.state == "active" and walk.next_at and not any(owed.is_daily for owed in walk.owed[behind:]):
        _pass_mornings(walk, walk.next_at + _INSTANT)
    return tuple(walk.owed[behind:])


def _look_again(walk: _Walk) -> datetime | None:
    """Behind the finish no daily mail is closed any more, so the planner must be woken for what comes there."""
    return walk.next_at if walk.state == "active" and walk.next_key in ("invitation", "comeback") else None
