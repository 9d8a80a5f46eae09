"""The stage: what is on record of a dbt run, and that nobody comes between a build and its publication."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from filelock import lock_descriptor

import refresh.dbt
import refresh.project
import refresh.publish
import refresh.stage
from battery.cli.main import main
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.warehouse import open_warehouse
from refresh.dbt import DbtRun
from refresh.stage import stage_models
from refresh.warned import TestWarning
from sink.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A pipeline with empty landing tables, in the environment, too."""
    places = {"WAREHOUSE": tmp_path / "battery.duckdb", "OBJECT_STORE": f"file://{tmp_path / 'objects'}"}
    for name, place in places.items():
        monkeypatch.setenv(name, str(place))
    with duckdb.connect(tmp_path / "battery.duckdb") as connection:
        create_tables(connection)
    return Settings()


def runs(settings: Settings) -> list[tuple[Any, ...]]:
    with duckdb.connect(settings.warehouse, read_only=True) as connection:
        return connection.execute("select command, built, audited from internal._dbt_runs").fetchall()


@pytest.mark.parametrize("missing", ["cells", "project"])
def test_a_complaint_before_dbt_begins_is_no_run_on_record(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    if missing == "cells":
        settings = settings.model_copy(update={"battery_cells": tmp_path / "none.csv"})
    else:
        monkeypatch.setattr(refresh.project, "__file__", str(tmp_path / "x" / "project.py"))
    with pytest.raises(BatteryError, match="cannot be read" if missing == "cells" else "no dbt project at"):
        stage_models(settings, open_warehouse(settings), ("build",), -1)
    assert runs(settings) == []


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("command", ["transform", "publish", "news"])
def test_nobody_builds_between_a_build_and_its_publication(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    seen: list[str] = []

    def require_lock(what: str) -> None:
        with (tmp_path / "dbt" / "lock").open() as file:
            assert not lock_descriptor(file.fileno(), blocking=False)
        seen.append(what)

    def build(*_: object) -> DbtRun:
        require_lock("build")
        return DbtRun(("build",), 1.0, (), None, audited=True, models=())

    monkeypatch.setattr(refresh.stage, "stage_models", build)
    monkeypatch.setattr(refresh.publish, "publish", lambda *_: require_lock("publish"))
    with pytest.raises(SystemExit):
        main([command])
    assert seen == {"transform": ["build", "publish"], "publish": ["publish"], "news": ["build"]}[command]


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("stage", [[], ["--stage"]])
def test_the_last_line_of_transform_names_what_the_tests_warn_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stage: list[str]
) -> None:
    warned = (TestWarning("cleaning_drops_few_readings", 2, "select 'CS2_35' as cell_id from range(2)"),)
    built = DbtRun(("build",), 1.0, (), None, audited=True, models=(), warnings=warned)
    monkeypatch.setattr(refresh.stage, "stage_models", lambda *_: built)
    monkeypatch.setattr(refresh.publish, "publish", lambda *_: "published")
    with pytest.raises(SystemExit):
        main(["transform", *stage])
    said = capsys.readouterr().out.splitlines()
    assert said == [*([] if stage else ["published"]), "1 warning: cleaning_drops_few_readings: 2 rows of CS2_35"]


def test_a_folder_for_dbt_that_cannot_be_made_is_one_line(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "dbt").touch()
    with pytest.raises(BatteryError, match=r"^the folder for dbt's own files, .*dbt, cannot be used: File exists$"):
        refresh.dbt.lock_models(settings).__enter__()


OTHER, THIS = "of the release before", "of this release"


@pytest.mark.parametrize(
    ("marks", "command", "ran"),
    [
        ({"battery_cells": OTHER, "battery_steps": THIS}, ("build",), ("build", "--full-refresh")),
        ({"battery_steps": OTHER}, ("run", "--select", "x"), ("run", "--select", "x", "--full-refresh")),
        ({"battery_steps": OTHER}, ("build", "--full-refresh"), ("build", "--full-refresh")),
        ({"battery_steps": OTHER}, ("test",), ("test",)),
        ({"battery_cells": THIS}, ("build",), ("build",)),
        ({"battery_cells": "", "_watermark": None}, ("build",), ("build",)),  # built by hand
        ({"a_model_of_the_release_before": OTHER}, ("build",), ("build",)),
        ({}, ("build",), ("build",)),
    ],
)
def test_models_of_other_code_are_built_anew_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, marks: dict[str, str | None], command: tuple[str, ...],
    ran: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.setattr(refresh.stage, "code_of", lambda *_: THIS)
    with duckdb.connect(settings.warehouse) as connection:
        connection.execute("create schema building")
        connection.execute("create table building._refreshed (model varchar, code varchar)")
        for model, code in marks.items():
            connection.execute("insert into building._refreshed values (?, ?)", [model, code])
    commands: list[tuple[str, ...]] = []

    def dbt(_: Settings, command: Sequence[str], *__: object, **___: object) -> DbtRun:
        commands.append(tuple(command))
        return DbtRun(tuple(command), 1.0, (), None, audited=False, models=())

    monkeypatch.setattr(refresh.stage, "dbt", dbt)
    stage_models(settings, open_warehouse(settings), command, -1)
    assert commands == [ran]
