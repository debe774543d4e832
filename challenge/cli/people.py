"""People: enrolling them from a file, what is kept of them, erasing them."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from sqlmodel import select

from challenge.cli.door import as_json, cli, opened, print_json
from challenge.clock import Clock
from challenge.errors import UsageError


@cli.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--confirmed", is_flag=True, help="They agreed elsewhere: do not ask again (needs consent_at, consent_source)."
)
@as_json
def import_(file: Path, confirmed: bool, as_json: bool) -> None:
    """Enrolls people from a CSV file.

    Columns: email, first_name, timezone, hour, position, source, consent_at, consent_source. A bad row is told with
    its line; the others are taken. Nobody is enrolled twice, and nobody who stopped is started again.
    """
    from challenge.importing import import_people

    _, challenge, database = opened()
    result = import_people(database, challenge, file, Clock(database).now(), confirmed=confirmed)
    if as_json:
        print_json(vars(result))
    else:
        click.echo(f"{result.enrolled} taken, {result.known} known already, {len(result.problems)} not taken.")
        for line, words in result.problems:
            click.echo(f"  line {line}: {words}")
    sys.exit(1 if result.problems else 0)


@cli.command()
@click.argument("address")
def forget(address: str) -> None:
    """Erases everything about a person. A suppressed address stays known as a hash."""
    from challenge.models import Subscriber
    from challenge.participation import erase
    from challenge.signup import address as normalised

    _, _, database = opened()
    _, key = normalised(address)
    with database.write() as session:
        found = session.exec(select(Subscriber.id).where(Subscriber.email_key == key)).first()
        if found is None:
            raise UsageError("Nobody with this address is here.")
        erase(session, found)
    click.echo("Erased.")


@cli.command()
@click.argument("address")
def export(address: str) -> None:
    """Prints all that is kept about a person, as JSON."""
    from challenge.models import Subscriber
    from challenge.participation import my_data
    from challenge.signup import address as normalised

    _, _, database = opened()
    _, key = normalised(address)
    with database.read() as session:
        found = session.exec(select(Subscriber.id).where(Subscriber.email_key == key)).first()
        if found is None:
            raise UsageError("Nobody with this address is here.")
        print_json(my_data(session, found))
