"""What the doctor says of each thing, and that it is quick and keeps secrets to itself."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from battery.doctor import checks, machine, probes
from battery.doctor.checks import State
from kernel.base.ports import free_port
from kernel.base.settings import Settings
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile
from sink.cells.events import create_cell_tables
from sink.claim import claim_store
from sink.tables import create_tables


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10), State.FAULT), ((3, 11), State.OK), ((3, 12), State.OK), ((3, 13), State.FAULT)]
)
def test_only_pythons_that_are_supported_are_well(version: tuple[int, int], state: State) -> None:
    assert checks.check_python(version).state is state


def test_packages_that_are_missing_or_of_another_version_are_a_fault() -> None:
    required = ["duckdb==1.5.5", "bytewax==0.21.1", "pyarrow>=26,<27", "minio==1; extra == 'x'", "rich>=14", "!?"]
    installed = {"duckdb": "1.5.5", "bytewax": "0.21.1", "pyarrow": "26.0.1"}
    assert checks.check_packages(required, installed).state is State.OK
    found = checks.check_packages(required, {"duckdb": "2.0.0", "pyarrow": "26.0.1"})
    assert (found.state, found.detail) == (State.FAULT, "duckdb 2.0.0 is not ==1.5.5, bytewax is not installed")


@pytest.mark.parametrize(
    ("free", "needed", "state"),
    [
        (400_000_000, 0, State.FAULT),
        (4_000_000_000, 0, State.WARNING),
        (6_000_000_000, 0, State.OK),
        (6_000_000_000, 7_000_000_000, State.WARNING),
    ],
)
def test_room_on_the_disk_is_judged_by_what_a_rebuild_needs(free: int, needed: int, state: State) -> None:
    (found,) = checks.check_disk({"/data": (free, needed)})
    assert found.state is state
    assert "/data" in found.detail


@pytest.mark.parametrize(
    ("available", "dbt", "state"),
    [
        (500_000_000, None, State.WARNING),
        (4_000_000_000, None, State.OK),
        (4_000_000_000, 9_000_000_000, State.FAULT),
        (4_000_000_000, 2_000_000_000, State.OK),
    ],
)
def test_memory_is_judged_by_what_is_free_and_what_dbt_may_take(available: int, dbt: int | None, state: State) -> None:
    assert checks.check_memory(8_000_000_000, available, dbt).state is state


@pytest.mark.parametrize(
    ("seconds", "state"), [(0.5, State.OK), (-6, State.WARNING), (60, State.WARNING), (-1000, State.FAULT)]
)
def test_clocks_that_differ_are_told_either_way(seconds: float, state: State) -> None:
    found = checks.check_clock("the store", seconds)
    assert found.state is state
    assert ("ahead of" if seconds > 0 else "behind") in found.detail


def test_readings_stamped_later_than_now_are_a_warning() -> None:
    assert checks.check_stamps(0).state is State.OK
    assert checks.check_stamps(3).state is State.WARNING


def test_settings_that_point_to_nothing_or_clash_are_named(tmp_path: Path) -> None:
    assert [found.state for found in checks.check_settings(Settings())] == [State.OK]
    settings = Settings(
        battery_cells=tmp_path / "cells.csv",
        commit_interval_seconds=60,
        max_commit_age_seconds=30,
        lanes=2,
        motherduck_token=SecretStr("hush"),
        minio_endpoint="127.0.0.1:9000",
    )
    found = list(checks.check_settings(settings))
    assert [one.state for one in found] == [State.FAULT, *[State.WARNING] * 4]
    for one, name in zip(
        found, ("BATTERY_CELLS", "COMMIT_INTERVAL_SECONDS", "LANES", "MOTHERDUCK_TOKEN", "MINIO_ENDPOINT"), strict=True
    ):
        assert name in one.detail
        assert one.remedy
    assert "hush" not in str(found)


def test_the_env_file_is_searched_for_misspelt_names_hidden_values_and_open_secrets() -> None:
    lines = [
        "# a comment", "", "WAREHOUSE=lab.duckdb", "WAREHOSE=x", "PATH_OF_MINE=y", "export BATTERY_TOPIC='lab'",
        "MINIO_SECRET_KEY=hush",
    ]  # fmt: skip
    known = {"WAREHOUSE", "BATTERY_TOPIC", "MINIO_SECRET_KEY"}
    environment = {"WAREHOUSE": "other.duckdb", "BATTERY_TOPIC": "lab", "MINIO_SECRET_KEY": "hush hush"}
    found = list(checks.check_env_file(lines, environment, known, others_may_read=True))
    assert [one.detail.split()[0] for one in found] == ["WAREHOUSE", "WAREHOSE", "MINIO_SECRET_KEY", "it"]
    assert found[1].remedy == "write WAREHOUSE"
    assert "hush" not in str(found)
    assert list(checks.check_env_file(["MINIO_SECRET_KEY=hush"], {}, known, others_may_read=False)) == []


def test_a_store_of_another_pipeline_is_a_fault_and_a_copied_warehouse_a_warning() -> None:
    assert checks.check_pipeline(None, None, store_is_ahead=False).state is State.OK
    assert checks.check_pipeline("a", "a", store_is_ahead=False).state is State.OK
    assert checks.check_pipeline("a", "a", store_is_ahead=True).state is State.WARNING
    assert checks.check_pipeline("a", "b", store_is_ahead=False).state is State.FAULT


def test_a_lock_names_the_processes_that_hold_it(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    with place.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        status = place.stat()
        holders = checks.holders_of(Path("/proc/locks").read_text(), status.st_dev, status.st_ino)
    assert holders == [os.getpid()]
    assert checks.check_lock("models", holders, place).detail.startswith(f"models: held by process {os.getpid()}")
    assert checks.check_lock("models", [], place).detail.startswith("models: held by another process")
    assert checks.check_lock("models", None, place).detail == "models: free"


@pytest.mark.parametrize(("age", "state"), [(None, State.WARNING), (5, State.OK), (50, State.WARNING)])
def test_a_worker_that_closes_no_epochs_is_a_warning(age: float | None, state: State) -> None:
    assert checks.check_worker(age, 45).state is state


@pytest.mark.parametrize(
    ("folder", "age", "trouble", "is_watched", "state"),
    [
        (None, None, "", False, State.OK),
        ("in", 1.0, "", True, State.OK),
        ("in", 60.0, "", True, State.WARNING),
        ("in", 1.0, "", False, State.WARNING),
        ("in", 1.0, "no broker", True, State.FAULT),
    ],
)
def test_an_inbox_is_well_while_its_watch_gives_signs(
    folder: str | None, age: float | None, trouble: str, is_watched: bool, state: State
) -> None:
    assert checks.check_inbox(folder, age, trouble, is_watched=is_watched, longest=15).state is state


@pytest.mark.parametrize(
    ("failure", "age", "news", "state"),
    [
        ("a test failed", 10, None, State.FAULT),
        (None, None, None, State.WARNING),
        (None, 10, "10 rows", State.OK),
        (None, 90_000, "10 rows", State.WARNING),
        (None, 90_000, None, State.OK),
    ],
)
def test_a_refresh_that_failed_or_does_not_come_is_told(
    failure: str | None, age: float | None, news: str | None, state: State
) -> None:
    assert checks.check_refresh(failure, age, news).state is state


def lab(folder: Path, **others: object) -> Settings:
    """Settings of a pipeline where nothing listens."""
    return Settings(
        kafka_bootstrap_servers=f"127.0.0.1:{free_port()}",
        warehouse=str(folder / "lab.duckdb"),
        object_store=f"file://{folder / 'objects'}",
        recovery_dir=folder / "recovery",
        replay_dir=folder / "replay",
        metrics_port=free_port(),
        **others,  # type: ignore[arg-type]
    )


def states(settings: Settings) -> dict[str, set[State]]:
    found: dict[str, set[State]] = {}
    for one in probes.examine(settings):
        found.setdefault(one.name, set()).add(one.state)
    return found


def test_before_anything_has_run_the_broker_is_at_fault_and_nothing_is_made(tmp_path: Path) -> None:
    found = states(lab(tmp_path))
    assert found["broker"] == {State.FAULT}
    assert found["store"] == found["warehouse"] == found["worker"] == {State.WARNING}
    assert list(tmp_path.iterdir()) == []


def test_a_warehouse_is_read_with_its_store_and_another_pipelines_store_is_found(tmp_path: Path) -> None:
    for name in ("lab", "other"):
        warehouse = DuckDBFile(tmp_path / f"{name}.duckdb", lock_timeout_seconds=1)
        with warehouse.connect("make it") as connection:
            create_tables(connection)
        claim_store(FolderStore(tmp_path / ("objects" if name == "lab" else "others")), warehouse)
    assert states(lab(tmp_path))["warehouse"] == {State.OK}
    assert states(lab(tmp_path))["pipeline"] == {State.OK}
    other = lab(tmp_path).model_copy(update={"object_store": f"file://{tmp_path / 'others'}"})
    assert states(other)["pipeline"] == {State.FAULT}


def test_a_damaged_warehouse_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "lab.duckdb").write_bytes(b"no database" * 1000)
    assert State.FAULT in states(lab(tmp_path))["warehouse"]


def test_what_does_not_answer_is_given_up_and_the_rest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PATIENCE_SECONDS", 0.2)
    monkeypatch.setattr(probes, "open_topic", lambda _: time.sleep(60))
    monkeypatch.setattr(probes, "_listens", lambda _: True)
    began = time.monotonic()
    found = probes.examine(lab(tmp_path))
    assert time.monotonic() - began < 30
    (broker,) = [one for one in found if one.name == "broker"]
    assert broker.state is State.FAULT
    assert "no broker answers at KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:" in broker.detail
    assert "rather than another program" in broker.remedy


def test_what_was_found_before_an_answer_did_not_come_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with DuckDBFile(tmp_path / "lab.duckdb", lock_timeout_seconds=1).connect("make it") as connection:
        create_tables(connection)
    (tmp_path / "objects").mkdir()
    monkeypatch.setattr(probes, "open_to_look", lambda _: time.sleep(60))
    warehouse = [str(one) for one in probes.examine(lab(tmp_path)) if one.name in {"warehouse", "lock"}]
    assert any("is readable: 0 readings" in line for line in warehouse)
    assert any("no answer within 2 s; see whether OBJECT_STORE=" in line for line in warehouse)


def test_a_program_that_is_no_broker_is_told_from_none(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        settings = lab(tmp_path).model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{port}"})
        (broker,) = [one for one in probes.examine(settings) if one.name == "broker"]
    assert f"no broker answers at KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:{port}" in broker.detail


@pytest.mark.parametrize("content", [b"# HELP battery_rows_total rows", b"<html>another program"])
def test_a_port_that_another_program_has_is_a_warning(tmp_path: Path, content: bytes) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        settings = lab(tmp_path).model_copy(update={"metrics_port": server.server_port})
        (metrics,) = [one for one in probes.examine(settings) if one.name == "metrics"]
        server.shutdown()
    assert metrics.state is (State.OK if content.startswith(b"#") else State.WARNING)
    if metrics.state is State.WARNING:
        assert metrics.remedy == "end that one, or set METRICS_PORT"


def test_what_this_user_may_not_read_or_write_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recovery = tmp_path / "recovery"
    recovery.mkdir()
    (tmp_path / "lab.duckdb").touch()

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "pulse")

    monkeypatch.setattr(os, "access", lambda place, _: place != recovery)
    monkeypatch.setattr(probes, "read_inbox", refuse)
    found = [str(one) for one in probes.examine(lab(tmp_path))]
    user = machine.user_name()
    assert (
        f"fault    access      RECOVERY_DIR: user {user} may not write to {recovery}; `chmod -R u+rwX {recovery}`"
        in found
    )
    assert (
        f"fault    parts       user {user} may not read pulse; run as the user who owns it, or change its owner"
        in found
    )
    (foreign,) = checks.check_access({"WAREHOUSE": ("/srv/lab", False)}, "ann")
    assert foreign.remedy == "`chown -R ann /srv/lab`, or run as its owner"


def test_a_warehouse_in_which_nothing_has_landed_yet_is_no_fault(tmp_path: Path) -> None:
    with DuckDBFile(tmp_path / "lab.duckdb", lock_timeout_seconds=1).connect("tell of a cell") as connection:
        create_cell_tables(connection)
    assert states(lab(tmp_path))["warehouse"] == {State.WARNING}


def test_extras_that_are_not_installed_are_named(tmp_path: Path) -> None:
    needed = {"dashboard": ["streamlit", "plotly"], "notebook": ["pandas"], "readers": []}
    (found, all_there) = (checks.check_extras(needed, there) for there in ({"plotly", "pandas"}, {"streamlit", *"x"}))
    assert found.state is State.OK
    assert found.detail.startswith("installed: notebook, readers; not installed: dashboard")
    assert "not installed: dashboard, notebook" in all_there.detail
    (own,) = [one for one in probes.examine(lab(tmp_path)) if one.name == "extras"]
    assert "notebook" in own.detail


def test_no_secret_is_printed(tmp_path: Path) -> None:
    secrets = {
        name: SecretStr("hush-hush-hush-hush")
        for name in ("motherduck_token", "kafka_sasl_password", "minio_secret_key", "dashboard_password")
    }
    settings = lab(tmp_path, **secrets).model_copy(update={"kafka_bootstrap_servers": "SASL_SSL://me:hush@nowhere:1"})
    found = probes.examine(settings)
    assert "hush" not in json.dumps([str(one) for one in found])
