"""Short looks at the landing tables, as Arrow tables and plain values.

A DuckDB file admits one process at a time, and the worker and dbt go first: looks at the stream take what those have
left in the overview of the warehouse. A look that needs the warehouse itself waits `LOOK_SECONDS` at most.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from kernel.base.errors import BatteryError
from kernel.edges.file_records import FileState
from kernel.edges.objects import open_to_look
from refresh.marts import NothingYetError
from refresh.models import FAILED
from refresh.news import news_of
from refresh.status import status
from sink.care.files import read_files
from sink.care.overview import LOOK_SECONDS, look_at_overview
from sink.tables import NoTablesError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from kernel.base.settings import Settings
    from refresh.status import Status
    from sink.care.overview import Overview


_RUNS: Final = pa.schema(
    {
        "run": pa.string(), "started_at": pa.timestamp("us"), "seconds": pa.float64(), "command": pa.string(),
        "outcome": pa.string(), "models": pa.int64(), "tests": pa.int64(), "failed": pa.int64(), "failure": pa.string(),
    }
)  # fmt: skip

_RESULTS: Final = pa.schema(
    {
        "status": pa.string(), "kind": pa.string(), "node": pa.string(), "failures": pa.int64(),
        "seconds": pa.float64(), "message": pa.string(),
    }
)  # fmt: skip

_FILES: Final = pa.schema(
    {
        "state": pa.string(), "file": pa.string(), "cell_id": pa.string(), "reason": pa.string(),
        "last_at": pa.timestamp("us"), "first_at": pa.timestamp("us"), "count": pa.int64(), "id": pa.string(),
    }
)  # fmt: skip


@dataclass(frozen=True)
class StreamLook:
    """The stream, by the overview of its landing: commits, the quarantine and dbt runs (UTC)."""

    overview: Overview

    @property
    def commits(self) -> pa.Table:
        """The newest commits, in the order of time."""
        return self.overview.tables["commits"]

    @property
    def reasons(self) -> pa.Table:
        """Rows and entries of the quarantine by reason, the most rows first."""
        return self.overview.tables["reasons"]

    @property
    def complaint(self) -> str | None:
        """Why no newer look can be had, or None."""
        return self.overview.held

    @property
    def runs(self) -> pa.Table:
        """The newest dbt runs, the latest first."""
        runs = self.overview.tables["runs"].to_pylist()
        return pa.Table.from_pylist([_run_row(run) for run in runs], schema=_RUNS)

    def refusals(self, reason: str) -> pa.Table:
        """The newest entries of the quarantine that were refused for a reason."""
        refusals = self.overview.tables["refusals"]
        return refusals.filter(pc.equal(refusals["reason"], reason)).drop_columns(["reason"])

    def results(self, run: str) -> pa.Table:
        """The result of each model and test of a dbt run, failures first."""
        results = [
            result
            for found in self.overview.tables["runs"].to_pylist()
            if found["run"] == run
            for result in found["results"]
            if result["kind"] != "exposure"
        ]
        results.sort(key=lambda result: (result["status"] not in FAILED, result["kind"], result["node"]))
        return pa.Table.from_pylist(results, schema=_RESULTS)

    def rate(self, seconds: float, now: datetime) -> float:
        """Rows that came in per second over the last `seconds`."""
        recent = [
            row["landed"] + row["quarantined"]
            for row in self.commits.to_pylist()
            if (now - row["committed_at"]).total_seconds() <= seconds
        ]
        return float(sum(recent)) / seconds


def _run_row(run: Mapping[str, Any]) -> dict[str, Any]:
    results = run["results"]
    outcome = "failed" if run["failure"] is not None else "running" if run["seconds"] is None else "passed"
    return {
        **{name: run[name] for name in ("run", "started_at", "seconds", "command", "failure")},
        "outcome": outcome,
        "models": sum(result["kind"] in {"model", "seed"} for result in results),
        "tests": sum(result["kind"] in {"test", "unit_test"} for result in results),
        "failed": sum(result["status"] in FAILED for result in results),
    }


def with_short_wait(settings: Settings) -> Settings:
    """The same settings with a wait of at most `LOOK_SECONDS` for the warehouse."""
    configured = settings.warehouse_lock_timeout_seconds
    return settings.model_copy(update={"warehouse_lock_timeout_seconds": min(configured, LOOK_SECONDS)})


def look_at_stream(settings: Settings) -> StreamLook:
    """Look at the stream.

    Raises:
        NothingYetError: there is no warehouse yet, or no landing tables in it.
        BatteryError: the warehouse cannot be looked at.
    """
    file = settings.warehouse_address.file
    if file is not None and not file.exists():
        raise NothingYetError("Nothing has landed yet.")
    try:
        return StreamLook(look_at_overview(settings))
    except NoTablesError:
        raise NothingYetError("Nothing has landed yet.") from None
    except duckdb.Error as error:
        raise BatteryError(f"cannot look at the stream: {str(error).splitlines()[0]}") from None


def look_at_news(settings: Settings) -> str | None:
    """What has landed since the marts were published, in one line; None where nothing has.

    Raises:
        BatteryError: the warehouse cannot be looked at.
    """
    overview = look_at_stream(settings).overview
    return news_of(settings, overview.watermark, overview.marks)


def look_at_status(settings: Settings) -> Status:
    """The status of the pipeline; this asks the broker too and takes a second or two.

    Raises:
        BatteryError: the warehouse cannot be looked at; the status says where the broker does not answer.
    """
    return status(settings, look_at_stream(settings).overview)


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
