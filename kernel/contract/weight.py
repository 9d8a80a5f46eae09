"""The size of a message once it is decoded, in rows and bytes, from its metadata and before anything is decoded.

A few hundred bytes of Arrow may claim to be a trillion rows, and thirty kilobytes of zstd may unpack to gigabytes. The
metadata says both: an Arrow stream is a series of messages, each with a flatbuffer that gives the length of its batch
and the place of each buffer, and a compressed buffer begins with its length before compression (Arrow columnar format,
"Serialization and Interprocess Communication").
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
from flatbuffers.number_types import BoolFlags, Int64Flags
from flatbuffers.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel.base.settings import Settings

ROW_BYTES: Final = 250
"""About the size of a decoded reading, in bytes; as many bytes of other content count as one row."""

JSON_GROWTH: Final = 8
"""How many times its size a JSON value may take as Python objects while it is read."""

FEWEST_COMMAS: Final = 9
"""Commas of a reading with all required columns in a JSON array, with the one that follows it."""

_HEAVIEST: Final = 10**9
"""The most rows that a message counts as, so that a poll can be summed up: a message may claim 2^63 rows."""

OBJECT: Final = ord("{")
"""The first byte of most JSON messages, which hold one reading."""

JSON_STARTS: Final = b"{[ \t\r\n"
"""The first bytes of JSON messages; no Arrow stream of the pipeline begins with one."""


class TooLargeError(Exception):
    """A message exceeds the limits; says by how much, and names the setting."""


@dataclass(frozen=True)
class Limits:
    """Limits of a message: `rows`, and `size` in bytes once it is decoded."""

    rows: int = 100_000
    size: int = 64 * 1024**2

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits that MESSAGE_MAX_ROWS and MESSAGE_MAX_BYTES give."""
        return cls(settings.message_max_rows, settings.message_max_bytes)

    def require_rows(self, rows: int) -> None:
        """Let a number of rows pass.

        Raises:
            TooLargeError: a message may not have so many.
        """
        if rows > self.rows:
            raise TooLargeError(f"the message has {rows} rows, more than MESSAGE_MAX_ROWS={self.rows}")

    def require_size(self, size: int, what: str = "the message decodes to") -> None:
        """Let a number of bytes pass; `what` says in an error what takes them.

        Raises:
            TooLargeError: a message may not take so many.
        """
        if size > self.size:
            raise TooLargeError(f"{what} {size} bytes, more than MESSAGE_MAX_BYTES={self.size}")

    @property
    def longest_json(self) -> int:
        """Bytes of a JSON value that `require_json` lets pass."""
        return self.size // JSON_GROWTH

    def require_json(self, value: bytes) -> None:
        """Let a JSON value pass by its size, before it is read.

        Raises:
            TooLargeError: its objects may take more than a message may.
        """
        self.require_size(JSON_GROWTH * len(value), f"{len(value)} bytes of JSON may take")


@dataclass(frozen=True)
class Weight:
    """What an Arrow stream comes to: the rows of all its batches, and the bytes of all its buffers once decompressed.

    `most` are the bytes that it comes to at most once dictionaries, runs of equal values and views are written out.
    """

    rows: int
    size: int
    most: int


def weigh_arrow(value: bytes) -> Weight:
    """Weigh an Arrow IPC stream by its metadata.

    Raises:
        ValueError: the metadata is damaged.
    """
    rows = size = short = 0
    dictionaries: dict[int, int] = {}
    try:
        for message in _messages(value):
            header = _header(message)
            if message.type == "schema":
                short = sum(map(is_short, pa.ipc.read_schema(message).types))
            elif message.type == "record batch":
                rows += _length(header)
                size += _decompressed(header, message.body)
            elif message.type == "dictionary":
                # A delta is put behind what its dictionary held before, which is copied for that.
                name = header.GetSlot(_DICTIONARY_ID, 0, Int64Flags)
                is_delta = header.GetSlot(_DICTIONARY_IS_DELTA, 0, BoolFlags)
                held = dictionaries.get(name, 0) if is_delta else 0
                dictionaries[name] = held + _decompressed(_child(header, _DICTIONARY_DATA), message.body)
                size += dictionaries[name]
    except (pa.ArrowException, OSError, struct.error, TypeError, IndexError) as error:
        raise ValueError((str(error).splitlines() or [type(error).__name__])[0]) from None
    return Weight(rows, size, size * max(1, short * rows))


def is_short(kind: pa.DataType) -> bool:
    """Whether a column of this type says in few bytes what is long once it is written out."""
    return bool(pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind)) or is_view(kind)


def is_view(kind: pa.DataType) -> bool:
    """Whether a column of this type shows texts, of which many may be the same one."""
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def weigh(value: bytes | None) -> int:
    """About how many rows a message counts as, at least one; what is large in few rows counts as many."""
    if not value:
        return 1
    if value[0] in JSON_STARTS:
        rows = 1 if value[0] == OBJECT else value.count(b",") // FEWEST_COMMAS
        return max(1, rows, len(value) // ROW_BYTES)
    try:
        measured = weigh_arrow(value)
    except ValueError:  # no Arrow stream, whatever it is
        return max(1, len(value) // ROW_BYTES)
    return min(max(1, measured.rows, measured.most // ROW_BYTES), _HEAVIEST)


# Where a table of Message.fbs has its fields: 4 for the first, 2 more for each that follows.
_MESSAGE_HEADER: Final = 8
_BATCH_LENGTH: Final = 4
_BATCH_BUFFERS: Final = 8
_BATCH_COMPRESSION: Final = 10
_DICTIONARY_ID: Final = 4
_DICTIONARY_DATA: Final = 6
_DICTIONARY_IS_DELTA: Final = 8

_PREFIX: Final = struct.Struct("<q")
"""The length of a compressed buffer before compression, -1 where it was left as it is."""


def _messages(value: bytes) -> Iterator[pa.Message]:
    """The messages of a stream; Arrow checks that their flatbuffers are sound, and copies nothing."""
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(value))
    while True:
        try:
            yield reader.read_next_message()
        except StopIteration:
            return


def _header(message: pa.Message) -> Table:
    metadata = memoryview(message.metadata)
    (root,) = struct.unpack_from("<I", metadata)
    return _child(Table(metadata, root), _MESSAGE_HEADER)


def _child(table: Table, slot: int) -> Table:
    place = table.Offset(slot)
    if not place:
        raise ValueError("the metadata of a batch is missing")
    return Table(table.Bytes, table.Indirect(table.Pos + place))


def _length(batch: Table) -> int:
    rows: int = batch.GetSlot(_BATCH_LENGTH, 0, Int64Flags)
    if rows < 0:
        raise ValueError(f"a batch has {rows} rows")
    return rows


def _decompressed(batch: Table, body: pa.Buffer) -> int:
    """The bytes of a batch's buffers, by what each says of itself where they are compressed; they may overlap."""
    place = batch.Offset(_BATCH_BUFFERS)
    if not place:
        return 0
    count, start = batch.VectorLen(place), batch.Vector(place)
    buffers = np.frombuffer(batch.Bytes, np.int64, 2 * count, start).reshape(count, 2)
    if not batch.Offset(_BATCH_COMPRESSION):
        return int(np.clip(buffers[:, 1], 0, body.size).sum())
    data, size = memoryview(body), 0
    for offset, length in buffers[buffers[:, 1] >= _PREFIX.size].tolist():
        (unpacked,) = _PREFIX.unpack_from(data, offset)
        size += length if unpacked < 0 else unpacked
    return size
