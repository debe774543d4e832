"""Which tables are there? Each is one query, read by a page, by CSV, by JSON and by `/api/v1/tables`, so they are equal.

A cell is a number, a word, a date or None; money is in the currency's main unit. A table knows how it is to be read:
`kind` of a column is `word`, `count`, `rate` (0 to 1), `minutes`, `money` or `day`.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlmodel import Session

from challenge.cells import Cell, safe
from challenge.errors import BadInput
from challenge.money import main_units
from challenge.programme.definition import Challenge
from challenge.stats import experiments, groups, mails
from challenge.stats import funnel as way
from challenge.stats.filter import DIMENSIONS, NOBODY_KNOWN, Filter, read
from challenge.stats.inference import Comparison
from challenge.stats.unknown import Unknown, unknown


@dataclass(frozen=True)
class Ask:
    """What a table is asked for: whose numbers, as of when, by which dimension."""

    session: Session
    challenge: Challenge
    now: datetime
    filter: Filter
    by: str = "source"
    goal: str = ""

    @property
    def whose(self) -> tuple[Session, str, int, datetime]:
        return self.session, self.challenge.slug, self.challenge.length, self.now


@dataclass(frozen=True)
class Column:
    """A column's key (in CSV and JSON), its heading on a page, and how its cells are to be read."""

    key: str
    title: str
    kind: str = "count"


@dataclass(frozen=True)
class Table:
    """One table; every row has a cell for every column."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        keys = [column.key for column in self.columns]
        return {
            "table": self.name,
            "columns": [{"key": column.key, "title": column.title, "kind": column.kind} for column in self.columns],
            "rows": [dict(zip(keys, row, strict=True)) for row in self.rows],
        }

    def file_name(self, filter: Filter, as_of: datetime) -> str:
        """Says of whom and as of when, without an ending: `groups-as-of-20270305T1420Z-source-podcast`."""
        words = "".join(f"-{name}-{word}" for name, word in filter.to_query().items())
        plain = re.sub(r"[^A-Za-z0-9.-]+", "-", words).rstrip("-.")
        return f"{self.name}-as-of-{as_of.astimezone(UTC):%Y%m%dT%H%MZ}{plain}"[:120]

    def to_csv(self) -> str:
        """RFC 4180, with a byte order mark so that a spreadsheet reads UTF-8; no cell can be a formula."""
        file = io.StringIO()
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow([column.key for column in self.columns])
        writer.writerows([safe(cell) for cell in row] for row in self.rows)
        return "\ufeff" + file.getvalue()


def csv_line(cells: Sequence[Cell]) -> str:
    """One line of a file that is too long to be made at once; no cell can be a formula."""
    file = io.StringIO()
    csv.writer(file, quoting=csv.QUOTE_ALL).writerow([safe(cell) for cell in cells])
    return file.getvalue()


def ask_from(session: Session, challenge: Challenge, now: datetime, query: Mapping[str, str]) -> Ask:
    """The question in an address. Raises BadInput, also for a parameter that is none: misspelt, it would be everybody."""
    if wrong := sorted(query.keys() - {"from", "to", "by", "goal", *DIMENSIONS}):
        raise BadInput(
            wrong[0][:40], f"{wrong[0][:40]} is no filter. There are: from, to, by, goal, {', '.join(DIMENSIONS)}."
        )
    by, goal = query.get("by", "").strip() or "source", query.get("goal", "").strip()
    return Ask(session, challenge, now, read(query), by, goal)


def table(name: str, ask: Ask) -> Table:
    """The table with this name. Raises KeyError when there is none, BadInput when `by` is no dimension or `goal` no goal."""
    return _TABLES[name](ask)


def names() -> tuple[str, ...]:
    return tuple(_TABLES)


_RATE = (Column("rate", "Rate", "rate"), Column("low", "from", "rate"), Column("high", "to", "rate"))


def _steps(ask: Ask) -> Table:
    return steps_of(way.funnel(*ask.whose, ask.filter))


def steps_of(numbers: way.Funnel) -> Table:
    """The way from the visit to joined; without visits under a filter that no visitor can have."""
    columns = (
        Column("step", "Step", "word"),
        Column("count", "Runs"),
        Column("early", "Of them early"),
        Column("other", "Of them in no rate"),
        Column("reached", "Reached it"),
        Column("of", "Of those who could"),
        *_RATE,
        Column("lost", "Lost since the step before"),
        Column("not_yet", "Not counted yet"),
        Column("median_minutes", "Half needed at most", "minutes"),
    )
    visited: tuple[Cell, ...] = () if numbers.visits is None else ("visited", numbers.visits.visitors, *(None,) * 10)
    steps = tuple((step.name, *(getattr(step, column.key) for column in columns[1:])) for step in numbers.steps)
    rows = (visited, *steps) if visited else steps
    return Table("funnel", "From visit to joined", columns, rows)


def _days(ask: Ask) -> Table:
    return days_of(way.funnel(*ask.whose, ask.filter))


def days_of(numbers: way.Funnel) -> Table:
    """Each day's mail, and what people did with it."""
    columns = (
        Column("day", "Day"),
        Column("sent", "Sent"),
        Column("opened_people", "Opened by people"),
        Column("opened_proxy", "Opened by proxies only"),
        Column("untracked", "Tracking switched off"),
        Column("seen_of", "Can be seen"),
        Column("opened_least", "Opened at least"),
        Column("opened_most", "Opened at most"),
        Column("clicked_seen", "Clicked, of those who can be seen"),
        Column("clicked", "Clicked"),
        Column("done", "Done"),
        Column("rested", "Rested"),
        Column("delivered", "Delivered as far as known"),
        Column("early", "Done early"),
        Column("reached", "Done by those who could"),
        Column("of", "Could have done it"),
        *_RATE,
        Column("not_yet", "Not counted yet"),
        Column("median_minutes", "Half needed at most", "minutes"),
    )
    rows = tuple(tuple(getattr(day, column.key) for column in columns) for day in numbers.days)
    return Table("days", "Day by day", columns, rows)


