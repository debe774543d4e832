from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from challenge.journey import Fact, Pace, Plan, Rhythm, is_waking, local_date, next_waking, plan

MONDAY = datetime(2027, 3, 1, 12, tzinfo=UTC)
UTC_8 = Rhythm("UTC", 8)
DAY = timedelta(days=1)


def started(rhythm: Rhythm = UTC_8, at: datetime = MONDAY) -> list[Fact]:
    return [Fact("signed_up", at - timedelta(minutes=5), rhythm=rhythm), Fact("confirmed", at, rhythm=rhythm)]


def mornings(result: Plan) -> dict[str, str]:
    return {owed.key: f"{owed.due_at:%a %d %H:%M}" for owed in result.all}


def after(days: float, *facts: Fact, rhythm: Rhythm = UTC_8) -> Plan:
    return plan(5, [*started(rhythm), *facts], MONDAY + DAY * days)


def at(days: float, kind: str, **more: object) -> Fact:
    return Fact(kind, MONDAY + DAY * days, **more)  # type: ignore[arg-type]


def test_it_owes_only_the_confirmation_before_the_yes() -> None:
    result = plan(5, [Fact("signed_up", MONDAY, rhythm=UTC_8)], MONDAY + DAY * 30)
    assert [owed.key for owed in result.all] == ["confirm"]
    assert result.state == "pending"


def test_it_asks_again_at_most_once_an_hour() -> None:
    asked = [Fact("signed_up", MONDAY + timedelta(minutes=20 * n), rhythm=UTC_8) for n in range(7)]
    assert [owed.key for owed in plan(5, asked, MONDAY + DAY).all] == ["confirm", "confirm:2", "confirm:3"]


def test_it_sends_five_days_then_the_finish_then_a_comeback() -> None:
    assert mornings(after(20)) == {
        "confirm": "Mon 01 11:55",
        "welcome": "Mon 01 12:00",
        "day-1": "Tue 02 08:00",
        "day-2": "Wed 03 08:00",
        "day-3": "Thu 04 08:00",
        "day-4": "Fri 05 08:00",
        "day-5": "Sat 06 08:00",
        "finish": "Sun 07 08:00",
        "comeback": "Sun 14 08:00",
    }
    assert after(20).state == "ended"


def test_it_ends_without_comeback_when_all_was_done() -> None:
    done = [at(n, "completed", day=n) for n in range(1, 6)]
    assert list(mornings(after(20, *done)))[-1] == "finish"


def test_it_drops_the_comeback_when_the_rest_is_caught_up() -> None:
    done = [at(7, "completed", day=n) for n in range(1, 6)]
    assert list(mornings(after(20, *done)))[-1] == "finish"
    assert after(8, *done).state == "ended"


def test_it_shows_the_mails_up_to_the_next_of_the_sequence() -> None:
    assert [owed.key for owed in after(1).upcoming] == ["day-2"]
    assert [owed.key for owed in after(1, at(0.9, "rested", day=1)).upcoming] == ["rest:2027-03-03", "day-2"]


def test_it_moves_the_remaining_days_by_one_for_a_rest() -> None:
    result = mornings(after(9, at(2.9, "rested", day=3), at(2.95, "rested", day=3)))
    assert (result["day-3"], result["rest:2027-03-05"]) == ("Thu 04 08:00", "Fri 05 08:00")
    assert (result["day-4"], result["finish"]) == ("Sat 06 08:00", "Mon 08 08:00")


def test_it_takes_a_rest_back() -> None:
    result = mornings(after(9, at(2.9, "rested", day=3), at(2.95, "undone", day=3, of="rested")))
    assert "rest:2027-03-05" not in result
    assert result["day-4"] == "Fri 05 08:00"


def test_it_shifts_a_missed_morning_and_all_behind_it() -> None:
    result = mornings(after(9, at(3, "missed", key="day-3")))
    assert (result["day-3"], result["day-4"]) == ("Fri 05 08:00", "Sat 06 08:00")


def test_it_uses_the_same_morning_when_the_outage_ended_in_it() -> None:
    back = at(3.9, "missed", key="day-3")  # Friday 09:36, a day late
    assert mornings(after(9, back))["day-3"] == "Fri 05 08:00"


def test_it_shifts_what_came_due_during_an_outage() -> None:
    result = mornings(after(9, at(5.1, "missed", key="day-3")))
    assert (result["day-3"], result["day-4"]) == ("Sun 07 08:00", "Mon 08 08:00")


def test_it_pauses_and_goes_on_where_it_was() -> None:
    result = mornings(after(30, at(2.5, "paused"), at(9, "resumed")))
    assert (result["day-2"], result["day-3"]) == ("Wed 03 08:00", "Thu 11 08:00")
    assert after(5, at(2.5, "paused")).upcoming == ()


def test_it_stops_for_good() -> None:
    assert list(mornings(after(30, at(2.5, "unsubscribed"), at(3, "resumed"), at(3, "confirmed"))))[-1] == "day-2"


def test_it_follows_a_new_hour_and_a_new_zone() -> None:
    later = mornings(after(9, at(2.5, "changed", rhythm=Rhythm("UTC", 20))))
    assert (later["day-3"], later["day-4"]) == ("Thu 04 20:00", "Fri 05 20:00")
    moved = mornings(after(9, at(2.5, "changed", rhythm=Rhythm("Pacific/Auckland", 8))))
    assert moved["day-3"] == "Thu 04 19:00"  # Friday 08:00 there; Thursday's morning there is already over


