"""A pipeline that has published its marts, for the tests of what people look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import Producer
from support.pipeline import Pipeline
from support.places import SHARED

from kernel.edges.broker import embedded_broker, free_port
from producer.simulate import simulate_cell

if TYPE_CHECKING:
    from pathlib import Path

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


def make(folder: Path) -> None:
    """Run the main job there."""
    workbooks = folder / "workbooks"
    workbooks.mkdir(parents=True)
    for number, cell in enumerate(SIMULATED):
        simulate_cell(workbooks, cell, cycles=CYCLES, seed=number, cycles_per_file=8)
    sources = [workbooks, *([WORKBOOKS] if WORKBOOKS.is_dir() else [])]
    port = free_port()
    with embedded_broker(port):
        pipeline = Pipeline(folder, port)
        pipeline.battery("produce", *map(str, sources))
        publish_json(pipeline, BROKEN)
        pipeline.battery("stream", "--until-end")
        pipeline.battery("transform")


def publish_json(pipeline: Pipeline, reading: dict[str, object]) -> None:
    producer = Producer({"bootstrap.servers": f"127.0.0.1:{pipeline.port}"})
    headers: list[tuple[str, str | bytes | None]] = [("content-type", b"application/json"), ("schema-version", b"1")]
    producer.produce(pipeline.topic, json.dumps(reading), str(reading["cell_id"]), headers=headers)
    assert producer.flush(30) == 0
