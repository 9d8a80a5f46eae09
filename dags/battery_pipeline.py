"""The hourly refresh: it builds, tests and publishes tables from what the worker has landed since the last one.

The worker lands rows by itself and needs no Airflow. dbt builds in a schema of its own. After all tests have passed,
the new tables replace those that readers see, in one transaction. dbt's unit tests run when the code of the models has
changed since they last passed. Each task runs the pipeline's own command, which waits while the worker holds the
warehouse.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import (  # type: ignore[attr-defined]  # its stub lacks what a deadline is made of
    DAG,
    Asset,
    DeadlineAlert,
    DeadlineReference,
    SyncCallback,
    chain,
)

if str(Path(__file__).parent) not in sys.path:  # Airflow adds the folder of DAGs itself, a plain DagBag does not
    sys.path.append(str(Path(__file__).parent))

from battery_airflow import WAREHOUSE_POOL
from battery_airflow.alerts import Alert, connection_for_command, notify
from battery_airflow.command import BatteryOperator

NOTHING_NEW = 3
"""The exit code of `battery news` when there is nothing to do."""

DEADLINE_MINUTES = float(os.environ.get("BATTERY_DEADLINE_MINUTES") or 50)

DEADLINE = DeadlineAlert(
    reference=DeadlineReference.DAGRUN_QUEUED_AT,
    interval=timedelta(minutes=DEADLINE_MINUTES),
    callback=SyncCallback(
        Alert,
        kwargs={
            "event": "late",
            "subject": "battery_pipeline is late",
            "text": f"a run has not ended {DEADLINE_MINUTES:g} minutes after it was queued; see Airflow",
        },
    ),
)
"""The alert for a run that takes so long that the next one has to wait for it."""

IS_SCHEDULED = "_AIRFLOW_PROCESS_CONTEXT" in os.environ
"""Whether Airflow's own processes read this file; `dag.test()` crashes on a deadline (apache/airflow#73428)."""

MARTS = Asset("battery_marts")
"""The published marts; a DAG that is scheduled on it runs after each publication."""

with DAG(
    dag_id="battery_pipeline",
    description="Landed rows to tested tables",
    doc_md=__doc__,
    schedule="@hourly",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
        "execution_timeout": timedelta(minutes=45),
    },
    deadline=DEADLINE if IS_SCHEDULED else None,
    tags=["battery"],
):
    check_stream = BatteryOperator(task_id="check_stream", arguments=["status", "--check"], pool=WAREHOUSE_POOL)
    check_new_data = BatteryOperator(
        task_id="check_new_data", arguments=["news"], skip_on_exit_code=NOTHING_NEW, pool=WAREHOUSE_POOL
    )
    clean_battery_data = BatteryOperator(
        task_id="clean_battery_data",
        arguments=["transform", "--stage", "--", "build", "--select", "+battery_cleaned"],
        pool=WAREHOUSE_POOL,
    )
    build_features = BatteryOperator(
        task_id="build_features",
        arguments=["transform", "--stage", "--", "run", "--select", "battery_features"],
        pool=WAREHOUSE_POOL,
    )
    build_marts = BatteryOperator(
        task_id="build_marts",
        arguments=[
            *("transform", "--stage", "--", "build", "--exclude", "+battery_features"),
            *("--exclude-resource-types", "test", "unit_test"),
        ],
        pool=WAREHOUSE_POOL,
    )
    test_models = BatteryOperator(
        task_id="test_models", arguments=["transform", "--stage", "--", "test"], pool=WAREHOUSE_POOL
    )
    publish = BatteryOperator(task_id="publish", arguments=["publish"], outlets=[MARTS], pool=WAREHOUSE_POOL)

    # It runs also where nothing was new or something failed, since a test can stop sending at any time; as a teardown,
    # it does not decide the state of the run.
    send_alerts = BatteryOperator(
        task_id="send_alerts", arguments=["alerts", "send"], environment=connection_for_command, retries=1
    )
    send_alerts.as_teardown()

    chain(
        check_stream,
        check_new_data,
        clean_battery_data,
        build_features,
        build_marts,
        test_models,
        publish,
        [send_alerts, notify()],
    )
