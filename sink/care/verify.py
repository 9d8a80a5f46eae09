"""Verification: do topic, objects and warehouse agree?

Everything is counted again from its source: rows in the messages, rows in the Parquet objects, rows in the tables, and
the aggregates from the rows. Figures that the worker keeps about itself are not used.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from kernel.contract.batch import MOST_ROWS, decode_poll
from kernel.contract.weight import Limits
from kernel.edges.consumer import read_log
from kernel.edges.kafka import open_topic
from kernel.edges.warehouse import transaction
from sink.care.archive import Archive
from sink.care.comeback import COME_BACK, ComeBack
from sink.care.compare import content_of
from sink.care.recount import differing_cycles, differing_windows
from sink.claim import DamagedClaimError, read_claim
from sink.manifest import KINDS, SPREAD, read_manifest
from sink.parquet import DamagedObjectError
from sink.tables import require_tables
from sink.writers import pipeline_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

    from kernel.base.settings import Settings
    from kernel.contract.batch import Batch
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse


REFUSED: Final = """
select topic_id, "partition", "offset", sum(row_count) from battery_quarantine as refused
where not exists (
    from battery_ts_cleaned as landed
    where landed.kafka_partition = refused."partition" and landed.kafka_offset = refused."offset"
)
group by all having count(*) = 1 and min("row") = 0
    and any_value(reason) in ('undecodable', 'too_large', 'unknown_schema')"""
"""The messages that were refused as a whole, and how many rows each counted as."""


@dataclass(frozen=True)
class Check:
    """One thing that must agree: whether it does, and the figures."""

    name: str
    ok: bool
    detail: str


def verify(settings: Settings, store: ObjectStore, warehouse: Warehouse, *, live: bool = False) -> list[Check]:
    """Reconcile the topic with the objects and the tables.

    Args:
        settings: where the topic is.
        store: where the objects are.
        warehouse: where the tables are.
        live: whether producers and the worker go on meanwhile. Messages that have not landed yet are no fault then, and
            whether a message has landed is decided by the progress of its cell, since cells land at different times.

    Raises:
        BatteryError: broker, object store or warehouse cannot be read at all.
    """
    with warehouse.connect("verify", read_only=True) as connection, transaction(connection):
        require_tables(connection)
        checks = [_claim(connection, store), *landing_checks(connection, store)]
        spans = connection.execute(
            'select s.topic_id, s."partition", max(s."last"), sum(s."rows"), min(s."first") from '
            '(select distinct "commit", unnest(offsets) as s from internal._commits) group by all'
        ).fetchall()
        progress = connection.execute(
            'select cell_id, topic_id, "partition", "offset" from internal._progress'
        ).fetchall()
        refused = {(topic_id, part, at): rows for topic_id, part, at, rows in connection.execute(REFUSED).fetchall()}
        come_back = ComeBack(warehouse, connection.execute(COME_BACK).fetchall())
    reached = {(cell, topic_id, part): last for cell, topic_id, part, last in progress} if live else None
    return [*_log(settings, spans, reached, refused, come_back), *checks]


def landing_checks(connection: duckdb.DuckDBPyConnection, store: ObjectStore) -> list[Check]:
    """Reconcile the landing tables with their objects and with each other."""
    return [
        *_tables(connection),
        *_objects(connection, store),
        *_aggregates(connection),
        *_progress(connection),
    ]


def _claim(connection: duckdb.DuckDBPyConnection, store: ObjectStore) -> Check:
    """Whether store and warehouse belong to one pipeline."""
    ours = pipeline_id(connection)
    try:
        claim = read_claim(store)
    except DamagedClaimError as error:
        return Check("store", ok=False, detail=str(error))
    if claim is None:
        return Check("store", ok=True, detail="the OBJECT_STORE belongs to no pipeline yet: the next run claims it")
    if claim.pipeline != ours:
        return Check("store", ok=False, detail=f"it belongs to pipeline {claim.pipeline}, the WAREHOUSE to {ours}")
    return Check("store", ok=True, detail=f"it belongs to this pipeline, {ours}")


def _number(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0] or 0) if row else 0


def _log(
    settings: Settings,
    spans: list[tuple[str, int, int, int, int]],
    reached: Mapping[tuple[str, str, int], int] | None,
    refused: Mapping[tuple[str, int, int], int],
    come_back: ComeBack,
) -> Iterator[Check]:
    """Compare the rows of the messages with the rows that the commits account for.

    Args:
        settings: where the topic is.
        spans: for each topic id and partition the last offset, the rows and the first offset of its commits.
        reached: the last landed offset of each cell, topic id and partition while a worker is landing; else None.
        refused: the rows of each message that was refused as a whole, by topic id, partition and offset. They count as
            they were judged at that time, since limits and decoders may differ today.
        come_back: judges repeated readings again.
    """
    topic = open_topic(settings)
    landed_up_to = {
        part: (last, rows, first) for topic_id, part, last, rows, first in spans if topic_id == topic.topic_id
    }
    limits = Limits.of(settings)
    messages = rows_in = waiting = accounted = expired = 0
    for partition in topic.partitions:
        last, rows, first = landed_up_to.get(partition, (-1, 0, 0))
        accounted += rows
        oldest: int | None = None
        for poll in read_log(settings, topic, partition):
            oldest = poll.offsets[0] if oldest is None else oldest
            landed = poll[: bisect_right(poll.offsets, last)]
            waiting += len(poll) - len(landed)
            for decoded in decode_poll(landed, MOST_ROWS, limits) if landed else ():
                batch = decoded
                if reached is not None:
                    batch = _landed_by_cell(decoded, partition, reached)
                    waiting += len(decoded.offset) - len(batch.offset)
                messages += len(batch.offset)
                come_back.take(batch)
                for offset, rows_of_message in zip(batch.offset.tolist(), batch.rows.tolist(), strict=True):
                    rows_in += refused.get((topic.topic_id, partition, offset), rows_of_message)
        expired += last >= 0 and (oldest is None or oldest > first)
    if expired:
        yield Check(
            "log", ok=True, detail=f"{expired} partition(s) no longer reach back to the first commit: not counted"
        )
    else:
        yield Check(
            "log",
            ok=rows_in == accounted,
            detail=f"{rows_in} rows in {messages} messages of {topic.name}, {accounted} rows accounted for by commits",
        )
    come_back.finish()
    yield Check(
        "reasons",
        ok=come_back.misjudged == 0,
        detail=f"{come_back.rows} readings of the log came back after their test had gone on, of which "
        f"{come_back.misjudged} have another reason than what has landed says"
        f"{': `battery replay --from-beginning` judges them again' if come_back.misjudged else ''}",
    )
    yield Check(
        "lag",
        ok=waiting == 0 or reached is not None,
        detail=f"{waiting} messages not landed yet{': run `battery stream`' if waiting and reached is None else ''}",
    )


def _landed_by_cell(batch: Batch, partition: int, reached: Mapping[tuple[str, str, int], int]) -> Batch:
    """The messages up to the last one that landed of their cell."""
    last = np.array([reached.get((cell_id, batch.topic_id, partition), -1) for cell_id in batch.cell_ids])
    return batch.take(batch.offset <= last[batch.cell])


def _tables(connection: duckdb.DuckDBPyConnection) -> Iterator[Check]:
    landed = _number(connection, "select count(*) from battery_ts_cleaned")
    quarantined = _number(connection, "select sum(row_count) from battery_quarantine")
    rows_in = _number(
        connection,
        'select sum(s."rows") from (select distinct "commit", unnest(offsets) as s from internal._commits)',
    )
    yield Check(
        "conservation",
        ok=rows_in == landed + quarantined,
        detail=f"{rows_in} rows in = {landed} landed + {quarantined} quarantined",
    )
    twice = landed - _number(
        connection, "select count(*) from (select distinct cell_id, test_id, data_point from battery_ts_cleaned)"
    )
    yield Check("once", ok=twice == 0, detail=f"{twice} readings landed more than once")

    spread = _number(
        connection,
        f"select count(*) from ({SPREAD})",  # noqa: S608  # our own query
    )
    yield Check(
        "order",
        ok=True,
        detail=f"{spread} cells came over more than one partition of a log"
        + (": their readings have no order there, and a replay may differ" if spread else ""),
    )


def _objects(connection: duckdb.DuckDBPyConnection, store: ObjectStore) -> Iterator[Check]:
    """Compare every committed object with its checksum, and the rows of all objects with the tables."""
    committed = [expected for commit in read_manifest(connection).commits for expected in commit.objects]
    archive = Archive(store)
    wrong: list[str] = []
    sums = {kind: [0, 0] for kind in KINDS}
    for expected in committed:
        try:
            stored = archive.rows(expected)
        except DamagedObjectError as error:
            wrong.append(str(error))
            continue
        connection.register("stored", stored)
        count, content = content_of(connection, "stored")
        connection.unregister("stored")
        sums[expected.kind][0] += count
        sums[expected.kind][1] += content
    yield Check("objects", ok=not wrong, detail="; ".join(wrong[:3]) or f"{len(committed)} objects as committed")
    for kind, (count, content) in sums.items():
        table_count, table_content = content_of(connection, kind)
        yield Check(
            f"{kind} = its objects",
            ok=(count, content) == (table_count, table_content),
            detail=f"{table_count} rows in the table, {count} in the objects"
            + ("" if content == table_content else ", and their contents differ"),
        )
    ours = {epoch for (epoch,) in connection.execute("select epoch from internal._writers").fetchall()}
    named = {expected.key for expected in committed}
    left = [landed.key for landed in archive.stored if landed.key not in named and landed.epoch in ours]
    yield Check(
        "leftovers",
        ok=True,
        detail=f"{len(left)} objects of unfinished commits, or replaced by a replay or a compaction"
        + (": `battery sweep` removes them" if left else ""),
    )


def _aggregates(connection: duckdb.DuckDBPyConnection) -> Iterator[Check]:
    """Compare windows and cycles with the landed rows."""
    for name, table, differing in (
        ("windows", "internal._windows", differing_windows(connection)),
        ("cycles", "internal._cycles", differing_cycles(connection)),
    ):
        total = _number(connection, f"select count(*) from {table}")  # noqa: S608
        yield Check(name, ok=differing == 0, detail=f"{total} {name}, {differing} differ from their rows")


def _progress(connection: duckdb.DuckDBPyConnection) -> Iterator[Check]:
    """Compare the progress, from which a restart continues, with the commits."""
    differing = _number(
        connection,
        """
        with committed as (
            select s.topic_id, s."partition", max(s."last") as "offset"
            from (select distinct "commit", unnest(offsets) as s from internal._commits) group by all
        ),
        progress as (
            select topic_id, "partition", max("offset") as "offset" from internal._progress group by all
        )
        select count(*) from committed full join progress using (topic_id, "partition")
        where committed."offset" is distinct from progress."offset"
        """,
    )
    stateless = _number(
        connection,
        "select count(*) from (select distinct cell_id from internal._progress) "
        "full join internal._cell_state as kept using (cell_id) "
        "where kept.state is null or cell_id not in (select cell_id from internal._progress)",
    )
    yield Check(
        "progress",
        ok=differing == 0 and stateless == 0,
        detail=f"{differing} partitions differ from their commits, {stateless} cells are without progress or state",
    )
