"""The values of a message, brought to the types of their columns.

Reading never raises for a single value. A whole column is brought to its type at once; only where that fails is it read
value by value, to find the rows at fault and keep the others.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from kernel.contract.body import Body, Fault
from kernel.contract.reading import OPTIONAL, READING_NULLABLE, Reason
from kernel.contract.show import quoted, show_row

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Halves of characters, which JSON can write and UTF-8 cannot."""


class _UnusableError(Exception):
    """One value cannot stand in its column."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def read_columns(
    row_count: int,
    column: Callable[[pa.Field], pa.Array],
    values: Callable[[str], Sequence[object]],
    row_of: Callable[[int], Mapping[str, object]],
) -> Body:
    """Bring every column to its type at once, and value by value only the columns where that fails."""
    arrays: list[pa.Array] = []
    unusable: dict[int, _UnusableError] = {}
    dropped = np.zeros(row_count, dtype=np.bool_)
    for field in READING_NULLABLE:
        try:
            arrays.append(column(field))
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            usable: list[object] = []
            for index, value in enumerate(values(field.name)):
                try:
                    usable.append(_value(field, value))
                except _UnusableError as error:
                    usable.append(None)
                    if field.name in OPTIONAL:
                        dropped[index] = True
                    else:
                        unusable.setdefault(index, error)
            arrays.append(pa.array(usable, type=field.type))
    readings = pa.RecordBatch.from_arrays(arrays, schema=READING_NULLABLE)
    rows = np.arange(row_count, dtype=np.int32)
    if not unusable:
        return Body(readings, rows, dropped, ())
    keep = ~np.isin(rows, np.fromiter(unusable, dtype=np.int32))
    faults = tuple(
        Fault(row, error.reason, str(error), show_row(row_of(row))) for row, error in sorted(unusable.items())
    )
    return Body(readings.filter(pa.array(keep)), rows[keep], dropped[keep], faults)


def _value(field: pa.Field, value: object) -> object:
    """One value as its column wants it.

    Raises:
        _UnusableError: it cannot be read so.
    """
    if value is None:
        return None
    if pa.types.is_string(field.type):
        if isinstance(value, str) and not _SURROGATE.search(value):
            return value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        raise _UnusableError(Reason.NOT_A_NUMBER, f"{field.name} is {quoted(value)}, not text")
    if pa.types.is_timestamp(field.type):
        return _stamp(field.name, value)
    number = _number(field.name, value)
    if pa.types.is_floating(field.type):
        return float(number)
    if not math.isfinite(number):
        raise _UnusableError(Reason.NOT_FINITE, f"{field.name} is {quoted(value)}")
    if number != int(number):
        raise _UnusableError(Reason.NOT_A_NUMBER, f"{field.name} is {quoted(value)}, not a whole number")
    if abs(number) >= 1 << (field.type.bit_width - 1):
        raise _UnusableError(Reason.OUT_OF_RANGE, f"{field.name} is {quoted(value)}")
    return int(number)


def _stamp(name: str, value: object) -> datetime:
    try:
        stamp = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        stamp = None
    if not isinstance(stamp, datetime):
        raise _UnusableError(Reason.NOT_A_NUMBER, f"{name} is {quoted(value)}, not an ISO 8601 time stamp")
    return stamp.replace(tzinfo=None)


def _number(name: str, value: object) -> int | float:
    number = value
    if isinstance(value, str) and "_" not in value:
        for read in (int, float):
            try:
                number = read(value)
                break
            except ValueError:
                continue
    if not isinstance(number, int | float) or isinstance(number, bool):
        raise _UnusableError(Reason.NOT_A_NUMBER, f"{name} is {quoted(value)}, not a number")
    try:
        float(number)
    except OverflowError:
        return math.inf
    return number
