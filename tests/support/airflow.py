"""An Airflow of its own on SQLite, with the DAGs of this checkout."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from support.places import ROOT

BIN = Path(sys.executable).parent
LOAD = f"""
import sys
sys.path.insert(0, {str(ROOT / "dags")!r})
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(ROOT / "dags")!r})
assert not bag.import_errors, bag.import_errors
"""


@dataclass
class Airflow:
    """An Airflow of its own, in a folder; every call is a process of its own."""

    folder: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "BATTERY_COMMAND": str(BIN / "battery"),
            **self.extra,
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The `airflow` command."""
        return self._run([sys.executable, "-m", "airflow", *arguments], {})

    def python(self, code: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """A piece of Python that has the DAGs in `bag`."""
        return self._run([sys.executable, "-c", LOAD + code], extra)

    def _run(self, command: list[str], extra: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=self.environment | extra, capture_output=True, text=True, check=False)
