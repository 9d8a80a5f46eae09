"""Short looks at the landing tables: each opens the warehouse, runs a few queries and closes it.

A DuckDB file admits one process at a time, and the worker and dbt go first: a look waits for them `LOOK_SECONDS` at
most. Looks return Arrow tables and plain values.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa

from kernel.base.errors import BatteryError
from kernel.edges.file_records import FileState
from kernel.edges.objects import open_to_look
from kernel.edges.warehouse import open_warehouse
from refresh.marts import NothingYetError
from refresh.news import news
from refresh.status import status
from sink.care.files import read_files
from sink.tables import require_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from kernel.base.settings import Settings
    from refresh.status import Status

LOOK_SECONDS: Final = 2.0
"""How long a look waits for a warehouse that another process holds, in s; a visitor is waiting."""

RECENT_COMMITS: Final = 500
"""How many of the newest commits the figures of the stream show."""

RECENT_REFUSALS: Final = 500
"""How many of the newest entries of the quarantine are listed."""

PAYLOAD_LETTERS: Final = 2_000
"""How many characters of a payload are shown; `battery quarantine show` has the rest."""

RECENT_RUNS: Final = 50
"""How many of the newest dbt runs are listed."""

_COMMITS: Final = """
    with newest as (
        select
            "commit",
            max(committed_at) as committed_at,
            sum("rows") filter (where kind = 'battery_ts_cleaned') as landed,
            sum(bytes) as bytes,
            count(*) as objects,
            any_value(offsets) as offsets
        from _commits group by "commit" order by committed_at desc, "commit" desc limit $most
    )
    select
        "commit",
        committed_at,
        coalesce(landed, 0)::bigint as landed,
        list_sum([part."rows" for part in offsets])::bigint - coalesce(landed, 0)::bigint as quarantined,
        objects,
        bytes::bigint as bytes
    from newest order by committed_at, "commit"
"""

_REASONS: Final = """
    select reason, sum(row_count)::bigint as "rows", count(*) as entries, count(distinct cell_id) as cells
    from battery_quarantine group by reason order by "rows" desc, reason
"""

_REFUSALS: Final = """
    select
        cell_id, source_file, row_count as "rows", detail, left(payload, $letters) as payload,
        topic_id || ':' || "partition" || ':' || "offset" || ':' || "row" as id
    from battery_quarantine where reason = $reason
    order by topic_id, "partition", "offset" desc, "row" desc limit $most
"""

_RUNS: Final = """
    select
        run, started_at, "seconds", command,
        case when failure is not null then 'failed' when "seconds" is null then 'running' else 'passed' end as outcome,
        len(list_filter(results, result -> result.kind in ('model', 'seed'))) as models,
        len(list_filter(results, result -> result.kind in ('test', 'unit_test'))) as tests,
        len(list_filter(results, result -> result.status in ('error', 'fail', 'runtime error'))) as failed,
        failure
    from _dbt_runs order by started_at desc limit $most
"""

_RESULTS: Final = """
    select result.status, result.kind, result.node, result.failures, result."seconds", result.message
    from (select unnest(results) as result from _dbt_runs where run = $run)
    where result.kind <> 'exposure'
    order by result.status not in ('error', 'fail', 'runtime error'), result.kind, result.node
"""

_READINGS: Final = """
    select
        cell_id, test_id, cycle_index, data_point, step_index,
        "test_time(s)" as test_time_s, "step_time(s)" as step_time_s,
        "current(a)" as current_a, "voltage(v)" as voltage_v,
        "charge_capacity(ah)" as charge_counter_ah, "discharge_capacity(ah)" as discharge_counter_ah,
        "temperature(c)" as temperature_c, quality,
        exists (
            select 1 from battery_cleaned as kept
            where kept.cell_id = $cell and kept.test_id = landed.test_id and kept.data_point = landed.data_point
        ) as is_kept
    from battery_ts_cleaned as landed
    where cell_id = $cell and (test_id, cycle_index) in (select unnest($tests), unnest($cycles))
    order by test_id, data_point
