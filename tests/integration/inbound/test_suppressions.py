"""The list of addresses that must not be mailed outlives everything but an explicit decision."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlmodel import select

from challenge import signup, suppressions
from challenge.cli import cli
from challenge.clock import set_up
from challenge.db import Database
from challenge.errors import BadInput, UsageError
from challenge.events import is_suppressed, lock, suppress
from challenge.importing import import_people
from challenge.models import AuditEntry, Delivery, DeliveryState, Enrollment, EnrollmentState, Suppression
from challenge.participation import erase
from challenge.plan import plan_due
from challenge.programme.definition import shipped
from challenge.settings import read_settings

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def sign_up(database: Database, email: str = "ana@example.com") -> None:
    with database.write() as session:
        signup.register(session, signup.read({"email": email, "timezone": "UTC"}), shipped(), NOON)
    plan_due(database, shipped(), NOON)


def stop(database: Database, email: str = "ana@example.com", reason: str = "by hand") -> bool:
    with database.write() as session:
        return suppressions.add(session, email, reason, "ben", NOON)


def all_of(database: Database, table: Any) -> list[Any]:
    with database.read() as session:
        return list(session.exec(select(table)).all())


def listed(database: Database, email: str) -> bool:
    with database.write() as session:
        return is_suppressed(session, email)


def exported(database: Database) -> str:
    out = io.StringIO()
    with database.write() as session:
        suppressions.export(session, out)
    return out.getvalue()


def test_it_takes_back_what_was_on_its_way(database: Database) -> None:
    sign_up(database)
    assert stop(database)
    assert not stop(database, "ANA@EXAMPLE.com")
    assert {row.state for row in all_of(database, Delivery)} == {DeliveryState.suppressed}
    assert {row.state for row in all_of(database, Enrollment)} == {EnrollmentState.stopped}
    assert [row.deed for row in all_of(database, AuditEntry)] == ["suppression added"]


@pytest.mark.parametrize("way", ["sign-up", "import", "import --confirmed"])
def test_it_is_not_overridden_by_a_sign_up_or_an_import(database: Database, tmp_path: Path, way: str) -> None:
    stop(database)
    file = tmp_path / "people.csv"
    file.write_text("email,consent_at,consent_source\nAna@Example.com,2026-10-01T09:30:00Z,paper form\n")
    if way == "sign-up":
        sign_up(database)
    else:
        import_people(database, shipped(), file, NOON, confirmed="--" in way)
        plan_due(database, shipped(), NOON)
    assert all_of(database, Delivery) == []
    assert listed(database, "ana@example.com")
    with database.write() as session:
        assert suppressions.remove(session, "ana@example.com", "asked us by phone to join again", "ben")
        assert not suppressions.remove(session, "ana@example.com", "again", "ben")
    sign_up(database)
    assert [row.key for row in all_of(database, Delivery)] == ["confirm"]
    last = all_of(database, AuditEntry)[-1]
    assert (last.user, last.deed) == ("ben", "suppression removed")
    assert "listed for by hand: asked us by phone" in last.detail


def test_it_gives_nobody_back_without_a_reason(database: Database) -> None:
    stop(database)
    with pytest.raises(UsageError, match="--reason"), database.write() as session:
        suppressions.remove(session, "ana@example.com", " ", "ben")
    assert listed(database, "ana@example.com")


def test_it_survives_erase_me(database: Database) -> None:
    sign_up(database)
    with database.write() as session:
        suppress(session, "ana@example.com", "complaint", "ana@example.com said so", NOON)
        erase(session, lock(session, 1)[1].id or 0)
    assert all_of(database, Enrollment) == []
    sign_up(database)
    assert all_of(database, Enrollment) == []
    (row,) = all_of(database, Suppression)
    assert "ana" not in row.address_hash + row.reason + row.evidence


def test_it_survives_a_change_of_the_secret_key(tmp_path: Path) -> None:
    environ = {"CHALLENGE_DATA_DIR": str(tmp_path), "CHALLENGE_SIGNUP_RATE": ""}
    from challenge.web import create_app

    for key in ("a" * 40, "b" * 40):
        settings = read_settings(environ | {"CHALLENGE_SECRET_KEY": key}, None)
        database = Database(settings.database)
        database.migrate()
        with database.write() as session:
            set_up(session, settings)
        if key.startswith("a"):
            stop(database)
        app = create_app(settings, shipped())
        assert app.test_client().post("/signup", data={"email": "ana@example.com"}).status_code == 303
        assert all_of(database, Enrollment) == []
        app.extensions["challenge"].database.close()
        database.close()


def test_it_exports_hashes_and_takes_its_own_export_back(database: Database, tmp_path: Path) -> None:
    for email, reason in (("ana@example.com", "complaint"), ("ben@example.com", "=cmd|calc!A1")):
        stop(database, email, reason)
    text = exported(database)
    assert "ana" not in text
    assert "example.com" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["reason"] for row in rows] == ["complaint", "'=cmd|calc!A1"]
    with database.write() as session:
        for email in ("ana@example.com", "ben@example.com"):
            suppressions.remove(session, email, "test", "ben")
    (tmp_path / "list.csv").write_text(text)
    for added, known in ((2, 0), (0, 2)):
        taken = suppressions.import_list(database, tmp_path / "list.csv", "ben", NOON)
        assert (taken.added, taken.known, taken.problems) == (added, known, [])
    assert listed(database, "ana@example.com")
    assert [row.created_at for row in all_of(database, Suppression)] == [NOON, NOON]


def test_it_takes_addresses_and_tells_what_it_cannot_take(database: Database, tmp_path: Path) -> None:
    sign_up(database)
    foreign = f"{'a' * 16},{'b' * 48}"
    (tmp_path / "list.csv").write_text(
        f"email,reason,key_id,address_hash\nAna@Example.com,old list,,\nnonsense,,,\n,,{foreign}\n,,,\nzoe@exämple.com,,,\n"
    )
    taken = suppressions.import_list(database, tmp_path / "list.csv", "ben", NOON)
    assert (taken.added, taken.known) == (2, 0)
    assert [line for line, _ in taken.problems] == [3, 4, 5]
    assert "another installation" in taken.problems[1][1]
    assert {row.state for row in all_of(database, Delivery)} == {DeliveryState.suppressed}
    assert listed(database, "zoe@xn--exmple-cua.com")
    assert [row.reason for row in all_of(database, Suppression)] == ["old list", "imported"]


def test_it_refuses_files_that_are_no_list(database: Database, tmp_path: Path) -> None:
    for body in (b"name\nAna\n", b"\xff\xfe\x00", b""):
        (tmp_path / "list.csv").write_bytes(body)
        with pytest.raises(UsageError, match=r"email|UTF-8"):
            suppressions.import_list(database, tmp_path / "list.csv", "ben", NOON)
    with pytest.raises(BadInput), database.write() as session:
        suppressions.add(session, "nobody", "x", "ben", NOON)


def test_it_can_be_kept_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHALLENGE_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke
    assert run(cli, ["migrate"]).exit_code == 0
    assert "Added" in run(cli, ["suppressions", "add", "ana@example.com", "--reason", "asked on paper"]).output
    assert "already" in run(cli, ["suppressions", "add", "ana@example.com"]).output
    shown = run(cli, ["suppressions", "list"]).output
    assert "asked on paper" in shown
    assert "1 addresses." in shown
    assert '"reason": "asked on paper"' in run(cli, ["suppressions", "list", "--json"]).output
    (tmp_path / "list.csv").write_text(run(cli, ["suppressions", "export"]).output)
    assert "0 added, 1 known" in run(cli, ["suppressions", "import", "list.csv"]).output
    assert run(cli, ["suppressions", "remove", "ana@example.com"]).exit_code == 2
    assert "Removed" in run(cli, ["suppressions", "remove", "ana@example.com", "--reason", "she asked"]).output
    assert "1 added" in run(cli, ["suppressions", "import", "list.csv"]).output


def test_its_export_is_safe_in_a_spreadsheet(database: Database) -> None:
    with database.write() as session:
        suppressions.add(session, "ana@example.com", " =cmd;=cmd", "ben", NOON)
    line = exported(database).splitlines()[1]
    assert line.split(",")[2] == '"\' =cmd;=cmd"'
    assert all(cell.startswith('"') for cell in line.split(","))
