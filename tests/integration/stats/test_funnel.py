from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from challenge.events import append
from challenge.models import Conversion, Delivery, Enrollment, EnrollmentState, EventKind, Subscriber, Visit
from challenge.stats.filter import EVERYBODY, Filter
from challenge.stats.funnel import Funnel, Step, funnel
from challenge.stats.groups import groups, survival
from challenge.stats.unknown import Unknown
from tests.integration.stats.conftest import MONDAY, Town


def numbers(town: Town, hours: float, filter: Filter = EVERYBODY) -> Funnel:
    with town.database.read() as session:
        return funnel(session, "ms-strength", 3, MONDAY + timedelta(hours=hours), filter)


def step(found: Funnel, name: str) -> Step:
    return next(step for step in found.steps if step.name == name)


def test_it_says_nothing_about_nobody(town: Town) -> None:
    found = numbers(town, 0)
    assert (found.signed_up, found.confirmed, found.joined) == (0, 0, 0)
    assert [step.name for step in found.steps] == [
        "signed_up",
        "confirmed",
        "day-1",
        "day-2",
        "day-3",
        "finished",
        "joined",
    ]
    assert all(step.rate is None for step in found.steps)


def test_who_had_no_chance_yet_is_not_in_the_denominator(town: Town) -> None:
    old = town.person(sent={1: 20})
    town.person(sent={1: 20})
    early = town.person(sent={1: 43})
    town.person(sent={1: 43})
    town.person(sent={})
    town.did(old, EventKind.completed, 1, 21)
    town.did(early, EventKind.completed, 1, 43.5)
    found = step(numbers(town, 44), "day-1")
    assert (found.count, found.early, found.reached, found.of, found.not_yet, found.lost) == (2, 1, 1, 2, 3, 1)
    assert found.rate == 0.5
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high
    later = step(numbers(town, 67), "day-1")
    assert (later.count, later.early, later.reached, later.of, later.not_yet, later.lost) == (2, 0, 2, 4, 1, 2)


def test_who_stopped_before_a_mail_has_had_the_chance_when_it_would_be_a_day_old(town: Town) -> None:
    town.person(state=EnrollmentState.stopped)
    assert [
        (step(numbers(town, hours), "day-1").of, step(numbers(town, hours), "day-1").not_yet) for hours in (1, 60)
    ] == [(0, 1), (1, 0)]


def test_that_the_journey_ended_is_no_chance(town: Town) -> None:
    """It ends at once for those who joined: they must not be the first to be counted."""
    number = town.person(sent={1: 20, 2: 44, 3: 68}, state=EnrollmentState.ended)
    town.did(number, EventKind.joined, hours=93)
    found = step(numbers(town, 94), "joined")
    assert (found.count, found.early, found.of, found.not_yet) == (1, 1, 0, 1)


def test_whoever_is_done_early_is_not_in_the_rate_yet(town: Town) -> None:
    number = town.person(sent={1: 20})
    town.did(number, EventKind.completed, 1, 20.5)
    day = numbers(town, 21).days[0]
    assert (day.done, day.early, day.reached, day.of, day.not_yet, day.rate) == (1, 1, 0, 0, 1, None)
    assert day.median_minutes == 30
    day = numbers(town, 44).days[0]
    assert (day.done, day.early, day.reached, day.of, day.not_yet, day.rate) == (1, 0, 1, 1, 0, 1.0)


def test_somebody_who_was_asked_an_hour_ago_is_not_lost(town: Town) -> None:
    town.person(confirmed=None, confirm_sent=0)
    assert (step(numbers(town, 1), "confirmed").of, step(numbers(town, 1), "confirmed").not_yet) == (0, 1)
    assert (step(numbers(town, 25), "confirmed").of, step(numbers(town, 25), "confirmed").lost) == (1, 1)


def test_opens_are_a_range_from_those_who_acted_to_those_behind_a_proxy(town: Town) -> None:
    """Recomputed by hand: seven are mailed. One opens, one's proxy does, one is a machine; one only clicks, one only does the
    day, one does it when the next mail had come, one looks at the way out."""
    both, proxy, machine, clicks, does, late, out = (town.person(sent={1: 1, 2: 25}) for _ in range(7))
    town.did(both, EventKind.opened, 1, 2, who="proxy")
    town.did(both, EventKind.opened, 1, 3, who="person")
    town.did(proxy, EventKind.opened, 1, 2, who="proxy")
    town.did(machine, EventKind.opened, 1, 2, who="machine")
    town.did(clicks, EventKind.clicked, 1, 2, who="person", link="day")
    town.did(does, EventKind.completed, 1, 3)
    town.did(late, EventKind.completed, 1, 26)
    town.did(out, EventKind.clicked, 1, 2, who="person", link="unsubscribe")
    day = numbers(town, 30).days[0]
    assert (day.sent, day.opened_people, day.opened_proxy, day.clicked, day.done) == (7, 1, 1, 1, 2)
    assert (day.seen_of, day.opened_least, day.opened_most, day.clicked_seen) == (7, 4, 5, 1)


