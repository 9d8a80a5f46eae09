"""Wall clocks of tables: dates in texts, and numbers that count from some day.

Texts are read in columns where one pattern fits all, and one by one as those of workbooks are where none does. What a
number counts is told by its size: the ranges that dates from 1970 to 2100 take do not overlap.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producer.readers.sheets.cells import BadCellError
from producer.readers.sheets.clock import Clues, OpenDatesError, clocks_of
from producer.readers.tables.digits import numbers_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

STAMP: Final = pa.timestamp("us")
_DAY_US: Final = 86_400_000_000
_SAMPLED: Final = 512
"""So many dates of a column, evenly apart, tell the order of day and month."""

_WEEKS_S: Final = 20 * 86_400.0
"""A date that is so far from where the test time leads leaps by a month, as days taken for months do, in s."""

_YEAR_LAST: Final = {"dmy": "cba", "mdy": "cab"}
"""Where year, month and day are among the numbers of a date, by its order."""

STEADY: Final = {
    "dmy": "Dates have the day first, since they would leap by months otherwise",
    "mdy": "Dates have the month first, since they would leap by months otherwise",
}
"""What is assumed of dates that go on in one order alone."""

_NOON: Final = 12
_HALVES: Final = pa.array(["AM", "PM"])
"""Halves of a day, which stand behind the hours of some dates."""

_DATE_FIRST: Final = (
    r"\s*(?P<a>\d{1,4})[-/.](?P<b>\d{1,2})[-/.](?P<c>\d{1,4})[T ]+"
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<us>\d{1,6}))?)?\s*"
)


@dataclass(frozen=True)
class _Count:
    """Numbers that count from some day: the least and the most that stand for a date, and how they become us."""

    name: str
    low: float
    high: float
    us_each: float
    offset_us: int
    zone: str


_COUNTS: Final = (
    _Count("Unix seconds, so UTC", 3e8, 4.2e9, 1e6, 0, "UTC"),
    _Count("Unix milliseconds, so UTC", 3e11, 4.2e12, 1e3, 0, "UTC"),
    _Count("Unix microseconds, so UTC", 3e14, 4.2e15, 1.0, 0, "UTC"),
    _Count("ticks of 1e-7 s since 1970, so UTC", 4.3e15, 4.2e16, 0.1, 0, "UTC"),
    _Count("ticks of 1e-7 s since the year 1", 6.2e17, 6.7e17, 0.1, -62_135_596_800_000_000, ""),
    _Count("days since 1900, as spreadsheets count", 20_000, 80_000, _DAY_US, -25_569 * _DAY_US, ""),
    _Count("days since the year 0, as MATLAB counts", 700_000, 800_000, _DAY_US, -719_529 * _DAY_US, ""),
)
"""What numbers of a column of dates may count."""


def stamps_of(column: pa.ChunkedArray, clues: Clues, usual: str | None = None) -> tuple[pa.Array, str | None]:
    """The stamps of a column, null where a cell is empty, and a line on what was assumed of them, if anything.

    Args:
        column: texts, numbers or timestamps, shape (n,).
        clues: what helps to read dates whose order is open.
        usual: the order that dates of the format have, where nothing else decides.

    Raises:
        OpenDatesError: nothing decides which number of the dates is the day.
        BadCellError: a cell is not a date.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_timestamp(array.type):
        return array.cast(STAMP, safe=False), None
    if pa.types.is_string(array.type):
        numbers = None if array.null_count or not len(array) else numbers_in(array, _DATE_FIRST, {"us": 6})
        dated = None if numbers is None else _dated(array, array, numbers, clues, usual)
        if dated is not None:
            return dated
        array = pc.utf8_trim_whitespace(array)
        array = pc.if_else(pc.equal(array, ""), pa.scalar(None, pa.string()), array)
        first = next((text for text in array[:_SAMPLED].to_pylist() if text is not None), "0")
        if not first.replace(".", "", 1).isdigit():
            return _texts(array, clues, usual)
        try:
            array = array.cast(pa.float64())
        except pa.ArrowInvalid:
            return _texts(array, clues, usual)
    return _counted(array)


