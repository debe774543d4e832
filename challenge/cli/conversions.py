"""Conversions: who joined the paid programme, from a file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from challenge.cli.door import as_json, cli, opened, print_json
from challenge.clock import Clock
from challenge.tokens import Tokens


@cli.group()
def conversions() -> None:
    """Who joined the paid programme."""


@conversions.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json
def import_(file: Path, as_json: bool) -> None:
    """Reads a CSV file: key, email or ref, amount, currency, joined_at.

    Read twice it counts once. A bad row is told with its line; the others are taken. Exit code 1 when one was not.
    """
    from challenge.conversions import import_file

    settings, challenge, database = opened()
    result = import_file(database, file, challenge.slug, Tokens(settings.keys), Clock(database).now())
    if as_json:
        print_json(vars(result))
    else:
        click.echo(
            f"{result.recorded} recorded, {result.repeated} known already, {result.unmatched} of nobody known here, "
            f"{len(result.problems)} not taken."
        )
        for line, words in result.problems:
            click.echo(f"  line {line}: {words}")
    sys.exit(1 if result.problems else 0)
