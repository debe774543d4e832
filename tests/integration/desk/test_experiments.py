"""The experiments page: page, CSV, JSON and API are one; the verdict in words; what to do when there is no test."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import pytest
from sqlmodel import select

from challenge.models import Enrollment, Visit
from challenge.stats.experiments import SIGNED_UP, experiments, goals_of
from challenge.stats.filter import Filter
from tests.integration.desk.conftest import Desk
from tests.integration.desk.test_numbers import bearer, cells
from tests.integration.desk.town import FRIDAY, VARIANTS, Town

_FILTERS = ("", "?goal=confirmed", "?goal=done-2&source=podcast", "?goal=signed_up&position=seated")


@pytest.fixture
def tested(desk: Desk) -> Desk:
    _with_variants(desk)
    with desk.database.write() as session:
        Town(session, desk.challenge).settle(60)
    return desk


def _with_variants(desk: Desk) -> None:
    desk.app.extensions["challenge"] = replace(desk.service, challenge=replace(desk.challenge, variants=VARIANTS))


@pytest.mark.parametrize("query", _FILTERS)
def test_it_shows_the_same_numbers_everywhere(tested: Desk, query: str) -> None:
    viewer, headers = tested.browser("viewer"), bearer(tested)
    answer: Any = viewer.client.get(f"/api/v1/tables/experiments{query}", headers=headers).json
    found = answer["rows"]
    page = viewer.text(f"/dashboard/experiments{query}")
    for kind in ("form_variant", "variant"):
        shown = cells(page, f"test-{kind}")
        mine = [row for row in found if row["test"] == kind]
        assert [row[0] for row in shown] == [row["variant"] for row in mine] == ["a", "b"]
        for row, told in zip(shown, mine, strict=True):
            assert row[1] == str(told["people"])
            assert row[2:4] == ([str(told["count"]), str(told["of"])] if told["of"] else ["–", "–"])
            assert row[7] == _points(told["difference"])
            assert row[9] == (
                f"{_points(told['always_low'])} to {_points(told['always_high'])}" if told["needed"] else "–"
            )
            assert row[11] == ("–" if told["more"] is None else f"{told['more']:,}")
    sheet = viewer.get(f"/dashboard/tables/experiments.csv{query}").get_data(as_text=True).removeprefix("\ufeff")
    assert [row["probability_better"] for row in csv.DictReader(io.StringIO(sheet))] == [
        "" if row["probability_better"] is None else str(row["probability_better"]) for row in found
    ]


def _points(difference: float | None) -> str:
    return "–" if difference is None else f"{100 * difference:+.1f}".replace("-", "−")


def test_it_tells_who_won_in_words(tested: Desk) -> None:
    page = tested.browser("viewer").text("/dashboard/experiments")
    assert "<b>b or a: not decided.</b> You may look every day" in page
    assert VARIANTS.landing["b"]["headline"] in page
    assert VARIANTS.subjects["b"]["day"] in page
    assert "KDD 2017" in page
    _come(tested, a=200, b=190)
    assert "<b>b is better than a.</b> You may stop" in tested.browser("viewer").text("/dashboard/experiments")
    _come(tested, a=1, b=9000)
    assert "<b>b is worse than a.</b> You may stop" in tested.browser("viewer").text("/dashboard/experiments")


def _come(desk: Desk, **visitors: int) -> None:
    """Visitors: the first time all who see `b` sign up, else nobody."""
    with desk.database.write() as session:
        for variant, count in visitors.items():
            session.add(
                Visit(
                    day=FRIDAY.date().isoformat(), who="person", words=f"{variant} {count}",
                    challenge=desk.challenge.slug, form_variant=variant, visitors=count, views=count,
                )
            )  # fmt: skip
        if visitors["a"] == 200:
            someone = session.get_one(Enrollment, 1)
            kept = someone.model_dump(exclude={"id", "form_variant", "run"})
            session.add_all(Enrollment(**kept, form_variant="b", run=2 + run) for run in range(visitors["b"]))


def test_visitors_are_the_base_only_where_they_are_known(small_desk: Desk) -> None:
    with small_desk.database.write() as session:
        Town(session, small_desk.challenge).settle(30)
        for row in session.exec(select(Enrollment)):
            row.form_variant = "a" if row.id != 1 else "my-site"
        session.add(
            Visit(
                day=FRIDAY.date().isoformat(), who="person", words="c", challenge=small_desk.challenge.slug,
                form_variant="c", visitors=7, views=7,
            )
        )  # fmt: skip
    asked = (small_desk.challenge.slug, 5, FRIDAY)

    def arms(filter: Filter) -> dict[str, tuple[int, int, int]]:
        with small_desk.database.read() as session:
            (test,) = (one for one in experiments(session, *asked, SIGNED_UP, filter) if one.goal == SIGNED_UP)
        return {arm.word: (arm.signed_up, arm.rate.count, arm.rate.of) for arm in test.arms}

    found = arms(Filter())
    assert found["my-site"] == (1, 0, 0)
    assert found["c"] == (0, 0, 7)
    assert found["a"][1] in (0, 29)
    assert all(of == 0 for _, _, of in arms(Filter(position="seated")).values())


def test_it_says_how_to_start_a_test(small_desk: Desk) -> None:
    viewer = small_desk.browser("viewer")
    page = viewer.text("/dashboard/experiments")
    assert "[variants.landing.b]" in page
    assert "challenge lint" in page
    assert "Take a filter away" in viewer.text("/dashboard/experiments?source=nobody")
    _with_variants(small_desk)
    assert "nobody has met them" in viewer.text("/dashboard/experiments")


def test_it_explains_a_goal_there_is_not(small_desk: Any) -> None:
    viewer, headers = small_desk.browser("viewer"), bearer(small_desk)
    assert viewer.get("/dashboard/experiments?goal=rich").status_code == 422
    answer = viewer.client.get("/api/v1/tables/experiments?goal=rich", headers=headers)
    assert answer.status_code == 422
    assert "signed_up" in answer.json["error"]
    for goal in goals_of("form_variant", small_desk.challenge.length):
        assert viewer.get(f"/dashboard/experiments?goal={goal}").status_code == 200


def test_it_is_for_those_who_read_numbers(small_desk: Desk) -> None:
    assert small_desk.browser().get("/dashboard/experiments").status_code == 302
    assert 'href="/dashboard/experiments" aria-current="page"' in small_desk.browser("viewer").text(
        "/dashboard/experiments"
    )


def test_the_funnel_begins_with_the_visit(tested: Any) -> None:
    viewer = tested.browser("viewer")
    numbers = viewer.client.get("/api/v1/stats", headers=bearer(tested)).json
    visited, signed_up = cells(viewer.text("/dashboard/funnel"), "way")[:2]
    assert visited[:2] == ["Visited", str(numbers["visits"]["visitors"])]
    step = numbers["steps"][0]
    assert signed_up[6] == f"{signed_up[1]} of {visited[1]}"
    assert step["rate"] == pytest.approx(numbers["signed_up"] / numbers["visits"]["visitors"])
    assert 0 < step["low"] < step["rate"] < step["high"] < 1
    page = viewer.text("/dashboard/funnel")
    assert f"{numbers['visits']['machines']} machines are left out" in page
    assert "counted without cookies" in page
    hidden = viewer.text("/dashboard/funnel?position=seated")
    assert cells(hidden, "way")[0][:3] == ["Signed up", cells(hidden, "way")[0][1], "–"]
    assert "Visits cannot be told apart" in hidden


def test_it_gives_no_sign_up_rate_when_more_signed_up_than_visited(small_desk: Desk) -> None:
    with small_desk.database.write() as session:
        Town(session, small_desk.challenge).settle(30)
        for row in session.exec(select(Visit)):
            row.visitors = 1 if row.who == "person" and row.id == 1 else 0
    viewer = small_desk.browser("viewer")
    visited, signed_up = cells(viewer.text("/dashboard/funnel"), "way")[:2]
    assert (visited[0], signed_up[1:4]) == ("Visited", ["30", "–", "–"])
    assert "More signed up than visited" in viewer.text("/dashboard/funnel")
