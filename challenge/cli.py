"""Every command: parse, call one step, print. Exit code 0 good, 1 found a problem, 2 wrong usage or settings."""

from __future__ import annotations

import json
import logging
import os
import secrets
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
from sqlalchemy.exc import OperationalError
from sqlmodel import select

from challenge.clock import Clock, real_now, set_up
from challenge.db import Database
from challenge.errors import ChallengeError, UsageError
from challenge.programme.definition import Challenge, load, shipped
from challenge.settings import Settings, masked, read_settings


class _Fields(logging.Formatter):
    """A short sentence and its fields; ids, never addresses."""

    _own = frozenset(vars(logging.makeLogRecord({})))

    def format(self, record: logging.LogRecord) -> str:
        fields = {key: value for key, value in vars(record).items() if key not in self._own and key != "message"}
        told = " ".join(f"{key}={value}" for key, value in fields.items())
        return f"{self.formatTime(record)} {record.levelname} {super().format(record)} {told}".rstrip()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="challenge")
def cli() -> None:
    """Runs free e-mail challenges: sign-up, daily mails, completions, and numbers you can check.

    `challenge demo` shows all of it in three minutes; `challenge up` starts it for real. Settings come from the
    environment or a .env file: see `challenge settings`.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_Fields())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def main() -> int:
    """The console script. Errors become one sentence on standard error."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return 2
    except click.Abort:
        return 130
    except (UsageError, ChallengeError) as error:
        click.echo(str(error), err=True)
        return 2
    except OperationalError as error:
        click.echo(
            f"The database did not do it: {str(error.orig).strip()}. Check CHALLENGE_DATABASE_URL and disk space.",
            err=True,
        )
        return 2
    except SystemExit as done:
        return int(done.code or 0) if not isinstance(done.code, str) else 2
    return 0


def _flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """--host, --port, --workers, --inbox-smtp-port and --data-dir, laid over the environment."""
    for flag, kind, words in (
        ("--inbox-smtp-port", int, "port of the built-in inbox's SMTP server"),
        ("--workers", int, "worker processes"),
        ("--port", int, "web port"),
        ("--host", str, "web address"),
        ("--data-dir", Path, "where everything is kept"),
    ):
        function = click.option(flag, type=kind, default=None, help=words)(function)

    @wraps(function)
    def call(**given: Any) -> Any:
        names = ("host", "port", "workers", "inbox_smtp_port", "data_dir")
        for name in names:
            if (value := given.pop(name)) is not None:
                os.environ[f"CHALLENGE_{name.upper()}"] = str(value)
        return function(**given)

    return call


def _challenge(settings: Settings) -> Challenge:
    return load(Path(settings.content)) if settings.content else shipped()


def _open() -> tuple[Settings, Challenge, Database]:
    """For commands on a database that must be there already."""
    settings = read_settings()
    database = Database(settings.database)
    database.require_current()
    return settings, _challenge(settings), database


def _print(data: Any) -> None:
    click.echo(json.dumps(data, indent=2, default=str, ensure_ascii=False))


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@cli.command()
@_flags
def up() -> None:
    """Starts everything on this machine: database, Valkey, inbox (in development), web, workers."""
    from challenge.running import up as run

    sys.exit(run(read_settings(), click.echo))


@cli.command()
@_flags
@click.option("--people", type=click.IntRange(1, 5000), default=210, show_default=True, help="synthetic participants")
def demo(people: int) -> None:
    """Starts everything with synthetic participants and days of ten seconds. Nothing leaves this machine."""
    from challenge.running import demo as run

    sys.exit(run(click.echo, people))


@cli.command()
@_flags
def web() -> None:
    """Starts the web side alone, for many machines. Needs CHALLENGE_REDIS_URL."""
    from challenge.web.serve import serve

    serve(read_settings())


@cli.command()
@_flags
def worker() -> None:
    """Starts RQ workers and the dispatch tick alone, for many machines. Needs CHALLENGE_REDIS_URL, CHALLENGE_SMTP_URL."""
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

    _, challenge, database = _open()
    result = import_people(database, challenge, file, Clock(database).now(), confirmed=confirmed)
    if as_json:
        _print(vars(result))
    else:
        click.echo(f"{result.enrolled} taken, {result.known} known already, {len(result.problems)} not taken.")
        for line, words in result.problems:
            click.echo(f"  line {line}: {words}")
    sys.exit(1 if result.problems else 0)


@cli.command()
@as_json
def stats(as_json: bool) -> None:
    """How far people get: the numbers of the dashboard."""
    from challenge.stats.funnel import funnel

    _, challenge, database = _open()
    with database.read() as session:
        numbers = funnel(session, challenge.slug, challenge.length)
    if as_json:
        _print(numbers.to_dict())
        return
    click.echo(
        f"{numbers.signed_up} signed up, {numbers.confirmed} confirmed, {numbers.finished} did all days, {numbers.joined} joined"
    )
    click.echo(f"{'day':>4} {'sent':>7} {'opened':>7} {'proxy':>7} {'clicked':>8} {'done':>7} {'rested':>7}")
    for day in numbers.days:
        click.echo(
            f"{day.day:>4} {day.sent:>7} {day.opened_people:>7} {day.opened_proxy:>7} {day.clicked:>8} {day.done:>7} {day.rested:>7}"
        )


