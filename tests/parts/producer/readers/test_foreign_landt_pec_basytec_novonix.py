"""Real files of LANDT, PEC, Basytec and Novonix: each cycle's gains are those that were found with other tools."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from producer.readers.base import ReadOptions
from producer.readers.registry import reader_of

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import Test

LANDT_CYCLES = {
    1: (0.00274823, 0.00303312),
    2: (0.00239283, 0.00255267),
    3: (0.00222549, 0.00235058),
    4: (0.00194575, 0.00207391),
}
FILES = {
    "pec.csv": ("pec", 177, {0: (0.0, 11.634168), 1: (44.424915, 44.351991), 2: (44.25893, 0.0)}, 1e-9),
    "basytec.txt": ("basytec", 74, {0: (0.0, 0.0), 1: (0.001248917, 0.0)}, 1e-9),
    "novonix.csv": ("novonix", 207, {1: (1.70653, 0.0)}, 1e-6),  # given to 5 decimals
    "landt_b.xlsx": ("landt", 529, LANDT_CYCLES, 1e-9),
}
"""By file the reader, the readings, gains in Ah by cycle (charge, discharge), and the tolerance in Ah."""


def gains(test: Test) -> dict[int, tuple[float, float]]:
    """What each cycle charged and discharged, Ah; the first reading of a file gains nothing."""
    cycle = test.readings["cycle_index"].to_numpy()
    counters = [test.readings[f"{name}_capacity(ah)"].to_numpy() for name in ("charge", "discharge")]
    charge, discharge = (np.diff(counter, prepend=counter[0]) for counter in counters)
    return {
        int(number): (float(charge[cycle == number].sum()), float(discharge[cycle == number].sum()))
        for number in np.unique(cycle)
    }


@pytest.mark.parametrize("name", FILES)
def test_a_real_file_has_its_cycles(shared_data: Path, name: str) -> None:
    path = shared_data / "foreign" / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    maker, rows, expected, tolerance = FILES[name]
    registered = reader_of(path, name)
    assert registered is not None
    (test,) = registered.reader.read(path, ReadOptions(name)).tests
    assert test.about.reader == maker
    assert test.readings.num_rows == rows
    found = gains(test)
    assert {number: found[number] for number in expected} == {
        number: pytest.approx(gain, rel=0, abs=tolerance) for number, gain in expected.items()
    }


def test_landt_s_own_table_of_cycles_says_the_same(shared_data: Path) -> None:
    from python_calamine import CalamineWorkbook  # noqa: PLC0415  # only this test reads cells itself

    path = shared_data / "foreign" / "landt_b.xlsx"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    rows = CalamineWorkbook.from_path(str(path)).get_sheet_by_name("Cycle-Tab").to_python()[1:]
    registered = reader_of(path, path.name)
    assert registered is not None
    (test,) = registered.reader.read(path, ReadOptions(path.name)).tests
    found = gains(test)
    stated = {int(float(str(row[0]))): (float(str(row[1])) / 1e3, float(str(row[2])) / 1e3) for row in rows if row[0]}
    for number, gain in stated.items():
        assert found[number] == pytest.approx(gain, rel=0, abs=1e-8), number
