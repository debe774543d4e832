"""The numbers of page, CSV, JSON, API and command are one; no cell is a formula; empty pages say what to do next."""

from __future__ import annotations

import csv
import io
import json
import re
import secrets
from typing import Any

import pytest
from sqlmodel import col, delete, func, select

from challenge import accounts
from challenge.access.tokens import add_token
from challenge.audit import audit
from challenge.conversions import read, record, record_for
from challenge.models import Conversion, Enrollment, Event, EventKind
from challenge.web import tables
from tests.commands import run
from tests.integration.desk.town import FRIDAY, Town


@pytest.fixture
def town(desk: Any) -> Any:
    with desk.database.write() as session:
        Town(session, desk.challenge).settle(60)
    return desk


def cells(page: str, section: str) -> list[list[str]]:
    body = re.search(rf'<section[^>]*aria-labelledby="{section}".*?<tbody>(.*?)</tbody>', page, re.DOTALL)
    assert body is not None
    rows = re.findall(r"<tr>(.*?)</tr>", body[1], re.DOTALL)
    return [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)]
        for row in rows
    ]


def bearer(desk: Any) -> dict[str, str]:
    with desk.database.write() as session:
        return {"Authorization": f"Bearer {add_token(session, secrets.token_hex(4))}"}


def test_it_shows_the_same_numbers_everywhere(town: Any) -> None:
    for query in ("", "?source=podcast", "?from=2027-02-10&to=2027-03-01", "?position=seated&country=US"):
        compare(town, query)


def compare(town: Any, query: str) -> None:
    viewer, headers = town.browser("viewer"), bearer(town)
    numbers = viewer.client.get(f"/api/v1/stats{query}", headers=headers).json
    page = viewer.text(f"/dashboard/funnel{query}")
    shown = cells(page, "days")
    assert [[int(row[i].replace(",", "")) for i in (0, 1, 2, 5, 6, 7)] for row in shown] == [
        [day[name] for name in ("day", "sent", "delivered", "clicked", "done", "rested")] for day in numbers["days"]
    ]
    compare_mails(town, numbers, viewer.text(f"/dashboard/mails{query}"), is_all=not query)
    seen = [numbers["visits"]["visitors"]] if numbers["visits"] else []
    counts = [int(row[1].replace(",", "")) for row in cells(page, "way")]
    assert counts == seen + [step["count"] for step in numbers["steps"]]
    way = [(step["early"], step["reached"], step["of"], step["not_yet"]) for step in numbers["steps"]]
    told = [(row[2], *row[6].split(" of "), row[8]) for row in cells(page, "way")[len(seen) :] if row[6] != "–"]
    assert [tuple(int(cell.replace(",", "")) for cell in row) for row in told] == way[len(way) - len(told) :]
    assert len(told) >= len(way) - 1
    for step in numbers["steps"]:
        assert step["count"] == step["early"] + step["reached"] + step["other"]
        assert step["rate"] == (step["reached"] / step["of"] if step["of"] and step["rate"] is not None else None)
    for day in numbers["days"]:
        assert day["done"] == day["early"] + day["reached"]
        assert day["sent"] == day["of"] + day["not_yet"]
    assert any(day["done"] for day in numbers["days"])
    for name in tables.names():
        one = viewer.get(f"/dashboard/tables/{name}.json{query}").json
        other = viewer.client.get(f"/api/v1/tables/{name}{query}", headers=headers).json
        assert one == other
        sheet = viewer.get(f"/dashboard/tables/{name}.csv{query}").get_data(as_text=True)
        assert sheet == viewer.client.get(f"/api/v1/tables/{name}.csv{query}", headers=headers).get_data(as_text=True)
        read = list(csv.reader(io.StringIO(sheet.removeprefix("\ufeff"))))
        assert read[0] == [column["key"] for column in one["columns"]]
        assert read[1:] == [["" if row[key] is None else str(row[key]) for key in read[0]] for row in one["rows"]]


