"""Files of Neware cyclers from other labs, with the numbers that their README gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from producer.readers.base import FileSample, ReadOptions
from producer.readers.neware import READER as NEWARE
from producer.readers.registry import reader_of, recognising

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import Test

Cycle = tuple[int, float, float]

BTS8: tuple[Cycle, ...] = (
    (1, 0.00424934, 0.00508628), (2, 0.00424668, 0.00436841), (3, 0.00783477, 0.00797423), (4, 0.00143796, 0.00331516),
)  # fmt: skip
DETAIL: tuple[Cycle, ...] = (
    (1, 0.0, 0.003524146), (2, 0.003119684, 0.002833252), (3, 0.002770788, 0.002682884), (4, 0.002617797, 0.002382515),
    (5, 0.002289968, 0.002165362), (6, 0.002125338, 0.001810545),
)  # fmt: skip


def file(shared_data: Path, name: str) -> Path:
    path = shared_data / "foreign" / name
    if not path.is_file():
        pytest.skip("the files of other makers are not here")
    return path


def cycles_of(test: Test) -> list[Cycle]:
    readings = test.readings
    number = readings["cycle_index"].to_numpy()
    counters = (readings[f"{name}_capacity(ah)"].to_numpy() for name in ("charge", "discharge"))
    gains = [np.diff(values, prepend=values[0]) for values in counters]
    return [
        (int(cycle), *(float(gain[number == cycle].sum()) for gain in gains))  # type: ignore[misc]
        for cycle in np.unique(number)
    ]


@pytest.mark.parametrize(
    ("name", "reader", "rows", "cycles", "within"),
    [
        ("neware_bts8.csv", "neware", 364, BTS8, 1e-9),
        ("neware_bts8_layered.csv", "neware", 392, ((1, 0.02256, 0.33067),), 5e-6),
        ("neware_v22.nda", "neware-binary", 1380, ((1, 0.118441417, 0.0),), 1e-6),
        ("neware.ndax", "neware-binary", 28, ((1, 0.0, 0.0),), 1e-9),
    ],
)
def test_a_file_is_told_and_read_with_its_numbers(
    shared_data: Path, name: str, reader: str, rows: int, cycles: tuple[Cycle, ...], within: float
) -> None:
    path = file(shared_data, name)
    registered = reader_of(path, name)
    assert registered is not None
    assert registered.reader.name == reader
    if reader == "neware-binary":
        pytest.importorskip("fastnda", reason="fastnda is not installed (extra readers)")
    (test,) = registered.reader.read(path, ReadOptions(name)).tests
    assert test.readings.num_rows == rows
    found = cycles_of(test)
    assert len(found) == len(cycles)
    for one, wanted in zip(found, cycles, strict=True):
        assert one == pytest.approx(wanted, rel=0, abs=within)


def test_a_workbook_of_bts_is_read_with_its_numbers(shared_data: Path) -> None:
    name = "neware_bts_detail.xlsx"
    (test,) = NEWARE.read(file(shared_data, name), ReadOptions(name)).tests
    assert (test.readings.num_rows, test.channel) == (154, "14-1-3")
    for one, wanted in zip(cycles_of(test), DETAIL, strict=False):
        assert one == pytest.approx(wanted, rel=0, abs=1e-9)
    assert len(cycles_of(test)) == 14


def test_the_wall_clock_of_an_nda_file_is_that_of_its_stated_start(shared_data: Path) -> None:
    pytest.importorskip("fastnda", reason="fastnda is not installed (extra readers)")
    path = file(shared_data, "neware_v22.nda")
    registered = reader_of(path, path.name)
    assert registered is not None
    (test,) = registered.reader.read(path, ReadOptions(path.name)).tests
    assert test.test_id == "2015-10-14T11:28:30"
    assert test.about.metadata["time_zone"] == "UTC+08:00"
    readings = test.readings
    assert readings["voltage(v)"][0].as_py() == pytest.approx(1.8105, rel=1e-6)
    assert readings["voltage(v)"][-1].as_py() == pytest.approx(2.4001, rel=1e-6)
    assert readings["current(a)"][-1].as_py() == pytest.approx(0.01044, rel=1e-6)
    assert readings["test_time(s)"][-1].as_py() == 41298.9


def test_no_file_of_another_maker_is_claimed(shared_data: Path) -> None:
    folder = file(shared_data, "neware_bts8.csv").parent
    claimed = {
        path.name
        for path in folder.iterdir()
        if any(one.reader.name in {"neware", "neware-binary"} for one in recognising(FileSample.of(path)))
    }
    assert claimed == {"neware_bts8.csv", "neware_bts8_layered.csv", "neware_v22.nda", "neware.ndax"}
