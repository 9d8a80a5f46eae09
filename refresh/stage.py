"""The stage: dbt at work on models that readers do not see yet, each of its runs on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from kernel.base.errors import BatteryError
from refresh.audit import announce, record
from refresh.dbt import BUILDING, dbt, require_project
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse
    from refresh.dbt import DbtRun

_log = structlog.get_logger()


def stage_models(settings: Settings, warehouse: Warehouse, command: Sequence[str], lock: int) -> DbtRun:
    """Run a dbt command where the pipeline builds, and put it on record.

    Args:
        settings: what dbt is told.
        warehouse: where it builds.
        command: dbt's subcommand and its options.
        lock: what `lock_models` lends, so that no other run comes between this one and what follows it.

    Raises:
        BatteryError: something that dbt needs is missing, such as landing tables, or the command would build models of
            only a part of the readings: then no run is on record. Or dbt failed; names the models and tests that did.
    """
    require_project(settings)
    if part := next((word for word in command if word.partition("=")[0] in {"--empty", "--sample"}), None):
        raise BatteryError(f"{part} would build models of only a part of the readings, which may be published")
    with warehouse.connect("look for the landing tables", read_only=True) as connection:
        require_tables(connection)  # dbt would make an empty file and fail at length
    run = announce(warehouse, command)
    done = dbt(settings, command, BUILDING, lock, run)
    try:
        record(warehouse, run, done)
    except BatteryError as error:
        if done.failure is None:
            raise
        _log.warning("how the failed dbt run ended is not on record", error=str(error))
    if done.failure:
        raise BatteryError(done.failure)
    return done
