"""Wall clocks of files that date the start of a test alone."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import numpy.typing as npt

DATED_BY_START: Final = "the file dates the start of the test alone; the clock is that and the test time"
"""What is assumed where `clock_since` made the clock."""

_NUMBERS: Final = {
    "dmy": r"(?P<day>\d{1,2})[./-](?P<month>\d{1,2})[./-](?P<year>\d{4})",
    "mdy": r"(?P<month>\d{1,2})[./-](?P<day>\d{1,2})[./-](?P<year>\d{4})",
    "ymd": r"(?P<year>\d{4})[./-](?P<month>\d{1,2})[./-](?P<day>\d{1,2})",
}
_TIME: Final = r"[ T]+(?P<hour>\d{1,2}):(?P<minute>\d{2})(:(?P<second>\d{2}))?$"


def start_of(text: str, order: str) -> datetime | None:
    """The wall clock time that a text states; None where it states none.

    >>> start_of("19.06.2023 17:56:53", "dmy")
    datetime.datetime(2023, 6, 19, 17, 56, 53)

    Args:
        text: a date and a time of day.
        order: of the date, a key of `producer.readers.sheets.clock.ORDERS`.
    """
    match = re.match(_NUMBERS[order] + _TIME, text.strip())
    if match is None:
        return None
    try:
        return datetime(**{name: int(number or 0) for name, number in match.groupdict().items()})  # type: ignore[arg-type]  # noqa: DTZ001  # wall clock
    except ValueError:
        return None


def clock_since(start: datetime, seconds: npt.NDArray[np.float64]) -> pa.Array:
    """The wall clock of each reading (timestamp in us), from when the test began and s since then, shape (n,).

    It is given to the ms: the start is known to the second, and times may be hours with few decimals.
    """
    ms = np.round(seconds * 1e3).astype("timedelta64[ms]")
    return pa.array(np.datetime64(start, "us") + ms)
