"""Where in the TOML is it wrong, and what to do? Asked by `definition.load`, which never trusts a file.

`tomllib` forgets lines, so a table remembers its header and looks it up in the text when something has to be said.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NoReturn, TypeVar

from challenge.errors import ChallengeError

Choice = TypeVar("Choice", bound=StrEnum)


class ContentError(ChallengeError):
    """A challenge's files cannot be used: which file, which line, what to do about it."""

    def __init__(self, path: Path, line: int | None, problem: str, advice: str) -> None:
        self.path, self.line, self.problem, self.advice = path, line, problem, advice
        self.where = str(path) if line is None else f"{path}, line {line}"
        super().__init__(f"{self.where}: {problem}. {advice}")


@dataclass(frozen=True)
class Source:
    """The text of one challenge file."""

    path: Path
    text: str

    def line_of(self, header: str, nth: int = 0, key: str = "") -> int | None:
        """1-based line of `key` under the nth `header`, else of the header, else None (an inline table)."""
        lines = self.text.splitlines()
        start = 0
        if header:
            wanted = re.compile(rf"\s*\[\[?\s*{re.escape(header)}\s*\]\]?\s*(#.*)?$")
            found = [number for number, line in enumerate(lines, 1) if wanted.match(line)]
            if nth >= len(found):
                return None
            start = found[nth]
        for number, line in enumerate(lines[start:], start + 1):
            if key and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
                return number
            if re.match(r"\[", line):
                break
        return start or (None if header else 1)


@dataclass
class Table:
    """One TOML table, read key by key; what was not read in the end is a misspelling."""

    source: Source
    values: Mapping[str, object]
    header: str = ""
    nth: int = 0
    _read: set[str] = field(default_factory=set)

    def wrong(self, key: str, problem: str, advice: str) -> NoReturn:
        place = f"[{self.header}] " if self.header else ""
        line = self.source.line_of(self.header, self.nth, key)
        raise ContentError(self.source.path, line, f"{place}{problem}", advice)

    def value(self, key: str, add: str = "") -> object:
        self._read.add(key)
        if key not in self.values:
            self.wrong(key, f"{key} is missing", f"Add a line {add or f'{key} = …'}")
        return self.values[key]

    def text(self, key: str, *, may_be_empty: bool = False) -> str:
        """A string without line ends, for these words end up in mail headers too."""
        value = self.value(key)
        if not isinstance(value, str):
            self.wrong(key, f"{key} is not text", f'Put it in quotes: {key} = "…"')
        if not value.strip() and not may_be_empty:
            self.wrong(key, f"{key} is empty", "Write a few words")
        if not value.isprintable():
            self.wrong(key, f"{key} has a line end or a control character", "Keep it on one line")
        return value.strip()

    def texts(self, key: str) -> tuple[str, ...]:
        values = self.value(key)
        if not isinstance(values, list) or not values or not all(_is_line(value) for value in values):
            self.wrong(key, f"{key} is not a list of texts", f'Write {key} = ["…", "…"]')
        return tuple(value.strip() for value in values)

    def number(self, key: str, least: int, most: int) -> int:
        value = self.value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            self.wrong(key, f"{key} is not a whole number from {least} to {most}", f"Write {key} = {least}")
        return value

    def choice(self, key: str, options: type[Choice]) -> Choice:
        return self.one_of(key, self.text(key), options)

    def choices(self, key: str, options: type[Choice]) -> tuple[Choice, ...]:
        return tuple(self.one_of(key, word, options) for word in self.texts(key))

    def one_of(self, key: str, word: str, options: type[Choice]) -> Choice:
        if word not in list(options):
            self.wrong(key, f"{word!r} is an unknown {options.__name__.lower()}", f"Use one of: {', '.join(options)}")
        return options(word)

    def table(self, key: str) -> Table:
        return self._child(key, self.value(key, f"[{self._name_of(key)}] and what belongs under it"))

    def tables(self, key: str) -> dict[str, Table]:
        """The tables under `key`, by name, in the order of the file."""
        parent = self.table(key)
        return {name: parent.table(name) for name in parent.values}

    def rows(self, key: str) -> tuple[Table, ...]:
        rows = self.value(key, f"[[{self._name_of(key)}]] for each")
        if not isinstance(rows, list) or not rows:
            self.wrong(key, f"{key} is not a list of tables", f"Start each with a line [[{key}]]")
        return tuple(self._child(key, row, nth) for nth, row in enumerate(rows))

    def has(self, key: str) -> bool:
        return key in self.values

    def finish(self) -> None:
        """Refuses keys nobody asked for: a misspelt `harder` must not vanish silently."""
        for key in self.values:
            if key not in self._read:
                known = ", ".join(sorted(self._read))
                self.wrong(key, f"{key} is not known here", f"Known here: {known}")

    def _child(self, key: str, value: object, nth: int = 0) -> Table:
        header = self._name_of(key)
        if not isinstance(value, dict):
            self.wrong(key, f"{key} is not a table", f"Write it under a line [{header}]")
        return Table(self.source, value, header, nth)

    def _name_of(self, key: str) -> str:
        return f"{self.header}.{key}" if self.header else key


def read(path: Path) -> Table:
    """The whole file as one table; the mark that Windows sets before UTF-8 is no part of it.

    Raises ContentError: unreadable, not UTF-8, not TOML."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        return Table(Source(path, text), tomllib.loads(text))
    except OSError as error:
        raise ContentError(path, None, f"cannot be read ({error.strerror})", "Check the path and its rights") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ContentError(path, line, "is not UTF-8", "Save the file as UTF-8") from error
    except RecursionError as error:
        raise ContentError(path, None, "is nested too deeply", "Take the brackets apart") from error
    except ValueError as error:  # TOMLDecodeError, and Python's own limit on the digits of a number
        raise ContentError(path, _line_in(str(error), text), f"is not TOML: {error}", "Mend that line") from error


def _line_in(message: str, text: str) -> int | None:
    if found := re.search(r"at line (\d+)", message):
        return int(found[1])
    return text.count("\n") + 1 if "end of document" in message else None


def _is_line(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()
