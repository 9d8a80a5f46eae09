"""When a cell's capacity will have faded to a threshold, as far as that can be said honestly.

A fade neither stays straight nor keeps its bend, and the noise of a capacity record is alike over many cycles. The
interval therefore covers more than the slope's own uncertainty: windows of several lengths, a fade that goes on to
decelerate, and a knee that begins tomorrow.

References:
    H. Theil: A rank-invariant method of linear and polynomial regression analysis. Proc. Kon. Ned. Akad. Wet. A 53,
    1950; P. K. Sen: Estimates of the regression coefficient based on Kendall's tau. JASA 63(324), 1379-1389, 1968.
    P. M. Attia et al.: Review - "knees" in lithium-ion battery aging trajectories. J. Electrochem. Soc. 169(6),
    060517, 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.stats import theilslopes

from ageing.record import MEDIAN_CYCLES, correlation_length, running_median, usable_record

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

LEAST_FOR_SLOPE: Final = 20
"""Cycles below which there is no slope."""

LEAST_FOR_PROJECTION: Final = 50
"""Cycles below which there is no projection."""

WINDOWS: Final = (0.25, 0.5, 1.0)
"""The recent parts of a record that slopes are taken from, as shares of its cycles; at least `LEAST_FOR_PROJECTION`."""

HORIZON: Final = 5.0
"""A projection may lie this many observed lives ahead; what lies further away is not known."""

STEEPENING: Final = 4.0
"""The lower bound is the fade at its steepest, made this many times as steep from now on: a knee begins tomorrow."""

DECELERATION: Final = 0.5
"""The upper bound is the fade at its flattest, going on as this power of the cycle number: growth of the SEI."""

_CONFIDENCE: Final = 0.95

_MOST_POINTS: Final = 400
"""A slope is taken from so many medians at most: it costs the square of their number."""


@dataclass(frozen=True)
class Projection:
    """The cycle number at which the capacity is expected to pass the threshold.

    `cycle` carries the recent slope on. `low` and `high` bound the curves that are plausible from what was seen: a
    back-tested range, not a quantile of a distribution. `high` is None where the slow bound does not reach the
    threshold within the horizon.
    """

    cycle: float
    low: float
    high: float | None


@dataclass(frozen=True)
class _Slope:
    """A slope and its 95 % interval in Ah per cycle: `steep` <= `middle` <= `flat`."""

    middle: float
    steep: float
    flat: float


def fade_per_cycle(cycle: Floats, capacity: Floats) -> float | None:
    """The Theil-Sen slope of a capacity record: the median of the slopes between any two of its cycles.

    Args:
        cycle: numbers of complete cycles, shape (n,).
        capacity: their discharge capacity in Ah, shape (n,). Rows that are not finite are left out.

    Returns:
        Ah per cycle, negative when fading; None below `LEAST_FOR_SLOPE` cycles. Of records longer than 400 cycles
        medians of consecutive cycles stand in for the cycles.

    Raises:
        ValueError: the arrays are not one-dimensional and of the same length.
    """
    x, q = usable_record(cycle, capacity)
    if len(x) < LEAST_FOR_SLOPE:
        return None
    with np.errstate(all="ignore"):
        slope = _slope(x, q)
    return slope.middle if slope else None


def project(
    cycle: Floats, capacity: Floats, threshold_ah: float, median_cycles: int = MEDIAN_CYCLES
) -> Projection | None:
    """Project at which cycle the capacity passes a threshold.

    From the level of the last cycles the median slope of the windows leads to `cycle`, and the steepest bound of any
    window, `STEEPENING` times as steep, to `low`. For `high` each window's flat bound decelerates as a power law: a
    curve q0 - c x^p with slope -s in the middle m of a window has c = s m^(1-p) / p, and from cycle t on it loses the
    gap g until (t^p + g / c)^(1/p). The latest of the windows counts.

    Args:
        cycle: numbers of complete cycles, shape (n,).
        capacity: their discharge capacity in Ah, shape (n,). Rows that are not finite are left out.
        threshold_ah: the capacity in Ah whose passing is asked for.
        median_cycles: width of the running median by which the threshold counts as passed, an odd number.

    Returns:
        The projection. None where there is none to make: fewer than `LEAST_FOR_PROJECTION` cycles, a threshold that the
        running median has passed, a capacity that does not fall (no window whose slope is significantly below 0, or a
        median slope that is not), or a passing more than `HORIZON` observed lives ahead.

    Raises:
        ValueError: the arrays are not one-dimensional and of the same length.
    """
    x, q = usable_record(cycle, capacity)
    if len(x) < LEAST_FOR_PROJECTION:
        return None
    if np.any(running_median(x, q, median_cycles)[1] <= threshold_ah):
        return None
    # Absurd magnitudes overflow to inf here; they lead to no projection.
    with np.errstate(all="ignore"):
        windows = {points: _slope(x[-points:], q[-points:]) for points in _windows(len(x))}
        slopes = _still_true(windows)
        if not any(slope.flat < 0 for slope in slopes.values()):
            return None
        middle = float(np.median([slope.middle for slope in slopes.values()]))
        if not middle < 0:
            return None
        steep = STEEPENING * min(slope.steep for slope in slopes.values())

        now, observed = float(x[-1]), float(x[-1] - x[0])
        level, doubt = _level(x, q, middle)
        gap = max(level - threshold_ah, 0.0)
        ahead = gap / -middle
        if not (np.isfinite(now + ahead) and ahead <= HORIZON * observed):
            return None
        soon = max(gap - doubt, 0.0) / -steep
        late = max(
            _decelerating(gap + doubt, slope.flat, float(x[-points] + x[-1]) / 2 - float(x[0]), observed)
            for points, slope in slopes.items()
        )
    high = now + max(late, ahead) if late <= HORIZON * observed else None
    return Projection(now + ahead, now + min(soon, ahead), high)


def _windows(n: int) -> tuple[int, ...]:
    """Lengths of the recent parts of a record of n cycles."""
    return tuple(min(n, max(LEAST_FOR_PROJECTION, round(share * n))) for share in WINDOWS)


def _still_true(windows: dict[int, _Slope | None]) -> dict[int, _Slope]:
    """The windows that may speak of what comes, from all of them by length; none where a slope is not finite.

    A longer window that is clearly flatter than the shortest one shows a fade that has since accelerated. One that is
    steeper stays: cells whose fade slowed down have been seen to fade as fast again.
    """
    recent = windows[min(windows)]
    known = {points: slope for points, slope in windows.items() if slope}
    if recent is None or len(known) < len(windows):
        return {}
    return {points: slope for points, slope in known.items() if slope.steep <= recent.flat}


def _decelerating(gap: float, slope: float, middle: float, observed: float) -> float:
    """Cycles that a power law of exponent `DECELERATION` needs to lose `gap`, if it ever does.

    Its slope was `slope` at cycle `middle` of the `observed` cycles.
    """
    if slope >= 0:
        return np.inf
    c = -slope * middle ** (1 - DECELERATION) / DECELERATION
    return float((observed**DECELERATION + gap / c) ** (1 / DECELERATION)) - observed


def _level(x: Floats, q: Floats, slope: float) -> tuple[float, float]:
    """The capacity at the last cycle, by the median of the last ones brought forward, and how far it may be off."""
    forward = q[-MEDIAN_CYCLES:] + slope * (x[-1] - x[-MEDIAN_CYCLES:])
    level = float(np.median(forward))
    return level, 1.4826 * float(np.median(np.abs(forward - level)))


def _slope(x: Floats, q: Floats) -> _Slope | None:
    """The slope of the given cycles, shape (n,), with an interval widened for noise that lasts; None if not finite."""
    size = -(-len(x) // _MOST_POINTS)
    if size > 1:
        # Of the oldest cycles a few remain, less than a block.
        blocks = len(x) // size
        x, q = (np.median(values[-blocks * size :].reshape(blocks, size), axis=1) for values in (x, q))
    found = theilslopes(q, x, alpha=_CONFIDENCE)
    middle, steep, flat = float(found.slope), float(found.low_slope), float(found.high_slope)
    if not np.isfinite([middle, steep, flat]).all():
        return None
    wider = _widening(q - float(found.intercept) - middle * x)
    steep, flat = middle - wider * (middle - steep), middle + wider * (flat - middle)
    return _Slope(middle, steep, flat) if np.isfinite([steep, flat]).all() else None


def _widening(residuals: Floats) -> float:
    """How much wider an interval for independent noise has to be for residuals of shape (n,).

    The root of how many cycles are alike, of residuals clipped at three robust standard deviations lest one cut-off
    cycle hide how alike the others are.
    """
    off = residuals - np.median(residuals)
    spread = 3 * 1.4826 * float(np.median(np.abs(off)))
    off = np.clip(off, -spread, spread)
    return float(np.sqrt(correlation_length(off)))
