"""Daily maintenance: merge small objects into large ones, remove what is no longer needed, and verify the landing.

The worker may keep running. Where Airflow's environment has ICEBERG_CATALOG, the Iceberg tables then follow what was
merged.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airflow.sdk import DAG, chain

if str(Path(__file__).parent) not in sys.path:  # Airflow adds the folder of DAGs itself, a plain DagBag does not
    sys.path.append(str(Path(__file__).parent))

from battery_airflow import WAREHOUSE_POOL
from battery_airflow.alerts import notify
from battery_airflow.command import BatteryOperator

with DAG(
    dag_id="battery_maintenance",
    description="Compaction, clean-up and verification of the landing",
    doc_md=__doc__,
    schedule="30 3 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(minutes=5),
        "retry_exponential_backoff": True,
        "execution_timeout": timedelta(hours=4),
    },
    tags=["battery"],
):
    sweep_objects = BatteryOperator(task_id="sweep_objects", arguments=["sweep"], pool=WAREHOUSE_POOL)
    compact_objects = BatteryOperator(task_id="compact_objects", arguments=["compact"], pool=WAREHOUSE_POOL)
    verify = BatteryOperator(task_id="verify", arguments=["verify", "--live"], pool=WAREHOUSE_POOL)

    last = notify()
    chain(sweep_objects, compact_objects, verify, last)
    if os.environ.get("ICEBERG_CATALOG"):  # else objects that are merged again would be removed under the tables
        publish_iceberg = BatteryOperator(
            task_id="publish_iceberg", arguments=["publish", "--iceberg"], pool=WAREHOUSE_POOL
        )
        chain(compact_objects, publish_iceberg, last)
