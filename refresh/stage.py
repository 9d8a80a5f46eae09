"""The stage: dbt builds and tests models that readers do not see yet, and each of its runs is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from kernel.base.errors import BatteryError
from refresh.audit import finish_run, start_run
from refresh.dbt import BUILDING, dbt
from refresh.project import require_project
from refresh.unit_tests import must_run_unit_tests, remember_unit_tests
from sink.care.overview import renew_overview
from sink.cells.events import land_where_possible
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse
    from refresh.dbt import DbtRun, Runner

_log = structlog.get_logger()


def stage_models(
    settings: Settings, warehouse: Warehouse, command: Sequence[str], lock: int, runner: Runner | None = None
) -> DbtRun:
    """Run a dbt command in the schema where the pipeline builds, and record it.

    Unit tests are left out if they have passed with the same code (`refresh.unit_tests`). What the lab has said of its
    cells lands before, as far as the topic is there.

    Args:
        settings: as dbt gets them.
        warehouse: where dbt builds.
        command: dbt's subcommand and its options.
        lock: the file descriptor that `lock_models` yields: no other run may come between this one and the next step.
        runner: what runs dbt; by default a process of its own.

    Raises:
        BatteryError: dbt failed; the message names the models and tests that did. Or dbt was not started and no run is
            recorded: something is missing, such as landing tables, or the command would build models of only a part of
            the readings.
    """
    require_project(settings)
    if part := next((word for word in command if word.partition("=")[0] in {"--empty", "--sample"}), None):
        raise BatteryError(f"{part} would build models of only a part of the readings, which may be published")
    with warehouse.connect("look for the landing tables", read_only=True) as connection:
        require_tables(connection)  # dbt would make an empty file and fail with a long message
    land_where_possible(settings, warehouse)
    run_id = start_run(warehouse, command)
    renew_overview(settings)  # which says that it runs, while dbt has the warehouse
    unit_tests = must_run_unit_tests(settings, command)
    run = dbt(settings, command, BUILDING, lock, run_id, unit_tests=unit_tests, runner=runner)
    remember_unit_tests(settings, run)
    try:
        finish_run(warehouse, run_id, run)
    except BatteryError as error:
        if run.failure is None:
            raise
        _log.warning("could not record how the failed dbt run ended", error=str(error))
    renew_overview(settings)
    if run.failure:
        raise BatteryError(run.failure)
    return run
