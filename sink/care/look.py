"""What the warehouse says at one moment, so that a verification need not hold it while objects are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sink.care.comeback import COME_BACK
from sink.care.compare import content_of
from sink.care.pieces import are_views
from sink.manifest import KINDS, LANDED_KIND, Manifest, read_manifest
from sink.tables import require_tables
from sink.writers import pipeline_id

if TYPE_CHECKING:
    import duckdb

REFUSED: Final = """
select topic_id, "partition", "offset", sum(row_count) from battery_quarantine as refused
where not exists (
    from battery_ts_cleaned as landed
    where landed.kafka_partition = refused."partition" and landed.kafka_offset = refused."offset"
)
group by all having count(*) = 1 and min("row") = 0
    and any_value(reason) in ('undecodable', 'too_large', 'unknown_schema')"""
"""The messages that were refused as a whole, and how many rows each counted as."""

_SPANS: Final = 'select distinct "commit", unnest(offsets) as s from internal._commits'

_DIFFERING: Final = f"""
with committed as (
    select s.topic_id, s."partition", max(s."last") as "offset" from ({_SPANS}) group by all
),
progress as (
    select topic_id, "partition", max("offset") as "offset" from internal._progress group by all
)
select count(*) from committed full join progress using (topic_id, "partition")
where committed."offset" is distinct from progress."offset"
"""  # noqa: S608  # our own query

_STATELESS: Final = """
select count(*) from (select distinct cell_id from internal._progress)
full join internal._cell_state as kept using (cell_id)
where kept.state is null or cell_id not in (select cell_id from internal._progress)
"""


@dataclass(frozen=True)
class Look:
    """What the warehouse says at one moment.

    `contents` holds row count and checksum of each table whose rows are in objects, too; that of the landed rows is
    missing where the objects are the table. `epochs` are those of all writers. `spans` has, for each topic id and
    partition, the last offset, the rows and the first offset of its commits. `differing` partitions have another
    progress than their commits, and `stateless` cells are without progress or state.
    """

    pipeline: str | None
    manifest: Manifest
    contents: dict[str, tuple[int, int]]
    quarantined: int
    epochs: frozenset[int]
    spans: list[tuple[str, int, int, int, int]]
    differing: int
    stateless: int

    @property
    def rows_in(self) -> int:
        """The rows that the commits account for."""
        return sum(rows for _, _, _, rows, _ in self.spans)


@dataclass(frozen=True)
class LogLook:
    """What a comparison with the log needs besides: progress of each cell, refused messages, repeated readings."""

    progress: list[tuple[str, str, int, int]]
    refused: dict[tuple[str, int, int], int]
    repeated: list[tuple[str, int, int, int, int, str]]


def take_look(connection: duckdb.DuckDBPyConnection) -> Look:
    """Look at the warehouse.

    Args:
        connection: in a transaction.

    Raises:
        BatteryError: the warehouse has no landing tables, or those of another release.
    """
    require_tables(connection)
    own = [kind for kind in KINDS if not (kind == LANDED_KIND and are_views(connection))]
    return Look(
        pipeline_id(connection),
        read_manifest(connection),
        {kind: content_of(connection, kind) for kind in own},
        _number(connection, "select sum(row_count) from battery_quarantine"),
        frozenset(epoch for (epoch,) in connection.execute("select epoch from internal._writers").fetchall()),
        connection.execute(
            f'select s.topic_id, s."partition", max(s."last"), sum(s."rows"), min(s."first") from ({_SPANS}) '  # noqa: S608
            "group by all"
        ).fetchall(),
        _number(connection, _DIFFERING),
        _number(connection, _STATELESS),
    )


def take_log_look(connection: duckdb.DuckDBPyConnection, *, live: bool) -> LogLook:
    """Look at what a comparison with the log needs, in the same transaction; without `live` it needs no progress."""
    progress = 'select cell_id, topic_id, "partition", "offset" from internal._progress'
    return LogLook(
        connection.execute(progress).fetchall() if live else [],
        {(topic_id, part, at): rows for topic_id, part, at, rows in connection.execute(REFUSED).fetchall()},
        connection.execute(COME_BACK).fetchall(),
    )


def _number(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0] or 0) if row else 0
