"""The hourly refresh: what the worker has landed since becomes tables that are built anew and tested.

The worker lands rows by itself and needs no Airflow. Each task runs the pipeline's own command, which waits while the
worker holds the warehouse, so Airflow may live in another environment than the pipeline: BATTERY_COMMAND names the
command where it is not on the PATH, BATTERY_WORK_DIR the folder that relative settings are relative to.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

BATTERY = 'cd "${BATTERY_WORK_DIR:-.}" && exec "${BATTERY_COMMAND:-battery}"'


def step(task_id: str, arguments: str) -> BashOperator:
    """A task that runs the pipeline's command; its output is the task's log, its exit code the task's fate."""
    return BashOperator(
        task_id=task_id,
        bash_command=f"{BATTERY} {arguments}",
        append_env=True,
        cwd=".",
        skip_on_exit_code=None,  # the operator's own 99 would skip all steps and end the run as a success
    )


with DAG(
    dag_id="battery_pipeline",
    description="Landed rows to tested tables",
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "retry_exponential_backoff": True},
    tags=["battery"],
):
    clean = step("clean_battery_data", "transform -- build --select +battery_cleaned")
    features = step(
        "build_features", "transform -- build --exclude +battery_cleaned --exclude-resource-types test unit_test"
    )
    test = step("test_models", "transform -- test")
    clean >> features >> test
