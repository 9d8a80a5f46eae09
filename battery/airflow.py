"""Running Airflow on this machine: scheduler, DAG processor and web page in one, for the DAGs of this checkout."""

from __future__ import annotations

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import battery
from kernel.base.errors import BatteryError
from kernel.base.extras import missing_extra

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME: Final = Path("data/airflow")
"""Where Airflow keeps its database and logs, unless AIRFLOW_HOME is set."""


def serve(port: int) -> NoReturn:
    """Become Airflow, which runs until SIGTERM or Ctrl-C; it prints its address and the password of its user `admin`.

    Args:
        port: where the page is, on 127.0.0.1.

    Raises:
        BatteryError: the extra is not installed, or the DAGs do not lie beside the package.
    """
    if find_spec("airflow") is None:
        raise missing_extra("Airflow", "airflow")
    dags = Path(battery.__file__).resolve().parent.parent / "dags"
    if not dags.is_dir():
        raise BatteryError(f"no DAGs at {dags}: run from a checkout, where they lie beside the battery package")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell that starts a command in the background has it ignored
    command = [sys.executable, "-m", "battery.airflow_standalone"]
    os.execve(sys.executable, command, _environment(dags, port))  # noqa: S606  # this process becomes Airflow


def _environment(dags: Path, port: int) -> Mapping[str, str]:
    """This environment with the settings that Airflow needs; variables that are set already win."""
    programs = Path(sys.executable).parent
    address = f"http://127.0.0.1:{port}"
    return {
        "AIRFLOW_HOME": str(HOME.resolve()),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "false",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": address,
        "AIRFLOW__API__WORKERS": "1",
        # All parts start at once. A task that meets an API server which is not up yet, or is slow, waits for it:
        # by default it would fail after some seconds, and be tried again only after minutes.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "30",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "5",
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "BATTERY_COMMAND": str(programs / "battery"),
        "BATTERY_WORK_DIR": str(Path.cwd()),
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