def _mails(ask: Ask) -> Table:
    return mails_of(mails.each_mail(*ask.whose, ask.filter))


def mails_of(found: tuple[mails.MailNumbers, ...]) -> Table:
    """Each mail, not the days' only; and who left after which."""
    columns = (
        Column("mail", "Mail", "word"),
        Column("sent", "Sent"),
        Column("runs", "To runs"),
        Column("delivered", "Delivered as far as known"),
        Column("bounced", "Refused or came back"),
        Column("untracked", "Tracking switched off"),
        Column("seen_of", "Can be seen"),
        Column("opened_least", "Opened at least"),
        Column("opened_most", "Opened at most"),
        Column("clicked", "Clicked"),
        Column("clicked_seen", "Clicked, of those who can be seen"),
        Column("click_reached", "Clicked, of those who have had it for a day"),
        Column("click_of", "Have had it for a day, and can be seen"),
        Column("click_rate", "Click rate", "rate"),
        Column("click_low", "from", "rate"),
        Column("click_high", "to", "rate"),
        Column("unsubscribed", "Unsubscribed after it"),
        Column("left_bounced", "Left because mail came back"),
        Column("complained", "Called it spam"),
        Column("left_other", "Left otherwise"),
        Column("left", "Left after it, in all"),
        Column("stop_reached", "Unsubscribed, of those who have had it for a day"),
        Column("stop_of", "Have had it for a day"),
        Column("stop_rate", "Unsubscribe rate", "rate"),
        Column("stop_low", "from", "rate"),
        Column("stop_high", "to", "rate"),
        Column("not_yet", "Not counted yet"),
    )
    rows = tuple(
        (
            row.mail,
            row.sent,
            row.runs,
            row.delivered,
            row.bounced,
            row.untracked,
            row.seen_of,
            row.opened_least,
            row.opened_most,
            row.clicked,
            row.clicked_seen,
            *_of(row.click),
            row.unsubscribed,
            row.left_bounced,
            row.complained,
            row.left_other,
            row.left,
            *_of(row.stop),
            row.not_yet,
        )
        for row in found
    )
    return Table("mails", "Each mail", columns, rows)


