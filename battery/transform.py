"""Running dbt: the landing tables into models and tests, with one line that says what failed.

dbt runs in a process of its own, as its own command line would, so that a long-lived process keeps none of its
state and the project can be run by hand just the same. What the models mean is dbt's to know, not this module's.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import battery
from battery.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from battery.settings import Settings

_DBT: Final = "from dbt.cli.main import cli; cli(prog_name='dbt')"
_FAILED: Final = frozenset({"error", "fail", "runtime error", "partial success"})
_PASSED: Final = frozenset({"success", "pass", "warn"})
_NAMED_FAILURES: Final = 5

PUBLISHED: Final = "main"
"""The schema that readers look at."""

BUILDING: Final = "building"
"""The schema in which the pipeline builds and tests the models before readers see them."""


@dataclass(frozen=True)
class NodeResult:
    """What became of one model, test or seed: `seconds` it took, `failures` rows that a test found."""

    node: str
    status: str
    seconds: float
    failures: int | None
    message: str | None

    @property
    def kind(self) -> str:
        """What it is, in dbt's words: model, test, unit_test, seed, snapshot or source."""
        return self.node.partition(".")[0]

    @property
    def has_failed(self) -> bool:
        """Whether it failed, rather than being skipped after another failure."""
        return self.status in _FAILED


@dataclass(frozen=True)
class DbtRun:
    """One dbt command and how it ended.

    `failure` says in one line what failed, None when nothing did; `audited` tells that every test of the project was
    run and none failed. Times are UTC.
    """

    command: str
    started_at: datetime
    seconds: float
    results: tuple[NodeResult, ...]
    failure: str | None
    audited: bool

    @property
    def built(self) -> bool:
        """Whether it may have changed a model."""
        return any(result.kind in {"model", "seed", "snapshot"} for result in self.results)

    @property
    def tested_models(self) -> frozenset[str]:
        """Names of the models and seeds that it built along with their tests; none where it ran no tests."""
        if self.failure or not any(result.kind == "test" for result in self.results):
            return frozenset()
        return frozenset(result.node.rpartition(".")[2] for result in self.results if result.kind in {"model", "seed"})


def run_dbt(settings: Settings, command: Sequence[str] = ("build",)) -> None:
    """Run a dbt command on the models that readers see, as by hand.

    Raises:
        BatteryError: as `dbt`, or dbt failed; names the models and tests that did.
    """
    run = dbt(settings, command, PUBLISHED)
    if run.failure:
        raise BatteryError(run.failure)


def dbt(settings: Settings, command: Sequence[str], schema: str) -> DbtRun:
    """Run a dbt command over the project's models; its output goes to the terminal.

    A warehouse file that another process holds is waited for, up to some minutes. dbt's own files go to a folder
    `dbt` beside the warehouse file (`data/dbt` for MotherDuck); a `DBT_PROFILES_DIR` in the environment wins over
    the project's own profile.

    Args:
        settings: says which warehouse.
        command: dbt's subcommand and its options, such as `("build", "--select", "battery_ts+")`.
        schema: where the models are built.

    Raises:
        BatteryError: the dbt project is not installed beside the package, or BATTERY_CELLS cannot be used.
    """
    project = _project()
    if settings.battery_cells is not None:
        _require_cells(settings.battery_cells, project / "seeds" / "cells.csv")

    work = _work_folder(settings.warehouse)
    target = work / "target"
    found = target / ("sources.json" if command[0] == "source" else "run_results.json")
    found.unlink(missing_ok=True)  # those of an earlier run would name the wrong failures
    arguments = [sys.executable, "-c", _DBT]
    if settings.log_format == "json":
        arguments += ["--log-format", "json"]
    arguments += [*command, "--project-dir", str(project)]
    if not os.environ.get("DBT_PROFILES_DIR"):
        arguments += ["--profiles-dir", str(project)]
    arguments += ["--target", "motherduck" if _is_motherduck(settings.warehouse) else "local"]
    arguments += ["--target-path", str(target), "--log-path", str(work / "logs")]
    sys.stdout.flush()  # what was printed before dbt's output stays before it
    started_at = datetime.now(UTC).replace(tzinfo=None)
    started = time.monotonic()
    finished = subprocess.run(arguments, env=_environment(settings, schema), check=False)
    results = _results(found)
    failure = None
    if finished.returncode != 0:
        failure = f"dbt {' '.join(command)} failed: {_failures(results)}; see {work / 'logs' / 'dbt.log'}"
    tests = _tests(target / "manifest.json")
    passed = {result.node for result in results if result.status in _PASSED}
    return DbtRun(
        command=" ".join(command),
        started_at=started_at,
        seconds=round(time.monotonic() - started, 3),
        results=results,
        failure=failure,
        audited=failure is None and bool(tests) and tests <= passed,
    )


