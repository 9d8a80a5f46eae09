"""The stage: dbt at work on models that readers do not see yet, each of its runs on record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from battery.errors import BatteryError
from battery.transform import BUILDING, dbt
from sink.audit import record
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery.settings import Settings
    from battery.transform import DbtRun
    from sink.warehouse import Warehouse

_log = structlog.get_logger()


def stage_models(settings: Settings, warehouse: Warehouse, command: Sequence[str]) -> DbtRun:
    """Run a dbt command where the pipeline builds, and put it on record.

    Raises:
        BatteryError: there are no landing tables yet, or dbt failed; names the models and tests that did.
    """
    with warehouse.connect("look for the landing tables", read_only=True) as connection:
        require_tables(connection)  # dbt would make an empty file and fail at length
    run = dbt(settings, command, BUILDING)
    try:
        record(warehouse, run)
    except BatteryError as error:
        if run.failure is None:
            raise
        _log.warning("the failed dbt run is not on record", error=str(error))
    if run.failure:
        raise BatteryError(run.failure)
    return run
