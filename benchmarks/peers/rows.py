"""What a message holds, as rows: one Python dict a reading, with all columns of the contract and its place in the log.

The clock is a whole number of microseconds in them: Python counts with those faster than with `datetime`.
"""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from kernel.contract.reading import OPTIONAL, READING, READING_NULLABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks.peers.tables import Row

    Headers = Mapping[str, str | bytes | None] | Sequence[tuple[str, str | bytes | None]] | None

CLOCK: Final = "date_time"

_KINDS: Final[dict[pa.DataType, tuple[type, ...]]] = {
    pa.string(): (str,),
    pa.float64(): (float, int),
    pa.int64(): (int,),
    pa.int32(): (int,),
}
KINDS: Final = tuple((field.name, {*_KINDS[field.type], type(None)}) for field in READING if field.name != CLOCK)
"""Columns but for the clock, and the kinds of JSON values that they take as they are."""

TEXTS: Final = {field.name for field in READING if field.type == pa.string()}
WHOLE: Final = {field.name for field in READING if pa.types.is_integer(field.type)}

BEGINNING: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # a cycler's wall clock has no zone
MICROSECOND: Final = timedelta(microseconds=1)


def arrow_rows(value: bytes) -> list[Row]:
    """The readings of an Arrow message."""
    with pa.ipc.open_stream(value) as reader:
        table = reader.read_all().select(READING.names).cast(READING_NULLABLE)
    clock = READING.get_field_index(CLOCK)
    rows: list[Row] = table.set_column(clock, CLOCK, table.column(clock).cast(pa.int64())).to_pylist()
    return rows


def json_rows(found: Any) -> list[Row]:  # noqa: ANN401  # as decoded
    """The readings of a JSON message: an object, or a list of some.

    A number may be written as a text. What cannot be read as its column's kind stays a text, for which the fold refuses
    the reading; in an optional column it is no number, which the fold drops.
    """
    return [_json_row(reading) for reading in (found if isinstance(found, list) else [found])]


def _json_row(found: Row) -> Row:
    row = {}
    for name, kinds in KINDS:
        value = found.get(name)
        row[name] = value if type(value) in kinds else _usable(name, value)
    row[CLOCK] = _clock(found.get(CLOCK))
    return row


def _usable(name: str, value: object) -> str | float:
    """A value of another type than its column's."""
    if name in TEXTS:
        return str(value)
    try:
        number = float(value) if isinstance(value, str | float) else math.nan
    except ValueError:
        number = math.nan
    if name in WHOLE and number.is_integer():
        return int(number)
    if name in OPTIONAL:
        return math.nan if name in WHOLE else number
    return json.dumps(value) if name in WHOLE or math.isnan(number) else number


def _clock(value: object) -> int | str | None:
    if value is None:
        return None
    try:
        stamp = datetime.fromisoformat(value)  # type: ignore[arg-type]  # other kinds are refused as bad texts are
    except (TypeError, ValueError):
        return str(value)
    return (stamp.replace(tzinfo=None) - BEGINNING) // MICROSECOND  # of a clock with a zone, the wall time counts


def placed(
    rows: Iterable[Row],
    cell_id: str,
    partition: int | None,
    offset: int | None,
    stamp_ms: int,
    headers: Headers,
) -> None:
    """Add key, headers and place in the log of a message to its rows."""
    source_file = dict(headers or ()).get("source-file")
    file_name = source_file.decode() if isinstance(source_file, bytes) else source_file
    for number, row in enumerate(rows):
        if row["source_file"] is None:
            row["source_file"] = file_name
        row["quality"] = 0
        row["kafka_key"] = cell_id
        row["streamed_at"] = stamp_ms * 1000
        row["kafka_partition"] = partition
        row["kafka_offset"] = offset
        row["kafka_row"] = number
