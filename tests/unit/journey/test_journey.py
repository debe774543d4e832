from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from challenge.journey import (
    MORNING_LASTS,
    Fact,
    Owed,
    Pace,
    Plan,
    Rhythm,
    is_waking,
    local_date,
    next_waking,
    outlook,
    plan,
)

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


def told_already(result: Plan) -> dict[str, float]:
    """Key -> days after the yes, of the mails that say "you are in"."""
    return {owed.key: (owed.due_at - MONDAY) / DAY for owed in result.owed if owed.mail == "already"}


def test_it_tells_who_is_in_where_they_are_at_once_and_once_a_day() -> None:
    again = [at(days, "signed_up_again") for days in (0.25, 0.5, 2.5, 3, 3.5, 7.5)]
    assert told_already(after(8, *again)) == {
        "already:1:welcome": 0.25,
        "already:2:day-2": 2.5,
        "already:3:day-3": 3.5,
        "already:4:finish": 7.5,
    }


def test_it_tells_also_who_pauses_or_came_to_the_end_but_nobody_who_waits_or_stopped() -> None:
    again = at(20, "signed_up_again")
    assert told_already(after(21, at(2.5, "paused"), again)) == {"already:1:day-2": 20}
    assert told_already(after(21, again)) == {"already:1:finish": 20}
    assert told_already(after(21, at(2.5, "unsubscribed"), again)) == {}
    assert told_already(plan(5, [*started()[:1], again], MONDAY + DAY * 21)) == {}


def test_it_sends_a_copy_of_what_it_told() -> None:
    keys = [at(1.5, "signed_up_again"), at(1.6, "resent", key="day-1"), at(1.7, "resent", key="already:1:day-1")]
    beside = [owed.key for owed in after(2, *keys).owed if owed.key.startswith(("already", "resend"))]
    assert beside == ["already:1:day-1", "resend:1:day-1", "resend:1:already:1:day-1"]


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


def test_it_invites_two_mornings_after_the_finish_who_did_a_day() -> None:
    done = [at(n, "completed", day=n) for n in range(1, 6)]
    assert list(mornings(after(20, *done)))[-2:] == ["finish", "invitation"]
    assert mornings(after(20, *done))["invitation"] == "Tue 09 08:00"
    some = mornings(after(20, done[0]))
    assert (some["invitation"], some["comeback"]) == ("Tue 09 08:00", "Sun 14 08:00")
    assert "invitation" not in mornings(after(20))


def test_it_does_not_invite_who_has_joined() -> None:
    done = [at(n, "completed", day=n) for n in range(1, 5)]
    known_in_time = mornings(after(20, *done, at(7.5, "joined")))
    assert list(known_in_time)[-2:] == ["finish", "comeback"]
    assert known_in_time["comeback"] == mornings(after(20, *done))["comeback"]
    assert "invitation" in mornings(after(20, *done, at(8.5, "joined")))  # it was owed by then
    assert after(20, *done, at(4.5, "completed", day=5), at(5, "joined")).state == "ended"


def test_it_drops_the_comeback_when_the_rest_is_caught_up() -> None:
    done = [at(7, "completed", day=n) for n in range(1, 6)]
    assert list(mornings(after(20, *done)))[-1] == "invitation"
    assert after(9, *done).state == "ended"
    assert after(7.5, *done).look_again_at == datetime(2027, 3, 9, 8, tzinfo=UTC)


def test_it_welcomes_an_imported_person_in_waking_hours() -> None:
    night = datetime(2027, 3, 1, 23, 30, tzinfo=UTC)
    facts = [Fact("signed_up", night, rhythm=UTC_8, of="imported"), Fact("confirmed", night, rhythm=UTC_8)]
    result = mornings(plan(5, facts, night))
    assert result == {"welcome": "Tue 02 06:00", "day-1": "Wed 03 08:00"}
    assert mornings(after(0.6))["welcome"] == "Mon 01 12:00"


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


def test_it_goes_on_when_a_stop_is_taken_back() -> None:
    back = at(4, "resumed", of="unsubscribed")
    result = mornings(after(30, at(2.5, "unsubscribed"), back))
    assert (result["day-2"], result["day-3"]) == ("Wed 03 08:00", "Sat 06 08:00")
    assert after(6, at(1.5, "paused"), at(2.5, "unsubscribed"), back).state == "paused"
    for worse in ("suppressed", "complained"):
        assert after(6, at(2.5, "unsubscribed"), at(3, worse), back).state == "stopped"
        assert after(6, at(2.5, worse), at(3, "unsubscribed"), back).state == "stopped"


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


