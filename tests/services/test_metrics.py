"""A real Prometheus and a real worker, as docker-compose.yml puts them together: board, alerts and exact figures."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.composed import SERVICES, health_command
from support.harness import send, traffic
from support.pipeline import Pipeline
from support.places import ROOT
from support.servers import Prometheus

from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.forks import Process

SECONDS = 60
CONFIGURED = ROOT / "docker" / "prometheus"
BOARD = json.loads((ROOT / "docker" / "grafana" / "boards" / "battery.json").read_text())
ALERTS = [
    rule for group in yaml.safe_load((CONFIGURED / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
PANELS = [(panel["title"], target["expr"]) for panel in BOARD["panels"] for target in panel["targets"]]


def promtool(programs: Path, *arguments: str) -> str:
    done = subprocess.run([programs / "promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_finds_no_fault_in_configuration_and_alerts(prometheus_files: Path) -> None:
    assert f"{len(ALERTS)} rules found" in promtool(prometheus_files, "check", "config", f"{CONFIGURED}/prometheus.yml")


def test_each_alert_fires_for_what_it_is_about_and_for_nothing_else(prometheus_files: Path, tmp_path: Path) -> None:
    written = (Path(__file__).parent / "alerts.yml").read_text()
    (tmp_path / "alerts.yml").write_text(written.replace("ALERTS]", f"{CONFIGURED}/alerts.yml]", 1))
    promtool(prometheus_files, "test", "rules", f"{tmp_path}/alerts.yml")
    assert [rule["alert"] for rule in ALERTS if rule["alert"] not in written] == []


@dataclass
class Watched:
    """A worker, the Prometheus that scrapes it every second, and how many messages were sent."""

    pipeline: Pipeline
    worker: Process
    prometheus: Prometheus
    sent: int = 0

    def ask(self, path: str, **given: str) -> Any:
        """The data of an answer of Prometheus' API."""
        asked = f"http://127.0.0.1:{self.prometheus.port}/api/v1/{path}?{urllib.parse.urlencode(given)}"
        try:
            with urllib.request.urlopen(asked, timeout=SECONDS) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refused:
            pytest.fail(f"{given}: {refused.read().decode()}")

    def value(self, expression: str) -> list[float]:
        """What an expression of the board comes to, without what is no number."""
        found = self.ask("query", query=expression.replace("$__rate_interval", "30s"))["result"]
        return [number for one in found if not math.isnan(number := float(one["value"][1]))]

    def once(self, expression: str, is_so: Callable[[list[float]], bool]) -> list[float]:
        """Its value, once it is so."""
        deadline = time.monotonic() + SECONDS
        while not is_so(found := self.value(expression)):
            assert time.monotonic() < deadline, f"{expression}: {found}"
            assert self.worker.poll() is None or "up" in expression, "the worker has ended"
            time.sleep(0.1)  # between two looks
        return found


def configured(folder: Path, port: int) -> list[str]:
    """The command of the file on a copy of the configuration, which scrapes a worker at a port of this machine."""
    (folder / "etc").mkdir(parents=True)
    for path in CONFIGURED.iterdir():
        text = path.read_text().replace("worker:9108", f"127.0.0.1:{port}").replace("_interval: 15s", "_interval: 1s")
        (folder / "etc" / path.name).write_text(text.replace("scrape_timeout: 10s", "scrape_timeout: 1s"))
    places = {"/etc/prometheus": f"{folder}/etc", "=/prometheus": f"={folder}/data"}
    words: list[str] = SERVICES["prometheus"]["command"]
    for theirs, ours in places.items():
        words = [word.replace(theirs, ours) for word in words]
    return words


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, prometheus_files: Path) -> Iterator[Watched]:
    assert prometheus_files
    folder = tmp_path_factory.mktemp("watched")
    port, api = free_port(), free_port()
    given = {
        name: value for name, value in SERVICES["worker"]["environment"].items() if name.startswith(("METRICS", "BYT"))
    }
    assert len(given) == 3
    broker = free_port()
    with embedded_broker(broker):
        pipeline = Pipeline(
            folder / "pipeline",
            broker,
            given | {"METRICS_PORT": str(port), "BYTEWAX_DATAFLOW_API_PORT": str(api), "BATTERY_TOPIC_PARTITIONS": "2"},
        )
        prometheus = Prometheus(folder / "prometheus", arguments=configured(folder, port))
        prometheus.start()
        with (folder / "worker.log").open("w") as output:
            worker = pipeline.start("stream", output=output)
        found = Watched(pipeline, worker, prometheus)
        try:
            found.sent = send(pipeline.settings, traffic(range(3)))
            found.once("battery_rows_landed_total", lambda values: sum(values) > 0)
            found.sent += send(pipeline.settings, traffic(range(3, 6)))
            yield found
        finally:
            pipeline.end()
            prometheus.stop()


