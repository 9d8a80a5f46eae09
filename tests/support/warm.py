"""dbt in forks of one process that has loaded it and read the project, instead of processes that each do so again.

What `refresh.dbt` does before and after stays as it is: the options, the environment, the reading of results.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

from support.forks import Forks
from support.places import ROOT

from kernel.base.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

PROJECT = ROOT / "dbt_project"
SCHEMAS = ("main", "building")
FILES = ("BATTERY_CELLS", "BATTERY_ALERT_RULES")
LIMITS = ("INSTRUMENT_MAX_VOLTAGE_V", "INSTRUMENT_MAX_CURRENT_A")
HARMLESS = frozenset({"DBT_SEND_ANONYMOUS_USAGE_STATS", "DBT_USE_COLORS"})
LOAD = f"""
import os, shutil, sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from dbt.cli.main import dbtRunner
folder = Path(os.environ["FOLDER"])
manifests = {{}}
os.environ["WAREHOUSE"] = str(folder / "battery.duckdb")
for schema in {SCHEMAS!r}:
    os.environ["BATTERY_SCHEMA"] = schema
    places = ["--target-path", str(folder / schema), "--log-path", str(folder / "logs")]
    project = ["--project-dir", {str(PROJECT)!r}, "--profiles-dir", {str(PROJECT)!r}, "--target", "local"]
    parsed = dbtRunner().invoke(["--quiet", "parse", *project, *places])
    assert parsed.success, parsed.exception
    manifests[schema] = parsed.result
"""
RUN = """
arguments = {!r}
schema, target = os.environ["BATTERY_SCHEMA"], Path(arguments[arguments.index("--target-path") + 1])
target.mkdir(parents=True, exist_ok=True)
shutil.copy(folder / schema / "manifest.json", target)
ended = dbtRunner(manifests[schema]).invoke(arguments)
sys.exit(0 if ended.success else 2 if ended.exception else 1)
"""


class WarmDbt:
    """A stand-in for the module `subprocess` where `refresh.dbt` starts dbt."""

    def __init__(self, folder: Path) -> None:
        defaults = dict.fromkeys(FILES, "") | {"FOLDER": str(folder), "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"}
        for name in LIMITS:
            defaults[name] = str(Settings.model_fields[name.lower()].default)
        self._read = {name: defaults[name] for name in (*FILES, *LIMITS)}
        self._forks = Forks(LOAD, os.environ | defaults)

    def run(
        self,
        command: list[str],
        *,
        env: dict[str, str],
        check: bool,
        pass_fds: tuple[int, ...],
        stdout: int,
        stderr: int,
    ) -> subprocess.CompletedProcess[Any]:
        """Run dbt as `subprocess.run` would.

        Where settings make another project of what has been read, dbt starts afresh: one that reads a project for the
        second time, in a fork, waits for a lock that nobody has.
        """
        arguments = command[4:]
        if not self._has_read(arguments, env):
            return subprocess.run(command, env=env, check=check, pass_fds=pass_fds, stdout=stdout, stderr=stderr)
        done = self._forks.run(RUN.format(arguments), env)
        for descriptor, text in ((stdout, done.stdout), (stderr, done.stderr)):
            with os.fdopen(os.dup(descriptor), "w") as file:
                file.write(text)
        return done

    def end(self) -> None:
        """End the process that has loaded dbt."""
        self._forks.end()

    def _has_read(self, arguments: list[str], environment: dict[str, str]) -> bool:
        """Whether the project reads in this environment as it did when it was loaded."""
        return (
            environment["WAREHOUSE"].endswith("/battery.duckdb")
            and environment["BATTERY_SCHEMA"] in SCHEMAS
            and all(environment[name] == value for name, value in self._read.items())
            and all(name in HARMLESS for name in environment if name.startswith("DBT_"))
            and "--vars" not in arguments
        )
