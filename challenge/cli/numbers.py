"""Numbers: how far people get, and whether every mail is accounted for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from sqlmodel import Session

from challenge.cli.door import as_json, cli, opened, print_json
from challenge.clock import Clock
from challenge.money import written
from challenge.stats.filter import DIMENSIONS, NOBODY_KNOWN

if TYPE_CHECKING:
    from challenge.audit import Audit
    from challenge.stats.funnel import Funnel, Rate
    from challenge.stats.groups import Cohort, Group
    from challenge.stats.mails import Numbers
    from challenge.stats.unknown import Unknown


def _filters(command: Any) -> Any:
    for name in (*reversed(DIMENSIONS), "to", "from"):
        words = f"Only sign-ups {name} this day (UTC)." if name in ("from", "to") else f"Only people with this {name}."
        command = click.option(f"--{name.replace('_', '-')}", name, default="", help=words)(command)
    return command


@cli.command()
@_filters
@click.option("--by", default="", help="Side by side: source, position, country, variant, … or week.")
@click.option(
    "--recount", is_flag=True, help="Hold what is kept for fast counting against the rows; exit code 1 if it differs."
)
@as_json
def stats(as_json: bool, by: str, recount: bool, **words: str) -> None:
    """How far people get: the numbers of the dashboard."""
    from challenge.stats.filter import read
    from challenge.stats.groups import cohorts, groups
    from challenge.stats.mails import all_numbers
    from challenge.stats.unknown import unknown

    _, challenge, database = opened()
    now, filter = Clock(database).now(), read(words)
    asked = (challenge.slug, challenge.length, now)
    with database.read() as session:
        if recount:
            _recount(session, *asked, as_json=as_json)
        elif by == "week":
            _print_weeks(cohorts(session, *asked, filter), as_json=as_json)
        elif by:
            stranger = unknown(session) if filter.is_empty else None
            _print_groups(groups(session, *asked, by, filter), stranger, as_json=as_json)
        else:
            numbers = all_numbers(session, *asked, filter)
            print_funnel(numbers, as_json=as_json)
            if not as_json:
                _print_mails(numbers)


def _recount(session: Session, challenge: str, length: int, now: datetime, *, as_json: bool) -> None:
    from challenge.stats.keep import recount

    different = recount(session, challenge, length, now)
    if as_json:
        print_json({"differences": len(different), "blocks": different})
    else:
        click.echo(f"{len(different)} differences.")
    sys.exit(1 if different else 0)


def print_funnel(numbers: Funnel, *, as_json: bool = False) -> None:
    if as_json:
        print_json(numbers.to_dict())
        return
    click.echo(
        f"{numbers.signed_up} signed up, {numbers.confirmed} confirmed, {numbers.finished} did all days, {numbers.joined} joined"
    )
    if numbers.by_api or numbers.by_import:
        click.echo(f"{numbers.by_api} of them came by API and {numbers.by_import} by import: not of the visitors.")
    if numbers.unknown is not None:
        _print_unknown(numbers.unknown)
    click.echo(
        f"{'day':>4} {'sent':>7} {'opened':>15} {'clicked':>8} {'done':>7} {'rested':>7} {'early':>7} {'not yet':>8}  done, of those who have had the mail for a day"
    )
    for day in numbers.days:
        rate = (
            "" if day.rate is None else f"{day.reached} of {day.of}: {day.rate:.1%} ({day.low:.1%} to {day.high:.1%})"
        )
        click.echo(
            f"{day.day:>4} {day.sent:>7} {f'{day.opened_least} to {day.opened_most}':>15} {day.clicked:>8} {day.done:>7} {day.rested:>7} {day.early:>7} {day.not_yet:>8}  {rate}"
        )


def _print_mails(numbers: Numbers) -> None:
    """Each mail; `challenge stats --json` also tells who left day by day."""
    click.echo(
        f"{'mail':>10} {'sent':>7} {'opened':>15} {'clicked':>8} {'left':>6}  unsubscribed, of those who have had it for a day"
    )
    for row in numbers.mails:
        opened = f"{row.opened_least} to {row.opened_most}" if row.seen_of else "not seen"
        click.echo(f"{row.mail:>10} {row.sent:>7} {opened:>15} {row.clicked:>8} {row.left:>6}  {_rate(row.stop)}")


def _print_unknown(stranger: Unknown) -> None:
    if stranger.count or stranger.revenue_smallest_unit:
        told = _money(stranger.revenue_smallest_unit)
        click.echo(f"{stranger.count} more joined of whom nobody here is known{f', who paid {told}' if told else ''}.")


def _print_groups(found: Sequence[Group], stranger: Unknown | None, *, as_json: bool) -> None:
    """Money in the currency's main unit, such as 49.00 USD."""
    is_known = stranger is not None and bool(stranger.count or stranger.revenue_smallest_unit)
    if as_json:
        print_json([group.to_dict() for group in found] + ([_nobody(stranger)] if stranger and is_known else []))
        return
    click.echo(
        f"{'':<24} {'signed up':>10} {'confirmed':>10} {'finished':>9} {'joined':>7}  "
        f"{'joined, of those who said yes':<42}  revenue"
    )
    sums: dict[str, int] = {}
    for group in found:
        for currency, amount in group.revenue.items():
            sums[currency] = sums.get(currency, 0) + amount
        click.echo(
            f"{group.word:<24} {group.signed_up:>10} {group.confirmed:>10} {group.finished:>9} {group.joined:>7}  "
            f"{_rate(group.join):<42}  {_money(group.revenue)}"
        )
    if stranger is not None and is_known:
        for currency, amount in stranger.revenue_smallest_unit.items():
            sums[currency] = sums.get(currency, 0) + amount
        paid = _money(stranger.revenue_smallest_unit)
        click.echo(f"{NOBODY_KNOWN:<24} {'–':>10} {'–':>10} {'–':>9} {stranger.count:>7}  {'–':<42}  {paid}")
    click.echo(f"revenue in all: {_money(dict(sorted(sums.items()))) or 'none'}")


