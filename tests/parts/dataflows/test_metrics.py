"""A worker's metrics and its health, asked for as Prometheus and a supervisor ask."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from support.harness import finish, send, traffic
from support.places import ROOT

from dataflows.endpoint import API_ENABLED, API_PORT, BytewaxMetrics, serve, settle_bytewax_api
from dataflows.health import Pulse
from dataflows.metrics import Metrics
from kernel.base.ports import free_port
from kernel.base.settings import Settings
from kernel.contract.reading import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.pipeline import Pipeline

SECONDS = 60


def ask(port: int, path: str) -> tuple[int, str]:
    """What is answered, and with which status."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=SECONDS) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def figures(port: int) -> dict[str, float]:
    """All samples by name, with their labels but those of histograms' bounds."""
    found = {}
    for family in text_string_to_metric_families(ask(port, "/metrics")[1]):
        for sample in family.samples:
            labels = ",".join(value for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def figures_once(port: int, are_so: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """The figures of a worker that starts, once they are so."""
    deadline, found = time.monotonic() + SECONDS, dict[str, float]()
    while True:
        try:
            found = figures(port)
        except OSError:  # it does not listen yet
            found = {}
        if found and are_so(found):
            return figures(port)  # all of them at a time at which it is so
        assert time.monotonic() < deadline, found


class Clock:
    """Both clocks of `dataflows.metrics`, which stand still."""

    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        return self.now

    monotonic = time


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("dataflows.metrics.time", clock)
    return clock


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(recovery_dir=tmp_path / "recovery", lanes=2, commit_interval_seconds=10, metrics_port=free_port())


@pytest.fixture
def metrics(settings: Settings, clock: Clock) -> Metrics:
    """Those of a worker that has not begun, served until the tests end."""
    assert clock
    found = Metrics(settings, Pulse(settings))
    assert serve(settings, found) is not None
    return found


def close_epoch(settings: Settings, ago: float = 0) -> None:
    Pulse(settings).beat()
    then = time.time() - ago
    os.utime(settings.recovery_dir / "pulse" / "epoch", (then, then))


@pytest.mark.usefixtures("metrics")
def test_a_worker_is_well_while_its_epochs_close_and_no_message_waits(settings: Settings) -> None:
    status, said = ask(settings.metrics_port, "/health")
    assert (status, said.startswith("no worker has closed an epoch yet")) == (503, True)
    close_epoch(settings)
    assert ask(settings.metrics_port, "/health") == (200, "the worker closed an epoch 0 s ago\n")
    close_epoch(settings, ago=50)
    status, said = ask(settings.metrics_port, "/health")
    assert (status, said.startswith("the worker has closed no epoch for 50 s, expected within 45 s")) == (503, True)


def test_a_worker_is_not_well_while_messages_wait_and_none_lands(
    settings: Settings, metrics: Metrics, clock: Clock
) -> None:
    close_epoch(settings)
    for partition in (0, 1):
        metrics.reached(partition, 7, 0)
    clock.now += 3600  # nobody publishes
    metrics.reached(1, 7, 5)
    assert (ask(settings.metrics_port, "/health")[0], metrics.waiting()) == (200, 0)
    clock.now += 46
    metrics.reached(1, 7, 8)
    assert ask(settings.metrics_port, "/health") == (
        503,
        (
            "8 messages of partition 1 wait, and none has landed for 46 s, expected within 45 s; the worker's log says "
            "why\n"
        ),
    )
    assert figures(settings.metrics_port)["battery_waiting_seconds"] == 46
    metrics.reached(1, 8, 12)  # one has
    assert ask(settings.metrics_port, "/health")[0] == 200


@pytest.mark.usefixtures("metrics")
@pytest.mark.parametrize("path", ["/", "/metrics/", "/healthy"])
def test_nothing_else_is_served(settings: Settings, path: str) -> None:
    assert ask(settings.metrics_port, path) == (404, "there is /metrics and /health\n")


def test_the_age_of_the_last_commit_is_that_at_the_time_of_the_scrape(
    settings: Settings, metrics: Metrics, clock: Clock
) -> None:
    clock.now += 5
    found = figures(settings.metrics_port)
    assert (found["battery_last_commit_age_seconds"], found["battery_last_commit_timestamp_seconds"]) == (5, 0)
    metrics.committed(10, {}, [], 0.1)
    committed_at = clock.now
    clock.now += 7
    found = figures(settings.metrics_port)
    assert found["battery_last_commit_age_seconds"] == pytest.approx(7)
    assert found["battery_last_commit_timestamp_seconds"] == committed_at


def test_a_commit_is_counted_by_rows_reasons_objects_and_time(settings: Settings, metrics: Metrics) -> None:
    metrics.committed(10, {"duplicate": 3}, [2000, 500], 0.3)
    metrics.committed(5, {"duplicate": 1, "not_finite": 2}, [1], 0.2)
    found = figures(settings.metrics_port)
    assert found["battery_rows_landed_total"] == 15
    assert {reason.value: found[f"battery_rows_quarantined_total{{{reason}}}"] for reason in Reason} == {
        **dict.fromkeys(map(str, Reason), 0),
        "duplicate": 4,
        "not_finite": 2,
    }
    assert (found["battery_object_bytes_count"], found["battery_object_bytes_sum"]) == (3, 2501)
    assert found["battery_commit_duration_seconds_sum"] == pytest.approx(0.5)


def test_an_epoch_lasts_from_one_close_of_a_partition_to_its_next(
    settings: Settings, metrics: Metrics, clock: Clock
) -> None:
    for partition, later in ((0, 1), (1, 2), (0, 0), (1, 0)):
        metrics.epoch_closed(partition)
        clock.now += later
    found = figures(settings.metrics_port)
    assert (found["battery_epoch_duration_seconds_count"], found["battery_epoch_duration_seconds_sum"]) == (2, 5)


def test_the_age_of_the_last_epoch_is_not_that_of_a_run_before(
    settings: Settings, metrics: Metrics, clock: Clock
) -> None:
    close_epoch(settings, ago=3600)
    clock.now += 30
    assert figures(settings.metrics_port)["battery_last_epoch_age_seconds"] == pytest.approx(30)
    close_epoch(settings)
    assert metrics.epoch_age() < 30


def test_every_metric_has_a_unit_and_the_projects_name(settings: Settings, metrics: Metrics) -> None:
    metrics.read(0, 1)
    metrics.reached(0, 1, 1)
    units = ("seconds", "bytes", "messages", "rows_in", "rows_landed", "rows_quarantined", "messages_read", "process_")
    assert settings.metrics_port
    for family in metrics.registry.collect():
        assert family.name.startswith(("battery_", "process_"))
        assert any(unit in family.name for unit in units), family.name
        assert family.documentation


BYTEWAX = """\
# HELP bytewax_write_seconds time
# TYPE bytewax_write_seconds histogram
bytewax_write_seconds_bucket{part="0",le="+Inf"} 2
bytewax_write_seconds_sum{part="0"} 0.5
bytewax_write_seconds_count{part="0"} 2
bytewax_write_seconds_bucket{part="0",le="+Inf"} 3
bytewax_write_seconds_sum{part="0"} 0.25
bytewax_write_seconds_count{part="0"} 3
# HELP process_open_fds Number of open file descriptors.
# TYPE process_open_fds gauge
process_open_fds 9
"""


@pytest.fixture
def bytewax_api() -> Iterator[int]:
    """What Bytewax would answer; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(BYTEWAX.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_bytewaxs_own_figures_stand_beside_ours_each_series_once(
    settings: Settings, clock: Clock, bytewax_api: int
) -> None:
    assert clock
    given = {"bytewax_dataflow_api_enabled": True, "bytewax_dataflow_api_port": bytewax_api}
    metrics = Metrics(settings, Pulse(settings))
    assert serve(settings.model_copy(update=given), metrics) is not None
    text = ask(settings.metrics_port, "/metrics")[1]
    series = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(series) == len(set(series))
    assert "battery_bytewax_up 1.0" in text
    assert 'bytewax_write_seconds_sum{part="0"} 0.75' in text
    assert 'bytewax_write_seconds_count{part="0"} 5.0' in text


def test_a_bytewax_that_does_not_answer_is_told_by_a_gauge() -> None:
    (told,) = BytewaxMetrics(free_port()).collect()
    assert [(sample.name, sample.value) for sample in told.samples] == [("battery_bytewax_up", 0)]


@pytest.mark.parametrize(("given", "is_on"), [("1", True), ("true", True), ("false", False), ("0", False), ("", False)])
def test_bytewaxs_web_api_is_on_where_it_is_asked_for_and_off_where_it_is_not(
    monkeypatch: pytest.MonkeyPatch, given: str, is_on: bool
) -> None:
    monkeypatch.setenv(API_ENABLED, given)
    monkeypatch.setenv(API_PORT, "3031")
    settle_bytewax_api(Settings())
    assert (API_ENABLED in os.environ, os.environ[API_PORT]) == (is_on, "3031")


def test_a_port_that_is_taken_is_told_of_once_and_named(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", settings.metrics_port)), capture_logs() as said:
        assert serve(settings, Metrics(settings, Pulse(settings))) is None
    assert [(line["log_level"], line["event"]) for line in said] == [
        (
            "warning",
            (
                f"no metrics are served: METRICS_PORT={settings.metrics_port} cannot be had; set it to another one, or "
                "to 0 for none"
            ),
        )
    ]


def test_no_port_no_metrics(settings: Settings) -> None:
    silent = settings.model_copy(update={"metrics_port": 0})
    assert serve(silent, Metrics(silent, Pulse(silent))) is None


def test_a_worker_whose_port_is_taken_lands_all_the_same(pipeline: Pipeline) -> None:
    send(pipeline.settings, traffic(range(1)))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        pipeline.extra["METRICS_PORT"] = str(taken.getsockname()[1])
        said = pipeline.battery("stream", "--until-end")
    assert said.count("no metrics are served") == 1
    assert pipeline.query("select count(*) > 0 from battery_ts_cleaned") == [(True,)]


def counts(pipeline: Pipeline) -> dict[str, float]:
    """What the counters of rows must say, by the warehouse."""
    ((landed,),) = pipeline.query("select count(*) from battery_ts_cleaned")
    refused = dict(pipeline.query("select reason, sum(row_count)::bigint from battery_quarantine group by reason"))
    return {
        "battery_rows_in_total": landed + sum(refused.values()),
        "battery_rows_landed_total": landed,
        **{f"battery_rows_quarantined_total{{{reason}}}": refused.get(reason.value, 0) for reason in Reason},
    }


def test_the_flow_serves_its_metrics_however_it_is_started_and_ends_all_the_same(pipeline: Pipeline) -> None:
    port, api = free_port(), free_port()
    given = {"METRICS_PORT": str(port), API_ENABLED: "false", API_PORT: str(api), "PYTHONPATH": str(ROOT)}
    messages = send(pipeline.settings, traffic(range(4)))
    worker = subprocess.Popen(
        [sys.executable, "-m", "bytewax.run", "dataflows.battery", "-s", "1"],
        env=pipeline.environment | given,
        cwd=pipeline.folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    pipeline.started.append(worker)
    found = figures_once(port, lambda told: told.get("battery_messages_read_total{0}") == messages
                         and told["battery_lag_messages{0}"] == 0)  # fmt: skip
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", api)) != 0
    assert ask(port, "/health")[0] == 200
    worker.terminate()
    finish(worker, 0)
    expected = counts(pipeline)
    assert len(expected) > 5
    assert {name: found[name] for name in expected} == expected
    assert found["battery_commit_duration_seconds_count"] == len(
        pipeline.query('select distinct "commit" from internal._commits')
    )


def test_each_process_of_a_cluster_serves_at_a_port_of_its_own(pipeline: Pipeline) -> None:
    base = free_port(2)
    pipeline.extra |= {"METRICS_PORT": str(base), "BATTERY_TOPIC_PARTITIONS": "2", "LANES": "2"}
    messages = send(pipeline.settings, traffic(range(3)))
    cluster = pipeline.start("stream", "--workers", "2")

    def total(name: str, told: list[dict[str, float]]) -> float:
        return sum(value for one in told for key, value in one.items() if key.startswith(name))

    deadline, found = time.monotonic() + SECONDS, list[dict[str, float]]()
    while total("battery_messages_read_total", found) < messages or total("battery_lag_messages", found):
        found = [figures_once(base + process, lambda told: "battery_lag_messages" in " ".join(told))
                 for process in range(2)]  # fmt: skip
        assert time.monotonic() < deadline, found
    assert [sum("battery_messages_read" in name for name in told) for told in found] == [1, 1]
    cluster.terminate()
    finish(cluster, 0)
    assert {name: total(name, found) for name in counts(pipeline)} == counts(pipeline)


def test_importing_the_flow_serves_nothing(tmp_path: Path) -> None:
    port = free_port()
    look = f"import socket, dataflows.battery; print(socket.socket().connect_ex(('127.0.0.1', {port})) != 0)"
    done = subprocess.run(
        [sys.executable, "-c", look],
        env=os.environ | {"METRICS_PORT": str(port), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"
