"""Real files of the Battery Data Format, against the numbers that are known of them."""

from __future__ import annotations

import numpy as np
import pytest
from support.places import SHARED

from producer.readers.base import ReadOptions, Test
from producer.readers.registry import reader_of

FOREIGN = SHARED / "foreign"

CYCLES = {
    "bdf_labels_hours_discharge_positive.csv": [
        [1, 0.158947898, 0.276687081], [2, 0.155163424, 0.146837582], [3, 0.147342178, 0.147846775],
        [4, 0.148351371, 0.148855968], [5, 0.149360564, 0.149360564], [6, 0.139268634, 0.132204283],
    ],
    # Gains of steps 2 and 3, and of step 5, whose counter begins again within it. 3.802155 and 3.716034 are the largest
    # values of the two counters; the integral of the current is 3.8396 and 3.8552.
    "bdf_neware.bdf.csv": [[1, 3.838767944, 3.83196328]],
    "bdf_minimal.bdf.csv": [[1, 0.1 * 2 / 3600, 0.0]],
}  # fmt: skip
ROWS = {"bdf_labels_hours_discharge_positive.csv": 1229, "bdf_neware.bdf.csv": 305, "bdf_minimal.bdf.csv": 3}


def read(name: str) -> Test:
    path = FOREIGN / name
    if not path.is_file():
        pytest.skip(f"{name} is not here: foreign files are never part of the project")
    registered = reader_of(path, name)
    assert registered is not None
    assert registered.reader.name == "bdf"
    (test,) = registered.reader.read(path, ReadOptions(name)).tests
    return test


@pytest.mark.parametrize("name", CYCLES)
def test_a_real_file_has_the_cycles_that_are_known_of_it(name: str) -> None:
    readings = read(name).readings
    assert readings.num_rows == ROWS[name]
    cycle = readings["cycle_index"].to_numpy()
    gains = [
        np.diff(counter, prepend=counter[0])
        for counter in (readings[f"{way}_capacity(ah)"].to_numpy() for way in ("charge", "discharge"))
    ]
    for number, *known in CYCLES[name]:
        assert [float(gain[cycle == number].sum()) for gain in gains] == pytest.approx(known, abs=1e-9)


def test_the_largest_values_of_its_counters_are_those_that_are_stated_of_the_file_of_neware() -> None:
    readings = read("bdf_neware.bdf.csv").readings
    charge = readings["charge_capacity(ah)"].to_numpy()
    step = readings["step_index"].to_numpy()
    assert charge[step == 2].max() == pytest.approx(3.802155, abs=1e-6)


def test_what_is_peculiar_in_a_real_file_is_said() -> None:
    turned = read("bdf_labels_hours_discharge_positive.csv").about.assumptions
    assert any("positive while discharging" in one for one in turned)
    assert any("2 pi" in one for one in read("bdf_neware.bdf.csv").about.assumptions)
