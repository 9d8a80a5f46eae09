"""The main job by its commands, on the real cell CS2_35 and on a simulated twin of it."""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.pipeline import Pipeline, take_unit_tests_as_passed
from support.places import SHARED

from producer.simulate import Export, simulate_cell, simulate_tests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Job:
    """A landed source, and what is known about it from elsewhere."""

    pipeline: Pipeline
    source: Path
    rows: int
    duplicates: int
    cycles: list[tuple[str, int, float, float]]


def counter_differences(export: Export) -> Iterator[tuple[str, int, float, float]]:
    """Each cycle's charge and discharge, from the counters' last values alone."""
    rows = export.test.readings.to_pydict()
    charge = discharge = 0.0
    for index, cycle in enumerate(rows["cycle_index"]):
        if index + 1 == len(rows["cycle_index"]) or rows["cycle_index"][index + 1] != cycle:
            upto = rows["charge_capacity(ah)"][index], rows["discharge_capacity(ah)"][index]
            yield export.name, cycle, upto[0] - charge, upto[1] - discharge
            charge, discharge = upto


def run_job(what: str, folder: Path, broker: str, **parts: str) -> Job:
    """Run the main job on a simulated cell or on the real CS2_35, by the commands; its topic is its folder's own."""
    job = job_of(what, folder, broker, **parts)
    take_unit_tests_as_passed(job.pipeline.settings)
    for command in (["produce", str(job.source)], ["stream", "--until-end"], ["transform"], ["verify"]):
        job.pipeline.battery(*command)
    return job


def job_of(what: str, folder: Path, broker: str, **parts: str) -> Job:
    """The main job that is run in a folder, or has been run there."""
    topic = f"job_{what}_{hashlib.sha256(bytes(folder)).hexdigest()[:8]}"
    settings = {"KAFKA_BOOTSTRAP_SERVERS": broker, "BATTERY_TOPIC": topic}
    pipeline = Pipeline(folder / "pipeline", 0, settings | parts)
    if what == "simulated":
        source = folder / "SIM_35"
        if not source.exists():
            source.mkdir(parents=True)
            simulate_cell(source, "SIM_35", cycles=60, seed=35, cycles_per_file=20)
        exports = simulate_tests("SIM_35", cycles=60, seed=35, cycles_per_file=20)
        rows = sum(export.test.readings.num_rows for export in exports)
        duplicates = exports[-1].test.readings.num_rows
        cycles = [cycle for export in exports[:-1] for cycle in counter_differences(export)]
    else:
        source, rows, duplicates = SHARED / "calce" / "CS2_35", 266_914, 5_983
        with (SHARED / "reference" / "CS2_35_percycle.csv").open() as file:
            cycles = [
                (
                    f"{row['file']}.xlsx",
                    int(row["file_cycle"]),
                    float(row["charge_ah_counter"]),
                    float(row["discharge_ah_counter"]),
                )
                for row in csv.DictReader(file)
            ]
        assert len(cycles) == 886
    return Job(pipeline, source, rows, duplicates, cycles)
