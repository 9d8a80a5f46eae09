"""The measurements of the page on scale, on next to no rows: whether they run, and what they send and print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

from benchmarks.fleet import sizes
from benchmarks.fleet.__main__ import MEASURES
from benchmarks.fleet.channels import ARROW_60, JSON_1, JSON_10, Fleet, Mix, Spool
from benchmarks.fleet.means import MEANS
from benchmarks.fleet.simulation import EPOCH_SECONDS, run
from kernel.contract.batch import MOST_ROWS, decode_poll

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.figures import Figure


@pytest.mark.parametrize("mix", [JSON_1, JSON_10, ARROW_60], ids=lambda mix: mix.name)
def test_every_channel_sends_each_of_its_readings_once_and_in_order(mix: Mix, tmp_path: Path) -> None:
    fleet = Fleet(6, mix, 2 * mix.rows, kinds=4, partitions=2)
    points: dict[str, list[int]] = {}
    partitions: dict[str, set[int]] = {}
    for polls in Spool(fleet, tmp_path / "waiting").polls(0, fleet.seconds):
        for poll in polls:
            for batch in decode_poll(poll, MOST_ROWS):
                assert not batch.faults
                for cell, point in zip(
                    batch.readings["cell_id"].to_pylist(), batch.readings["data_point"].to_pylist(), strict=True
                ):
                    points.setdefault(cell, []).append(point)
                    partitions.setdefault(cell, set()).add(poll.partition)
    assert len(points) == fleet.channels
    for sent in points.values():
        assert sent[0] == 1
        assert len(sent) == fleet.seconds
        assert np.all(np.diff(sent) == 1)
    assert all(len(where) == 1 for where in partitions.values())


def test_a_simulated_worker_lands_all_that_its_fleet_sends_and_another_one_continues(tmp_path: Path) -> None:
    fleet = Fleet(30, JSON_1, 2 * EPOCH_SECONDS, kinds=4)
    course = run(fleet, tmp_path)  # raises where a reading is missing
    assert course.rows == 30 * (fleet.seconds + EPOCH_SECONDS)
    assert len(course.lag_seconds) == len(course.memory_mb) == fleet.seconds
    assert len(course.busy_seconds) == len(course.close_seconds) == 2
    assert course.rows_per_second > 30, "a worker that cannot follow 30 channels"
    assert set(course.bytes_each) == set(sizes.TABLES)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["sizes", "judge", "simulation"])
def test_every_figure_of_the_page_on_scale_is_measured(name: str, tmp_path: Path) -> None:
    shown: list[Figure] = []
    MEASURES[name](shown.append, tmp_path / name, tiny=True)
    assert all(figure.value > 0 and figure.reference > 0 for figure in shown)
    by_channels = "bytes_object_"  # they name how many, of which there are few here
    assert {figure.name for figure in shown if not figure.name.startswith(by_channels)} == {
        figure for figure in MEANS if figure.startswith(NAMES[name]) and not figure.startswith(by_channels)
    }


NAMES: Final = {
    "sizes": ("fold_", "bytes_log_", "manifest_", "bytes_commits"),
    "judge": ("pg_bytes_",),
    "simulation": ("fleet_", *(f"bytes_{table.strip('_')}" for table in sizes.TABLES)),
}
