"""The messages of a poll together: their readings as one batch, those of a cell after those of another."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernel.contract.body import NO_FLAGS, NO_READINGS, NO_ROWS, Body, Fault
from kernel.contract.json_body import decode_uniform_json
from kernel.contract.message import LIMITS, STAMPS_MS, Head, body_of
from kernel.contract.poll import Poll, text_of
from kernel.contract.reading import JSON, SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt

    from kernel.contract.about import TestAbout
    from kernel.contract.message import Place
    from kernel.contract.weight import Limits

UNJUDGED: Final = np.int32(-1)
"""Stands for the leaps of a reading that has not been judged."""

MOST_ROWS: Final = 32_768
"""Rows that are decoded and cleaned at a time: enough that what a call costs does not count, and few to hold."""


@dataclass(frozen=True)
class Batch:
    """Decoded messages of one log: those of a cell stand together, in the order in which they came.

    Of the m messages: `cell` is the place in `cell_ids`, `partition` and `offset` say where they stand in the log,
    `timestamp_ms` is the broker's time stamp in ms since 1970 UTC, shape (m,). `source_file` is a list of what their
    headers say; `retry_of` has, by message, the place of the quarantined row that it publishes again; `late` tells
    which say `LATE`, shape (m,); `values` are what was sent, None where that is not known. `about` is the place in
    `abouts` of what their headers say of a test, -1 where they say nothing, shape (m,).

    Of the n readings, which follow the messages: `message` is the place of theirs, `row` their row in it, and
    `value_dropped` is as in `Body`, shape (n,). `leaps` has the flags of `LEAPS` where readings were judged before, as
    those of the archive, and `UNJUDGED` elsewhere, shape (n,). `faults` are the rows that are no readings, each with
    the place of its message.
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
    abouts: Sequence[TestAbout]
    about: npt.NDArray[np.int64]
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

    def take(self, keep: npt.NDArray[np.bool_]) -> Batch:
        """Some of the messages, shape (m,), in the same order."""
        if keep.all():
            return self
        place = np.cumsum(keep) - 1
        stays = keep[self.message]
        codes, cell = np.unique(self.cell[keep], return_inverse=True)
        return Batch(
            self.topic_id,
            [self.cell_ids[code] for code in codes.tolist()],
            cell,
            self.partition[keep],
            self.offset[keep],
            self.timestamp_ms[keep],
            [name for name, kept in zip(self.source_file, keep.tolist(), strict=True) if kept],
            {int(place[message]): origin for message, origin in self.retry_of.items() if keep[message]},
            self.late[keep],
            *_abouts_of(self.abouts, self.about[keep]),
            [value for value, kept in zip(self.values, keep.tolist(), strict=True) if kept],
            self.readings.filter(pa.array(stays)),
            place[self.message[stays]],
            self.row[stays],
            self.value_dropped[stays],
            self.leaps[stays],
            [(int(place[message]), fault) for message, fault in self.faults if keep[message]],
        )

    def without_readings(self, fault: Fault) -> Batch:
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


def decode_poll(poll: Poll, most_rows: int, limits: Limits = LIMITS) -> Iterator[Batch]:
    """Read the messages of a poll, at least one: ordered by cell, decoded, and cut by rows.

    JSON messages that hold one good reading each are read in one pass. The others are read one by one: those that the
    pass cannot read, and messages of many readings, which are columns already.

    >>> poll = Poll("log", 0, [7, 8], [0, 0], [b"A1", b"A1"], [(), ()], [b'{"cell_id": "A1", "voltage(v)": 3.7}', b"{"])
    >>> (batch,) = decode_poll(poll, most_rows=1_000)
    >>> batch.cell_ids, batch.readings.column("voltage(v)").to_pylist()
    (['A1'], [3.7])
    >>> [(batch.offset[place].item(), fault.reason.value) for place, fault in batch.faults]
    [(8, 'undecodable')]

    Args:
        poll: the messages.
        most_rows: the rows of a batch; one that a longer message ends has more.
        limits: what a message may come to.
    """
    messages = _order_by_cell(poll)
    readings, is_uniform = _decode_uniform(messages, limits)
    yield from _cut_by_rows(messages, readings, is_uniform, most_rows, limits)


