"""No spreadsheet may run what a stranger typed, whatever sign it parts cells by."""

from __future__ import annotations

import csv
import io

import pytest

from challenge.cells import Cell, safe
from challenge.web.tables import Column, Table

FORMULA = "x;=cmd|'/C calc'!A0"


@pytest.mark.parametrize("word", ["=1", "+1", "-1", "@a", " =1", "\u00a0=1", "\ufeff=1", "＝1", "\t=1", "\r=1"])
def test_it_marks_a_formula(word: str) -> None:
    assert safe(word) == f"'{word}"


@pytest.mark.parametrize("cell", ["newsletter", "", "a=b", -1, 0.5, None])
def test_it_leaves_the_others(cell: Cell) -> None:
    assert safe(cell) == cell


def test_every_cell_of_a_table_is_quoted() -> None:
    table = Table(
        "t", "T", (Column("a", "A"), Column("b", "B"), Column("c", "C")), ((FORMULA, 3, None), ('"', -1, 0.5))
    )
    text = table.to_csv().lstrip("\ufeff")
    assert text.splitlines()[1] == f'"{FORMULA}","3",""'
    assert list(csv.reader(io.StringIO(text)))[1:] == [[FORMULA, "3", ""], ['"', "-1", "0.5"]]
