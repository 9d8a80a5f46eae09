"""Running dbt: the landing tables into models and tests, with one line that says what failed.

dbt runs in a process of its own, as its own command line would, so that a long-lived process keeps none of its
state and the project can be run by hand just the same. What the models mean is dbt's to know, not this module's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import battery
from battery.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from battery.settings import Settings

_DBT: Final = "from dbt.cli.main import cli; cli(prog_name='dbt')"
_FAILED: Final = frozenset({"error", "fail", "runtime error", "partial success"})
_NAMED_FAILURES: Final = 5


def run_dbt(settings: Settings, command: Sequence[str] = ("build",)) -> None:
    """Run a dbt command over the project's models; its output goes to the terminal.

    A warehouse file that another process holds is waited for, up to some minutes. dbt's own files go to a folder
    `dbt` beside the warehouse file (`data/dbt` for MotherDuck); a `DBT_PROFILES_DIR` in the environment wins over
    the project's own profile.

    Args:
        settings: says which warehouse.
        command: dbt's subcommand and its options, such as `("build", "--select", "battery_ts+")`.

    Raises:
        BatteryError: the dbt project is not installed beside the package, BATTERY_CELLS cannot be used, or dbt failed;
            names the models and tests that did.
    """
    project = Path(battery.__file__).resolve().parent.parent / "dbt_project"
    if not (project / "dbt_project.yml").is_file():
        raise BatteryError(
            f"no dbt project at {project}: run from a checkout, where it lies beside the battery package"
        )
    if settings.battery_cells is not None:
        _require_cells(settings.battery_cells, project / "seeds" / "cells.csv")

    work = _work_folder(settings.warehouse)
    results = work / "target" / "run_results.json"
    results.unlink(missing_ok=True)  # those of an earlier run would name the wrong failures
    arguments = [sys.executable, "-c", _DBT, *command, "--project-dir", str(project)]
    if not os.environ.get("DBT_PROFILES_DIR"):
        arguments += ["--profiles-dir", str(project)]
    arguments += ["--target", "motherduck" if _is_motherduck(settings.warehouse) else "local"]
    arguments += ["--target-path", str(work / "target"), "--log-path", str(work / "logs")]
    sys.stdout.flush()  # what was printed before dbt's output stays before it
    finished = subprocess.run(arguments, env=_environment(settings), check=False)
    if finished.returncode != 0:
        log = work / "logs" / "dbt.log"
        raise BatteryError(f"dbt {' '.join(command)} failed: {_failures(results)}; see {log}")


def _require_cells(path: Path, seed: Path) -> None:
    """Look at the lab's own file about its cells before dbt does, whose message would name neither file nor column.

    Raises:
        BatteryError: it cannot be read, or its header is not that of the seed.
    """
    try:
        header = path.read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BatteryError(f"BATTERY_CELLS={path} cannot be read: {reason}") from None
    wanted = seed.read_text().partition("\n")[0].strip()
    if header.split(",") != wanted.split(","):
        raise BatteryError(f"BATTERY_CELLS={path} must begin with the line {wanted}; it begins with {header[:200]}")


def _is_motherduck(warehouse: str) -> bool:
    return warehouse.startswith("md:")


def _work_folder(warehouse: str) -> Path:
    beside = Path("data") if _is_motherduck(warehouse) else Path(warehouse).parent
    return beside.resolve() / "dbt"


def _environment(settings: Settings) -> Mapping[str, str]:
    """The environment for dbt: this one, with the settings that a profile cannot know."""
    environment = dict(os.environ, DBT_SEND_ANONYMOUS_USAGE_STATS="false")
    if not sys.stdout.isatty():
        environment["DBT_USE_COLORS"] = "false"
    if _is_motherduck(settings.warehouse):
        environment["WAREHOUSE"] = settings.warehouse
    else:
        environment["WAREHOUSE"] = str(Path(settings.warehouse).resolve())  # dbt changes into its project folder
    environment["BATTERY_CELLS"] = str(settings.battery_cells.resolve()) if settings.battery_cells else ""
    if settings.motherduck_token:
        environment["MOTHERDUCK_TOKEN"] = settings.motherduck_token.get_secret_value()
    return environment


def _failures(results: Path) -> str:
    """What failed, each node with the first line that says why."""
    if not results.is_file():
        return "it ended before it ran anything"
    failures = []
    for result in json.loads(results.read_text())["results"]:
        if result["status"] in _FAILED:
            kind, _, name = result["unique_id"].split(".", 2)
            lines = [line.strip() for line in str(result["message"]).splitlines() if line.strip()]
            why = next((line for line in lines if " Error in " not in line), "no message")
            failures.append(f"{kind.replace('_', ' ')} {name} ({why})")
    named = "; ".join(failures[:_NAMED_FAILURES]) or "no model or test failed"
    more = len(failures) - _NAMED_FAILURES
    return f"{named}; and {more} more" if more > 0 else named
