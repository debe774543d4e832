"""Who joined: told by API, by a signed webhook and by a file; once each, whoever tells it how often."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlmodel import col, func, select

from challenge import simulate
from challenge.access.tokens import Scope, add_token
from challenge.clock import set_up
from challenge.conversions import (
    COLUMNS,
    KeyUsedTwice,
    Outcome,
    import_file,
    is_signed,
    read,
    read_refund,
    record,
    refund,
)
from challenge.db import Database
from challenge.errors import BadInput, UsageError
from challenge.events import done_times
from challenge.models import Conversion, Enrollment, Event, EventKind, Subscriber, Visit
from challenge.participation import has_joined
from challenge.plan import facts_of
from challenge.programme.definition import shipped
from challenge.rendering.links import Address, Link
from challenge.settings import read_settings
from challenge.stats.funnel import funnel
from challenge.stats.groups import groups
from challenge.stats.unknown import Unknown, unknown
from challenge.tokens import Purpose, Tokens
from challenge.web import create_app
from tests.integration.stats.conftest import MONDAY, Town

NOW = MONDAY + timedelta(days=10)
TOKENS = Tokens(["k" * 40])
SECRET = "a secret that both sides know"


@pytest.fixture
def town(database: Database) -> Town:
    return Town(database)


def tell(town: Town, **fields: Any) -> Outcome:
    told = read({"key": "order-1", **fields}, NOW)
    with town.database.write() as session:
        return record(session, told, "ms-strength", TOKENS, NOW, "api")


def test_it_counts_once_and_attributes_to_source_and_last_day(town: Town) -> None:
    number = town.person(source="podcast", sent={1: 20})
    town.did(number, EventKind.completed, 1, 21)
    town.did(number, EventKind.completed, 2, 45)
    fields = {"email": "Person1@Example.com", "amount": "49.00", "currency": "usd"}
    assert [tell(town, **fields) for _ in range(3)] == [Outcome.recorded, Outcome.repeated, Outcome.repeated]
    with town.database.read() as session:
        row = session.exec(select(Conversion)).one()
        joined = session.exec(select(Event).where(Event.kind == EventKind.joined)).one()
        (podcast,) = groups(session, "ms-strength", 3, NOW, "source")
    assert (row.amount, row.currency, row.last_day, row.how) == (4900, "USD", 2, "api")
    assert joined.detail["last_day"] == 2
    assert (podcast.word, podcast.joined, podcast.revenue) == ("podcast", 1, {"USD": 4900})
    assert "example.com" not in str(row.model_dump()).lower()


def test_it_knows_in_each_run_that_somebody_joined_and_when_each_day_was_done(town: Town) -> None:
    number, other = town.person(sent={1: 20}), town.person()
    town.did(number, EventKind.completed, 1, 21)
    town.did(number, EventKind.completed, 2, 45)
    town.did(number, EventKind.undone, 1, 46)
    town.did(number, EventKind.completed, 1, 50)
    with town.database.write() as session:
        mine, theirs = (session.get_one(Enrollment, one) for one in (number, other))
        again = Enrollment(**mine.model_dump(exclude={"id", "run"}), run=mine.run + 1)
        session.add(again)
        session.flush()
        people = [session.get_one(Subscriber, one.subscriber_id) for one in (mine, theirs)]
        assert [has_joined(session, one) for one in people] == [False, False]
        times = done_times(session, number)
    assert {day: (at - times[2]) / timedelta(hours=1) for day, at in times.items()} == {1: 5, 2: 0}
    tell(town, email="person1@example.com")
    with town.database.read() as session:
        assert [has_joined(session, one) for one in people] == [True, False]


def test_the_same_key_for_something_else_is_refused(town: Town) -> None:
    town.person()
    tell(town, email="person1@example.com", amount=10, currency="EUR")
    with pytest.raises(KeyUsedTwice):
        tell(town, email="person1@example.com", amount=11, currency="EUR")


def test_the_token_of_the_join_link_wins_over_another_address(town: Town) -> None:
    town.person()
    second = town.person()
    ref = TOKENS.sign(Purpose.join, second, 7)
    assert tell(town, ref=ref, email="person1@example.com") is Outcome.recorded
    with town.database.read() as session:
        assert session.exec(select(Event.enrollment_id).where(Event.kind == EventKind.joined)).one() == second


def test_whom_nobody_knows_is_kept_without_an_address(town: Town) -> None:
    assert tell(town, email="stranger@example.com", amount="5", currency="EUR") is Outcome.unmatched
    assert tell(town, key="order-2", ref=TOKENS.sign(Purpose.join, 999, 1)) is Outcome.unmatched
    with town.database.read() as session:
        assert [row.enrollment_id for row in session.exec(select(Conversion))] == [None, None]
        assert session.exec(select(Event)).all() == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"key": "", "email": "a@example.com"}, "key"),
        ({"key": "x" * 129, "email": "a@example.com"}, "key"),
        ({"key": 5, "email": "a@example.com"}, "key"),
        ({"key": "1"}, "ref"),
        ({"key": "1", "email": "nobody"}, "email"),
        ({"key": "1", "email": "a@example.com", "amount": "49"}, "currency"),
        ({"key": "1", "email": "a@example.com", "amount": "49", "currency": "BTCX"}, "currency"),
        ({"key": "1", "email": "a@example.com", "amount": "49.005", "currency": "USD"}, "amount"),
        ({"key": "1", "email": "a@example.com", "amount": "49.5", "currency": "JPY"}, "amount"),
        ({"key": "1", "email": "a@example.com", "amount": -1, "currency": "USD"}, "amount"),
        ({"key": "1", "email": "a@example.com", "amount": True, "currency": "USD"}, "amount"),
        ({"key": "1", "email": "a@example.com", "amount": "1e99", "currency": "USD"}, "amount"),
        ({"key": "1", "email": "a@example.com", "amount": "NaN", "currency": "USD"}, "amount"),
        ({"key": "1", "email": "a@example.com", "amount": [], "currency": "USD"}, "amount"),
        ({"key": "1", "email": "a@example.com", "joined_at": "soon"}, "joined_at"),
        ({"key": "1", "email": "a@example.com", "joined_at": "2999-01-01"}, "joined_at"),
    ],
)
def test_it_says_which_field_to_change(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadInput) as told:
        read(fields, NOW)
    assert told.value.field == field


def test_amounts_are_in_the_smallest_unit() -> None:
    def amount(value: object, currency: str) -> int:
        return read({"key": "1", "email": "a@example.com", "amount": value, "currency": currency}, NOW).amount

    assert (amount("49.00", "USD"), amount(49.5, "EUR"), amount(49, "JPY"), amount("1.234", "KWD")) == (
        4900,
        4950,
        49,
        1234,
    )


def test_a_file_is_read_by_row_and_twice_counts_once(town: Town, tmp_path: Path) -> None:
    town.person()
    file = tmp_path / "joined.csv"
    rows = (
        ",person1@example.com,,49.00,USD,2027-03-05T10:00:00Z",
        "k2,stranger@example.com,,,,2027-03-05",
        ",person1@example.com,,49.00,,2027-03-05",
        ",person1@example.com,,49.00,USD,",
    )
    file.write_text("\n".join([",".join(COLUMNS), *rows]))
    first = import_file(town.database, file, "ms-strength", TOKENS, NOW)
    again = import_file(town.database, file, "ms-strength", TOKENS, NOW)
    assert (first.recorded, first.unmatched, [line for line, _ in first.problems]) == (1, 1, [4, 5])
    assert (again.recorded, again.repeated, len(again.problems)) == (0, 2, 2)
    file.write_text("name\nAna\n")
    with pytest.raises(UsageError, match="email or ref"):
        import_file(town.database, file, "ms-strength", TOKENS, NOW)


def take_back(town: Town, key: str, refunds: str = "order-1", **fields: Any) -> Outcome:
    with town.database.write() as session:
        return refund(session, read_refund({"key": key, "refunds": refunds, **fields}), NOW)


def of_podcast(town: Town) -> tuple[int, dict[str, int]]:
    with town.database.read() as session:
        (podcast,) = groups(session, "ms-strength", 3, NOW, "source")
        paid = session.exec(select(func.sum(Conversion.amount))).one()
    assert int(paid or 0) == sum(podcast.revenue.values())
    return podcast.joined, podcast.revenue


def test_what_is_paid_back_is_no_revenue_and_all_of_it_no_joining(town: Town) -> None:
    town.person(source="podcast", sent={1: 20})
    tell(town, email="person1@example.com", amount="49.00", currency="USD")
    assert take_back(town, "r-1", amount="-10", currency="USD") is Outcome.recorded
    assert of_podcast(town) == (1, {"USD": 3900})
    assert take_back(town, "r-1", amount="-10", currency="USD") is Outcome.repeated
    with pytest.raises(KeyUsedTwice):
        take_back(town, "r-1", amount="-11", currency="USD")
    for wrong in ({"amount": "-39.01", "currency": "USD"}, {"amount": "-39", "currency": "EUR"}):
        with pytest.raises(BadInput, match="Not so much"):
            take_back(town, "r-2", **wrong)
    assert take_back(town, "r-2") is Outcome.recorded
    assert of_podcast(town) == (0, {})
    with pytest.raises(BadInput, match="already"):
        take_back(town, "r-3")
    tell(town, key="order-2", email="person1@example.com", amount="20", currency="USD")
    assert of_podcast(town) == (1, {"USD": 2000})


def test_planning_hears_nothing_of_a_refund(town: Town) -> None:
    number = town.person(source="podcast")
    tell(town, email="person1@example.com")
    with town.database.read() as session:
        before = facts_of(session, [number])
    take_back(town, "r-1")
    with town.database.read() as session:
        assert facts_of(session, [number]) == before


def test_one_of_two_taken_back_leaves_the_other(town: Town) -> None:
    town.person(source="podcast")
    for key in ("order-1", "order-2"):
        tell(town, key=key, email="person1@example.com", joined_at=f"2027-03-0{key[-1]}T18:00:00Z")
    take_back(town, "r-1")
    assert of_podcast(town) == (1, {})
    take_back(town, "r-2", "order-2")
    assert of_podcast(town) == (0, {})


def test_what_was_told_of_nobody_known_can_be_taken_back(town: Town) -> None:
    for key in ("order-1", "order-2"):
        tell(town, key=key, email="stranger@example.com", amount="49", currency="USD")
    assert take_back(town, "r-1", amount=-9, currency="USD") is Outcome.unmatched
    take_back(town, "r-2", "order-2")
    with town.database.read() as session:
        assert unknown(session) == Unknown(1, {"USD": 4000})


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"refunds": "nothing"}, "refunds"),
        ({"refunds": "refund:r-0"}, "refunds"),
        ({"key": ""}, "key"),
        ({"key": "x" * 121}, "key"),
        ({"amount": "10", "currency": "USD"}, "amount"),
        ({"amount": "-0", "currency": "USD"}, "amount"),
        ({"amount": "--1", "currency": "USD"}, "amount"),
        ({"amount": "-x", "currency": "USD"}, "amount"),
        ({"amount": "-1"}, "currency"),
        ({"amount": True, "currency": "USD"}, "amount"),
    ],
)
def test_it_says_what_is_wrong_with_a_refund(town: Town, fields: dict[str, Any], field: str) -> None:
    town.person()
    tell(town, email="person1@example.com", amount="49.00", currency="USD")
    take_back(town, "r-0", amount="-1", currency="USD")
    with pytest.raises(BadInput) as told:
        take_back(town, **({"key": "r-1"} | fields))
    assert told.value.field == field


def test_a_file_can_take_back_and_is_read_twice(town: Town, tmp_path: Path) -> None:
    town.person(source="podcast")
    tell(town, email="person1@example.com", amount="49.00", currency="USD")
    file = tmp_path / "back.csv"
    file.write_text("refunds,amount,currency\norder-1,-9.00,USD\norder-7,,\n")
    first, again = (import_file(town.database, file, "ms-strength", TOKENS, NOW) for _ in range(2))
    assert (first.recorded, [line for line, _ in first.problems], again.repeated) == (1, [3], 1)
    assert of_podcast(town) == (1, {"USD": 4000})


def test_a_file_of_the_time_before_refunds_is_still_known(town: Town, tmp_path: Path) -> None:
    town.person()
    row = ("", "person1@example.com", "", "49.00", "USD", "2027-03-05T10:00:00Z")
    key = f"file:{hashlib.sha256(chr(31).join(row).encode()).hexdigest()}"
    tell(town, key=key, email=row[1], amount=row[3], currency=row[4], joined_at=row[5])
    file = tmp_path / "joined.csv"
    file.write_text(f"key,email,ref,amount,currency,joined_at\n{','.join(row)}\n")
    assert import_file(town.database, file, "ms-strength", TOKENS, NOW).repeated == 1


def test_four_refunds_at_once_pay_back_no_more_than_was_paid(town: Town) -> None:
    town.person(source="podcast")
    tell(town, email="person1@example.com", amount="49.00", currency="USD")
    outcomes: list[object] = []

    def back(number: int) -> None:
        try:
            outcomes.append(take_back(town, f"r-{number}", amount="-20", currency="USD"))
        except BadInput as error:
            outcomes.append(error.field)

    threads = [threading.Thread(target=back, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, outcomes)) == ["amount", "amount", "recorded", "recorded"]
    assert of_podcast(town) == (1, {"USD": 900})


def test_a_signature_is_of_this_body_this_secret_and_now() -> None:
    real = datetime.now(UTC)
    good = signature(b"body", int(real.timestamp()))
    assert is_signed(b"body", good, SECRET, real)
    assert not is_signed(b"other", good, SECRET, real)
    assert not is_signed(b"body", good, "another", real)
    assert not is_signed(b"body", good, SECRET, real + timedelta(seconds=302))
    for header in ("", "t=,v1=", "t=x,v1=é", "nonsense", f"t={10**30},v1=00"):
        assert not is_signed(b"body", header, SECRET, real)
    assert not is_signed(b"body", signature(b"body", int(real.timestamp()), ""), "", real)


def signature(body: bytes, at: int, secret: str = SECRET) -> str:
    return f"t={at},v1={hmac.new(secret.encode(), f'{at}.'.encode() + body, hashlib.sha256).hexdigest()}"


@pytest.fixture
def site(town: Town, tmp_path: Path) -> Iterator[Any]:
    environ = {"CHALLENGE_DATA_DIR": str(tmp_path), "CHALLENGE_CLOCK_START": NOW.isoformat()}
    settings = read_settings(environ, None, database_url=town.database.url, conversion_secret=SECRET)
    with town.database.write() as session:
        set_up(session, settings)
    app = create_app(settings, shipped())
    yield app
    app.extensions["challenge"].database.close()


def test_the_demos_people_join_as_others_do(town: Town, site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """They follow the link of the invitation; the programme's site tells of those who join, signed, each once."""
    number, service = town.person(source="podcast"), site.extensions["challenge"]
    with town.database.write() as session:
        town._mail(session, number, "invitation", "invitation", 100)
    to = Address(number, 1, "invitation")
    mail: Any = SimpleNamespace(text=f"See it:\n{service.composer.links.tracked(Link.invitation, to)}", html="")
    (person,) = simulate._people(1, 5)
    crowd = simulate.Crowd(service.settings, "http://127.0.0.1:1", 1, print)
    client = site.test_client()

    def ask(method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> Any:
        answer = client.open(path, method=method, data=body, headers=headers)
        return answer.status_code, answer.get_data(as_text=True), answer.headers.get("Location", "")

    monkeypatch.setattr(crowd, "_request", ask)
    for is_joining in (False, True):
        assert of_podcast(town) == (0, {})
        crowd._look_at_programme(person, simulate._Mail(mail), is_joining=is_joining)
    assert (of_podcast(town), crowd.lost) == ((1, {"USD": 4900}), 0)


def test_the_api_wants_a_token_of_its_scope_or_a_signature(town: Town, site: Any) -> None:
    town.person()
    with town.database.write() as session:
        reads, tells = add_token(session, "reads"), add_token(session, "tells", Scope.conversions)
    client, body = site.test_client(), json.dumps({"key": "o-1", "email": "person1@example.com"}).encode()

    def post(data: bytes = body, **headers: str) -> tuple[int, Any]:
        answer = client.post(
            "/api/v1/conversions",
            data=data,
            content_type="application/json",
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        return answer.status_code, answer.get_json()

    assert post()[0] == 401
    assert post(Authorization=f"Bearer {reads}")[0] == 403
    assert post(X_Challenge_Signature=signature(body, int(time.time()), "wrong"))[0] == 401
    assert post(Authorization=f"Bearer {tells}") == (201, {"status": "recorded"})
    assert post(X_Challenge_Signature=signature(body, int(time.time()))) == (200, {"status": "repeated"})
    back = json.dumps({"key": "r-1", "refunds": "o-1"}).encode()
    assert post(back, Authorization=f"Bearer {tells}") == (201, {"status": "recorded"})
    assert post(back, Authorization=f"Bearer {tells}") == (200, {"status": "repeated"})
    wrong = json.dumps({"key": "r-2", "refunds": "o-9"}).encode()
    assert post(wrong, Authorization=f"Bearer {tells}")[0] == 422
    other = json.dumps({"email": "stranger@example.com"}).encode()
    assert post(other, Authorization=f"Bearer {tells}")[0] == 422
    assert post(other, Authorization=f"Bearer {tells}", Idempotency_Key="o-1")[0] == 409
    assert post(other, Authorization=f"Bearer {tells}", Idempotency_Key="o-2") == (201, {"status": "unmatched"})
    for nonsense in (b"[]", b"{", b"\xff", b""):
        assert post(nonsense, Authorization=f"Bearer {tells}")[0] == 400


def test_eight_at_once_are_one(town: Town, site: Any) -> None:
    town.person()
    with town.database.write() as session:
        token = add_token(session, "tells", Scope.conversions)
    codes: list[int] = []

    def post() -> None:
        answer = site.test_client().post(
            "/api/v1/conversions",
            json={"key": "o-1", "email": "person1@example.com"},
            headers={"Authorization": f"Bearer {token}"},
        )
        codes.append(answer.status_code)

    threads = [threading.Thread(target=post) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200] * 7 + [201]
    with town.database.read() as session:
        assert len(session.exec(select(Event).where(Event.kind == EventKind.joined)).all()) == 1


def test_visits_are_counted_without_a_cookie(town: Town, site: Any) -> None:
    from challenge.models import Visitor
    from challenge.stats.filter import read as filtered
    from challenge.stats.visits import visits, visits_by

    client = site.test_client()
    ana = {"User-Agent": "Mozilla/5.0 (X11) Firefox/132.0"}
    for headers in (ana, ana, {"User-Agent": "Mozilla/5.0 (iPhone) Safari/604.1"}, {"User-Agent": "curl/8.5"}):
        answer = client.get("/?utm_source=podcast", headers=headers)
        assert (answer.status_code, "Set-Cookie" in answer.headers) == (200, False)
    client.get("/", headers=ana | {"Referer": "https://www.blog.example/secret-page"})
    client.get("/", headers=ana | {"Referer": "http://127.0.0.1:8000/exercises"})
    client.get("/", headers=ana | {"Sec-Purpose": "prefetch"})
    with town.database.read() as session:
        all_of_them = visits(session, "ms-strength")
        assert all_of_them is not None
        assert (all_of_them.visitors, all_of_them.views, all_of_them.machines) == (2, 4, 1)
        by_source = visits_by(session, "ms-strength", "source")
        assert by_source is not None
        assert (by_source["podcast"].visitors, by_source["podcast"].views) == (2, 3)
        assert by_source["blog.example"].views == 1
        assert visits(session, "ms-strength", filtered({"position": "seated"})) is None
        podcast = visits(session, "ms-strength", filtered({"source": "podcast", "from": "2027-03-11"}))
        earlier = visits(session, "ms-strength", filtered({"to": "2027-03-10"}))
        assert podcast is not None
        assert earlier is not None
        assert (podcast.visitors, earlier.visitors) == (2, 0)
        assert "secret-page" not in str([row.model_dump() for row in session.exec(select(Visit))])
        assert all(len(row.hash) == 24 for row in session.exec(select(Visitor)))
        first = funnel(session, "ms-strength", 3, NOW).steps[0]
    assert (first.count, first.of, first.lost) == (0, 2, 2)


def test_a_form_on_another_site_counts_its_visits_and_sign_ups_under_the_same_words(town: Town, site: Any) -> None:
    client, ana = (
        site.test_client(),
        {"User-Agent": "Mozilla/5.0 (X11) Firefox/128.0", "Referer": "https://www.clinic.example/page"},
    )
    for _ in range(3):
        answer = client.get("/seen.gif?form_variant=clinic", headers=ana)
    assert (answer.status_code, answer.mimetype, answer.headers["Cache-Control"]) == (200, "image/gif", "no-store")
    assert "Set-Cookie" not in answer.headers
    client.get("/seen.gif?form_variant=clinic", headers=ana | {"Sec-Purpose": "prefetch"})
    fields = {"email": "ana@example.com", "form_variant": "clinic"}
    assert client.post("/signup", data=fields, headers=ana).status_code == 303
    client.post(
        "/api/v1/signups", json=fields | {"email": "ben@example.com"}, headers={"Origin": "https://clinic.example"}
    )
    client.post("/signup", data={"email": "cleo@example.com"}, headers={"Referer": "http://127.0.0.1:8000/"})
    with town.database.read() as session:
        counts = {
            row.who: (row.source, row.form_variant, row.visitors, row.views) for row in session.exec(select(Visit))
        }
        people = [
            (row.source, row.form_variant) for row in session.exec(select(Enrollment).order_by(col(Enrollment.id)))
        ]
    assert counts["person"] == ("clinic.example", "clinic", 1, 3)
    assert set(counts) == {"person", "machine"}
    assert people == [("clinic.example", "clinic")] * 2 + [("direct", "")]


def test_a_sign_up_by_api_is_not_of_the_visitors_and_one_by_our_form_elsewhere_is(town: Town, site: Any) -> None:
    client, at = site.test_client(), int(time.time()) - 60
    tag = site.extensions["challenge"].tokens.tag(f"shown:{at}")
    origin = {"Origin": "https://clinic.example"}
    for name, more, headers in (("ana", {}, {}), ("ben", {}, origin), ("cleo", {"shown": f"{at}.{tag}"}, origin)):
        answer = client.post("/api/v1/signups", json={"email": f"{name}@example.com", **more}, headers=headers)
        assert answer.status_code == 202
    assert client.post("/signup", data={"email": "dora@example.com"}).status_code == 303
    with town.database.read() as session:
        found = funnel(session, "ms-strength", 3, NOW)
    assert (found.signed_up, found.by_form, found.by_api) == (4, 2, 2)
