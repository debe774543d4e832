"""The challenge that ships: it loads, it is fit to be read, and its pictures are the ones that draw.py draws."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

import pytest

from challenge.programme.definition import ContentError, content_dir, load, picture_path, shipped
from challenge.programme.exercises import Position, find
from challenge.programme.lint import lint

FOLDER = content_dir(shipped())


def test_it_only_waits_for_a_clinician() -> None:
    assert [(finding.level, finding.where) for finding in lint(shipped())] == [("warning", "reviewed_by")]


def test_it_stretches_the_inner_thigh_each_day_and_pairs_it() -> None:
    for day in shipped().days:
        for position in Position:
            (stretch, first), (partner, second) = day.exercises_for(position)
            assert "inner thighs" in stretch.muscles
            assert stretch.slug != partner.slug
            assert first.position == position
            assert second.steps


def test_it_ships_pictures_that_its_own_rig_draws() -> None:
    spec = importlib.util.spec_from_file_location("draw", FOLDER / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    drawn = draw.drawings()
    kept = {path.stem: path.read_text() for path in (FOLDER / "pictures").glob("*.svg")}
    assert drawn == kept
    assert {move.picture.file for _, move in shipped().moves()} == {f"{name}.png" for name in drawn}
    assert all(picture_path(shipped(), f"{name}.png").stat().st_size < 30_000 for name in drawn)


def test_it_finds_exercises_by_what_bothers_somebody() -> None:
    found = find(shipped(), position="lying", symptom="stiff legs")
    assert found
    assert all("lying" in exercise.moves and "stiff legs" in exercise.symptoms for exercise in found)
    assert find(shipped(), symptom="nothing of the kind") == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('title = "5-Day', 'titel = "5-Day', "title is missing"),
        ("minutes = 8", "minutes = 800", "from 1 to 60"),
        ('load = "hard"', 'load = "heavy"', "unknown load"),
        ('picture = "seated-lean.png"', 'picture = "nowhere.png"', "does not exist"),
        ('slug = "ms-strength"', "slug = ms-strength", "is not TOML"),
        ("number = 2", "number = 3", "Number the days"),
    ],
)
def test_it_tells_the_line_and_what_to_do(tmp_path: Path, old: str, new: str, told: str) -> None:
    shutil.copytree(FOLDER / "pictures", tmp_path / "pictures")
    text = (FOLDER / "challenge.toml").read_text()
    assert old in text
    (tmp_path / "challenge.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ContentError, match=told) as caught:
        load(tmp_path)
    assert "challenge.toml, line " in str(caught.value)


def test_it_changes_its_edition_with_a_word(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "copy")
    file = tmp_path / "copy" / "challenge.toml"
    file.write_text(file.read_text().replace("soft", "gentle", 1))
    assert load(tmp_path / "copy").edition != shipped().edition
