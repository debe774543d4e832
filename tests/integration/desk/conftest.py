"""The dashboard through Flask's test client, with real rows on SQLite and PostgreSQL; a login per role."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlmodel import Session, col, func, select
from werkzeug.test import TestResponse

from challenge.access.users import add_user
from challenge.clock import set_up
from challenge.db import Database
from challenge.models import AuditEntry
from challenge.programme.definition import shipped
from challenge.settings import Settings, read_settings
from challenge.web import Service, create_app
from tests.integration.desk.town import FRIDAY

PASSWORD = "long enough"


class Browser:
    """One browser: keeps its cookies, presses buttons with the token of the page they are on."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, **more)

    def text(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.get_data(as_text=True)

    def token(self, page: str = "/dashboard/login") -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(page).get_data(as_text=True))
        assert found is not None, page
        return found[1]

    def post(self, path: str, on: str = "/dashboard/login", **fields: str) -> TestResponse:
        return self.client.post(path, data={"csrf_token": self.token(on), **fields})

    def log_in(self, name: str, password: str = PASSWORD, **more: str) -> TestResponse:
        return self.post("/dashboard/login", name=name, password=password, **more)


class Desk:
    """The app, its rows, and one user of each role."""

    def __init__(self, url: str, folder: Path, **settings: Any) -> None:
        environ = {
            "CHALLENGE_DATA_DIR": str(folder),
            "CHALLENGE_DATABASE_URL": url,
            "CHALLENGE_CLOCK_START": FRIDAY.isoformat(),
            "CHALLENGE_SIGNUP_RATE": "",
        }
        self.settings: Settings = read_settings(environ, None, **settings)
        self.database = Database(url)
        self.database.migrate()
        with self.database.write() as session:
            set_up(session, self.settings)
        self.challenge = shipped()
        self.app = create_app(self.settings, self.challenge)
        self.service: Service = self.app.extensions["challenge"]
        for role in ("owner", "marketer", "viewer"):
            add_user(self.database, role, PASSWORD, role=role)

    def browser(self, user: str = "") -> Browser:
        browser = Browser(self.app.test_client())
        if user:
            assert browser.log_in(user).status_code == 303
        return browser

    def rows(self, table: Any) -> int:
        with self.database.read() as session:
            return session.exec(select(func.count()).select_from(table)).one()

    def ask(self, question: Callable[[Session], Any]) -> Any:
        with self.database.read() as session:
            return question(session)

    def deeds(self, user: str) -> list[str]:
        with self.database.read() as session:
            mine = select(AuditEntry.deed).where(AuditEntry.user == user).order_by(col(AuditEntry.id))
            return list(session.exec(mine))

    def close(self) -> None:
        self.database.close()
        self.service.database.close()


@pytest.fixture
def desk(migrated_url: str, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(migrated_url, tmp_path)
    yield desk
    desk.close()


@pytest.fixture
def small_desk(tmp_path: Path) -> Iterator[Desk]:
    """On SQLite only, for what does not depend on the database."""
    desk = Desk(f"sqlite:///{tmp_path / 'test.sqlite3'}", tmp_path)
    yield desk
    desk.close()
