"""The audit: every dbt run is on record, and what is built is shown to readers only after all of its tests passed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from battery.errors import BatteryError
from sink.tables import create_tables
from sink.warehouse import transaction

if TYPE_CHECKING:
    import duckdb

    from battery.transform import DbtRun
    from sink.warehouse import Warehouse

KEPT_DAYS: Final = 90
"""How long a run stays on record."""

_RUNS: Final = pa.schema(
    [
        ("started_at", pa.timestamp("us")),
        ("seconds", pa.float64()),
        ("command", pa.string()),
        ("failure", pa.string()),
        ("built", pa.bool_()),
        ("audited", pa.bool_()),
        (
            "results",
            pa.list_(
                pa.struct(
                    [
                        ("node", pa.string()),
                        ("kind", pa.string()),
                        ("status", pa.string()),
                        ("seconds", pa.float64()),
                        ("failures", pa.int64()),
                        ("message", pa.string()),
                    ]
                )
            ),
        ),
    ]
)


def record(warehouse: Warehouse, run: DbtRun) -> None:
    """Put a dbt run on record in `_dbt_runs`, and forget those of more than KEPT_DAYS ago.

    Raises:
        BatteryError: the warehouse cannot be opened.
    """
    results = [asdict(result) | {"kind": result.kind} for result in run.results]
    row = {
        "started_at": run.started_at,
        "seconds": run.seconds,
        "command": run.command,
        "failure": run.failure,
        "built": run.built,
        "audited": run.audited,
        "results": results,
    }
    with warehouse.connect("record a dbt run") as connection, transaction(connection):
        create_tables(connection)
        connection.register("run", pa.Table.from_pylist([row], schema=_RUNS))
        connection.execute("insert into _dbt_runs select * from run")
        connection.execute(
            f"delete from _dbt_runs where started_at < ?::timestamp - interval {KEPT_DAYS} days",  # noqa: S608
            [run.started_at],
        )


def require_audited(connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse models that have not passed all tests since they were last built.

    Raises:
        BatteryError: they have failed some, or were not tested whole; says what the last run said.
    """
    found = connection.execute(
        "select audited, command, failure from _dbt_runs where built or audited or failure is not null "
        "order by started_at desc limit 1"
    ).fetchone()
    if found is None:
        raise BatteryError("no models have been built for publication yet; run `battery transform`")
    audited, command, failure = found
    if not audited:
        why = failure or f"not all tests have passed since `dbt {command}`; run `battery transform -- test`"
        raise BatteryError(f"the models are not published, readers keep those before: {why}")
