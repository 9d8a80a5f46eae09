"""Messages on the topic: readings to bytes, and bytes back to readings with every fault named.

Decoding never raises for what a message holds: what cannot be read becomes a `Fault` that says why,
so that no input stops the worker and none disappears.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery.body import (
    NO_FLAGS,
    NO_READINGS,
    NO_ROWS,
    Body,
    Fault,
    UndecodableError,
    read_arrow,
    read_json,
    read_single,
    refuse_strangers,
    show_bytes,
)
from battery.partition import text_of
from battery.reading import ARROW, JSON, SCHEMA_VERSION, Range, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from battery.partition import Message, Poll

STAMPS_MS: Final = Range(-1, 7_258_118_400_000)
"""Time stamps that a message may carry, in ms since 1970 UTC: -1 where the broker keeps none, then up to the year
2200. A gateway that counts in micro- or nanoseconds is far beyond."""

MOST_ROWS: Final = 32_768
"""Rows that are decoded and cleaned at a time: enough that what a call costs does not count, and few to hold."""

RETRY_OF: Final = "retry-of"
"""Header of a message that publishes a quarantined row again: the `Place` that it had first."""

_WRITE: Final = pa.ipc.IpcWriteOptions(compression="zstd", use_threads=False)
"""Buffers of 100 kB are compressed in less time by one thread than it takes to share them out."""

_SHRINKS: Final = 4
"""How many times smaller readings are expected to become, before any have been seen."""

_FILLED: Final = 0.9
"""Share of a message that is meant to be filled: what comes next may shrink less than what came before."""


@dataclass(frozen=True, order=True)
class Place:
    """Where a row stands in the logs; as text `topic_id:partition:offset:row`."""

    topic_id: str
    partition: int
    offset: int
    row: int

    def __str__(self) -> str:
        return f"{self.topic_id}:{self.partition}:{self.offset}:{self.row}"

    @classmethod
    def from_text(cls, text: str) -> Place | None:
        """Read what `str` wrote; None when it is no place."""
        topic_id, *numbers = text.split(":")
        if not topic_id or len(numbers) != len(_PLACE_BITS):
            return None
        if not all(number.isascii() and number.isdigit() and len(number) <= _PLACE_DIGITS for number in numbers):
            return None
        if not all(int(number) < 1 << bits for number, bits in zip(numbers, _PLACE_BITS, strict=True)):
            return None
        return cls(topic_id, *map(int, numbers))


_PLACE_BITS: Final = (31, 63, 31)
"""What partition, offset and row may be as large as."""

_PLACE_DIGITS: Final = 19
"""What the largest of them has; Python refuses to read a number of thousands."""


@dataclass(frozen=True)
class Delivery:
    """One decoded message of one cell; `cell_id` is its key, empty when it had none.

    `timestamp_ms` is the broker's time stamp, in ms since 1970 UTC; `retry_of` is the place of the quarantined row
    that it publishes again, if it does.
    """

    cell_id: str
    topic_id: str
    partition: int
    offset: int
    timestamp_ms: int
    source_file: str | None
    body: Body
    retry_of: Place | None = None


@dataclass(frozen=True)
class Deliveries:
    """Decoded messages of one log: those of a cell stand together, in the order in which they came.

    Of the m messages: `cell` is the place in `cell_ids`, `partition`, `offset` and `timestamp_ms` are as in `Delivery`,
    shape (m,), `source_file` a list, and `retry_of` has the place of those that publish a quarantined row again. Of the
    n readings, which follow the messages: `message` is the place of theirs, `row` their row in it, and `value_dropped`
    is as in `Body`, shape (n,). `faults` are the rows that are no readings, each with the place of its message.
    """

    topic_id: str
    cell_ids: list[str]
    cell: npt.NDArray[np.int64]
    partition: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    timestamp_ms: npt.NDArray[np.int64]
    source_file: list[str | None]
    retry_of: Mapping[int, Place]
    readings: pa.RecordBatch
    message: npt.NDArray[np.int64]
    row: npt.NDArray[np.int32]
    value_dropped: npt.NDArray[np.bool_]
    faults: Sequence[tuple[int, Fault]]

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Rows in of each message, shape (m,): readings and faults together."""
        count = np.bincount(self.message, minlength=len(self.offset))
        for message, fault in self.faults:
            count[message] += fault.row_count
        return count

    def take(self, keep: npt.NDArray[np.bool_]) -> Deliveries:
        """Some of the messages, shape (m,), in the same order."""
        if keep.all():
            return self
        place = np.cumsum(keep) - 1
        stays = keep[self.message]
        codes, cell = np.unique(self.cell[keep], return_inverse=True)
        return Deliveries(
            self.topic_id,
            [self.cell_ids[code] for code in codes.tolist()],
            cell,
            self.partition[keep],
            self.offset[keep],
            self.timestamp_ms[keep],
            [name for name, kept in zip(self.source_file, keep.tolist(), strict=True) if kept],
            {int(place[message]): origin for message, origin in self.retry_of.items() if keep[message]},
            self.readings.filter(pa.array(stays)),
            place[self.message[stays]],
            self.row[stays],
            self.value_dropped[stays],
            [(int(place[message]), fault) for message, fault in self.faults if keep[message]],
        )


