"""Running dbt: it builds models from the landing tables and tests them; one line says what failed.

dbt runs in a process of its own, as from its own command line. A long-lived process therefore keeps none of dbt's
state, and a person can run the project by hand in the same way. This module knows nothing of what the models mean.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from kernel.base.errors import BatteryError
from kernel.base.locks import lock_file
from kernel.base.output import relay_line
from kernel.base.processes import relay_lines
from refresh.warned import warnings_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kernel.base.settings import Settings
    from refresh.warned import TestWarning

_log = structlog.get_logger()

_DBT: Final = """
import sys
from kernel.base.orphans import end_with_parent
end_with_parent(int(sys.argv.pop(1)))
from dbt.cli.main import cli
cli(prog_name='dbt')
"""
_FAILED: Final = frozenset({"error", "fail", "runtime error", "partial success"})
_PASSED: Final = frozenset({"success", "pass", "warn"})
_UNCHANGED: Final = frozenset({"error", "skipped"})
_NAMED_FAILURES: Final = 5
_SOURCES: Final = frozenset({".sql", ".py", ".yml", ".csv"})

RELAY_SECONDS: Final = 10.0
"""How long the last lines of a dbt process that has ended may take to be printed, in s."""

BUILT: Final = frozenset({"model", "seed", "snapshot"})
"""The kinds of dbt's nodes that are tables or views."""

PUBLISHED: Final = "main"
"""The schema in which readers look."""

BUILDING: Final = "building"
"""The schema in which the pipeline builds and tests the models before readers see them."""


@dataclass(frozen=True)
class NodeResult:
    """How one model, test or seed ended: the `seconds` that it took, and the `failures` (rows) that a test found."""

    node: str
    status: str
    seconds: float
    failures: int | None
    message: str | None

    @property
    def kind(self) -> str:
        """Its kind, in dbt's words: model, test, unit_test, seed, snapshot or source."""
        return self.node.partition(".")[0]

    @property
    def has_failed(self) -> bool:
        """Whether it failed, rather than being skipped after another failure."""
        return self.status in _FAILED


@dataclass(frozen=True)
class DbtRun:
    """One dbt command and how it ended.

    `failure` says in one line what failed, or is None. `audited` is true if all tests of the project have run and
    passed; unit tests count only if they were part of the command. `models` holds the names of all models and seeds of
    the project, `warnings` the tests that found something without failing.
    """

    command: tuple[str, ...]
    seconds: float
    results: tuple[NodeResult, ...]
    failure: str | None
    audited: bool
    models: tuple[str, ...]
    warnings: tuple[TestWarning, ...] = ()

    @property
    def built(self) -> bool:
        """Whether dbt reports that it has changed a model; a model that failed is as before."""
        return any(result.kind in BUILT and result.status not in _UNCHANGED for result in self.results)

    @property
    def tested_models(self) -> frozenset[str]:
        """Names of the models and seeds that it built and tested; none if it ran no tests, or failed."""
        if self.failure or not any(result.kind == "test" for result in self.results):
            return frozenset()
        return frozenset(result.node.rpartition(".")[2] for result in self.results if result.kind in BUILT)


def require_project(settings: Settings) -> Path:
    """Check what dbt needs before it starts.

    Returns:
        The folder of the dbt project.

    Raises:
        BatteryError: the dbt project is not installed beside the package, or BATTERY_CELLS cannot be used.
    """
    project = _project()
    if settings.battery_cells is not None:
        _require_cells(settings.battery_cells, project / "seeds" / "cells.csv")
    return project


@contextmanager
def lock_models(settings: Settings) -> Iterator[int]:
    """Hold the lock on the models until the block ends; one process at a time builds and publishes them.

    Yields:
        The lock's file descriptor. dbt inherits it, so that others wait for dbt even if this process is killed.

    Raises:
        BatteryError: the folder for dbt's own files cannot be made.
    """
    work = work_folder(settings)
    has_logged = False

    def wait(seconds: float) -> None:
        nonlocal has_logged
        if not has_logged:
            has_logged = True
            _log.info("waiting for another run of dbt, or a publication", folder=str(work))
        time.sleep(seconds)

    with ExitStack() as held:
        try:
            work.mkdir(parents=True, exist_ok=True)
            lock = held.enter_context(lock_file(work / "lock", wait))
        except OSError as error:
            raise BatteryError(f"the folder for dbt's own files, {work}, cannot be used: {error.strerror}") from None
        yield lock


