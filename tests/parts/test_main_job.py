"""The main job by its commands, on real workbooks and on a simulated twin of them."""

from __future__ import annotations

import shutil
import signal
import zipfile
from typing import TYPE_CHECKING

import pytest
from support.harness import finish
from support.jobs import Job, run_job
from support.pipeline import Pipeline

from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from pathlib import Path

REFERENCE_AH = 1e-9


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory, broker: int) -> Job:
    return run_job("simulated", tmp_path_factory.mktemp("simulated"), f"127.0.0.1:{broker}")


@pytest.fixture(scope="module", params=["simulated", "CS2_35"])
def job(request: pytest.FixtureRequest) -> Job:
    """A job that is looked at."""
    job: Job = request.getfixturevalue("simulated" if request.param == "simulated" else "cs2_35_job")
    return job


@pytest.fixture(params=["simulated", pytest.param("CS2_35", marks=pytest.mark.nightly)])
def going_on(request: pytest.FixtureRequest, tmp_path: Path, broker: int) -> Job:
    """A job whose log is still there, and that nobody looks at afterwards."""
    if request.param == "simulated":
        job: Job = request.getfixturevalue("simulated")
        return job
    request.getfixturevalue("shared_data")
    return run_job(request.param, tmp_path / request.param, f"127.0.0.1:{broker}")


def test_every_reading_lands_once_and_the_second_export_is_quarantined(job: Job) -> None:
    assert job.pipeline.query("select count(*) from battery_ts_cleaned") == [(job.rows - job.duplicates,)]
    assert job.pipeline.query("select reason, sum(row_count) from battery_quarantine group by reason") == [
        ("duplicate", job.duplicates)
    ]


def test_every_cycle_has_the_capacities_of_the_reference(job: Job) -> None:
    landed = {
        (file, cycle): (charge, discharge)
        for file, cycle, charge, discharge in job.pipeline.query(
            "select f.source_file, c.cycle_index, c.charge_capacity_ah, c.discharge_capacity_ah "
            "from battery_cell_cycles as c join (select distinct test_id, source_file from battery_ts) as f "
            "using (test_id)"
        )
    }
    # A test that was exported twice lands from its first export; the reference names the second.
    first_export = {"CS2_35_2_10_11.xlsx": "CS2_35_2_4_11.xlsx"}
    assert len(landed) == len(job.cycles)
    for file, cycle, charge, discharge in job.cycles:
        found = landed[(first_export.get(file, file), cycle)]
        assert abs(found[0] - charge) < REFERENCE_AH, (file, cycle)
        assert abs(found[1] - discharge) < REFERENCE_AH, (file, cycle)


def test_no_good_row_is_flagged_or_dropped_for_a_protocol_limit(job: Job) -> None:
    beyond = '"voltage(v)" > 4.2 or "voltage(v)" < 2.7'
    ((rows, flagged),) = job.pipeline.query(
        f"select count(*), count(*) filter (quality <> 0) from battery_ts where {beyond}"  # noqa: S608
    )
    assert rows > 100
    assert flagged == 0
    assert job.pipeline.query(f"select count(*) from battery_cleaned where {beyond}") == [(rows,)]  # noqa: S608


def test_fewer_than_one_row_in_a_thousand_carries_the_spike_flag(job: Job) -> None:
    ((rows, spikes),) = job.pipeline.query("select count(*), count(*) filter (quality & 1 = 1) from battery_ts")
    assert spikes < rows / 1000


def test_the_published_queries_run_verbatim(job: Job) -> None:
    per_file = job.pipeline.query("SELECT source_file, COUNT(*) FROM battery_ts GROUP BY source_file;")
    assert sum(rows for _, rows in per_file) == job.rows - job.duplicates
    newest = job.pipeline.query(
        'SELECT MAX("voltage(v)"), streamed_at FROM battery_ts GROUP BY streamed_at ORDER BY streamed_at DESC;'
    )
    assert all(4.19 < voltage < 4.22 for voltage, _ in newest)
    assert [at for _, at in newest] == sorted((at for _, at in newest), reverse=True)
    power = job.pipeline.query(
        'SELECT "voltage(v)" * "current(a)" AS power FROM battery_ts '
        'WHERE "voltage(v)" IS NOT NULL AND "current(a)" IS NOT NULL;'
    )
    assert len(power) == job.rows - job.duplicates


def test_publishing_the_same_again_lands_nothing_new_and_loses_nothing(going_on: Job, tmp_path: Path) -> None:
    rows = going_on.pipeline.query("select count(*), sum(hash(t)::hugeint) from battery_ts_cleaned as t")
    cycles = "select count(*), sum(hash((cell_id, test_id, cycle_index, charge_capacity_pah))::hugeint) from _cycles"
    before = rows, going_on.pipeline.query(cycles)

    workbooks = len(list(going_on.source.iterdir()))
    assert f"0 rows of 0 workbooks in 0 messages; {workbooks} skipped" in going_on.pipeline.battery(
        "produce", str(going_on.source)
    )
    going_on.pipeline.battery("produce", "--again", str(going_on.source))
    archive = tmp_path / "again.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in going_on.source.iterdir():
            file.write(path, f"{going_on.source.name}/{path.name}")
    going_on.pipeline.battery("produce", "--again", str(archive))
    going_on.pipeline.battery("stream", "--until-end")
    going_on.pipeline.battery("verify")

    port = free_port()
    with embedded_broker(port):
        fresh = Pipeline(
            going_on.pipeline.folder, port, going_on.pipeline.extra | {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"}
        )
        fresh.battery("produce", str(going_on.source))
        fresh.battery("stream", "--until-end")
        fresh.battery("verify")
        shutil.rmtree(fresh.folder / "recovery")
        fresh.battery("produce", "--again", str(going_on.source))
        fresh.battery("stream", "--until-end")
        fresh.battery("verify")

    after = (
        going_on.pipeline.query("select count(*), sum(hash(t)::hugeint) from battery_ts_cleaned as t"),
        going_on.pipeline.query(cycles),
    )
    assert after == before
    assert going_on.pipeline.query("select sum(row_count) from battery_quarantine where reason <> 'duplicate'") == [
        (None,)
    ]


def test_a_worker_that_is_asked_to_stop_commits_what_it_has_read_and_ends_well(pipeline: Pipeline) -> None:
    source = pipeline.folder / "workbooks"
    source.mkdir(parents=True)
    simulate_cell(source, "STOP_1", cycles=3, cycles_per_file=3)
    simulate_cell(source, "STOP_2", cycles=2, cycles_per_file=2)
    # The first cell's rows commit early, the second's wait for an epoch that is ten minutes long.
    pipeline.extra |= {"COMMIT_INTERVAL_SECONDS": "600", "COMMIT_MAX_ROWS": "1000"}
    pipeline.battery("produce", str(source))
    worker = pipeline.start("stream")
    assert worker.stdout is not None
    assert any("committed" in line for line in worker.stdout)
    worker.send_signal(signal.SIGTERM)
    finish(worker, 0)
    assert "everything adds up" in pipeline.battery("verify")
