"""Mail coming back: what a file says, and one message taken from a mail server's pipe."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

import click

from challenge.cli.door import cli, opened
from challenge.inbound.receive import Outcome


@cli.group()
def inbound() -> None:
    """Bounces, complaints and replies."""


@inbound.command("parse")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per file.")
def parse_(files: tuple[Path, ...], as_json: bool) -> None:
    """Says what each FILE (one mail) reports about whom. Changes nothing.

    Kinds: bounce, complaint, delayed, auto_reply, other. A mail that is none of these has no reports.
    """
    from challenge.inbound.parse import parse

    for file in files:
        reports = [asdict(report) for report in parse(file.read_bytes())]
        if as_json:
            click.echo(json.dumps({"file": str(file), "reports": reports}, ensure_ascii=True))
            continue
        click.echo(f"{file}: {'no report' if not reports else ''}".rstrip())
        for one in reports:
            click.echo(
                f"  {one['recipient'] or '(nobody named)'}: {one['kind']}, {one['reason']}, {one['hardness']}"
                f"{', ' + one['status'] if one['status'] else ''}\n    {one['evidence']}"
            )


@inbound.command()
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    help="The envelope's recipient, where the mail server tells it. Repeatable.",
)
def receive(recipients: tuple[str, ...]) -> None:
    """Takes one mail from standard input. For the pipe of any mail server, or a mailbox fetcher.

    Only a report with a mark of ours changes anything; a forged one is written down. A mail to the List-Unsubscribe address
    unsubscribes, one to done+… marks the day done, never from a machine. Exit codes are those of sysexits.h: 0 taken; 67 a
    person wrote here, and is told where to write; 75 not now, the mail server keeps the mail and tries again.
    """
    from challenge.inbound.receive import Exit

    try:
        outcome = _received(sys.stdin.buffer.read(_LARGEST), recipients)
    except Exception as error:
        logging.getLogger(__name__).exception("A mail was not taken.", extra={"action": "receive"})
        click.echo(f"Not now: {error}", err=True)
        sys.exit(Exit.later)
    click.echo(outcome.said, err=outcome.exit is not Exit.taken)
    sys.exit(outcome.exit)


_LARGEST = 50_000_000


def _received(data: bytes, recipients: tuple[str, ...]) -> Outcome:
    from challenge.clock import Clock
    from challenge.inbound.receive import receive
    from challenge.tokens import Tokens

    settings, _, database = opened()
    reply_to = settings.mail_reply_to or settings.sender
    return receive(database, Tokens(settings.keys), data, recipients, Clock(database).now(), reply_to)
