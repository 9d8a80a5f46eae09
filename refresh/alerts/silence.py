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

    from kernel.base.settings import Settings
    from refresh.alerts.found import Alert

PATIENCE_SECONDS: Final = 20.0
"""How long to wait for a warehouse that another process has, in s."""

_ARRIVED: Final = """
    select cell_id, test_id, max(streamed_at) from battery_ts
    where cell_id in (select unnest($cells)) group by cell_id, test_id
"""


def still_silent(settings: Settings, stopped: Sequence[Alert]) -> tuple[list[Alert], str | None]:
    """Those of the tests that look stopped by the published tables and are silent indeed.

    The tables are as old as the last publication, and the landing is as old as the last commit. So a test counts as
    stopped only if none of its readings has landed since, and if what has landed reaches up to now: no message waits in
    the topic, or a message has landed that was published after the test's time was up (`Alert.due_at`).

    Args:
        settings: of the pipeline.
        stopped: the tests, as alerts.

    Returns:
        Those that are silent; and why nothing can be told of the others, None where there is no such reason.
    """
    if not stopped:
        return [], None
    try:
        overview = look_at_overview(settings)
        (newest,) = overview.tables["counts"]["streamed_at"].to_pylist()
        state = status(settings, overview)
        warehouse = open_warehouse(settings.model_copy(update={"warehouse_lock_timeout_seconds": PATIENCE_SECONDS}))
        with warehouse.connect("look for the last readings of tests", read_only=True) as connection:
            cells = sorted({alert.cell_id for alert in stopped})
            arrived = {(cell, test): at for cell, test, at in connection.execute(_ARRIVED, {"cells": cells}).fetchall()}
    except (BatteryError, duckdb.Error) as error:
        return [], str(error).partition("\n")[0]
    if state.lag is None:
        return [], state.broker
    silent = [alert for alert in stopped if arrived.get((alert.cell_id, alert.test_id or "")) == alert.last_arrived_at]
    if state.lag == 0:
        return silent, None
    # Messages are waiting, so the worker may be behind: what has landed last must be younger than the time that was up.
    sure = [alert for alert in silent if newest is not None and alert.due_at is not None and newest >= alert.due_at]
    return sure, None if len(sure) == len(silent) else f"{state.lag} messages wait to land"
