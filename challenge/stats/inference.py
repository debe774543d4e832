"""How sure is a number, and which of two is better? Intervals, probabilities, sample sizes. Pure.

The rule that may be looked at every day is a mixture sequential test with a normal mixture (Robbins, Ann. Math. Stat. 41,
1970; Johari, Koomen, Pekelis and Walsh, "Peeking at A/B tests", KDD 2017): its interval covers the true difference on
*all* days at once, so stopping on the first good day raises a false alarm in at most 5 of 100 tests. A fixed-horizon
interval, looked at daily, does not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from math import ceil, exp, lgamma, log, sqrt
from statistics import NormalDist
from typing import Any

LEVEL = 0.95
POWER = 0.8
MIXTURE = 0.1
_NORMAL = NormalDist()


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, at the level that was asked for."""

    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """B against A. `low`/`high`: Newcombe's interval of the difference B - A, right when looked at once, at the end;
    `always_low`/`always_high`: right on every day; `is_decided`: that one excludes no difference. `p_b_better`: with
    flat priors. `needed`: people in each arm to see a difference as large as this one in 80 of 100 tests (None: there
    is none), `more`: how many more than the smaller arm has."""

    a_count: int
    a_of: int
    b_count: int
    b_of: int
    difference: float
    low: float
    high: float
    always_low: float
    always_high: float
    is_decided: bool
    p_b_better: float
    needed: int | None
    more: int | None

    @property
    def is_told(self) -> bool:
        """Whether both have had anybody."""
        return bool(self.a_of and self.b_of)

    @property
    def verdict(self) -> str:
        """What may be said of B, on whatever day: `better`, `worse` or `open`."""
        if not self.is_decided:
            return "open"
        return "better" if self.always_low > 0 else "worse"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def wilson(count: int, of: int, level: float = LEVEL) -> Interval:
    """The score interval of a rate (Wilson, JASA 22, 1927): right also for 0, for all, and for few people."""
    if of <= 0:
        return Interval(0.0, 1.0)
    z = _NORMAL.inv_cdf((1 + level) / 2)
    rate, weight = count / of, z * z / of
    middle = (rate + weight / 2) / (1 + weight)
    half = z / (1 + weight) * sqrt(rate * (1 - rate) / of + weight / (4 * of))
    return Interval(max(0.0, middle - half) if count else 0.0, min(1.0, middle + half) if count < of else 1.0)


@dataclass(frozen=True)
class Survival:
    """Who is still in after one step, with `low` and `high` at the level that was asked for; `error` is Greenwood's."""

    share: float
    error: float
    low: float
    high: float


def kaplan_meier(steps: Iterable[tuple[int, int]], level: float = LEVEL) -> Iterator[Survival]:
    """(At risk, left) of each step -> who is still in after it (Kaplan and Meier, JASA 53, 1958). The interval is that of
    the log minus log transform of Greenwood's variance (Kalbfleisch and Prentice, 1980), which stays within 0 and 1; where
    all or none are left it does not exist, and Wilson's of those who were there stands in."""
    z = _NORMAL.inv_cdf((1 + level) / 2)
    share, spread, began = 1.0, 0.0, 0
    for at_risk, left in steps:
        began = began or at_risk
        if at_risk:
            share *= 1 - left / at_risk
        if 0 < left < at_risk:
            spread += left / (at_risk * (at_risk - left))
        if not 0 < share < 1:
            sure = wilson(at_risk - left, at_risk, level) if share else wilson(0, began, level)
            yield Survival(share, 0.0, sure.low, sure.high)
            continue
        width = exp(z * sqrt(spread) / -log(share))
        yield Survival(share, share * sqrt(spread), share**width, share ** (1 / width))


def newcombe(a_count: int, a_of: int, b_count: int, b_of: int, level: float = LEVEL) -> Interval:
    """The difference B - A of two rates from their score intervals (Newcombe, Stat. Med. 17, 1998, method 10)."""
    if not a_of or not b_of:
        return Interval(-1.0, 1.0)
    a, b = a_count / a_of, b_count / b_of
    of_a, of_b = wilson(a_count, a_of, level), wilson(b_count, b_of, level)
    low = b - a - sqrt((b - of_b.low) ** 2 + (of_a.high - a) ** 2)
    high = b - a + sqrt((of_b.high - b) ** 2 + (a - of_a.low) ** 2)
    return Interval(low, high)


