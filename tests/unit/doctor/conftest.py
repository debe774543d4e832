"""A DNS of a few lines: what is not in it does not exist."""

from __future__ import annotations

import pytest

from challenge.doctor.resolving import NotAnswered


class Zone:
    """Answers from dictionaries; names in `silent` are not answered at all."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.exchanges: dict[str, list[tuple[int, str]]] = {}
        self.hosts: dict[str, list[str]] = {}
        self.reverse: dict[str, list[str]] = {}
        self.zones: set[str] = set()
        self.silent: set[str] = set()
        self.asked: list[str] = []

    def txt(self, name: str) -> list[str]:
        return self.texts.get(self._of(name), [])

    def mx(self, name: str) -> list[tuple[int, str]]:
        return self.exchanges.get(self._of(name), [])

    def addresses(self, name: str) -> list[str]:
        return self.hosts.get(self._of(name), [])

    def names(self, address: str) -> list[str]:
        return self.reverse.get(self._of(address), [])

    def has_soa(self, name: str) -> bool:
        return self._of(name) in self.zones

    def _of(self, name: str) -> str:
        self.asked.append(name)
        if name in self.silent:
            raise NotAnswered(f"The DNS did not answer for {name}.")
        return name


@pytest.fixture
def zone() -> Zone:
    return Zone()
