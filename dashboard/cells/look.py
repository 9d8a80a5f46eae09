"""A look at what is told of the cells: what has landed, and what the topic has beyond that.

The look writes nothing, so it holds up nobody for longer than it reads. Where another process has the warehouse, the
topic alone tells: its brokers keep the last message of each cell, which says everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashboard.landing import with_short_wait
from kernel.base.errors import BatteryError
from kernel.contract.cell_metadata import from_json, read_message
from kernel.edges.cells_topic import broker_is_there, open_cells_topic, read_cells
from kernel.edges.warehouse import HeldError, open_warehouse
from sink.cells.events import known_metadata, landed_cells
from sink.layout import find_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel.base.settings import Settings
    from kernel.contract.cell_metadata import Value

_OFFSETS = 'select topic_id, "partition", max("offset") from battery_cell_events group by all'


@dataclass(frozen=True)
class CellsLook:
    """What is told of cells, which cells have readings that landed, and whether a broker takes changes.

    `held` says why the warehouse could not be looked at, or None.
    """

    told: Mapping[str, Mapping[str, Value]]
    landed: frozenset[str]
    has_broker: bool
    held: str | None = None


def look_at_cells(settings: Settings) -> CellsLook:
    """What is told now.

    Raises:
        BatteryError: the warehouse cannot be opened, or it is held by another process and no broker answers.
    """
    has_broker = broker_is_there(settings)
    file = settings.warehouse_address.file
    told: dict[str, dict[str, Value]] = {}
    landed: frozenset[str] = frozenset()
    offsets: dict[tuple[str, int], int] = {}
    held = None
    if file is None or file.exists():
        warehouse = open_warehouse(with_short_wait(settings))
        try:
            with warehouse.connect("look at the metadata of cells", read_only=True) as connection:
                if "battery_cell_events" in find_tables(connection):
                    told = known_metadata(connection)
                    rows = connection.execute(_OFFSETS).fetchall()
                    offsets = {(topic_id, partition): last for topic_id, partition, last in rows}
            landed = landed_cells(warehouse)
        except HeldError as error:
            if not has_broker:
                raise
            held = str(error)
    if has_broker:
        told |= _beyond(settings, offsets)
    return CellsLook(dict(sorted(told.items())), landed, has_broker, held)


def _beyond(settings: Settings, landed: Mapping[tuple[str, int], int]) -> dict[str, dict[str, Value]]:
    """What messages say that have not landed: the last one of each cell; nothing where there is no topic yet."""
    told: dict[str, dict[str, Value]] = {}
    try:
        topic = open_cells_topic(settings)
        places = {partition: landed[topic.topic_id, partition] for partition in topic.partitions
                  if (topic.topic_id, partition) in landed}  # fmt: skip
        for poll in read_cells(settings, topic, places):
            for key, headers, value in zip(poll.keys, poll.headers, poll.values, strict=True):
                received = read_message(key, value, headers)
                if received.metadata is not None:
                    told[received.cell_id] = from_json(received.metadata)
    except BatteryError:  # there is no such topic before somebody has told something
        return told
    return told
