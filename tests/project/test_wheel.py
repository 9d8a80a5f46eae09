"""The wheel, installed away from the checkout: everything that the commands need is in it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.looking import require_dashboard
from support.places import ROOT

from kernel.edges.broker import free_port

pytestmark = pytest.mark.timeout(600)

UV = ROOT / ".tools" / "bin" / "uv"
PACKAGES = ("ageing", "battery", "dashboard", "dataflows", "kernel", "producer", "refresh", "sink")
CHECKOUT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables that may lead to the checkout."""

WHERE = "import sys, importlib\nfor name in sys.argv[1:]: print(importlib.import_module(name).__file__)"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel, in which the checkout cannot be imported.

    What the wheel depends on is taken from the environment of the tests by a path file. Path files in there, such as
    that of the checkout, are not read.
    """
    if not UV.exists():
        pytest.skip("no uv at .tools/bin/uv, which `make setup` puts there")
    folder = tmp_path_factory.mktemp("wheel")
    environment = folder / "environment"
    uv(folder, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
    uv(folder, "venv", "--quiet", "--no-config", "--python", sys.executable, str(environment))
    python = str(environment / "bin" / "python")
    (wheel,) = folder.glob("*.whl")
    uv(folder, "pip", "install", "--quiet", "--no-config", "--no-deps", "--python", python, str(wheel))
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("empty")


def uv(folder: Path, *arguments: str) -> None:
    done = subprocess.run([str(UV), *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def environment(**more: str) -> dict[str, str]:
    """That of somebody who has never heard of the checkout."""
    return {name: value for name, value in os.environ.items() if name not in CHECKOUT} | more


def run(installed: Path, folder: Path, program: str, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(installed / "bin" / program), *arguments],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )


@pytest.fixture(scope="module")
def demo(installed: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """A small demo in a folder that was empty."""
    return run(installed, folder, "battery", "demo", "--cells", "1", "--cycles", "4")


def test_every_package_is_the_wheels(installed: Path, folder: Path) -> None:
    shown = run(installed, folder, "python", "-c", WHERE, *PACKAGES)
    assert shown.returncode == 0, shown.stderr
    assert [Path(line).is_relative_to(installed) for line in shown.stdout.splitlines()] == [True] * len(PACKAGES)


def test_the_demo_runs_in_an_empty_folder(demo: subprocess.CompletedProcess[str], folder: Path) -> None:
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "how the simulated cells age" in demo.stdout
    assert [path.name for path in folder.iterdir()] == ["data"]


@pytest.mark.usefixtures("demo")
def test_a_report_of_the_demos_cell_is_written(installed: Path, folder: Path) -> None:
    data = folder / "data" / "demo"
    places = {"OBJECT_STORE": f"file://{data / 'objects'}", "WAREHOUSE": str(data / "battery.duckdb")}
    shown = run(installed, folder, "battery", "report", "SIM_01", "--no-png", "--out", "reports", **places)
    assert shown.returncode == 0, shown.stderr
    assert "SIM_01" in (folder / "reports" / "SIM_01.html").read_text()


@pytest.mark.usefixtures("demo")
def test_the_dashboard_starts(installed: Path, folder: Path) -> None:
    port = free_port()
    command = [str(installed / "bin" / "battery"), "dashboard", "--data-dir", "data/demo", "--port", str(port)]
    require_dashboard(command, port, folder, environment())


def test_airflow_says_that_its_dags_are_in_a_checkout_alone(installed: Path, folder: Path) -> None:
    shown = run(installed, folder, "battery", "airflow")
    assert shown.returncode == 2
    assert "run from a checkout" in shown.stderr
