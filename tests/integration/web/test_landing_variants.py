"""Two headlines: each visitor sees one all day, and the sign-up and the visit keep which."""

from __future__ import annotations

import re
from pathlib import Path

from sqlmodel import select

from challenge.clock import set_up
from challenge.db import Database
from challenge.models import Enrollment, Visit
from challenge.settings import read_settings
from challenge.web import create_app
from tests.unit.programme.test_variants import WORDS, challenge_with


def test_the_headline_the_form_and_the_visit_agree(tmp_path: Path) -> None:
    settings = read_settings({"CHALLENGE_DATA_DIR": str(tmp_path), "CHALLENGE_SIGNUP_RATE": ""}, None)
    database = Database(settings.database)
    database.migrate()
    with database.write() as session:
        set_up(session, settings)
    app = create_app(settings, challenge_with(tmp_path, WORDS))
    client, seen = app.test_client(), set()
    for number in range(12):
        agent = {"User-Agent": f"Mozilla/5.0 Firefox/{number}"}
        page, again = (client.get("/", headers=agent).get_data(as_text=True) for _ in range(2))
        variant = re.search(r'name="form_variant" value="(\w)"', page)
        assert variant is not None
        assert ("Steadier in five mornings" in page) == ("Steadier in five mornings" in again) == (variant[1] == "b")
        seen.add(variant[1])
        client.post("/signup", headers=agent, data={"email": f"p{number}@example.com", "form_variant": variant[1]})
    assert seen == {"a", "b"}
    with database.read() as session:
        assert set(session.exec(select(Enrollment.form_variant))) == seen
        assert sum(row.visitors for row in session.exec(select(Visit))) == 12
        assert {row.form_variant for row in session.exec(select(Visit))} == seen
    database.close()
    app.extensions["challenge"].database.close()
