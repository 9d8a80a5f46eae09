"""Test and step times that are durations and not numbers: 26:03:04.5, 6-14:26:49, 1d 02:03:04, [h]:mm:ss."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from producer.readers.sheets.cells import BadCellError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

LONGEST_DAYS: Final = 36_525
"""A duration beyond a century is a date in a column of durations."""

_TEXT: Final = re.compile(
    r"^(?:(?P<days>\d+)(?:\s*(?:d|days?),?\s*|\s*-\s*|\s+))?(?P<hours>\d+):(?P<minutes>[0-5]?\d):(?P<seconds>[0-5]?\d(?:[.,]\d+)?)$",
    re.IGNORECASE,
)
_CLOCK: Final = r"(?P<hour>\d{1,7}):(?P<minute>\d{1,2}):(?P<second>\d{1,2})(?:[.,](?P<nanosecond>\d{1,9}))?"
_LEAP_DAY: Final = date(1900, 2, 28)
_HOW: Final = "format the column as [h]:mm:ss, or write seconds"


def is_duration(cell: object) -> bool:
    """Whether a cell can only be a duration, and not a number."""
    if isinstance(cell, str):
        return _TEXT.match(cell.strip()) is not None
    return isinstance(cell, timedelta | time | date)


def seconds_of(cells: Sequence[object], *, since_1904: bool) -> list[float | None]:
    """The seconds of a column of durations; empty cells become None.

    Args:
        cells: what the sheet has in the column, a duration in at least one of them.
        since_1904: whether the workbook counts days from 1904, which tells how long a duration is that is shown as a
            date, as those of a day and more are without the brackets of [h].

    Raises:
        BadCellError: a cell is not a duration, or may mean several ones.
    """
    return [_seconds(index, cell, since_1904=since_1904) for index, cell in enumerate(cells)]


def clock_seconds(texts: pa.Array) -> npt.NDArray[np.float64] | None:
    """The seconds of texts such as 26:03:04.5, shape (n,), as `seconds_of` has them; None where one is any other.

    Args:
        texts: n texts without nulls.
    """
    from producer.readers.tables.digits import numbers_in  # noqa: PLC0415  # Arbin's workbooks have no such texts

    found = numbers_in(texts, _CLOCK, {"nanosecond": 9})
    if found is None or (found["minute"] > 59).any() or (found["second"] > 59).any():  # noqa: PLR2004
        return None
    whole = 3600 * found["hour"] + 60 * found["minute"]
    return whole + (10**9 * found["second"] + found["nanosecond"]) / 1e9  # one division rounds as `float` does


def _seconds(index: int, cell: object, *, since_1904: bool) -> float | None:
    if isinstance(cell, timedelta):
        return _in_bounds(index, cell, cell)
    if isinstance(cell, time):
        return timedelta(
            hours=cell.hour, minutes=cell.minute, seconds=cell.second, microseconds=cell.microsecond
        ).total_seconds()
    if isinstance(cell, date):
        return _in_bounds(index, cell, _since(index, cell, since_1904=since_1904))
    if isinstance(cell, str):
        if not cell.strip():
            return None
        match = _TEXT.match(cell.strip())
        if match is not None and not (match["days"] and int(match["hours"]) > 23):  # noqa: PLR2004
            whole = int(match["days"] or 0) * 86_400 + int(match["hours"]) * 3600 + int(match["minutes"]) * 60
            return whole + float(match["seconds"].replace(",", "."))
    elif cell == 0:
        return 0.0
    raise BadCellError(
        index,
        f"{cell!r} is not a duration, as other cells of the column are, such as 26:03:04.5 or 1d 02:03:04; {_HOW}",
    )


def _since(index: int, cell: date, *, since_1904: bool) -> timedelta:
    """How many days a date stands for, counted as spreadsheets do, for which 1900 was a leap year."""
    stamp = cell if isinstance(cell, datetime) else datetime.combine(cell, time())
    if since_1904:
        return stamp - datetime(1904, 1, 1)  # noqa: DTZ001  # a duration has no zone
    if stamp.date() == _LEAP_DAY:
        raise BadCellError(index, f"{stamp.isoformat()} may be 59 days or 60; {_HOW}")
    first = datetime(1899, 12, 31) if stamp.date() < _LEAP_DAY else datetime(1899, 12, 30)  # noqa: DTZ001
    return stamp - first


def _in_bounds(index: int, cell: object, duration: timedelta) -> float:
    if not 0 <= duration.days < LONGEST_DAYS:
        shown = cell.isoformat() if isinstance(cell, date) else f"{cell}"
        raise BadCellError(index, f"{shown} is not a duration of a test; {_HOW}")
    return duration.total_seconds()
