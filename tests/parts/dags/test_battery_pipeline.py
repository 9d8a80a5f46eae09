"""The hourly refresh, run by Airflow from end to end, with a stub in the command's place; in earnest by night.

In earnest it also runs under the scheduler as Compose starts it (`tests/services/test_compose.py`). What the command
itself does after a failing test, or while others hold the warehouse, is tested without Airflow.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.parquet as pq
import pytest
from support.pipeline import Pipeline

from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker
from kernel.edges.objects import FolderStore
from producer.simulate import simulate_cell
from refresh.alerts.connection import parse_connection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.airflow import Airflow
    from support.webhook import Webhook

RUN = """
import json
dag = bag.dags["battery_pipeline"]
for task in dag.tasks:
    task.retries = 0
run = dag.test()
states = {found.task_id: str(found.state) for found in run.get_task_instances()}
from airflow.models.asset import AssetEvent
from airflow.utils.session import create_session
with create_session() as session:
    events = session.query(AssetEvent).filter(AssetEvent.source_run_id == run.run_id).count()
print("result:", json.dumps({"state": str(run.state), "tasks": states, "events": events}))
"""
STEPS = ("clean_battery_data", "build_features", "build_marts", "test_models", "publish")
SEND_ALERTS = "alerts send"
NOTHING_NEW = dict.fromkeys(("check_stream", "send_alerts"), "success") | dict.fromkeys(
    ("check_new_data", *STEPS, "notify"), "skipped"
)
"""The states of a run without news: a test may have stopped sending all the same."""


HOLD_SECONDS = 20
HOLD = f"""
import duckdb, sys, time
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep({HOLD_SECONDS})
"""


@dataclass(frozen=True)
class Ran:
    """What a run of the DAG came to: its state, its tasks' states, its log, the alerts and the asset's events."""

    state: str
    tasks: dict[str, str]
    events: int
    log: str
    alerts: list[dict[str, Any]]

    @property
    def built(self) -> list[str]:
        return re.findall(r"Finished running (.*?) in ", self.log)


@dataclass
class Lab:
    """A pipeline that lands simulated cells, and the Airflow that refreshes its tables."""

    pipeline: Pipeline
    airflow: Airflow
    webhook: Webhook

    def land(self, cell: str) -> None:
        folder = self.pipeline.folder / f"workbooks-{cell}"
        folder.mkdir(parents=True)
        simulate_cell(folder, cell, cycles=2, cycles_per_file=2)
        self.pipeline.battery("produce", str(folder))
        self.pipeline.battery("stream", "--until-end")

    def run(self) -> Ran:
        before = len(self.webhook.alerts)
        done = self.airflow.python(RUN)
        log = done.stdout + done.stderr
        found = [line.removeprefix("result: ") for line in log.splitlines() if line.startswith("result: ")]
        assert len(found) == 1, log
        return Ran(**json.loads(found[0]), log=log, alerts=self.webhook.alerts[before:])


@pytest.fixture(scope="module")
def lab(airflow: Airflow, webhook: Webhook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    port = free_port()
    with embedded_broker(port):
        pipeline = Pipeline(tmp_path_factory.mktemp("lab") / "pipeline", port)
        extra = pipeline.environment | {
            "BATTERY_WORK_DIR": str(pipeline.folder),
            "AIRFLOW_CONN_BATTERY_ALERTS": webhook.connection,
        }
        yield Lab(pipeline, airflow.of(extra), webhook)
        pipeline.end()


@pytest.fixture(scope="module")
def first(lab: Lab) -> Ran:
    """The first run, on a cell that has just landed."""
    lab.land("ONE")
    return lab.run()


@pytest.mark.nightly
def test_a_run_builds_tests_and_publishes_what_has_landed(lab: Lab, first: Ran) -> None:
    assert first.state == "success", first.log
    assert first.tasks == dict.fromkeys(("check_stream", "check_new_data", *STEPS, "send_alerts", "notify"), "success")
    ((landed,),) = lab.pipeline.query("select count(*) from battery_ts")
    assert landed > 100
    for table in ("battery_cleaned", "battery_features"):
        assert lab.pipeline.query(f"select count(*) from {table}")[0][0] >= 0.99 * landed  # noqa: S608
    assert lab.pipeline.query("select cell_id, cycle_count from battery_cells") == [("ONE", 2)]
    # Models are built, then tested: data tests with the cleaning, and all of them with the unit tests at the end.
    assert ["data tests" in what for what in first.built] == [False, True, False, False, True], first.built
    assert "unit tests" in first.built[-1]


@pytest.mark.nightly
def test_a_publication_exports_the_marts_and_tells_airflow_and_people(lab: Lab, first: Ran) -> None:
    assert first.events == 1
    [alert] = first.alerts
    assert (alert["event"], alert["subject"]) == ("success", "battery_pipeline is done")
    assert re.match(r"published \d+ models, 1 tests of 1 cells have changed; exported \d+ rows", alert["text"])
    store = FolderStore(lab.pipeline.folder / "objects")
    key = json.loads(store.get("marts/manifest.json"))["tables"]["battery_cells"]["key"]
    assert pq.read_table(io.BytesIO(store.get(key)))["cell_id"].to_pylist() == ["ONE"]


@pytest.mark.nightly
def test_every_dbt_run_is_on_record(lab: Lab, first: Ran) -> None:
    assert first.state == "success"
    runs = lab.pipeline.query(
        "select command, failure, built, audited, len(results) > 0 from internal._dbt_runs order by started_at limit 5"
    )
    assert [(command.split()[0], *rest) for command, *rest in runs] == [
        ("source", None, False, False, True),
        ("build", None, True, False, True),
        ("run", None, True, False, True),
        ("build", None, True, False, True),
        ("test", None, False, True, True),
    ]


@pytest.mark.nightly
def test_what_dbt_and_the_pipeline_say_is_in_the_task_log_with_its_fields(first: Ran) -> None:
    said = re.findall(r"^(?=.*BatteryOperator)(?=.*OK created sql incremental model).*$", first.log, re.MULTILINE)
    assert any("node=model.battery.battery_cleaned" in line for line in said), first.log
    assert not re.search(r"\{\"(event|info|data)\"", first.log)


@pytest.fixture(scope="module")
def second(lab: Lab, first: Ran) -> Ran:
    """The run after it, with nothing new."""
    assert first.state == "success", first.log
    return lab.run()


@pytest.mark.nightly
def test_a_second_run_finds_nothing_new(second: Ran) -> None:
    assert second.state == "success", second.log
    assert second.tasks == NOTHING_NEW
    assert (second.alerts, second.events) == ([], 0)
    assert "nothing new since the models were published" in second.log


@pytest.fixture(scope="module")
def third(lab: Lab, second: Ran) -> Ran:
    """A run with a new cell, during whose beginning another process holds the warehouse."""
    assert second.state == "success", second.log
    lab.land("TWO")
    # So that it is seen which rows are built again and which are only kept.
    with duckdb.connect(lab.pipeline.folder / "battery.duckdb") as connection:
        for table in ("main.battery_features", "building.battery_features"):
            connection.execute(f"update {table} set step_index = step_index + 1000")  # noqa: S608
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lab.pipeline.folder / "battery.duckdb")], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    ran = lab.run()
    assert holder.wait() == 0
    return ran


@pytest.mark.nightly
def test_a_warehouse_that_is_held_is_waited_for(third: Ran) -> None:
    assert third.state == "success", third.log
    assert "waiting for the warehouse: another process holds it" in third.log


@pytest.mark.nightly
def test_the_next_run_builds_and_publishes_only_what_is_new(lab: Lab, third: Ran) -> None:
    assert "1 tests of 1 cells have changed" in third.alerts[0]["text"]
    found = lab.pipeline.query(
        "select cell_id, bool_and(step_index >= 1000) from battery_features group by cell_id order by cell_id"
    )
    assert found == [("ONE", True), ("TWO", False)]


@pytest.fixture(scope="module")
def fourth(lab: Lab, third: Ran) -> Ran:
    """A run in which a test fails that compares what was built with what was streamed."""
    assert third.state == "success", third.log
    lab.land("THREE")
    with duckdb.connect(lab.pipeline.folder / "battery.duckdb") as connection:
        connection.execute("update internal._cycles set charge_capacity_pah = charge_capacity_pah + 2000")
    return lab.run()


@pytest.mark.nightly
def test_a_failing_dbt_test_fails_the_run_and_readers_keep_the_tables_that_they_had(lab: Lab, fourth: Ran) -> None:
    assert fourth.state == "failed", fourth.log
    assert fourth.tasks["test_models"] == "failed"
    assert fourth.tasks["publish"] == "upstream_failed"
    cells = "select distinct cell_id from {} order by all"
    for table in ("battery_cleaned", "battery_features", "battery_cells", "battery_cycles"):
        assert lab.pipeline.query(cells.format(f"main.{table}")) == [("ONE",), ("TWO",)], table
    assert lab.pipeline.query(cells.format("building.battery_cells")) == [("ONE",), ("THREE",), ("TWO",)]


@pytest.mark.nightly
def test_a_failure_is_told_with_the_test_that_failed(fourth: Ran) -> None:
    [alert] = fourth.alerts
    assert (alert["event"], alert["subject"]) == ("failure", "battery_pipeline has failed: test_models")
    assert "test_models: dbt test failed: test streamed_cycles_agree_with_those_from_rows (Got " in alert["text"]


@dataclass(frozen=True)
class Stub:
    """A command that stands for `battery`: it notes what it is called with, and fails where it is told to."""

    path: Path

    @property
    def calls(self) -> list[str]:
        return self.path.with_name("calls").read_text().splitlines()


def stub(folder: Path, complaints: dict[str, str], ends: dict[str, tuple[str, int]] | None = None) -> Stub:
    """A stub that ends with a complaint where it is called with some arguments, or with a line and an exit code."""
    path = folder / "battery"
    lines = [
        f"\"{arguments}\") echo '{json.dumps({'event': complaint, 'level': 'error', 'complaint': True})}'; exit 1;;"
        for arguments, complaint in complaints.items()
    ]
    lines += [f'"{arguments}") echo "{line}"; exit {code};;' for arguments, (line, code) in (ends or {}).items()]
    script = ["#!/bin/sh", f'echo "$*" >> "{folder}/calls"', 'case "$*" in', *lines, "esac", "echo done"]
    path.write_text("\n".join(script))
    path.chmod(0o755)
    return Stub(path)


def stubbed(airflow: Airflow, webhook: Webhook, command: Stub) -> Lab:
    """An Airflow that runs the stub."""
    extra = {"BATTERY_COMMAND": str(command.path), "AIRFLOW_CONN_BATTERY_ALERTS": webhook.connection}
    return Lab(Pipeline(command.path.parent, 0), airflow.of(extra), webhook)


CALLS = {
    "check_stream": "status --check",
    "check_new_data": "news",
    "clean_battery_data": "transform --stage -- build --select +battery_cleaned",
    "build_features": "transform --stage -- run --select battery_features",
    "build_marts": "transform --stage -- build --exclude +battery_features --exclude-resource-types test unit_test",
    "test_models": "transform --stage -- test",
    "publish": "publish",
}


@pytest.mark.parametrize(
    ("failing", "complaint"),
    [
        ("check_stream", "no broker answers at KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:1"),
        ("test_models", "dbt test failed: test streamed_cycles_agree_with_those_from_rows (Got 2 results)"),
    ],
)
def test_a_task_that_fails_fails_the_run_stops_all_that_follows_and_is_told(
    airflow: Airflow, webhook: Webhook, tmp_path: Path, failing: str, complaint: str
) -> None:
    command = stub(tmp_path, {CALLS[failing]: complaint})
    ran = stubbed(airflow, webhook, command).run()
    at = list(CALLS).index(failing)
    assert ran.state == "failed", ran.log
    assert [ran.tasks[task] for task in CALLS] == ["success"] * at + ["failed"] + ["upstream_failed"] * (6 - at)
    assert command.calls == [*list(CALLS.values())[: at + 1], SEND_ALERTS]
    assert ran.events == 0
    [alert] = ran.alerts
    assert (alert["event"], alert["subject"]) == ("failure", f"battery_pipeline has failed: {failing}")
    assert f"{failing}: {complaint}" in alert["text"]


def test_a_run_does_all_steps_in_their_order_and_tells_airflow_and_people_what_was_published(
    airflow: Airflow, webhook: Webhook, tmp_path: Path
) -> None:
    published = "published 3 models, 1 tests of 1 cells have changed; exported 9 rows of the marts, 7 readings"
    command = stub(tmp_path, {}, {CALLS["publish"]: (published, 0)})
    ran = stubbed(airflow, webhook, command).run()
    assert ran.state == "success", ran.log
    assert ran.tasks == dict.fromkeys((*CALLS, "send_alerts", "notify"), "success")
    assert command.calls == [*CALLS.values(), SEND_ALERTS]
    assert ran.events == 1
    [alert] = ran.alerts
    assert (alert["event"], alert["subject"]) == ("success", "battery_pipeline is done")
    assert alert["text"].startswith(published)


def test_a_run_without_news_skips_all_that_follows_and_tells_nobody(
    airflow: Airflow, webhook: Webhook, tmp_path: Path
) -> None:
    command = stub(tmp_path, {}, {CALLS["check_new_data"]: ("nothing new since the models were published", 3)})
    ran = stubbed(airflow, webhook, command).run()
    assert ran.state == "success", ran.log
    assert ran.tasks == NOTHING_NEW
    assert (ran.alerts, ran.events) == ([], 0)
    assert command.calls == [CALLS["check_stream"], CALLS["check_new_data"], SEND_ALERTS]


def test_alerts_on_cells_that_nobody_takes_do_not_fail_the_run(
    airflow: Airflow, webhook: Webhook, tmp_path: Path
) -> None:
    command = stub(tmp_path, {SEND_ALERTS: "alerts cannot be sent by http at alerts.example.org: it answered HTTP 503"})
    ran = stubbed(airflow, webhook, command).run()
    assert (ran.state, ran.tasks["publish"], ran.tasks["send_alerts"]) == ("success", "success", "failed"), ran.log


def test_the_command_that_sends_alerts_on_cells_gets_the_connection_that_airflow_has(
    airflow: Airflow, webhook: Webhook, tmp_path: Path
) -> None:
    command = stub(tmp_path, {})
    command.path.write_text(
        f'#!/bin/sh\n[ "$*" != "{SEND_ALERTS}" ] || echo "$AIRFLOW_CONN_BATTERY_ALERTS" > "{tmp_path}/connection"\n'
    )
    uri = f"http://lab:p%40ss@127.0.0.1:{webhook.port}/https?X-Key=k1"
    extra = {"BATTERY_COMMAND": str(command.path), "AIRFLOW_CONN_BATTERY_ALERTS": uri}
    ran = Lab(Pipeline(tmp_path, 0), airflow.of(extra), webhook).run()
    assert ran.tasks["send_alerts"] == "success", ran.log
    found, expected = parse_connection((tmp_path / "connection").read_text()), parse_connection(uri)
    assert found == expected
    assert "p@ss" not in ran.log


def test_the_published_command_runs_the_task_that_cleans_by_itself(
    airflow: Airflow, webhook: Webhook, tmp_path: Path
) -> None:
    command = stub(tmp_path, {})
    lab = stubbed(airflow, webhook, command)
    done = lab.airflow("tasks", "test", "battery_pipeline", "clean_battery_data", "2026-11-26T08:00:00")
    assert done.returncode == 0, done.stderr
    assert command.calls == [CALLS["clean_battery_data"]]


REPLAY = """
dag = bag.dags["battery_replay"]
run = dag.test(run_conf={"from_archive": True, "dry_run": True})
print("result:", run.state, sorted(f"{found.task_id} {found.state}" for found in run.get_task_instances()))
"""


def test_a_replay_runs_by_its_dag_and_asks_for_the_refresh(airflow: Airflow, webhook: Webhook, tmp_path: Path) -> None:
    command = stub(tmp_path, {})
    done = stubbed(airflow, webhook, command).airflow.python(REPLAY)
    log = done.stdout + done.stderr
    assert "result: success ['notify skipped', 'refresh success', 'replay success']" in log, log
    assert command.calls == ["replay --from-archive --dry-run"]
