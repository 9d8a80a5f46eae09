"""The main job on MotherDuck: for those who have an account and set MOTHERDUCK_TOKEN; collected for nobody else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from support.pipeline import Pipeline

from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker
from kernel.edges.warehouse import open_warehouse
from producer.simulate import simulate_cell, simulate_tests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = os.environ.get("MOTHERDUCK_TOKEN", "")
"""Read before the tests' own environment takes the settings away."""


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Pipeline]:
    """A pipeline whose warehouse is a database of its own, which goes with it."""
    port = free_port()
    database = f"battery_test_{uuid4().hex[:12]}"
    with embedded_broker(port):
        parts = {"WAREHOUSE": f"md:{database}", "MOTHERDUCK_TOKEN": TOKEN}
        pipeline = Pipeline(tmp_path / "pipeline", port, parts)
        yield pipeline
        pipeline.end()
        with open_warehouse(pipeline.settings).connect("clear up") as connection:
            connection.execute("use md_information_schema")
            connection.execute(f"drop database if exists {database}")


def test_the_main_job_runs_on_motherduck(pipeline: Pipeline) -> None:
    source = pipeline.folder / "workbooks"
    source.mkdir(parents=True)
    simulate_cell(source, "CLOUD", cycles=10, seed=1, cycles_per_file=5)
    rows = sum(
        export.test.readings.num_rows for export in simulate_tests("CLOUD", cycles=10, seed=1, cycles_per_file=5)
    )
    for command in (["produce", str(source)], ["stream", "--until-end"], ["transform"], ["verify"]):
        pipeline.battery(*command)
    with open_warehouse(pipeline.settings).connect("look", read_only=True) as connection:
        landed = connection.execute("select count(*) from battery_ts").fetchall()
        refused = connection.execute("select sum(row_count) from battery_quarantine").fetchall()
    assert landed[0][0] + refused[0][0] == rows
