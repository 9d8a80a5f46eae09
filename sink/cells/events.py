"""Landing what a lab knows of its cells: the messages of its topic become rows of `battery_cell_events`, exactly once.

The table is read for the offset up to which the topic has landed, and what follows is added in one transaction. A
message has one row, whoever lands it and however often: its place in the log is the key.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa
import structlog

from kernel.base.errors import BatteryError
from kernel.contract.cell_metadata import from_landed, read_message
from kernel.edges.cells_topic import broker_is_there, open_cells_topic, read_cells
from kernel.edges.kafka import NoBrokerError, NoTopicError
from kernel.edges.warehouse import PostgresSession, transaction
from sink.layout import find_tables
from sink.postgres.texts import escape
from sink.tables import CREATE_CELL_EVENTS, create_tables, quoted

if TYPE_CHECKING:
    from kernel.base.settings import Settings
    from kernel.contract.cell_metadata import Value
    from kernel.contract.poll import Poll
    from kernel.edges.kafka import Topic
    from kernel.edges.warehouse import Judge, Warehouse

_log = structlog.get_logger()

EVENT: Final = pa.schema(
    [
        pa.field("topic_id", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("cell_id", pa.string(), nullable=False),
        pa.field("changed_at", pa.timestamp("us"), nullable=False),
        pa.field("metadata", pa.string()),
        pa.field("fault", pa.string()),
    ]
)
"""A row of `battery_cell_events`."""

_INSERT: Final = """
insert into battery_cell_events
select * from staged_events as new
where not exists (
    from battery_cell_events as old
    where old.topic_id = new.topic_id and old."partition" = new."partition" and old."offset" = new."offset"
)"""

_LANDED: Final = 'select "partition", max("offset") from battery_cell_events where topic_id = ? group by "partition"'


_FAULTS_LOGGED: Final = 10
"""Of how many messages that cannot be read the log says why; the table has all."""


def create_cell_tables(connection: Judge) -> None:
    """Create the table of events and its view where they are missing.

    In a warehouse with landing tables all of these are brought up to date, so that its watermark knows the events. One
    without stays without: the worker makes them.
    """
    if isinstance(connection, PostgresSession) or "_writers" in find_tables(connection):
        with transaction(connection):
            create_tables(connection)
        return
    for statement in CREATE_CELL_EVENTS:
        connection.execute(statement)


def land_cell_events(settings: Settings, warehouse: Warehouse, topic: Topic | None = None) -> int:
    """Land the messages of the topic of cells that have not landed yet.

    Args:
        settings: where the broker is.
        warehouse: where they land; it is held for two short moments.
        topic: as `open_cells_topic` returns it; found where it is not given.

    Returns:
        How many messages have landed.

    Raises:
        BatteryError: there is no broker or no such topic, or the warehouse cannot be used.
    """
    topic = topic or open_cells_topic(settings)
    with warehouse.judge("look how far the metadata of cells has landed") as connection:
        create_cell_tables(connection)
        landed = dict(connection.execute(_LANDED, [topic.topic_id]).fetchall())
    events = pa.Table.from_pylist(
        [row for poll in read_cells(settings, topic, landed) for row in event_rows(poll)], schema=EVENT
    )
    if not events.num_rows:
        return 0
    try:
        with warehouse.judge("land the metadata of cells") as judge, transaction(judge):
            inserted = insert_events(judge, events)
    except duckdb.Error as error:
        raise BatteryError(f"the metadata of cells cannot land: {str(error).splitlines()[0]}") from error
    faults = events["fault"].drop_null().to_pylist()
    for fault in faults[:_FAULTS_LOGGED]:
        _log.warning("a message about a cell counts for nothing", topic=topic.name, reason=fault)
    if len(faults) > _FAULTS_LOGGED:
        _log.warning(
            "more messages about cells count for nothing; `battery cells refused` lists all",
            topic=topic.name, messages=len(faults) - _FAULTS_LOGGED,
        )  # fmt: skip
    return inserted


def insert_events(judge: Judge, events: pa.Table) -> int:
    """Add the rows of messages that have not landed, in the caller's transaction; how many those were."""
    if isinstance(judge, PostgresSession):
        columns = ", ".join(map(quoted, EVENT.names))
        judge.execute(
            f"create temporary table staged_events on commit drop as select {columns} "  # noqa: S608  # our own names
            "from battery_cell_events limit 0"
        )
        judge.copy(f"staged_events ({columns})", escape(events))
        inserted = judge.execute(
            f"insert into battery_cell_events ({columns}) select * from staged_events "  # noqa: S608
            'order by topic_id, "partition", "offset" on conflict do nothing'
        ).fetchone()
    else:
        judge.register("staged_events", events)
        inserted = judge.execute(_INSERT).fetchone()
        judge.unregister("staged_events")
    return int(inserted[0]) if inserted else 0


def land_where_possible(settings: Settings, warehouse: Warehouse) -> None:
    """As `land_cell_events`, but a broker that is away and a topic that does not exist are no fault.

    What has landed stays as it is, and the next call lands the rest.
    """
    if not broker_is_there(settings):
        return
    try:
        landed = land_cell_events(settings, warehouse)
    except (NoBrokerError, NoTopicError) as error:
        _log.debug("no metadata of cells to land", reason=str(error))
        return
    except BatteryError as error:
        _log.warning("what is new of cells has not landed; the next refresh tries again", reason=str(error))
        return
    if landed:
        _log.info("metadata of cells landed", messages=landed)


def known_metadata(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Value]]:
    """What is known of each cell, by cell, in the order of their ids; nothing where no message has landed."""
    if "battery_cell_latest" not in find_tables(connection):
        return {}
    rows = connection.execute("select cell_id, metadata from battery_cell_latest order by cell_id").fetchall()
    return {cell_id: from_landed(metadata) for cell_id, metadata in rows}


def landed_cells(warehouse: Warehouse) -> frozenset[str]:
    """The cells of which messages with readings have landed."""
    with warehouse.connect("look which cells have landed", read_only=True) as connection:
        if "_progress" not in find_tables(connection):
            return frozenset()
        return frozenset(cell for (cell,) in connection.execute("select distinct cell_id from _progress").fetchall())


def event_rows(poll: Poll) -> list[dict[str, object]]:
    """The rows of some messages: one each, whatever it holds."""
    rows: list[dict[str, object]] = []
    for offset, stamp_ms, key, headers, value in zip(
        poll.offsets, poll.timestamps_ms, poll.keys, poll.headers, poll.values, strict=True
    ):
        received = read_message(key, value, headers)
        rows.append(
            {
                "topic_id": poll.topic_id,
                "partition": poll.partition,
                "offset": offset,
                "cell_id": received.cell_id,
                "changed_at": _moment(stamp_ms),
                "metadata": received.metadata,
                "fault": received.fault,
            }
        )
    return rows


_LATEST_MS: Final = 7_258_118_400_000


def _moment(stamp_ms: int) -> datetime:
    """A time stamp as UTC; 1970 where it is none."""
    usable = stamp_ms if 0 <= stamp_ms <= _LATEST_MS else 0
    return datetime.fromtimestamp(usable / 1000, UTC).replace(tzinfo=None)
