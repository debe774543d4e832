"""What every command shares: the group, `--json`, the log, an opened database, errors as one sentence."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import click
from sqlalchemy.exc import OperationalError

from challenge.db import Database
from challenge.errors import ChallengeError, UsageError
from challenge.programme.definition import Challenge, load, shipped
from challenge.settings import Settings, read_settings


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
    os.umask(0o077)  # addresses, mails and keys are for the operator alone, on a machine with other users too
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


def challenge_of(settings: Settings) -> Challenge:
    """The challenge the settings name, or the one that ships."""
    return load(Path(settings.content)) if settings.content else shipped()


def opened() -> tuple[Settings, Challenge, Database]:
    """For commands on a database that must be there already."""
    settings = read_settings()
    database = Database(settings.database)
    database.require_current()
    return settings, challenge_of(settings), database


def print_json(data: Any) -> None:
    """What `--json` prints."""
    click.echo(json.dumps(data, indent=2, default=str, ensure_ascii=False))


as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
