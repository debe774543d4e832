"""How sure is a number? Intervals for rates and their differences. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, at the level that was asked for."""

    low: float
    high: float


def wilson(count: int, of: int, level: float = LEVEL) -> Interval:
    """The score interval of a rate (Wilson, JASA 22, 1927): right also for 0, for all, and for few people."""
    if of <= 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + level) / 2)
    rate, weight = count / of, z * z / of
    middle = (rate + weight / 2) / (1 + weight)
    half = z / (1 + weight) * sqrt(rate * (1 - rate) / of + weight / (4 * of))
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
