"""Real Maccor exports of other labs: what their cycles gained, by the README beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from producer.readers.base import ReadOptions
from producer.readers.registry import reader_of

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import Test

CYCLES = {
    "maccor_text_d_hms.txt": [[0, 17.6236, 17.36311]],
    "maccor_export_sec.022": [
        [0, 1.651849889, 4.714758284],
        [1, 4.732983958, 4.708743637],
        [2, 0.000268839, 0.000490941],
        [3, 6.76e-06, 6.397e-06],
        [4, 6.684e-06, 3.9595e-05],
        [5, 6.513e-06, 8.1002e-05],
    ],
}


def read(shared_data: Path, name: str) -> Test:
    path = shared_data / "foreign" / name
    if not path.is_file():
        pytest.skip("the files of other makers are not here")
    reader = reader_of(path, name)
    assert reader is not None
    assert reader.reader.name == "maccor"
    (test,) = reader.reader.read(path, ReadOptions(name)).tests
    return test


@pytest.mark.parametrize("name", CYCLES)
def test_cycles_gain_what_the_readme_says(shared_data: Path, name: str) -> None:
    readings = read(shared_data, name).readings
    cycle = readings["cycle_index"].to_numpy()
    for number, *expected in CYCLES[name]:
        for column, gained in zip(("charge_capacity(ah)", "discharge_capacity(ah)"), expected, strict=True):
            values = readings[column].to_numpy()
            gain = np.diff(values, prepend=values[0])[cycle == number].sum()
            assert gain == pytest.approx(gained, rel=0, abs=1e-9), (number, column)


@pytest.mark.parametrize("name", CYCLES)
def test_current_is_positive_in_charge_and_negative_in_discharge(shared_data: Path, name: str) -> None:
    readings = read(shared_data, name).readings
    current = readings["current(a)"].to_numpy()
    gains = [np.diff(readings[f"{way}_capacity(ah)"].to_numpy(), prepend=0.0) for way in ("charge", "discharge")]
    assert (current[gains[0] > 0] > 0).all()
    assert (current[gains[1] > 0] < 0).all()


def test_dates_times_and_inputs_without_a_sensor_are_read(shared_data: Path) -> None:
    test = read(shared_data, "maccor_text_d_hms.txt")
    assert test.test_id == "2020-12-11T12:22:12"
    assert test.readings["test_time(s)"].to_pylist()[-1] == pytest.approx(2 * 86_400 + 2 * 3600 + 52 * 60 + 51.57)
    assert test.readings["temperature(c)"].null_count == test.readings.num_rows == 158
    assert read(shared_data, "maccor_export_sec.022").readings.num_rows == 2255
