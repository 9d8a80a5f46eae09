"""The archive: the messages that have landed, put together again from the objects of the manifest.

Every row of a message is in an object, landed or quarantined, so a message comes back as the fold saw it, but for
what was refused: of that the archive holds what the quarantine does. It serves where the log no longer reaches back.
"""

from __future__ import annotations

import hashlib
import io
import json
from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from battery.body import NO_FLAGS, NO_READINGS, NO_ROWS, Body, Fault
from battery.cleaned import Span
from battery.errors import BatteryError
from battery.message import Delivery, Place
from battery.reading import LANDED, QUARANTINED, READING_NULLABLE, RETRIED, Quality, Reason
from sink.manifest import (
    LANDED_KIND,
    QUARANTINE_KIND,
    RETRIED_KIND,
    Commit,
    CommittedObject,
    Manifest,
    reached_by,
    stored_objects,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery.objects import ObjectStore

_log = structlog.get_logger()

_SCHEMAS: Final = {LANDED_KIND: LANDED, QUARANTINE_KIND: QUARANTINED, RETRIED_KIND: RETRIED}

_Message = tuple[str, int, int]
"""Cell, partition and offset."""


class DamagedObjectError(BatteryError):
    """An object is missing, or is not what was committed; says which and how."""


class Archive:
    """The objects that the store holds now."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.stored = list(stored_objects(store))
        self._sizes = {found.key: found.size for found in self.stored}

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
        data = self._store.get(committed.key)
        if hashlib.sha256(data).hexdigest() != committed.sha256:
            raise DamagedObjectError(f"{committed.key} has another checksum than when it was committed")
        return data


def archived(commit: Commit, archive: Archive) -> list[Delivery]:
    """The messages of one commit, those of each cell in the order in which they were folded.

    Raises:
        DamagedObjectError: an object is not what was committed.
        BatteryError: the store does not answer.
    """
    topics = {span.topic_id for span in commit.spans}
    if len(topics) != 1:
        raise BatteryError(f"commit {commit.commit} is of {len(topics)} logs; its messages cannot be told apart")
    (topic_id,) = topics
    tables = {kind: schema.empty_table() for kind, schema in _SCHEMAS.items()}
    for committed in commit.objects:
        tables[committed.kind] = pq.read_table(io.BytesIO(archive.read(committed))).cast(_SCHEMAS[committed.kind])

    faults: dict[_Message, list[Fault]] = {}
    for row in tables[QUARANTINE_KIND].to_pylist():
        fault = Fault(
            row["row"], Reason(row["reason"]), row["detail"], row["payload"], row["row_count"], row["source_file"]
        )
        faults.setdefault((row["cell_id"] or "", row["partition"], row["offset"]), []).append(fault)
    origins = {
        (row["cell_id"] or "", row["partition"], row["offset"]): Place(
            row["origin_topic_id"], row["origin_partition"], row["origin_offset"], row["origin_row"]
        )
        for row in tables[RETRIED_KIND].to_pylist()
    }

    def delivery(message: _Message, timestamp_ms: int, body: Body) -> Delivery:
        cell_id, partition, offset = message
        return Delivery(cell_id, topic_id, partition, offset, timestamp_ms, None, body, origins.get(message))

    found = [
        delivery(message, timestamp_ms, Body(readings, rows, dropped, tuple(faults.pop(message, ()))))
        for message, timestamp_ms, readings, rows, dropped in _landed_messages(tables[LANDED_KIND])
    ]
    refused = [
        delivery(message, 0, Body(NO_READINGS, NO_ROWS, NO_FLAGS, tuple(rows))) for message, rows in faults.items()
    ]
    return _in_order(found, refused)


def manifest_of_objects(store: ObjectStore) -> Manifest:
    """The manifest that the objects themselves describe, for when the warehouse is lost.

    It may hold commits that never happened: objects whose transaction failed. Their rows are right all the same, and
    came again in a later commit; folding a message for the second time changes nothing.

    Raises:
        DamagedObjectError: a commit in the middle of a run is missing or incomplete. The last one of a run may be:
            that is how a run dies.
    """
    commits: dict[str, Commit] = {}
    kinds: dict[str, list[str]] = {}
    for stored in sorted(stored_objects(store), key=lambda found: (found.epoch, found.seq, found.lane, found.kind)):
        data = store.get(stored.key)
        file = pq.ParquetFile(io.BytesIO(data))
        metadata = file.schema_arrow.metadata or {}
        if b"battery.commit" not in metadata:
            raise DamagedObjectError(f"{stored.key} does not say what commit it is of")
        described = json.loads(metadata[b"battery.commit"])
        name = described["commit"]
        rows = file.metadata.num_rows
        found = CommittedObject(stored.key, stored.kind, rows, len(data), hashlib.sha256(data).hexdigest())
        before = commits[name].objects if name in commits else ()
        spans = tuple(Span(**span) for span in described["spans"])
        commits[name] = Commit(name, stored.epoch, stored.lane, stored.seq, spans, (*before, found))
        kinds[name] = sorted(described["kinds"])
    whole: list[Commit] = []
    lanes: dict[tuple[int, int], Commit | None] = {}
    for name, commit in commits.items():
        before_it = lanes.get((commit.epoch, commit.lane), commit)
        if before_it is None or (before_it is not commit and commit.seq != before_it.seq + 1):
            raise DamagedObjectError(f"objects of the commit before {name} are missing")
        is_whole = kinds[name] == [found.kind for found in commit.objects]
        lanes[commit.epoch, commit.lane] = commit if is_whole else None
        if is_whole:
            whole.append(commit)
        else:
            _log.warning("passing over a commit that was never finished", commit=name)
    return Manifest(tuple(whole), reached_by(whole))


def _landed_messages(
    landed: pa.Table,
) -> Iterator[tuple[_Message, int, pa.RecordBatch, np.ndarray[tuple[int], np.dtype[np.int32]], np.ndarray]]:
    """Cut landed rows into their messages; the rows of a message stand together."""
    if landed.num_rows == 0:
        return
    batch = landed.combine_chunks().to_batches()[0]
    cells = batch.column("cell_id").dictionary_encode()
    cell = cells.indices.to_numpy()
    partition, offset, row = (
        batch.column(name).to_numpy() for name in ("kafka_partition", "kafka_offset", "kafka_row")
    )
    stamp = batch.column("streamed_at").cast(pa.int64()).to_numpy() // 1000
    dropped = (batch.column("quality").to_numpy() & int(Quality.VALUE_DROPPED)) != 0
    readings = pa.RecordBatch.from_arrays(
        [batch.column(name) for name in READING_NULLABLE.names], schema=READING_NULLABLE
    )
    changes = np.logical_or.reduce([np.diff(values) != 0 for values in (cell, partition, offset)])
    starts = np.concatenate(([0], np.flatnonzero(changes) + 1, [batch.num_rows])).tolist()
    for start, end in pairwise(starts):
        message = cells.dictionary[int(cell[start])].as_py(), int(partition[start]), int(offset[start])
        yield message, int(stamp[start]), readings.slice(start, end - start), row[start:end], dropped[start:end]


def _in_order(landed: list[Delivery], refused: list[Delivery]) -> list[Delivery]:
    """Put messages without a landed row before the next one of their partition that has some."""
    if not refused:
        return landed
    offsets: dict[tuple[str, int], list[int]] = {}
    places: dict[tuple[str, int], list[int]] = {}
    for place, delivery in enumerate(landed):
        offsets.setdefault((delivery.cell_id, delivery.partition), []).append(delivery.offset)
        places.setdefault((delivery.cell_id, delivery.partition), []).append(place)

    def next_place(delivery: Delivery) -> float:
        key = delivery.cell_id, delivery.partition
        at = bisect_left(offsets.get(key, []), delivery.offset)
        return places[key][at] - 0.5 if key in places and at < len(places[key]) else len(landed)

    keyed = [(float(place), 0, 0, delivery) for place, delivery in enumerate(landed)]
    keyed += [(next_place(delivery), delivery.partition, delivery.offset, delivery) for delivery in refused]
    return [delivery for *_, delivery in sorted(keyed, key=lambda item: item[:3])]
