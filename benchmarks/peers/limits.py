"""The limits that refuse a reading by itself, in plain Python."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from kernel.contract.reading import INSTRUMENT_RANGE, OPTIONAL, REQUIRED, Quality, Reason

if TYPE_CHECKING:
    from benchmarks.peers.tables import Row

LIMITS: Final = (
    *((name, limits.low, limits.high) for name, limits in INSTRUMENT_RANGE.items() if name not in OPTIONAL),
    ("date_time", -2_208_988_800_000_000, 7_258_118_400_000_000),  # 1900 to 2200
)
"""Columns whose value refuses a reading where it is beyond these; the clock in microseconds since 1970."""

OPTIONAL_LIMITS: Final = tuple((name, INSTRUMENT_RANGE[name].low, INSTRUMENT_RANGE[name].high) for name in OPTIONAL)
"""Columns whose value is dropped there."""


def fault_of(row: Row) -> tuple[Reason, str] | None:
    """The reason to refuse a reading by itself; unusable values of optional columns are dropped."""
    if row["cell_id"] != row["kafka_key"] and row["cell_id"] is not None:
        return Reason.UNKNOWN_SCHEMA, f"the message's key {row['kafka_key']!r} is not the reading's cell_id"
    for name in REQUIRED:
        value = row[name]
        if value is None or value == "":
            return Reason.MISSING_VALUE, f"{name} is missing"
    try:
        for name, low, high in LIMITS:
            value = row[name]
            if value is not None and not low <= value <= high:
                reason = Reason.OUT_OF_RANGE if math.isfinite(value) else Reason.NOT_FINITE
                return reason, f"{name} is {value}"
    except TypeError:
        return Reason.NOT_A_NUMBER, f"{name} is {value!r}"
    for name, low, high in OPTIONAL_LIMITS:
        value = row[name]
        if value is not None and not low <= value <= high:
            row[name] = None
            row["quality"] = Quality.VALUE_DROPPED.value
    return None
