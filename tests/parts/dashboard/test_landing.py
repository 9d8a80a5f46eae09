from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from support.pipeline import Pipeline

from dashboard.landing import look_at_stream
from kernel.base.errors import BatteryError
from kernel.edges.warehouse import open_warehouse
from refresh.marts import NothingYetError
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 11, 26, 12)  # noqa: DTZ001  # UTC, as the tables have it


@pytest.fixture
def landed(tmp_path: Path) -> Pipeline:
    """Landing tables with two commits and two dbt runs, the newer of which has failed."""
    pipeline = Pipeline(tmp_path, 1)
    with open_warehouse(pipeline.settings).connect("make it") as connection:
        create_tables(connection)
        for seq, rows, refused, ago in ((1, 600, 0, 100), (2, 300, 60, 10)):
            offsets = [{"topic_id": "t", "partition": 0, "first": 0, "last": 9, "rows": rows + refused}]
            for kind, count in (("battery_ts_cleaned", rows), ("battery_quarantine", refused)):
                connection.execute(
                    "insert into internal._commits values (?, 0, ?, 1, ?, ?, ?, 1000, 'x', ?, ?)",
                    [f"c{seq}", seq, f"{kind}/{seq}", kind, count, offsets, NOW - timedelta(seconds=ago)],
                )
        results = [
            {
                "node": "model.a",
                "kind": "model",
                "status": "success",
                "seconds": 1.0,
                "failures": None,
                "message": "OK",
            },
            {"node": "exposure.e", "kind": "exposure", "status": "no-op", "seconds": 0.0, "failures": 0, "message": ""},
            {"node": "test.z", "kind": "test", "status": "fail", "seconds": 1.0, "failures": 3, "message": "Got 3"},
        ]
        for run, failure in (("old", None), ("new", "test z failed")):
            connection.execute(
                "insert into internal._dbt_runs values (?, ?, 2.0, 'build', ?, true, false, ['a'], ?)",
                [run, NOW + timedelta(seconds=run == "new"), failure, results],
            )
    return pipeline


def test_a_commit_has_its_rows_its_objects_and_their_size(landed: Pipeline) -> None:
    first, second = look_at_stream(landed.settings).commits.to_pylist()
    assert (first["landed"], first["quarantined"]) == (600, 0)
    assert (second["landed"], second["quarantined"], second["objects"], second["bytes"]) == (300, 60, 2, 2000)


def test_the_rate_is_of_the_rows_of_the_last_seconds(landed: Pipeline) -> None:
    stream = look_at_stream(landed.settings)
    assert stream.rate(60.0, NOW) == 6.0
    assert stream.rate(120.0, NOW) == 8.0
    assert stream.rate(5.0, NOW) == 0.0


def test_dbt_runs_are_told_the_newest_first_with_what_failed(landed: Pipeline) -> None:
    new, old = look_at_stream(landed.settings).runs.to_pylist()
    assert (new["run"], new["outcome"], new["models"], new["tests"], new["failed"]) == ("new", "failed", 1, 1, 1)
    assert (old["run"], old["outcome"]) == ("old", "passed")


def test_the_results_of_a_run_begin_with_what_failed(landed: Pipeline) -> None:
    results = look_at_stream(landed.settings).results("new").to_pylist()
    assert [(found["node"], found["failures"]) for found in results] == [("test.z", 3), ("model.a", None)]


def test_what_is_not_there_yet_is_told_from_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(NothingYetError, match="Nothing has landed yet"):
        look_at_stream(Pipeline(tmp_path / "nothing", 1).settings)
    broken = Pipeline(tmp_path, 1)
    (tmp_path / "battery.duckdb").write_text("no database")
    with pytest.raises(BatteryError, match=r"WAREHOUSE=.* is damaged, or no DuckDB file") as fault:
        look_at_stream(broken.settings)
    assert not isinstance(fault.value, NothingYetError)