def always_valid(a_count: int, a_of: int, b_count: int, b_of: int, level: float = LEVEL) -> Interval:
    """The difference B - A, right at every look. The variance is that of the pooled rate, moved a little towards one
    half (Agresti and Coull), so that the first few people decide nothing."""
    if not a_of or not b_of:
        return Interval(-1.0, 1.0)
    pooled = (a_count + b_count + 2) / (a_of + b_of + 4)
    variance = pooled * (1 - pooled) * (1 / a_of + 1 / b_of)
    mixture = MIXTURE**2
    spread = variance + mixture
    half = sqrt(variance * spread / mixture * (2 * log(1 / (1 - level)) + log(spread / variance)))
    difference = b_count / b_of - a_count / a_of
    return Interval(difference - half, difference + half)


def p_b_better(a_count: int, a_of: int, b_count: int, b_of: int) -> float:
    """The probability that B's rate is higher than A's, with Beta(1, 1) priors; exact. The sum over the smallest of the
    four counts, for P(B > A) = 1 - P(A > B) and a rate higher is a failure rate lower."""
    a, not_a, b, not_b = a_count + 1, a_of - a_count + 1, b_count + 1, b_of - b_count + 1
    fewest = min(a, not_a, b, not_b)
    if fewest == b:
        return _beats(a, not_a, b, not_b)
    if fewest == a:
        return 1 - _beats(b, not_b, a, not_a)
    if fewest == not_a:
        return _beats(not_b, b, not_a, a)
    return 1 - _beats(not_a, a, not_b, b)


def people_needed(a_rate: float, b_rate: float, level: float = LEVEL, power: float = POWER) -> int | None:
    """People in each of two equal arms to see this difference (two-sided z test; Fleiss, "Statistical methods for rates
    and proportions", 1981, without the correction for continuity). None when there is no difference."""
    if a_rate == b_rate:
        return None
    middle = (a_rate + b_rate) / 2
    under_none = _NORMAL.inv_cdf((1 + level) / 2) * sqrt(2 * middle * (1 - middle))
    under_this = _NORMAL.inv_cdf(power) * sqrt(a_rate * (1 - a_rate) + b_rate * (1 - b_rate))
    return ceil(((under_none + under_this) / (b_rate - a_rate)) ** 2)


def compare(a_count: int, a_of: int, b_count: int, b_of: int) -> Comparison:
    """All of it for one pair."""
    once, always = newcombe(a_count, a_of, b_count, b_of), always_valid(a_count, a_of, b_count, b_of)
    both = bool(a_of and b_of)
    a, b = (a_count / a_of, b_count / b_of) if both else (0.0, 0.0)
    needed = people_needed(a, b) if both else None
    return Comparison(
        a_count=a_count,
        a_of=a_of,
        b_count=b_count,
        b_of=b_of,
        difference=b - a,
        low=once.low,
        high=once.high,
        always_low=max(-1.0, always.low),
        always_high=min(1.0, always.high),
        is_decided=always.low > 0 or always.high < 0,
        p_b_better=p_b_better(a_count, a_of, b_count, b_of),
        needed=needed,
        more=None if needed is None else max(0, needed - min(a_of, b_of)),
    )


def _beats(a: int, not_a: int, b: int, not_b: int) -> float:
    """P(Beta(b, not_b) > Beta(a, not_a)) for whole parameters, a sum of `b` terms (Miller, "Formulas for Bayesian A/B
    testing", 2015), each from the one before; by logarithms, for the first may be smaller than any float."""
    both = not_a + not_b
    term = lgamma(a + not_a) + lgamma(both) - lgamma(not_a) - lgamma(a + both)
    terms = [term]
    for i in range(b - 1):
        term += log((a + i) / (a + i + both) * (not_b + i) / (i + 1))
        terms.append(term)
    highest = max(terms)
    return min(1.0, exp(highest) * sum(exp(term - highest) for term in terms))
