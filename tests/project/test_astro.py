"""The folder as an Astro project, as far as it can be judged without an engine, Astro's image and Astro's program."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from filelock import FileLock
from packaging.specifiers import SpecifierSet
from support.composed import context, locked
from support.places import ROOT
from support.servers import CACHE

from kernel.base.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCKERFILE = (ROOT / "Dockerfile").read_text()
HOME = "/usr/local/airflow"
"""Where Astro's image has the project."""
MOUNTED = ("dags", "include", "plugins", "tests")
"""The folders of the project that `astro dev start` mounts there."""
UV = str(ROOT / ".tools" / "bin" / "uv")
IN_AIRFLOW = """
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag("dags")
pools = {task.pool for dag in bag.dags.values() for task in dag.tasks}
print(json.dumps({"errors": bag.import_errors, "dags": sorted(bag.dags), "pools": sorted(pools)}))
"""
PROJECT = "import battery, pathlib; print(pathlib.Path(battery.__file__).parents[1] / 'dbt_project')"
"""Where `battery transform` looks for the dbt project."""


def runtime() -> tuple[str, str]:
    """The series of Airflow and the version of Python that the one FROM names."""
    (base,) = re.findall(r"^FROM (.+)$", DOCKERFILE, re.MULTILINE)
    found = re.fullmatch(r"astrocrpublic\.azurecr\.io/runtime:(\d+\.\d+)-\d+-python-(\d+\.\d+)", base)
    assert found, base
    return found[1], found[2]


def environment() -> dict[str, str]:
    """What the image sets."""
    (block,) = re.findall(r"^ENV ((?:.+\\\n)*.+)$", DOCKERFILE, re.MULTILINE)
    return dict(word.split("=", 1) for word in block.replace("\\\n", " ").split())


def settings() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "airflow_settings.yaml").read_text())["airflow"]
    return loaded


def test_the_runtime_is_that_of_the_locked_airflow_with_a_python_of_the_project() -> None:
    airflow, python = runtime()
    assert locked("apache-airflow").rpartition(".")[0] == airflow
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert python in SpecifierSet(project["requires-python"])
    assert re.findall(r"^USER (.+)$", DOCKERFILE, re.MULTILINE) == ["root", "astro"]


def test_the_runtime_finds_what_it_installs_and_nothing_of_the_data_is_in_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    needed = {"packages.txt", "requirements.txt", "dags", "include", "plugins"}
    assert needed - {line.removeprefix("!") for line in ignored} == set()
    assert [name for name in needed if not (ROOT / name).exists()] == []
    assert ignored.index("include/data") > ignored.index("!include")  # the last that matches decides
    assert yaml.safe_load((ROOT / ".astro" / "config.yaml").read_text())["project"]["name"]


def test_the_data_is_in_a_folder_that_is_mounted_and_every_other_variable_is_a_setting() -> None:
    given = environment()
    for name in ("BATTERY_WORK_DIR", "WAREHOUSE", "OBJECT_STORE"):
        place = given[name].removeprefix("file://").removeprefix(f"{HOME}/")
        assert place.partition("/")[0] in MOUNTED
    assert set(given) - {name.upper() for name in Settings.model_fields} == {"BATTERY_WORK_DIR", "DBT_PROFILES_DIR"}


def test_the_broker_is_told_to_those_who_come_by_the_address_that_the_image_has() -> None:
    address = environment()["KAFKA_BOOTSTRAP_SERVERS"]
    broker = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["redpanda"]
    (advertised,) = [word for word in broker["command"] if word.startswith("--advertise-kafka-addr=")]
    assert f"astro://{address}" in advertised.partition("=")[2].split(",")
    port = address.rpartition(":")[2]
    assert f"127.0.0.1:{port}:{port}" in broker["ports"]


def test_requirements_are_those_of_the_lock(tmp_path: Path) -> None:
    made = tmp_path / "requirements.txt"
    subprocess.run(["make", "--silent", "requirements", f"REQUIREMENTS={made}"], cwd=ROOT, check=True)
    written = (ROOT / "requirements.txt").read_text()
    assert made.read_text() == written, "uv.lock has other versions than requirements.txt: run `make requirements`"
    lines = written.splitlines()[1:]
    assert [line for line in lines if not re.match(r"[\w.-]+==[\w.]+($| ; )", line)] == []
    assert {"bytewax", "dbt-duckdb", "apache-airflow-providers-slack"} <= {line.partition("==")[0] for line in lines}
    assert [line for line in lines if re.match(r"apache-airflow(-core|-task-sdk)?==", line)] == []


