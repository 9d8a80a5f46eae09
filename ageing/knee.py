"""The knee of a capacity fade: where slow fading turns into fast fading.

The model is the one of Bacon and Watts, two straight lines with a smooth passage between them, as it was brought to
lithium-ion cells by Fermín-Cueto et al. A knee is only reported where the data insist on one: most of this module is
about saying no.

References:
    D. W. Bacon, D. G. Watts: Estimating the transition between two intersecting straight lines. Biometrika 58(3),
    525-534, 1971.
    P. Fermín-Cueto, E. McTurk, M. Allerhand, E. Medina-Lopez, M. F. Anjos, J. Sylvester, G. dos Reis: Identification
    and machine learning prediction of knee-point and knee-onset in capacity degradation curves of lithium-ion cells.
    Energy and AI 1, 100006, 2020.
    H. R. Künsch: The jackknife and the bootstrap for general stationary observations. Annals of Statistics 17(3),
    1217-1241, 1989 (resampling of blocks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student

from ageing.record import MEDIAN_CYCLES, correlation_length, running_median, usable_record

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

METHOD: Final = "bacon_watts"
"""What to call this method beside a result."""

LEAST_CYCLES: Final = 30
"""Complete cycles below which two branches cannot be told from noise."""

LEAST_BEHIND: Final = 10
"""Cycles that a branch must have at the least: a knee at the very edge is the next cycle's outlier."""

LEAST_SHARE_BEHIND: Final = 0.05
"""The same as a share of all cycles; the larger of the two counts."""

STEEPER: Final = 2.0
"""The second branch must be this many times as steep as the first."""

LEAST_LOSS: Final = 0.01
"""Share of the capacity at the knee that must have been lost behind it: rests and room temperature move less."""

TRANSITION: Final = 0.01
"""Width of the passage between the branches as a share of the observed life; fixed, as in Fermín-Cueto et al."""

WIDEST: Final = 1 / 3
"""Share of the observed life: a bend that may lie anywhere within more than that is one that chance makes too."""

RESAMPLES: Final = 400
"""Resampled records that the interval is taken from."""

CANDIDATES: Final = 400
"""Positions of the knee that are tried before the fit is refined, and in every resampled record."""

CAUTION: Final = 1.4
"""Factor on the noise of resampled records. Blocks of residuals never hold all of the noise's memory: without it the
intervals of simulated lives of 60 to 600 cycles held the true knee in 73 to 97 of 100, with it in 84 to 100."""

_SEED: Final = 1971
"""The same data give the same interval."""

_PARAMETERS: Final = 4
"""Level, slope, bend and knee."""

_NORMAL: Final = 1.96
"""The normal distribution's 97.5 % quantile."""

_NO_NOISE: Final = 1e-9
"""Share of the capacity below which a departure from a straight line is rounding."""


@dataclass(frozen=True)
class Knee:
    """The knee of a cell.

    `cycle` is the cycle number where the branches meet; `low` and `high` bound its 95 % interval, by resampling blocks
    of residuals, so that noise that lasts for many cycles widens it.

    `confidence` lies between 0 and 1: `(1 - S_bent / S_straight) * (1 - |slope_before| / |slope_after|)`, the share of
    the straight line's residual sum of squares S that the bent model explains, times how far the second branch
    exceeds the first in steepness. As the second branch is at least twice as steep, the second factor is at least
    one half. It says how clear the knee is, not how likely.

    The slopes are in Ah per cycle, negative when fading.
    """

    cycle: float
    low: float
    high: float
    confidence: float
    slope_before: float
    slope_after: float


def find_knee(cycle: Floats, capacity: Floats) -> Knee | None:
    """Find the knee of a capacity fade.

    The record is smoothed by a running median and scaled, then q(x) = a + b (x - k) + c (x - k) tanh((x - k) / w) is
    fitted with a fixed w: first by trying every k on a grid, where the rest is linear least squares, then by refining
    all four parameters under a robust loss. Only bends towards faster fading (c < 0) are looked for, so that the
    decelerating start of a life (square-root growth of the SEI) does not hide a knee that comes later.

    Args:
        cycle: numbers of complete cycles, shape (n,).
        capacity: their discharge capacity in Ah, shape (n,). Rows that are not finite are left out.

    Returns:
        The knee. None where there is none: fewer than `LEAST_CYCLES` cycles, a straight or decelerating fade, a
        second branch less than `STEEPER` times as steep, less than `LEAST_LOSS` lost behind it, a knee at the edge of
        the data (`LEAST_BEHIND`, `LEAST_SHARE_BEHIND`), an interval of more than `WIDEST`, as chance makes them, or a
        fit that fails.

    Raises:
        ValueError: the arrays are not one-dimensional and of the same length.
    """
    x, q = usable_record(cycle, capacity)
    if len(x) < LEAST_CYCLES:
        return None
    edge = max(LEAST_BEHIND, LEAST_SHARE_BEHIND * len(x))
    # No knee before the first of these or behind the second.
    earliest, latest = x[int(np.ceil(edge)) - 1], x[-int(np.ceil(edge))]
    x, q = running_median(x, q)
    # Absurd magnitudes overflow to inf here; they are then no knee.
    with np.errstate(all="ignore"):
        span, scale = float(x[-1] - x[0]), float(np.max(np.abs(q)))
        u, y = (x - x[0]) / span, q / scale
        if not (np.isfinite([span, scale]).all() and np.isfinite(u).all() and np.isfinite(y).all()):
            return None
        found = _fit(u, y)
        if found is None or not earliest <= x[0] + found.at * span < latest:
            return None
        low, high = found.interval
        knee = Knee(
            cycle=float(x[0] + found.at * span),
            low=float(x[0] + low * span),
            high=float(x[0] + high * span),
            confidence=found.explained * (1 - abs(found.before) / abs(found.after)),
            slope_before=found.before * scale / span,
            slope_after=found.after * scale / span,
        )
    return knee if np.isfinite([knee.slope_before, knee.slope_after]).all() else None


