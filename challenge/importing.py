"""Who agreed elsewhere? Reads a CSV of people with the evidence of their consent; called by `challenge import`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from challenge.db import Database
from challenge.errors import BadInput, UsageError
from challenge.programme.definition import Challenge
from challenge.signup import consent_time, enroll_confirmed, read, register

COLUMNS = ("email", "first_name", "timezone", "hour", "position", "source", "consent_at", "consent_source")
_BATCH = 200


@dataclass
class Imported:
    """What became of the rows. `problems`: (line of the file, what to do)."""

    enrolled: int = 0
    known: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)


def import_people(database: Database, challenge: Challenge, path: Path, now: datetime, *, confirmed: bool) -> Imported:
    """Enrolls each row by itself: a bad row is told with its line and does not stop the others. Run twice, the second
    finds everybody known. With `confirmed` nobody is asked again, so each row must say when and where they agreed."""
    result = Imported()
    batch: list[tuple[int, dict[str, str]]] = []
    for line, row in _rows(path):
        batch.append((line, row))
        if len(batch) >= _BATCH:
            _take(database, challenge, batch, now, result, confirmed=confirmed)
            batch = []
    _take(database, challenge, batch, now, result, confirmed=confirmed)
    return result


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            if "email" not in (reader.fieldnames or ()):
                raise UsageError(f"{path} has no column email. The first line names the columns: {', '.join(COLUMNS)}.")
            for row in reader:
                yield reader.line_num, {key: value or "" for key, value in row.items() if key in COLUMNS}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read as a CSV file in UTF-8: {error}.") from error


def _take(
    database: Database,
    challenge: Challenge,
    batch: list[tuple[int, dict[str, str]]],
    now: datetime,
    result: Imported,
    *,
    confirmed: bool,
) -> None:
    with database.write() as session:
        for line, row in batch:
            try:
                signup = read({**row, "utm_source": row.get("source") or "import"}, consent_source="import")
                if not confirmed:
                    register(session, signup, challenge, now, answers_who_is_in=False)
                    result.enrolled += 1
                    continue
                agreed_at = consent_time(row.get("consent_at", ""), now)
                if not row.get("consent_source"):
                    raise BadInput("consent_source", "consent_source must say where they agreed.")
                done = enroll_confirmed(
                    session, signup, challenge, now, consent_at=agreed_at, evidence=row["consent_source"]
                )
                result.enrolled += done
                result.known += not done
            except BadInput as error:
                result.problems.append((line, error.sentence))
