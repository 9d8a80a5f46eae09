"""How far two measures of the same things go together: Pearson's r with its interval, and Spearman's rho.

The interval of r is Fisher's (R. A. Fisher: On the 'probable error' of a coefficient of correlation deduced from a
small sample. Metron 1, 1921): atanh(r) is nearly normal with a standard deviation of 1/√(n-3). The p value of r is that
of Student's t with n-2 degrees of freedom, for t = r √((n-2)/(1-r²)), exact where both measures are normal. Ranks are
those of C. Spearman (The proof and measurement of association between two things. Am. J. Psychol. 15, 1904), equal
values share the mean of theirs. The p value of rho is that of all orders of the ranks where they can be counted, and
Student's t, which then is a good approximation, where there are more (M. G. Kendall, J. D. Gibbons: Rank Correlation
Methods, 5th edition, 1990).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.special import ndtri, stdtr

if TYPE_CHECKING:
    import numpy.typing as npt

FEWEST: Final = 3
"""Points that a correlation takes: two always lie on a line."""

MOST_COUNTED: Final = 8
"""Points whose orders are counted one by one: there are 40 320 of them."""

CONFIDENCE: Final = 0.95
"""Of the interval of r."""

_EQUAL: Final = 1e-12
"""Coefficients of orders that differ by less are equal: they are sums of the same terms in another order."""


@dataclass(frozen=True)
class Correlation:
    """How two measures go together.

    Attributes:
        count: points, n.
        pearson: r, from -1 to 1.
        low: lower end of the interval of r at `CONFIDENCE`; None of fewer than four points, which have none.
        high: its upper end.
        pearson_p: probability of an r so far from 0 where the measures are independent, on both sides.
        spearman: rho, from -1 to 1.
        spearman_p: the same of rho.
    """

    count: int
    pearson: float
    low: float | None
    high: float | None
    pearson_p: float
    spearman: float
    spearman_p: float


def correlate(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Correlation | None:
    """How two measures of the same things go together.

    >>> found = correlate(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 3.0, 2.0, 9.0]))
    >>> round(found.pearson, 4), round(found.spearman, 4), round(found.spearman_p, 4)
    (0.8262, 0.8, 0.3333)

    Args:
        x: shape (n,); things of which either measure is not finite do not count.
        y: shape (n,).

    Returns:
        None where there are fewer than `FEWEST` such things, or where a measure is the same for all of them.
    """
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    count = len(x)
    if count < FEWEST or is_constant(x) or is_constant(y):
        return None
    r = _pearson(x, y)
    ranks_x, ranks_y = ranks(x), ranks(y)
    rho = _pearson(ranks_x, ranks_y)
    low = high = None
    if count > FEWEST:
        reach = float(ndtri((1 + CONFIDENCE) / 2)) / np.sqrt(count - 3)
        with np.errstate(divide="ignore"):  # of an r of 1 or -1, whose interval is that value alone
            middle = np.arctanh(r)
        low, high = float(np.tanh(middle - reach)), float(np.tanh(middle + reach))
    counted = count <= MOST_COUNTED
    return Correlation(
        count, r, low, high, _student_p(r, count), rho,
        _order_p(ranks_x, ranks_y, rho) if counted else _student_p(rho, count),
    )  # fmt: skip


def ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The rank of each value from 1; equal values share the mean of theirs.

    >>> ranks(np.array([10.0, 30.0, 20.0, 20.0])).tolist()
    [1.0, 4.0, 2.5, 2.5]
    """
    _, of, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle: npt.NDArray[np.float64] = last - (counts - 1) / 2
    return middle[of]


def is_constant(values: npt.NDArray[np.float64]) -> bool:
    """Whether values are all the same, up to what a float can tell apart."""
    size = float(np.abs(values).max())
    return bool(np.ptp(values) <= 1e-13 * size)


def _pearson(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float:
    x, y = x - x.mean(), y - y.mean()
    x, y = x / np.abs(x).max(), y / np.abs(y).max()  # so that no square is beyond what a float holds
    return float(np.clip((x @ y) / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def _student_p(r: float, count: int) -> float:
    freedom = count - 2
    if abs(r) >= 1:
        return 0.0
    return float(2 * stdtr(freedom, -abs(r) * np.sqrt(freedom / (1 - r * r))))


def _order_p(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], rho: float) -> float:
    """Share of all orders of `y` whose coefficient is at least as far from 0."""
    orders: npt.NDArray[Any] = np.array(list(permutations(range(len(y)))))
    x, y = x - x.mean(), y - y.mean()
    found = (y[orders] @ x) / np.sqrt((x @ x) * (y @ y))
    return float(np.mean(np.abs(found) >= abs(rho) - _EQUAL))
