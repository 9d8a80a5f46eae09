"""Whether a live test is silent, or only the pipeline: what waits to land, or to be published, is no silence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import open_warehouse
from refresh.status import status
from sink.care.overview import look_at_overview

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from kernel.base.settings import Settings
    from refresh.alerts.found import Alert

PATIENCE_SECONDS: Final = 20.0
"""How long to wait for a warehouse that another process has, in s."""

_ARRIVED: Final = """
    select cell_id, test_id, max(streamed_at), arg_max(kafka_partition, streamed_at) from battery_ts
    where cell_id in (select unnest($cells)) group by cell_id, test_id
"""

_NEWEST: Final = "select kafka_partition, max(streamed_at) from battery_ts group by kafka_partition"


def still_silent(settings: Settings, stopped: Sequence[Alert]) -> tuple[list[Alert], str | None]:
    """Those of the tests that look stopped by the published tables and are silent indeed.

    The tables are as old as the last publication, and the landing is as old as the last commit. So a test counts as
    stopped only if none of its readings has landed since, and if the landing of its partition reaches far enough: no
    message waits there, or one has landed that was published after the test's time was up (`Alert.due_at`).

    Args:
        settings: of the pipeline.
        stopped: the tests, as alerts.

    Returns:
        Those that are silent; and why nothing can be told of the others, None where there is no such reason.
    """
    if not stopped:
        return [], None
    try:
        state = status(settings, look_at_overview(settings))
        warehouse = open_warehouse(settings.model_copy(update={"warehouse_lock_timeout_seconds": PATIENCE_SECONDS}))
        with warehouse.connect("look for the last readings of tests", read_only=True) as connection:
            cells = sorted({alert.cell_id for alert in stopped})
            arrived = {row[:2]: row[2:] for row in connection.execute(_ARRIVED, {"cells": cells}).fetchall()}
            newest: dict[int, datetime] = dict(connection.execute(_NEWEST).fetchall()) if state.lag else {}
    except (BatteryError, duckdb.Error) as error:
        return [], str(error).partition("\n")[0]
    if state.lag is None:
        return [], state.broker
    behind = {part.partition for part in state.partitions if part.lag}
    silent, unsure = [], 0
    for alert in stopped:
        at, partition = arrived.get((alert.cell_id, alert.test_id), (None, None))
        if at != alert.last_arrived_at or alert.due_at is None:
            continue
        if partition in behind and newest[partition] < alert.due_at:
            unsure += 1
        else:
            silent.append(alert)
    return silent, f"{state.lag} messages wait to land" if unsure else None