def test_who_switched_tracking_off_is_not_said_to_have_opened_nothing(town: Town) -> None:
    seen, hidden, hidden_doer = (town.person(sent={1: 1}) for _ in range(3))
    town.did(seen, EventKind.opened, 1, 2, who="person")
    town.did(hidden_doer, EventKind.completed, 1, 3)
    assert numbers(town, 30).days[0].seen_of == 3
    with town.database.write() as session:
        for number in (hidden, hidden_doer):
            person = session.get_one(Enrollment, number)
            session.get_one(Subscriber, person.subscriber_id).tracking = False
            append(session, person, EventKind.changed, MONDAY)  # as the preferences do: it is what marks the person
    day = numbers(town, 30).days[0]
    assert (day.sent, day.untracked, day.seen_of, day.opened_least, day.opened_most) == (3, 2, 1, 1, 1)


def test_the_way_out_is_no_click(town: Town) -> None:
    """Two look at the unsubscribe page and stop; one stops from the preferences, one only changes an hour there."""
    leave, leave_too, by_preferences, changes, both = (town.person(sent={1: 1}) for _ in range(5))
    for number in (leave, leave_too, both):
        town.did(number, EventKind.clicked, 1, 2, who="person", link="unsubscribe")
    for number in (by_preferences, changes):
        town.did(number, EventKind.clicked, 1, 2, who="person", link="preferences")
    town.did(both, EventKind.clicked, 1, 1.5, who="person", link="day")
    for number in (leave, leave_too, by_preferences):
        town.did(number, EventKind.unsubscribed, hours=2.5)
    town.did(changes, EventKind.unsubscribed, hours=20)
    day = numbers(town, 200).days[0]
    assert (day.clicked, day.opened_least) == (2, 5)
    with town.database.read() as session:
        still = survival(session, "ms-strength", 1, MONDAY + timedelta(hours=200))
    assert (still[1].at_risk, still[1].left) == (5, 3)


def visit(town: Town, visitors: int) -> None:
    with town.database.write() as session:
        session.add(
            Visit(day="2027-03-01", who="person", words="w", challenge="ms-strength", visitors=visitors, views=visitors)
        )


def test_only_a_form_has_visitors(town: Town) -> None:
    """Of 40 visitors 2 sign up; 3 come by API, 2 by an import that asks, 4 by one that does not."""
    visit(town, 40)
    ways: list[tuple[dict[str, Any], int]] = [
        ({"way": "form"}, 1), ({"way": "embed https://clinic.example"}, 1), ({"way": "api"}, 2),
        ({"way": "api https://shop.example"}, 1), ({"way": "import"}, 2), ({"imported": True}, 4),
    ]  # fmt: skip
    for detail, count in ways:
        for _ in range(count):
            is_asked = "imported" not in detail
            number = town.person(confirm_sent=0 if is_asked else None, confirmed=None if is_asked else 0)
            town.did(number, EventKind.signed_up, detail=detail)
    found = numbers(town, 60)
    first, yes = found.steps[:2]
    assert (found.signed_up, found.by_form, found.by_api, found.by_import, found.unasked) == (11, 2, 3, 6, 4)
    assert (first.count, first.other, first.reached, first.of, first.rate) == (11, 9, 2, 40, 0.05)
    assert (yes.count, yes.other, yes.reached, yes.of) == (4, 4, 0, 7)
    with town.database.read() as session:
        (group,) = groups(session, "ms-strength", 3, MONDAY + timedelta(hours=60), "source")
    assert (group.confirm.count, group.confirm.of) == (0, 7)


def test_who_was_asked_and_then_imported_was_asked(town: Town) -> None:
    number = town.person(confirm_sent=0)
    town.did(number, EventKind.signed_up, detail={"way": "form"})
    town.did(number, EventKind.signed_up, hours=1, detail={"imported": True})
    found = numbers(town, 60)
    assert (found.by_form, found.unasked, found.steps[1].of) == (1, 0, 1)


def test_nobody_is_lost_twice(town: Town) -> None:
    """Days 1 and 3 done, 2 not: lost at the end of all days only. Recomputed by hand for four people."""
    sent = {1: 20.0, 2: 44.0, 3: 68.0}
    skips, one_day, nothing = (town.person(confirm_sent=0, sent=sent, finish_sent=92) for _ in range(3))
    town.person(confirmed=None, confirm_sent=0)
    for number, days in ((skips, (1, 3)), (one_day, (1,)), (nothing, ())):
        for day in days:
            town.did(number, EventKind.completed, day, 24 * day - 3)
    found = numbers(town, 500)
    assert {step.name: step.lost for step in found.steps} == {
        "signed_up": 0, "confirmed": 1, "day-1": 1, "day-2": 1, "day-3": 0, "finished": 1, "joined": 0
    }  # fmt: skip