@dataclass(frozen=True)
class _Bent:
    """A fitted bend in scaled units: life 0..1, largest capacity 1."""

    at: float
    before: float
    after: float
    explained: float
    interval: tuple[float, float]


def _fit(u: Floats, y: Floats) -> _Bent | None:
    """Fit and judge a bend in scaled units, both of shape (n,)."""
    line = np.linalg.qr(np.column_stack([np.ones_like(u), u]))[0]
    off_line = y - line @ (line.T @ y)
    straight = float(off_line @ off_line)
    if np.sqrt(straight / len(y)) < _NO_NOISE:
        return None

    at, bends = _candidates(u, line)
    gain, best = _best(bends, y[None, :])
    fitted = _refine(u, y, float(at[best[0]])) if gain[0] > 0 else None
    if fitted is None:
        return None
    level, slope, bend, knee = fitted
    before, after = slope - bend, slope + bend

    if not (after < 0 and -after >= STEEPER * abs(before) and -after * (u[-1] - knee) >= LEAST_LOSS * level):
        return None

    model = _bacon_watts(u, level, slope, bend, knee)
    noise = _resampled(y - model)
    explained = float(np.clip(1 - np.sum((y - model) ** 2) / straight, 0, 1))

    # Half a step of the grid on either side, because no resampled knee can lie between two candidates.
    step = float(at[1] - at[0]) / 2
    moved = at[_best(bends, model + _widening(y - model) * noise)[1]]
    low, high = np.quantile(moved, [0.025, 0.975])
    interval = max(0.0, min(float(low) - step, knee)), min(1.0, max(float(high) + step, knee))
    return _Bent(knee, before, after, explained, interval) if interval[1] - interval[0] <= WIDEST else None


def _bacon_watts(u: Floats, level: float, slope: float, bend: float, knee: float) -> Floats:
    """The model of Bacon and Watts; slopes are `slope` -+ `bend` far from the knee."""
    from_knee = u - knee
    return np.asarray(level + slope * from_knee + bend * from_knee * np.tanh(from_knee / TRANSITION))


def _candidates(u: Floats, line: Floats) -> tuple[Floats, Floats]:
    """Positions of the knee, shape (k,), and for each the unit bend that no straight line explains, shape (k, n)."""
    at = np.linspace(0, 1, CANDIDATES + 2)[1:-1]
    from_knee = u[None, :] - at[:, None]
    bends = from_knee * np.tanh(from_knee / TRANSITION)
    bends -= (bends @ line) @ line.T
    size = np.linalg.norm(bends, axis=1, keepdims=True)
    # A candidate before the first or behind the last readings of a gap has no bend of its own to offer.
    return at, np.where(size > _NO_NOISE, bends / np.where(size > _NO_NOISE, size, 1), 0)


def _best(bends: Floats, records: Floats) -> tuple[Floats, npt.NDArray[np.intp]]:
    """For records of shape (c, n): the largest drop in the sum of squares by a downward bend, and where; shape (c,)."""
    downward = np.maximum(-(records @ bends.T), 0)
    best = np.argmax(downward, axis=1)
    return downward[np.arange(len(records)), best] ** 2, best


def _refine(u: Floats, y: Floats, start: float) -> tuple[float, float, float, float] | None:
    """Refine level, slope, bend and knee from a start for the knee; None where that fails."""
    from_knee = u - start
    basis = np.column_stack([np.ones_like(u), from_knee, from_knee * np.tanh(from_knee / TRANSITION)])
    linear = np.linalg.lstsq(basis, y)[0]
    # Residuals beyond three robust standard deviations count linearly, not by their square.
    spread = 3 * 1.4826 * float(np.median(np.abs(y - basis @ linear)))
    fit = least_squares(
        lambda p: _bacon_watts(u, *p) - y,
        [*linear, start],
        bounds=([-np.inf] * 3 + [0], [np.inf] * 3 + [1]),
        x_scale=[1, 1, 1, TRANSITION],
        loss="soft_l1",
        f_scale=max(spread, _NO_NOISE),
    )
    if not (fit.success and np.isfinite(fit.x).all()):
        return None
    level, slope, bend, knee = (float(value) for value in fit.x)
    return level, slope, bend, knee


def _resampled(residuals: Floats) -> Floats:
    """Courses of noise, shape (`RESAMPLES`, n), of circular blocks of the residuals.

    A block is longer than what the running median has made alike, and grows with the root of the record.
    """
    n = len(residuals)
    length = min(n // 3, max(2 * MEDIAN_CYCLES, round(2 * np.sqrt(n))))
    starts = np.random.default_rng(_SEED).integers(0, n, (RESAMPLES, -(-n // length)))
    rows = (starts[:, :, None] + np.arange(length)).reshape(RESAMPLES, -1)[:, :n] % n
    return np.asarray((residuals - residuals.mean())[rows])


def _widening(residuals: Floats) -> float:
    """What residuals of shape (n,) have to be multiplied by for an honest interval: the fit followed some of the noise.

    It follows it the more, the fewer independent residuals there are: n divided by the summed autocorrelation, up to
    the first lag where it is not positive, says how many. How large the noise is, is then itself an estimate, hence the
    quantile of Student's t in place of the normal one.
    """
    n = len(residuals)
    independent = n / correlation_length(residuals - residuals.mean())
    free = max(independent - _PARAMETERS, 3.0)
    return float(CAUTION * np.sqrt(max(independent / free, 1)) * student.ppf(0.975, free) / _NORMAL)
