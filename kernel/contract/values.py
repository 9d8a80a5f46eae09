"""What a message's value holds: columns of the contract's types, and a named fault for all that does not fit.

Reading never raises for a single value. A whole column is brought to its type at once; only where that
fails is it read value by value, to find the rows at fault and keep the others.
"""

from __future__ import annotations

import json
import math
import re
import reprlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import astuple

from kernel.contract.reading import OPTIONAL, READING_NULLABLE, Reason
from kernel.contract.unpack import read_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from kernel.contract.sent import Sent
    from kernel.contract.weight import Limits

PAYLOAD_CHARS: Final = 64 * 1024
"""Most characters of a refused message that the quarantine keeps; the log has the rest."""


@dataclass(frozen=True)
class Fault:
    """`row_count` rows from `row` on that could not be taken as readings.

    `payload` is what stood there, as text, as far as it can be shown; `source_file` is the row's own, where it may
    differ from the message's.
    """

    row: int
    reason: Reason
    detail: str
    payload: str | None
    row_count: int = 1
    source_file: str | None = None


class UndecodableError(Exception):
    """The body is not of its declared encoding."""


class _UnusableError(Exception):
    """One value cannot stand in its column."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


_JSON_TYPES: Final[dict[pa.DataType, set[type]]] = {
    pa.string(): {str, type(None)},
    pa.float64(): {float, int, type(None)},
    pa.int64(): {int, type(None)},
    pa.int32(): {int, type(None)},
    pa.timestamp("us"): {str, type(None)},
}
"""Kinds of JSON values that a column takes as they are."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
"""Halves of characters, which JSON can write and UTF-8 cannot."""

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY_SECONDS: Final = 86_400
_LAST: Final = 2**63 - 1

QUOTED_CHARS: Final = 80
"""Most characters of a bad value that a detail quotes."""

_BRIEF: Final = reprlib.Repr()
"""Shows any value, however long or deeply nested."""
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = QUOTED_CHARS

NO_READINGS: Final = pa.RecordBatch.from_pylist([], schema=READING_NULLABLE)
NO_ROWS: Final = np.zeros(0, dtype=np.int32)
NO_FLAGS: Final = np.zeros(0, dtype=np.bool_)


@dataclass(frozen=True)
class Body:
    """The readings of one message and the faults beside them; each of its rows is in exactly one of the two.

    `readings` has the columns of `READING`, each of which may be null; `rows` gives the row in the message of each of
    them; `value_dropped` is true where an auxiliary value was unusable and is null now.
    """

    readings: pa.RecordBatch
    rows: npt.NDArray[np.int32]
    value_dropped: npt.NDArray[np.bool_]
    faults: tuple[Fault, ...]

    @property
    def row_count(self) -> int:
        """Rows in: readings and faults together."""
        return len(self.rows) + sum(fault.row_count for fault in self.faults)


