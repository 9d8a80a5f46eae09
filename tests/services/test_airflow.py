"""`battery airflow`: Airflow's own standalone mode runs the DAGs on schedule, and tells of a run that is late."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import time
import urllib.request
from contextlib import closing
from typing import TYPE_CHECKING

import psutil
import pytest
from support.pipeline import take_unit_tests_as_passed
from support.webhook import listening

from kernel.base.ports import free_port
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from pathlib import Path

    from support.pipeline import Pipeline

DAGS = {"battery_pipeline", "battery_maintenance"}


def ended(database: Path) -> dict[str, str]:
    """The runs that have ended, by their DAG."""
    if not database.exists():
        return {}
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=60)) as connection:
        try:
            found = connection.execute("select dag_id, state from dag_run where state in ('success', 'failed')")
            return dict(found.fetchall())
        except sqlite3.OperationalError:  # its tables are being made
            return {}


def addresses_of(ancestor: int) -> set[tuple[str, int]]:
    """Where a process listens, and all that it has started."""
    processes = [psutil.Process(ancestor), *psutil.Process(ancestor).children(recursive=True)]
    connections = [found for process in processes for found in process.net_connections("inet")]
    return {(found.laddr.ip, found.laddr.port) for found in connections if found.status == psutil.CONN_LISTEN}


@pytest.mark.timeout(900)
def test_airflow_runs_refresh_and_maintenance_on_schedule_and_tells_when_one_is_done_or_late(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    workbooks = pipeline.folder / "workbooks"
    workbooks.mkdir(parents=True)
    simulate_cell(workbooks, "STANDALONE", cycles=2, cycles_per_file=2)
    pipeline.battery("produce", str(workbooks))
    pipeline.battery("stream", "--until-end")
    take_unit_tests_as_passed(pipeline.settings)
    home, port = pipeline.folder / "airflow", free_port()
    for name in [name for name in os.environ if name.startswith(("AIRFLOW", "_AIRFLOW", "BATTERY"))]:
        monkeypatch.delenv(name)
    with listening() as webhook:
        monkeypatch.setenv("AIRFLOW_HOME", str(home))
        monkeypatch.setenv("AIRFLOW_CONN_BATTERY_ALERTS", webhook.connection)
        monkeypatch.setenv("BATTERY_DEADLINE_MINUTES", "0.05")
        with (pipeline.folder / "airflow.log").open("w") as said:
            running = pipeline.start("airflow", "--port", str(port), output=said)
        deadline = time.monotonic() + 600
        while set(runs := ended(home / "airflow.db")) < DAGS or len(webhook.alerts) < len(DAGS):
            assert running.poll() is None, (pipeline.folder / "airflow.log").read_text()
            assert "failed" not in runs.values(), (pipeline.folder / "airflow.log").read_text()
            assert time.monotonic() < deadline, (pipeline.folder / "airflow.log").read_text()
            time.sleep(0.5)  # between two looks
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=30) as answer:
            assert b'"healthy"' in answer.read()
        listens = addresses_of(running.pid)
        running.terminate()
        assert running.wait(60) == 0
    assert listens == {("127.0.0.1", port)}, "nobody but this machine reaches it"
    assert stat.S_IMODE((home / "simple_auth_manager_passwords.json.generated").stat().st_mode) == 0o600
    assert re.search(r"Password for user 'admin': \w+", (pipeline.folder / "airflow.log").read_text())
    assert set(runs.values()) == {"success"}
    assert {alert["event"] for alert in webhook.alerts} == {"late", "success"}
    assert pipeline.query("select cell_id, cycle_count from battery_cells") == [("STANDALONE", 2)]