@dataclass(frozen=True)
class _Ordered:
    """The m messages of a poll, those of a cell together and in the order of the log.

    `order` has their places in the poll, `cell` their places in `cell_ids`, and `head` their places in `heads`, the
    different headers; all shape (m,).
    """

    poll: Poll
    order: npt.NDArray[np.int64]
    cell_ids: list[str]
    cell: npt.NDArray[np.int64]
    heads: list[Head]
    head: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    timestamp_ms: npt.NDArray[np.int64]
    values: list[bytes | None]

    def of_head(self, ask: Callable[[Head], bool]) -> npt.NDArray[np.bool_]:
        """What is so of the headers of each message, shape (m,)."""
        return np.array([ask(head) for head in self.heads])[self.head]

    def body(self, place: int, limits: Limits) -> Body:
        """Read one message by itself."""
        message = self.poll[int(self.order[place])]
        return body_of(self.cell_ids[self.cell[place]], message, self.heads[self.head[place]], limits)


def _order_by_cell(poll: Poll) -> _Ordered:
    """Put the messages of each cell together, the cells as they come."""
    key_codes, cell_codes, head_codes = _codes(), _codes(), _codes()
    key = np.array([key_codes[key] for key in poll.keys], dtype=np.int64)
    cell = np.array([cell_codes[text_of(key)] for key in key_codes], dtype=np.int64)[key]
    order = np.argsort(cell, kind="stable")
    head = np.array([head_codes[headers] for headers in poll.headers], dtype=np.int64)[order]
    return _Ordered(
        poll,
        order,
        list(cell_codes),
        cell[order],
        [Head.of(headers) for headers in head_codes],
        head,
        np.array(poll.offsets, dtype=np.int64)[order],
        np.array(poll.timestamps_ms, dtype=np.int64)[order],
        [poll.values[place] for place in order.tolist()],
    )


def _codes() -> defaultdict[Any, int]:
    """Numbers for whatever it is asked for, from 0, in the order in which it is asked."""
    # Not by its own length: that would be a reference cycle, and no collection comes for long (`kernel.base.tuning`).
    return defaultdict(itertools.count().__next__)


def _decode_uniform(messages: _Ordered, limits: Limits) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
    """Read in one pass the messages that are one good reading of their cell as JSON.

    Returns:
        Their readings, and which of the messages they are, shape (m,).
    """
    may_be = messages.of_head(lambda head: head.encoding in {JSON, None} and head.version in {SCHEMA_VERSION, None})
    may_be &= (messages.timestamp_ms >= STAMPS_MS.low) & (messages.timestamp_ms <= STAMPS_MS.high)
    may_be &= np.array([bool(cell_id) for cell_id in messages.cell_ids])[messages.cell]
    at = np.flatnonzero(may_be)
    try:
        readings, usable = decode_uniform_json([messages.values[place] for place in at.tolist()], limits)
    except Exception:  # noqa: BLE001  # whichever raises it is found when each is read by itself
        readings, usable = NO_READINGS, np.zeros(len(at), dtype=np.bool_)
    at = at[usable]
    of_message = pa.array(messages.cell_ids, pa.string()).take(pa.array(messages.cell[at]))
    is_foreign = pc.fill_null(pc.not_equal(readings.column("cell_id"), of_message), fill_value=False)
    if pc.any(is_foreign).as_py():
        readings = readings.filter(pc.invert(is_foreign))
        at = at[~is_foreign.to_numpy(zero_copy_only=False)]
    is_uniform = np.zeros(len(may_be), dtype=np.bool_)
    is_uniform[at] = True
    return readings, is_uniform


