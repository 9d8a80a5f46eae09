"""A table of a file: columns under the titles that the file writes, whose values are taken with their place in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from producer.readers.base import BadWorkbookError, UndatedWorkbookError
from producer.readers.names import exported_on
from producer.readers.sheets.cells import BadCellError
from producer.readers.sheets.clock import Clues, OpenDatesError
from producer.readers.sheets.duration import LONGEST_DAYS, seconds_of
from producer.readers.tables.digits import sums_in
from producer.readers.tables.stamps import stamps_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from producer.readers.units import Unit

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]

SECONDS_PER_DAY: Final = 86_400.0
_WHOLE: Final = 2.0**53
"""The first whole number that a double does not hold any more."""


@dataclass(frozen=True)
class Table:
    """Columns of equal length n >= 1 of a file, by their titles, with where they stand in it.

    `first_row` is the number of the row of the first value, as an editor or a spreadsheet counts them, from 1. Where
    the table was made of several rows of the file each, or sorted, `rows` has the number of each, shape (n,).
    """

    file: str
    columns: Mapping[str, pa.ChunkedArray]
    sheet: str | None = None
    first_row: int = 2
    rows: Any = None

    def __len__(self) -> int:
        """Rows."""
        return len(next(iter(self.columns.values())))

    def error(self, title: str | None, problem: str, at: int | None = None) -> BadWorkbookError:
        """What is wrong with a column, or with its value at an index."""
        row = None if at is None else (self.first_row + at if self.rows is None else int(self.rows[at]))
        return BadWorkbookError(self.file, problem, sheet=self.sheet, column=title, row=row)

    def numbers(self, title: str, unit: Unit | None = None, *, required: bool = False) -> Floats:
        """A column as numbers in the unit of the contract, shape (n,); NaN where the cell is empty.

        Raises:
            BadWorkbookError: a cell is no finite number, or is empty and must not be.
        """
        column = self.columns[title]
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type) or pa.types.is_null(column.type)):
            column = self._parsed(title)
        values = (
            column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            if column.null_count < len(column)
            else None
        )
        if values is None:
            values = np.full(len(column), np.nan)
        values = np.asarray(values, np.float64)
        if np.isfinite(values).all():
            return values if unit is None else unit.convert(values)
        wrong = np.isinf(values)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise self.error(
                title, f"{column[at].as_py()!r} is not a finite number; fix the cell or export it again", at
            )
        if required and np.isnan(values).any():
            at = int(np.argmax(np.isnan(values)))
            raise self.error(title, "the cell is empty; every reading needs this value", at)
        return values if unit is None else unit.convert(values)

    def whole_numbers(self, title: str) -> Integers:
        """A column of whole numbers, shape (n,), which every reading needs.

        Raises:
            BadWorkbookError: a cell is empty, or is no whole number.
        """
        values = self.numbers(title, required=True)
        wrong = (values != np.floor(values)) | (np.abs(values) >= _WHOLE)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise self.error(title, f"{float(values[at])!r} is not a whole number; fix the cell or export it again", at)
        return values.astype(np.int64)

    def seconds(self, title: str, unit: Unit | None) -> Floats:
        """A column of times in s, shape (n,); they are durations such as 26:03:04 where `unit` is None.

        Raises:
            BadWorkbookError: a cell is neither, is empty, or is longer than any test.
        """
        seconds = self._seconds(title, unit)
        wrong = np.abs(seconds) > LONGEST_DAYS * SECONDS_PER_DAY
        if wrong.any():
            at = int(np.argmax(wrong))
            raise self.error(title, f"{seconds[at]:g} s is no time of a test; fix the cell or export it again", at)
        return seconds

    def _seconds(self, title: str, unit: Unit | None) -> Floats:
        column = self.columns[title]
        if unit is not None and pa.types.is_string(column.type) and pc.any(pc.match_substring(column, ":")).as_py():
            unit = None  # software names seconds in the title and writes durations from a day on
        if unit is not None or not (pa.types.is_string(column.type) or pa.types.is_duration(column.type)):
            return self.numbers(title, unit, required=True)
        if pa.types.is_duration(column.type):
            return np.asarray(column.cast(pa.duration("us")).cast(pa.int64()).to_numpy(zero_copy_only=False) / 1e6)
        seconds = _durations(column)
        if seconds is None:
            try:
                listed = seconds_of(column.to_pylist(), since_1904=False)
            except BadCellError as error:
                raise self.error(title, str(error), error.index) from None
            seconds = np.array([np.nan if one is None else one for one in listed], np.float64)
        if np.isnan(seconds).any():
            raise self.error(title, "the cell is empty; every reading needs it", int(np.argmax(np.isnan(seconds))))
        return seconds

    def is_empty(self, title: str) -> bool:
        """Whether all cells of a column are empty, as where software writes a title and nothing below it."""
        column = self.columns[title]
        if column.null_count == len(column):
            return True
        if not pa.types.is_string(column.type) or column[0].as_py() not in (None, *NO_NUMBER):
            return False
        texts = self.texts(title)
        return bool(pc.all(pc.is_in(texts, value_set=_NO_NUMBER)).as_py())

    def texts(self, title: str) -> pa.Array:
        """A column as texts without blanks at their ends, empty where the cell is."""
        column = self.columns[title]
        if not pa.types.is_string(column.type):
            column = column.cast(pa.string())
        if column.null_count:
            column = pc.fill_null(column, "")
        if not all(map(_has_no_blank, column.chunks)):
            column = pc.utf8_trim_whitespace(column)
        return column.combine_chunks()

    def text(self, title: str, at: int) -> str:
        """One cell of a column, as `texts` has it."""
        cell = self.columns[title].slice(at, 1).cast(pa.string())
        return str(pc.utf8_trim_whitespace(pc.fill_null(cell, ""))[0].as_py())

    def stamps(
        self, title: str, times: Floats, order: str | None, usual: str | None = None
    ) -> tuple[pa.Array, str | None]:
        """A column of dates as wall clock times (timestamp in us, null where empty), and what was assumed of them.

        Args:
            title: the column.
            times: test times in s, which the dates must advance with, shape (n,).
            order: that of day, month and year, if the user says it: a key of `ORDERS`.
            usual: that of the format, taken where neither the user nor the file says it.

        Raises:
            UndatedWorkbookError: their order is open.
            BadWorkbookError: a cell is no date.
        """
        clues = Clues(times, exported=exported_on(self.file), order=order)
        try:
            return stamps_of(self.columns[title], clues, usual)
        except OpenDatesError as error:
            row = self.error(title, str(error), error.index)
            raise UndatedWorkbookError(self.file, str(row).removeprefix(f"{self.file}, ")) from None
        except BadCellError as error:
            raise self.error(title, str(error), error.index) from None

    def _parsed(self, title: str) -> pa.Array:
        """A column of texts as numbers."""
        texts = self.texts(title)
        texts = pc.if_else(pc.is_in(texts, value_set=_NO_NUMBER), pa.scalar(None, pa.string()), texts)
        texts = _without_thousands(texts)
        try:
            return texts.cast(pa.float64())
        except pa.ArrowInvalid:
            for at, text in enumerate(texts.to_pylist()):
                if text is not None and not _is_number(text):
                    problem = f"{text!r} is not a number; fix the cell or export it again"
                    raise self.error(title, problem, at) from None
        return pa.array([None if text is None else float(text) for text in texts.to_pylist()], pa.float64())


NO_NUMBER: Final = ("", "-", "--", "NaN", "nan", "N/A", "n/a", "NA", "null", "NULL", "None")
"""What software writes where there is no number."""

_THOUSANDS: Final = r"^-?\d{1,3}(,\d{3})+(\.\d*)?$"
_NO_NUMBER: Final = pa.array(NO_NUMBER, pa.string())
_MINUTES: Final = r"\s*(?:(?P<day>\d{1,5})(?:\s*[dD]\s*|\s*-\s*|\s+))?(?P<hour>\d{1,7}):(?P<minute>\d{1,2})"
_DURATION: Final = rf"{_MINUTES}:(?P<second>\d{{1,2}})(?:\.(?P<ns>\d{{1,9}}))?\s*"
_SECONDS: Final = r"^[0-5]?\d(\.\d+)?\s*$"
_WHOLE_SECONDS: Final = {"day": 86_400, "hour": 3600, "minute": 60, "second": 1}
_LAST_OF_AN_HOUR: Final = {"minute": 59, "second": 59}


def _has_no_blank(texts: pa.Array) -> bool:
    """Whether texts surely have no blank, as all their letters are of ASCII behind that; others may have none too."""
    *_, content = texts.buffers()
    letters = np.frombuffer(content, np.uint8) if content is not None else np.zeros(0, np.uint8)
    return not len(letters) or (letters.min() > ord(" ") and letters.max() < 0x80)  # noqa: PLR2004  # end of ASCII


def _without_thousands(texts: pa.Array) -> pa.Array:
    """Texts without the commas of 1,234.5, if all commas are such, and other numbers have a point."""
    has_comma = pc.fill_null(pc.match_substring(texts, ","), fill_value=False)
    if not pc.any(has_comma).as_py() or not pc.any(pc.match_substring(texts, ".")).as_py():
        return texts
    if not pc.all(pc.match_substring_regex(texts.filter(has_comma), _THOUSANDS)).as_py():
        return texts
    return pc.replace_substring(texts, ",", "")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _durations(column: pa.ChunkedArray) -> Floats | None:
    """Durations in s; None where a cell is anything else."""
    texts = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if texts.null_count:
        return None
    sums = sums_in(texts, _DURATION, _WHOLE_SECONDS, {"ns": 1}, limits=_LAST_OF_AN_HOUR, decimals={"ns": 9})
    return _precise_durations(texts) if sums is None else sums[0] + sums[1] / 1e9


def _precise_durations(texts: pa.Array) -> Floats | None:
    """Durations whose seconds may have more decimals than fit a whole number, in s; None where a cell is none."""
    halves = pc.split_pattern(texts, ":", max_splits=1, reverse=True)
    if pc.any(pc.not_equal(pc.list_value_length(halves), 2)).as_py():
        return None
    minutes, seconds = (pc.list_element(halves, half) for half in range(2))
    if not pc.all(pc.match_substring_regex(seconds, _SECONDS)).as_py():
        return None
    sums = sums_in(minutes, _MINUTES, _WHOLE_SECONDS, limits=_LAST_OF_AN_HOUR)
    if sums is None:
        return None
    found: Floats = np.asarray(pc.utf8_rtrim_whitespace(seconds).cast(pa.float64()), np.float64)
    return found + sums[0]
