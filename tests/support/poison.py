"""Messages that are small and come to a great deal once they are decoded, each of a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable

LONG: Final = "x" * 1_000_000
MANY: Final = 90_000
"""Rows that a message may have."""


def stream(columns: dict[str, pa.Array], compression: str | None = "zstd") -> bytes:
    """Columns as one Arrow IPC stream."""
    batch = pa.record_batch(columns)
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression, allow_64bit=True)
    with pa.ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    value: bytes = sink.getvalue().to_pybytes()
    return value


def nulls(rows: int) -> pa.Array:
    """A column of nothing at all, which takes no bytes."""
    return pa.Array.from_buffers(pa.null(), rows, [None])


def views_of(text: str, rows: int) -> pa.Array:
    """A column of views that all show one text."""
    views = np.zeros(rows, dtype=[("length", "<i4"), ("prefix", "S4"), ("buffer", "<i4"), ("offset", "<i4")])
    views["length"], views["prefix"] = len(text), text[:4].encode()
    return pa.Array.from_buffers(
        pa.string_view(), rows, [None, pa.py_buffer(views.tobytes()), pa.py_buffer(text.encode())]
    )


def runs_of(value: object, rows: int) -> pa.Array:
    """A column that repeats one value."""
    return pa.RunEndEncodedArray.from_arrays(pa.array([rows], pa.int64()), pa.array([value]))


def dictionary_of(text: str, rows: int) -> pa.Array:
    """A column of which each row is the only entry of its dictionary."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int8)), pa.array([text]))


def deltas() -> bytes:
    """A dictionary to which each of many batches adds a little, so that it is put together again for each."""
    batches = [
        pa.record_batch(
            {"test_id": pa.DictionaryArray.from_arrays([end - 1], [LONG[:20_000] + str(n) for n in range(end)])}
        )
        for end in range(1, 120)
    ]
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd", emit_dictionary_deltas=True)
    with pa.ipc.new_stream(sink, batches[0].schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
    value: bytes = sink.getvalue().to_pybytes()
    return value


_KINDS: Final[dict[str, Callable[[], bytes]]] = {
    "a million nulls": lambda: stream({"voltage(v)": nulls(1_000_000)}),
    "a trillion nulls": lambda: stream({"voltage(v)": nulls(2**40)}),
    "nulls in a column that nobody knows": lambda: stream({"unknown": nulls(50_000_000)}),
    "runs of numbers": lambda: stream({"voltage(v)": runs_of(3.7, 2_000_000_000)}),
    "runs of texts": lambda: stream({"test_id": runs_of(LONG, MANY)}),
    "a dictionary of one text": lambda: stream({"test_id": dictionary_of(LONG, MANY)}),
    "a dictionary in a column that nobody knows": lambda: stream({"unknown": dictionary_of(LONG, MANY)}),
    "dictionaries that grow": deltas,
    "views of one text": lambda: stream({"test_id": views_of(LONG, MANY)}),
    "compressed zeros": lambda: stream({"voltage(v)": pa.array(np.zeros(40_000_000))}),
    "compressed texts": lambda: stream({"test_id": pa.array([LONG[:1_000]] * MANY)}),
    "compressed lists": lambda: stream({"unknown": pa.array([[0] * 40_000_000])}),
    "a JSON array of numbers": lambda: b"[" + b"0," * 200_000 + b"0]",
    "a JSON array of empty readings": lambda: b"[" + b"{}," * 200_000 + b"{}]",
    "a JSON value of many bytes": lambda: b'{"unknown": "' + b"x" * 10_000_000 + b'"}',
}
POISONS: Final = tuple(_KINDS)


def poison(kind: str) -> bytes:
    """The value of a message of one of `POISONS`."""
    return _KINDS[kind]()