def _counted(array: pa.Array) -> tuple[pa.Array, str | None]:
    if array.null_count == len(array):
        return pa.nulls(len(array), STAMP), None
    values = np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)
    middle = float(np.nanmedian(values))
    count = next((count for count in _COUNTS if count.low <= middle <= count.high), None)
    if count is None:
        raise BadCellError(
            0, f"{middle:g} stands for no date that is known here; write the dates as 2024-03-01 09:00:00"
        )
    outside = ~np.isnan(values) & ~((values >= count.low) & (values <= count.high))
    if outside.any():
        at = int(np.argmax(outside))
        raise BadCellError(at, f"{values[at]:g} is no date in a column of {count.name}; fix the cell")
    if pa.types.is_integer(array.type) and count.us_each == 0.1:  # noqa: PLR2004  # a double does not hold these ticks
        us = np.asarray(pc.fill_null(array, 0).to_numpy(zero_copy_only=False)) // 10 + count.offset_us
    elif count.us_each in {1e6, 1e3}:  # a double of Unix seconds has some 0.2 us: rounded, as the file wrote decimals
        us = np.round(np.nan_to_num(values) * count.us_each).astype(np.int64) + count.offset_us
    else:
        us = np.round(np.nan_to_num(values) * count.us_each / 1e3).astype(np.int64) * 1000 + count.offset_us
    return pa.array(us, pa.int64(), mask=np.isnan(values)).cast(STAMP), f"Date_Time counts {count.name}"


def _texts(array: pa.Array, clues: Clues, usual: str | None) -> tuple[pa.Array, str | None]:
    given = array.drop_null()
    numbers = _numbers(given) if len(given) else None
    dated = None if numbers is None else _dated(array, given, numbers, clues, usual)
    return _one_by_one(array, clues, usual) if dated is None else dated


def _dated(
    array: pa.Array, given: pa.Array, numbers: Mapping[str, npt.NDArray[np.int64]], clues: Clues, usual: str | None
) -> tuple[pa.Array, str | None] | None:
    """The stamps of dates by their numbers; None where none of these is a year of four digits."""
    if (numbers["a"] > 999).all():  # noqa: PLR2004  # a year of four digits
        return _composed(array, numbers, "abc"), None
    if (numbers["c"] > 999).all():  # noqa: PLR2004
        order, assumed = _order(given, numbers, clues, usual)
        return _composed(array, numbers, _YEAR_LAST[order]), assumed
    return None


def _numbers(given: pa.Array) -> dict[str, npt.NDArray[np.int64]] | None:
    """The numbers of dates, with hours from 0 to 23 also where AM or PM follows; None where they have another shape."""
    numbers = numbers_in(given, _DATE_FIRST, {"us": 6})
    if numbers is not None:
        return numbers
    half = pc.utf8_upper(pc.utf8_slice_codeunits(given, -2, 2**31 - 1))
    if not pc.all(pc.is_in(half, value_set=_HALVES)).as_py():
        return None
    numbers = numbers_in(pc.utf8_rtrim_whitespace(pc.utf8_slice_codeunits(given, 0, -2)), _DATE_FIRST, {"us": 6})
    if numbers is None or ((numbers["hour"] < 1) | (numbers["hour"] > _NOON)).any():
        return None
    is_late = pc.equal(half, "PM").to_numpy(zero_copy_only=False)
    return numbers | {"hour": numbers["hour"] % _NOON + np.where(is_late, _NOON, 0)}


def _order(
    given: pa.Array, numbers: Mapping[str, npt.NDArray[np.int64]], clues: Clues, usual: str | None
) -> tuple[str, str | None]:
    """Whether the day or the month stands first, and what was assumed."""
    if clues.order in {"dmy", "mdy"}:
        return clues.order, None
    days, months = numbers["a"].max(), numbers["b"].max()
    if days > 12:  # noqa: PLR2004  # no month
        return "dmy", None
    if months > 12:  # noqa: PLR2004
        return "mdy", None
    try:
        told = _by_times(given, numbers, clues) if len(given) == len(clues.times) else None
    except OpenDatesError:
        if usual is None:
            raise
        told = None
    if told is not None:
        return told
    if usual is None:
        raise OpenDatesError(
            0, f"{given[0].as_py()!r} may have the day or the month first; --dates dmy or mdy says which"
        )
    return usual, f"Dates have the {'day' if usual == 'dmy' else 'month'} first, as this format usually has"


