"""The archive: the messages that have landed, put together again from the objects of the manifest.

Every row of a message is in an object, landed or quarantined. So a message comes back as the fold saw it; only refused
rows come back as the quarantine shows them. The archive serves where the log no longer reaches back.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa

from kernel.base.errors import BatteryError
from kernel.contract.about import TestAbout
from kernel.contract.batch import Batch
from kernel.contract.body import Fault
from kernel.contract.message import STAMPS_MS, Place
from kernel.contract.reading import ABOUT, LANDED, LEAPS, QUARANTINED, READING_NULLABLE, RETRIED, Quality, Reason
from sink.manifest import ABOUT_KIND, LANDED_KIND, QUARANTINE_KIND, RETRIED_KIND, landing_objects
from sink.parquet import DamagedObjectError, read_groups, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from kernel.edges.objects import ObjectStore
    from sink.manifest import Commit, CommittedObject

SCHEMAS: Final = {LANDED_KIND: LANDED, QUARANTINE_KIND: QUARANTINED, RETRIED_KIND: RETRIED, ABOUT_KIND: ABOUT}
"""The columns of the objects of each kind."""

_Message = tuple[str, int, int]
"""Cell, partition and offset."""

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  # stamps are UTC without a zone

SLICE: Final = 2_000
"""Messages that are put together at a time."""


class Archive:
    """The objects that the store holds now."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.stored = list(landing_objects(store))
        self._sizes = {stored.key: stored.size for stored in self.stored}

    def read(self, committed: CommittedObject) -> bytes:
        """The bytes of an object, the very ones that were committed.

        Raises:
            DamagedObjectError: they are not there any more.
            BatteryError: the store does not answer.
        """
        size = self._sizes.get(committed.key)
        if size is None:
            raise DamagedObjectError(f"{committed.key} is missing")
        if size != committed.size:
            raise DamagedObjectError(f"{committed.key} has {size} bytes, not {committed.size}")
        try:
            data = self._store.get(committed.key)
        except BatteryError:
            if any(stored.key == committed.key for stored in self._store.list(committed.key)):
                raise
            raise DamagedObjectError(f"{committed.key} is missing") from None  # it has gone since it was listed
        if hashlib.sha256(data).hexdigest() != committed.sha256:
            raise DamagedObjectError(f"{committed.key} has another checksum than when it was committed")
        return data

    def rows(self, committed: CommittedObject) -> pa.Table:
        """The rows of an object, with the columns of its kind.

        Raises:
            DamagedObjectError: it is not what was committed.
            BatteryError: the store does not answer.
        """
        schema = SCHEMAS[committed.kind]
        return read_rows(self.read(committed), committed.key, rows=committed.rows, columns=schema.names).cast(schema)

    def groups(self, committed: CommittedObject) -> Iterator[pa.Table]:
        """The same rows, a row group at a time.

        Raises:
            DamagedObjectError, BatteryError: as `rows` does; some groups may have been given by then.
        """
        schema = SCHEMAS[committed.kind]
        data = self.read(committed)
        for group in read_groups(data, committed.key, rows=committed.rows, columns=schema.names):
            yield group.cast(schema)


def archived(commit: Commit, archive: Archive) -> Iterator[Batch]:
    """The messages of one commit, some at a time, those of each cell in the order in which they were folded.

    Raises:
        DamagedObjectError: an object is not what was committed.
        BatteryError: the store does not answer.
    """
    topics = {span.topic_id for span in commit.spans}
    if len(topics) != 1:
        raise BatteryError(f"commit {commit.commit} is of {len(topics)} logs; its messages cannot be told apart")
    (topic_id,) = topics
    tables = {kind: schema.empty_table() for kind, schema in SCHEMAS.items()}
    for committed in commit.objects:
        tables[committed.kind] = archive.rows(committed)
    landed = _Landed(tables[LANDED_KIND])
    faults = _faults(tables[QUARANTINE_KIND])
    origins = {
        (row["cell_id"] or "", row["partition"], row["offset"]): Place(
            row["origin_topic_id"], row["origin_partition"], row["origin_offset"], row["origin_row"]
        )
        for row in tables[RETRIED_KIND].to_pylist()
    }
    said = {
        (row["cell_id"] or "", row["partition"], row["offset"]): _Said(
            TestAbout.from_row(row), row["source_file"], _stamp_ms(row["streamed_at"])
        )
        for row in tables[ABOUT_KIND].to_pylist()
    }
    messages = _in_order(landed.messages, [message for message in faults if message not in landed.places])
    for start in range(0, len(messages), SLICE):
        yield _batch(topic_id, messages[start : start + SLICE], landed, faults, origins, said)


class _Said(NamedTuple):
    """What a message said of its test, the file that its header named, and its time stamp."""

    about: TestAbout
    source_file: str | None
    timestamp_ms: int