def compare_mails(town: Any, numbers: dict[str, Any], page: str, *, is_all: bool) -> None:
    """The page, the audit, the funnel's days and plain SQL."""
    whole = [[int(cell.replace(",", "")) for cell in row[1:4]] for row in cells(page, "mails")]
    assert whole == [[row["sent"], row["runs"], row["bounced"]] for row in numbers["mails"]]
    after = [[int(cell.replace(",", "")) for cell in (*row[2:7], row[10])] for row in cells(page, "after")]
    names = ("unsubscribed", "left_bounced", "complained", "left_other", "left", "not_yet")
    assert after == [[row[name] for name in names] for row in numbers["mails"]]
    days = [[int(cell.replace(",", "")) for cell in row[1:]] for row in cells(page, "leaving")]
    whys = ("mailed", "unsubscribed", "bounced", "complained", "other", "left")
    assert days == [[row[name] for name in whys] for row in reversed(numbers["leaving"])][:28]
    by_name = {row["mail"]: row for row in numbers["mails"]}
    for day in numbers["days"]:
        row = by_name[f"day-{day['day']}"]
        for name in ("delivered", "untracked", "seen_of", "opened_least", "opened_most", "clicked_seen", "clicked"):
            assert row[name] == day[name]
        assert row["runs"] == day["sent"]
    for rows in (numbers["mails"], numbers["leaving"]):
        assert sum(row["left"] for row in rows) == numbers["stopped"]
    if is_all:
        with town.database.read() as session:
            found = audit(session, town.challenge, town.settings, FRIDAY)
            events = select(func.date(Event.occurred_at), func.count()).where(Event.kind == EventKind.unsubscribed)
            by_date = {str(day): count for day, count in session.exec(events.group_by(func.date(Event.occurred_at)))}
        sent: dict[str, int] = {}
        for key, states in found.mails.items():
            name = key if key.startswith("day-") else key.partition(":")[0]
            sent[name] = sent.get(name, 0) + states.get("sent", 0)
        assert {row["mail"]: row["sent"] for row in numbers["mails"]} == {
            name: count for name, count in sent.items() if count or name.startswith("day-")
        }
        assert {row["day"]: row["unsubscribed"] for row in numbers["leaving"] if row["unsubscribed"]} == by_date
        assert by_date


def test_it_tells_the_command_line_the_same(small_desk: Any) -> None:
    with small_desk.database.write() as session:
        Town(session, small_desk.challenge).settle(40)
    answer = small_desk.browser("viewer").client.get("/api/v1/stats", headers=bearer(small_desk)).json
    ours = json.loads(told_by(small_desk, "stats", "--json"))
    assert {key: ours[key] for key in ("signed_up", "confirmed", "finished", "joined", "by_source")} == {
        key: answer[key] for key in ("signed_up", "confirmed", "finished", "joined", "by_source")
    }
    for name in ("days", "steps", "mails", "leaving"):
        assert ours[name] == answer[name]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", " =", "\n@", "\u00a0+"])
def test_it_never_writes_a_formula(start: str) -> None:
    word = f"{start}HYPERLINK(1)"
    table = tables.Table("x", "X", (tables.Column("word", "Word", "word"), tables.Column("n", "N")), ((word, -3),))
    ((cell, number),) = list(csv.reader(io.StringIO(table.to_csv().removeprefix("\ufeff"), newline="")))[1:]
    assert cell == f"'{word}"
    assert number == "-3"
    assert cell[0] not in "=+-@\t\r\n"


def test_it_writes_money_as_its_currency_does(desk: Any) -> None:
    with desk.database.write() as session:
        Town(session, desk.challenge).settle(3)
    for key, amount, currency in (("1", "1234.50", "EUR"), ("2", "4900", "JPY"), ("3", "1.234", "KWD")):
        with desk.database.write() as session:
            told = read({"key": key, "email": "nobody@example.com", "amount": amount, "currency": currency}, FRIDAY)
            record_for(session, 1, told, FRIDAY, "test")
    viewer = desk.browser("viewer")
    page, sheet = viewer.text("/dashboard/sources"), viewer.get("/dashboard/tables/groups.json").get_json()
    assert all(f"<td>{money}</td>" in page for money in ("1,234.50", "4,900", "1.234"))
    (row,) = [row for row in sheet["rows"] if row["revenue_EUR"]]
    assert (row["revenue_EUR"], row["revenue_JPY"], row["revenue_KWD"]) == (1234.5, 4900, 1.234)


def test_it_writes_sources_of_strangers_harmlessly(desk: Any) -> None:
    with desk.database.write() as session:
        Town(session, desk.challenge).settle(3)
        row = session.get_one(Enrollment, 1)
        row.source = '=cmd|"/c calc"!A1'
        session.add(row)
    viewer = desk.browser("viewer")
    assert "'=cmd|" in viewer.get("/dashboard/tables/groups.csv").get_data(as_text=True)
    assert "<script" not in viewer.text("/dashboard/sources").replace('<script src="/static/desk.js" defer>', "")


def test_it_says_what_to_do_next_when_nobody_is_there(small_desk: Any) -> None:
    viewer = small_desk.browser("viewer")
    for page in ("funnel", "mails", "sources", "weeks"):
        text = viewer.text(f"/dashboard/{page}")
        assert "utm_source=newsletter" in text
        assert "Take a filter away" in viewer.text(f"/dashboard/{page}?source=nobody")
    assert "Nobody has signed up yet" in small_desk.browser("marketer").text("/dashboard/people")


