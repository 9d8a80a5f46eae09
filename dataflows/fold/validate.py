"""Which readings can be used at all: required values present, numbers finite, nothing beyond the instrument.

Judges each reading by itself and knows no state. Protocol limits are not its business: over 4.2 V or under
2.7 V is ordinary data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeGuard

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernel.contract.reading import (
    INSTRUMENT_RANGE,
    OPTIONAL,
    RANGE_SETTINGS,
    READING_NULLABLE,
    REQUIRED,
    TEXT_BYTES,
    Range,
    Reason,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

REASONS: Final = tuple(Reason)
ACCEPTED: Final = -1
"""Code of a reading without a fault; a fault's code is its place in `REASONS`."""

_TEXTS: Final = tuple(field.name for field in READING_NULLABLE if pa.types.is_string(field.type))
_CLOCK_RANGE: Final = Range(-2_208_988_800_000_000, 7_258_118_400_000_000)
"""Years 1900 to 2200, in microseconds since 1970: what a cycler's clock may say."""

MOST_OF_ONE_CELL_V: Final = INSTRUMENT_RANGE["voltage(v)"].high
MILLIVOLTS: Final = Range(500, 20_000)
"""Voltages that a channel for one cell reports in mV; as V no such channel has them."""


@dataclass(frozen=True)
class Validated:
    """Readings with the verdict on each.

    `readings` are those given, with unusable auxiliary values set to null; `verdict` holds `ACCEPTED` or an index
    into `REASONS`, and `column` the index of the column at fault; `value_dropped` is true where a value was nulled;
    `ranges` are what the instrument can report.
    """

    readings: pa.RecordBatch
    verdict: npt.NDArray[np.int8]
    column: npt.NDArray[np.int8]
    value_dropped: npt.NDArray[np.bool_]
    ranges: Mapping[str, Range] = field(default_factory=lambda: INSTRUMENT_RANGE)

    def refuse(self, where: npt.NDArray[np.bool_], reason: Reason, name: str) -> None:
        """Give the readings at `where` their verdict, unless they have one already: the first fault counts."""
        first = where & (self.verdict == ACCEPTED)
        self.verdict[first] = REASONS.index(reason)
        self.column[first] = READING_NULLABLE.names.index(name)

    def detail(self, row: int, reading: Mapping[str, object]) -> str:
        """What is wrong with a refused reading, given as Python values, in words."""
        name = READING_NULLABLE.names[self.column[row]]
        reason = REASONS[self.verdict[row]]
        if reason == Reason.MISSING_VALUE:
            return f"{name} is missing"
        value = reading[name]
        if name in _TEXTS:
            return f"{name} has {len(str(value).encode())} bytes, more than the {TEXT_BYTES} that a name may have"
        limits = self.ranges.get(name)
        if reason == Reason.OUT_OF_RANGE and limits is not None:
            return f"{name} is {value}, beyond the instrument's {limits.low:.10g} to {limits.high:.10g}" + _way_on(
                name, value, limits
            )
        return f"{name} is {value}"


def validate(readings: pa.RecordBatch, ranges: Mapping[str, Range] = INSTRUMENT_RANGE) -> Validated:
    """Judge readings that have the columns of `READING_NULLABLE`, by what an instrument can report."""
    count = readings.num_rows
    valid = Validated(
        readings,
        verdict=np.full(count, ACCEPTED, dtype=np.int8),
        column=np.full(count, ACCEPTED, dtype=np.int8),
        value_dropped=np.zeros(count, dtype=np.bool_),
        ranges=ranges,
    )
    for name in REQUIRED:
        valid.refuse(_missing(readings.column(name)), Reason.MISSING_VALUE, name)
    for name in _TEXTS:
        length = pc.binary_length(readings.column(name))
        if (pc.max(length).as_py() or 0) > TEXT_BYTES:
            too_long = pc.fill_null(pc.greater(length, TEXT_BYTES), fill_value=False)
            valid.refuse(too_long.to_numpy(zero_copy_only=False), Reason.OUT_OF_RANGE, name)
    arrays = dict(zip(READING_NULLABLE.names, readings.columns, strict=True))
    for name, limits in (*ranges.items(), ("date_time", _CLOCK_RANGE)):
        array = arrays[name]
        values = array.cast(pa.int64()) if name == "date_time" else array
        if array.null_count == count or _within(values, limits):
            continue
        present = array.is_valid().to_numpy(zero_copy_only=False)
        numbers = values.to_numpy(zero_copy_only=False).astype(np.float64)
        infinite = present & ~np.isfinite(numbers)
        beyond = present & ((numbers < limits.low) | (numbers > limits.high))
        if name in OPTIONAL:
            unusable = infinite | beyond
            valid.value_dropped[unusable] = True
            arrays[name] = pc.if_else(pa.array(unusable), pa.scalar(None, array.type), array)
        else:
            valid.refuse(infinite, Reason.NOT_FINITE, name)
            valid.refuse(beyond, Reason.OUT_OF_RANGE, name)
    return replace(valid, readings=pa.RecordBatch.from_arrays(list(arrays.values()), schema=READING_NULLABLE))


def _way_on(name: str, value: object, limits: Range) -> str:
    """What to do about a value beyond the instrument, to follow the line that says so; nothing where no setting helps.

    A few thousand volts at a channel of 10 V are mostly mV that were taken for V.
    """
    setting = RANGE_SETTINGS.get(name)
    if setting is None or not _is_number(value):
        return ""
    raising = f"where it is real, set {setting}={_reach(value)}"
    if name == "voltage(v)" and limits.high <= MOST_OF_ONE_CELL_V and MILLIVOLTS.low <= abs(value) <= MILLIVOLTS.high:
        return f"; is it in mV? then say so in the mapping file, and publish the file again (--again); {raising}"
    return f"; {raising}"


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, float | int) and value != 0


def _reach(value: float) -> str:
    """The least of 1, 1.5, 2 or 5 times a power of ten that a value stays within."""
    power = 10.0 ** math.floor(math.log10(abs(value)))
    return f"{next(step * power for step in (1, 1.5, 2, 5, 10) if abs(value) <= step * power):.10g}"


def _missing(array: pa.Array) -> npt.NDArray[np.bool_]:
    absent = array.is_null()
    if pa.types.is_string(array.type):
        absent = pc.or_(absent, pc.fill_null(pc.equal(array, ""), fill_value=False))
    found: npt.NDArray[np.bool_] = absent.to_numpy(zero_copy_only=False)
    return found


def _within(values: pa.Array, limits: Range) -> bool:
    """Whether all values of a column are in range, by a quick check: a NaN or a null fails every comparison."""
    if values.null_count:
        values = values.drop_null()
    numbers = values.to_numpy(zero_copy_only=False)
    return bool(numbers.min() >= limits.low and numbers.max() <= limits.high)
