"""The audit: every dbt run is on record, and readers get what was built only after all of its tests have passed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import duckdb

from kernel.base.errors import BatteryError
from kernel.edges.warehouse import transaction
from refresh.dbt import BUILT
from sink.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kernel.edges.warehouse import Warehouse
    from refresh.dbt import DbtRun

KEPT_DAYS: Final = 90
"""How long a run stays on record."""

SCAN: Final = "battery_test_versions"
"""The model with which a refresh begins: it scans the readings, and all others follow it."""


def announce(warehouse: Warehouse, command: Sequence[str]) -> str:
    """Put a dbt run on record in `_dbt_runs` before it begins, so that one that is killed is known of.

    Each model that it builds is added by the transaction that builds it (dbt_project/macros/record.sql).
    Runs of more than KEPT_DAYS ago are forgotten.

    Returns:
        The run's id.

    Raises:
        BatteryError: the warehouse cannot be used.
    """
    run, now = uuid4().hex, datetime.now(UTC).replace(tzinfo=None)
    with _recorded(warehouse) as connection:
        create_tables(connection)
        connection.execute(
            "insert into _dbt_runs values (?, ?, null, ?, 'it was ended in the middle', false, false, [], [])",
            [run, now, " ".join(command)],
        )
        connection.execute(
            f"delete from _dbt_runs where started_at < ?::timestamp - interval {KEPT_DAYS} days",  # noqa: S608
            [now],
        )
    return run


def record(warehouse: Warehouse, run: str, done: DbtRun) -> None:
    """Put on record how an announced run has ended.

    Raises:
        BatteryError: the warehouse cannot be used; the run stays on record as one that was ended in the middle.
    """
    results = [asdict(result) | {"kind": result.kind} for result in done.results]
    with _recorded(warehouse) as connection:
        connection.execute(
            "update _dbt_runs set seconds = $seconds, failure = $failure, built = built or $built, audited = $audited, "
            "models = $models, results = if(len($results) = 0, results, $results) where run = $run",
            {
                "seconds": done.seconds,
                "failure": done.failure,
                "built": done.built,
                "audited": done.audited,
                "models": list(done.models),
                "results": results,
                "run": run,
            },
        )


@contextmanager
def _recorded(warehouse: Warehouse) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        with warehouse.connect("record a dbt run") as connection, transaction(connection):
            yield connection
    except duckdb.Error as error:
        raise BatteryError(f"a dbt run could not be put on record: {str(error).splitlines()[0]}") from error


def audited_models(connection: duckdb.DuckDBPyConnection) -> tuple[str, ...]:
    """Names of the models and seeds that may be published.

    Raises:
        BatteryError: they have failed a test, were not tested whole since they were built, or were not all built since
            the readings were last scanned; says what is to be done.
    """
    runs = connection.execute(
        "select command, failure, built, audited, models, results from _dbt_runs order by started_at"
    ).fetchall()
    audit = max((place for place, (_, _, _, audited, _, _) in enumerate(runs) if audited), default=None)
    for command, failure, built, _, _, results in runs[0 if audit is None else audit + 1 :][::-1]:
        if built or _has_failed_test(results):
            why = failure or f"not all tests have passed since `dbt {command}`; run `battery transform -- test`"
            raise BatteryError(f"the models are not published, readers keep those before: {why}")
    if audit is None:
        raise BatteryError("no models have been built for publication yet; run `battery transform`")
    models: list[str] = runs[audit][4]
    missing = sorted(set(models) - _built_since_the_scan([results for *_, results in runs[: audit + 1]]))
    if missing:
        raise BatteryError(
            f"the models are not published, readers keep those before: {missing[0]} was not built since the readings "
            "were last scanned; run `battery transform`"
        )
    return tuple(models)


def _has_failed_test(results: Sequence[dict[str, Any]]) -> bool:
    return any("test" in result["kind"] and result["status"] in {"fail", "error"} for result in results)


def _built_since_the_scan(runs: Sequence[Sequence[dict[str, Any]]]) -> set[str]:
    """Names of the models that were built by the newest run that scanned the readings, and by those after it."""
    found: set[str] = set()
    for results in reversed(runs):
        built = {
            result["node"].rpartition(".")[2]
            for result in results
            if result["kind"] in BUILT and result["status"] == "success"
        }
        found |= built
        if SCAN in built:
            break
    return found