def test_a_pause_keeps_no_rate_up_for_ever(town: Town) -> None:
    """Paused on Tuesday at 9 with day 1 had: day 2 would have come on Wednesday, and counts two weeks later."""
    paused = town.person(sent={1: 20}, state=EnrollmentState.paused)
    town.person(sent={1: 20, 2: 44, 3: 68})
    town.did(paused, EventKind.paused, hours=21)
    at = [
        (step(numbers(town, hours), "day-2").of, step(numbers(town, hours), "day-2").not_yet)
        for hours in (100, 371, 372)
    ]
    assert at == [(1, 1), (1, 1), (2, 0)]
    assert [step(numbers(town, hours), "day-3").of for hours in (395, 396)] == [1, 2]


def test_how_long_joining_took_is_not_told_of_those_who_joined_first(town: Town) -> None:
    before, after = (town.person(sent={1: 20, 2: 44}) for _ in range(2))
    for number in (before, after):
        town.did(number, EventKind.completed, 1, 21)
    town.did(before, EventKind.joined, hours=22)
    town.did(before, EventKind.completed, 2, 45)
    town.did(after, EventKind.joined, hours=26)
    assert step(numbers(town, 60), "joined").median_minutes == 300


def test_who_joined_and_is_not_known_is_told_apart(town: Town) -> None:
    with town.database.write() as session:
        for key, amount in (("a", 4900), ("b", 1000)):
            row = Conversion(
                key=key, digest="", amount=amount, currency="USD", joined_at=MONDAY, recorded_at=MONDAY, how="api"
            )
            session.add(row)
    assert numbers(town, 1).unknown == Unknown(2, {"USD": 5900})
    assert numbers(town, 1, Filter(source="podcast")).unknown is None


def test_a_bounce_was_sent_but_not_delivered(town: Town) -> None:
    number = town.person(sent={1: 1, 2: 25})
    town.did(number, EventKind.bounced, 1, 2, delivery_id=1)
    assert [(day.sent, day.delivered) for day in numbers(town, 30).days] == [(1, 0), (1, 1), (0, 0)]


def test_the_median_is_that_of_the_people_who_got_there(town: Town) -> None:
    for hours in (1, 2, 50, 0.5):
        town.person(confirmed=hours)
    town.person(confirmed=None)
    assert step(numbers(town, 60), "confirmed").median_minutes == 60


def test_all_days_done_in_any_order_is_finished(town: Town) -> None:
    number = town.person(sent={1: 20, 2: 44, 3: 68})
    for day, hours in ((1, 21), (3, 69), (2, 70)):
        town.did(number, EventKind.completed, day, hours)
    found = numbers(town, 71)
    assert found.finished == 1
    assert step(found, "finished").median_minutes == 69 * 60
    town.did(number, EventKind.undone, 2, 71)
    assert numbers(town, 72).finished == 0


def test_filters_and_sources_agree(town: Town) -> None:
    town.person(source="podcast", utm_source="podcast", position="seated")
    town.person(source="podcast", position="standing", hours=24)
    town.person(position="standing", zone="Europe/Vienna", confirmed=None)
    assert numbers(town, 30).by_source == {"podcast": (2, 2, 0), "direct": (1, 0, 0)}
    wanted: list[tuple[dict[str, Any], int]] = [
        ({"source": "podcast"}, 2),
        ({"source": "direct"}, 1),
        ({"utm_source": "(none)"}, 2),
        ({"position": "standing"}, 2),
        ({"position": "standing", "country": "US"}, 1),
        ({"country": "AT"}, 1),
        ({"since": date(2027, 3, 2)}, 1),
        ({"until": date(2027, 3, 1)}, 2),
        ({"source": "nowhere"}, 0),
    ]
    for words, count in wanted:
        assert numbers(town, 30, Filter(**words)).signed_up == count, words


def test_another_challenge_is_not_counted(town: Town) -> None:
    town.person()
    with town.database.read() as session:
        assert funnel(session, "another", 3, MONDAY).signed_up == 0


def test_people_are_counted_across_blocks(town: Town) -> None:
    town.person()
    town.person(id=5000)
    assert numbers(town, 2).confirmed == 2


def test_of_two_copies_sent_in_one_moment_the_first_counts_in_whatever_order_they_are_read(town: Town) -> None:
    number = town.person(sent={1: 1})
    with town.database.write() as session:
        town._mail(session, number, "day", "resend:1:day-1", 1)
    town.did(number, EventKind.bounced, 1, 2, delivery_id=1)
    with town.database.write() as session:
        session.get_one(
            Delivery, 1
        ).receipt = "250 once more"  # PostgreSQL reads a row that was changed after the others
    assert [day.delivered for day in numbers(town, 30).days] == [0, 0, 0]
