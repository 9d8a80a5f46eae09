"""Wall clocks of files whose readings have a time of day alone, such as 11:49:32, and whose head dates the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producer.readers.tables.digits import numbers_in

if TYPE_CHECKING:
    from datetime import date

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

DATED_BY_DAY: Final = (
    "the readings have a time of day alone; the day is that of the test, and the next one after each midnight that the "
    "test time passes"
)
"""What is assumed where `clock_of_days` made the clock."""

_DAY: Final = 86_400.0
_NOON: Final = 12
_TIME: Final = r"\s*(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.(?P<us>\d{1,6}))?)?\s*"
_HALVES: Final = pa.array(["AM", "PM"])


def times_of_day(texts: pa.Array) -> Floats | None:
    """Seconds since midnight, shape (n,), of texts such as 23:49:32 or 11:49:32 PM; None where one is anything else.

    >>> times_of_day(pa.array(["11:49:32 PM", "12:00:02 AM"]))
    array([8.5772e+04, 2.0000e+00])
    """
    half = pc.utf8_upper(pc.utf8_slice_codeunits(texts, -2, 2**31 - 1))
    has_half = len(texts) > 0 and pc.all(pc.is_in(half, value_set=_HALVES)).as_py()
    numbers = numbers_in(pc.utf8_slice_codeunits(texts, 0, -2) if has_half else texts, _TIME, {"us": 6})
    if numbers is None or (numbers["minute"] > 59).any() or (numbers["second"] > 59).any():  # noqa: PLR2004
        return None
    hour = numbers["hour"]
    if has_half:
        if ((hour < 1) | (hour > _NOON)).any():
            return None
        is_late = pc.equal(half, "PM").to_numpy(zero_copy_only=False)
        hour = hour % _NOON + np.where(is_late, _NOON, 0)
    elif (hour > 23).any():  # noqa: PLR2004
        return None
    return 3600.0 * hour + 60 * numbers["minute"] + numbers["second"] + numbers["us"] / 1e6


def clock_of_days(day: date, seconds: Floats, test_time: Floats) -> pa.Array:
    """The wall clock of each reading (timestamp in us), shape (n,): its time on the day nearest to its test time.

    Args:
        day: of the first reading.
        seconds: since midnight, shape (n,).
        test_time: s, shape (n,).
    """
    days = np.round((seconds[0] + test_time - test_time[0] - seconds) / _DAY)
    us = np.round((seconds + _DAY * days) * 1e6).astype("timedelta64[us]")
    return pa.array(np.datetime64(day, "us") + us)
