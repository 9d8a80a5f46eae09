"""docker-compose.yml and docker/Dockerfile, as far as they can be judged without an engine."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest
import yaml
from support.composed import AIRFLOW, COMPOSE, PIPELINE, SERVICES, context, filled, locked
from support.places import ROOT

from battery.cli.main import cli
from dataflows.health import Pulse
from dataflows.metrics import Metrics
from kernel.base.settings import Settings, load_settings

if TYPE_CHECKING:
    from pathlib import Path

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
KNOWN = {
    "minio": {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"},
    "bucket": {"MC_HOST_local"},
    "console": {"KAFKA_BROKERS"},
    "postgres": {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"},
    "warehouse": {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"},
    "redpanda": set[str](),
    "prometheus": set[str](),
    "grafana": {
        "GF_SECURITY_ADMIN_PASSWORD", "GF_SECURITY_DISABLE_GRAVATAR", "GF_AUTH_ANONYMOUS_ENABLED",
        "GF_AUTH_ANONYMOUS_ORG_ROLE", "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH", "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES", "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES", "GF_NEWS_NEWS_FEED_ENABLED",
        "GF_PLUGINS_PREINSTALL_DISABLED",
    },
}  # fmt: skip
"""What the images of others are told, by their documentation."""
IN_AIRFLOW = """
import json, sys
from airflow.cli.cli_parser import get_parser
from airflow.configuration import retrieve_configuration_description
known = {
    f"AIRFLOW__{section.upper()}__{option.upper()}"
    for section, described in retrieve_configuration_description().items()
    for option in described["options"]
}
asked = json.load(sys.stdin)
for command in asked["commands"]:
    get_parser().parse_args(command)
