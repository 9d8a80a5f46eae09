"""Which cells do not age like the others: where to look first.

References:
    B. Iglewicz, D. C. Hoaglin: How to Detect and Handle Outliers. ASQC Quality Press, 1993 (modified z-scores, 3.5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

FAR: Final = 3.5
"""Modified z-score beyond which a value stands out."""

LEAST_CELLS: Final = 5
"""Values below which none can be said to stand out."""

CONSISTENT: Final = 0.6745
"""Makes the median absolute deviation comparable with a standard deviation: the third quartile of a normal one."""

LEAST_SPREAD: Final = 0.01
"""Share of the median that the others' spread is taken to be at least: values that agree to a percent are alike."""


def modified_z(values: Floats) -> Floats:
    """How far each value lies from the median of all, in robust standard deviations; its sign says to which side.

    Args:
        values: shape (n,), of one unit; NaN where there is none.

    Returns:
        Shape (n,); 0 where there is no value, and for all where there are fewer than `LEAST_CELLS`.
    """
    there = np.isfinite(values)
    scores = np.zeros(len(values))
    if np.count_nonzero(there) < LEAST_CELLS:
        return scores
    middle = np.median(values[there])
    spread = max(float(np.median(np.abs(values[there] - middle))), LEAST_SPREAD * abs(float(middle)))
    if spread > 0:
        scores[there] = CONSISTENT * (values[there] - middle) / spread
    return scores
