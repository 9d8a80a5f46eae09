"""A commit in the making: it gathers results, encodes them as they come, and stores them as objects.

No commit names these objects before `sink.commit` has landed it.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from kernel.base.errors import BatteryError
from kernel.base.faults import Point, fault_point
from kernel.contract.reading import ABOUT, LANDED, QUARANTINED, REPEATED, RETRIED
from kernel.contract.results import CYCLE_PART, PROGRESS, WINDOW_PART, Span
from sink.encode import ObjectWriter
from sink.manifest import (
    ABOUT_KIND,
    LANDED_KIND,
    QUARANTINE_KIND,
    RETRIED_KIND,
    Commit,
    CommittedObject,
    object_key,
)
from sink.repeats import judge, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kernel.contract.results import Cleaned, States
    from kernel.edges.objects import ObjectStore

_STATES: Final = pa.schema([("cell_id", pa.string()), ("state", pa.string())])


@dataclass(frozen=True)
class Stored:
    """A commit whose objects are in the store, with its rows for the warehouse.

    `staged` holds those rows by the name of the table that the statements of `sink.tables` read. The states of the
    cells are not in it: they are written out while the rows land. `started` is a time of the monotonic clock, in s.
    """

    commit: Commit
    staged: Mapping[str, pa.Table]
    started: float


class Draft:
    """One commit of a lane while its results gather.

    Args:
        store: where its objects go.
        epoch: the epoch of the writer.
        lane: the lane.
        seq: the number of the commit in its lane.
        look_up: finds the landed rows of some readings, whose keys it gets as a table with the columns `KEY` of
            `sink.repeats`.
    """

    def __init__(
        self,
        store: ObjectStore,
        epoch: int,
        lane: int,
        seq: int,
        look_up: Callable[[pa.Table], pa.Table],
    ) -> None:
        self._store = store
        self._look_up = look_up
        self._epoch = epoch
        self._lane = lane
        self._seq = seq
        self._name = commit_id(epoch, lane, seq)
        self._started = time.monotonic()
        self._results: list[Cleaned[States]] = []
        self._landed = ObjectWriter(LANDED, self._name)

    def add(self, result: Cleaned[States]) -> None:
        """Gather a result; results come in the order of the log."""
        self._results.append(result)
        self._landed.add([result.landed])

    def store(self) -> Stored:
        """Put the objects into the store. If readings were repeated, the lane's earlier commits must have landed.

        Raises:
            BatteryError: the store failed, or the warehouse failed to look up repeated readings.
        """
        results = self._results
        tables = self._tables()
        objects = self._put(tables)
        spans = joined(span for result in results for span in result.spans)
        return Stored(
            Commit(self._name, self._epoch, self._lane, self._seq, spans, objects),
            {
                "staged_landed": tables[LANDED_KIND],
                "staged_quarantined": tables[QUARANTINE_KIND],
                "staged_retried": tables[RETRIED_KIND],
                "staged_about": tables[ABOUT_KIND],
                "staged_windows": _parts([result.windows for result in results], WINDOW_PART),
                "staged_cycles": _parts([result.cycles for result in results], CYCLE_PART),
                "staged_progress": _progress(results),
            },
            self._started,
        )

    def _tables(self) -> dict[str, pa.Table]:
        """The rows of the commit by kind of object."""
        results = self._results
        landed = pa.Table.from_batches([result.landed for result in results], schema=LANDED)
        quarantined = pa.Table.from_batches([result.quarantined for result in results], schema=QUARANTINED)
        return {
            LANDED_KIND: landed,
            QUARANTINE_KIND: pa.concat_tables([quarantined, self._repeats(landed)]),
            RETRIED_KIND: pa.Table.from_batches([result.retried for result in results], schema=RETRIED),
            ABOUT_KIND: pa.Table.from_batches([result.said for result in results], schema=ABOUT),
        }

    def _put(self, tables: Mapping[str, pa.Table]) -> tuple[CommittedObject, ...]:
        """Store one object for each kind that has rows; the landed rows are encoded already."""
        writers = {LANDED_KIND: self._landed}
        for kind in (QUARANTINE_KIND, RETRIED_KIND, ABOUT_KIND):
            writers[kind] = ObjectWriter(tables[kind].schema, self._name)
            writers[kind].add(tables[kind].to_batches())
        return tuple(
            put_object(self._store, object_key(kind, self._lane, self._epoch, self._seq), kind, writer)
            for kind, writer in writers.items()
            if writer.rows
        )

    def _repeats(self, landed: pa.Table) -> pa.Table:
        """The rows of the quarantine that repeated readings become."""
        repeated = pa.Table.from_batches([result.repeated for result in self._results], schema=REPEATED)
        if repeated.num_rows == 0:
            return QUARANTINED.empty_table()
        return judge(repeated, self._look_up(keys_of(repeated)), landed)

    def states(self) -> pa.Table:
        """The last state of each cell, as rows of `_cell_state`."""
        last_result: dict[str, int] = {}
        for number, result in enumerate(self._results):
            last_result |= dict.fromkeys(result.states.cell_ids, number)
        cell_ids: list[str] = []
        texts: list[bytes] = []
        for number, result in enumerate(self._results):
            cells = result.states.cell_ids
            places = [place for place, cell_id in enumerate(cells) if last_result[cell_id] == number]
            cell_ids += [cells[place] for place in places]
            texts += result.states.texts(np.array(places, dtype=np.int64))
        return pa.Table.from_arrays(
            [pa.array(cell_ids, pa.string()), pa.array(texts, pa.binary()).cast(pa.string())], schema=_STATES
        )


def commit_id(epoch: int, lane: int, seq: int) -> str:
    """The id of a commit: the epoch of the writer of its objects, its lane, and its number in that lane.

    >>> commit_id(epoch=3, lane=1, seq=12)
    '000003-01-000000000012'
    """
    return f"{epoch:06d}-{lane:02d}-{seq:012d}"


def put_once(store: ObjectStore, key: str, data: bytes) -> None:
    """Store an object under a key that no other object may have.

    The same object may be there already: an earlier attempt has arrived although its answer was lost.

    >>> from pathlib import Path
    >>> from kernel.edges.objects import FolderStore
    >>> store = FolderStore(Path("objects"))
    >>> put_once(store, "some/key", b"rows")
    >>> put_once(store, "some/key", b"rows")
    >>> put_once(store, "some/key", b"other rows")
    Traceback (most recent call last):
    kernel.base.errors.BatteryError: the OBJECT_STORE has another object at some/key, ...

    Raises:
        BatteryError: another object has that key, or the store does not answer or refuses.
    """
    if not store.put_new(key, data) and store.get(key) != data:
        raise BatteryError(
            f"the OBJECT_STORE has another object at {key}, which was left as it is: a second copy of this WAREHOUSE "
            "writes to the same store; keep one of the two, then start again"
        )


def put_object(store: ObjectStore, key: str, kind: str, writer: ObjectWriter) -> CommittedObject:
    """Store the rows of one kind as an object of a commit.

    Raises:
        BatteryError: another object has that key, or the store does not answer or refuses.
    """
    data = writer.finish()
    fault_point(Point.BEFORE_PUT)
    put_once(store, key, data)
    fault_point(Point.AFTER_PUT)
    return CommittedObject(key, kind, writer.rows, len(data), hashlib.sha256(data).hexdigest())


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """One span for each partition of a log: from the first offset to the last, with the rows of all.

    >>> joined([Span("log", 0, first=5, last=9, rows=50), Span("log", 0, first=10, last=12, rows=30)])
    (Span(topic_id='log', partition=0, first=5, last=12, rows=80),)
    """
    by_partition: dict[tuple[str, int], Span] = {}
    for span in spans:
        key = (span.topic_id, span.partition)
        so_far = by_partition.get(key, span)
        rows = span.rows + (so_far.rows if key in by_partition else 0)
        by_partition[key] = Span(*key, min(so_far.first, span.first), max(so_far.last, span.last), rows)
    return tuple(by_partition[key] for key in sorted(by_partition))


def _parts(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Parts in the order of the log, numbered, so that a merge knows the last one."""
    table = pa.Table.from_batches(batches, schema=schema)
    return table.append_column("part", pa.array(range(table.num_rows), pa.int64()))


def _progress(results: Sequence[Cleaned[States]]) -> pa.Table:
    """The offsets that the results cover, for each cell and partition."""
    table = pa.Table.from_batches([result.progress for result in results], schema=PROGRESS)
    covered = table.group_by(["cell_id", "topic_id", "partition"]).aggregate([("first", "min"), ("last", "max")])
    return covered.rename_columns({"first_min": "first", "last_max": "last"})