def _leaving(ask: Ask) -> Table:
    return leaving_of(mails.leaving(*ask.whose, ask.filter))


def leaving_of(found: tuple[mails.Leaving, ...]) -> Table:
    """Day by day, who left, and why; the first row may have no day."""
    columns = (
        Column("day", "Day (UTC)", "day"),
        Column("mailed", "Runs mailed"),
        Column("unsubscribed", "Unsubscribed"),
        Column("bounced", "Mail came back"),
        Column("complained", "Called it spam"),
        Column("other", "Otherwise"),
        Column("left", "Left in all"),
    )
    rows = tuple(
        (_day(row.day) if row.day else None, *(getattr(row, column.key) for column in columns[1:])) for row in found
    )
    return Table("leaving", "Who left, day by day", columns, rows)


def _groups(ask: Ask) -> Table:
    stranger = unknown(ask.session) if ask.filter.is_empty else None
    return groups_of(groups.groups(*ask.whose, ask.by, ask.filter), ask.by, stranger)


def currencies_of(found: tuple[groups.Group, ...], stranger: Unknown | None) -> list[str]:
    """All that somebody paid in."""
    more = stranger.revenue_smallest_unit if stranger else {}
    return sorted({currency for group in found for currency in group.revenue} | more.keys())


def groups_of(found: tuple[groups.Group, ...], by: str, stranger: Unknown | None = None) -> Table:
    """Runs side by side, with what they bring; a column pair per currency. The last row, if there are any, is of those who
    joined and are not known here."""
    currencies = currencies_of(found, stranger)
    columns = (
        Column(by, by.replace("_", " ").capitalize(), "word"),
        Column("signed_up", "Signed up"),
        Column("confirmed", "Confirmed"),
        Column("started", "Did day 1"),
        Column("finished", "Did all days"),
        Column("joined", "Joined"),
        Column("join_early", "Joined early"),
        Column("join_other", "Joined without having said yes"),
        Column("join_reached", "Joined of those who could"),
        Column("join_of", "Of those who said yes and could"),
        Column("join_rate", "Join rate", "rate"),
        Column("join_low", "from", "rate"),
        Column("join_high", "to", "rate"),
        *(
            Column(f"{what}_{currency}", f"{title}, {currency}", "money")
            for currency in currencies
            for what, title in (("revenue", "Revenue"), ("per_signup", "Per sign-up"))
        ),
    )
    rows = list(_group_rows(found, currencies))
    if stranger is not None and (stranger.count or stranger.revenue_smallest_unit):
        money: list[Cell] = []
        for currency in currencies:
            money += [round(main_units(stranger.revenue_smallest_unit.get(currency, 0), currency), 3), None]
        rows.append((NOBODY_KNOWN, *(None,) * 4, stranger.count, *(None,) * 7, *money))
    return Table("groups", f"By {by.replace('_', ' ')}", columns, tuple(rows))


def _group_rows(found: tuple[groups.Group, ...], currencies: list[str]) -> Iterator[tuple[Cell, ...]]:
    for group in found:
        money: list[Cell] = []
        for currency in currencies:
            money += [
                round(main_units(group.revenue.get(currency, 0), currency), 3),
                round(main_units(group.revenue_per_signup.get(currency, 0.0), currency), 5),
            ]
        yield (
            group.word,
            group.signed_up,
            group.confirmed,
            group.started,
            group.finished,
            group.joined,
            group.join_early,
            group.join_other,
            group.join.count,
            group.join.of,
            group.join.rate,
            group.join.low,
            group.join.high,
            *money,
        )


def _cohorts(ask: Ask) -> Table:
    return cohorts_of(groups.cohorts(*ask.whose, ask.filter), ask.challenge.length)


