"""Running dbt: it builds models from the landing tables and tests them; one line says what failed.

dbt runs in a process of its own, as from its own command line. A long-lived process therefore keeps none of dbt's
state, and a person can run the project by hand in the same way. This module knows nothing of what the models mean.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from kernel.base.errors import BatteryError
from kernel.base.locks import is_locked, lock_file
from kernel.base.machine import memory_bytes
from kernel.base.output import relay_line
from kernel.base.processes import relay_lines
from refresh.landing_objects import objects_environment
from refresh.project import code_of, inputs_of, project_folder, require_project
from refresh.warned import warnings_in
from sink.layout import READERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

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

RELAY_SECONDS: Final = 10.0
"""How long the last lines of a dbt process that has ended may take to be printed, in s."""

MEMORY_SHARE: Final = 0.6
"""The share of the machine's memory that DuckDB may take while dbt runs, where no setting says how much."""

BUILT: Final = frozenset({"model", "seed", "snapshot"})
"""The kinds of dbt's nodes that are tables or views."""

PUBLISHED: Final = READERS
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


def are_models_locked(settings: Settings) -> bool:
    """Whether somebody builds or publishes models now; also where that cannot be told."""
    try:
        return is_locked(work_folder(settings) / "lock")
    except OSError:  # it belongs to another user
        return True


class Runner(Protocol):
    """Runs dbt with these options in this environment, which holds the lock on the models, too; the exit code."""

    def __call__(self, options: Sequence[str], environment: Mapping[str, str], lock: int, /) -> int:
        """Run it."""
        ...


def dbt(
    settings: Settings,
    command: Sequence[str],
    schema: str,
    lock: int,
    run: str = "",
    *,
    unit_tests: bool = True,
    runner: Runner | None = None,
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
        runner: what runs dbt; by default a process of its own.

    Raises:
        BatteryError: the dbt project is not installed beside the package, or one of the lab's own files cannot be used.
    """
    require_project(settings)
    work = work_folder(settings)
    target = work / "target"
    results_file = target / ("sources.json" if command[0] == "source" else "run_results.json")
    results_file.unlink(missing_ok=True)  # those of an earlier run would name the wrong failures
    options = [] if unit_tests else ["--exclude-resource-type", "unit_test"]
    arguments = [*_format(settings), *command, *options, *project_options(settings)]
    sys.stdout.flush()  # what was printed before dbt's output stays before it
    started = time.monotonic()
    environment = environment_of(settings, schema) | {"BATTERY_DBT_RUN": run}
    code = (runner or _run_alone)(arguments, environment, lock)
    results = _results(results_file)
    failure = None
    if code != 0:
        reason = f"it was ended by signal {-code}" if code < 0 else _failures(results)
        failure = f"dbt {' '.join(command)} failed: {reason}; see {work / 'logs' / 'dbt.log'}"
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


def _run_alone(options: Sequence[str], environment: Mapping[str, str], lock: int) -> int:
    """Run dbt in a process of its own, which ends with this one."""
    arguments = [sys.executable, "-c", _DBT, str(os.getpid()), *options]
    with _relayed() as out, _relayed(err=True) as err:
        finished = subprocess.run(arguments, env=environment, check=False, pass_fds=(lock,), stdout=out, stderr=err)
    return finished.returncode


def _format(settings: Settings) -> list[str]:
    return ["--log-format", "json"] if settings.log_format == "json" else []


def project_options(settings: Settings) -> list[str]:
    """The options by which every dbt command finds the project, its profile and the folders for its own files."""
    project, work = str(project_folder()), work_folder(settings)
    profiles = [] if os.environ.get("DBT_PROFILES_DIR") else ["--profiles-dir", project]
    target = ["--target", settings.warehouse_address.dbt_target]
    folders = ["--target-path", str(work / "target"), "--log-path", str(work / "logs")]
    return ["--project-dir", project, *profiles, *target, *folders]


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


def work_folder(settings: Settings) -> Path:
    """The folder for dbt's own files: `dbt` beside the warehouse's file, or below `data`."""
    return settings.warehouse_address.work_folder / "dbt"


def environment_of(settings: Settings, schema: str) -> dict[str, str]:
    """The environment for dbt: that of this process, and the settings that a profile cannot know."""
    environment = dict(
        os.environ,
        DBT_SEND_ANONYMOUS_USAGE_STATS="false",
        WAREHOUSE=settings.warehouse_address.dbt_path,
        BATTERY_SCHEMA=schema,
        BATTERY_CODE=code_of(project_folder(), settings),
        INSTRUMENT_MAX_VOLTAGE_V=str(settings.instrument_max_voltage_v),
        INSTRUMENT_MAX_CURRENT_A=str(settings.instrument_max_current_a),
        BATTERY_INPUTS=inputs_of(settings),
        BATTERY_MEMORY_LIMIT=f"{settings.dbt_memory_bytes or int(MEMORY_SHARE * memory_bytes())}B",
        BATTERY_SPILL=str(work_folder(settings) / "spill"),
    )
    if not sys.stdout.isatty():
        environment["DBT_USE_COLORS"] = "false"
    for name, path in {
        "BATTERY_CELLS": settings.battery_cells,
        "BATTERY_ALERT_RULES": settings.battery_alert_rules,
    }.items():
        environment[name] = str(path.resolve()) if path else ""
    if settings.motherduck_token:
        environment["MOTHERDUCK_TOKEN"] = settings.motherduck_token.get_secret_value()
    if not settings.warehouse_address.holds_models:
        environment |= objects_environment(settings)
        for secret in ("WAREHOUSE_PASSWORD", "PGPASSWORD"):  # dbt does not ask the warehouse itself
            environment.pop(secret, None)
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
