"""Is this installation fit to send?"""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from challenge.cli.door import as_json, challenge_of, cli, print_json
from challenge.settings import read_settings

_MARKS = {"ok": "ok     ", "not checked": "  ?    ", "warning": "WARNING", "problem": "PROBLEM"}


@cli.command()
@click.option("--ip", "own", multiple=True, help="An address that mails leave from, when it is your own. Repeatable.")
@click.option(
    "--seconds", type=click.FloatRange(min=0.1), default=8.0, show_default=True, help="Patience with the relay."
)
@as_json
def doctor(own: tuple[str, ...], seconds: float, as_json: bool) -> None:
    """Tells whether this installation is fit to send.

    Looks at DNS, relay, mails, database, Redis, clock and disk, and at what Gmail, Yahoo and Microsoft ask.

    Nothing is sent and nothing is changed. Exit code 1 when there is a problem.
    """
    from challenge.db import Database
    from challenge.doctor.examine import examine
    from challenge.doctor.resolving import Dns

    settings = read_settings()
    database = Database(settings.database)
    found = examine(settings, challenge_of(settings), database, Dns(), own=_addresses(own), seconds=seconds)
    database.close()
    if as_json:
        print_json(
            {
                "healthy": found.is_healthy,
                "findings": [asdict(one) for one in found.findings],
                "requirements": [
                    {"who": one.requirement.who, "asks": one.requirement.asks, "state": one.state}
                    for one in found.requirements
                ],
            }
        )
    else:
        for one in found.findings:
            click.echo(f"{_MARKS[one.state]}  {one.check}: {one.words}")
            if one.to_do:
                click.echo(f"         -> {one.to_do}")
        click.echo("\nWhat the mailbox providers ask:")
        for answer in found.requirements:
            click.echo(f"{_MARKS[answer.state]}  {answer.requirement.asks} ({answer.requirement.who})")
    sys.exit(0 if found.is_healthy else 1)


def _addresses(texts: tuple[str, ...]) -> list[str]:
    """As the DNS writes them. Raises UsageError."""
    import ipaddress

    from challenge.errors import UsageError

    try:
        return [str(ipaddress.ip_address(text)) for text in texts]
    except ValueError as error:
        raise UsageError(f"--ip: {error}. Write it as 192.0.2.1 or 2001:db8::1.") from error