def _cut_by_rows(
    messages: _Ordered,
    readings: pa.RecordBatch,
    is_uniform: npt.NDArray[np.bool_],
    most_rows: int,
    limits: Limits,
) -> Iterator[Batch]:
    """Join what was read in one pass with what is read now, one by one, into batches."""
    part, taken = _Part(messages, 0), 0
    for other in (*np.flatnonzero(~is_uniform).tolist(), len(is_uniform)):
        while part.end < other:
            count = min(other - part.end, most_rows - part.rows)
            part.add_uniform(readings.slice(taken, count))
            taken += count
            if part.rows >= most_rows:
                yield part.batch()
                part = _Part(messages, part.end)
        if other < len(is_uniform):
            part.add(messages.body(other, limits))
            if part.rows >= most_rows:
                yield part.batch()
                part = _Part(messages, part.end)
    if part.end > part.begin:
        yield part.batch()


class _Part:
    """Successive messages that become one batch, from `begin` up to `end`; `rows` are theirs so far."""

    def __init__(self, messages: _Ordered, begin: int) -> None:
        self._messages = messages
        self.begin = self.end = begin
        self.rows = 0
        self._sizes: list[int] = []
        self._bodies: list[Body] = []
        self._faults: list[tuple[int, Fault]] = []

    def add_uniform(self, readings: pa.RecordBatch) -> None:
        """Add messages of one good reading each."""
        count = len(readings)
        self._bodies.append(Body(readings, np.zeros(count, dtype=np.int32), np.zeros(count, dtype=np.bool_), ()))
        self._sizes += [1] * count
        self.end += count
        self.rows += count

    def add(self, body: Body) -> None:
        """Add a message of any number of readings."""
        self._bodies.append(body)
        self._sizes.append(len(body.rows))
        self._faults += [(self.end - self.begin, fault) for fault in body.faults]
        self.end += 1
        self.rows += body.row_count

    def batch(self) -> Batch:
        """The messages together."""
        messages, part = self._messages, slice(self.begin, self.end)
        heads, head = messages.heads, messages.head[part]
        retries = np.flatnonzero(np.array([header.retry_of is not None for header in heads])[head])
        first, last = messages.cell[self.begin], messages.cell[self.end - 1]
        source_file = [heads[code].source_file for code in head.tolist()]
        message = np.repeat(np.arange(self.end - self.begin), self._sizes)
        abouts = list(dict.fromkeys(header.about for header in heads if header.about is not None))
        about_of = {about: place for place, about in enumerate(abouts)}
        about = np.array([-1 if header.about is None else about_of[header.about] for header in heads])[head]
        bodies = self._bodies
        readings = bodies[0].readings if len(bodies) == 1 else pa.concat_batches([body.readings for body in bodies])
        return Batch(
            messages.poll.topic_id,
            messages.cell_ids[first : last + 1],
            messages.cell[part] - first,
            np.full(self.end - self.begin, messages.poll.partition, dtype=np.int32),
            messages.offset[part],
            messages.timestamp_ms[part],
            source_file,
            {place: origin for place in retries.tolist() if (origin := heads[head[place]].retry_of) is not None},
            np.array([header.late for header in heads])[head],
            *_abouts_of(abouts, about),
            messages.values[part],
            _name_files(readings, source_file, message),
            message,
            np.concatenate([body.rows for body in bodies]),
            np.concatenate([body.value_dropped for body in bodies]),
            np.full(len(message), UNJUDGED),
            self._faults,
        )


def _abouts_of(
    abouts: Sequence[TestAbout], about: npt.NDArray[np.int64]
) -> tuple[Sequence[TestAbout], npt.NDArray[np.int64]]:
    """Those that messages say, in their order, and the place of each message's among them."""
    if not abouts:
        return abouts, about
    used = np.unique(about[about >= 0])
    return [abouts[place] for place in used.tolist()], np.where(about < 0, -1, np.searchsorted(used, about))


def _name_files(
    readings: pa.RecordBatch, source_file: Sequence[str | None], message: npt.NDArray[np.int64]
) -> pa.RecordBatch:
    """Give readings that do not name their file the one of their message's header."""
    index = readings.schema.get_field_index("source_file")
    names = readings.column(index)
    if names.null_count == 0:
        return readings
    of_message = pa.array(source_file, pa.string()).take(pa.array(message))
    return readings.set_column(index, readings.schema.field(index), pc.coalesce(names, of_message))
