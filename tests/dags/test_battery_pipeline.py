"""The hourly DAG under Airflow itself: what it is, what a run builds, and what a failing step does."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from composed import ROOT

from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Pipeline

LOAD = """
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({folder!r})
assert not bag.import_errors, bag.import_errors
dag = bag.dags["battery_pipeline"]
"""


@pytest.fixture(scope="module")
def in_airflow(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a piece of Python that has the DAG as `dag`, in an Airflow of its own on SQLite."""
    environment = os.environ | {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "BATTERY_COMMAND": str(Path(sys.executable).parent / "battery"),
    }
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True)

    def run(code: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", LOAD.format(folder=str(ROOT / "dags")) + code],
            env=environment | extra,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_it_is_hourly_one_at_a_time_and_in_order(in_airflow: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = in_airflow(
        "print(dag.schedule, dag.catchup, dag.max_active_runs)\n"
        "print([(task.task_id, sorted(task.downstream_task_ids)) for task in dag.topological_sort()])\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == [
        "@hourly False 1",
        "[('clean_battery_data', ['build_features']), ('build_features', ['test_models']), ('test_models', [])]",
    ]


RUN = """
for task in dag.tasks:
    task.retries = 0
print("state:", dag.test().state)
"""


def test_a_run_builds_and_tests_the_tables(
    in_airflow: Callable[..., subprocess.CompletedProcess[str]], pipeline: Pipeline
) -> None:
    workbooks = pipeline.folder / "workbooks"
    workbooks.mkdir(parents=True)
    simulate_cell(workbooks, "HOURLY", cycles=2, cycles_per_file=2)
    pipeline.battery("produce", str(workbooks))
    pipeline.battery("stream", "--until-end")
    done = in_airflow(RUN, **pipeline.environment, BATTERY_WORK_DIR=str(pipeline.folder))
    assert "state: success" in done.stdout, done.stdout + done.stderr
    ((landed,),) = pipeline.query("select count(*) from battery_ts")
    assert landed > 100
    for table in ("battery_cleaned", "battery_features"):
        assert pipeline.query(f"select count(*) from {table}")[0][0] >= 0.99 * landed  # noqa: S608
    assert pipeline.query("select cell_id, cycle_count from battery_cells") == [("HOURLY", 2)]
    built = re.findall(r"Finished running (.*?) in ", done.stdout + done.stderr)
    assert ["incremental model" in what for what in built] == [True, True, False], built
    assert ["data tests" in what for what in built] == [True, False, True], built


def test_a_step_that_fails_fails_the_run_and_says_why(
    in_airflow: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    done = in_airflow(RUN, WAREHOUSE="nowhere.duckdb", BATTERY_WORK_DIR=str(tmp_path))
    assert "state: failed" in done.stdout, done.stdout + done.stderr
    log = done.stdout + done.stderr
    assert "nowhere.duckdb does not exist yet; `battery stream` makes it" in log
    assert "returned a non-zero exit code 2" in log
    assert log.count("Running command") == 1, log


def test_no_exit_code_passes_for_a_skipped_step(
    in_airflow: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    command = tmp_path / "battery"
    command.write_text("#!/bin/sh\nexit 99\n")
    command.chmod(0o755)
    done = in_airflow(RUN, BATTERY_COMMAND=str(command))
    assert "state: failed" in done.stdout, done.stdout + done.stderr
