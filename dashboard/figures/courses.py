"""The course of a measure over a cell's life: the running median of its cycles as a line, the cycles behind it.

A line through single cycles is saw-teeth: a cycle that was cut short or held up says nothing of how the cell ages.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ageing import record
from ageing.record import MEDIAN_CYCLES
from dashboard.figures.measures import column, comparable, flags, has_place
from dashboard.figures.style import kept_rows

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

FEW: Final = 5
"""Of fewer cycles there is no course: they are joined as they are."""

FAINT: Final = 0.35
"""How opaque single cycles are behind the line through their medians."""

FAINT_POINTS: Final = 400
"""Single cycles behind the line of a drawing as wide as the page: more cannot be told apart, and cost a browser most of
its time. The extremes are among them."""

FAINT_POINTS_BESIDE: Final = 200
"""The same of drawings beside one another."""

CLEAR: Final = 0.75
"""The same of cycles that the line does not go through: reference tests, and what was cut short."""

MEDIAN_WORDS: Final = f"median of {MEDIAN_CYCLES} cycles"

CAPTION: Final = (
    f"Lines: the running median of {MEDIAN_CYCLES} complete cycles that are no reference tests (fewer at the ends); "
    "points: single cycles."
)


def smooth(values: npt.NDArray[np.float64], width: int = MEDIAN_CYCLES) -> npt.NDArray[np.float64]:
    """The centred running median of finite values, of fewer of them towards the ends.

    The windows shrink on both sides alike, down to three values, so that a steady fade comes out unchanged. The first
    and the last value follow Tukey's end-point rule: the median of the value itself, its smoothed neighbour, and the
    straight line through the next two (J. W. Tukey: Exploratory Data Analysis, 1977; as R's `smoothEnds`).

    Args:
        values: shape (n,).
        width: values that each median is taken of, an odd number.

    Returns:
        Shape (n,); fewer than three values come out as they are.
    """
    count = len(values)
    if count < 3:  # noqa: PLR2004  # what a median changes
        return values.copy()
    out = np.empty(count)
    reach = min(width // 2, (count - 1) // 2)
    _, middle = record.running_median(np.arange(count, dtype=np.float64), values, 2 * reach + 1)
    out[reach : count - reach] = middle
    for narrow in range(1, reach):  # of so few values NumPy's median takes ten times as long
        out[narrow] = sorted(values[: 2 * narrow + 1].tolist())[narrow]
        out[-1 - narrow] = sorted(values[-1 - 2 * narrow :].tolist())[narrow]
    if count == 3:  # noqa: PLR2004  # no line through the next two
        out[0], out[-1] = values[0], values[-1]
        return out
    out[0] = sorted((values[0], out[1], 3 * out[1] - 2 * out[2]))[1]
    out[-1] = sorted((values[-1], out[-2], 3 * out[-2] - 2 * out[-3]))[1]
    return out


@dataclass(frozen=True)
class Course:
    """A measure over the cycles of one cell that have it: shape (n,) each.

    `number` is the cycle's; `line` marks the cycles that the median goes through, which is NaN elsewhere.
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[np.float64]
    number: npt.NDArray[np.float64]
    line: npt.NDArray[np.bool_]
    median: npt.NDArray[np.float64]
    complete: npt.NDArray[np.bool_]

    @property
    def usual(self) -> npt.NDArray[np.float64]:
        """The values that the range of an axis goes by: of complete cycles, unless those are few."""
        return self.y[self.complete] if int(self.complete.sum()) >= FEW else self.y

    @property
    def is_joined(self) -> bool:
        """Whether there are too few cycles for a median: the line goes through them as they are."""
        return int(self.line.sum()) < FEW


def cycle_markers(course: Course, rows: npt.NDArray[np.int64], of_colour: str) -> dict[str, Any]:
    """What the single cycles of a course look like behind its line: faint points; what the line leaves out is clearer.

    Args:
        course: of the cell.
        rows: of the cycles that are drawn.
        of_colour: of the cell.
    """
    usual = course.line[rows]
    if usual.all():
        return {"color": of_colour, "size": 4, "opacity": FAINT, "symbol": "circle"}
    return {
        "color": of_colour,
        "size": np.where(usual, 4, 6),
        "opacity": np.where(usual, FAINT, CLEAR),
        "symbol": cycle_symbols(course, rows),
    }


def drawn_rows(course: Course) -> npt.NDArray[np.int64]:
    """The cycles of a course that are drawn as points: of the usual ones `FAINT_POINTS_BESIDE`, and all others."""
    usual = np.flatnonzero(course.line)
    others = np.flatnonzero(~course.line)
    return np.union1d(usual[kept_rows(course.y[usual], FAINT_POINTS_BESIDE)], others[kept_rows(course.y[others])])


def cycle_symbols(course: Course, rows: npt.NDArray[np.int64]) -> list[str]:
    """Points for usual cycles, diamonds for reference tests, crosses for what was cut short."""
    others = np.where(course.complete[rows], "diamond", "x-thin-open")
    symbols: list[str] = np.where(course.line[rows], "circle", others).tolist()
    return symbols


def course_of(cycles: pa.Table, axis: str, values: npt.NDArray[np.float64]) -> Course:
    """The course of some values, one for each cycle of a cell, over an axis.

    Args:
        cycles: of one cell, in the order of their numbers.
        axis: the column of `battery_cycles` that it is drawn over.
        values: shape (n,), NaN where a cycle has none.
    """
    x = column(cycles, axis)
    kept = np.flatnonzero(np.isfinite(values) & has_place(x))
    line = comparable(cycles)[kept]
    y = values[kept]
    median = np.full(len(y), np.nan)
    through = y[line]
    median[line] = through if len(through) < FEW else smooth(through)
    return Course(x[kept], y, column(cycles, "cycle_number")[kept], line, median, flags(cycles, "is_complete")[kept])
