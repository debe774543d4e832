"""The README rots unless something holds it against the code."""

from __future__ import annotations

import re
from pathlib import Path

from challenge.cli import cli
from challenge.settings import Settings, variable

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()


def test_it_lists_every_setting_with_its_meaning_and_no_other() -> None:
    listed = dict(re.findall(r"^\| `(CHALLENGE_\w+)` \| [^|]* \| ([^|]+) \|$", README, re.MULTILINE))
    wanted = {variable(name): field.description for name, field in Settings.model_fields.items()}
    assert {name: meaning.strip() for name, meaning in listed.items()} == wanted


def test_it_names_every_command() -> None:
    for name in cli.commands:
        assert f"`challenge {name}" in README, name


def test_it_links_only_to_files_that_exist() -> None:
    for target in re.findall(r"\]\((?!https?://|#)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_it_names_the_make_targets() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make (\w+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
