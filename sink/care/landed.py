"""How far the landing has come, for each cell and partition; a producer skips what has landed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import structlog

from kernel.base.errors import BatteryError
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kernel.edges.warehouse import Warehouse

_log = structlog.get_logger()


def landed_offsets(warehouse: Warehouse) -> Mapping[tuple[str, str, int], int]:
    """The offset of the last message that has landed, or was quarantined, by cell, topic id and partition.

    It is empty if the warehouse cannot be read, so that the caller takes nothing to have landed.
    """
    try:
        with warehouse.connect("see what has landed", read_only=True) as connection:
            require_tables(connection)
            rows = connection.execute(
                'select cell_id, topic_id, "partition", "offset" from internal._progress'
            ).fetchall()
    except (BatteryError, duckdb.Error) as error:
        reason = str(error).splitlines()[0]
        _log.warning("cannot tell what has landed, so it is published again", reason=reason)
        return {}
    return {(cell_id, topic_id, partition): offset for cell_id, topic_id, partition, offset in rows}
