"""The commit protocol: objects first, then ONE warehouse transaction. The commit is that transaction.

The warehouse is the judge of what has landed. Rows, aggregates, progress and the state of each cell's fold change
together or not at all; whatever dies in between leaves at most an object that no commit names.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
import tenacity

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
_OBJECT_KEY: Final = re.compile(
    rf"^(?:{LANDED_KIND}|{QUARANTINE_KIND})/lane=(?P<lane>\d+)/(?P<epoch>\d+)-(?P<seq>\d+)\.parquet$"
)

COMMIT_ATTEMPTS: Final = 5
"""How often one commit is tried while the warehouse fails."""

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


@dataclass(frozen=True)
class _Stored:
    """An object of a commit, by the parts of its key."""

    key: str
    lane: int
    epoch: int
    seq: int


class Landing:
    """The landing tables and objects of one pipeline, as one run of it writes them."""

    def __init__(self, store: ObjectStore, warehouse: Warehouse, window_seconds: int) -> None:
        self._store = store
        self._warehouse = warehouse
        self._window_seconds = window_seconds
        self._epoch = 0
        self._orphans: list[str] = []
        self._one_at_a_time = threading.Lock()

    def begin(self) -> Standing:
        """Take a new writer epoch, which ends every older run, and learn where things stand.

        Epochs also exceed those of all objects in the store, so that a new warehouse over an old store overwrites
        nothing. Objects of unfinished commits are found here and removed once this run has committed: by then it is
        certain that this is the warehouse the store belongs to.

        Raises:
            BatteryError: store or warehouse cannot be used.
        """
        stored = [
            _Stored(found.key, int(named["lane"]), int(named["epoch"]), int(named["seq"]))
            for kind in (LANDED_KIND, QUARANTINE_KIND)
            for found in self._store.list(f"{kind}/")
            if (named := _OBJECT_KEY.match(found.key))
        ]
        try:
            with self._warehouse.connect("begin a run") as connection, transaction(connection):
                create_tables(connection)
                ours = {int(epoch) for (epoch,) in connection.execute("select epoch from _writers").fetchall()}
                self._epoch = max([0, *ours, *(found.epoch for found in stored)]) + 1
                self._sign(connection)
                named_keys = {key for (key,) in connection.execute("select object_key from _commits").fetchall()}
                states = dict(connection.execute("select cell_id, state from _cell_state").fetchall())
                progress = connection.execute(
                    'select topic_id, "partition", max("offset") from _progress group by topic_id, "partition"'
                ).fetchall()
                seqs = dict(connection.execute("select lane, max(seq) + 1 from _commits group by lane").fetchall())
        except duckdb.Error as error:
            raise BatteryError(f"cannot begin a run: {str(error).splitlines()[0]}; start it again") from error
        self._orphans = _orphans([found for found in stored if found.key not in named_keys], ours, seqs)
        _log.info("began a run", writer_epoch=self._epoch, cells=len(states), orphans=len(self._orphans))
        return Standing(self._epoch, states, {(topic, part): last for topic, part, last in progress}, seqs)

    def _sign(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Enter this run among the pipeline's writers and supersede the run before.

        A commit changes the very value that is changed here, so of a commit and a take-over at the same moment the
        warehouse lets only one happen, also where transactions run side by side.
        """
        before = connection.execute(
            "select pipeline, window_seconds, epoch from _writers order by epoch desc limit 1"
        ).fetchone()
        if before is not None and before[1] != self._window_seconds:
            raise BatteryError(
                f"WINDOW_SECONDS={self._window_seconds}, but the windows in the warehouse are {before[1]} s wide; "
                "set it back, or rebuild the tables in a new WAREHOUSE with a new RECOVERY_DIR"
            )
        if before is not None:
            connection.execute(
                "update _writers set changes = changes + 1, superseded_by = ? where epoch = ?", [self._epoch, before[2]]
            )
        connection.execute(
            "insert into _writers values (?, ?, ?, ?, 0, null)",
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
        self._land_once(commit_id, staged)
        _log.info(
            "committed",
            commit=commit_id,
            rows=landed.num_rows,
            quarantined=sum(span.rows for span in spans) - landed.num_rows,
            offsets=" ".join(f"{span.partition}:{span.first}-{span.last}" for span in spans),
            seconds=round(time.monotonic() - started, 3),
        )

    def _land_once(self, commit_id: str, staged: Mapping[str, pa.Table]) -> None:
        """Run the transaction until it has happened; what an unfinished commit left behind goes after it."""
        retry = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(duckdb.Error),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=5),
            stop=tenacity.stop_after_attempt(COMMIT_ATTEMPTS),
            reraise=True,
        )
        try:
            with self._one_at_a_time:
                for attempt in retry:
                    with attempt:
                        # A connection may break after the COMMIT was sent: only the warehouse knows how that ended.
                        if attempt.retry_state.attempt_number == 1 or not self._has_landed(commit_id):
                            with self._warehouse.connect("commit") as connection:
                                self._land(connection, staged)
                for key in self._orphans:
                    self._store.delete(key)
                self._orphans = []
        except duckdb.Error as error:
            raise BatteryError(
                f"commit {commit_id} failed {COMMIT_ATTEMPTS} times: {str(error).splitlines()[0]}"
            ) from error

    def _land(self, connection: duckdb.DuckDBPyConnection, staged: Mapping[str, pa.Table]) -> None:
        for name, table in staged.items():
            connection.register(name, table)
        with transaction(connection):
            # Not with RETURNING: beside a key, DuckDB does not see such updates in conflict.
            changed = connection.execute(
                "update _writers set changes = changes + 1 where epoch = ? and superseded_by is null", [self._epoch]
            ).fetchone()
            if changed != (1,):
                newest = connection.execute("select max(epoch) from _writers").fetchone()
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


def _orphans(unnamed: Sequence[_Stored], ours: set[int], next_seq: Mapping[int, int]) -> list[str]:
    """Of the objects that no commit names, those that an unfinished commit of this pipeline left behind.

    A lane commits one after the other, so nothing of it can lie beyond its next commit. What does was committed to
    another warehouse, of which this may be an older copy: then nothing is certain, and nothing an orphan.
    """
    beyond = [
        found
        for found in unnamed
        if found.epoch > max(ours, default=0) or (found.epoch in ours and found.seq > next_seq.get(found.lane, 1))
    ]
    if beyond and ours:
        _log.warning(
            "the store holds objects of commits that the warehouse does not know, is it an older copy? Nothing is "
            "removed",
            objects=len(beyond),
            first=beyond[0].key,
        )
    return [] if beyond else [found.key for found in unnamed if found.epoch in ours]


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