def test_it_explains_a_filter_it_cannot_read(small_desk: Any) -> None:
    viewer, headers = small_desk.browser("viewer"), bearer(small_desk)
    for query in ("?from=yesterday", "?from=2027-03-02&to=2027-03-01", "?by=shoe_size"):
        path = "sources" if "by" in query else "funnel"
        answer = viewer.get(f"/dashboard/{path}{query}")
        assert answer.status_code == 422, query
        name = "groups" if "by" in query else "funnel"
        assert viewer.client.get(f"/api/v1/tables/{name}{query}", headers=headers).status_code == 422
    assert viewer.get("/dashboard/tables/people.csv").status_code == 404
    assert viewer.client.get("/api/v1/tables/people", headers=headers).status_code == 404


def test_a_filter_that_is_misspelt_is_not_everybody(small_desk: Any) -> None:
    viewer, headers = small_desk.browser("viewer"), bearer(small_desk)
    for path in ("/api/v1/stats", "/api/v1/tables/groups", "/api/v1/tables/groups.csv"):
        answer = viewer.client.get(f"{path}?sourc=podcast", headers=headers)
        assert answer.status_code == 422
        assert "sourc is no filter. There are: from, to," in answer.json["error"]
    assert viewer.get("/dashboard/funnel?sourc=podcast").status_code == 422


def test_a_file_says_of_whom_it_is_and_as_of_when(small_desk: Any) -> None:
    viewer, headers, query = small_desk.browser("viewer"), bearer(small_desk), "?source=a/../b%22c&from=2027-03-01"
    name = "groups-as-of-20270305T1420Z-from-2027-03-01-source-a-..-b-c"
    for path in (f"/api/v1/tables/groups.csv{query}", f"/dashboard/tables/groups.csv{query}"):
        told = viewer.client.get(path, headers=headers).headers["Content-Disposition"]
        assert told == f'attachment; filename="{name}.csv"'
    told = viewer.get(f"/dashboard/tables/groups.json{query}").headers["Content-Disposition"]
    assert told == f'inline; filename="{name}.json"'


def test_what_nobody_is_known_for_is_in_the_sum(desk: Any) -> None:
    """49.00 of a person and 10.00 of nobody known: 59.00 in all, recomputed from the rows."""
    with desk.database.write() as session:
        Town(session, desk.challenge).settle(3)
        session.exec(delete(Event).where(col(Event.kind) == EventKind.joined))
    for key, email, amount in (("1", "", "49"), ("2", "stranger@example.com", "10")):
        with desk.database.write() as session:
            told = read({"key": key, "email": email or "a@b.example", "amount": amount, "currency": "USD"}, FRIDAY)
            if email:
                record(session, told, desk.challenge.slug, desk.service.tokens, FRIDAY, "api")
            else:
                record_for(session, 1, told, FRIDAY, "api")
            paid = session.exec(select(func.sum(Conversion.amount))).one()
    viewer, headers = desk.browser("viewer"), bearer(desk)
    page = viewer.text("/dashboard/sources")
    assert paid == 5900
    assert re.search(r"<tfoot>.*?<td>59\.00</td>", page)
    assert '<th scope="row">nobody known</th>' in page
    assert "1 more joined of whom nobody here is known, who paid 10.00 USD." in viewer.text("/dashboard/funnel")
    rows = viewer.client.get("/api/v1/tables/groups", headers=headers).json["rows"]
    assert (rows[-1]["source"], rows[-1]["joined"], rows[-1]["revenue_USD"]) == ("(nobody known)", 1, 10)
    assert sum(row["revenue_USD"] for row in rows) == 59
    assert viewer.client.get("/api/v1/stats", headers=headers).json["unknown"] == {
        "count": 1, "revenue_smallest_unit": {"USD": 1000}
    }  # fmt: skip
    filtered = viewer.text("/dashboard/sources?position=seated")
    assert "nobody known</th>" not in filtered
    assert "they and their money are not in this table" in filtered


