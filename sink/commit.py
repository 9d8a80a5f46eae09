"""The commit protocol: objects first, then ONE warehouse transaction. The commit is that transaction.

The warehouse is the judge of what has landed. Rows, aggregates, progress and the state of each cell's fold change
together or not at all; whatever dies in between leaves at most an object that no commit names.
"""

from __future__ import annotations

import hashlib
import io
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from battery.cleaned import CYCLE_PART, WINDOW_PART, Span
from battery.errors import BatteryError
from battery.reading import LANDED, QUARANTINED
from sink.tables import FILL, REPEATED, create_tables
from sink.warehouse import transaction

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from battery.cleaned import Cleaned, State
    from battery.objects import ObjectStore
    from sink.warehouse import Warehouse

_log = structlog.get_logger()

LANDED_KIND: Final = "battery_ts_cleaned"
QUARANTINE_KIND: Final = "battery_quarantine"
_OBJECT_KEY: Final = re.compile(rf"^(?:{LANDED_KIND}|{QUARANTINE_KIND})/lane=\d+/(?P<epoch>\d+)-(?P<seq>\d+)\.parquet$")

_PROGRESS: Final = pa.schema(
    [
        ("cell_id", pa.string()),
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("first", pa.int64()),
        ("last", pa.int64()),
    ]
)
_STATES: Final = pa.schema([("cell_id", pa.string()), ("state", pa.string())])
_SPAN: Final = pa.struct(
    [
        ("topic_id", pa.string()),
        ("partition", pa.int32()),
        ("first", pa.int64()),
        ("last", pa.int64()),
        ("rows", pa.int64()),
    ]
)
_COMMITS: Final = pa.schema(
    [
        ("commit", pa.string()),
        ("lane", pa.int32()),
        ("seq", pa.int64()),
        ("writer_epoch", pa.int64()),
        ("object_key", pa.string()),
        ("kind", pa.string()),
        ("rows", pa.int64()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("offsets", pa.list_(_SPAN)),
        ("committed_at", pa.timestamp("us")),
    ]
)


class SupersededError(BatteryError):
    """Another run of the pipeline has taken over the warehouse; this one must end."""


@dataclass(frozen=True)
class Standing:
    """What had landed when a run began.

    `states` are the cells' states as JSON; `committed` the last committed offset of each (topic id, partition).
    """

    epoch: int
    states: Mapping[str, str]
    committed: Mapping[tuple[str, int], int]
    next_seq: Mapping[int, int]


class Landing:
    """The landing tables and objects of one pipeline, as one run of it writes them."""

    def __init__(self, store: ObjectStore, warehouse: Warehouse, window_seconds: int) -> None:
        self._store = store
        self._warehouse = warehouse
        self._window_seconds = window_seconds
        self._epoch = 0

    def begin(self) -> Standing:
        """Take a new writer epoch, which ends every older run, and learn where things stand.

        Epochs also exceed those of all objects in the store, so that a new warehouse over an old store overwrites
        nothing. Objects of this pipeline that no commit names are removed.

        Raises:
            BatteryError: store or warehouse cannot be used.
        """
        stored = {}
        for kind in (LANDED_KIND, QUARANTINE_KIND):
            for found in self._store.list(f"{kind}/"):
                named = _OBJECT_KEY.match(found.key)
                if named:
                    stored[found.key] = int(named["epoch"])
        with self._warehouse.connect("begin a run") as connection, transaction(connection):
            create_tables(connection)
            ours = {int(epoch) for (epoch,) in connection.execute("select epoch from _writers").fetchall()}
            self._epoch = max([0, *ours, *stored.values()]) + 1
            self._sign(connection)
            named_keys = {key for (key,) in connection.execute("select object_key from _commits").fetchall()}
            states = dict(connection.execute("select cell_id, state from _cell_state").fetchall())
            progress = connection.execute(
                'select topic_id, "partition", max("offset") from _progress group by topic_id, "partition"'
            ).fetchall()
            seqs = connection.execute("select lane, max(seq) + 1 from _commits group by lane").fetchall()
        orphans = [key for key, epoch in stored.items() if key not in named_keys and epoch in ours]
        for key in orphans:
            self._store.delete(key)
        foreign = sum(epoch not in ours for epoch in stored.values())
        _log.info(
            "began a run", writer_epoch=self._epoch, cells=len(states), orphans_removed=len(orphans), foreign=foreign
        )
        return Standing(self._epoch, states, {(topic, part): last for topic, part, last in progress}, dict(seqs))

    def _sign(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Enter this run among the pipeline's writers."""
        before = connection.execute("select pipeline, window_seconds from _writers order by epoch desc").fetchone()
        if before is not None and before[1] != self._window_seconds:
            raise BatteryError(
                f"WINDOW_SECONDS={self._window_seconds}, but the windows in the warehouse are {before[1]} s wide; "
                "set it back, or rebuild the tables in a new WAREHOUSE with a new RECOVERY_DIR"
            )
        connection.execute(
            "insert into _writers values (?, ?, ?, ?)",
            [before[0] if before else uuid4().hex, self._epoch, self._window_seconds, _now()],
        )

    def commit(self, lane: int, seq: int, results: Sequence[Cleaned[State]]) -> None:
        """Land results of one lane, in log order, exactly once.

        Raises:
            SupersededError: a newer run has begun.
            BatteryError: store or warehouse failed; nothing has landed and the run may be started again.
        """
        started = time.monotonic()
        landed = pa.Table.from_batches([result.landed for result in results], schema=LANDED)
        quarantined = pa.Table.from_batches([result.quarantined for result in results], schema=QUARANTINED)
        spans = _joined([span for result in results for span in result.spans])
        commit_id = f"{self._epoch:06d}-{lane:02d}-{seq:012d}"
        objects = []
        for kind, table in ((LANDED_KIND, landed), (QUARANTINE_KIND, quarantined)):
            if table.num_rows:
                data = _parquet(table, commit_id)
                key = f"{kind}/lane={lane:02d}/{self._epoch:06d}-{seq:012d}.parquet"
                self._store.put(key, data)
                objects.append(
                    {
                        "commit": commit_id,
                        "lane": lane,
                        "seq": seq,
                        "writer_epoch": self._epoch,
                        "object_key": key,
                        "kind": kind,
                        "rows": table.num_rows,
                        "bytes": len(data),
                        "sha256": hashlib.sha256(data).hexdigest(),
                        "offsets": [vars(span) for span in spans],
                        "committed_at": _now(),
                    }
                )
        staged = {
            "staged_landed": landed,
            "staged_quarantined": quarantined,
            "staged_windows": _parts([result.windows for result in results], WINDOW_PART),
            "staged_cycles": _parts([result.cycles for result in results], CYCLE_PART),
            "staged_progress": _progress(results),
            "staged_states": pa.Table.from_pylist(
                [
                    {"cell_id": cell_id, "state": state.to_json()}
                    for cell_id, state in {result.cell_id: result.state for result in results}.items()
                ],
                schema=_STATES,
            ),
            "staged_commits": pa.Table.from_pylist(objects, schema=_COMMITS),
        }
        try:
            with self._warehouse.connect("commit") as connection:
                self._land(connection, staged)
        except duckdb.Error as error:
            # A connection may break after the COMMIT was sent: only the warehouse knows how that ended.
            if not self._has_landed(commit_id):
                raise BatteryError(f"commit {commit_id} failed: {str(error).splitlines()[0]}") from error
        _log.info(
            "committed",
            commit=commit_id,
            rows=landed.num_rows,
            quarantined=sum(span.rows for span in spans) - landed.num_rows,
            offsets=" ".join(f"{span.partition}:{span.first}-{span.last}" for span in spans),
            seconds=round(time.monotonic() - started, 3),
        )

    def _land(self, connection: duckdb.DuckDBPyConnection, staged: Mapping[str, pa.Table]) -> None:
        for name, table in staged.items():
            connection.register(name, table)
        with transaction(connection):
            newest = connection.execute("select max(epoch) from _writers").fetchone()
            if newest is None or newest[0] != self._epoch:
                raise SupersededError(
                    f"this run (writer epoch {self._epoch}) was superseded by run {newest[0] if newest else None}: "
                    "only one pipeline may write a warehouse; stop the other one, or this one"
                )
            repeated = connection.execute(REPEATED).fetchone()
            if repeated is None or repeated[0]:
                raise BatteryError(
                    "refused to land messages a second time: the worker's state is behind the warehouse; start it again"
                )
            for statement in FILL:
                connection.execute(statement)

    def _has_landed(self, commit_id: str) -> bool:
        with self._warehouse.connect("look up a commit") as connection:
            found = connection.execute('select count(*) from _commits where "commit" = ?', [commit_id]).fetchone()
        return found is not None and found[0] > 0


def _parquet(table: pa.Table, commit_id: str) -> bytes:
    buffer = io.BytesIO()
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    table = table.replace_schema_metadata({"battery.commit": commit_id})
    pq.write_table(table, buffer, compression="zstd", use_dictionary=texts)
    return buffer.getvalue()


def _parts(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pa.Table:
    """Parts in log order, numbered, so that the last one is known."""
    table = pa.Table.from_batches(batches, schema=schema)
    return table.append_column("part", pa.array(range(table.num_rows), pa.int64()))


def _progress(results: Sequence[Cleaned[State]]) -> pa.Table:
    cells: dict[tuple[str, str, int], tuple[int, int]] = {}
    for result in results:
        for span in result.spans:
            key = (result.cell_id, span.topic_id, span.partition)
            first, _ = cells.get(key, (span.first, span.last))
            cells[key] = (first, span.last)
    rows = [
        {"cell_id": cell, "topic_id": topic, "partition": part, "first": first, "last": last}
        for (cell, topic, part), (first, last) in cells.items()
    ]
    return pa.Table.from_pylist(rows, schema=_PROGRESS)


def _joined(spans: Sequence[Span]) -> list[Span]:
    """One span a partition."""
    found: dict[tuple[str, int], Span] = {}
    for span in spans:
        key = (span.topic_id, span.partition)
        so_far = found.get(key, span)
        rows = span.rows + (so_far.rows if key in found else 0)
        found[key] = Span(*key, min(so_far.first, span.first), max(so_far.last, span.last), rows)
    return [found[key] for key in sorted(found)]


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