def dbt(
    settings: Settings, command: Sequence[str], schema: str, lock: int, run: str = "", *, unit_tests: bool = True
) -> DbtRun:
    """Run a dbt command on the project's models; its output goes to the terminal.

    dbt waits some minutes for a warehouse file that another process holds. A `DBT_PROFILES_DIR` in the environment
    takes the place of the project's own profile.

    Args:
        settings: name the warehouse.
        command: dbt's subcommand and its options, such as `("build", "--select", "battery_ts+")`.
        schema: where the models are built.
        lock: the file descriptor that `lock_models` yields.
        run: the run's id in `_dbt_runs`, where the transaction that builds a model records it.
        unit_tests: whether the command runs the project's unit tests, too.

    Raises:
        BatteryError: the dbt project is not installed beside the package, or BATTERY_CELLS cannot be used.
    """
    project = require_project(settings)
    work = work_folder(settings)
    target = work / "target"
    results_file = target / ("sources.json" if command[0] == "source" else "run_results.json")
    results_file.unlink(missing_ok=True)  # those of an earlier run would name the wrong failures
    options = [] if unit_tests else ["--exclude-resource-type", "unit_test"]
    arguments = _arguments(settings, [*command, *options], project, work)
    sys.stdout.flush()  # what was printed before dbt's output stays before it
    started = time.monotonic()
    environment = _environment(settings, schema) | {"BATTERY_DBT_RUN": run}
    with _relayed() as out, _relayed(err=True) as err:
        finished = subprocess.run(arguments, env=environment, check=False, pass_fds=(lock,), stdout=out, stderr=err)
    results = _results(results_file)
    failure = None
    if finished.returncode != 0:
        failure = f"dbt {' '.join(command)} failed: {_failures(results)}; see {work / 'logs' / 'dbt.log'}"
    tests, models = _project_nodes(target / "manifest.json", unit_tests=unit_tests)
    passed = {result.node for result in results if result.status in _PASSED}
    return DbtRun(
        command=tuple(command),
        seconds=round(time.monotonic() - started, 3),
        results=results,
        failure=failure,
        audited=failure is None and bool(tests) and tests <= passed,
        models=tuple(sorted(models)),
        warnings=warnings_in(results_file, target / "manifest.json"),
    )


def _arguments(settings: Settings, command: Sequence[str], project: Path, work: Path) -> list[str]:
    """The command line of the process that runs dbt."""
    arguments = [sys.executable, "-c", _DBT, str(os.getpid())]
    if settings.log_format == "json":
        arguments += ["--log-format", "json"]
    arguments += [*command, "--project-dir", str(project)]
    if not os.environ.get("DBT_PROFILES_DIR"):
        arguments += ["--profiles-dir", str(project)]
    arguments += ["--target", settings.warehouse_address.dbt_target]
    return [*arguments, "--target-path", str(work / "target"), "--log-path", str(work / "logs")]


@contextmanager
def _relayed(*, err: bool = False) -> Iterator[int]:
    """Print dbt's output without the control characters that a value may hold; yields the descriptor to write to."""
    ours, theirs = os.pipe()
    thread = relay_lines(_lines_of(ours), partial(relay_line, err=err))
    try:
        yield theirs
    finally:
        os.close(theirs)
        thread.join(RELAY_SECONDS)


def _lines_of(descriptor: int) -> Iterator[str]:
    with open(descriptor, encoding="utf-8", errors="backslashreplace") as lines:  # it has no path
        yield from lines


def code_of(project: Path, settings: Settings) -> str:
    """A checksum of the code that makes the models: SQL, macros, their settings, the package `ageing`, the instrument.

    The unit tests belong to it, too, since they stand beside the models.
    """
    paths = [path for folder in ("models", "macros") for path in (project / folder).rglob("*")]
    paths += [project / "dbt_project.yml", *(project.parent / "ageing").glob("*.py")]
    code = _checksum(path for path in sorted(paths) if path.suffix in _SOURCES)
    ranges = settings.instrument_max_voltage_v, settings.instrument_max_current_a
    return hashlib.sha256(f"{code} {ranges}".encode()).hexdigest()


