"""Mail coming back: what a file says, and one message taken from a mail server's pipe."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from challenge.cli.door import cli


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
