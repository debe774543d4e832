"""What came out, against what was asked for: one line per target of the project's own plan, `ok` or `missed`."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

__all__ = ["Target", "at_least", "at_most", "exactly", "machine", "median", "show"]


@dataclass(frozen=True)
class Target:
    """One figure and what it must be."""

    what: str
    figure: str
    wanted: str
    is_met: bool


def at_least(what: str, figure: float, wanted: float, unit: str = "") -> Target:
    return Target(what, f"{_number(figure)}{unit}", f">= {_number(wanted)}{unit}", figure >= wanted)


def at_most(what: str, figure: float, wanted: float, unit: str = "") -> Target:
    return Target(what, f"{_number(figure)}{unit}", f"<= {_number(wanted)}{unit}", figure <= wanted)


def exactly(what: str, figure: int, wanted: int) -> Target:
    return Target(what, f"{figure}", f"= {wanted}", figure == wanted)


def show(targets: Iterable[Target]) -> None:
    """The closing table."""
    rows = list(targets)
    width = max((len(row.what) for row in rows), default=0)
    print(f"\n{'':{width}}  {'measured':>12}  {'target':>12}")
    for row in rows:
        print(f"{row.what:{width}}  {row.figure:>12}  {row.wanted:>12}  {'ok' if row.is_met else 'missed'}")
    print(f"{sum(row.is_met for row in rows)} of {len(rows)} targets met.", flush=True)


def machine() -> str:
    """One line that says where and when: figures of other machines cannot be held against these."""
    names = (line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({next(names, platform.machine())}), "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