def test_every_panel_of_the_board_shows_something(watched: Watched) -> None:
    for title, expression in PANELS:
        assert watched.once(expression, bool), title


def test_no_series_is_told_twice(watched: Watched) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{watched.prometheus.port}/metrics", timeout=SECONDS) as answer:
        said = answer.read().decode()
    assert "prometheus_target_scrapes_sample_duplicate_timestamp_total 0\n" in said
    assert watched.value("battery_bytewax_up") == [1]


def test_every_alert_is_evaluated_and_refused_rows_are_told_of(watched: Watched) -> None:
    refused = 'ALERTS{alertname="BatteryRowsQuarantined",alertstate="firing"}'
    assert len(watched.once(f"count by (reason) ({refused})", lambda values: len(values) == 3)) == 3
    ((group,),) = (watched.ask("rules")["groups"],)
    assert {rule["name"]: (rule["health"], rule.get("lastError")) for rule in group["rules"]} == {
        rule["alert"]: ("ok", None) for rule in ALERTS
    }
    assert {rule["name"] for rule in group["rules"] if rule["state"] != "inactive"} == {"BatteryRowsQuarantined"}
    for rule in ALERTS:
        watched.value(rule["expr"])


def test_prometheus_is_well_by_the_health_check_of_the_file(watched: Watched) -> None:
    command = health_command("prometheus", {"127.0.0.1:9090": f"127.0.0.1:{watched.prometheus.port}"})
    assert subprocess.run(command, env=os.environ, capture_output=True, check=False).returncode == 0
    nobody = health_command("prometheus", {"127.0.0.1:9090": f"127.0.0.1:{free_port()}"})
    assert subprocess.run(nobody, env=os.environ, capture_output=True, check=False).returncode != 0


def test_the_figures_are_those_of_the_warehouse_and_a_worker_that_ends_is_down(watched: Watched) -> None:
    """The last one: it ends the worker."""
    watched.once("sum(battery_messages_read_total)", lambda values: values == [watched.sent])
    watched.once("sum(battery_lag_messages)", lambda values: values == [0])
    (now,) = watched.value("vector(time())")
    watched.once("min(timestamp(battery_rows_in_total))", lambda values: values > [now])  # all of one later scrape
    told = [watched.value(f"sum(battery_rows_{what}_total)") for what in ("in", "landed", "quarantined")]
    by_reason = {
        one["metric"]["reason"]: int(one["value"][1])
        for one in watched.ask("query", query="battery_rows_quarantined_total > 0")["result"]
    }
    watched.worker.send_signal(signal.SIGTERM)
    assert watched.worker.wait(SECONDS) == 0
    ((landed,),) = watched.pipeline.query("select count(*) from battery_ts_cleaned")
    refused = dict(watched.pipeline.query("select reason, sum(row_count)::bigint from battery_quarantine group by all"))
    assert told == [[landed + sum(refused.values())], [landed], [sum(refused.values())]]
    assert by_reason == refused
    down = next(rule["expr"] for rule in ALERTS if rule["alert"] == "BatteryWorkerDown")
    assert watched.once(down, lambda values: values == [0]) == [0]