def together(deliveries: Sequence[Delivery]) -> Deliveries:
    """Put decoded messages of one log together, at least one; a cell's stay in their order.

    Raises:
        ValueError: they are of several logs.
    """
    (topic_id,) = {delivery.topic_id for delivery in deliveries}
    cell_ids, cell, order = _by_cell([delivery.cell_id for delivery in deliveries])
    ordered = [deliveries[place] for place in order.tolist()]
    bodies = [delivery.body for delivery in ordered]
    return _joined(
        topic_id,
        cell_ids,
        cell,
        np.array([delivery.partition for delivery in ordered], dtype=np.int32),
        np.array([delivery.offset for delivery in ordered], dtype=np.int64),
        np.array([delivery.timestamp_ms for delivery in ordered], dtype=np.int64),
        [delivery.source_file for delivery in ordered],
        {place: found.retry_of for place, found in enumerate(ordered) if found.retry_of is not None},
        [len(body.rows) for body in bodies],
        bodies,
        [(place, fault) for place, body in enumerate(bodies) for fault in body.faults],
    )


def _by_cell(cell_ids: Sequence[str]) -> tuple[list[str], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The cells as they come; an order in which the messages of each stand together, and their cells' codes in it."""
    codes = _codes()
    cell = np.array([codes[cell_id] for cell_id in cell_ids], dtype=np.int64)
    order = np.argsort(cell, kind="stable")
    return list(codes), cell[order], order


def _codes() -> defaultdict[Any, int]:
    """Numbers whatever it is asked for, from 0, in the order in which it is."""
    codes: defaultdict[Any, int] = defaultdict()
    codes.default_factory = codes.__len__
    return codes


def _joined(
    topic_id: str,
    cell_ids: list[str],
    cell: npt.NDArray[np.int64],
    partition: npt.NDArray[np.int32],
    offset: npt.NDArray[np.int64],
    timestamp_ms: npt.NDArray[np.int64],
    source_file: list[str | None],
    retry_of: Mapping[int, Place],
    sizes: Sequence[int] | npt.NDArray[np.int64],
    bodies: Sequence[Body],
    faults: Sequence[tuple[int, Fault]],
) -> Deliveries:
    """Put bodies under their messages, of which `sizes` tells how many readings each has; a body may be of several."""
    message = np.repeat(np.arange(len(offset)), sizes)
    readings = bodies[0].readings if len(bodies) == 1 else pa.concat_batches([body.readings for body in bodies])
    return Deliveries(
        topic_id,
        cell_ids,
        cell,
        partition,
        offset,
        timestamp_ms,
        source_file,
        retry_of,
        _named(readings, source_file, message),
        message,
        np.concatenate([body.rows for body in bodies]),
        np.concatenate([body.value_dropped for body in bodies]),
        faults,
    )


def _named(
    readings: pa.RecordBatch, source_file: Sequence[str | None], message: npt.NDArray[np.int64]
) -> pa.RecordBatch:
    """Readings that do not name their file take it from their message's header."""
    index = readings.schema.get_field_index("source_file")
    names = readings.column(index)
    if names.null_count == 0:
        return readings
    of_message = pa.array(source_file, pa.string()).take(pa.array(message))
    return readings.set_column(index, readings.schema.field(index), pc.coalesce(names, of_message))


def headers(
    content_type: str, source_file: str | None, retry_of: Place | None = None
) -> list[tuple[str, str | bytes | None]]:
    """The headers of a message in the given encoding."""
    found: list[tuple[str, str | bytes | None]] = [("content-type", content_type), ("schema-version", SCHEMA_VERSION)]
    if source_file is not None:
        found.append(("source-file", source_file))
    if retry_of is not None:
        found.append((RETRY_OF, str(retry_of)))
    return found


def encode_arrow(readings: pa.Table, max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Cut readings of one cell into Arrow IPC streams of at most `max_bytes` each, in order, with their row counts.

    Raises:
        ValueError: a single reading is larger than `max_bytes`.
    """
    left = readings.num_rows
    rows = left if readings.nbytes <= _SHRINKS * max_bytes else max(1, left * _SHRINKS * max_bytes // readings.nbytes)
    while True:
        part = readings.slice(readings.num_rows - left, rows)
        buffer = pa.BufferOutputStream()
        with pa.ipc.new_stream(buffer, part.schema, options=_WRITE) as writer:
            writer.write_table(part)
        value: bytes = buffer.getvalue().to_pybytes()
        if len(value) <= max_bytes:
            yield rows, value
            left -= rows
            if left <= 0:
                return
        elif rows <= 1:
            raise ValueError(f"one reading takes {len(value)} bytes, more than the {max_bytes} of a message")
        # The rest in equal messages, of a size that this one says will fit.
        fitting = max(1, int(rows * _FILLED * max_bytes / len(value)))
        rows = -(-left // -(-left // fitting))


def encode_json(readings: pa.Table, rows_each: int = 1) -> Iterator[bytes]:
    """Turn readings into JSON messages, as another gateway would send them."""
    encoder = msgspec.json.Encoder()
    for start in range(0, readings.num_rows, rows_each):
        rows = [
            {name: value for name, value in row.items() if value is not None}
            for row in readings.slice(start, rows_each).to_pylist()
        ]
        yield encoder.encode(rows[0] if rows_each == 1 else rows)


def decode(message: Message) -> Delivery:
    """Read one message of either encoding."""
    cell_id, head = text_of(message.key), _Head.of(message.headers)
    return Delivery(
        cell_id,
        message.topic_id,
        message.partition,
        message.offset,
        message.timestamp_ms,
        head.source_file,
        _body(cell_id, message, head),
        head.retry_of,
    )


def decode_poll(poll: Poll, most_rows: int) -> Iterator[Deliveries]:
    """Read the messages of a poll, at least one, those of a cell after those of another.

    JSON messages that hold one good reading each are read in one pass. What that cannot read is read by itself, and so
    are messages of many readings, which are columns already.

    Args:
        poll: the messages.
        most_rows: how many rows come at a time, but for the rest of a message.
    """
    key_of, cell_of, head_of = _codes(), _codes(), _codes()
    key = np.array([key_of[key] for key in poll.keys], dtype=np.int64)
    cell = np.array([cell_of[text_of(key)] for key in key_of], dtype=np.int64)[key]
    order = np.argsort(cell, kind="stable")
    cell, cell_ids = cell[order], list(cell_of)
    offset = np.array(poll.offsets, dtype=np.int64)[order]
    timestamp_ms = np.array(poll.timestamps_ms, dtype=np.int64)[order]
    head = np.array([head_of[headers] for headers in poll.headers], dtype=np.int64)[order]
    heads = [_Head.of(headers) for headers in head_of]

    single = np.array([head.encoding == JSON and head.version == SCHEMA_VERSION for head in heads])[head]
    single &= (timestamp_ms >= STAMPS_MS.low) & (timestamp_ms <= STAMPS_MS.high)
    single &= np.array([bool(cell_id) for cell_id in cell_ids])[cell]
    at = np.flatnonzero(single)
    readings, usable = read_single([poll.values[place] for place in order[at].tolist()])
    single[at[~usable]] = False
    at = at[usable]
    theirs = pa.array(cell_ids, pa.string()).take(pa.array(cell[at]))
    strange = pc.fill_null(pc.not_equal(readings.column("cell_id"), theirs), fill_value=False)
    strange = strange.to_numpy(zero_copy_only=False)
    if strange.any():
        single[at[strange]] = False
        readings = readings.filter(pa.array(~strange))

    def part(begin: int, end: int, sizes: list[int], bodies: list[Body], faults: list[tuple[int, Fault]]) -> Deliveries:
        first, last = cell[begin], cell[end - 1]
        codes = head[begin:end].tolist()
        return _joined(
            poll.topic_id,
            cell_ids[first : last + 1],
            cell[begin:end] - first,
            np.full(end - begin, poll.partition, dtype=np.int32),
            offset[begin:end],
            timestamp_ms[begin:end],
            [heads[code].source_file for code in codes],
            {place: origin for place, code in enumerate(codes) if (origin := heads[code].retry_of) is not None},
            sizes,
            bodies,
            faults,
        )

    begin = place = taken = rows = 0
    sizes: list[int] = []
    bodies: list[Body] = []
    faults: list[tuple[int, Fault]] = []
    for other in (*np.flatnonzero(~single).tolist(), len(offset)):
        while place < other:
            run = min(other - place, most_rows - rows)
            bodies.append(Body(readings.slice(taken, run), *_plain(run), ()))
            sizes += [1] * run
            place, taken, rows = place + run, taken + run, rows + run
            if rows >= most_rows:
                yield part(begin, place, sizes, bodies, faults)
                begin, rows, sizes, bodies, faults = place, 0, [], [], []
        if other < len(offset):
            body = _body(cell_ids[cell[other]], poll[int(order[other])], heads[head[other]])
            bodies.append(body)
            sizes.append(len(body.rows))
            faults += [(other - begin, fault) for fault in body.faults]
            place, rows = other + 1, rows + body.row_count
            if rows >= most_rows:
                yield part(begin, place, sizes, bodies, faults)
                begin, rows, sizes, bodies, faults = place, 0, [], [], []
    if begin < len(offset):
        yield part(begin, len(offset), sizes, bodies, faults)


def _plain(count: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Rows and dropped values of messages of one good reading each."""
    return np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.bool_)


class _Head(NamedTuple):
    """What the headers of a message say."""

    encoding: str | None
    version: str | None
    source_file: str | None
    retry_of: Place | None

    @classmethod
    def of(cls, headers: Sequence[tuple[str, bytes | None]]) -> _Head:
        named = {name.lower(): value for name, value in headers}
        content_type = _text(named.get("content-type"))
        return cls(
            None if content_type is None else content_type.partition(";")[0].strip().lower(),
            _text(named.get("schema-version")),
            _text(named.get("source-file")),
            Place.from_text(_text(named.get(RETRY_OF)) or ""),
        )


def _body(cell_id: str, message: Message, head: _Head) -> Body:
    try:
        return _open(cell_id, message, head)
    except _RefusedError as error:
        fault = Fault(0, error.reason, str(error), show_bytes(message.value), error.row_count)
        return Body(NO_READINGS, NO_ROWS, NO_FLAGS, (fault,))


class _RefusedError(Exception):
    """A message is refused as a whole."""

    def __init__(self, reason: Reason, detail: str, row_count: int = 1) -> None:
        super().__init__(detail)
        self.reason = reason
        self.row_count = row_count


def _open(cell_id: str, message: Message, head: _Head) -> Body:
    encoding, version = head.encoding or "", head.version
    known = encoding in {ARROW, JSON}
    if version != SCHEMA_VERSION and (known or version is not None):
        raise _RefusedError(Reason.UNKNOWN_SCHEMA, f"schema-version is {version!r}, this worker reads {SCHEMA_VERSION}")
    if not known:
        raise _RefusedError(Reason.UNDECODABLE, f"content-type is {encoding or 'missing'!r}, not {ARROW} or {JSON}")
    if not message.value:
        raise _RefusedError(Reason.UNDECODABLE, "the message is empty")
    try:
        body = read_arrow(message.value) if encoding == ARROW else read_json(message.value)
    except UndecodableError as error:
        raise _RefusedError(Reason.UNDECODABLE, str(error)) from None
    if body.row_count == 0:
        raise _RefusedError(Reason.UNDECODABLE, "the message holds no readings")
    if not cell_id:
        raise _RefusedError(Reason.MISSING_VALUE, "the message has no key; the key is the cell_id", body.row_count)
    if not STAMPS_MS.low <= message.timestamp_ms <= STAMPS_MS.high:
        raise _RefusedError(
            Reason.OUT_OF_RANGE,
            f"the message's time stamp is {message.timestamp_ms}; it counts milliseconds since 1970",
            body.row_count,
        )
    return refuse_strangers(cell_id, body)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
