"""Each mail's numbers, recomputed by hand for people who leave in every way."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import func, select

from challenge.bounced import complaint, hard_bounce, soft_bounce
from challenge.events import lock
from challenge.going_on import go_on
from challenge.models import Delivery, Enrollment, EnrollmentState, EventKind, Subscriber
from challenge.participation import unsubscribe
from challenge.stats.filter import EVERYBODY, Filter
from challenge.stats.groups import survival
from challenge.stats.mails import AFTER, BEFORE, MailNumbers, Numbers, all_numbers
from tests.integration.stats.conftest import MONDAY, Town


def told(town: Town, hours: float, filter: Filter = EVERYBODY) -> Numbers:
    with town.database.read() as session:
        return all_numbers(session, "ms-strength", 3, MONDAY + timedelta(hours=hours), filter)


def each(found: Numbers) -> dict[str, MailNumbers]:
    return {row.mail: row for row in found.mails}


def mail(town: Town, person: int, key: str, hours: float, *, name: str = "") -> int:
    with town.database.write() as session:
        town._mail(session, person, name or key.partition(":")[0], key, hours)
        session.flush()
        return session.exec(select(func.max(Delivery.id))).one() or 0


def act(town: Town, person: int, hours: float, what: Any, delivery: int | None = None, **more: Any) -> None:
    """`what` as the service does it: to a locked person, with the mail it is about."""
    with town.database.write() as session:
        row = session.get(Delivery, delivery) if delivery else None
        assert what(session, lock(session, person), row, "why", MONDAY + timedelta(hours=hours), **more)


def stop(town: Town, person: int, hours: float, delivery: int | None = None) -> None:
    with town.database.write() as session:
        row = session.get(Delivery, delivery) if delivery else None
        assert unsubscribe(session, person, MONDAY + timedelta(hours=hours), how="page", delivery=row)


def test_every_mail_is_told_and_copies_are_counted_as_the_audit_does(town: Town) -> None:
    for _ in range(3):
        person = town.person(confirm_sent=0, sent={1: 20, 2: 44})
        mail(town, person, "welcome", 1)
    mail(town, person, "confirm:2", 0.5)
    mail(town, person, "resend:1:day-1", 22, name="day")
    mail(town, person, "rest:2027-03-04", 68)
    mail(town, person, "rest:2027-03-05", 92)
    found = told(town, 200)
    assert {name: (row.sent, row.runs, row.delivered) for name, row in each(found).items()} == {
        "confirm": (4, 3, 3), "welcome": (3, 3, 3), "day-1": (4, 3, 3), "day-2": (3, 3, 3), "day-3": (0, 0, 0), "rest": (2, 1, 1)
    }  # fmt: skip
    assert [day.sent for day in found.days] == [each(found)[f"day-{day.day}"].runs for day in found.days]
    assert {row.day: row.mailed for row in found.leaving} == {
        date(2027, 3, 1): 3, date(2027, 3, 2): 3, date(2027, 3, 3): 3, date(2027, 3, 4): 1, date(2027, 3, 5): 1
    }  # fmt: skip


def test_opens_and_clicks_stand_at_their_own_mail(town: Town) -> None:
    """Three get welcome, day 1 and a reminder of it. One opens the welcome, one's proxy does; one opens and clicks the
    reminder only, and does the day after it."""
    people = [town.person(sent={1: 20}) for _ in range(3)]
    welcomes = [mail(town, person, "welcome", 1) for person in people]
    nudges = [mail(town, person, "nudge:day-1", 44) for person in people]
    town.did(people[0], EventKind.opened, None, 2, who="person", delivery_id=welcomes[0])
    town.did(people[1], EventKind.opened, None, 2, who="proxy", delivery_id=welcomes[1])
    town.did(people[1], EventKind.clicked, None, 2, who="machine", link="day", delivery_id=welcomes[1])
    town.did(people[2], EventKind.opened, 1, 45, who="person", delivery_id=nudges[2])
    town.did(people[2], EventKind.clicked, 1, 45, who="person", link="day", delivery_id=nudges[2])
    town.did(people[2], EventKind.completed, 1, 45.5)
    again = mail(town, people[2], "already:1:day-1", 46)
    town.did(people[2], EventKind.opened, 1, 47, who="person", delivery_id=again)
    found = told(town, 100)
    rows = each(found)
    assert {name: (row.seen_of, row.opened_least, row.opened_most, row.clicked) for name, row in rows.items() if row.sent} == {
        "welcome": (3, 1, 2, 0), "day-1": (3, 0, 0, 0), "nudge": (3, 1, 1, 1), "already": (1, 1, 1, 0)
    }  # fmt: skip
    assert (found.days[0].opened_least, found.days[0].opened_people, found.days[0].clicked, found.days[0].done) == (
        0,
        0,
        0,
        1,
    )
    assert (rows["nudge"].click.count, rows["nudge"].click.of) == (1, 3)
    with town.database.read() as session:
        assert survival(session, "ms-strength", 1, MONDAY + timedelta(hours=100))[1].left == 2


def test_who_comes_to_a_day_by_its_reminder_is_still_in(town: Town) -> None:
    clicked, silent = (town.person(sent={1: 20}) for _ in range(2))
    nudges = [mail(town, person, "nudge:day-1", 44) for person in (clicked, silent)]
    town.did(clicked, EventKind.clicked, 1, 45, who="person", link="day", delivery_id=nudges[0])
    with town.database.read() as session:
        day = survival(session, "ms-strength", 1, MONDAY + timedelta(hours=100))[1]
    assert (day.at_risk, day.left) == (2, 1)


def test_the_confirmation_is_seen_by_nobody_and_who_is_not_tracked_opens_nothing(town: Town) -> None:
    person = town.person(confirm_sent=0)
    mail(town, person, "welcome", 1)
    with town.database.write() as session:
        session.get_one(Subscriber, session.get_one(Enrollment, person).subscriber_id).tracking = False
    rows = each(told(town, 100))
    assert (rows["confirm"].seen_of, rows["confirm"].click.rate, rows["confirm"].stop.of) == (0, None, 1)
    assert (rows["welcome"].untracked, rows["welcome"].seen_of, rows["welcome"].click.of, rows["welcome"].stop.of) == (
        1,
        0,
        0,
        1,
    )


def test_each_stopped_run_leaves_once_after_one_mail_for_one_reason(town: Town) -> None:
    """Day 1 comes on Tuesday at 8, day 2 on Wednesday at 8, to all but those who had left."""
    sent = {1: 20.0, 2: 44.0}
    by_last, by_old_link, dead, full, spam, spam_later, desk, back, stays = (
        town.person(sent=sent, source="a" if number % 2 else "b") for number in range(9)
    )
    early = town.person(confirmed=None)
    first, second = (
        {row: mail(town, row, f"resend:9:day-{day}", hours, name="day") for row in (by_old_link, dead, spam, full)}
        for day, hours in ((1, 20), (2, 44))
    )
    stop(town, by_last, 45)
    stop(town, by_old_link, 46, first[by_old_link])
    act(town, dead, 60, hard_bounce, second[dead])
    for hours in (45, 70, 95):
        act(town, full, hours, soft_bounce_, second[full] if hours == 45 else None)
    act(town, spam, 47, complaint, first[spam])
    stop(town, spam_later, 21)
    act(town, spam_later, 69, complaint)
    town.did(desk, EventKind.suppressed, hours=70, reasons="by hand")
    stop(town, back, 45)
    with town.database.write() as session:
        session.get_one(Enrollment, desk).state = EnrollmentState.stopped
        assert go_on(session, back, 3, MONDAY + timedelta(hours=46))
    stop(town, early, 3)
    found = told(town, 200)
    assert {
        row.mail: (row.unsubscribed, row.left_bounced, row.complained, row.left_other, row.left, row.bounced)
        for row in found.mails
        if row.left or row.bounced
    } == {"day-1": (1, 0, 1, 0, 2, 0), "day-2": (1, 2, 1, 1, 5, 2), "(none)": (1, 0, 0, 0, 1, 0)}
    assert {row.day: (row.unsubscribed, row.bounced, row.complained, row.other, row.left) for row in found.leaving if row.left} == {
        date(2027, 3, 1): (1, 0, 0, 0, 1), date(2027, 3, 3): (2, 0, 1, 0, 3), date(2027, 3, 4): (0, 1, 1, 1, 3), date(2027, 3, 5): (0, 1, 0, 0, 1)
    }  # fmt: skip
    assert sum(row.left for row in found.mails) == sum(row.left for row in found.leaving) == found.stopped == 8
    assert stays in range(1, 10)
    split = [told(town, 200, Filter(source=source)) for source in ("a", "b", "direct")]
    assert sum(row.left for part in split for row in part.mails) == 8


def soft_bounce_(*given: Any) -> bool:
    soft_bounce(*given)
    return True


def test_the_rate_is_of_those_who_have_had_the_mail_for_a_day(town: Town) -> None:
    quick, slow, new = town.person(sent={1: 20}), town.person(sent={1: 20}), town.person(sent={1: 40})
    stop(town, quick, 21)
    stop(town, new, 41)
    row = each(told(town, 43))["day-1"]
    assert (row.unsubscribed, row.stop.count, row.stop.of, row.not_yet) == (2, 0, 0, 3)
    row = each(told(town, 44))["day-1"]
    assert (row.unsubscribed, row.stop.count, row.stop.of, row.not_yet) == (2, 1, 2, 1)
    row = each(told(town, 64))["day-1"]
    assert (row.stop.count, row.stop.of, row.not_yet, slow) == (2, 3, 0, 2)


def test_a_start_that_another_replaced_has_no_day(town: Town) -> None:
    town.person(state=EnrollmentState.stopped, confirm_sent=0)
    found = told(town, 50)
    assert [(row.day, row.other, row.left) for row in found.leaving if row.left] == [(None, 1, 1)]
    assert each(found)["confirm"].left_other == 1
    assert found.to_dict()["leaving"][0]["day"] is None


def test_no_mail_that_can_be_sent_is_forgotten() -> None:
    folders = {path.parent.name for path in Path("templates/emails").glob("*/subject.txt")}
    assert folders == {*BEFORE, *AFTER, "day"}