def install(virtual: Path, requirements: Path, python: str) -> None:
    """Make a virtual environment with Airflow and these requirements, all in the versions of the lock."""
    # The rest of Airflow's needs is here in the lock's versions: the Runtime's own are not known outside of it.
    rest = [UV, "export", "--quiet", "--frozen", "--no-default-groups", "--extra", "airflow", "--no-hashes"]
    exported = subprocess.run([*rest, "--no-emit-project"], cwd=ROOT, capture_output=True, text=True, check=True)
    (virtual / "constraints.txt").write_text(exported.stdout)
    subprocess.run([UV, "venv", "--quiet", "--seed", "--clear", "--python", python, str(virtual / "bare")], check=True)
    arguments = ["--requirement", str(requirements), "--constraint", str(virtual / "constraints.txt")]
    command = [UV, "pip", "install", "--quiet", "--python", str(virtual / "bare"), *arguments]
    subprocess.run([*command, f"apache-airflow=={locked('apache-airflow')}"], check=True)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Airflow of the lock with what the image would install beside it; the environment of a container.

    The Python is that of the Runtime where this machine has one, or else the one that runs the tests. What comes from
    the package index is kept for the next run, as long as the lock and the Dockerfile stay the same.
    """
    home = tmp_path_factory.mktemp("airflow")
    context(home)
    python = shutil.which(f"python{runtime()[1]}")
    if python is None or subprocess.run([python, "-V"], capture_output=True, check=False).returncode != 0:
        python = sys.executable
    of = hashlib.sha256(python.encode())
    for name in ("uv.lock", "requirements.txt", "Dockerfile"):
        of.update((ROOT / name).read_bytes())
    virtual = CACHE / f"astro-{of.hexdigest()[:12]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{virtual}.lock"):  # until the last test, for the pipeline goes in there, too
        if not (virtual / "complete").exists():
            shutil.rmtree(virtual, ignore_errors=True)
            virtual.mkdir()
            install(virtual, home / "requirements.txt", python)
            (virtual / "complete").touch()
        index = {
            name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_")) or "proxy" in name
        }
        bare = {
            **index,
            **{name: value.replace(HOME, str(home)) for name, value in environment().items()},
            "PATH": f"{virtual / 'bare' / 'bin'}:/usr/bin:/bin",
            "HOME": str(virtual),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        }
        for step in re.findall(r"^RUN (.+)$", DOCKERFILE, re.MULTILINE):
            subprocess.run(step.split(), cwd=home, env=bare, check=True)
        yield bare


def run(image: dict[str, str], *command: str, where: str = "AIRFLOW_HOME") -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=image[where], env=image, capture_output=True, text=True, check=False)


def test_airflow_loads_the_dags_and_has_the_pools_of_their_tasks_with_one_slot(image: dict[str, str]) -> None:
    done = run(image, "python", "-c", IN_AIRFLOW)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == {}
    assert found["dags"] != []
    pools = {pool["pool_name"]: pool["pool_slot"] for pool in settings()["pools"]}
    assert set(found["pools"]) - {"default_pool"} <= set(pools)
    assert set(pools.values()) == {1}


def test_a_task_finds_the_pipeline_and_dbt_its_project_and_profile(image: dict[str, str], tmp_path: Path) -> None:
    told = run(image, "battery", "--help", where="BATTERY_WORK_DIR")
    assert "transform" in told.stdout, told.stderr
    complete = run(image, "python", "-m", "pip", "check")
    assert complete.returncode == 0, complete.stdout
    project = run(image, "python", "-c", PROJECT, where="BATTERY_WORK_DIR").stdout.strip()
    assert "site-packages" in project
    folders = ["--target-path", str(tmp_path), "--log-path", str(tmp_path)]
    parsed = run(image, "dbt", "parse", "--project-dir", project, *folders)
    assert parsed.returncode == 0, parsed.stdout


def test_a_runtime_with_another_airflow_than_the_locked_one_is_not_built(image: dict[str, str], tmp_path: Path) -> None:
    lock = (ROOT / "uv.lock").read_text()
    version = locked("apache-airflow")
    (tmp_path / "uv.lock").write_text(
        lock.replace(f'name = "apache-airflow"\nversion = "{version}"', 'name = "apache-airflow"\nversion = "3.0.0"')
    )
    done = subprocess.run(
        ["sh", ROOT / "docker" / "astro.sh"], cwd=tmp_path, env=image, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"this image has Airflow {version}, but uv.lock 3.0.0" in done.stderr
