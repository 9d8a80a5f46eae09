"""Values of a table of any types, and the place of those that cannot be taken."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pytest

from producer.readers.base import BadWorkbookError
from producer.readers.tables import table as module
from producer.readers.tables.table import Table


def test_a_whole_number_that_no_double_holds_is_named_with_its_row() -> None:
    table = Table("a.parquet", {"n": pa.chunked_array([[1, 2**60]])})
    with pytest.raises(BadWorkbookError, match=r"^a\.parquet, column n, row 3: .* is not a whole number"):
        table.whole_numbers("n")


def durations(*texts: str) -> list[float]:
    seconds: list[float] = Table("a.txt", {"t": pa.chunked_array([texts])}).seconds("t", None).tolist()
    return seconds


DAY: Final = ["  0d 00:00:5", "  0d 00:00:5.05000019073486", "0d 00:01:0.0500000007450581 ", "1d 2:03:59.9999999999999"]
"""As Maccor writes a single of 32 bits."""


def test_seconds_of_any_number_of_decimals_are_taken_to_the_last_of_them() -> None:
    assert durations(*DAY) == [5.0, 5.05000019073486, 60 + 0.0500000007450581, 93_780 + 59.9999999999999]


def test_seconds_of_many_decimals_are_taken_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    def row_by_row(*_: object, **__: object) -> list[float]:
        raise AssertionError("each cell was taken by itself")

    monkeypatch.setattr(module, "seconds_of", row_by_row)
    assert durations(*DAY)[0] == 5.0


@pytest.mark.parametrize(
    "odd", ["0d 00:00:60.0500000007450581", "0d 00:61:00.0500000007450581", "00:00:0.05000000074e", "5", "00:00:0.x"]
)
def test_what_is_no_duration_among_those_of_many_decimals_is_named_with_its_row(odd: str) -> None:
    with pytest.raises(BadWorkbookError, match=rf"^a\.txt, column t, row 6: '{odd}' is not a duration"):
        durations(*DAY, odd)


def test_an_empty_cell_among_durations_is_named_with_its_row() -> None:
    with pytest.raises(BadWorkbookError, match=r"^a\.txt, column t, row 6: the cell is empty"):
        durations(*DAY, "")
