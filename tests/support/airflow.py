"""An Airflow of its own on SQLite, with the DAGs of this checkout."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from support.forks import Forks
from support.places import ROOT

if TYPE_CHECKING:
    import subprocess

BIN = Path(sys.executable).parent
LOAD = f"""
import sys
sys.path.insert(0, {str(ROOT / "dags")!r})
import airflow.api_fastapi.execution_api.app, airflow.sdk.execution_time.supervisor  # what runs a DAG
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(ROOT / "dags")!r})
assert not bag.import_errors, bag.import_errors
"""
COMMAND = """
sys.argv = ["airflow", *{!r}]
from airflow.__main__ import main
main()
"""


@dataclass
class Airflow:
    """An Airflow of its own, in a folder; every call is a fork of one process that has loaded it with the DAGs."""

    folder: Path
    extra: dict[str, str] = field(default_factory=dict)
    forks: Forks | None = None

    def of(self, extra: dict[str, str]) -> Airflow:
        """The same Airflow in an environment with these variables, too."""
        return Airflow(self.folder, self.extra | extra, self._loaded())

    def end(self) -> None:
        """End the process that has loaded it."""
        if self.forks is not None:
            self.forks.end()

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "BATTERY_COMMAND": str(BIN / "battery"),
            "PYTHONPATH": str(ROOT),
            **self.extra,
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The `airflow` command."""
        return self.python(COMMAND.format(arguments))

    def python(self, code: str, **extra: str) -> subprocess.CompletedProcess[str]:
        """A piece of Python that has the DAGs in `bag`."""
        return self._loaded().run(code, self.environment | extra)

    def _loaded(self) -> Forks:
        if self.forks is None:
            self.forks = Forks(LOAD, self.environment | {"PYTHONWARNINGS": "default"})
        return self.forks
