"""What a lab has told of its cells: do the rows that landed agree with the messages of their topic? And their repair.

Each message up to the last one that landed has its row, once, as the message says. Brokers compact the topic, so a row
may outlive its message where a later one of its cell is there. A message without a value, which takes everything away,
goes by itself after a while.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from kernel.edges.cells_topic import broker_is_there, open_cells_topic, read_cells
from kernel.edges.kafka import NoBrokerError, NoTopicError
from kernel.edges.warehouse import transaction
from sink.care.verify import Check
from sink.cells.events import EVENT, event_rows, insert_events
from sink.layout import find_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kernel.base.settings import Settings
    from kernel.edges.kafka import Topic
    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()

REMEDY: Final = "any `battery replay` writes these rows again"
SHOWN: Final = 3
"""So many places are named; the rest is counted."""

_VIEWS: Final = (
    """create temp view reached as
    select log.*, coalesce(log."offset" <= ends.last, false) as is_landed
    from log left join (select "partition", max("offset") as last from own group by "partition") as ends
    using ("partition")""",
    """create temp view missing as
    select "partition", "offset", cell_id, 'it has not landed, though a later one has' as fault
    from reached anti join own using ("partition", "offset") where is_landed""",
    """create temp view repeated as
    select "partition", "offset", any_value(cell_id) as cell_id, 'it has landed ' || count(*) || ' times' as fault
    from own group by "partition", "offset" having count(*) > 1""",
    """create temp view altered as
    select
        "partition", "offset", log.cell_id,
        'its row has another ' || concat_ws(
            ', ',
            if(log.cell_id is distinct from own.cell_id, 'cell_id', null),
            if(log.changed_at is distinct from own.changed_at, 'changed_at', null),
            if(log.metadata is distinct from own.metadata, 'metadata', null),
            if(log.fault is distinct from own.fault, 'fault', null)
        ) as fault
    from log join own using ("partition", "offset")
    where (log.cell_id, log.changed_at, log.metadata, log.fault)
        is distinct from (own.cell_id, own.changed_at, own.metadata, own.fault)""",
    # The topic should have its message, which is neither before the oldest one nor replaced by a later one.
    """create temp view stray as
    select own."partition", own."offset", own.cell_id, 'its row has no message' as fault
    from own
    join (select "partition", min("offset") as first from log group by "partition") as begins
        on own."partition" = begins."partition" and own."offset" >= begins.first
    anti join log on own."partition" = log."partition" and own."offset" = log."offset"
    anti join log as later
        on own."partition" = later."partition" and own."offset" < later."offset" and own.cell_id = later.cell_id
    where own.metadata is distinct from '{}'""",
    "create temp view wrong as from missing union all from repeated union all from altered union all from stray",
    """create temp view outdated as
    select
        said."partition", said."offset", cell_id,
        'battery_cell_latest has ' || coalesce(latest.metadata, 'nothing') || ', it says ' || said.metadata as fault
    from (
        select
            cell_id, arg_max(metadata, "offset") as metadata, max("partition") as "partition",
            max("offset") as "offset"
        from reached where is_landed and fault is null group by cell_id
    ) as said
    left join latest using (cell_id)
    where latest.metadata is distinct from said.metadata""",
)


def cell_checks(settings: Settings, warehouse: Warehouse, *, live: bool) -> Iterator[Check]:
    """Reconcile the topic of cells with `battery_cell_events` and `battery_cell_latest`.

    Args:
        settings: where the topic is.
        warehouse: where the tables are.
        live: whether messages that have not landed yet are no fault.

    Raises:
        BatteryError: broker or warehouse cannot be read at all.
    """
    with warehouse.connect("verify the metadata of cells", read_only=True) as connection:
        landed, latest = _landed(connection)
    try:
        topic = open_cells_topic(settings)
    except NoTopicError:
        detail = f"{landed.num_rows} changes have landed; there is no topic {settings.cells_topic} to compare them with"
        yield Check("cell metadata", ok=True, detail=detail)
        return
    own = _of_topic(landed, topic)
    with _compared(own, _messages(settings, topic), latest) as connection:
        faults = connection.execute("from wrong order by all").fetchall()
        messages, waiting, cells = (
            _count(connection, sql)
            for sql in (
                "select count(*) from log",
                "select count(*) from reached where not is_landed",
                "select count(*) from latest",
            )
        )
        outdated = connection.execute("from outdated order by all").fetchall()
    detail = f"{messages} messages of {topic.name}, {own.num_rows} rows"
    if others := landed.num_rows - own.num_rows:
        detail += f" and {others} of earlier topics of that name, which are not compared"
    yield Check("cell metadata", ok=not faults, detail=detail + _told(faults))
    yield Check(
        "cell metadata, latest",
        ok=not outdated,
        detail=f"{cells} cells, {len(outdated)} are other than their last message says{_told(outdated)}",
    )
    yield Check(
        "cell metadata, lag",
        ok=live or not waiting,
        detail=f"{waiting} messages not landed yet{': `battery cells list` lands them' if waiting else ''}",
    )


def mend_cell_events(settings: Settings, warehouse: Warehouse) -> int:
    """Write the rows of the topic of cells again where they are other than its messages say.

    Messages that have not landed yet land, too. Rows whose messages the topic no longer has stay as they are. A broker
    that is away and a topic that does not exist are no fault.

    Returns:
        How many rows were wrong.

    Raises:
        BatteryError: the warehouse cannot be used, or the broker stopped answering.
    """
    if not broker_is_there(settings):
        return 0
    try:
        topic = open_cells_topic(settings)
    except (NoBrokerError, NoTopicError) as error:
        _log.debug("no metadata of cells to compare", reason=str(error))
        return 0
    log = _messages(settings, topic)
    with warehouse.connect("look for wrong metadata of cells", read_only=True) as connection:
        landed, latest = _landed(connection)
    with _compared(_of_topic(landed, topic), log, latest) as beside:
        wrong = beside.execute("from wrong").to_arrow_table()
    if not wrong.num_rows:
        return 0
    with warehouse.judge("mend the metadata of cells") as judge, transaction(judge):
        judge.execute(
            'delete from battery_cell_events where topic_id = ? and ("partition", "offset") in '
            "(select unnest(?::integer[]), unnest(?::bigint[]))",
            [topic.topic_id, wrong["partition"].to_pylist(), wrong["offset"].to_pylist()],
        )
        insert_events(judge, log)
    return int(wrong.num_rows)


def _landed(connection: duckdb.DuckDBPyConnection) -> tuple[pa.Table, pa.Table]:
    """The rows that landed, and the last one of each cell; none where their table has not been made yet."""
    if "battery_cell_events" not in find_tables(connection):
        return EVENT.empty_table(), EVENT.empty_table()
    return (
        connection.execute("from battery_cell_events").to_arrow_table(),
        connection.execute("from battery_cell_latest").to_arrow_table(),
    )


def _of_topic(landed: pa.Table, topic: Topic) -> pa.Table:
    return landed.filter(pc.equal(landed["topic_id"], topic.topic_id))


def _messages(settings: Settings, topic: Topic) -> pa.Table:
    """All messages of the topic, as the rows that they are to be."""
    return pa.Table.from_pylist([row for poll in read_cells(settings, topic, {}) for row in event_rows(poll)], EVENT)


@contextmanager
def _compared(own: pa.Table, log: pa.Table, latest: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the rows of the topic, its messages, and the views that compare them."""
    with duckdb.connect() as connection:
        for name, table in (("own", own), ("log", log), ("latest", latest)):
            connection.register(name, table)
        for view in _VIEWS:
            connection.execute(view.replace("create temp view", "create temp view"))
        yield connection


def _count(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0


def _told(faults: list[tuple[int, int, str, str]]) -> str:
    """What is wrong where, and what to do."""
    if not faults:
        return ""
    places = [f"partition {part}, offset {at}, cell {cell}: {fault}" for part, at, cell, fault in faults[:SHOWN]]
    more = [f"{len(faults) - SHOWN} more"] if len(faults) > SHOWN else []
    return f"; {'; '.join([*places, *more])}; {REMEDY}"