@cli.command()
@as_json
def audit(as_json: bool) -> None:
    """Accounts for every mail owed. Exit code 1 when one is unaccounted for."""
    from challenge.audit import audit as run

    settings, challenge, database = _open()
    with database.read() as session:
        found = run(session, challenge, settings, Clock(database).now())
    if as_json:
        _print(found.to_dict())
    else:
        click.echo(f"{found.owed} mails owed by now.")
        for mail, states in found.mails.items():
            click.echo(f"  {mail:<20} " + ", ".join(f"{count} {state}" for state, count in sorted(states.items())))
        for number, key in found.uncertain:
            click.echo(f"  uncertain: enrollment {number}, {key}")
        for problem in found.problems:
            click.echo(f"  PROBLEM enrollment {problem.enrollment} {problem.key}: {problem.problem}")
        click.echo("All is accounted for." if found.balanced else f"{len(found.problems)} problems.")
    sys.exit(0 if found.balanced else 1)


@cli.command()
@click.argument("mail", default="day")
@click.option("--day", type=int, default=1, show_default=True)
@click.option("--position", type=click.Choice(["seated", "standing", "lying"]), default="seated", show_default=True)
@click.option("--name", default="Ana", show_default=True)
@click.option("--html", is_flag=True, help="Print the HTML part.")
def preview(mail: str, day: int, position: str, name: str, html: bool) -> None:
    """Prints a mail as a person would get it: confirm, welcome, day, rest, nudge, finish, comeback."""
    from challenge.rendering.links import Address
    from challenge.rendering.message import Composer
    from challenge.rendering.templates import FOLDERS, Content

    settings = read_settings()
    mails = sorted(path.parent.name for path in FOLDERS.glob("*/subject.txt"))
    if mail not in mails:
        raise UsageError(f"There is no mail {mail}. There are: {', '.join(mails)}.")
    challenge = _challenge(settings)
    if not 1 <= day <= challenge.length:
        raise UsageError(f"{challenge.title} has days 1 to {challenge.length}.")
    composer = Composer(settings, challenge)
    content = Content(mail, day=day, position=position, done=tuple(range(1, day)), has_name=bool(name))
    key = f"day-{day}" if mail == "day" else mail
    subject, text, page = composer.templates.shown(content, name, composer.links, Address(0, 0, key))
    click.echo(page if html else f"Subject: {subject}\n\n{text}")


@cli.command()
@as_json
def lint(as_json: bool) -> None:
    """Reads the challenge's words again: reading grade, sentences, safety, tired muscles. Exit code 1 at an error."""
    from challenge.programme.lint import lint as run

    found = run(_challenge(read_settings()))
    if as_json:
        _print([vars(finding) if hasattr(finding, "__dict__") else finding for finding in found])
    for finding in () if as_json else found:
        click.echo(f"{finding.level}: {finding.where}: {finding.text}. {finding.advice}.")
    if not found and not as_json:
        click.echo("Nothing to say.")
    sys.exit(1 if any(finding.level == "error" for finding in found) else 0)


@cli.command()
@click.argument("address")
def forget(address: str) -> None:
    """Erases everything about a person. A suppressed address stays known as a hash."""
    from challenge.models import Subscriber
    from challenge.participation import erase
    from challenge.signup import address as normalised

    _, _, database = _open()
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

    _, _, database = _open()
    _, key = normalised(address)
    with database.read() as session:
        found = session.exec(select(Subscriber.id).where(Subscriber.email_key == key)).first()
        if found is None:
            raise UsageError("Nobody with this address is here.")
        _print(my_data(session, found))


@cli.group()
def user() -> None:
    """People who may open the dashboard."""


@user.command("add")
@click.argument("name")
@click.option("--replace", is_flag=True, help="Change the password of a user who exists; ends their sessions.")
def user_add(name: str, replace: bool) -> None:
    """Adds a user; the password is read from standard input (typed or piped)."""
    from challenge.web.dashboard import add_user

    _, _, database = _open()
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

    _, _, database = _open()
    value = secrets.token_urlsafe(32)
    with database.write() as session:
        if session.exec(select(ApiToken.id).where(ApiToken.name == name)).first() is not None:
            raise UsageError(f"There is a token {name} already.")
        session.add(ApiToken(name=name, token_hash=token_hash(value), created_at=real_now()))
    click.echo(value)


@cli.group()
def dkim() -> None:
    """Keys that sign the mails."""


@dkim.command("new")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--selector", default=None, help="Default: the month, such as 202611; with r and e before it.")
def dkim_new(folder: Path, selector: str | None) -> None:
    """Makes an RSA-2048 and an Ed25519 key in FOLDER and prints the DNS records and the settings.

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

    _, _, database = _open()
    with database.write() as session:
        stop(session, reason)
    click.echo("Sending is stopped. `challenge resume-sending` starts it again.")


@cli.command("resume-sending")
def resume_sending() -> None:
    """Lets mails leave again."""
    from challenge.dispatch import resume_sending as resume

    _, _, database = _open()
    with database.write() as session:
        was = resume(session)
    click.echo("Sending goes on." if was else "Sending was not stopped.")


@cli.command()
@as_json
def settings(as_json: bool) -> None:
    """Prints every setting, its value here (secrets hidden) and what it means."""
    rows = masked(read_settings())
    if as_json:
        _print([{"variable": name, "value": value, "meaning": meaning} for name, value, meaning in rows])
        return
    for name, value, meaning in rows:
        click.echo(f"{name}={value}\n    {meaning}")


if __name__ == "__main__":
    sys.exit(main())
