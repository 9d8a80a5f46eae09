"""A plugin of Airflow: makes the pool `battery_warehouse` where it is missing, as Airflow's parts start.

Airflow never starts a task whose pool does not exist, and reports that only in the scheduler's log. Where the pipeline
is not installed in Airflow's own environment, the pool must be made by hand.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Final

from airflow.jobs.job import Job
from airflow.listeners import hookimpl
from airflow.models.pool import Pool
from airflow.plugins_manager import AirflowPlugin
from sqlalchemy.exc import IntegrityError

POOL: Final = "battery_warehouse"


@hookimpl
def on_starting(component: object) -> None:
    """Make the pool with one slot; an existing pool stays as it is.

    Scheduler, DAG processor and triggerer come here before Airflow says which of them it is.
    """
    if isinstance(component, Job) and Pool.get_pool(POOL) is None:
        with suppress(IntegrityError):  # another part was faster
            Pool.create_or_update_pool(POOL, 1, "The warehouse, which one task uses at a time", include_deferred=False)


class BatteryPlugin(AirflowPlugin):
    """What Airflow loads."""

    name = "battery"
    listeners = [sys.modules[__name__]]  # noqa: RUF012  # as Airflow wants it