def test_it_lets_somebody_rest_while_it_waits() -> None:
    waits = Rhythm("UTC", 8, Pace.when_done)
    result = mornings(after(9, at(0.9, "rested", day=1), rhythm=waits))
    assert (result["rest:2027-03-03"], result["nudge:day-1"]) == ("Wed 03 08:00", "Thu 04 08:00")
    assert mornings(after(2.5, at(2.2, "rested", day=1), rhythm=waits))["rest:2027-03-04"] == "Thu 04 08:00"


@pytest.mark.parametrize(
    ("pace", "nudge", "second", "third"),
    [
        (Pace.every_other_day, "Wed 03", "Thu 04", "Sat 06"),
        (Pace.weekly, "Fri 05", "Tue 09", "Tue 16"),
    ],
)
def test_it_nudges_once_where_a_morning_is_free(pace: Pace, nudge: str, second: str, third: str) -> None:
    rhythm = Rhythm("UTC", 8, pace)
    silent = mornings(after(60, rhythm=rhythm))
    assert [silent[key][:6] for key in ("nudge:day-1", "day-2", "day-3")] == [nudge, second, third]
    assert [key for key in silent if key.startswith("nudge")] == ["nudge:day-1"]
    done = mornings(after(60, at(1, "completed", day=1), rhythm=rhythm))
    assert [key for key in done if key.startswith("nudge")] == ["nudge:day-2"]
    assert done["day-2"][:6] == second


def test_it_moves_by_one_morning_for_a_rest_where_a_morning_is_free() -> None:
    rhythm = Rhythm("UTC", 8, Pace.every_other_day)
    result = mornings(after(9, at(1, "rested", day=1), rhythm=rhythm))
    assert (result["rest:2027-03-03"], result["day-2"]) == ("Wed 03 08:00", "Fri 05 08:00")
    assert "nudge:day-1" not in result
    back = mornings(after(9, at(1, "rested", day=1), at(1.1, "undone", day=1, of="rested"), rhythm=rhythm))
    assert (back["nudge:day-1"], back["day-2"]) == ("Wed 03 08:00", "Thu 04 08:00")


def test_it_gives_a_missed_morning_back_once_whatever_happens_after() -> None:
    rhythm = Rhythm("UTC", 8, Pace.every_other_day)
    missed = at(3.1, "missed", key="day-2")
    result = mornings(after(9, at(1, "completed", day=1), missed, at(3.2, "completed", day=1), rhythm=rhythm))
    assert (result["day-2"], result["day-3"]) == ("Fri 05 08:00", "Sun 07 08:00")


def test_it_sends_no_second_mail_of_one_date_to_who_flies_back_over_the_date_line() -> None:
    auckland, angeles = Rhythm("Pacific/Auckland", 8), Rhythm("America/Los_Angeles", 8)
    result = after(6, at(1.5, "changed", rhythm=angeles), rhythm=auckland)
    dates = {owed.key: owed.due_at for owed in result.all}
    assert local_date(auckland, dates["day-1"]).isoformat() == "2027-03-03"
    assert local_date(angeles, dates["day-2"]).isoformat() == "2027-03-04"


def test_it_keeps_every_other_day_and_weekdays() -> None:
    other = mornings(after(20, at(1, "completed", day=1), rhythm=Rhythm("UTC", 8, Pace.every_other_day)))
    assert [other[f"day-{n}"][:6] for n in range(1, 6)] == ["Tue 02", "Thu 04", "Sat 06", "Mon 08", "Wed 10"]
    week = mornings(after(20, rhythm=Rhythm("UTC", 8, Pace.weekdays)))
    assert [week[f"day-{n}"][:6] for n in range(1, 6)] == ["Tue 02", "Wed 03", "Thu 04", "Fri 05", "Mon 08"]


STEPS = {Pace.daily: 1, Pace.every_other_day: 2, Pace.weekly: 7}


def due_dates(pace: Pace, first: date, count: int) -> list[date]:
    """The local dates on which a pace brings its days; said here again, without the code that is tested."""
    if pace is Pace.weekdays:
        return [day for day in (first + DAY * n for n in range(2 * count + 2)) if day.weekday() < 5][:count]
    return [first + DAY * STEPS[pace] * n for n in range(count)]


