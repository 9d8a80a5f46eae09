"""The DAGs in an Airflow of their own, and somebody who listens to their alerts."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from support.airflow import Airflow
from support.webhook import Webhook, listening

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Airflow]:
    """An Airflow with a database that is made once for all processes of a test run, and copied."""
    base = tmp_path_factory.getbasetemp()
    database = (base if worker_id == "master" else base.parent) / "airflow.db"
    made = Airflow(tmp_path_factory.mktemp("airflow"))
    with FileLock(f"{database}.lock"):
        if not database.exists():
            done = made("db", "migrate")
            assert done.returncode == 0, done.stderr
            shutil.copy(made.folder / "airflow.db", database)
    shutil.copy(database, made.folder)
    yield made
    made.end()


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with listening() as heard:
        yield heard
