"""An Arrow stream as a table of plain columns, unpacked only as far as the limits of a message allow.

Three encodings say in few bytes what is long once it is written out: a dictionary, a run of equal values, and a view,
of which many may show one text. Each tells how long before anything is written out, or even looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernel.contract.weight import is_short, is_view, weigh_arrow

if TYPE_CHECKING:
    import numpy.typing as npt

    from kernel.contract.weight import Limits

_VIEW_NUMBERS: Final = 4
"""A view is four numbers of four bytes, of which the first is the length of its text."""


def read_plain(value: bytes, limits: Limits) -> tuple[pa.Table, pa.Schema]:
    """Read an Arrow IPC stream.

    Args:
        value: the stream.
        limits: what it may come to.

    Returns:
        The columns that are plain once they are written out, and the schema of all: lists, structures and whatever else
        is no column of single values is left out.

    Raises:
        TooLargeError: it comes to more.
        pyarrow.ArrowException, OSError, ValueError, LookupError: it is no Arrow stream.
    """
    weight = weigh_arrow(value)
    limits.require_rows(weight.rows)
    limits.require_size(weight.size)
    with pa.ipc.open_stream(pa.py_buffer(value)) as reader:
        schema = reader.schema
    plain = [index for index, field in enumerate(schema) if _is_plain(field.type)]
    options = pa.ipc.IpcReadOptions(included_fields=plain if len(plain) < len(schema) else None)
    with pa.ipc.open_stream(pa.py_buffer(value), options=options) as reader:
        table: pa.Table = reader.read_all()
    short = [index for index, column in enumerate(table.columns) if is_short(column.type)]
    table.validate()
    # To validate views is to look at all of their texts.
    limits.require_size(sum(_written_out(chunk) for chunk in _chunks(table, short) if is_view(chunk.type)))
    table.validate(full=True)  # offsets and texts too: a damaged buffer could end the process
    limits.require_size(sum(map(_written_out, _chunks(table, short))))
    for index in short:
        column = table.column(index)
        written = pa.chunked_array([_write_out(chunk) for chunk in column.chunks], _type_of(column.type))
        table = table.set_column(index, table.schema.names[index], written)
    return table, schema


def _is_plain(kind: pa.DataType) -> bool:
    """Whether a column of this type is one of numbers, texts, times or nothing, once it is written out."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
        if is_short(kind):
            return False
    return not (pa.types.is_nested(kind) or isinstance(kind, pa.BaseExtensionType))


def _chunks(table: pa.Table, columns: list[int]) -> list[pa.Array]:
    return [chunk for index in columns for chunk in table.column(index).chunks]


def _written_out(column: pa.Array) -> int:
    """The bytes of a column once it is written out."""
    kind = column.type
    if is_view(kind):
        end = (column.offset + len(column)) * _VIEW_NUMBERS
        views = np.frombuffer(column.buffers()[1] or b"", np.int32, end)
        return int(views[column.offset * _VIEW_NUMBERS :: _VIEW_NUMBERS].astype(np.int64).clip(0).sum())
    if pa.types.is_dictionary(kind):
        lengths = _lengths(column.dictionary)
        used = np.asarray(pc.drop_null(column.indices), dtype=np.int64)
        return int(lengths[used].sum())
    ends = np.minimum(np.asarray(column.run_ends, dtype=np.int64), column.offset + len(column))
    return int((np.diff(ends, prepend=0) * _lengths(column.values)).sum())


def _lengths(values: pa.Array) -> npt.NDArray[np.int64]:
    """How many bytes each value takes."""
    if pa.types.is_null(values.type):
        return np.zeros(len(values), dtype=np.int64)
    try:
        return np.full(len(values), values.type.bit_width // 8, dtype=np.int64)
    except ValueError:  # texts have no width
        return np.asarray(pc.fill_null(pc.binary_length(values), 0), dtype=np.int64)


def _type_of(kind: pa.DataType) -> pa.DataType:
    """The type of a short column once it is written out."""
    if pa.types.is_string_view(kind):
        return pa.string()
    return pa.binary() if pa.types.is_binary_view(kind) else kind.value_type


def _write_out(column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return column.dictionary_decode()
    return pc.run_end_decode(column) if pa.types.is_run_end_encoded(column.type) else column.cast(_type_of(column.type))
