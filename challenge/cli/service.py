"""Starting it: `up`, `demo`, `web`, `worker`, `migrate`, and the settings it starts with."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

from challenge.cli.door import as_json, cli, print_json
from challenge.clock import set_up
from challenge.db import Database
from challenge.settings import masked, read_settings

_FLAGS = {
    "data_dir": (Path, "where everything is kept"),
    "host": (str, "web address"),
    "port": (int, "web port"),
    "workers": (int, "worker processes"),
    "inbox_smtp_port": (int, "port of the built-in inbox's SMTP server"),
}


def flags(*names: str) -> Callable[..., Any]:
    """Flags that are laid over the environment; each command takes those that change something there."""

    def lay(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(**given: Any) -> Any:
            for name in names:
                if (value := given.pop(name)) is not None:
                    os.environ[f"CHALLENGE_{name.upper()}"] = str(value)
            return function(**given)

        for name in reversed(names):
            kind, words = _FLAGS[name]
            call = click.option(f"--{name.replace('_', '-')}", name, type=kind, default=None, help=words)(call)
        return call

    return lay


@cli.command()
@flags(*_FLAGS)
def up() -> None:
    """Starts everything on this machine. Database, Valkey, inbox (in development), web, workers."""
    from challenge.running import up as run

    sys.exit(run(read_settings(), click.echo))


@cli.command()
@flags(*_FLAGS)
@click.option("--people", type=click.IntRange(1, 5000), default=210, show_default=True, help="synthetic participants")
def demo(people: int) -> None:
    """Starts everything with synthetic people and fast days. Nothing leaves this machine."""
    from challenge.running import demo as run

    sys.exit(run(click.echo, people))


@cli.command()
@flags("data_dir", "workers")
@click.option("--people", type=click.IntRange(1, 5000), default=50, show_default=True, help="synthetic participants")
@as_json
def simulate(people: int, as_json: bool) -> None:
    """Rehearses the whole challenge, and ends. Real processes, a fast clock; then the numbers and the audit.

    Takes about five minutes (a day in ten seconds; CHALLENGE_CLOCK_SPEED changes it). Nothing leaves this machine: the
    mails stay in the folder `simulate` of the data directory. Exit code 1 when a mail is unaccounted for.
    """
    from challenge.cli.numbers import print_audit, print_funnel
    from challenge.running import simulate as run

    os.environ["CHALLENGE_PORT"] = "0"
    done = run(lambda words: click.echo(words, err=as_json), people)
    if as_json:
        told = {"stats": done.numbers.to_dict(), "audit": done.accounts.to_dict()}
        print_json(told | {"lost_requests": done.lost, "complete": done.is_complete})
    else:
        print_funnel(done.numbers)
        print_audit(done.accounts)
        click.echo("" if done.is_complete else "It was stopped before the last mail.")
    sys.exit(0 if done.accounts.balanced and done.is_complete and not done.lost else 1)


@cli.command()
@flags("data_dir", "host", "port")
def web() -> None:
    """Starts the web side alone, for many machines. Needs CHALLENGE_REDIS_URL."""
    from challenge.web.serve import serve

    serve(read_settings())


@cli.command()
@flags("data_dir", "workers")
def worker() -> None:
    """Starts the workers and the dispatch tick alone. For many machines. Needs CHALLENGE_REDIS_URL, CHALLENGE_SMTP_URL."""
    from challenge.running import work

    sys.exit(work(read_settings()))


@cli.command()
def migrate() -> None:
    """Brings the database's tables up to this version. Safe to run twice."""
    settings = read_settings()
    database = Database(settings.database)
    database.migrate()
    with database.write() as session:
        set_up(session, settings)
    click.echo("The database is up to date.")


@cli.command()
@as_json
def settings(as_json: bool) -> None:
    """Prints every setting, its value here and its meaning. Secrets are hidden."""
    rows = masked(read_settings())
    if as_json:
        print_json([{"variable": name, "value": value, "meaning": meaning} for name, value, meaning in rows])
        return
    for name, value, meaning in rows:
        click.echo(f"{name}={value}\n    {meaning}")
