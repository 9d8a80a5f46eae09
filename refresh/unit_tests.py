"""When a refresh runs dbt's unit tests: once for each version of the code, since they look at no landed reading.

The file `unit_tests_passed` among dbt's own files names the code whose unit tests have all passed.
"""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from refresh.dbt import work_folder
from refresh.project import code_of, require_project

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from kernel.base.settings import Settings
    from refresh.dbt import DbtRun

_COMMANDS: Final = frozenset({"build", "test"})
"""The dbt commands that run unit tests."""


def must_run_unit_tests(settings: Settings, command: Sequence[str]) -> bool:
    """Whether unit tests must be part of a dbt command.

    They need not where they have passed with the same code. A command that names unit tests, or kinds of dbt's nodes,
    runs as it is.

    Raises:
        BatteryError: the dbt project is not installed beside the package, or one of the lab's own files cannot be used.
    """
    if command[0] not in _COMMANDS or any("unit" in word or "resource-type" in word for word in command):
        return True
    passed = _passed_file(settings)
    return not passed.is_file() or passed.read_text() != _code(settings)


def remember_unit_tests(settings: Settings, run: DbtRun) -> None:
    """Keep in mind whether the unit tests of this code have passed."""
    unit_tests = [result for result in run.results if result.kind == "unit_test"]
    with suppress(OSError):  # they run once more
        if any(result.has_failed for result in unit_tests):
            _passed_file(settings).unlink(missing_ok=True)
        elif unit_tests and run.audited:
            _passed_file(settings).write_text(_code(settings))


def _passed_file(settings: Settings) -> Path:
    return work_folder(settings) / "unit_tests_passed"


def _code(settings: Settings) -> str:
    """What the outcome of a unit test depends on: the code of the models, and what runs it."""
    versions = [f"{package} {version(package)}" for package in ("dbt-core", "dbt-duckdb", "duckdb")]
    return ", ".join([code_of(require_project(settings), settings), *versions])