def inputs_of(settings: Settings) -> str:
    """A checksum of all that a refresh depends on apart from the landing: code, seeds, tests, and BATTERY_CELLS.

    Raises:
        BatteryError: the dbt project is not installed beside the package, or BATTERY_CELLS cannot be read.
    """
    project = require_project(settings)
    paths = [path for folder in ("seeds", "tests") for path in (project / folder).rglob("*") if path.suffix in _SOURCES]
    cells = [] if settings.battery_cells is None else [settings.battery_cells]
    return hashlib.sha256(f"{code_of(project, settings)} {_checksum([*sorted(paths), *cells])}".encode()).hexdigest()


def _checksum(paths: Iterable[Path]) -> str:
    content = hashlib.sha256()
    for path in paths:
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()


def _project() -> Path:
    project = Path(__file__).resolve().parent.parent / "dbt_project"
    if not (project / "dbt_project.yml").is_file():
        raise BatteryError(
            f"no dbt project at {project}: run from a checkout, where it lies beside the battery package"
        )
    return project


def _require_cells(path: Path, seed: Path) -> None:
    """Check the lab's own file about its cells, since dbt's message would name neither file nor column.

    Raises:
        BatteryError: the file cannot be read, or its header differs from the seed's.
    """
    try:
        header = path.read_text().partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise BatteryError(f"BATTERY_CELLS={path} cannot be read: {reason}") from None
    expected = seed.read_text().partition("\n")[0].strip()
    if header.split(",") != expected.split(","):
        raise BatteryError(f"BATTERY_CELLS={path} must begin with the line {expected}; it begins with {header[:200]}")


def work_folder(settings: Settings) -> Path:
    """The folder for dbt's own files: `dbt` beside the warehouse's file, or below `data`."""
    return settings.warehouse_address.work_folder / "dbt"


def _environment(settings: Settings, schema: str) -> dict[str, str]:
    """The environment for dbt: that of this process, and the settings that a profile cannot know."""
    environment = dict(
        os.environ,
        DBT_SEND_ANONYMOUS_USAGE_STATS="false",
        WAREHOUSE=settings.warehouse_address.dbt_path,
        BATTERY_SCHEMA=schema,
        BATTERY_CODE=code_of(_project(), settings),
        INSTRUMENT_MAX_VOLTAGE_V=str(settings.instrument_max_voltage_v),
        INSTRUMENT_MAX_CURRENT_A=str(settings.instrument_max_current_a),
        BATTERY_INPUTS=inputs_of(settings),
    )
    if not sys.stdout.isatty():
        environment["DBT_USE_COLORS"] = "false"
    environment["BATTERY_CELLS"] = str(settings.battery_cells.resolve()) if settings.battery_cells else ""
    if settings.motherduck_token:
        environment["MOTHERDUCK_TOKEN"] = settings.motherduck_token.get_secret_value()
    return environment


def _results(path: Path) -> tuple[NodeResult, ...]:
    """What dbt reports of its nodes; nothing if it ended before it ran any."""
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


def _project_nodes(manifest: Path, *, unit_tests: bool) -> tuple[set[str], set[str]]:
    """All tests of the project, by their dbt names, with or without unit tests; and the names of models and seeds."""
    if not manifest.is_file():
        return set(), set()
    project = json.loads(manifest.read_text())
    tests = {node for node in project["nodes"] if node.startswith("test.")}
    if unit_tests:
        tests.update(project["unit_tests"])
    return tests, {node["name"] for node in project["nodes"].values() if node["resource_type"] in BUILT}


def _failures(results: Sequence[NodeResult]) -> str:
    """The nodes that failed, each with the first line of its reason."""
    if not results:
        return "it ended before it ran anything"
    failures = []
    for result in results:
        if result.has_failed:
            kind, _, name = result.node.split(".", 2)
            lines = [line.strip() for line in str(result.message).splitlines() if line.strip()]
            reason = next((line for line in lines if " Error in " not in line), "no message")
            failures.append(f"{kind.replace('_', ' ')} {name} ({reason})")
    named = "; ".join(failures[:_NAMED_FAILURES]) or "no model or test failed"
    more = len(failures) - _NAMED_FAILURES
    return f"{named}; and {more} more" if more > 0 else named
