"""The list of addresses that must not be mailed: look at it, add, take away with a reason, export, import."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from challenge import suppressions as steps
from challenge.access.log import COMMAND_LINE
from challenge.cli.door import as_json, cli, opened, print_json
from challenge.clock import Clock
from challenge.errors import UsageError


@cli.group()
def suppressions() -> None:
    """Addresses that must not be mailed, kept as hashes. Dead ones, complaints, and those added by hand."""


@suppressions.command("list")
@as_json
def list_(as_json: bool) -> None:
    """Prints hash, reason, evidence and date of each."""
    _, _, database = opened()
    with database.read() as session:
        rows = steps.told(steps.entries(session))
    if as_json:
        print_json(rows)
        return
    for row in rows:
        click.echo(f"{row['created_at'][:10]}  {row['address_hash'][:12]}  {row['reason']}  {row['evidence']}".rstrip())
    click.echo(f"{len(rows)} addresses.")


@suppressions.command()
@click.argument("address")
@click.option("--reason", default="added by hand", show_default=True)
def add(address: str, reason: str) -> None:
    """Never mail ADDRESS again; what is on its way is taken back."""
    _, _, database = opened()
    with database.write() as session:
        was_new = steps.add(session, address, reason, COMMAND_LINE, Clock(database).now())
    click.echo("Added." if was_new else "It was on the list already.")


@suppressions.command()
@click.argument("address")
@click.option("--reason", required=True, help="Why it may be mailed again; kept in the log.")
def remove(address: str, reason: str) -> None:
    """Lets ADDRESS (or a full hash from the list) be mailed again. Its owner signs up anew; nobody is enrolled by this."""
    _, _, database = opened()
    with database.write() as session:
        if not steps.remove(session, address, reason, COMMAND_LINE):
            raise UsageError("This address is not on the list.")
    click.echo("Removed, and written in the log.")


@suppressions.command()
def export() -> None:
    """Prints the list as CSV: hashes, not addresses."""
    _, _, database = opened()
    with database.write() as session:
        steps.export(session, sys.stdout)


@suppressions.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json
def import_(file: Path, as_json: bool) -> None:
    """Adds the addresses of a CSV file. Columns email, reason; or an export of this installation."""
    _, _, database = opened()
    taken = steps.import_list(database, file, COMMAND_LINE, Clock(database).now())
    if as_json:
        print_json(vars(taken))
    else:
        click.echo(f"{taken.added} added, {taken.known} known already, {len(taken.problems)} not taken.")
        for line, words in taken.problems:
            click.echo(f"  line {line}: {words}")
    sys.exit(1 if taken.problems else 0)
