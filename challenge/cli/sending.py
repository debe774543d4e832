"""Mail leaving: keys that sign it, stopping it, letting it go on."""

from __future__ import annotations

from pathlib import Path

import click

from challenge.cli.door import cli, opened
from challenge.clock import real_now
from challenge.settings import read_settings


@cli.group()
def dkim() -> None:
    """Keys that sign the mails."""


@dkim.command("new")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--selector", default=None, help="Default: the month, such as 202611; with r and e before it.")
def dkim_new(folder: Path, selector: str | None) -> None:
    """Makes keys in FOLDER: RSA-2048 and Ed25519. Prints the DNS records and the settings.

    To change keys without a gap: publish the new records, wait a day, switch the settings, and take the old records
    away a week later.
    """
    from challenge.rendering.dkim import make_keys

    settings = read_settings()
    domain = settings.dkim_domain or settings.sender_domain
    made = make_keys(folder, selector or f"{real_now():%Y%m}")
    for key in made:
        click.echo(f"{key.selector}._domainkey.{domain}. TXT {key.record}")
    click.echo(f"\nCHALLENGE_DKIM_SELECTOR={','.join(key.selector for key in made)}")
    click.echo(f"CHALLENGE_DKIM_KEY_FILE={','.join(str(key.file) for key in made)}")


@cli.command("stop-sending")
@click.option("--reason", default="stopped by hand", show_default=True)
def stop_sending(reason: str) -> None:
    """No mail leaves until `resume-sending`. What is due stays due; missed mornings move on by a day."""
    from challenge.dispatch import stop_sending as stop

    _, _, database = opened()
    with database.write() as session:
        stop(session, reason)
    click.echo("Sending is stopped. `challenge resume-sending` starts it again.")


@cli.command("resume-sending")
def resume_sending() -> None:
    """Lets mails leave again, to paused domains too."""
    from challenge.dispatch import resume_sending as resume

    _, _, database = opened()
    with database.write() as session:
        was = resume(session)
    click.echo("Sending goes on." if was else "Sending was not stopped.")
