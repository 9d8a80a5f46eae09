"""Messages that are Arrow IPC streams: columns brought to the types of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from kernel.contract.body import Body, UndecodableError
from kernel.contract.show import first_line, python_row, python_value
from kernel.contract.unpack import read_plain
from kernel.contract.values import read_columns

if TYPE_CHECKING:
    from kernel.contract.weight import Limits

_PER_SECOND: Final = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}

_DAY_SECONDS: Final = 86_400

_LAST: Final = 2**63 - 1


def read_arrow(value: bytes, limits: Limits) -> Body:
    """Read an Arrow IPC stream; unknown columns are ignored, absent ones are null.

    Raises:
        UndecodableError: it is none.
        TooLargeError: it is beyond the limits.
    """
    try:
        table, schema = read_plain(value, limits)
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        raise UndecodableError(f"not an Arrow IPC stream: {first_line(error)}") from None
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
        return [python_value(scalar) for scalar in table.column(names.index(name))]

    return read_columns(table.num_rows, column, values, lambda row: python_row(table, row))


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


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
