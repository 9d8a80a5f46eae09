"""The DAGs in an Airflow of their own, and somebody who listens to their alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.airflow import Airflow
from support.webhook import Webhook, listening

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    made = Airflow(tmp_path_factory.mktemp("airflow"))
    done = made("db", "migrate")
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with listening() as heard:
        yield heard
