"""Incremental capacity: at which voltages a cell takes up or gives off its charge.

A plateau of an electrode is a peak of dQ/dV. Its height says how much active material takes part, its place how far
the electrodes have slipped against each other and how large the resistance is; that is why the curve moves with age.

References:
    M. Dubarry, G. Baure: Perspective on commercial Li-ion battery testing, best practices for simple and effective
    protocols. Electronics 9(1), 152, 2020.
    A. Savitzky, M. J. E. Golay: Smoothing and differentiation of data by simplified least squares procedures.
    Analytical Chemistry 36(8), 1627-1639, 1964.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.signal import find_peaks, savgol_filter

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

GRID_V: Final = 0.01
"""Distance of the grid's voltages in volts."""

WINDOW: Final = 7
"""Points of the grid that the smoothing polynomial is fitted to: 60 mV from the first to the last."""

ORDER: Final = 2
"""Degree of that polynomial."""

LEAST_READINGS: Final = 20
"""Readings below which there is no curve."""

MOST_POINTS: Final = 10_000
"""Points of the grid above which a coarser one is taken: a pack's voltage may span hundreds of volts."""

COARSER: Final = (1.0, 10.0, 100.0)
"""How many times coarser a grid may be. Where the last has too many points, the voltages are those of no battery."""

PROMINENCE: Final = 0.05
"""Share of the largest dQ/dV by which a peak must stand out."""

WELL_ABOVE_ZERO: Final = 0.02
"""Share of the largest dQ/dV below which its inverse says nothing."""


@dataclass(frozen=True)
class Peak:
    """A peak of dQ/dV: its voltage in V, its height and its prominence in Ah/V."""

    voltage: float
    height: float
    prominence: float


@dataclass(frozen=True)
class Curve:
    """The incremental capacity of one charge or discharge, arrays of shape (m,), voltages ascending.

    `voltage` holds whole multiples of the grid's distance, in V, so that curves of several cycles share their points.
    `capacity` is the charge in Ah that had moved since the start when the cell was at that voltage: it rises with
    voltage in a charge and falls in a discharge. `dq_dv` is the magnitude of its derivative in Ah/V, positive in both
    directions; `dv_dq` its inverse in V/Ah, NaN where `dq_dv` is not well above 0. `peaks` ascend in voltage.
    """

    voltage: Floats
    capacity: Floats
    dq_dv: Floats
    dv_dq: Floats
    peaks: tuple[Peak, ...]


def incremental_capacity(
    voltage: Floats, capacity: Floats, *, grid_v: float = GRID_V, window: int = WINDOW
) -> Curve | None:
    """Differentiate the capacity of one charge or discharge at constant current by its voltage.

    Smoothing happens twice. The voltage is made monotone in the order of the readings by isotonic regression: what
    noise has put in the wrong order becomes one point at the mean of its voltages and capacities. The capacity,
    interpolated linearly on the grid, is then differentiated by a Savitzky-Golay filter, a polynomial of degree `ORDER`
    fitted to `window` points: peaks narrower than about half of `window` * `grid_v` are flattened.

    Args:
        voltage: the cell's voltage in V in the order of the readings, shape (n,): rising in a charge, falling in a
            discharge, noise apart.
        capacity: the charge in Ah moved since the start of the step, shape (n,). Rows that are not finite are left out.
        grid_v: distance of the grid's voltages in V; ten or a hundred times as much where the voltages would make more
            than `MOST_POINTS`.
        window: points of the grid that the filter takes; odd, more than `ORDER`.

    Returns:
        The curve. None where there is none: fewer than `LEAST_READINGS` readings, a voltage or a capacity that does not
        move, fewer grid points than `window` within the voltages, or more than `MOST_POINTS` of the
        coarsest grid.

    Raises:
        ValueError: the arrays are not one-dimensional and of the same length, `grid_v` is not a positive number, or
            `window` is even or not above `ORDER`.
    """
    v, q = np.asarray(voltage, dtype=np.float64), np.asarray(capacity, dtype=np.float64)
    if v.ndim != 1 or v.shape != q.shape:
        raise ValueError(f"voltage and capacity must both be of shape (n,): they are {v.shape} and {q.shape}")
    if not (np.isfinite(grid_v) and grid_v > 0):
        raise ValueError(f"grid_v must be a positive number of volts: it is {grid_v}")
    if window % 2 == 0 or window <= ORDER:
        raise ValueError(f"window must be odd and above {ORDER}: it is {window}")

    usable = np.isfinite(v) & np.isfinite(q)
    if np.count_nonzero(usable) < LEAST_READINGS:
        return None
    # Absurd magnitudes overflow to inf here; they make no curve.
    with np.errstate(all="ignore"):
        v, q = _monotone(v[usable], q[usable])
        fits = (factor for factor in COARSER if (v[-1] - v[0]) / (factor * grid_v) < MOST_POINTS)
        grid_v *= next(fits, COARSER[-1])
        first, last = np.ceil(v[0] / grid_v), np.floor(v[-1] / grid_v)
        if not (window <= last - first + 1 <= MOST_POINTS):
            return None
        grid = np.arange(first, last + 1) * grid_v
        moved = np.interp(grid, v, q)
        # A fit to monotone data may slope the wrong way at either end, where its window is not centred.
        rising = float(np.sign(q[-1] - q[0]))
        dq_dv = np.maximum(rising * savgol_filter(moved, window, ORDER, deriv=1, delta=grid_v), 0)
        largest = float(np.max(dq_dv))
        if not (np.isfinite(dq_dv).all() and largest > 0):
            return None
        dv_dq = np.where(dq_dv > WELL_ABOVE_ZERO * largest, 1 / dq_dv, np.nan)
        return Curve(grid, moved, dq_dv, dv_dq, _peaks(grid, dq_dv))


def _monotone(v: Floats, q: Floats) -> tuple[Floats, Floats]:
    """Capacity as a function of strictly ascending voltage, from finite readings in their order, shape (n,)."""
    # The capacity of a step only grows; a counter's jitter must not make it shrink.
    q = np.maximum.accumulate(q)
    third = len(v) // 3
    charging = np.median(v[-third:]) >= np.median(v[:third])
    fitted = isotonic_regression(v, increasing=bool(charging)).x
    block = np.concatenate([[0], np.cumsum(np.diff(fitted) != 0)])
    readings = np.bincount(block)
    level, moved = np.bincount(block, fitted) / readings, np.bincount(block, q) / readings
    return (level, moved) if charging else (level[::-1], moved[::-1])


def _peaks(grid: Floats, dq_dv: Floats) -> tuple[Peak, ...]:
    """Peaks that stand out, each at the vertex of the parabola through its highest point and that one's neighbours."""
    at, found = find_peaks(dq_dv, prominence=PROMINENCE * float(np.max(dq_dv)))
    before, top, after = dq_dv[at - 1], dq_dv[at], dq_dv[at + 1]
    bend = before - 2 * top + after
    # A flat top has no vertex of its own; its middle will do.
    shift = np.where(bend < 0, (before - after) / np.where(bend < 0, 2 * bend, 1), 0)
    height = top - (before - after) * shift / 4
    step = grid[1] - grid[0]
    return tuple(
        Peak(float(v), float(h), float(p))
        for v, h, p in zip(grid[at] + shift * step, height, found["prominences"], strict=True)
    )
