"""The whole main job on a real Kafka and a real MinIO, judged by the tests of the embedded one."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from parts.test_main_job import (  # noqa: F401  # the same tests
    test_every_cycle_has_the_capacities_of_the_reference,
    test_every_reading_lands_once_and_the_second_export_is_quarantined,
    test_fewer_than_one_row_in_a_thousand_carries_the_spike_flag,
    test_no_good_row_is_flagged_or_dropped_for_a_protocol_limit,
    test_the_published_queries_run_verbatim,
)
from support.jobs import Job, run_job

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module", params=["simulated", pytest.param("CS2_35", marks=pytest.mark.nightly)])
def job(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, servers: dict[str, str]) -> Job:
    """The simulated twin by day, when the real cell is read on embedded parts; both by night."""
    if request.param == "CS2_35":
        request.getfixturevalue("shared_data")
    folder: Path = tmp_path_factory.mktemp(request.param)
    name = f"job-{uuid4().hex[:12]}"
    parts = servers | {"OBJECT_STORE": f"s3://{name}", "BATTERY_TOPIC": name}
    return run_job(request.param, folder, parts.pop("KAFKA_BOOTSTRAP_SERVERS"), **parts)


def test_the_job_ran_on_real_servers(job: Job) -> None:
    assert job.pipeline.settings.object_store.startswith("s3://")
    objects = job.pipeline.query("select count(*), max(bytes) from internal._commits")
    assert objects[0][0] > 0