print(json.dumps(sorted(set(asked["names"]) - known)))
"""


@pytest.mark.parametrize("service", PIPELINE)
def test_every_variable_of_the_pipeline_is_a_setting(service: str) -> None:
    assert set(SERVICES[service]["environment"]) - {name.upper() for name in Settings.model_fields} == set()


OPTIONAL = sorted(
    {
        name
        for service in PIPELINE
        for name, text in SERVICES[service]["environment"].items()
        if str(text).endswith(":-}") and name not in {"GATEWAY_TOKEN", "MOTHERDUCK_TOKEN"}
    }
)
"""Settings that the pipeline is given as an empty text where nobody sets them."""


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_setting_that_nobody_sets_is_as_if_it_were_not_given(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name, raising=False)
    default = load_settings()
    monkeypatch.setenv(name, "")
    assert load_settings() == default


@pytest.mark.parametrize("service", sorted(set(SERVICES) - set(PIPELINE) - set(AIRFLOW)))
def test_every_variable_of_an_image_of_others_is_one_that_it_knows(service: str) -> None:
    assert set(SERVICES[service].get("environment", {})) - KNOWN[service] == set()


def test_airflow_knows_its_variables_and_commands(tmp_path: Path) -> None:
    given = {name for service in AIRFLOW for name in SERVICES[service]["environment"]}
    asked = {
        "names": [name for name in given if name.startswith("AIRFLOW__")],
        "commands": [SERVICES[service]["command"] for service in AIRFLOW if "command" in SERVICES[service]]
        + [["jobs", "check", "--job-type", "DagProcessorJob", "--local"], ["db", "migrate"]]
        + [["pools", "set", "battery_warehouse", "1", "The warehouse, which one task uses at a time"]],
    }
    assert len(asked["names"]) > 10
    assert len(asked["commands"]) == 6
    done = subprocess.run(
        [sys.executable, "-c", IN_AIRFLOW],
        input=json.dumps(asked),
        env=os.environ | {"AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
    own = {name for name in given if not name.startswith(("AIRFLOW__", "AIRFLOW_CONFIG"))} - {
        name.upper() for name in Settings.model_fields
    }
    own = {name.removeprefix("AIRFLOW_CONN_").lower() if "_CONN_" in name else name for name in own}  # as Airflow does
    read = "".join(path.read_text() for path in (ROOT / "dags").rglob("*.py"))
    read += (ROOT / "docker" / "airflow-init.sh").read_text()
    assert [name for name in own if name not in read] == []


@pytest.mark.parametrize("service", PIPELINE)
@pytest.mark.parametrize("produce", ["", "/workbooks"])
def test_every_command_of_the_pipeline_can_be_parsed(service: str, produce: str) -> None:
    name, *arguments = [filled(word, {"PRODUCE": produce}) for word in SERVICES[service]["command"]]
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    command.make_context(name, arguments)


def test_every_path_that_is_mounted_exists_and_every_volume_is_declared() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    used = set()
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert re.search(rf"^{re.escape(source.removeprefix('./'))}/", tracked, re.MULTILINE), source
            else:
                used.add(source)
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_limited_in_a_profile_and_waits_for_what_is_well(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?[\w.-]*\d[\w.-]*$", service["image"])
    assert "latest" not in service["image"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["profiles"] in (["core", "full", "cluster"], ["core", "full"], ["full"], ["cluster"])
    for other, gate in service.get("depends_on", {}).items():
        needed = SERVICES[other]
        assert set(service["profiles"]) <= set(needed["profiles"])
        assert gate["condition"] in {"service_healthy", "service_completed_successfully"}
        assert ("healthcheck" in needed) == (gate["condition"] == "service_healthy")
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")
    if service.get("restart") == "unless-stopped" and name != "console":  # whose image holds nothing to ask with
        assert "healthcheck" in service


WRITABLE = {"redpanda": "rpk writes what the command says to /etc/redpanda/redpanda.yaml, and has no other way"}
"""Services whose own files can be changed, and why."""


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_may_do_more_than_it_needs_or_write_elsewhere_than_to_its_volumes_and_a_little_memory(
    name: str,
) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert set(service) & {"cap_add", "privileged", "devices", "pid", "ipc", "network_mode"} == set()
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is (name not in WRITABLE)
    places = [place.split(":") for place in service["tmpfs"]]
    assert "/tmp" in dict(places)  # noqa: S108  # of the container
    assert all(re.search(r"\bsize=\d+m\b", options) for _, options in places), "memory without a limit"
    for mount in service.get("volumes", []):
        source, _, *mode = mount.split(":")
        assert source in COMPOSE["volumes"] or mode == ["ro"], mount


def test_no_secret_stands_in_the_file() -> None:
    secret = re.compile(r"PASSWORD$|SECRET|TOKEN|_KEY$|ROOT_USER|MC_HOST|SQL_ALCHEMY_CONN")
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert "${" in str(value), name


def test_the_worker_is_stopped_by_the_signal_that_it_commits_on_and_given_the_time() -> None:
    worker = SERVICES["worker"]
    assert (worker["stop_signal"], worker["stop_grace_period"], worker["restart"]) == (
        "SIGTERM",
        "2m",
        "unless-stopped",
    )


def test_the_hosts_of_the_cluster_differ_in_nothing_but_their_place() -> None:
    hosts = [SERVICES[name] for name in ("worker-0", "worker-1")]
    for index, host in enumerate(hosts):
        name, option, places, *place = host["command"]
        assert (name, option, place) == ("stream", "--hosts", ["--index", str(index)])
        assert [text.split(":")[0] for text in places.split(",")] == ["worker-0", "worker-1"]
        assert host["environment"]["RECOVERY_DIR"] == f"data/recovery-{index}"
    own = {"RECOVERY_DIR": "of each host"}
    first, second = (host | {"command": [], "environment": host["environment"] | own} for host in hosts)
    assert first == second
    assert {key: first[key] for key in ("stop_signal", "stop_grace_period", "restart")} == {
        key: SERVICES["worker"][key] for key in ("stop_signal", "stop_grace_period", "restart")
    }


def yaml_of(path: str) -> Any:
    return yaml.safe_load((ROOT / "docker" / path).read_text())


BOARD = json.loads((ROOT / "docker" / "grafana" / "boards" / "battery.json").read_text())
EXPRESSIONS = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]] + [
    rule["expr"] for group in yaml_of("prometheus/alerts.yml")["groups"] for rule in group["rules"]
]


def test_prometheus_asks_the_worker_where_it_serves_its_metrics_within_the_network_alone() -> None:
    (job,) = yaml_of("prometheus/prometheus.yml")["scrape_configs"]
    given = SERVICES["worker"]["environment"]
    assert job["static_configs"] == [{"targets": [f"worker:{given['METRICS_PORT']}"]}]
    assert (given["METRICS_HOST"], "ports" in SERVICES["worker"]) == ("0.0.0.0", False)  # noqa: S104  # in its network
    assert {name for name in SERVICES if "METRICS_HOST" in SERVICES[name].get("environment", {})} == {"worker"}


def test_grafana_finds_its_source_and_its_board_where_they_are_mounted() -> None:
    mounted = dict(mount.split(":")[:2] for mount in SERVICES["grafana"]["volumes"])
    (source,) = yaml_of("grafana/provisioning/datasources/prometheus.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml_of("grafana/provisioning/dashboards/boards.yml")["providers"]
    assert mounted["./docker/grafana/boards"] == provider["options"]["path"]
    assert mounted["./docker/grafana/provisioning"] == "/etc/grafana/provisioning"
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/battery.json"
    assert {target["datasource"]["uid"] for panel in BOARD["panels"] for target in panel["targets"]} == {source["uid"]}


def test_every_panel_of_the_board_has_a_unit_and_says_what_it_shows() -> None:
    for panel in BOARD["panels"]:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]


def test_the_board_and_the_alerts_ask_for_nothing_that_the_worker_does_not_tell() -> None:
    settings = Settings(_env_file=None)
    kinds = ("", "_total", "_bucket", "_sum", "_count")
    families = Metrics(settings, Pulse(settings)).registry.collect()
    told = {f"{family.name}{kind}" for family in families for kind in kinds}
    told |= {"battery_bytewax_up"}
    asked = {name for text in EXPRESSIONS for name in re.findall(r"\b(?:battery|process)_\w+", text)}
    assert len(asked) > 10
    assert asked - told == set()


def test_make_env_writes_what_the_file_asks_for_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    def make() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "docker" / "make_env.py"), str(tmp_path / ".env")]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert make().returncode == 0
    written = (tmp_path / ".env").read_text()
    values = dict(re.findall(r"^(\w+)=(.+)$", written, re.MULTILINE))
    filled((ROOT / "docker-compose.yml").read_text(), values)  # raises where one is missing
    assert values["COMPOSE_PROFILES"] == "core"
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
    again = make()
    assert (again.returncode, (tmp_path / ".env").read_text()) == (1, written)
    assert "exists and is left as it is" in again.stderr


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.+)$", DOCKERFILE, re.MULTILINE)


def test_the_images_are_made_by_one_script_from_pinned_bases_and_run_as_nobody_special() -> None:
    assert {command.split()[1] for command in instructions("RUN")} == {"docker/install.sh"}
    assert all(command.startswith("sh docker/install.sh /opt/battery") for command in instructions("RUN"))
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE))
    bases = [filled(base.split(" AS ")[0], arguments) for base in instructions("FROM")]
    assert all(re.fullmatch(r"[\w/]+:\d+\.\d+\.\d+-\S+", base) for base in bases)
    assert arguments["AIRFLOW"].startswith(locked("apache-airflow"))
    stages = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    for stage in stages[1:]:
        assert re.findall(r"^USER (.+)$", stage, re.MULTILINE)[-1] == "50000:0"
    builds = [SERVICES[name]["build"] for name in (*PIPELINE, *AIRFLOW)]
    assert {build["dockerfile"] for build in builds} == {"docker/Dockerfile"}
    assert {build["target"] for build in builds} == set(re.findall(r" AS (\w+)$", DOCKERFILE, re.MULTILINE)[1:])


def test_what_the_pipeline_keeps_at_home_or_lets_wait_on_disk_goes_to_its_volume() -> None:
    for name in ("HOME", "TMPDIR"):
        assert re.findall(rf"\b{name}=(\S+)", DOCKERFILE) == ["/var/lib/battery"]
    for service in (*PIPELINE, *AIRFLOW):
        assert "pipeline:/var/lib/battery" in SERVICES[service]["volumes"]


@pytest.mark.nightly
def test_the_build_steps_make_a_pipeline_that_runs_for_a_user_without_rights(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    sources = context(tmp_path_factory.mktemp("context"))
    for step in instructions("COPY"):
        *copied, _ = [word for word in step.split() if not word.startswith("--")]
        if "--from" not in step:
            assert all((sources / name).exists() for name in copied), step
    target = tmp_path_factory.mktemp("image") / "battery"
    lock_only = tmp_path_factory.mktemp("lock")
    (lock_only / "docker").mkdir()
    for name in ("docker/install.sh", "pyproject.toml", "uv.lock"):
        (lock_only / name).write_bytes((sources / name).read_bytes())
    environment = os.environ | {"UV_NO_CACHE": "false"}
    for command, folder in zip(instructions("RUN")[:2], (lock_only, sources), strict=True):
        words = command.replace("/opt/battery", str(target)).split()
        subprocess.run(words, cwd=folder, env=environment, check=True)

    def run(*command: str, **extra: Any) -> subprocess.CompletedProcess[str]:
        bare = {"PATH": f"{target}/bin:/usr/bin:/bin", "HOME": "/tmp"}  # noqa: S108  # as in the image
        return subprocess.run(command, env=bare, capture_output=True, text=True, check=False, cwd=target, **extra)

    assert "stream" in run("battery", "--help").stdout
    project = target / "lib" / "python3.11" / "site-packages" / "dbt_project"
    assert [name for name in ("dbt_project.yml", "seeds/cells.csv") if not (project / name).is_file()] == []
    imported = "import streamlit, duckdb, bytewax, confluent_kafka, pyarrow.parquet, ageing.tables"
    assert run("python", "-c", imported).returncode == 0
    assert run("python", "-c", "import pytest").returncode == 1, "what only tests need is not in the image"
    assert run("python", "-c", "import airflow").returncode == 1