def test_it_goes_on_when_done_with_one_nudge_and_a_limit() -> None:
    waits = Rhythm("UTC", 8, Pace.when_done)
    silent = mornings(after(9, rhythm=waits))
    assert (silent["nudge:day-1"], silent["day-2"]) == ("Wed 03 08:00", "Wed 10 08:00")
    done = mornings(after(3, at(1, "completed", day=1), at(1.9, "completed", day=2), rhythm=waits))
    assert (done["day-2"], done["day-3"]) == ("Wed 03 08:00", "Thu 04 08:00")
    assert not any(key.startswith("nudge:day-1") for key in done)


def test_it_keeps_every_other_day_and_weekdays() -> None:
    other = mornings(after(20, rhythm=Rhythm("UTC", 8, Pace.every_other_day)))
    assert [other[f"day-{n}"][:6] for n in range(1, 6)] == ["Tue 02", "Thu 04", "Sat 06", "Mon 08", "Wed 10"]
    week = mornings(after(20, rhythm=Rhythm("UTC", 8, Pace.weekdays)))
    assert [week[f"day-{n}"][:6] for n in range(1, 6)] == ["Tue 02", "Wed 03", "Thu 04", "Fri 05", "Mon 08"]


@pytest.mark.parametrize("zone", sorted(available_timezones()))
def test_it_sends_one_mail_each_local_morning_whatever_the_zone_does(zone: str) -> None:
    """Every offset change from 2024 to 2031 lies within the five days of some enrollment."""
    for change in offset_changes(zone):
        rhythm = Rhythm(zone, 6 + change.day % 16)
        start = change - DAY * 3
        result = plan(5, started(rhythm, start), start + DAY * 5)
        dates = [local_date(rhythm, owed.due_at) for owed in result.all if owed.mail == "day"]
        assert all(later - earlier == DAY for earlier, later in pairwise(dates)) or skipped_date(zone, change)
        assert len(set(dates)) == len(dates)
        for owed in result.all:
            local = owed.due_at.astimezone(ZoneInfo(zone))
            assert (
                owed.mail in ("confirm", "welcome")
                or local.hour == rhythm.hour
                or hour_skipped(zone, rhythm, owed.due_at)
            )


def offset_changes(zone: str) -> list[datetime]:
    """Times within an hour of each change of the offset, found by looking once a week and then closer."""
    info, found = ZoneInfo(zone), []
    step, at, end = timedelta(days=14), datetime(2024, 1, 1, tzinfo=UTC), datetime(2032, 1, 1, tzinfo=UTC)
    while at < end:
        low, high = at, at + step
        if low.astimezone(info).utcoffset() != high.astimezone(info).utcoffset():
            while high - low > timedelta(hours=1):
                middle = low + (high - low) / 2
                same = middle.astimezone(info).utcoffset() == low.astimezone(info).utcoffset()
                low, high = (middle, high) if same else (low, middle)
            found.append(high)
        at += step
    return found


def offset(zone: str, at: datetime) -> timedelta:
    return at.astimezone(ZoneInfo(zone)).utcoffset() or timedelta()


def skipped_date(zone: str, change: datetime) -> bool:
    return abs(offset(zone, change + DAY) - offset(zone, change - DAY)) > timedelta(hours=12)


def hour_skipped(zone: str, rhythm: Rhythm, due: datetime) -> bool:
    local = due.astimezone(ZoneInfo(zone))
    wall = local.replace(hour=rhythm.hour, minute=0)
    return wall.astimezone(UTC).astimezone(ZoneInfo(zone)).hour != rhythm.hour


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["rested", "completed", "undone", "paused", "resumed", "missed"]), st.integers(1, 400)
        ),
        max_size=12,
    ),
    st.sampled_from(Pace),
)
@settings(max_examples=300)
def test_it_never_owes_two_mails_on_one_morning(acts: list[tuple[str, int]], pace: Pace) -> None:
    rhythm = Rhythm("America/New_York", 8, pace)
    facts = started(rhythm) + [
        Fact(kind, MONDAY + timedelta(hours=hour), day=1 + hour % 5, key=f"day-{1 + hour % 5}") for kind, hour in acts
    ]
    facts.sort(key=lambda fact: fact.at)
    known: list[Fact] = []
    for fact in facts:  # what was said to be upcoming is what becomes owed, whatever happens in between
        known.append(fact)
        result = plan(5, known, fact.at)
        keys = [owed.key for owed in result.all]
        assert len(set(keys)) == len(keys)
    result = plan(5, facts, MONDAY + DAY * 60)
    dates = [local_date(rhythm, owed.due_at) for owed in result.all if owed.mail not in ("confirm", "welcome")]
    assert len(set(dates)) == len(dates)


def test_it_knows_the_waking_window() -> None:
    night = datetime(2027, 3, 2, 3, tzinfo=UTC)
    assert not is_waking("UTC", night)
    assert next_waking("UTC", night) == datetime(2027, 3, 2, 6, tzinfo=UTC)
    assert next_waking("UTC", datetime(2027, 3, 2, 22, tzinfo=UTC)) == datetime(2027, 3, 3, 6, tzinfo=UTC)
    assert is_waking("UTC", datetime(2027, 3, 2, 20, 59, tzinfo=UTC))
