"""Who may look: users of the dashboard, tokens for programs."""

from __future__ import annotations

import sys

import click

from challenge.access.roles import Role
from challenge.access.tokens import Scope
from challenge.cli.door import as_json, cli, opened, print_json


@cli.group()
def user() -> None:
    """People who may open the dashboard."""


@user.command("add")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(list(Role)),
    default=None,
    help="viewer: numbers, no address; marketer: also people; owner: everything (the default for a new user).",
)
@click.option("--replace", is_flag=True, help="Change password or role of a user who exists; ends their sessions.")
def user_add(name: str, role: str | None, replace: bool) -> None:
    """Adds a user. The password is read from standard input (typed or piped)."""
    from challenge.access.users import add_user

    _, _, database = opened()
    asked = click.prompt("Password", hide_input=True) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    add_user(database, name, asked, role=role or "", replace=replace)
    click.echo(f"{name} can log in at /dashboard.")


@user.command("list")
@as_json
def user_list(as_json: bool) -> None:
    """Shows who may log in, and as what."""
    from challenge.access.users import everybody

    _, _, database = opened()
    with database.read() as session:
        users = everybody(session)
    if as_json:
        print_json([{"name": row.name, "role": row.role, "created_at": row.created_at} for row in users])
        return
    for row in users:
        click.echo(f"{row.name:<24} {row.role:<9} since {row.created_at:%Y-%m-%d}")
    if not users:
        click.echo("Nobody yet. `challenge user add NAME` makes a login.")


@user.command("remove")
@click.argument("name")
def user_remove(name: str) -> None:
    """Removes a user; their sessions end at once."""
    from challenge.access.users import remove_user

    _, _, database = opened()
    with database.write() as session:
        remove_user(session, name)
    click.echo(f"{name} can no longer log in.")


@cli.group()
def token() -> None:
    """Tokens for programs that read numbers or tell who joined."""


@token.command("add")
@click.argument("name")
@click.option("--scope", type=click.Choice(list(Scope)), default=Scope.read, show_default=True)
def token_add(name: str, scope: str) -> None:
    """Makes a bearer token for /api/v1 and shows it once."""
    from challenge.access.tokens import add_token

    _, _, database = opened()
    with database.write() as session:
        value = add_token(session, name, scope)
    click.echo(value)


@token.command("list")
@as_json
def token_list(as_json: bool) -> None:
    """Shows which tokens there are, never what they are."""
    from challenge.access.tokens import every_token

    _, _, database = opened()
    with database.read() as session:
        rows = every_token(session)
    if as_json:
        print_json([row.model_dump(exclude={"id", "token_hash"}) for row in rows])
        return
    for row in rows:
        used = f"last used {row.used_at:%Y-%m-%d}" if row.used_at else "never used"
        click.echo(f"{row.name:<24} {row.scope:<12} made {row.created_at:%Y-%m-%d}, {used}")
    if not rows:
        click.echo("None yet. `challenge token add NAME` makes one.")


@token.command("remove")
@click.argument("name")
def token_remove(name: str) -> None:
    """Ends a token: it is refused from now on."""
    from challenge.access.tokens import remove_token

    _, _, database = opened()
    with database.write() as session:
        remove_token(session, name)
    click.echo(f"{name} is refused from now on.")
