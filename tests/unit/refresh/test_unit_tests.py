"""When dbt's unit tests are part of a refresh: until they have passed with the code of the models as it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import refresh.dbt
import refresh.stage
import refresh.unit_tests
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.warehouse import open_warehouse
from refresh.dbt import DbtRun, NodeResult, lock_models, work_folder
from refresh.stage import stage_models
from refresh.unit_tests import must_run_unit_tests
from sink.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DATA_TEST = NodeResult("test.battery.a_data_test", "pass", 0.1, 0, None)
PASSES = NodeResult("unit_test.battery.a_unit_test", "pass", 0.1, 0, None)
FAILS = NodeResult("unit_test.battery.a_unit_test", "fail", 0.1, 1, "no")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A pipeline with empty landing tables."""
    settings = Settings(warehouse=str(tmp_path / "battery.duckdb"))
    with open_warehouse(settings).connect("test") as connection:
        create_tables(connection)
    return settings


def run(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    unit_test: NodeResult = PASSES,
    command: Sequence[str] = ("build",),
) -> bool:
    """Whether a dbt run, whose unit test ends in a certain way, has had unit tests in it."""
    with_unit_tests: list[bool] = []

    def dbt(*_: object, unit_tests: bool, runner: object) -> DbtRun:  # noqa: ARG001
        with_unit_tests.append(unit_tests)
        results = (DATA_TEST, unit_test) if unit_tests else (DATA_TEST,)
        failure = "dbt build failed" if any(result.has_failed for result in results) else None
        return DbtRun(tuple(command), 1.0, results, failure, failure is None, ())

    monkeypatch.setattr(refresh.stage, "dbt", dbt)
    with lock_models(settings) as lock:
        try:
            stage_models(settings, open_warehouse(settings), command, lock)
        except BatteryError as error:
            assert str(error) == "dbt build failed"  # noqa: PT017  # it is what fails that is looked at
    return with_unit_tests[0]


def test_unit_tests_run_once_for_each_version_of_the_code(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [run(settings, monkeypatch) for _ in range(3)] == [True, False, False]
    monkeypatch.setattr(refresh.unit_tests, "code_of", lambda *_: "of another version")
    assert [run(settings, monkeypatch) for _ in range(2)] == [True, False]
    monkeypatch.setattr(refresh.unit_tests, "version", lambda package: f"the next {package}")
    assert [run(settings, monkeypatch) for _ in range(2)] == [True, False]


def test_unit_tests_that_fail_run_until_they_pass(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [run(settings, monkeypatch, FAILS) for _ in range(2)] == [True, True]
    assert [run(settings, monkeypatch) for _ in range(2)] == [True, False]


def test_unit_tests_that_were_asked_for_and_fail_run_again_in_the_next_refresh(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [run(settings, monkeypatch) for _ in range(2)] == [True, False]
    assert run(settings, monkeypatch, FAILS, ("test", "--select", "test_type:unit"))
    assert run(settings, monkeypatch)


@pytest.mark.parametrize(
    ("command", "runs_as_it_is"),
    [
        (("build",), False),
        (("build", "--full-refresh"), False),
        (("build", "--select", "+battery_cleaned"), False),
        (("test",), False),
        (("test", "--select", "test_type:unit"), True),
        (("build", "--exclude-resource-types", "test", "unit_test"), True),
        (("build", "--resource-type", "model"), True),
        (("run",), True),
        (("source", "freshness"), True),
    ],
)
def test_a_command_that_names_kinds_of_nodes_or_has_no_unit_tests_runs_as_it_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, command: Sequence[str], runs_as_it_is: bool
) -> None:
    run(settings, monkeypatch)
    assert must_run_unit_tests(settings, command) == runs_as_it_is


@pytest.mark.parametrize("unit_tests", [True, False])
def test_a_run_without_unit_tests_is_audited_by_its_data_tests(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, unit_tests: bool
) -> None:
    target = work_folder(settings) / "target"
    arguments: list[str] = []

    class Finished:
        returncode = 0

    def start(command: list[str], **_: object) -> Finished:
        arguments.extend(command)
        target.mkdir(exist_ok=True)
        nodes = {"test.battery.a_data_test": {"name": "a_data_test", "resource_type": "test"}}
        manifest = {"nodes": nodes, "unit_tests": {"unit_test.battery.a_unit_test": {}}}
        (target / "manifest.json").write_text(json.dumps(manifest))
        result = {"unique_id": "test.battery.a_data_test", "status": "pass"}
        (target / "run_results.json").write_text(json.dumps({"results": [result]}))
        return Finished()

    monkeypatch.setattr("refresh.dbt.subprocess.run", start)
    with lock_models(settings) as lock:
        done = refresh.dbt.dbt(settings, ("build",), "building", lock, unit_tests=unit_tests)
    assert done.audited is not unit_tests
    assert ("--exclude-resource-type" in arguments) is not unit_tests