def _by_times(
    given: pa.Array, numbers: Mapping[str, npt.NDArray[np.int64]], clues: Clues
) -> tuple[str, str | None] | None:
    """The order in which dates go on with the test times, and what was assumed; None where one is no date.

    Raises:
        OpenDatesError: they do in both.
    """
    at = np.arange(0, len(given), max(1, len(given) // _SAMPLED))
    sample = given.take(pa.array(at)).to_pylist()
    try:
        _, order = clocks_of(sample, replace(clues, times=clues.times[at], order=None))
    except OpenDatesError:
        order = _steady(given, numbers, clues.times)
        if order is None:
            raise
        return order, STEADY[order]
    except BadCellError:
        return None
    return (order, None) if order in {"dmy", "mdy"} else None


def _steady(
    given: pa.Array, numbers: Mapping[str, npt.NDArray[np.int64]], times: npt.NDArray[np.float64]
) -> str | None:
    """The only order in which no date leaps by weeks from that before; None where that is so of both, or of neither.

    A wrong order makes a month of each day. In the right one a test may have paused, or its clock have been set.
    """
    expected = np.diff(times)
    steady = []
    for order, parts in _YEAR_LAST.items():
        clock = _composed(given, numbers, parts).cast(pa.int64()).to_numpy(zero_copy_only=False) / 1e6
        away = np.abs(np.diff(clock) - expected)
        steady += [] if (away[expected >= 0] > _WEEKS_S).any() else [order]
    return steady[0] if len(steady) == 1 else None


def _composed(array: pa.Array, numbers: Mapping[str, npt.NDArray[np.int64]], order: str) -> pa.Array:
    """Stamps of dates whose numbers are `order`ed as year, month and day."""
    year, month, day = (numbers[name] for name in order)
    if month.min() < 1 or month.max() > 12 or day.min() < 1 or day.max() > 31:  # noqa: PLR2004
        wrong = (month < 1) | (month > 12) | (day < 1) | (day > 31)  # noqa: PLR2004
        raise _error(array, wrong, "is no date; fix the cell, or give --dates")
    months = (year - 1970) * 12 + (month - 1)
    least = months.min()
    starts = np.arange(least, months.max() + 2).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    months -= least
    if day.max() > 28 and (wrong := day > np.diff(starts)[months]).any():  # noqa: PLR2004
        raise _error(array, wrong, "is no day of the calendar; fix the cell")
    hour, minute, second = numbers["hour"], numbers["minute"], numbers["second"]
    if hour.max() > 23 or minute.max() > 59 or second.max() > 59:  # noqa: PLR2004
        wrong = (hour > 23) | (minute > 59) | (second > 59)  # noqa: PLR2004
        raise _error(array, wrong, "is no time of a day; fix the cell")
    us = starts[months]
    us += day - 1
    for count, part in ((24, hour), (60, minute), (60, second), (1_000_000, numbers["us"])):
        us *= count
        us += part
    if not array.null_count:
        return pa.array(us).view(STAMP)
    full = np.zeros(len(array), np.int64)
    valid = np.asarray(array.is_valid().to_numpy(zero_copy_only=False), np.bool_)
    full[valid] = us
    return pa.array(full, pa.int64(), mask=~valid).cast(STAMP)


def _error(array: pa.Array, wrong: npt.NDArray[np.bool_], problem: str) -> BadCellError:
    """What is wrong with the first of the cells that are not empty and `wrong`."""
    index = int(np.flatnonzero(np.asarray(array.is_valid()))[int(np.argmax(wrong))])
    return BadCellError(index, f"{array[index].as_py()!r} {problem}")


def _one_by_one(array: pa.Array, clues: Clues, usual: str | None) -> tuple[pa.Array, str | None]:
    cells = ["" if text is None else text for text in array.to_pylist()]
    try:
        stamps, _ = clocks_of(cells, clues)
    except OpenDatesError:
        if usual is None:
            raise
        stamps, _ = clocks_of(cells, replace(clues, order=usual))
        return pa.array(stamps, STAMP), f"Dates have the {'day' if usual == 'dmy' else 'month'} first, as usual"
    return pa.array(stamps, STAMP), None
