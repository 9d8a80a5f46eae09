"""The messages of a poll together: their readings as one batch, those of a cell after those of another."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernel.contract.message import LIMITS, STAMPS_MS, Head, body_of
from kernel.contract.poll import text_of
from kernel.contract.reading import JSON, SCHEMA_VERSION
from kernel.contract.values import NO_FLAGS, NO_READINGS, NO_ROWS, Body, Fault, read_single

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from kernel.contract.message import Delivery, Place
    from kernel.contract.poll import Poll
    from kernel.contract.weight import Limits

UNJUDGED: Final = np.int32(-1)
"""Stands for the leaps of a reading that nobody has judged."""

MOST_ROWS: Final = 32_768
"""Rows that are decoded and cleaned at a time: enough that what a call costs does not count, and few to hold."""


@dataclass(frozen=True)
class Deliveries:
    """Decoded messages of one log: those of a cell stand together, in the order in which they came.

    Of the m messages: `cell` is the place in `cell_ids`, `partition`, `offset` and `timestamp_ms` are as in `Delivery`,
    shape (m,), `source_file` a list, `retry_of` has the place of those that publish a quarantined row again, `late`
    tells of each as in `Delivery`, shape (m,), and `values` are what was sent, as far as that is known. Of the n
    readings, which follow the messages: `message` is the place of theirs, `row` their row in it, and `value_dropped`
    and `leaps` are as in `Body`, shape (n,), the latter `UNJUDGED` where nobody has judged. `faults` are the rows that
    are no readings, each with the place of its message.
    """

    topic_id: str
    cell_ids: list[str]
    cell: npt.NDArray[np.int64]
    partition: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    timestamp_ms: npt.NDArray[np.int64]
    source_file: list[str | None]
    retry_of: Mapping[int, Place]
    late: npt.NDArray[np.bool_]
    values: Sequence[bytes | None]
    readings: pa.RecordBatch
    message: npt.NDArray[np.int64]
    row: npt.NDArray[np.int32]
    value_dropped: npt.NDArray[np.bool_]
    leaps: npt.NDArray[np.int32]
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
            self.late[keep],
            [value for value, kept in zip(self.values, keep.tolist(), strict=True) if kept],
            self.readings.filter(pa.array(stays)),
            place[self.message[stays]],
            self.row[stays],
            self.value_dropped[stays],
            self.leaps[stays],
            [(int(place[message]), fault) for message, fault in self.faults if keep[message]],
        )

    def without_readings(self, fault: Fault) -> Deliveries:
        """The same single message with that fault as all that there is in it."""
        return replace(
            self,
            readings=NO_READINGS,
            message=np.zeros(0, dtype=np.int64),
            row=NO_ROWS,
            value_dropped=NO_FLAGS,
            leaps=NO_ROWS,
            faults=[(0, fault)],
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
        np.array([delivery.late for delivery in ordered], dtype=np.bool_),
        [delivery.value for delivery in ordered],
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
    late: npt.NDArray[np.bool_],
    values: Sequence[bytes | None],
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
        late,
        values,
        _named(readings, source_file, message),
        message,
        np.concatenate([body.rows for body in bodies]),
        np.concatenate([body.value_dropped for body in bodies]),
        np.concatenate([np.full(len(body.rows), UNJUDGED) if body.leaps is None else body.leaps for body in bodies]),
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


def decode_poll(poll: Poll, most_rows: int, limits: Limits = LIMITS) -> Iterator[Deliveries]:
    """Read the messages of a poll, at least one, those of a cell after those of another.

    JSON messages that hold one good reading each are read in one pass. What that cannot read is read by itself, and so
    are messages of many readings, which are columns already.

    Args:
        poll: the messages.
        most_rows: how many rows come at a time, but for the rest of a message.
        limits: what a message may come to.
    """
    key_of, cell_of, head_of = _codes(), _codes(), _codes()
    key = np.array([key_of[key] for key in poll.keys], dtype=np.int64)
    cell = np.array([cell_of[text_of(key)] for key in key_of], dtype=np.int64)[key]
    order = np.argsort(cell, kind="stable")
    cell, cell_ids = cell[order], list(cell_of)
    offset = np.array(poll.offsets, dtype=np.int64)[order]
    timestamp_ms = np.array(poll.timestamps_ms, dtype=np.int64)[order]
    head = np.array([head_of[headers] for headers in poll.headers], dtype=np.int64)[order]
    heads = [Head.of(headers) for headers in head_of]
    is_retry = np.array([found.retry_of is not None for found in heads])
    is_late = np.array([found.late for found in heads])

    single = np.array([head.encoding in {JSON, None} and head.version in {SCHEMA_VERSION, None} for head in heads])[
        head
    ]
    single &= (timestamp_ms >= STAMPS_MS.low) & (timestamp_ms <= STAMPS_MS.high)
    single &= np.array([bool(cell_id) for cell_id in cell_ids])[cell]
    values = [poll.values[place] for place in order.tolist()]
    readings, single = _single_readings(values, single, pa.array(cell_ids, pa.string()).take(pa.array(cell)), limits)

    def part(begin: int, end: int, sizes: list[int], bodies: list[Body], faults: list[tuple[int, Fault]]) -> Deliveries:
        first, last = cell[begin], cell[end - 1]
        codes = head[begin:end].tolist()
        again = np.flatnonzero(is_retry[head[begin:end]]).tolist()
        return _joined(
            poll.topic_id,
            cell_ids[first : last + 1],
            cell[begin:end] - first,
            np.full(end - begin, poll.partition, dtype=np.int32),
            offset[begin:end],
            timestamp_ms[begin:end],
            [heads[code].source_file for code in codes],
            {place: origin for place in again if (origin := heads[codes[place]].retry_of) is not None},
            is_late[head[begin:end]],
            values[begin:end],
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
            body = body_of(cell_ids[cell[other]], poll[int(order[other])], heads[head[other]], limits)
            bodies.append(body)
            sizes.append(len(body.rows))
            faults += [(other - begin, fault) for fault in body.faults]
            place, rows = other + 1, rows + body.row_count
            if rows >= most_rows:
                yield part(begin, place, sizes, bodies, faults)
                begin, rows, sizes, bodies, faults = place, 0, [], [], []
    if begin < len(offset):
        yield part(begin, len(offset), sizes, bodies, faults)


def _single_readings(
    values: Sequence[bytes | None], single: npt.NDArray[np.bool_], cell_ids: pa.Array, limits: Limits
) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
    """Read in one pass the messages that are `single`, and tell which of them hold one good reading of their cell."""
    at = np.flatnonzero(single)
    try:
        readings, usable = read_single([values[place] for place in at.tolist()], limits)
    except Exception:  # noqa: BLE001  # whichever raises it is found when each is read by itself
        readings, usable = NO_READINGS, np.zeros(len(at), dtype=np.bool_)
    at = at[usable]
    strange = pc.fill_null(pc.not_equal(readings.column("cell_id"), cell_ids.take(pa.array(at))), fill_value=False)
    if pc.any(strange).as_py():
        readings = readings.filter(pc.invert(strange))
        at = at[~strange.to_numpy(zero_copy_only=False)]
    found = np.zeros(len(single), dtype=np.bool_)
    found[at] = True
    return readings, found


def _plain(count: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Rows and dropped values of messages of one good reading each."""
    return np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.bool_)