def _nobody(stranger: Unknown) -> dict[str, Any]:
    return {"word": NOBODY_KNOWN, "joined": stranger.count, "revenue_smallest_unit": stranger.revenue_smallest_unit}


def _rate(rate: Rate) -> str:
    return (
        "–" if rate.rate is None else f"{rate.rate:.1%} ({rate.low:.1%} to {rate.high:.1%}), {rate.count} of {rate.of}"
    )


def _money(sums: dict[str, int]) -> str:
    return ", ".join(filter(None, (written(amount, currency) for currency, amount in sums.items())))


def _print_weeks(found: Sequence[Cohort], *, as_json: bool) -> None:
    if as_json:
        print_json([cohort.to_dict() for cohort in found])
        return
    for cohort in found:
        click.echo(f"{cohort.week} {cohort.signed_up:>7} signed up {cohort.confirmed:>7} confirmed")
        for day, rate in enumerate(cohort.days, start=1):
            click.echo(f"  did day {day}: {_rate(rate)}")


@cli.command()
@as_json
def reclassify(as_json: bool) -> None:
    """Judges every open, click and press again by today's rules."""
    from challenge.tracking.classify import RULES
    from challenge.tracking.record import reclassify as run

    _, _, database = opened()
    changed = run(database)
    if as_json:
        print_json({"rules": RULES, "changed": changed})
    else:
        click.echo(f"{changed} verdicts changed under rules {RULES}.")


@cli.command()
@as_json
def audit(as_json: bool) -> None:
    """Accounts for every mail owed. Exit code 1 when one is unaccounted for."""
    from challenge.audit import audit as run

    settings, challenge, database = opened()
    with database.read() as session:
        found = run(session, challenge, settings, Clock(database).now())
    if as_json:
        print_json(found.to_dict())
    else:
        print_audit(found)
    sys.exit(0 if found.balanced else 1)


def print_audit(found: Audit) -> None:
    click.echo(f"{found.owed} mails owed by now.")
    for mail, states in found.mails.items():
        click.echo(f"  {mail:<20} " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
    for number, key in found.uncertain:
        click.echo(f"  uncertain: enrollment {number}, {key}")
    for problem in found.problems:
        click.echo(f"  PROBLEM enrollment {problem.enrollment} {problem.key}: {problem.problem}")
    click.echo("All is accounted for." if found.balanced else f"{len(found.problems)} problems.")
