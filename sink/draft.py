"""A commit in the making: results are gathered, encoded as they come, and stored as objects that nothing names yet."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from kernel.base.errors import BatteryError
from kernel.base.faults import Point, fault_point
from kernel.contract.reading import LANDED, QUARANTINED, REPEATED, RETRIED
from kernel.contract.results import CYCLE_PART, PROGRESS, WINDOW_PART, Span
from sink.encode import ObjectWriter
from sink.manifest import LANDED_KIND, QUARANTINE_KIND, RETRIED_KIND, Commit, CommittedObject, object_key
from sink.repeats import judge, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kernel.contract.results import Cleaned, States
    from kernel.edges.objects import ObjectStore

_STATES: Final = pa.schema([("cell_id", pa.string()), ("state", pa.string())])


@dataclass(frozen=True)
class Stored:
    """A commit whose objects are in the store, and the rows for the warehouse; `started` is by the monotonic clock.

    The states of its cells are not among them: they are written out while those rows land.
    """

    commit: Commit
    staged: Mapping[str, pa.Table]
    started: float


class Draft:
    """One commit of a lane while its results gather, in log order.

    `look_up` finds the landed rows of some keys, as `sink.repeats` has them.
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
        """Gather a result."""
        self._results.append(result)
        self._landed.add([result.landed])

    def store(self) -> Stored:
        """Put the objects into the store; those commits of the lane have landed that come before.

        Raises:
            BatteryError: the store failed, or the warehouse, which is asked what readings that come back were.
        """
        results = self._results
        landed = pa.Table.from_batches([result.landed for result in results], schema=LANDED)
        tables = {
            LANDED_KIND: landed,
            QUARANTINE_KIND: pa.concat_tables(
                [
                    pa.Table.from_batches([result.quarantined for result in results], schema=QUARANTINED),
                    self._repeats(landed),
                ]
            ),
            RETRIED_KIND: pa.Table.from_batches([result.retried for result in results], schema=RETRIED),
        }
        writers = {LANDED_KIND: self._landed}
        for kind in (QUARANTINE_KIND, RETRIED_KIND):
            writers[kind] = ObjectWriter(tables[kind].schema, self._name)
            writers[kind].add(tables[kind].to_batches())
        objects = tuple(
            put_object(self._store, object_key(kind, self._lane, self._epoch, self._seq), kind, writer)
            for kind, writer in writers.items()
            if writer.rows
        )
        spans = joined(span for result in results for span in result.spans)
        return Stored(
            Commit(self._name, self._epoch, self._lane, self._seq, spans, objects),
            {
                "staged_landed": tables[LANDED_KIND],
                "staged_quarantined": tables[QUARANTINE_KIND],
                "staged_retried": tables[RETRIED_KIND],
                "staged_windows": _parts([result.windows for result in results], WINDOW_PART),
                "staged_cycles": _parts([result.cycles for result in results], CYCLE_PART),
                "staged_progress": _progress(results),
            },
            self._started,
        )

    def _repeats(self, landed: pa.Table) -> pa.Table:
        """The rows of the quarantine that readings become which have come back."""
        repeated = pa.Table.from_batches([result.repeated for result in self._results], schema=REPEATED)
        if repeated.num_rows == 0:
            return QUARANTINED.empty_table()
        return judge(repeated, self._look_up(keys_of(repeated)), landed)

    def states(self) -> pa.Table:
        """The state of each cell after the last of the results that has it, as it is kept."""
        latest: dict[str, int] = {}
        for number, result in enumerate(self._results):
            latest |= dict.fromkeys(result.states.cell_ids, number)
        cell_ids: list[str] = []
        texts: list[bytes] = []
        for number, result in enumerate(self._results):
            of = result.states.cell_ids
            places = [place for place, cell_id in enumerate(of) if latest[cell_id] == number]
            cell_ids += [of[place] for place in places]
            texts += result.states.texts(np.array(places, dtype=np.int64))
        return pa.Table.from_arrays(
            [pa.array(cell_ids, pa.string()), pa.array(texts, pa.binary()).cast(pa.string())], schema=_STATES
        )


def commit_id(epoch: int, lane: int, seq: int) -> str:
    """The id of a commit: the epoch of whoever wrote its objects, its lane and its number there."""
    return f"{epoch:06d}-{lane:02d}-{seq:012d}"


def put_once(store: ObjectStore, key: str, data: bytes) -> None:
    """Store an object that no other one may have the key of; one that has arrived although its answer was lost stays.

    Raises:
        BatteryError: another object is there, or the store does not answer or refuses.
    """
    if not store.put_new(key, data) and store.get(key) != data:
        raise BatteryError(
            f"the OBJECT_STORE has another object at {key}, which was left as it is: a second copy of this WAREHOUSE "
            "writes to the same store; keep one of the two, then start again"
        )


def put_object(store: ObjectStore, key: str, kind: str, writer: ObjectWriter) -> CommittedObject:
    """Store the rows of one kind as an object of a commit.

    Raises:
        BatteryError: the store does not answer or refuses.
    """
    data = writer.finish()
    fault_point(Point.BEFORE_PUT)
    put_once(store, key, data)
    fault_point(Point.AFTER_PUT)
    return CommittedObject(key, kind, writer.rows, len(data), hashlib.sha256(data).hexdigest())


def joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    """One span a partition of a log: from the first offset to the last, with the rows of all."""
    found: dict[tuple[str, int], Span] = {}
    for span in spans:
        key = (span.topic_id, span.partition)
        so_far = found.get(key, span)
        rows = span.rows + (so_far.rows if key in found else 0)
        found[key] = Span(*key, min(so_far.first, span.first), max(so_far.last, span.last), rows)
    return tuple(found[key] for key in sorted(found))


def _parts(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Parts in log order, numbered, so that the last one is known."""
    table = pa.Table.from_batches(batches, schema=schema)
    return table.append_column("part", pa.array(range(table.num_rows), pa.int64()))


def _progress(results: Sequence[Cleaned[States]]) -> pa.Table:
    """What the results cover of their logs, for each cell and partition."""
    table = pa.Table.from_batches([result.progress for result in results], schema=PROGRESS)
    covered = table.group_by(["cell_id", "topic_id", "partition"]).aggregate([("first", "min"), ("last", "max")])
    return covered.rename_columns({"first_min": "first", "last_max": "last"})
