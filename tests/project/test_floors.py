"""The floors of the imports, which `make lint` holds: an import that points up is found."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.places import ROOT

PACKAGES = ("ageing", "battery", "benchmarks", "dashboard", "dataflows", "kernel", "producer", "refresh", "sink")
LINT = (str(Path(sys.executable).parent / "lint-imports"), "--no-cache")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(LINT, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("kernel/base/errors.py", "import sink.commit"),
        ("kernel/base/errors.py", "import kernel.edges.kafka"),
        ("sink/commit.py", "import sink.care.verify"),
        ("producer/readers/arbin.py", "import producer.publish"),
        ("dataflows/fold/clean.py", "import duckdb"),
        ("dashboard/view.py", "import battery.cli.main"),
    ],
)
def test_an_import_that_points_up_is_found(tmp_path: Path, module: str, line: str) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / module).open("a") as file:
        file.write(f"\n{line}\n")

    found = lint(tmp_path)

    assert found.returncode == 1, found.stdout + found.stderr
    assert "BROKEN" in found.stdout
    assert line.removeprefix("import ").partition(".")[0] in found.stdout
