"""What the first values of a column are: numbers, durations, dates or texts, whatever holds them.

Nothing here refuses a cell: what is no value is none, since a table that nobody knows may hold anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from producer.readers.sheets.cells import BadCellError
from producer.readers.sheets.clock import Clues
from producer.readers.tables.stamps import stamps_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_NUMBER: Final = re.compile(r"^[+-]?(?=[.,]?\d)[\d.,]+(?:[eE][+-]?\d+)?$")
_DURATION: Final = re.compile(
    r"^(?:(?P<days>\d{1,5})(?:\s*days?,?\s*|\s*d\s*|\s*-\s*|\s+))?(?P<hours>\d{1,7}):(?P<minutes>\d{1,2}):"
    r"(?P<seconds>\d{1,2}(?:[.,]\d+)?)$"
)
_DATE: Final = re.compile(
    r"^(?:\d{1,4}\s?[-/.]\s?\d{1,2}\s?[-/.]\s?\d{1,4}(?!\d)|\d{1,2}[-\s.]+[A-Za-z]{3,9}[-\s.,]+\d{2,4}(?!\d))"
)
_DECIMAL_COMMA: Final = re.compile(r"(^|[\t; ])\"?[+-]?\d+,\d+(?:[eE][-+]?\d+)?\"?(?=$|[\t; ])")
MOST_TEXTS: Final = 20
_THOUSANDS: Final = re.compile(r"^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$")
_LOOKED_AT: Final = 50
"""So many values of a column tell whether it holds dates."""


@dataclass(frozen=True, eq=False)
class Seen:
    """The first n values of a column.

    Attributes:
        numbers: shape (n,), NaN where a value is none; those of durations are s.
        clock: s since 1970, shape (n,), NaN where a value is no date; None where the column holds no dates.
        has_durations: whether some are durations such as 26:03:04.
        texts: the first different texts, where few values are anything else.
    """

    numbers: Floats
    clock: Floats | None = None
    has_durations: bool = False
    texts: tuple[str, ...] = ()

    @property
    def sizes(self) -> Floats:
        """The sizes of the numbers that are not 0, shape (m,)."""
        sizes = np.abs(self.numbers)
        return np.asarray(sizes[np.isfinite(sizes) & (sizes > 0)], np.float64)


def is_number(text: str) -> bool:
    """Whether a cell is a number, with a point or a comma.

    >>> is_number("-3,7"), is_number("+1.2E-05"), is_number("."), is_number("1e")
    (True, True, False, False)
    """
    return _NUMBER.match(text) is not None


def is_value(text: str) -> bool:
    """Whether a cell is a number, a duration or a date, as a title is not."""
    return is_number(text) or _DURATION.match(text) is not None or _DATE.match(text) is not None


def is_date(text: str) -> bool:
    """Whether a cell begins with a date."""
    return _DATE.match(text) is not None


def has_decimal_commas(lines: Iterable[str]) -> bool:
    """Whether lines have numbers with a decimal comma, between tabs or semicolons."""
    return any(_DECIMAL_COMMA.search(line) for line in lines)


def seen_in(rows: Sequence[Sequence[str]], width: int, *, decimal: str) -> tuple[Seen, ...]:
    """The columns of rows of texts; rows without any cell are left out.

    Args:
        rows: below the titles; short ones are filled up.
        width: so many columns there are.
        decimal: what stands before the decimals.
    """
    filled = [row for row in rows if any(cell.strip() for cell in row)]
    return tuple(
        _of_texts([row[place].strip() if place < len(row) else "" for row in filled], decimal) for place in range(width)
    )


def seen_of(column: pa.Array) -> Seen:
    """A column of Parquet, whose times have microseconds."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.dictionary_decode(), kind.value_type
    if pa.types.is_timestamp(kind):
        clock = column.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64) / 1e6
        clock[np.asarray(column.is_null())] = np.nan
        return Seen(np.full(len(column), np.nan), clock)
    if pa.types.is_duration(kind):
        seconds = column.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64) / 1e6
        return Seen(seconds, has_durations=True)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Seen(np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _of_texts(["" if text is None else text.strip() for text in column.to_pylist()], ".")
    return Seen(np.full(len(column), np.nan))


def _of_texts(texts: list[str], decimal: str) -> Seen:
    numbers = np.array([_number(text, decimal) for text in texts], np.float64)
    first = [text for text in texts if text][:_LOOKED_AT]
    has_durations = any(_DURATION.match(text) for text in first)
    if any(map(is_date, first)):
        return Seen(numbers, _clock(texts), has_durations)
    are_texts = bool(first) and not any(map(is_value, first))
    different = tuple(islice(dict.fromkeys(filter(None, texts)), MOST_TEXTS)) if are_texts else ()
    return Seen(numbers, None, has_durations, different)


def _number(text: str, decimal: str) -> float:
    if _NUMBER.match(text):
        if decimal == "," or ("," in text and not _THOUSANDS.match(text)):
            text = text.replace(".", "").replace(",", ".")
        try:
            return float(text.replace(",", ""))
        except ValueError:  # 1.2.3
            return float("nan")
    duration = _DURATION.match(text)
    if duration is None:
        return float("nan")
    whole = 86_400 * int(duration["days"] or 0) + 3600 * int(duration["hours"]) + 60 * int(duration["minutes"])
    return whole + float(duration["seconds"].replace(",", "."))


def _clock(texts: list[str]) -> Floats | None:
    """Dates as s since 1970, shape (n,); where their order is open, the day comes first. None where one is no date."""
    dates = pa.chunked_array([pa.array([text if is_date(text) else "" for text in texts], pa.string())])
    for order in ("dmy", "mdy"):
        try:
            stamps, _ = stamps_of(dates, Clues(np.zeros(len(texts)), order=order))
        except BadCellError:
            continue
        clock: Floats = stamps.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64) / 1e6
        clock[np.asarray(stamps.is_null())] = np.nan
        return clock
    return None
