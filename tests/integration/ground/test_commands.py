"""The commands as an operator types them: a sentence that says what to do, the right exit code, no traceback."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import worker
from challenge.errors import SettingsError
from challenge.programme.definition import shipped
from challenge.rendering.dkim import make_keys
from challenge.settings import Settings
from tests.commands import run

ROOT = Path(__file__).parents[3]


def test_it_starts_as_a_program_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "challenge.cli", "nonsense"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "No such command" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "environ", "told"),
    [
        (("up",), {"CHALLENGE_PORT": "99999"}, "CHALLENGE_PORT"),
        (("up",), {"CHALLENGE_ENV": "production"}, "CHALLENGE_SECRET_KEY"),
        (("up",), {"CHALLENGE_PROT": "1"}, "there is no such setting"),
        (("up",), {"CHALLENGE_DATA_DIR": "/proc/nowhere"}, "CHALLENGE_DATA_DIR"),
        (("up",), {"CHALLENGE_CONTENT": "/nowhere"}, "/nowhere/challenge.toml: cannot be read"),
        (("demo",), {"CHALLENGE_ENV": "production"}, "CHALLENGE_"),
        (("web",), {}, "CHALLENGE_REDIS_URL"),
        (("worker",), {}, "CHALLENGE_REDIS_URL"),
        (("stats",), {}, "challenge migrate"),
        (("audit",), {"CHALLENGE_DATABASE_URL": "postgresql://127.0.0.1:1/none"}, "CHALLENGE_DATABASE_URL"),
        (("preview", "poem"), {}, "There is no mail poem"),
        (("import", "nowhere.csv"), {}, "nowhere.csv"),
        (("nonsense",), {}, "No such command"),
    ],
)
def test_it_says_what_to_change_and_exits_2(
    tmp_path: Path, words: tuple[str, ...], environ: dict[str, str], told: str
) -> None:
    done = run(tmp_path, *words, **environ)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_it_shows_whole_sentences_in_every_list_of_commands(tmp_path: Path) -> None:
    for words in ((), ("dkim",), ("inbound",), ("suppressions",), ("token",), ("user",)):
        listed = run(tmp_path, *words, "--help", COLUMNS="80").stdout
        assert "Commands:" in listed
        assert "..." not in listed.replace("[ARGS]...", ""), listed


@pytest.mark.parametrize(
    ("command", "flag"),
    [("web", "--workers"), ("web", "--inbox-smtp-port"), ("worker", "--port"), ("worker", "--host")],
)
def test_it_refuses_a_flag_that_would_change_nothing(tmp_path: Path, command: str, flag: str) -> None:
    done = run(tmp_path, command, flag, "1")
    assert done.returncode == 2
    assert "No such option" in done.stderr


def test_it_names_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(tmp_path, "up", CHALLENGE_PORT=str(taken.getsockname()[1]))
    assert done.returncode == 2
    assert "is in use" in done.stderr


def test_it_runs_the_worker_file_like_the_command(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CHALLENGE_")}
    environ |= {"CHALLENGE_DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(ROOT / "worker.py")], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )  # fmt: skip
    assert done.returncode == 2
    assert "CHALLENGE_REDIS_URL" in done.stderr


def test_it_refuses_a_key_that_no_worker_would_sign_with(tmp_path: Path) -> None:
    """In the parent, before the fork: a worker that refuses it would be started again and again."""
    _, made = make_keys(tmp_path / "keys", "s1")
    settings = Settings(
        secret_key="k" * 40, redis_url="redis://127.0.0.1:1", smtp_url="smtp+plain://127.0.0.1:1",
        database_url=f"sqlite:///{tmp_path}/none.sqlite3", dkim_key_file=str(made.file), dkim_selector=made.selector,
    )  # fmt: skip
    with pytest.raises(SettingsError, match="has no RSA key"):
        worker.run(settings, shipped())


def test_it_imports_people_once_with_their_evidence(tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(
        "email,first_name,timezone,hour,position,source,consent_at,consent_source\n"
        "ana@example.com,Ana,Europe/Berlin,9,standing,clinic,2026-10-01T09:30:00Z,paper form 12\n"
        "ben@example.com,Ben,Mars/Olympus,9,standing,clinic,2026-10-01T09:30:00Z,paper form 13\n"
        "cleo@example.com,Cleo,,,,clinic,,\n"
        "ANA@example.com,Ana,,,,clinic,2026-10-01T09:30:00Z,paper form 12\n"
    )
    assert run(tmp_path, "migrate").returncode == 0
    done = run(tmp_path, "import", str(file), "--confirmed", "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["enrolled"], told["known"]) == (1, 1)
    assert [line for line, _ in told["problems"]] == [3, 4]
    again = json.loads(run(tmp_path, "import", str(file), "--confirmed", "--json").stdout)
    assert (again["enrolled"], again["known"]) == (0, 2)
    numbers = json.loads(run(tmp_path, "stats", "--json").stdout)
    assert (numbers["signed_up"], numbers["confirmed"], numbers["by_source"]) == (1, 1, {"clinic": [1, 1, 0]})
    data = json.loads(run(tmp_path, "export", "ana@example.com").stdout)
    assert data["challenges"][0]["consents"][0]["source"] == "import: paper form 12"
    accounts = run(tmp_path, "audit", "--json")
    assert accounts.returncode == 0
    assert json.loads(accounts.stdout)["balanced"]
    assert run(tmp_path, "forget", "ana@example.com").returncode == 0
    assert json.loads(run(tmp_path, "stats", "--json").stdout)["signed_up"] == 0


def test_it_makes_logins_and_tokens_and_stops_sending(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    assert run(tmp_path, "user", "add", "mara", given="short\n").returncode == 2
    assert run(tmp_path, "user", "add", "mara", given="long enough\n").returncode == 0
    assert run(tmp_path, "user", "add", "mara", given="long enough\n").returncode == 2
    assert len(run(tmp_path, "token", "add", "sheet").stdout.strip()) == 43
    assert run(tmp_path, "stop-sending", "--reason", "moving").returncode == 0
    assert "goes on" in run(tmp_path, "resume-sending").stdout


def test_it_previews_mails_and_masks_secrets(tmp_path: Path) -> None:
    for mail in ("confirm", "welcome", "already", "day", "rest", "nudge", "finish", "comeback"):
        shown = run(tmp_path, "preview", mail, "--day", "3").stdout
        assert shown.startswith("Subject: ")
        assert "Stop these e-mails" in shown
    assert "YOU ARE ON A BREAK" in run(tmp_path, "preview", "already", "--stage", "paused").stdout
    assert "Open day 3" in run(tmp_path, "preview", "already", "--day", "3").stdout
    told = run(
        tmp_path, "settings", CHALLENGE_SECRET_KEY="very-secret", CHALLENGE_SMTP_URL="smtps://me:hush@relay.example"
    ).stdout
    assert "very-secret" not in told
    assert "hush" not in told


def test_it_makes_signing_keys_that_the_settings_take(tmp_path: Path) -> None:
    done = run(tmp_path, "dkim", "new", str(tmp_path / "keys"), "--selector", "s1", CHALLENGE_MAIL_FROM="a@c.example")
    assert done.stdout.startswith('rs1._domainkey.c.example. TXT "v=DKIM1; k=rsa; p=')
    assert 'es1._domainkey.c.example. TXT "v=DKIM1; k=ed25519; p=' in done.stdout
    printed = dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("CHALLENGE_"))
    assert run(tmp_path, "preview", "welcome", **printed).returncode == 0
    assert (tmp_path / "keys" / "rs1.pem").stat().st_mode & 0o077 == 0
    assert run(tmp_path, "dkim", "new", str(tmp_path / "keys"), "--selector", "s1").returncode == 2


def test_it_adds_lists_and_removes_users_and_tokens(tmp_path: Path) -> None:
    assert run(tmp_path, "migrate").returncode == 0
    assert run(tmp_path, "user", "add", "mara", given="long enough\n").returncode == 0
    assert run(tmp_path, "user", "add", "vic", "--role", "viewer", given="long enough\n").returncode == 0
    users = json.loads(run(tmp_path, "user", "list", "--json").stdout)
    assert [(user["name"], user["role"]) for user in users] == [("mara", "owner"), ("vic", "viewer")]
    last = run(tmp_path, "user", "remove", "mara")
    assert (last.returncode, "only owner" in last.stderr) == (2, True)
    assert run(tmp_path, "user", "remove", "vic").returncode == 0
    value = run(tmp_path, "token", "add", "shop", "--scope", "conversions").stdout.strip()
    listed = run(tmp_path, "token", "list", "--json").stdout
    assert [(token["name"], token["scope"]) for token in json.loads(listed)] == [("shop", "conversions")]
    assert len(value) > 40
    assert value not in listed
    assert run(tmp_path, "token", "remove", "shop").returncode == 0
    assert run(tmp_path, "token", "remove", "shop").returncode == 2


def test_what_a_command_writes_is_the_operators_alone(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CHALLENGE_")}
    subprocess.run(
        [sys.executable, "-m", "challenge.cli", "migrate"],
        env=environ | {"CHALLENGE_DATA_DIR": str(tmp_path / "data")},
        check=True,
        umask=0o022,
    )
    kept = [tmp_path / "data", *(tmp_path / "data").iterdir()]
    assert len(kept) > 1
    assert [path.name for path in kept if path.stat().st_mode & 0o077] == []
