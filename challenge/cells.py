"""What may stand in a cell of a CSV file? Asked by everything that writes one, for a spreadsheet runs what it takes for a
formula. Whoever writes also quotes every cell: where commas are decimal signs, a spreadsheet parts a line at semicolons."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n")  # also the full-width signs
_UNSEEN = " \u00a0\ufeff"

Cell = str | int | float | None


def safe(cell: Cell) -> Cell:
    """A word that a spreadsheet would run gets an apostrophe before it (OWASP: CSV injection). Numbers are numbers."""
    if isinstance(cell, str) and cell.lstrip(_UNSEEN).startswith(_FORMULA):
        return "'" + cell
    return cell