def inputs_of(settings: Settings) -> str:
    """A checksum of what models depend on beside the landing: the dbt project, and what is known of the cells.

    Raises:
        BatteryError: the dbt project is not installed beside the package, or BATTERY_CELLS cannot be read.
    """
    project = _project()
    if settings.battery_cells is not None:
        _require_cells(settings.battery_cells, project / "seeds" / "cells.csv")
    folders = ("models", "macros", "seeds", "tests")
    paths = sorted(path for folder in folders for path in (project / folder).rglob("*") if path.suffix in _SOURCES)
    paths += sorted((project.parent / "ageing").glob("*.py"))
    paths += [] if settings.battery_cells is None else [settings.battery_cells]
    content = hashlib.sha256()
    for path in paths:
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


_SOURCES: Final = frozenset({".sql", ".py", ".yml", ".csv"})


def _project() -> Path:
    project = Path(battery.__file__).resolve().parent.parent / "dbt_project"
    if not (project / "dbt_project.yml").is_file():
        raise BatteryError(
            f"no dbt project at {project}: run from a checkout, where it lies beside the battery package"
        )
    return project


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


def _environment(settings: Settings, schema: str) -> Mapping[str, str]:
    """The environment for dbt: this one, with the settings that a profile cannot know."""
    environment = dict(
        os.environ, DBT_SEND_ANONYMOUS_USAGE_STATS="false", BATTERY_SCHEMA=schema, BATTERY_INPUTS=inputs_of(settings)
    )
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


def _results(path: Path) -> tuple[NodeResult, ...]:
    """What dbt says of its nodes; nothing when it ended before it ran any."""
    if not path.is_file():
        return ()
    return tuple(
        NodeResult(
            node=result["unique_id"],
            status=result["status"],
            seconds=round(result.get("execution_time") or 0.0, 3),
            failures=result.get("failures"),
            message=result.get("message"),
        )
        for result in json.loads(path.read_text())["results"]
    )


def _tests(manifest: Path) -> set[str]:
    """All tests of the project, unit tests included, by dbt's names."""
    if not manifest.is_file():
        return set()
    found = json.loads(manifest.read_text())
    return {node for node in found["nodes"] if node.startswith("test.")}.union(found["unit_tests"])


def _failures(results: Sequence[NodeResult]) -> str:
    """What failed, each node with the first line that says why."""
    if not results:
        return "it ended before it ran anything"
    failures = []
    for result in results:
        if result.has_failed:
            kind, _, name = result.node.split(".", 2)
            lines = [line.strip() for line in str(result.message).splitlines() if line.strip()]
            why = next((line for line in lines if " Error in " not in line), "no message")
            failures.append(f"{kind.replace('_', ' ')} {name} ({why})")
    named = "; ".join(failures[:_NAMED_FAILURES]) or "no model or test failed"
    more = len(failures) - _NAMED_FAILURES
    return f"{named}; and {more} more" if more > 0 else named
