"""A pipeline that has published its marts, for the tests of what people look at."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import Producer
from support.pipeline import Pipeline
from support.places import SHARED

from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from pathlib import Path

    from support.jobs import Job

SIMULATED = [f"SIM_{number:02d}" for number in range(1, 6)]
REAL = "CS2_35"
WORKBOOKS = SHARED / "calce" / REAL
CELLS = [*SIMULATED, *([REAL] if WORKBOOKS.is_dir() else [])]
CYCLES = 24
BROKEN = {"cell_id": "SIM_01", "test_id": "by hand", "data_point": 1, "test_time(s)": 1.0, "current(a)": 0.1}
"""A reading without a voltage, a step and a cycle."""


@dataclass(frozen=True)
class PublishedFolder:
    """Where the main job has run: simulated cells, the real CS2_35 where it is at hand, and one refused reading."""

    folder: Path

    def pipeline(self, port: int = 1) -> Pipeline:
        return Pipeline(self.folder, port)


def make(folder: Path, real: Job | None) -> None:
    """Run the main job there: on top of a job on the real cell, if there is one."""
    if real is not None:
        # Its refresh left dbt's unit tests out; this one runs them, since the Stream page shows how they ended.
        shutil.copytree(real.pipeline.folder, folder, ignore=shutil.ignore_patterns("unit_tests_passed"))
    pipeline = Pipeline(folder, free_port())
    workbooks = folder / "workbooks"
    workbooks.mkdir(parents=True)
    for number, cell in enumerate(SIMULATED):
        simulate_cell(workbooks, cell, cycles=CYCLES, seed=number, cycles_per_file=8)
    with embedded_broker(pipeline.port):
        pipeline.battery("produce", str(workbooks))
        publish_json(pipeline, BROKEN)
        for command in (["stream", "--until-end"], ["transform"]):
            pipeline.battery(*command)


def publish_json(pipeline: Pipeline, reading: dict[str, object]) -> None:
    producer = Producer({"bootstrap.servers": f"127.0.0.1:{pipeline.port}"})
    headers: list[tuple[str, str | bytes | None]] = [("content-type", b"application/json"), ("schema-version", b"1")]
    producer.produce(pipeline.topic, json.dumps(reading), str(reading["cell_id"]), headers=headers)
    assert producer.flush(30) == 0
