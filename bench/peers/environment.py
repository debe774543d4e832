"""The peers' own environment: made once by the benchmark, in a folder that git ignores."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
_FOLDER = HERE.parent / ".peers"


def python() -> str:
    """The interpreter that has the peers; installs them when they are missing or others are wanted now."""
    wanted, ready = (HERE / "requirements.txt").read_text(), _FOLDER / "installed.txt"
    found = _FOLDER / "bin" / "python"
    if not ready.exists() or ready.read_text() != wanted:
        print("Installing the peers into bench/.peers ...", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(_FOLDER)], check=True)
        pip = [str(found), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "-r", str(HERE / "requirements.txt")], check=True)
        ready.write_text(wanted)
    return str(found)