@pytest.mark.parametrize("zone", sorted(available_timezones()))
def test_it_sends_one_mail_on_each_due_local_day_whatever_the_zone_does(zone: str) -> None:
    """Every offset change from 2024 to 2031 lies within the days of some enrollment, in every pace."""
    for change in offset_changes(zone):
        hour = 6 + change.day % 16
        for pace in (Pace.daily, Pace.every_other_day, Pace.weekdays, Pace.weekly):
            rhythm = Rhythm(zone, hour, pace)
            start = change - DAY * (10 if pace is Pace.weekly else 3)
            facts = started(rhythm, start) + [Fact("completed", start + DAY * n / 2, day=1) for n in (3,)]
            result = plan(5, facts, start + DAY * 60)
            sequence = [owed for owed in result.owed if owed.is_daily and owed.mail != "welcome"]
            assert [owed.key for owed in sequence] == [*(f"day-{n}" for n in range(1, 6)), "finish"]
            dates = [local_date(rhythm, owed.due_at) for owed in sequence]
            assert dates == due_dates(pace, local_date(rhythm, start) + DAY, 6)
            for owed in result.owed:
                if owed.mail not in ("confirm", "welcome"):
                    local = owed.due_at.astimezone(ZoneInfo(zone))
                    assert local.hour == hour or hour_skipped(zone, rhythm, owed.due_at)
                    assert local.minute == 0 or hour_skipped(zone, rhythm, owed.due_at)


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


def hour_skipped(zone: str, rhythm: Rhythm, due: datetime) -> bool:
    local = due.astimezone(ZoneInfo(zone))
    wall = local.replace(hour=rhythm.hour, minute=0)
    return wall.astimezone(UTC).astimezone(ZoneInfo(zone)).hour != rhythm.hour


ACTS = st.tuples(
    st.sampled_from(["rested", "unrested", "completed", "undone", "paused", "resumed", "missed", "changed"]),
    st.integers(1, 24 * 40),
    st.integers(1, 5),
    st.sampled_from(["America/New_York", "Pacific/Auckland", "Pacific/Pago_Pago", "Asia/Kolkata", "Europe/Berlin"]),
    st.integers(6, 21),
    st.sampled_from(Pace),
)


def told(act: tuple[str, int, int, str, int, Pace], known: list[Fact], so_far: Plan) -> Fact:
    """The act as a fact; a `missed` is about the last mail that fell due, as the dispatcher says it."""
    kind, hours, day, zone, hour, pace = act
    when = MONDAY + timedelta(hours=hours)
    match kind:
        case "missed":
            return Fact("missed", when, key=so_far.owed[-1].key)
        case "changed":
            return Fact("changed", when, rhythm=Rhythm(zone, hour, pace))
        case "unrested":
            return Fact("undone", when, day=day, of="rested")
    return Fact(kind, when, day=day)


@given(st.lists(ACTS, max_size=14), st.sampled_from(Pace))
@settings(max_examples=400)
def test_it_keeps_its_promises_whatever_happens(acts: list[tuple[str, int, int, str, int, Pace]], pace: Pace) -> None:
    """Each key once, in order, never two on one date, never outside the wanted hour; what was owed stays owed."""
    first = Rhythm("America/New_York", 8, pace)
    known = started(first)
    before: tuple[Owed, ...] = ()
    for act in sorted(acts, key=lambda act: act[1]):
        when = MONDAY + timedelta(hours=act[1])
        result = plan(5, known, when)
        assert result.owed[: len(before)] == before
        fact = told(act, known, result)
        known.append(fact)
        before = plan(5, known, when).owed
        assert fact.kind == "missed" or before == result.owed
    end = plan(5, known, MONDAY + DAY * 150)
    check(end, known, first)
    for moment in (fact.at for fact in known):
        check_keys(plan(5, known, moment))


@given(st.lists(ACTS, max_size=10), st.lists(st.integers(1, 24 * 40), max_size=5), st.sampled_from(Pace))
@settings(max_examples=200)
def test_it_moves_nothing_when_somebody_types_the_address_again(
    acts: list[tuple[str, int, int, str, int, Pace]], hours: list[int], pace: Pace
) -> None:
    known = started(Rhythm("America/New_York", 8, pace))
    for act in sorted(acts, key=lambda act: act[1]):
        known.append(told(act, known, plan(5, known, MONDAY + timedelta(hours=act[1]))))
    again = sorted(MONDAY + timedelta(hours=hour) for hour in hours)
    for now in (MONDAY + DAY * 3, MONDAY + DAY * 150):
        alone = plan(5, known, now)
        result = plan(5, [*known, *(Fact("signed_up_again", when) for when in again)], now)
        assert tuple(owed for owed in result.owed if owed.mail != "already") == alone.owed
        assert (result.upcoming, result.state) == (alone.upcoming, alone.state)
        times = [owed.due_at for owed in result.owed if owed.mail == "already"]
        assert set(times) <= set(again)
        assert all(later - earlier >= DAY for earlier, later in pairwise(times))