def read_arrow(value: bytes, limits: Limits) -> Body:
    """Read an Arrow IPC stream; unknown columns are ignored, absent ones are null.

    Raises:
        UndecodableError: it is none.
        TooLargeError: it is beyond the limits.
    """
    try:
        table, schema = read_plain(value, limits)
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise UndecodableError(f"not an Arrow IPC stream: {_first_line(error)}") from None
    names = table.schema.names

    def column(field: pa.Field) -> pa.Array:
        if field.name not in names:
            if field.name in schema.names:
                raise pa.ArrowInvalid("a list or a structure is no value")
            return pa.nulls(table.num_rows, field.type)
        chunks = table.column(names.index(field.name))
        return _cast(chunks.chunk(0) if chunks.num_chunks == 1 else chunks.combine_chunks(), field.type)

    def values(name: str) -> list[object]:
        if name not in names:
            return [schema.field(schema.names.index(name)).type] * table.num_rows
        return [_python(scalar) for scalar in table.column(names.index(name))]

    return _body(table.num_rows, column, values, lambda row: python_row(table, row))


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Bring a column to the type of its field.

    Raises:
        ArrowInvalid: not all of its values can be taken so.
    """
    if column.type == kind:
        return column
    if pa.types.is_timestamp(kind) and pa.types.is_timestamp(column.type):
        return _wall_clock(column, kind)
    if pa.types.is_boolean(column.type):
        raise pa.ArrowInvalid("a truth value is no number")
    if _is_text(column.type) and not (_is_text(kind) or pa.types.is_timestamp(kind)):
        raise pa.ArrowInvalid("Arrow reads other texts as numbers than JSON messages may hold")
    return column.cast(kind)


def _wall_clock(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """Bring time stamps to another unit: the wall clock counts, and nothing below the unit does.

    What the unit cannot hold, or hardly, becomes the last stamp that it can, which is beyond any cycler's clock.
    """
    per_second, wanted = _PER_SECOND[column.type.unit], _PER_SECOND[kind.unit]
    last = min(_LAST, _LAST * per_second // wanted) - _DAY_SECONDS * per_second  # a zone may be most of a day away
    count = column.cast(pa.int64())
    beyond = pc.or_(pc.greater(count, last), pc.less(count, -last))
    if pc.any(beyond).as_py():
        column = pc.if_else(beyond, pa.scalar(0, column.type), column)
    naive = column if column.type.tz is None else pc.local_timestamp(column)
    return pc.if_else(beyond, pa.scalar(_LAST, kind), naive.cast(kind, safe=False))


def read_json(value: bytes, limits: Limits) -> Body:
    """Read a JSON object, or an array of them; unknown fields are ignored, numbers may be strings.

    Raises:
        UndecodableError: it is no JSON.
        TooLargeError: it is beyond the limits.
    """
    limits.require_json(value)
    if value.count(b",") >= limits.rows:  # each row but the last has one behind it
        with suppress(msgspec.DecodeError, RecursionError):  # which is told below
            limits.require_rows(len(msgspec.json.decode(value, type=list[msgspec.Raw])))
    rows = json_rows(value)
    limits.require_rows(len(rows))
    strangers = [index for index, row in enumerate(rows) if not isinstance(row, dict)]
    objects: list[Mapping[str, object]] = [row if isinstance(row, dict) else {} for row in rows]

    def values(name: str) -> list[object]:
        return [row.get(name) for row in objects]

    def column(field: pa.Field) -> pa.Array:
        found = values(field.name)
        if set(map(type, found)) - _JSON_TYPES[field.type]:  # Arrow would cut 1.5 to 1 and take true for 1
            raise pa.ArrowInvalid("not all of one kind")
        return (
            pa.array(found, pa.string()).cast(field.type)
            if pa.types.is_timestamp(field.type)
            else pa.array(found, field.type)
        )

    body = _body(len(rows), column, values, lambda row: objects[row])
    if not strangers:
        return body
    keep = ~np.isin(body.rows, np.asarray(strangers, dtype=np.int32))
    faults = tuple(
        Fault(row, Reason.UNDECODABLE, "a reading is a JSON object", _json(rows[row])[:PAYLOAD_CHARS])
        for row in strangers
    )
    return Body(
        body.readings.filter(pa.array(keep)), body.rows[keep], body.value_dropped[keep], (*body.faults, *faults)
    )


def json_rows(value: bytes) -> list[object]:
    """What a JSON text holds: the members of an array, or the one thing that it is.

    Raises:
        UndecodableError: it is no JSON.
    """
    try:
        found: object = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            found = json.loads(value)  # Python's own encoder writes NaN, which is not JSON
        except (ValueError, RecursionError) as error:
            raise UndecodableError(f"not JSON: {_first_line(error)}") from None
    except RecursionError:
        raise UndecodableError("not JSON: nested too deeply") from None
    return found if isinstance(found, list) else [found]


_KINDS: Final[dict[pa.DataType, Any]] = {
    pa.string(): str | None,
    pa.float64(): float | None,
    pa.int64(): Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None,
    pa.int32(): Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)] | None,
    pa.timestamp("us"): str | None,
}
_SINGLE: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Single",
        [(f"column_{index}", _KINDS[field.type], None) for index, field in enumerate(READING_NULLABLE)],
        rename={f"column_{index}": field.name for index, field in enumerate(READING_NULLABLE)},
        gc=False,
    )
)
_ZONED: Final = r"^([12]\d{3}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$"
"""A clock with a zone, whose wall time counts."""


def decode_uniform_json(values: Sequence[bytes | None], limits: Limits) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
    """Read in one pass those JSON messages that hold one reading whose values are all of their columns' types.

    Args:
        values: what the messages hold, n of them.
        limits: what each of them may come to.

    Returns:
        Their readings in order, and which of the messages those are, shape (n,). `read_json` would read them alike, and
        is who says what the others hold.
    """
    longest = limits.longest_json
    short = [value if value is None or len(value) <= longest else None for value in values]
    parts = [_read_some(short[start : start + _CACHED]) for start in range(0, len(short), _CACHED)]
    return (
        pa.concat_batches([NO_READINGS, *(readings for readings, _ in parts)]),
        np.concatenate([NO_FLAGS, *(usable for _, usable in parts)]),
    )


_CACHED: Final = 1_000
"""Messages that are read at a time: as many as a processor's cache holds, with all that becomes of them."""


def _read_some(values: Sequence[bytes | None]) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
    read = _SINGLE.decode
    usable = np.ones(len(values), dtype=np.bool_)
    rows = []
    for index, value in enumerate(values):
        try:
            rows.append(astuple(read(value)))  # type: ignore[arg-type]  # None is refused as any other value
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
            usable[index] = False
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(READING_NULLABLE)
    arrays, readable = [], np.ones(len(rows), dtype=np.bool_)
    for field, column in zip(READING_NULLABLE, columns, strict=True):
        if pa.types.is_timestamp(field.type):
            array, readable = _clocks(pa.array(column, pa.string()))
        else:
            array = pa.array(column, field.type)
        arrays.append(array)
    readings = pa.RecordBatch.from_arrays(arrays, schema=READING_NULLABLE)
    if not readable.all():
        readings = readings.filter(pa.array(readable))
        usable[np.flatnonzero(usable)[~readable]] = False
    return readings, usable