def told_by(desk: Any, *words: str) -> str:
    done = run(desk.settings.data_dir, *words, CHALLENGE_DATABASE_URL=desk.settings.database)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_tells_rates_and_money_as_people_write_it(small_desk: Any) -> None:
    with small_desk.database.write() as session:
        Town(session, small_desk.challenge).settle(40)
        told = read({"key": "1", "email": "stranger@example.com", "amount": "1234.50", "currency": "EUR"}, FRIDAY)
        record(session, told, small_desk.challenge.slug, small_desk.service.tokens, FRIDAY, "api")
    rows = {
        row["source"]: row for row in small_desk.browser("viewer").get("/dashboard/tables/groups.json").json["rows"]
    }
    whole = told_by(small_desk, "stats")
    (finish,) = [
        row
        for row in small_desk.browser("viewer").get("/dashboard/tables/mails.json").json["rows"]
        if row["mail"] == "finish"
    ]
    assert re.search(rf" finish +{finish['sent']} +{finish['opened_least']} to {finish['opened_most']} ", whole)
    assert f"{finish['stop_reached']} of {finish['stop_of']}" in whole
    by_source = told_by(small_desk, "stats", "--by", "source")
    assert "(nobody known)" in by_source
    assert "1,234.50 EUR" in by_source
    assert "smallest" not in by_source
    rated = next(row for row in rows.values() if row["join_rate"] is not None)
    assert f"{rated['join_rate']:.1%} ({rated['join_low']:.1%} to {rated['join_high']:.1%})" in by_source
    assert re.search(r"revenue in all: .*1,234\.50 EUR", by_source)
    as_json = json.loads(told_by(small_desk, "stats", "--by", "source", "--json"))
    assert all("revenue_smallest_unit" in group for group in as_json)
    weeks = told_by(small_desk, "stats", "--by", "week")
    first = small_desk.browser("viewer").get("/dashboard/tables/cohorts.json").json["rows"][0]
    assert f"{first['day_1_rate']:.1%} ({first['day_1_low']:.1%} to {first['day_1_high']:.1%})" in weeks
    assert json.loads(
        told_by(small_desk, "conversions", "refund", "1", "--amount", "34.50", "--currency", "EUR", "--json")
    ) == {"status": "unmatched"}
    assert "1,200.00 EUR" in told_by(small_desk, "stats", "--by", "source")


def test_the_pages_promise_nothing_that_does_not_hold(town: Any) -> None:
    viewer = town.browser("viewer")
    funnel, weeks = viewer.text("/dashboard/funnel"), viewer.text("/dashboard/weeks")
    assert "as true on the first day" not in funnel
    assert "the rate of young runs can still grow" in funnel
    assert "neither better nor worse" not in weeks
    assert "a young week can still grow" in weeks
    assert re.search(r"<h1>60 sign-ups until 31 March 2027</h1>", viewer.text("/dashboard/funnel?to=2027-03-31"))
    first = next(row for row in viewer.get("/dashboard/tables/cohorts.json").json["rows"] if row["day_1_of"])
    assert 0 <= first["day_1_low"] <= first["day_1_rate"] <= first["day_1_high"] <= 1
    assert "95 of 100 weeks" in weeks


def test_it_takes_filters_away_one_by_one(town: Any) -> None:
    page = town.browser("viewer").text("/dashboard/funnel?source=podcast&position=seated&from=2027-02-01")
    assert "Source: podcast" in page
    assert 'href="/dashboard/funnel?from=2027-02-01&amp;source=podcast"' in page
    assert "since 1 February 2027" in page
    assert FRIDAY.year == 2027


def test_the_api_tells_the_last_audit_and_runs_none(small_desk: Any) -> None:
    client, headers = small_desk.browser().client, bearer(small_desk)
    assert client.get("/api/v1/audit", headers=headers).status_code == 404
    with small_desk.database.write() as session:
        Town(session, small_desk.challenge).settle(5)
    accounts.run(small_desk.database, small_desk.challenge, small_desk.settings)
    with small_desk.database.read() as session:
        kept = accounts.last(session)
    with small_desk.database.write() as session:
        Town(session, small_desk.challenge, seed=6).trouble()
    assert kept is not None
    told = client.get("/api/v1/audit", headers=headers).json
    assert (told["owed"], told["balanced"]) == (kept.owed, kept.balanced)
    assert told["ran_at"] == kept.ran_at.isoformat()


@pytest.mark.parametrize("page", ["", "funnel", "mails", "sources", "weeks", "people"])
def test_every_row_has_a_cell_for_every_column(town: Any, page: str) -> None:
    browser = town.browser("owner")
    town.browser().get("/?utm_source=podcast")  # somebody who only looked
    shown = browser.get(f"/dashboard/{page}").get_data(as_text=True)
    tables = re.findall(r"<table.*?</table>", shown, re.DOTALL)
    assert tables or page == "people"
    for table in tables:
        head, _, body = table.partition("</thead>")
        columns = head.count("<th")
        for row in re.findall(r"<tr.*?</tr>", body, re.DOTALL):
            if "colspan" not in row:
                assert len(re.findall(r"<t[hd][ >]", row)) == columns - head.count("<thead"), row
