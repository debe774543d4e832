"""How much can this machine and this relay take? Asked before a big morning."""

from __future__ import annotations

import sys
from ipaddress import ip_address

import click

from challenge.cli.door import as_json, challenge_of, cli, print_json
from challenge.errors import UsageError
from challenge.settings import read_settings

_MAILS = 3_000


@cli.command()
@click.option("--relay", default="", help="A relay to send to, e.g. smtp://user:pass@host:587; default: a sink here.")
@click.option("--mails", type=click.IntRange(1, 1_000_000), help=f"How many mails to send; default: {_MAILS:,}.")
@click.option(
    "--to", default="", help="Send all of them to this address: a mailbox of yours, or your relay's simulator."
)
@click.option("--people", type=click.IntRange(1), default=10_000, show_default=True, help="Whose morning to reckon.")
@click.option("--database", default="", help="An empty PostgreSQL database to measure; default: a temporary SQLite.")
@as_json
def bench(relay: str, mails: int | None, to: str, people: int, database: str, as_json: bool) -> None:
    """Measures what this machine and a relay can take.

    Composing, commits, sending; how long a morning lasts.

    It never touches the installation's own database, and sends to no relay that is not named here. Mails to a relay
    on another machine are real mails: --mails and --to must say how many, and to whom. Exit code 1 when not every
    mail was taken.
    """
    from challenge.capacity import capacity

    settings = read_settings()
    if relay and not _is_here(relay) and not (mails and to):
        raise UsageError("--relay on another machine gets real mails: say --mails N and --to ADDRESS as well.")
    found = capacity(
        settings,
        challenge_of(settings),
        mails=mails or _MAILS,
        people=people,
        relay=relay,
        to=to,
        database_url=database,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        _tell(found)
        if settings.database_url.startswith("postgres") and not database:
            click.echo("Your database is PostgreSQL: name an empty one with --database to measure that.")
    sys.exit(0 if found.is_complete else 1)


def _is_here(relay: str) -> bool:
    from challenge.delivery.relay import SmtpUrl

    host = SmtpUrl.parse(relay).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _tell(found: object) -> None:
    from challenge.capacity import Capacity

    assert isinstance(found, Capacity)
    signed = f"signed with {' and '.join(found.dkim)}" if found.dkim else "not signed"
    states = ", ".join(f"{count:,} {state}" for state, count in sorted(found.states.items()))
    click.echo(f"{'composing':<12} {found.composed_per_second:>10,.0f} mails/s   {found.mail_bytes:,} bytes, {signed}")
    click.echo(f"{'the ledger':<12} {found.commits_per_second:>10,.0f} commits/s {found.database}, one row each")
    click.echo(
        f"{'sending':<12} {found.sent_per_second:>10,.0f} mails/s   {found.cpu_per_1000:.2f} CPU s per 1,000; "
        f"one worker process, to {found.relay}: {states}"
    )
    if found.morning_seconds is not None:
        click.echo(
            f"{'a morning':<12} {found.morning_seconds:>10,.0f} s         for {found.people:,} people at that rate"
        )
    if found.stopped:
        click.echo(f"It stopped early: {found.stopped}")
