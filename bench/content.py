"""What does everybody send? Our real day mail, with longer words, so that it is the 30 KB that the peers send too."""

from __future__ import annotations

import shutil
from pathlib import Path

from challenge.programme.definition import Challenge, load

_SHIPPED = Path(__file__).parent.parent / "challenge" / "content" / "ms-strength"
_INTRO = 'intro = "First loosen the inner thighs. Then wake up the outer hips."'
_MORE = " Move slowly, and rest as long as you like. This sentence is here to make the mail as long as the others."
SIZE = 30_000


def padded(folder: Path) -> Challenge:
    """The shipped challenge in `folder`, with a first day whose mail is about 30 KB instead of 12."""
    shutil.copytree(_SHIPPED, folder, dirs_exist_ok=True)
    file = folder / "challenge.toml"
    text = file.read_text()
    assert _INTRO in text, "the first day's intro has changed: change bench/content.py with it"
    file.write_text(text.replace(_INTRO, _INTRO[:-1] + _MORE * 84 + '"'))
    return load(folder)