def _batch(
    topic_id: str,
    messages: Sequence[_Message],
    landed: _Landed,
    faults: Mapping[_Message, Sequence[Fault]],
    origins: Mapping[_Message, Place],
    said: Mapping[_Message, _Said],
) -> Batch:
    """Put messages together, those of each cell in their order.

    The header `LATE` is left out of a message none of whose readings was put before others, since it changed nothing.
    A message without a landed row has no time stamp, and needs none, unless it said something of its test.
    """
    cell_ids = list(dict.fromkeys(cell_id for cell_id, _, _ in messages))
    code_of = {cell_id: code for code, cell_id in enumerate(cell_ids)}
    messages = sorted(messages, key=lambda message: code_of[message[0]])  # stable: a cell's stay in their order
    spans = np.array([landed.places.get(message, (0, 0)) for message in messages], dtype=np.int64)
    starts, sizes = spans[:, 0], spans[:, 1] - spans[:, 0]
    message = np.repeat(np.arange(len(messages)), sizes)
    rows = np.arange(len(message)) + np.repeat(starts - (np.cumsum(sizes) - sizes), sizes)
    said_of = [said.get(message) for message in messages]
    abouts = list(dict.fromkeys(one.about for one in said_of if one is not None))
    about_of = {about: place for place, about in enumerate(abouts)}
    stamps_ms = landed.stamps_ms(starts, sizes)
    for place, one in enumerate(said_of):
        if one is not None:
            stamps_ms[place] = one.timestamp_ms
    return Batch(
        topic_id,
        cell_ids,
        np.array([code_of[cell_id] for cell_id, _, _ in messages], dtype=np.int64),
        np.array([partition for _, partition, _ in messages], dtype=np.int32),
        np.array([offset for _, _, offset in messages], dtype=np.int64),
        stamps_ms,
        [None if one is None else one.source_file for one in said_of],
        {place: origins[message] for place, message in enumerate(messages) if message in origins},
        np.bincount(message, landed.late[rows], len(messages)) > 0,
        abouts,
        np.array([-1 if one is None else about_of[one.about] for one in said_of], dtype=np.int64),
        [None] * len(messages),
        landed.readings.take(pa.array(rows)),
        message,
        landed.row[rows],
        landed.dropped[rows],
        landed.leaps[rows],
        [(place, fault) for place, message in enumerate(messages) for fault in faults.get(message, ())],
    )


def _stamp_ms(stamp: datetime | None) -> int:
    """A time stamp in ms since 1970 UTC; one that no message may carry where it was none that a reading may have."""
    return int(STAMPS_MS.low) - 1 if stamp is None else (stamp - _EPOCH) // timedelta(milliseconds=1)


class _Landed:
    """Landed rows, a column an array, and where the rows of each message are; those are adjacent."""

    def __init__(self, landed: pa.Table) -> None:
        batches = landed.combine_chunks().to_batches()
        batch = batches[0] if batches else pa.RecordBatch.from_pylist([], schema=LANDED)
        cells = batch.column("cell_id").dictionary_encode()
        cell = cells.indices.to_numpy()
        partition, offset, self.row = (
            batch.column(name).to_numpy() for name in ("kafka_partition", "kafka_offset", "kafka_row")
        )
        self._stamp_ms = batch.column("streamed_at").cast(pa.int64()).to_numpy() // 1000
        quality = batch.column("quality").to_numpy()
        self.dropped = (quality & int(Quality.VALUE_DROPPED)) != 0
        self.leaps = quality & np.int32(sum(LEAPS))
        self.late = (quality & int(Quality.LATE)) != 0
        self.readings = batch.select(READING_NULLABLE.names).cast(READING_NULLABLE)
        changes = np.logical_or.reduce([np.diff(values) != 0 for values in (cell, partition, offset)])
        starts = np.concatenate((np.zeros(min(batch.num_rows, 1), np.int64), np.flatnonzero(changes) + 1))
        names = cells.dictionary.to_pylist()
        self.messages: list[_Message] = [
            (names[code], part, at)
            for code, part, at in zip(
                cell[starts].tolist(), partition[starts].tolist(), offset[starts].tolist(), strict=True
            )
        ]
        ends = np.append(starts, batch.num_rows)[1:]
        self.places = dict(zip(self.messages, zip(starts.tolist(), ends.tolist(), strict=True), strict=True))

    def stamps_ms(self, starts: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """The time stamps of messages, in ms since 1970 UTC; 0 for a message without a landed row."""
        stamps = np.zeros(len(starts), dtype=np.int64)
        stamps[sizes > 0] = self._stamp_ms[starts[sizes > 0]]
        return stamps


def _faults(quarantined: pa.Table) -> dict[_Message, tuple[Fault, ...]]:
    """The refused rows, by message."""
    faults: dict[_Message, list[Fault]] = {}
    for row in quarantined.to_pylist():
        fault = Fault(
            row["row"], Reason(row["reason"]), row["detail"], row["payload"], row["row_count"], row["source_file"]
        )
        faults.setdefault((row["cell_id"] or "", row["partition"], row["offset"]), []).append(fault)
    return {message: tuple(of_message) for message, of_message in faults.items()}


def _in_order(landed: Sequence[_Message], refused: Sequence[_Message]) -> list[_Message]:
    """Put messages without a landed row before the next one of their cell and partition that has some."""
    if not refused:
        return list(landed)
    offsets: dict[tuple[str, int], list[int]] = {}
    places: dict[tuple[str, int], list[int]] = {}
    for place, (cell_id, partition, offset) in enumerate(landed):
        offsets.setdefault((cell_id, partition), []).append(offset)
        places.setdefault((cell_id, partition), []).append(place)

    def next_place(message: _Message) -> float:
        key = message[:2]
        at = bisect_left(offsets.get(key, []), message[2])
        return places[key][at] - 0.5 if key in places and at < len(places[key]) else len(landed)

    keyed = [(float(place), "", 0, 0, message) for place, message in enumerate(landed)]
    keyed += [(next_place(message), *message, message) for message in refused]
    return [message for *_, message in sorted(keyed)]
