"""Equal to SciPy and statsmodels to six digits, and right when looked at every day."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats
from statsmodels.duration.survfunc import SurvfuncRight
from statsmodels.stats.proportion import (
    confint_proportions_2indep,
    proportion_confint,
    samplesize_proportions_2indep_onetail,
)

from challenge.stats.inference import (
    LEVEL,
    always_valid,
    compare,
    kaplan_meier,
    newcombe,
    p_b_better,
    people_needed,
    wilson,
)

PAIRS = [
    (0, 1, 0, 1),
    (0, 10, 3, 10),
    (3, 10, 3, 10),
    (5, 5, 0, 7),
    (40, 100, 55, 100),
    (1, 1000, 9, 1200),
    (480, 1000, 530, 990),
]


@pytest.mark.parametrize(("count", "of"), [(0, 1), (1, 1), (0, 50), (7, 20), (499, 1000), (1000, 1000), (3, 100_000)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_the_interval_of_a_rate_is_wilsons(count: int, of: int, level: float) -> None:
    low, high = proportion_confint(count, of, alpha=1 - level, method="wilson")
    found = wilson(count, of, level)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-7)


def test_nobody_tells_nothing() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0, 1)
    assert {(wilson(0, of).low, wilson(of, of).high) for of in range(1, 300)} == {(0, 1)}
    assert (newcombe(0, 0, 3, 4).low, always_valid(1, 2, 0, 0).high) == (-1, 1)
    found = compare(0, 0, 0, 0)
    assert (found.is_decided, found.needed) == (False, None)
    assert found.p_b_better == pytest.approx(0.5)


@pytest.mark.parametrize(("a", "n", "b", "m"), PAIRS)
def test_the_interval_of_a_difference_is_newcombes(a: int, n: int, b: int, m: int) -> None:
    low, high = confint_proportions_2indep(b, m, a, n, method="newcomb", compare="diff")
    found = newcombe(a, n, b, m)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-7)


@pytest.mark.parametrize(("a", "n", "b", "m"), [*PAIRS, (9_800, 20_000, 9_900, 20_000)])
def test_the_probability_that_b_is_better_is_that_of_the_integral(a: int, n: int, b: int, m: int) -> None:
    of_a, of_b = stats.beta(a + 1, n - a + 1), stats.beta(b + 1, m - b + 1)
    low, high = max(0.0, of_b.mean() - 12 * of_b.std()), min(1.0, of_b.mean() + 12 * of_b.std())
    wanted, _ = integrate.quad(lambda x: of_b.pdf(x) * of_a.cdf(x), low, high, limit=200, epsabs=1e-11)
    assert p_b_better(a, n, b, m) == pytest.approx(wanted, abs=1e-7)
    assert p_b_better(a, n, b, m) + p_b_better(b, m, a, n) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.12), (0.5, 0.4), (0.02, 0.03), (0.0, 0.1), (0.6, 0.9)])
def test_the_people_needed_are_those_of_the_z_test(a: float, b: float) -> None:
    lower, higher = sorted((a, b))
    wanted = samplesize_proportions_2indep_onetail(higher - lower, lower, 0.8, alpha=0.05 / 2, alternative="larger")
    found = people_needed(a, b)
    assert found is not None
    assert found == int(np.ceil(wanted))
    assert people_needed(a, a) is None


def _false_alarms(rate: float, a_day: int, days: int, runs: int, ratio: float = 1.0) -> tuple[float, float]:
    """Shares of A/A tests that on some day said "different": by the daily rule, and by Newcombe's interval."""
    chance = np.random.default_rng(7)
    a_n = np.arange(1, days + 1) * a_day
    b_n = np.maximum(1, (a_n * ratio).astype(int))
    a = chance.binomial(np.diff(a_n, prepend=0), rate, (runs, days)).cumsum(axis=1)
    b = chance.binomial(np.diff(b_n, prepend=0), rate, (runs, days)).cumsum(axis=1)
    return float(_always(a, a_n, b, b_n).any(axis=1).mean()), float(_once(a, a_n, b, b_n).any(axis=1).mean())