def check_keys(result: Plan) -> None:
    keys = [owed.key for owed in result.all]
    assert len(set(keys)) == len(keys)
    sequence = [owed.key for owed in result.all if owed.is_daily]
    assert sequence == ["welcome", *(f"day-{n}" for n in range(1, 6)), "finish"][: len(sequence)]
    assert [owed.due_at for owed in result.all] == sorted(owed.due_at for owed in result.all)


def in_force(known: list[Fact], owed: Owed, first: Rhythm) -> Rhythm:
    """By which rhythm this mail was planned: what was told before it, or before a miss within its morning, which plans it
    anew for the morning that still lasts."""
    told = [fact for fact in known if fact.at < owed.due_at]
    for index, fact in enumerate(known):
        if fact.kind == "missed" and fact.key == owed.key and owed.due_at < fact.at <= owed.due_at + MORNING_LASTS:
            told = known[:index]
    return next((fact.rhythm for fact in reversed(told) if fact.rhythm), first)


def check(result: Plan, known: list[Fact], first: Rhythm) -> None:
    check_keys(result)
    dates = []
    for owed in result.owed:
        rhythm = in_force(known, owed, first)
        if owed.mail != "confirm":
            dates.append(local_date(rhythm, owed.due_at))
        if owed.mail not in ("confirm", "welcome"):
            local = owed.due_at.astimezone(ZoneInfo(rhythm.timezone))
            assert local.hour == rhythm.hour
            assert rhythm.pace is not Pace.weekdays or local.weekday() < 5
    assert dates == sorted(set(dates))


def test_it_knows_the_waking_window() -> None:
    night = datetime(2027, 3, 2, 3, tzinfo=UTC)
    assert not is_waking("UTC", night)
    assert next_waking("UTC", night) == datetime(2027, 3, 2, 6, tzinfo=UTC)
    assert next_waking("UTC", datetime(2027, 3, 2, 22, tzinfo=UTC)) == datetime(2027, 3, 3, 6, tzinfo=UTC)
    assert is_waking("UTC", datetime(2027, 3, 2, 21, 59, tzinfo=UTC))
    assert not is_waking("UTC", datetime(2027, 3, 2, 22, tzinfo=UTC))


@pytest.mark.parametrize("pace", list(Pace))
@pytest.mark.parametrize("days", [0, 2.5])
def test_it_looks_out_on_every_morning_that_then_comes(pace: Pace, days: float) -> None:
    """What was told beforehand is what somebody gets who does each day when it comes."""
    facts, now = started(Rhythm("Europe/Berlin", 8, pace)), MONDAY + DAY * days
    for step in range(70):
        for owed in plan(5, facts, MONDAY + timedelta(hours=18) * step).owed:
            day = int(owed.key[4:]) if owed.mail == "day" else 0
            if day and ("completed", day) not in {(fact.kind, fact.day) for fact in facts}:
                facts.append(Fact("completed", owed.due_at + timedelta(minutes=30), day=day))
    known = [fact for fact in facts if fact.at <= now]
    foreseen = {owed.key: owed.due_at for owed in outlook(5, known, now)}
    came = {owed.key: owed.due_at for owed in plan(5, facts, MONDAY + DAY * 60).owed if owed.mail == "day"}
    assert list(foreseen) == [f"day-{n}" for n in range(1, 6)]
    assert foreseen == came


def test_it_looks_out_on_what_a_rest_and_a_change_have_moved() -> None:
    weekly = Rhythm("UTC", 8, Pace.weekly)
    facts = [*started(), at(2, "rested"), at(2.1, "changed", rhythm=weekly)]
    told = {owed.key: f"{owed.due_at:%a %d %H:%M}" for owed in outlook(5, facts, MONDAY + DAY * 2.5)}
    assert told == {
        "day-1": "Tue 02 08:00",
        "day-2": "Wed 03 08:00",
        "day-3": "Wed 10 08:00",
        "day-4": "Wed 17 08:00",
        "day-5": "Wed 24 08:00",
    }


def test_it_looks_out_on_nothing_for_who_waits_pauses_or_stopped() -> None:
    waiting = [Fact("signed_up", MONDAY, rhythm=UTC_8)]
    assert outlook(5, waiting, MONDAY + DAY) == ()
    for kind in ("paused", "unsubscribed"):
        told = outlook(5, [*started(), at(1.5, kind)], MONDAY + DAY * 2)
        assert [owed.key for owed in told] == ["day-1"]
