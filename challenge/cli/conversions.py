"""Conversions: who joined the paid programme, from a file or by a link that its person opens once."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from challenge.cli.door import as_json, cli, opened, print_json
from challenge.clock import Clock
from challenge.errors import UsageError
from challenge.tokens import Tokens


@cli.group()
def conversions() -> None:
    """Who joined the paid programme."""


@conversions.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@as_json
def import_(file: Path, as_json: bool) -> None:
    """Reads a CSV file: key, email or ref, amount, currency, joined_at; or refunds, the key of one to take back.

    Read twice it counts once. A row with refunds takes all of it back, or a part: a negative amount, such as -10.00. A bad row is told with its line; the others are taken. Exit code 1 when one was not.
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


@conversions.command("refund")
@click.argument("key")
@click.option("--refund-key", default="", help="A key of the refund's own: told twice it counts once.")
@click.option("--amount", default="", help="How much goes back, such as 10.00; all that is left unless said.")
@click.option("--currency", default="", help="Of the amount: a code of ISO 4217, such as USD.")
@click.option("--why", default="", help="The reason, for the person's story. No address.")
@as_json
def refund_(key: str, refund_key: str, amount: str, currency: str, why: str, as_json: bool) -> None:
    """Takes back the conversion with this KEY: its amount, and when nothing is left, that its person joined."""
    from challenge.conversions import read_refund, refund
    from challenge.events import without_addresses

    _, _, database = opened()
    told = read_refund(
        {
            "key": refund_key or f"command:{key}"[:120],
            "refunds": key,
            "amount": f"-{amount.lstrip('-')}" if amount else "",
            "currency": currency,
        },
        why=without_addresses(why)[:200],
    )
    with database.write() as session:
        outcome = refund(session, told, Clock(database).now())
    words = {
        "recorded": "Taken back.",
        "repeated": "It was taken back already.",
        "unmatched": "Taken back; nobody known.",
    }
    print_json({"status": outcome}) if as_json else click.echo(words[outcome])


@conversions.command("link")
@click.argument("address")
@click.option("--amount", default="", help="What it cost, such as 49.00; kept when the link is used.")
@click.option("--currency", default="", help="Of the amount: a code of ISO 4217, such as USD.")
@click.option("--days", default="", help="How long it is good: 30 days unless said; 0 = for ever.")
@as_json
def link(address: str, amount: str, currency: str, days: str, as_json: bool) -> None:
    """Makes a link by which the person with this ADDRESS says once that they joined.

    Opening it records nothing; its button does. For the page after a payment, or for a mail written by hand.
    """
    from challenge.access.log import COMMAND_LINE
    from challenge.conversion_links import make, read_days
    from challenge.conversions import find_person, read
    from challenge.rendering.links import Links

    settings, challenge, database = opened()
    tokens = Tokens(settings.keys)
    fields = {"key": "new", "email": address, "amount": amount, "currency": currency}
    told, lasts = read(fields, Clock(database).now()), read_days(days)
    with database.write() as session:
        number = find_person(session, told, challenge.slug, tokens)
        if number is None:
            raise UsageError("Nobody with this address is in the challenge.")
        row = make(session, number, (told.amount, told.currency), COMMAND_LINE, days=lasts)
        url = Links(settings.public_url, tokens, challenge).joined_url(row.id or 0)
        ends_at = row.ends_at
    if as_json:
        print_json({"url": url, "ends_at": ends_at})
    else:
        click.echo(url)