def _clocks(texts: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Read time stamps, and tell which could be read as they are; the others are null."""
    kind = pa.timestamp("us")
    readable = np.ones(len(texts), dtype=np.bool_)
    with suppress(pa.ArrowInvalid):
        return texts.cast(kind), readable
    texts = pc.replace_substring_regex(texts, _ZONED, r"\1")
    with suppress(pa.ArrowInvalid):
        return texts.cast(kind), readable
    for index, text in enumerate(texts):
        try:
            text.cast(kind)
        except pa.ArrowInvalid:
            readable[index] = False
    return pc.if_else(pa.array(readable), texts, None).cast(kind), readable


def _body(
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
        raise _UnusableError(Reason.NOT_A_NUMBER, f"{field.name} is {_quoted(value)}, not text")
    if pa.types.is_timestamp(field.type):
        return _stamp(field.name, value)
    number = _number(field.name, value)
    if pa.types.is_floating(field.type):
        return float(number)
    if not math.isfinite(number):
        raise _UnusableError(Reason.NOT_FINITE, f"{field.name} is {_quoted(value)}")
    if number != int(number):
        raise _UnusableError(Reason.NOT_A_NUMBER, f"{field.name} is {_quoted(value)}, not a whole number")
    if abs(number) >= 1 << (field.type.bit_width - 1):
        raise _UnusableError(Reason.OUT_OF_RANGE, f"{field.name} is {_quoted(value)}")
    return int(number)


def _stamp(name: str, value: object) -> datetime:
    try:
        stamp = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        stamp = None
    if not isinstance(stamp, datetime):
        raise _UnusableError(Reason.NOT_A_NUMBER, f"{name} is {_quoted(value)}, not an ISO 8601 time stamp")
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
        raise _UnusableError(Reason.NOT_A_NUMBER, f"{name} is {_quoted(value)}, not a number")
    try:
        float(number)
    except OverflowError:
        return math.inf
    return number


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def reject_foreign_cells(cell_id: str, body: Body, sent: Sent) -> Body:
    """Take out readings of another cell: a cell whose readings are spread over keys has no order.

    Args:
        cell_id: the message's cell.
        body: what it holds.
        sent: the message alone.
    """
    stranger = pc.fill_null(pc.not_equal(body.readings.column("cell_id"), cell_id), fill_value=False)
    if not pc.any(stranger).as_py():
        return body
    where = stranger.to_numpy(zero_copy_only=False)
    faults = tuple(
        Fault(
            int(body.rows[index]),
            Reason.UNKNOWN_SCHEMA,
            f"the message's key {cell_id!r} is not the reading's cell_id",
            show_row(sent.row(0, int(body.rows[index])) or python_row(body.readings, int(index))),
        )
        for index in np.flatnonzero(where)
    )
    return Body(
        body.readings.filter(pc.invert(stranger)),
        body.rows[~where],
        body.value_dropped[~where],
        (*body.faults, *faults),
    )


def python_row(readings: pa.RecordBatch | pa.Table, row: int) -> dict[str, object]:
    """One row as Python values; what Python cannot hold, such as a clock in the year 300,000, as text."""
    return {name: _python(readings.column(index)[row]) for index, name in enumerate(readings.schema.names)}


def _python(scalar: pa.Scalar) -> object:
    kind = scalar.type
    try:
        # Arrow would make nanoseconds an object of pandas where there is pandas, and of Python where there is none.
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            return scalar.cast(pa.timestamp("us", kind.tz), safe=False).as_py()
        if pa.types.is_duration(kind) and kind.unit == "ns":
            return scalar.cast(pa.duration("us"), safe=False).as_py()
        return scalar.as_py()
    except (ValueError, OverflowError, LookupError, pa.ArrowException):
        return f"{scalar.type} {getattr(scalar, 'value', '')}".strip()


def show_row(row: Mapping[str, object]) -> str:
    """A refused reading as JSON text for the quarantine; values that JSON does not know become text."""
    shown = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
        if value is not None
    }
    return _json(shown)[:PAYLOAD_CHARS]


def show_rows(rows: Sequence[Mapping[str, object]]) -> str:
    """The same of several, as a list where there is more than one; no more of them than fit."""
    if len(rows) == 1:
        return show_row(rows[0])
    texts, left = [], PAYLOAD_CHARS
    for row in rows:
        texts.append(show_row(row))
        left -= len(texts[-1])
        if left < 0:
            break
    return f"[{', '.join(texts)}]"[:PAYLOAD_CHARS]


def _json(value: object) -> str:
    """A value as JSON text; one that was decoded may still be nested too deeply to be written again."""
    try:
        return json.dumps(value, default=str)
    except RecursionError:
        return json.dumps(_BRIEF.repr(value))


def show_bytes(value: bytes | None) -> str | None:
    """A message's bytes as text; what is no text is shown as hexadecimal digits."""
    if value is None:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\\x" + value[: PAYLOAD_CHARS // 2].hex()
    return text.replace("\x00", "\ufffd")[:PAYLOAD_CHARS]


def _quoted(value: object) -> str:
    return _BRIEF.repr(value)[:QUOTED_CHARS]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