def _always(a: Any, a_n: Any, b: Any, b_n: Any) -> Any:
    """`always_valid` for whole tables; held against it below."""
    pooled = (a + b + 2) / (a_n + b_n + 4)
    variance = pooled * (1 - pooled) * (1 / a_n + 1 / b_n)
    spread = variance + 0.01
    half = np.sqrt(variance * spread / 0.01 * (2 * np.log(1 / (1 - LEVEL)) + np.log(spread / variance)))
    return np.abs(b / b_n - a / a_n) > half


def _once(a: Any, a_n: Any, b: Any, b_n: Any) -> Any:
    z = stats.norm.ppf(0.975)
    pooled = (a + b) / (a_n + b_n)
    return np.abs(b / b_n - a / a_n) > z * np.sqrt(pooled * (1 - pooled) * (1 / a_n + 1 / b_n))


def test_the_table_form_is_the_function() -> None:
    for a, n, b, m in PAIRS:
        found = always_valid(a, n, b, m)
        assert bool(_always(a, n, b, m)) == (found.low > 0 or found.high < 0)
    edge = [(a, b) for a in range(0, 101, 5) for b in range(0, 101, 5)]
    for a, b in edge:
        found = always_valid(a, 100, b, 100)
        assert bool(_always(a, 100, b, 100)) == (found.low > 0 or found.high < 0)


@pytest.mark.parametrize(("rate", "a_day"), [(0.02, 50), (0.1, 5), (0.1, 100), (0.5, 1), (0.5, 40), (0.9, 20)])
def test_a_a_tests_looked_at_daily_raise_few_false_alarms(rate: float, a_day: int) -> None:
    always, once = _false_alarms(rate, a_day, days=200, runs=4000)
    assert always <= 0.05
    assert once > 0.1, "a fixed interval that is looked at daily is what the rule protects from"


def test_uneven_arms_raise_few_false_alarms_too() -> None:
    assert _false_alarms(0.3, 20, days=200, runs=4000, ratio=0.25)[0] <= 0.05


def test_a_true_difference_is_found() -> None:
    found = compare(400, 1000, 520, 1000)
    assert found.is_decided
    assert found.always_low < found.low < 0.12 < found.high < found.always_high
    assert found.p_b_better > 0.999
    assert found.needed is not None
    assert (found.needed < 1000, found.more) == (True, 0)
    assert not compare(10, 25, 13, 25).is_decided


@pytest.mark.parametrize("seed", range(8))
def test_who_is_still_in_equals_statsmodels(seed: int) -> None:
    dice = random.Random(seed)
    times = [dice.randrange(1, 7) for _ in range(60)]
    known = [int(dice.random() < 0.6) for _ in times]
    theirs = SurvfuncRight(times, known)
    steps = [(int(at_risk), int(left)) for at_risk, left in zip(theirs.n_risk, theirs.n_events, strict=True)]
    ours = list(kaplan_meier(steps))
    assert [one.share for one in ours] == pytest.approx(list(theirs.surv_prob), abs=1e-9)
    for one, error in zip(ours, theirs.surv_prob_se, strict=True):
        if 0 < one.share < 1:
            assert one.error == pytest.approx(error, abs=1e-9)
            half = 1.959963985 * one.error / (one.share * math.log(one.share))
            assert (one.low, one.high) == pytest.approx(
                (one.share ** math.exp(-half), one.share ** math.exp(half)), abs=1e-6
            )
        assert 0 <= one.low <= one.share <= one.high <= 1
    assert [one.share for one in ours] == sorted((one.share for one in ours), reverse=True)


def test_who_is_still_in_equals_the_textbook() -> None:
    """Remission of 21 patients on 6-MP (Freireich 1963; Kalbfleisch and Prentice, 2002, table 1.1)."""
    ours = list(kaplan_meier([(21, 3), (17, 1), (15, 1), (12, 1), (11, 1), (7, 1), (6, 1)]))
    assert [round(one.share, 4) for one in ours] == [0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482]
    assert [round(one.error, 4) for one in ours] == [0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346]
    assert (round(ours[0].low, 4), round(ours[0].high, 4)) == (0.6197, 0.9516)


def test_who_is_still_in_is_not_certain_because_nobody_left_yet() -> None:
    (all_in,), (none,) = list(kaplan_meier([(12, 0)])), list(kaplan_meier([(12, 12)]))
    assert (all_in.share, all_in.high, none.share, none.low) == (1.0, 1.0, 0.0, 0.0)
    assert (all_in.low, none.high) == (wilson(12, 12).low, wilson(0, 12).high)