"""


_FILES: Final = pa.schema(
    {
        "state": pa.string(), "file": pa.string(), "cell_id": pa.string(), "reason": pa.string(),
        "last_at": pa.timestamp("us"), "first_at": pa.timestamp("us"), "count": pa.int64(), "id": pa.string(),
    }
)  # fmt: skip


@dataclass(frozen=True)
class StreamLook:
    """The stream: its newest commits, the quarantine by reason, and the newest dbt runs (UTC)."""

    commits: pa.Table
    reasons: pa.Table
    runs: pa.Table

    def rate(self, seconds: float, now: datetime) -> float:
        """Rows that came in per second over the last `seconds`."""
        recent = [
            row["landed"] + row["quarantined"]
            for row in self.commits.to_pylist()
            if (now - row["committed_at"]).total_seconds() <= seconds
        ]
        return float(sum(recent)) / seconds


@contextmanager
def look(settings: Settings, purpose: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the warehouse read-only until the block ends.

    Raises:
        NothingYetError: there is none, or no landing tables in it.
        BatteryError: it cannot be opened, or another process holds it.
    """
    file = settings.warehouse_address.file
    if file is not None and not file.exists():
        raise NothingYetError(f"WAREHOUSE={settings.warehouse} does not exist yet; `battery stream` makes it")
    try:
        with open_warehouse(with_short_wait(settings)).connect(purpose, read_only=True) as connection:
            try:
                require_tables(connection)
            except BatteryError as error:
                raise NothingYetError(str(error)) from None
            yield connection
    except duckdb.Error as error:
        raise BatteryError(f"cannot {purpose}: {str(error).splitlines()[0]}") from None


def with_short_wait(settings: Settings) -> Settings:
    """The same settings with a wait of at most `LOOK_SECONDS` for the warehouse."""
    configured = settings.warehouse_lock_timeout_seconds
    return settings.model_copy(update={"warehouse_lock_timeout_seconds": min(configured, LOOK_SECONDS)})


def look_at_stream(settings: Settings) -> StreamLook:
    """Look at the stream.

    Raises:
        BatteryError: the warehouse cannot be looked at.
    """
    with look(settings, "look at the stream") as connection:
        commits = connection.execute(_COMMITS, {"most": RECENT_COMMITS}).to_arrow_table()
        reasons = connection.execute(_REASONS).to_arrow_table()
        runs = connection.execute(_RUNS, {"most": RECENT_RUNS}).to_arrow_table()
    return StreamLook(commits, reasons, runs)


def look_at_news(settings: Settings) -> str | None:
    """What has landed since the marts were published, in one line; None where nothing has.

    Raises:
        BatteryError: the warehouse cannot be looked at.
    """
    with look(settings, "look for news"):
        pass  # raises an error that says what is missing
    return news(settings, open_warehouse(with_short_wait(settings)))


def look_at_status(settings: Settings) -> Status:
    """The status of the pipeline; this asks the broker too and takes a second or two.

    Raises:
        BatteryError: the warehouse cannot be looked at; the status says where the broker does not answer.
    """
    return status(settings, open_warehouse(with_short_wait(settings)))


def look_at_refusals(settings: Settings, reason: str) -> pa.Table:
    """The newest entries of the quarantine that were refused for a reason.

    Raises:
        BatteryError: the warehouse cannot be looked at.
    """
    with look(settings, "look into the quarantine") as connection:
        return connection.execute(
            _REFUSALS, {"reason": reason, "most": RECENT_REFUSALS, "letters": PAYLOAD_LETTERS}
        ).to_arrow_table()


def look_at_files(settings: Settings) -> pa.Table:
    """Which files are on record as refused or passed over, the latest first (UTC); what was dismissed is left out.

    Raises:
        BatteryError: the object store does not answer.
    """
    rows = [
        {name: getattr(record, name) for name in _FILES.names} | {"state": str(record.state), "id": f"file:{record.id}"}
        for record in read_files(open_to_look(settings))
        if record.state is not FileState.DISMISSED
    ]
    return pa.Table.from_pylist(rows, schema=_FILES)


def look_at_results(settings: Settings, run: str) -> pa.Table:
    """The result of each model and test of a dbt run, failures first.

    Raises:
        BatteryError: the warehouse cannot be looked at.
    """
    with look(settings, "look at a dbt run") as connection:
        return connection.execute(_RESULTS, {"run": run}).to_arrow_table()


def look_at_readings(settings: Settings, cell_id: str, cycles: Sequence[tuple[str, int]]) -> pa.Table:
    """The readings of some cycles of a cell, each named by its test and its number within it, in their order.

    Raises:
        BatteryError: the warehouse cannot be looked at.
    """
    with look(settings, "look at readings") as connection:
        return connection.execute(
            _READINGS,
            {"cell": cell_id, "tests": [test for test, _ in cycles], "cycles": [number for _, number in cycles]},
        ).to_arrow_table()
