"""A sheet's cells as typed columns: what cyclers write for numbers, and how to point at what is wrong."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pyarrow as pa

from producer.readers.units import SAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from producer.readers.units import Unit

_ARROW_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # a cycler's wall clock has no zone
_TICK: Final = timedelta(microseconds=1)

Cell = object
"""What a workbook's cell may hold: float, str, bool, date, datetime, time, timedelta; an empty one is an empty str."""


class BadCellError(Exception):
    """A cell that its column cannot take; `index` counts from the first reading."""

    def __init__(self, index: int, problem: str) -> None:
        super().__init__(problem)
        self.index = index


def column_of(field: pa.Field, cells: Sequence[Cell], unit: Unit = SAME) -> pa.Array:
    """One column of cells in the contract's type; the common case is one conversion, the rest cell by cell.

    Args:
        field: the column.
        cells: what the sheet has in it; of a clock, stamps or None (`producer/readers/sheets/clock.py`).
        unit: that of its numbers.

    Raises:
        BadCellError: a cell holds no such value.
    """
    kinds = set(map(type, cells))
    if pa.types.is_timestamp(field.type):
        if kinds != {datetime}:
            return pa.array(cells, field.type)
        ticks = ((clock - _ARROW_EPOCH) // _TICK for clock in cast("Sequence[datetime]", cells))
        return _array(field, np.fromiter(ticks, np.int64, len(cells)))
    if kinds <= {float, int}:
        values = unit.convert(np.array(cells, dtype=np.float64))
        if pa.types.is_floating(field.type):
            usable = np.isfinite(values)
        else:
            usable = (values == np.floor(values)) & (np.abs(values) < _limit(field))
        if usable.all():
            return _array(field, values.astype(field.type.to_pandas_dtype(), copy=False))
    numbers = pa.array([_number(field, index, cell) for index, cell in enumerate(cells)], field.type)
    return numbers if unit == SAME else _converted(numbers, unit)


def _converted(numbers: pa.Array, unit: Unit) -> pa.Array:
    """Numbers in the contract's unit; those that are missing stay so."""
    values = unit.convert(numbers.fill_null(0.0).to_numpy(zero_copy_only=False))
    return pa.array(values, numbers.type, mask=numbers.is_null().to_numpy(zero_copy_only=False))


def numbers_in(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """The numbers of a column of doubles, or the microseconds of one of stamps, none of them missing.

    `to_numpy` would first import pandas, as `_array` says of its like.
    """
    kind = np.float64 if pa.types.is_floating(column.type) else np.int64
    parts = [np.frombuffer(part.buffers()[1], kind)[part.offset :][: len(part)] for part in column.chunks]
    return np.concatenate(parts).astype(np.float64)


def _array(field: pa.Field, values: npt.NDArray[Any]) -> pa.Array:
    """Values in memory as the column's type has them, as a column.

    `pa.array` and `pa.scalar` would first import pandas, where it is installed, to see whether this is something of it:
    in every new process, the time that it takes to read 60,000 rows.
    """
    return pa.Array.from_buffers(field.type, len(values), [None, pa.py_buffer(values)])


def _number(field: pa.Field, index: int, cell: Cell) -> float | int | None:
    if isinstance(cell, str) and not cell.strip():
        if field.nullable:
            return None
        raise BadCellError(index, "the cell is empty or an Excel error; every reading needs this value")
    value: float | None = None
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        value = float(cell)
    elif isinstance(cell, str) and "_" not in cell:
        try:
            value = float(cell)
        except ValueError:
            value = None
    if value is None or not np.isfinite(value):
        shown = cell.isoformat() if isinstance(cell, date) else cell
        raise BadCellError(index, f"{shown!r} is not a number; fix the cell or export the sheet again")
    if pa.types.is_floating(field.type):
        return value
    if value != int(value) or abs(value) >= _limit(field):
        raise BadCellError(index, f"{cell!r} is not a whole number below {_limit(field):.0f}")
    return int(value)


def _limit(field: pa.Field) -> float:
    """The first whole number that the column's type, or a double, does not hold any more."""
    return float(2 ** min(field.type.bit_width - 1, 53))
