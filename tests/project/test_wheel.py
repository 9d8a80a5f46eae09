"""The wheel, installed away from the checkout: everything that the commands need is in it.

`parts/test_demo.py` runs the demo from it.
"""

from __future__ import annotations

from pathlib import Path

from support.wheel import run

PACKAGES = ("ageing", "battery", "dashboard", "dataflows", "kernel", "producer", "refresh", "sink")
WHERE = "import sys, importlib\nfor name in sys.argv[1:]: print(importlib.import_module(name).__file__)"


def test_every_package_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    shown = run(installed, tmp_path, "python", "-c", WHERE, *PACKAGES)
    assert shown.returncode == 0, shown.stderr
    assert [Path(line).is_relative_to(installed) for line in shown.stdout.splitlines()] == [True] * len(PACKAGES)


def test_airflow_says_that_its_dags_are_in_a_checkout_alone(installed: Path, tmp_path: Path) -> None:
    shown = run(installed, tmp_path, "battery", "airflow")
    assert shown.returncode == 2
    assert "run from a checkout" in shown.stderr
