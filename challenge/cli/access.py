"""Who may look: users of the dashboard, tokens for programs."""

from __future__ import annotations

import secrets
import sys

import click
from sqlmodel import select

from challenge.cli.door import cli, opened
from challenge.clock import real_now
from challenge.errors import UsageError


@cli.group()
def user() -> None:
    """People who may open the dashboard."""


@user.command("add")
@click.argument("name")
@click.option("--replace", is_flag=True, help="Change the password of a user who exists; ends their sessions.")
def user_add(name: str, replace: bool) -> None:
    """Adds a user; the password is read from standard input (typed or piped)."""
    from challenge.web.dashboard import add_user

    _, _, database = opened()
    asked = click.prompt("Password", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    add_user(database, name, asked, replace=replace)
    click.echo(f"{name} can log in at /dashboard.")


@cli.group()
def token() -> None:
    """Tokens for programs that read the numbers."""


@token.command("add")
@click.argument("name")
def token_add(name: str) -> None:
    """Makes a bearer token for /api/v1 and shows it once."""
    from challenge.models import ApiToken
    from challenge.web.api import token_hash

    _, _, database = opened()
    value = secrets.token_urlsafe(32)
    with database.write() as session:
        if session.exec(select(ApiToken.id).where(ApiToken.name == name)).first() is not None:
            raise UsageError(f"There is a token {name} already.")
        session.add(ApiToken(name=name, token_hash=token_hash(value), created_at=real_now()))
    click.echo(value)
