"""The audit: every dbt run is recorded, and models are published only after all of their tests have passed."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import duckdb

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import transaction
from refresh.dbt import BUILT
from refresh.host_models import landing_of
from sink.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernel.edges.warehouse import Judge, Warehouse
    from refresh.dbt import DbtRun

KEPT_DAYS: Final = 90
"""How many days the record of a run is kept."""

_FORGET: Final = f"delete from internal._dbt_runs where started_at < cast(? as timestamp) - interval '{KEPT_DAYS} days'"  # noqa: S608

_REPORT_START: Final = """
    insert into internal._dbt_runs (run, started_at, command, failure, built, audited, models, results)
    values (?, ?, ?, 'it was ended in the middle', false, false, '{}', '[]')
"""
_REPORT_END: Final = """
    update internal._dbt_runs
    set seconds = ?, failure = ?, built = ?, audited = ?, models = ?, results = cast(? as jsonb)
    where run = ?
"""
"""What a warehouse that holds no models keeps of a run, for the status on any host: what is published is decided by the
record beside the models."""

SCAN: Final = "battery_test_versions"
"""The model that a refresh builds first: it scans the readings, and all other models depend on it."""


def start_run(warehouse: Warehouse, command: Sequence[str]) -> str:
    """Record a dbt run in `_dbt_runs` before it starts, so that a killed run is on record, too.

    The transaction that builds a model adds it to the record (dbt_project/macros/record.sql). Runs of more than
    KEPT_DAYS ago are deleted.

    Returns:
        The run's id.

    Raises:
        BatteryError: the warehouse cannot be used.
    """
    run_id, now = uuid4().hex, datetime.now(UTC).replace(tzinfo=None)
    with _recorded(warehouse) as connection:
        if landing_of(warehouse) is warehouse:
            create_tables(connection)
        connection.execute(
            "insert into internal._dbt_runs values (?, ?, null, ?, 'it was ended in the middle', false, false, [], [])",
            [run_id, now, " ".join(command)],
        )
        connection.execute(_FORGET, [now])
    if landing_of(warehouse) is not warehouse:
        with _reported(landing_of(warehouse)) as judge:
            judge.execute(_REPORT_START, [run_id, now, " ".join(command)])
            judge.execute(_FORGET, [now])
    return run_id


def finish_run(warehouse: Warehouse, run_id: str, run: DbtRun) -> None:
    """Record how a run has ended that `start_run` has recorded.

    Raises:
        BatteryError: the warehouse cannot be used; the record says that the run was ended in the middle.
    """
    results = [asdict(result) | {"kind": result.kind} for result in run.results]
    with _recorded(warehouse) as connection:
        connection.execute(
            "update internal._dbt_runs set seconds = $seconds, failure = $failure, built = built or $built, "
            "audited = $audited, models = $models, results = if(len($results) = 0, results, $results) where run = $run",
            {
                "seconds": run.seconds,
                "failure": run.failure,
                "built": run.built,
                "audited": run.audited,
                "models": list(run.models),
                "results": results,
                "run": run_id,
            },
        )
    if landing_of(warehouse) is not warehouse:
        with _reported(landing_of(warehouse)) as judge:
            judge.execute(
                _REPORT_END,
                [run.seconds, run.failure, run.built, run.audited, list(run.models), json.dumps(results), run_id],
            )


@contextmanager
def _recorded(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        with warehouse.connect("record a dbt run") as connection, transaction(connection):
            yield connection
    except duckdb.Error as error:
        raise BatteryError(f"a dbt run could not be recorded: {str(error).splitlines()[0]}") from error


@contextmanager
def _reported(landing: Warehouse) -> Iterator[Judge]:
    try:
        with landing.judge("record a dbt run") as judge, transaction(judge):
            yield judge
    except duckdb.Error as error:
        raise BatteryError(f"a dbt run could not be recorded: {str(error).splitlines()[0]}") from error


def audited_models(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Names of the models and seeds that may be published.

    Raises:
        BatteryError: the models have failed a test, have not all been tested since they were built, or have not all
            been built since the readings were last scanned; the message says what to do.
    """
    try:
        runs = connection.execute(
            "select command, failure, built, audited, models, results from internal._dbt_runs order by started_at"
        ).fetchall()
    except duckdb.CatalogException:
        runs = []  # the file of a host in which dbt has not run yet
    last_audit = max((number for number, (_, _, _, audited, _, _) in enumerate(runs) if audited), default=None)
    for command, failure, built, _, _, results in runs[0 if last_audit is None else last_audit + 1 :][::-1]:
        if built or _has_failed_test(results):
            reason = failure or f"not all tests have passed since `dbt {command}`; run `battery transform -- test`"
            raise BatteryError(f"the models are not published, readers keep those before: {reason}")
    if last_audit is None:
        raise BatteryError("no models have been built for publication yet; run `battery transform`")
    models: list[str] = runs[last_audit][4]
    missing = sorted(set(models) - _built_since_the_scan([results for *_, results in runs[: last_audit + 1]]))
    if missing:
        raise BatteryError(
            f"the models are not published, readers keep those before: {missing[0]} was not built since the readings "
            "were last scanned; run `battery transform`"
        )
    return tuple(models)


def _has_failed_test(results: Sequence[dict[str, Any]]) -> bool:
    return any("test" in result["kind"] and result["status"] in {"fail", "error"} for result in results)


def _built_since_the_scan(runs: Sequence[Sequence[dict[str, Any]]]) -> set[str]:
    """Names of the models that were built by the newest run that scanned the readings, or by a later one."""
    models: set[str] = set()
    for results in reversed(runs):
        built = {
            result["node"].rpartition(".")[2]
            for result in results
            if result["kind"] in BUILT and result["status"] == "success"
        }
        models |= built
        if SCAN in built:
            break
    return models
