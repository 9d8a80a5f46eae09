"""The capacity record of a cell: the usable part of it, its running median, and how long its noise lasts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

MEDIAN_CYCLES: Final = 11
"""Width of the running median that smooths a record: a recovery after a pause, or a cycle cut short, rarely lasts more
than five cycles. The rule for the end of life has its own width, the variable `median_cycles` of the dbt project."""


def usable_record(cycle: Floats, capacity: Floats) -> tuple[Floats, Floats]:
    """The usable part of a capacity record: finite values, ascending cycle numbers, one value for each.

    Args:
        cycle: cycle numbers, shape (n,).
        capacity: discharge capacity in Ah, shape (n,).

    Returns:
        Cycle numbers, strictly ascending, and capacities, both of shape (m,) with m <= n. Rows with a value that is
        not finite are left out; of a cycle number that occurs twice the median is taken.

    Raises:
        ValueError: the two are not one-dimensional arrays of the same length.
    """
    x, q = np.asarray(cycle, dtype=np.float64), np.asarray(capacity, dtype=np.float64)
    if x.ndim != 1 or x.shape != q.shape:
        raise ValueError(f"cycle and capacity must both be of shape (n,): they are {x.shape} and {q.shape}")
    usable = np.isfinite(x) & np.isfinite(q)
    order = np.lexsort((q[usable], x[usable]))
    x, q = x[usable][order], q[usable][order]
    number, first, count = np.unique(x, return_index=True, return_counts=True)
    # Rows of one cycle number are sorted by capacity: the middle two lie at known places. Halved before they are
    # added, because the sum of two finite values need not be finite.
    return number, q[first + (count - 1) // 2] / 2 + q[first + count // 2] / 2


def running_median(cycle: Floats, capacity: Floats, width: int = MEDIAN_CYCLES) -> tuple[Floats, Floats]:
    """The centred running median over some cycles.

    Args:
        cycle: cycle numbers, ascending, shape (n,).
        capacity: finite values, shape (n,).
        width: cycles that each median is taken of, an odd number.

    Returns:
        The cycles at the centres of whole windows and their medians, shape (n - width + 1,), empty where n is less. The
        ends are left out, because a median over half a window lags behind a fade and would flatten it there; a monotone
        record comes out unchanged.
    """
    reach = width // 2
    if len(capacity) < width:
        return cycle[:0], capacity[:0]
    windows = np.lib.stride_tricks.sliding_window_view(capacity, width)
    return cycle[reach : len(cycle) - reach], np.asarray(np.median(windows, axis=1))


def correlation_length(off: Floats) -> float:
    """How many cycles the noise of a record lasts: n divided by it is the number of independent departures.

    It is twice the summed autocorrelation, up to the first lag where that is not positive, less one: 1 for independent
    noise.

    Args:
        off: departures from the fitted curve, centred, shape (n,).

    Returns:
        A number of cycles; 1 where nothing departs.
    """
    lags = np.correlate(off, off, "full")[len(off) - 1 :]
    if not (np.isfinite(lags).all() and lags[0] > 0):
        return 1.0
    positive = lags > 0
    summed = float((lags[: len(lags) if positive.all() else int(np.argmin(positive))] / lags[0]).sum())
    return 2 * summed - 1
