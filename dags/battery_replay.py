"""A replay on demand: build the landing tables again from the log or the archive, and replace those that differ.

It is started by hand, with one of its parameters. The worker may keep running. The refresh that follows brings the
models up to date.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, Param, chain

if str(Path(__file__).parent) not in sys.path:  # Airflow adds the folder of DAGs itself, a plain DagBag does not
    sys.path.append(str(Path(__file__).parent))

from battery_airflow import WAREHOUSE_POOL
from battery_airflow.alerts import notify
from battery_airflow.command import BatteryOperator

if TYPE_CHECKING:
    from airflow.sdk import Context


def replay_arguments(context: Context) -> list[str]:
    """The arguments of `battery replay` for the parameters of a run; the command itself refuses none or several."""
    params = context["params"]
    arguments = ["replay"]
    if params["from_beginning"]:
        arguments.append("--from-beginning")
    for offset in params["from_offset"] or ():
        arguments += ["--from-offset", offset]
    if params["from_time"]:
        arguments += ["--from-time", params["from_time"]]
    if params["from_archive"]:
        arguments.append("--from-archive")
    if params["dry_run"]:
        arguments.append("--dry-run")
    return arguments


with DAG(
    dag_id="battery_replay",
    description="Landing tables built again from the log or the archive",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params={
        "from_beginning": Param(False, type="boolean", description="Read the whole log."),
        "from_offset": Param(
            [],
            type="array",
            items={"type": "string", "pattern": r"^\d+:\d+$"},
            description="PARTITION:OFFSET, one a line: read these partitions of the log from there on, the rest from "
            "the objects.",
        ),
        "from_time": Param(
            None,
            type=["null", "string"],
            format="date-time",
            description="Read the log from the messages of this time on, and the rest from the objects.",
        ),
        "from_archive": Param(False, type="boolean", description="Read all from the objects, nothing from the log."),
        "dry_run": Param(False, type="boolean", description="Compare, but change nothing."),
    },
    default_args={"retries": 0, "execution_timeout": timedelta(hours=12)},
    tags=["battery"],
):
    replay = BatteryOperator(task_id="replay", arguments=replay_arguments, pool=WAREHOUSE_POOL)
    refresh = TriggerDagRunOperator(task_id="refresh", trigger_dag_id="battery_pipeline")

    chain(replay, refresh, notify())
