"""How what is known of a cell came to be: its changes, as they landed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.contract.cell_metadata import from_landed
from sink.cells.change import CellChange
from sink.layout import find_tables
from sink.postgres.views import ARRIVALS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import duckdb

    from kernel.contract.cell_metadata import Value
    from kernel.edges.warehouse import Warehouse

_REFUSED: Final = """
    select changed_at, cell_id, "partition", "offset", fault from {events} where fault is not null
    order by max(rowid) over (partition by topic_id), topic_id, "partition", "offset"
"""

_EVENTS: Final = """
    select changed_at, metadata
    from (
        select *, max(rowid) over (partition by topic_id) as landed from {events} where fault is null
    )
    where cell_id = ? order by landed, topic_id, "partition", "offset"
"""


@dataclass(frozen=True)
class RefusedMessage:
    """A message about a cell that counts for nothing: when it came (UTC), whose it says to be, where it is, and why."""

    at: datetime
    cell_id: str
    partition: int
    offset: int
    fault: str

    def __str__(self) -> str:
        """One line for a person."""
        return (
            f"{self.at:%Y-%m-%d %H:%M:%S} UTC  {self.cell_id or '(no cell)'}  partition {self.partition}, "
            f"offset {self.offset}: {self.fault}"
        )


def read_refused(warehouse: Warehouse) -> list[RefusedMessage]:
    """The messages that have landed and count for nothing, the oldest first.

    Raises:
        BatteryError: the warehouse cannot be opened.
    """
    with warehouse.connect("look for messages that count for nothing", read_only=True) as connection:
        events = _events(connection)
        if events is None:
            return []
        return [RefusedMessage(*row) for row in connection.execute(_REFUSED.format(events=events)).fetchall()]


def _events(connection: duckdb.DuckDBPyConnection) -> str | None:
    """Where the messages are, with the order of their landing as `rowid`; None before there are any."""
    places = find_tables(connection)
    if "battery_cell_events" not in places:
        return None
    return ARRIVALS if ARRIVALS.rpartition(".")[2] in places else "battery_cell_events"


def read_history(warehouse: Warehouse, cell_id: str) -> list[tuple[datetime, CellChange]]:
    """The changes of a cell, the oldest first, each with the broker's time stamp (UTC).

    A topic that was compacted before a warehouse was built anew gives no more than the last one.

    Raises:
        BatteryError: the warehouse cannot be opened.
    """
    with warehouse.connect("read the history of a cell", read_only=True) as connection:
        events = _events(connection)
        if events is None:
            return []
        rows = connection.execute(_EVENTS.format(events=events), [cell_id]).fetchall()
    history: list[tuple[datetime, CellChange]] = []
    before: Mapping[str, Value] = {}
    for at, text in rows:
        after = from_landed(text)
        if after != before:
            history.append((at, CellChange(cell_id, before, after)))
        before = after
    return history