def cohorts_of(found: tuple[groups.Cohort, ...], length: int) -> Table:
    """Week by week: of those who had the chance, how many did each day."""
    columns = [
        Column("week", "Week from", "day"),
        Column("signed_up", "Signed up"),
        Column("confirmed", "Confirmed"),
        Column("finished", "Did all days"),
        Column("joined", "Joined"),
    ]
    for day in range(1, length + 1):
        columns += [
            Column(f"day_{day}_done", f"Did day {day}"),
            Column(f"day_{day}_early", "early"),
            Column(f"day_{day}_reached", "in the rate"),
            Column(f"day_{day}_of", "of"),
            Column(f"day_{day}_rate", "Rate", "rate"),
            Column(f"day_{day}_low", "from", "rate"),
            Column(f"day_{day}_high", "to", "rate"),
            Column(f"day_{day}_not_yet", "not yet"),
        ]
    rows = []
    for cohort in found:
        cells: list[Cell] = [
            _day(cohort.week),
            cohort.signed_up,
            cohort.confirmed,
            cohort.finished,
            cohort.joined,
        ]
        for rate, early, not_yet in zip(cohort.days, cohort.early, cohort.not_yet, strict=True):
            cells += [rate.count + early, early, rate.count, rate.of, rate.rate, rate.low, rate.high, not_yet]
        rows.append(tuple(cells))
    return Table("cohorts", "Week by week", tuple(columns), tuple(rows))


def _survival(ask: Ask) -> Table:
    return survival_of(groups.survival(*ask.whose, ask.filter))


def survival_of(found: tuple[groups.StillIn, ...]) -> Table:
    """Who is still in, day by day."""
    columns = (
        Column("day", "Day"),
        Column("share", "Still in", "rate"),
        Column("low", "from", "rate"),
        Column("high", "to", "rate"),
        Column("at_risk", "Were in before"),
        Column("left", "Left"),
        Column("censored", "Can still return"),
    )
    rows = tuple((row.day, row.share, row.low, row.high, row.at_risk, row.left, row.censored) for row in found)
    return Table("survival", "Who is still in", columns, rows)


def _experiments(ask: Ask) -> Table:
    return experiments_of(experiments.experiments(*ask.whose, ask.goal, ask.filter))


def experiments_of(found: tuple[experiments.Experiment, ...]) -> Table:
    """Variants side by side, each against the first of its test."""
    columns = (
        Column("test", "Test", "word"),
        Column("goal", "Goal", "word"),
        Column("variant", "Variant", "word"),
        Column("people", "Runs"),
        Column("count", "Reached it"),
        Column("of", "Of those who could"),
        *_RATE,
        Column("difference", "Difference", "rate"),
        Column("difference_low", "from, looked at once", "rate"),
        Column("difference_high", "to, looked at once", "rate"),
        Column("always_low", "from, looked at daily", "rate"),
        Column("always_high", "to, looked at daily", "rate"),
        Column("verdict", "Verdict, right on every day", "word"),
        Column("probability_better", "Probability that it is better", "rate"),
        Column("needed", "Needed in each arm"),
        Column("more", "More in each arm"),
    )
    rows = tuple(
        (test.kind, test.goal, arm.word, arm.signed_up, *_of(arm.rate), *_against(arm.against_first))
        for test in found
        for arm in test.arms
    )
    return Table("experiments", "Variants against each other", columns, rows)


def _of(rate: way.Rate) -> tuple[Cell, ...]:
    return rate.count, rate.of, rate.rate, rate.low, rate.high


def _against(found: Comparison | None) -> tuple[Cell, ...]:
    """Empty for the first, and while one of the two has nobody."""
    if found is None or not found.is_told:
        return (None,) * 9
    once, always = (found.low, found.high), (found.always_low, found.always_high)
    return found.difference, *once, *always, found.verdict, found.p_b_better, found.needed, found.more


def _day(day: date) -> str:
    return day.isoformat()


_TABLES: dict[str, Callable[[Ask], Table]] = {
    "funnel": _steps,
    "days": _days,
    "mails": _mails,
    "leaving": _leaving,
    "groups": _groups,
    "cohorts": _cohorts,
    "survival": _survival,
    "experiments": _experiments,
}
__all__ = ["DIMENSIONS", "Ask", "Column", "Table", "ask_from", "names", "table"]
