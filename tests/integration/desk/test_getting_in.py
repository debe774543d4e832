"""Logins, roles, sessions, tokens: who gets in, who does not, and what is written down about it."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from challenge.access import sessions, throttle
from challenge.access.roles import May, Role, may
from challenge.access.users import add_user, fits
from challenge.clock import real_now
from challenge.errors import UsageError
from challenge.models import ApiToken, AuditEntry, LoginTries, User, UserSession


def test_it_lets_nobody_in_without_a_login(desk: Any) -> None:
    stranger = desk.browser()
    for path in ("/dashboard/", "/dashboard/account", "/dashboard/access", "/dashboard/log"):
        answer = stranger.get(path)
        assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (302, "/dashboard/login")
    assert stranger.log_in("owner", "wrong password").status_code == 401
    assert stranger.get("/dashboard/").status_code == 302
    assert stranger.log_in("owner", next="//evil.example").headers["Location"] == "/dashboard/"
    assert "Day by day" in stranger.text("/dashboard/")


def test_it_refuses_every_post_without_a_csrf_token(desk: Any) -> None:
    owner = desk.browser("owner")
    posts = [
        rule.rule
        for rule in desk.app.url_map.iter_rules()
        if rule.endpoint.startswith("dashboard.") and "POST" in (rule.methods or ())
    ]
    assert len(posts) > 8
    for rule in posts:
        path = re.sub(r"<any\((\w+),.*?\):\w+>", r"\1", re.sub(r"<int:\w+>", "1", rule))
        path = re.sub(r"<\w+>", "x", path)
        assert owner.client.post(path, data={"name": "owner", "password": "long enough"}).status_code == 400, path
    assert desk.rows(User) == 3


def test_it_says_of_every_page_what_it_needs(desk: Any) -> None:
    pages = {name: view for name, view in desk.app.view_functions.items() if name.startswith("dashboard.")}
    assert len(pages) > 10
    assert {name for name, view in pages.items() if getattr(view, "is_open", False)} == {
        "dashboard.login",
        "dashboard.log_in",
    }
    assert all(hasattr(view, "needs") or getattr(view, "is_open", False) for view in pages.values())


@pytest.mark.parametrize(
    ("role", "rights"),
    [
        (Role.viewer, {May.read_numbers}),
        (Role.marketer, {May.read_numbers, May.see_people, May.change_people}),
        (Role.owner, set(May)),
        ("admin", set()),
    ],
)
def test_it_gives_each_role_its_rights_and_no_more(role: str, rights: set[May]) -> None:
    assert {right for right in May if may(role, right)} == rights


def test_it_shuts_pages_to_small_roles(desk: Any) -> None:
    for role in ("viewer", "marketer"):
        browser = desk.browser(role)
        for path in ("/dashboard/access", "/dashboard/log"):
            assert browser.get(path).status_code == 403
        assert (
            browser.post("/dashboard/access/tokens", on="/dashboard/account", name="x", scope="read").status_code == 403
        )
    assert desk.rows(ApiToken) == 0


def test_it_slows_guessing_per_name_and_per_network_without_redis(small_desk: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(throttle, "PER_NAME", 3)
    monkeypatch.setattr(throttle, "PER_NETWORK", 5)
    guesser = small_desk.browser()
    assert [guesser.log_in("owner", "guess").status_code for _ in range(4)] == [401, 401, 401, 429]
    answer = guesser.log_in("owner")
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 800) == (429, True)
    codes = [guesser.log_in(f"nobody{n}", "guess").status_code for n in range(3)]
    assert codes == [401, 401, 429]  # the network has had its five
    with small_desk.database.write() as session:
        for row in session.exec(select(LoginTries)):
            row.since_at = real_now() - timedelta(minutes=16)
            session.add(row)
    assert guesser.log_in("owner").status_code == 303


def test_it_does_not_let_a_guesser_lock_out_a_known_browser(small_desk: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(throttle, "PER_NAME", 2)
    mine = small_desk.browser("owner")
    mine.post("/dashboard/logout", on="/dashboard/account")
    guesser = small_desk.browser()
    assert [guesser.log_in("owner", "guess").status_code for _ in range(3)] == [401, 401, 429]
    assert mine.log_in("owner").status_code == 303
    assert small_desk.browser().log_in("owner").status_code == 429


def test_it_counts_tries_before_it_looks_at_passwords(small_desk: Any) -> None:
    gate = throttle.Throttle(b"k" * 32, "owner", "192.0.2.1")
    waits = [gate.wait(small_desk.database) for _ in range(throttle.PER_NAME + 1)]
    assert [bool(wait) for wait in waits] == [False] * throttle.PER_NAME + [True]
    with small_desk.database.write() as session:
        gate.succeed(session)
        kept = session.exec(select(LoginTries)).all()
    assert not gate.wait(small_desk.database)
    assert not any("owner" in row.scope or "192" in row.scope for row in kept)


def test_it_takes_as_long_for_a_name_nobody_has(small_desk: Any) -> None:
    user = small_desk.ask(lambda rows: rows.exec(select(User)).first())
    fits(None, "warm")

    def seconds(who: User | None) -> float:
        started = time.process_time()
        for _ in range(3):
            assert not fits(who, "wrong")
        return time.process_time() - started

    assert 0.5 < seconds(None) / seconds(user) < 2.0


def test_it_shows_and_ends_sessions(desk: Any) -> None:
    one, two = desk.browser("marketer"), desk.browser("marketer")
    assert two.text("/dashboard/account").count("this one") == 1
    numbers = desk.ask(lambda rows: [row.id for row in rows.exec(select(UserSession).order_by(col(UserSession.id)))])
    other = desk.browser("viewer")
    other.post(f"/dashboard/account/sessions/{numbers[0]}/end", on="/dashboard/account")
    assert one.get("/dashboard/").status_code == 200  # nobody ends somebody else's
    two.post(f"/dashboard/account/sessions/{numbers[0]}/end", on="/dashboard/account")
    assert (one.get("/dashboard/").status_code, two.get("/dashboard/").status_code) == (302, 200)
    two.post("/dashboard/account/sessions/end", on="/dashboard/account")
    assert two.get("/dashboard/").status_code == 302
    assert "ended all sessions" in desk.deeds("marketer")


@pytest.mark.parametrize(("field", "age"), [("seen_at", sessions.IDLE), ("started_at", sessions.LONGEST)])
def test_it_forgets_sessions_that_are_old(small_desk: Any, field: str, age: timedelta) -> None:
    owner = small_desk.browser("owner")
    for near, code in ((timedelta(minutes=1), 200), (-timedelta(minutes=1), 302)):
        with small_desk.database.write() as session:
            row = session.exec(select(UserSession)).one()
            setattr(row, field, real_now() - age + near)
            session.add(row)
        assert owner.get("/dashboard/account").status_code == code


def test_it_changes_a_password_only_for_the_old_one(desk: Any) -> None:
    here, there = desk.browser("viewer"), desk.browser("viewer")
    here.post("/dashboard/account/password", on="/dashboard/account", old="wrong", new="quite another")
    assert there.get("/dashboard/").status_code == 200
    here.post("/dashboard/account/password", on="/dashboard/account", old="long enough", new="short")
    assert there.get("/dashboard/").status_code == 200
    here.post("/dashboard/account/password", on="/dashboard/account", old="long enough", new="quite another")
    assert (here.get("/dashboard/").status_code, there.get("/dashboard/").status_code) == (200, 302)
    assert desk.browser().log_in("viewer").status_code == 401
    assert desk.browser().log_in("viewer", "quite another").status_code == 303


def test_it_keeps_argon2id_hashes_with_a_salt_of_their_own(desk: Any) -> None:
    """RFC 9106 4, the second choice or more: 64 MiB, three passes."""
    with desk.database.read() as session:
        kept = session.exec(select(User.password_hash)).all()
    assert len(kept) > 1
    assert len({digest.split("$")[4] for digest in kept}) == len(kept)
    for digest in kept:
        found = re.fullmatch(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=\d+\$[^$]{22,}\$[^$]{43,}", digest)
        assert found, digest
        assert int(found[1]) >= 65_536
        assert int(found[2]) >= 3


def test_it_makes_shows_once_and_ends_tokens(desk: Any) -> None:
    owner = desk.browser("owner")
    page = owner.post("/dashboard/access/tokens", on="/dashboard/access", name="sheet", scope="read").get_data(
        as_text=True
    )
    value = re.search(r">([\w-]{43})<", page)
    assert value is not None
    assert value[1] not in owner.text("/dashboard/access")
    headers = {"Authorization": f"Bearer {value[1]}"}
    assert owner.client.get("/api/v1/stats", headers=headers).status_code == 200
    row = desk.ask(lambda rows: rows.exec(select(ApiToken)).one())
    assert value[1] not in str(row.model_dump())
    assert (row.made_by, row.used_at is not None) == ("owner", True)
    assert b"refused from now on" in owner.get("/dashboard/access/tokens/sheet/remove").data
    owner.post("/dashboard/access/tokens/sheet/remove", on="/dashboard/access/tokens/sheet/remove")
    assert owner.client.get("/api/v1/stats", headers=headers).status_code == 401


def test_it_keeps_scopes_apart(desk: Any) -> None:
    owner = desk.browser("owner")
    page = owner.post("/dashboard/access/tokens", on="/dashboard/access", name="shop", scope="conversions")
    value = re.search(rb">([\w-]{43})<", page.data)
    assert value is not None
    answer = owner.client.get("/api/v1/stats", headers={"Authorization": f"Bearer {value[1].decode()}"})
    assert answer.status_code == 403
    owner.post("/dashboard/access/tokens", on="/dashboard/access", name="all", scope="everything")
    assert desk.rows(ApiToken) == 1


def test_it_manages_users_and_keeps_an_owner(desk: Any) -> None:
    owner, numbers = desk.browser("owner"), desk.ask(lambda rows: {u.name: u.id for u in rows.exec(select(User))})
    owner.post("/dashboard/access/users", on="/dashboard/access", name="eve", password="long enough", role="viewer")
    owner.post("/dashboard/access/users", on="/dashboard/access", name="eve", password="long enough", role="owner")
    eve = desk.browser("eve")
    assert eve.get("/dashboard/access").status_code == 403
    for action in ("role", "remove"):
        owner.post(f"/dashboard/access/users/{numbers['owner']}/{action}", on="/dashboard/access", role="viewer")
    assert owner.get("/dashboard/access").status_code == 200
    eves = desk.ask(lambda rows: rows.exec(select(User.id).where(User.name == "eve")).one())
    owner.post(f"/dashboard/access/users/{eves}/role", on="/dashboard/access", role="owner")
    assert eve.get("/dashboard/access").status_code == 200
    owner.post(f"/dashboard/access/users/{eves}/remove", on="/dashboard/access")
    assert eve.get("/dashboard/").status_code == 302
    log = owner.text("/dashboard/log")
    assert all(words in log for words in ("added a user", "changed a role", "removed a user", "logged in"))
    assert desk.deeds("owner")[-3:] == ["added a user", "changed a role", "removed a user"]


def test_it_writes_the_log_with_the_deed_or_not_at_all(desk: Any) -> None:
    before = desk.rows(AuditEntry)
    for name, password, role in (("", "long enough", ""), ("eve", "short", ""), ("eve", "long enough", "king")):
        with pytest.raises(UsageError):
            add_user(desk.database, name, password, role=role)
    assert (desk.rows(User), desk.rows(AuditEntry)) == (3, before)
