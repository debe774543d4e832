"""`challenge simulate`: the whole challenge, from sign-up to the last mail, and an end of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.story
def test_it_runs_to_the_last_mail_and_accounts_for_all(tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHALLENGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "challenge.cli", "simulate", "--people", "4", "--json"],
        cwd=tmp_path,
        env=kept | {"CHALLENGE_DATA_DIR": str(tmp_path / "var"), "CHALLENGE_CLOCK_SPEED": "34560"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    numbers, accounts = told["stats"], told["audit"]
    assert (told["complete"], told["lost_requests"]) == (True, 0)
    assert 4 <= numbers["visits"]["visitors"] <= 12
    assert (numbers["signed_up"], accounts["balanced"], accounts["problems"]) == (4, True, [])
    assert set(accounts["states"]) <= {"sent", "cancelled", "expired"}
    assert accounts["mails"]["finish"]["sent"] == numbers["confirmed"] - numbers["stopped"] > 0
    assert not (tmp_path / "var" / "challenge.sqlite3").exists()  # what `up` uses was not touched
