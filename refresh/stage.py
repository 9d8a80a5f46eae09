"""The stage: dbt builds and tests models that readers do not see yet, and each of its runs is recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from kernel.base.errors import BatteryError
from refresh.audit import finish_run, start_run
from refresh.dbt import BUILDING, dbt
from refresh.definitions import MARKS
from refresh.host_models import landing_of, take_landing
from refresh.project import code_of, model_names, require_project
from refresh.unit_tests import must_run_unit_tests, remember_unit_tests
from sink.care.overview import renew_overview
from sink.cells.events import land_where_possible
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb

    from kernel.base.settings import Settings
    from kernel.edges.warehouse import Warehouse
    from refresh.dbt import DbtRun, Runner

_log = structlog.get_logger()


_BUILDS: Final = frozenset({"build", "run"})
"""The commands of dbt that build models."""

_TESTS: Final = "test"
"""The command of dbt that compares what was built with the landing that it was built from."""


def stage_models(
    settings: Settings, warehouse: Warehouse, command: Sequence[str], lock: int, runner: Runner | None = None
) -> DbtRun:
    """Run a dbt command in the schema where the pipeline builds, and record it.

    Unit tests are left out if they have passed with the same code (`refresh.unit_tests`). What the lab has said of its
    cells lands before, as far as the topic is there.

    Args:
        settings: as dbt gets them.
        warehouse: where dbt builds, from `open_models`.
        command: dbt's subcommand and its options.
        lock: the file descriptor that `lock_models` yields: no other run may come between this one and the next step.
        runner: what runs dbt; by default a process of its own.

    Raises:
        BatteryError: dbt failed; the message names the models and tests that did. Or dbt was not started and no run is
            recorded: something is missing, such as landing tables, or the command would build models of only a part of
            the readings.
    """
    project = require_project(settings)
    if part := next((word for word in command if word.partition("=")[0] in {"--empty", "--sample"}), None):
        raise BatteryError(f"{part} would build models of only a part of the readings, which may be published")
    landing = landing_of(warehouse)
    with landing.connect("look for the landing tables", read_only=True) as connection:
        require_tables(connection)  # dbt would make an empty file and fail with a long message
    with warehouse.connect("look at the models", read_only=True) as connection:
        has_other_code = _has_other_code(connection, code_of(project, settings))
    land_where_possible(settings, landing)
    if command[0] != _TESTS:
        take_landing(warehouse)
    run_id = start_run(warehouse, command)
    renew_overview(settings)  # which says that it runs, while dbt has the warehouse
    unit_tests = must_run_unit_tests(settings, command)
    if has_other_code and command[0] in _BUILDS and not {"-f", "--full-refresh"} & {*command}:
        # All of it would be built again in any case, but not where a model has other columns than its table.
        command = (*command, "--full-refresh")
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


def _has_other_code(connection: duckdb.DuckDBPyConnection, code: str) -> bool:
    """Whether any model was built by another code than this one, such as that of an earlier release."""
    marks = connection.execute(
        "select count(*) from duckdb_columns() where database_name = current_database() and schema_name = ? "
        "and table_name = ? and column_name = 'code'",
        [BUILDING, MARKS],
    ).fetchone()
    if marks == (0,):
        return False
    other = connection.execute(
        f"select count(*) from {BUILDING}.{MARKS} where code <> '' and code <> ? "  # noqa: S608
        "and model in (select unnest(?::varchar[]))",  # an earlier release may have had more
        [code, sorted(model_names())],
    ).fetchone()
    return other != (0,)
