from __future__ import annotations

from pathlib import Path

import pytest

from challenge.errors import SettingsError, UsageError
from challenge.settings import masked, read_settings

PRODUCTION = {
    "CHALLENGE_ENV": "production",
    "CHALLENGE_SECRET_KEY": "k" * 40,
    "CHALLENGE_SMTP_URL": "smtps://user:secret@relay.example:465",
    "CHALLENGE_BASE_URL": "https://challenge.example",
    "CHALLENGE_MAIL_FROM": "Ada <ada@challenge.example>",
    "CHALLENGE_MAIL_REPLY_TO": "ada@challenge.example",
    "CHALLENGE_MAIL_POSTAL_ADDRESS": "1 Main Street, Springfield",
}


def test_it_prefers_prefixed_to_bare_and_environment_to_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CHALLENGE_PORT=9000\nCHALLENGE_WORKERS=3\nREDIS_URL=redis://file\n")
    environ = {
        "DATABASE_URL": "postgres://bare/x",
        "CHALLENGE_DATABASE_URL": "postgresql://prefixed/x",
        "CHALLENGE_PORT": "9001",
        "CHALLENGE_DATA_DIR": str(tmp_path),
    }
    settings = read_settings(environ, file)
    assert settings.database == "postgresql+psycopg://prefixed/x"
    assert (settings.port, settings.workers, settings.redis_url) == (9001, 3, "redis://file")


@pytest.mark.parametrize("missing", [name for name in PRODUCTION if name != "CHALLENGE_ENV"])
def test_it_names_what_production_lacks(missing: str) -> None:
    environ = {name: value for name, value in PRODUCTION.items() if name != missing}
    with pytest.raises(SettingsError, match=missing):
        read_settings(environ, None)


def test_it_names_all_that_production_lacks_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        read_settings({"CHALLENGE_ENV": "production"}, None)
    assert [name for name in PRODUCTION if name not in str(error.value)] == ["CHALLENGE_ENV"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CHALLENGE_PORT", "http"),
        ("CHALLENGE_PORT", "70000"),
        ("CHALLENGE_DATABASE_URL", "mysql://x"),
        ("CHALLENGE_SMTP_URL", "relay.example"),
        ("CHALLENGE_BASE_URL", "challenge.example"),
        ("CHALLENGE_SIGNUP_RATE", "often"),
        ("CHALLENGE_CLOCK_SPEED", "0"),
        ("CHALLENGE_SEND_RATE", "inf"),
        ("CHALLENGE_LEASE_SECONDS", "inf"),
        ("CHALLENGE_PROT", "8000"),
    ],
)
def test_it_stops_at_a_wrong_value_and_names_the_variable(name: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=name):
        read_settings({name: value, "CHALLENGE_DATA_DIR": str(tmp_path)}, None)


def test_it_refuses_a_warped_clock_and_plain_http_in_production() -> None:
    with pytest.raises(SettingsError, match="CLOCK_SPEED"):
        read_settings(PRODUCTION | {"CHALLENGE_CLOCK_SPEED": "60"}, None)
    with pytest.raises(SettingsError, match="BASE_URL"):
        read_settings(PRODUCTION | {"CHALLENGE_BASE_URL": "http://challenge.example"}, None)


def test_it_hides_secrets_when_printed() -> None:
    shown = " ".join(value for _, value, _ in masked(read_settings(PRODUCTION, None)))
    assert "secret" not in shown
    assert "k" * 40 not in shown


def test_it_keeps_one_key_in_development(tmp_path: Path) -> None:
    environ = {"CHALLENGE_DATA_DIR": str(tmp_path / "var")}
    assert read_settings(environ, None).keys == read_settings(environ, None).keys
    assert (tmp_path / "var" / "secret.key").stat().st_mode & 0o077 == 0


def test_it_says_which_directory_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="CHALLENGE_DATA_DIR"):
        read_settings({"CHALLENGE_DATA_DIR": str(tmp_path / "file" / "var")}, None)


def test_it_takes_an_empty_rate_for_no_limit(tmp_path: Path) -> None:
    assert read_settings({"CHALLENGE_SIGNUP_RATE": "", "CHALLENGE_DATA_DIR": str(tmp_path)}, None).signup_rate == ""


def test_it_hides_passwords_in_every_part_of_an_address() -> None:
    for url in (
        "redis://:p/hunter2@h/0",
        "redis://u:p@hunter2@h/0",
        "redis://h/0?password=hunter2",
        "redis://u:hunter2@h",
    ):
        shown = " ".join(value for _, value, _ in masked(read_settings({"CHALLENGE_REDIS_URL": url}, None)))
        assert "hunter2" not in shown, url
