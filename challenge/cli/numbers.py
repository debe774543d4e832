"""Numbers: how far people get, and whether every mail is accounted for."""

from __future__ import annotations

import sys

import click

from challenge.cli.door import as_json, cli, opened, print_json
from challenge.clock import Clock


@cli.command()
@as_json
def stats(as_json: bool) -> None:
    """How far people get: the numbers of the dashboard."""
    from challenge.stats.funnel import funnel

    _, challenge, database = opened()
    with database.read() as session:
        numbers = funnel(session, challenge.slug, challenge.length, Clock(database).now())
    if as_json:
        print_json(numbers.to_dict())
        return
    click.echo(
        f"{numbers.signed_up} signed up, {numbers.confirmed} confirmed, {numbers.finished} did all days, {numbers.joined} joined"
    )
    click.echo(f"{'day':>4} {'sent':>7} {'opened':>7} {'proxy':>7} {'clicked':>8} {'done':>7} {'rested':>7}")
    for day in numbers.days:
        click.echo(
            f"{day.day:>4} {day.sent:>7} {day.opened_people:>7} {day.opened_proxy:>7} {day.clicked:>8} {day.done:>7} {day.rested:>7}"
        )


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
        click.echo(f"{found.owed} mails owed by now.")
        for mail, states in found.mails.items():
            click.echo(f"  {mail:<20} " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
        for number, key in found.uncertain:
            click.echo(f"  uncertain: enrollment {number}, {key}")
        for problem in found.problems:
            click.echo(f"  PROBLEM enrollment {problem.enrollment} {problem.key}: {problem.problem}")
        click.echo("All is accounted for." if found.balanced else f"{len(found.problems)} problems.")
    sys.exit(0 if found.balanced else 1)
