from __future__ import annotations

from itertools import permutations

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from ageing.correlation import MOST_COUNTED, correlate, ranks

Floats = npt.NDArray[np.float64]


def measures(count: int, seed: int = 1) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    x = random.normal(size=count)
    return x, 0.6 * x + random.normal(size=count)


def test_coefficients_of_a_worked_example() -> None:
    """Of x = 1..5 and y = 2, 4, 5, 4, 5: r = 6/√60 by hand; ranks 1, 2.5, 4.5, 2.5, 4.5 give rho = 7/√90."""
    found = correlate(np.arange(1.0, 6.0), np.array([2.0, 4.0, 5.0, 4.0, 5.0]))
    assert found is not None
    assert found.pearson == pytest.approx(6 / np.sqrt(60))
    assert found.spearman == pytest.approx(7 / np.sqrt(90))
    assert found.count == 5


@pytest.mark.parametrize("count", [4, 9, 40, 300])
def test_r_its_interval_and_both_p_values_are_those_of_scipy(count: int) -> None:
    x, y = measures(count)
    found = correlate(x, y)
    assert found is not None
    pearson, spearman = stats.pearsonr(x, y), stats.spearmanr(x, y)
    interval = pearson.confidence_interval(0.95)
    assert found.pearson == pytest.approx(pearson.statistic)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.pearson_p == pytest.approx(pearson.pvalue)
    assert found.spearman == pytest.approx(spearman.statistic)
    if count > MOST_COUNTED:
        assert found.spearman_p == pytest.approx(spearman.pvalue)


def test_few_ranks_are_judged_by_all_their_orders() -> None:
    """Of four ranks in the same order 1 of 24 orders is as far from 0 in either direction: p is 1/12, not 0."""
    found = correlate(np.arange(4.0), np.arange(4.0) ** 3)
    assert found is not None
    assert found.spearman == pytest.approx(1.0)
    assert found.spearman_p == pytest.approx(2 / 24)


@pytest.mark.parametrize("seed", range(5))
def test_the_share_of_orders_is_that_of_counting_them_with_scipy(seed: int) -> None:
    x, y = measures(5, seed)
    y[0] = y[1]  # a tie
    found = correlate(x, y)
    assert found is not None
    all_of_them = [stats.spearmanr(x, y[list(order)]).statistic for order in permutations(range(5))]
    assert found.spearman_p == pytest.approx(np.mean(np.abs(all_of_them) >= abs(found.spearman) - 1e-9))


def test_what_is_missing_of_either_measure_does_not_count() -> None:
    x, y = measures(20)
    x[3], y[7], y[8] = np.nan, np.nan, np.inf
    kept = np.isfinite(x) & np.isfinite(y)
    assert correlate(x, y) == correlate(x[kept], y[kept])


def test_there_is_no_coefficient_of_two_points_or_of_a_measure_that_is_the_same_for_all() -> None:
    assert correlate(np.array([1.0, 2.0]), np.array([1.0, 2.0])) is None
    assert correlate(np.array([]), np.array([])) is None
    assert correlate(np.full(9, 0.1), np.arange(9.0)) is None
    assert correlate(np.arange(9.0), np.full(9, 1e300)) is None
    assert correlate(np.arange(3.0), np.array([1.0, np.nan, 2.0])) is None


def test_three_points_have_a_coefficient_and_no_interval() -> None:
    found = correlate(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    assert found is not None
    assert (found.low, found.high) == (None, None)
    assert found.pearson == pytest.approx(0.5)


def test_points_on_a_line_have_an_r_of_one_exactly_and_no_wider_interval() -> None:
    found = correlate(np.arange(10.0), -3 * np.arange(10.0))
    assert found is not None
    assert (found.pearson, found.low, found.high, found.pearson_p) == pytest.approx((-1, -1, -1, 0))


def test_very_large_and_very_small_numbers_have_the_same_coefficient() -> None:
    x, y = measures(12)
    plain, scaled = correlate(x, y), correlate(1e200 * x, 1e-200 * y)
    assert plain is not None
    assert scaled is not None
    assert scaled.pearson == pytest.approx(plain.pearson)


def test_ranks_are_those_of_scipy() -> None:
    values = np.array([3.0, 1.0, 3.0, 2.0, 3.0, 1.0])
    assert ranks(values).tolist() == stats.rankdata(values).tolist()
