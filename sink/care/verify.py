"""Verification: do topic, objects and warehouse agree?

Everything is counted again from its source: rows in the messages, rows in the Parquet objects, rows in the tables, and
the aggregates from the rows. Figures that the worker keeps about itself are not used.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from kernel.contract.batch import MOST_ROWS, decode_poll
from kernel.contract.weight import Limits
from kernel.edges.consumer import read_log
from kernel.edges.kafka import open_topic
from kernel.edges.warehouse import LostRowsError, transaction
from sink.care.comeback import ComeBack
from sink.care.contents import read_contents
from sink.care.look import take_log_look, take_look
from sink.care.pieces import bounded, recount_all
from sink.claim import DamagedClaimError, read_claim
from sink.manifest import LANDED_KIND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

    from kernel.base.settings import Settings
    from kernel.contract.batch import Batch
    from kernel.edges.objects import ObjectStore
    from kernel.edges.warehouse import Warehouse
    from sink.care.contents import Contents
    from sink.care.look import LogLook, Look
    from sink.care.pieces import Lender
    from sink.care.recount import Recount

_NOT_COUNTED: Final = "not counted, since objects that hold the rows are not as committed"


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
    look, log_look = _look(warehouse, live=live)
    return [
        *_log_checks(settings, warehouse, look, log_look, live=live),
        _claim(look, store),
        *_landing_checks(warehouse, store, look),
    ]


def _look(warehouse: Warehouse, *, live: bool) -> tuple[Look, LogLook | None]:
    """Look at the warehouse, and at what a comparison with the log needs; None where rows for that are lost."""
    try:
        with warehouse.connect("verify", read_only=True) as connection, bounded(connection), transaction(connection):
            return take_look(connection), take_log_look(connection, live=live)
    except LostRowsError:
        with warehouse.connect("verify", read_only=True) as connection, bounded(connection), transaction(connection):
            return take_look(connection), None


def _log_checks(
    settings: Settings, warehouse: Warehouse, look: Look, log_look: LogLook | None, *, live: bool
) -> Iterator[Check]:
    if log_look is None:
        yield from (Check(name, ok=False, detail=_NOT_COUNTED) for name in ("log", "reasons", "lag"))
        return
    come_back = ComeBack(warehouse, log_look.repeated)
    reached = {(cell, topic_id, part): last for cell, topic_id, part, last in log_look.progress} if live else None
    yield from _log(settings, look.spans, reached, log_look.refused, come_back)


def landing_checks(connection: duckdb.DuckDBPyConnection, store: ObjectStore) -> list[Check]:
    """Reconcile landing tables that nobody else waits for with their objects and with each other."""
    return _landing_checks(_Held(connection), store, lets_in=False)


class _Held:
    """A warehouse that the caller has opened already."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    @contextmanager
    def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:  # noqa: ARG002
        """Lend the connection."""
        yield self._connection


def _landing_checks(
    warehouse: Lender, store: ObjectStore, look: Look | None = None, *, lets_in: bool = True
) -> list[Check]:
    """Reconcile the landing tables with their objects and with each other.

    Args:
        warehouse: where the tables are.
        store: where the objects are.
        look: what the warehouse said before, if somebody has looked.
        lets_in: whether others may wait for the warehouse.
    """

    def look_at() -> Look:
        with warehouse.connect("verify", read_only=True) as connection, bounded(connection), transaction(connection):
            return take_look(connection)

    look, contents = read_contents(store, look_at, look or look_at())
    is_readable = LANDED_KIND in look.contents or not contents.wrong
    counted = recount_all(warehouse, lets_in=lets_in) if is_readable else None
    return [*_tables(look, contents, counted), *_objects(look, contents), *_aggregates(counted), _progress(look)]


def _claim(look: Look, store: ObjectStore) -> Check:
    """Whether store and warehouse belong to one pipeline."""
    try:
        claim = read_claim(store)
    except DamagedClaimError as error:
        return Check("store", ok=False, detail=str(error))
    if claim is None:
        return Check("store", ok=True, detail="the OBJECT_STORE belongs to no pipeline yet: the next run claims it")
    if claim.pipeline != look.pipeline:
        return Check(
            "store", ok=False, detail=f"it belongs to pipeline {claim.pipeline}, the WAREHOUSE to {look.pipeline}"
        )
    return Check("store", ok=True, detail=f"it belongs to this pipeline, {look.pipeline}")


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
        ok=come_back.is_complete and come_back.misjudged == 0,
        detail=_NOT_COUNTED
        if not come_back.is_complete
        else f"{come_back.rows} readings of the log came back after their test had gone on, of which "
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


def _tables(look: Look, contents: Contents, counted: Recount | None) -> Iterator[Check]:
    landed, _ = look.contents.get(LANDED_KIND, contents.sums[LANDED_KIND])
    yield Check(
        "conservation",
        ok=look.rows_in == landed + look.quarantined,
        detail=f"{look.rows_in} rows in = {landed} landed + {look.quarantined} quarantined",
    )
    if counted is None:
        yield Check("once", ok=False, detail=_NOT_COUNTED)
    else:
        yield Check("once", ok=counted.repeated == 0, detail=f"{counted.repeated} readings landed more than once")
    spread = len(look.manifest.spread)
    yield Check(
        "order",
        ok=True,
        detail=f"{spread} cells came over more than one partition of a log"
        + (": their readings have no order there, and a replay may differ" if spread else ""),
    )


def _objects(look: Look, contents: Contents) -> Iterator[Check]:
    """Compare every committed object with its checksum, and the rows of all objects with the tables."""
    wrong = contents.wrong
    yield Check("objects", ok=not wrong, detail="; ".join(wrong[:3]) or f"{contents.objects} objects as committed")
    for kind, (count, content) in contents.sums.items():
        if kind not in look.contents:
            yield Check(
                f"{kind} = its objects", ok=not wrong, detail=f"{count} rows in the objects, which are the table"
            )
            continue
        table_count, table_content = look.contents[kind]
        yield Check(
            f"{kind} = its objects",
            ok=(count, content) == (table_count, table_content),
            detail=f"{table_count} rows in the table, {count} in the objects"
            + ("" if content == table_content else ", and their contents differ"),
        )
    left = len(contents.leftovers)
    yield Check(
        "leftovers",
        ok=True,
        detail=f"{left} objects of unfinished commits, or replaced by a replay or a compaction"
        + (": `battery sweep` removes them" if left else ""),
    )


def _aggregates(counted: Recount | None) -> Iterator[Check]:
    """Compare windows and cycles with the landed rows."""
    if counted is None:
        yield from (Check(name, ok=False, detail=_NOT_COUNTED) for name in ("windows", "cycles"))
        return
    for name, total, differing in (
        ("windows", counted.windows, counted.differing_windows),
        ("cycles", counted.cycles, counted.differing_cycles),
    ):
        yield Check(name, ok=differing == 0, detail=f"{total} {name}, {differing} differ from their rows")


def _progress(look: Look) -> Check:
    """Compare the progress, from which a restart continues, with the commits."""
    return Check(
        "progress",
        ok=look.differing == 0 and look.stateless == 0,
        detail=f"{look.differing} partitions differ from their commits, {look.stateless} cells are without progress or "
        "state",
    )
