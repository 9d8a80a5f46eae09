"""Real Arbin files of other laboratories, and what each cycle of them gained, by other software."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from producer.readers.base import ReadOptions
from producer.readers.registry import reader_of

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import Test, Workbook

AH = 1e-9

CYCLES: dict[str, list[list[tuple[int, float, float]]]] = {
    "arbin_mits8_no_data_point.xlsx": [[(1, 0.005702703, 0.011054898)]],
    "arbin_four_channels.xlsx": [
        [
            (1, 0.001558342, 0.001269663), (2, 0.001457011, 0.001444043), (3, 0.00151524, 0.001496343),
            (4, 0.001393718, 0.001296924), (5, 0.001313693, 0.001300704), (6, 0.001313601, 0.000941203),
        ],
        [
            (1, 0.001730073, 0.001487308), (2, 0.001533866, 0.001503722), (3, 0.001525948, 0.001491027),
            (4, 0.001437565, 0.001376139), (5, 0.001385052, 0.000215478),
        ],
        [
            (1, 0.001894819, 0.001515027), (2, 0.00170787, 0.001498385), (3, 0.001718017, 0.001459324),
            (4, 0.001543696, 0.001412128), (5, 0.001495048, 0.000690947),
        ],
        [
            (1, 0.001196078, 0.000755575), (2, 0.001017024, 0.000860165), (3, 0.001084553, 0.000946723),
            (4, 0.00094038, 0.000719246), (5, 0.000804325, 0.000730528), (6, 0.000806327, 0.000746511),
        ],
    ],
    "arbin_matr.csv": [[(1, 0.1918985, 1.0723603), (2, 1.0725317, 1.0729095)]],
    "calce_pl.csv": [[(1, 0.650098869, 1.3e-08)]],
    "arbin_86uA.res": [
        [
            (1, 0.0004835149, 0.0004751559), (2, 0.0004767506, 0.0004743533), (3, 0.0004761845, 0.0004740015),
            (4, 0.0004760282, 0.0004737044), (5, 0.0, 0.0),
        ],
    ],
    "arbin_res_86uA_as_product_columns.csv": [
        [
            (1, 0.0004835149, 0.0004751559), (2, 0.0004767506, 0.0004743533), (3, 0.0004761845, 0.0004740015),
            (4, 0.0004760282, 0.0004737044), (5, 0.0, 0.0),
        ],
    ],
}  # fmt: skip
"""Of each test of a file its first cycles: number, Ah of charge, Ah of discharge."""

LAST: dict[str, tuple[int, dict[str, float | None]]] = {
    "arbin_mits10.csv": (13, {"data_point": 13, "cycle_index": 1, "test_time(s)": 301.214, "current(a)": 2.650138,
                              "voltage(v)": 3.599601, "temperature(c)": 24.68785}),
    "arbin_matr_memloaded.csv": (248, {"data_point": 247, "cycle_index": 0, "step_index": 0, "current(a)": 0.0,
                                       "voltage(v)": 3.3009677, "temperature(c)": 28.995434}),
    "battery_archive.csv": (15, {"data_point": 15, "cycle_index": 1, "test_time(s)": 450.16, "current(a)": 0.675,
                                 "charge_capacity(ah)": 0.059, "temperature(c)": None}),
    "arbin_mits7.res": (8, {"test_time(s)": 141.264096, "current(a)": 0.0, "temperature(c)": None}),
}  # fmt: skip
"""How many readings a file has, and the last of them."""

STARTS = {
    "arbin_mits10.csv": "2024-09-20T08:32:34.558000",
    "arbin_matr_memloaded.csv": "2017-05-13T03:14:03.471500",
    "arbin_matr.csv": "2017-07-02T14:39:13",
    "battery_archive.csv": "2010-09-02T14:35:40",
    "calce_pl.csv": "2014-08-06T14:25:13",
    "arbin_86uA.res": "2023-07-24T18:50:00",
    "arbin_mits7.res": "2026-04-07T15:58:33",
    "arbin_mits8_no_data_point.xlsx": "2020-10-19T11:31:46.582000",
}


def read(folder: Path, name: str) -> Workbook:
    if not (folder / "foreign" / name).is_file():
        pytest.skip(f"{name} of another laboratory is not here")
    if name.endswith(".res"):
        pytest.importorskip("access_parser", reason="the extra readers is not installed")
    path = folder / "foreign" / name
    one = reader_of(path, name)
    assert one is not None
    return one.reader.read(path, ReadOptions(name))


def gains(test: Test) -> list[tuple[int, float, float]]:
    """Of each cycle what its counters gained within the file; a fall begins again."""
    cycle = test.readings["cycle_index"].to_numpy()
    parts = []
    for column in ("charge_capacity(ah)", "discharge_capacity(ah)"):
        counter = test.readings[column].to_numpy()
        gain = np.diff(counter, prepend=counter[0])
        parts.append(np.where(gain < 0, counter, gain))
    return [(int(one), *(float(part[cycle == one].sum()) for part in parts)) for one in np.unique(cycle)]  # type: ignore[misc]


@pytest.mark.parametrize("name", CYCLES)
def test_each_cycle_of_a_real_file_gains_what_other_software_says(shared_data: Path, name: str) -> None:
    tests = read(shared_data, name).tests
    assert len(tests) == len(CYCLES[name])
    for test, expected in zip(tests, CYCLES[name], strict=True):
        for given, wanted in zip(gains(test), expected, strict=False):
            assert given == pytest.approx(wanted, rel=0, abs=AH)


@pytest.mark.parametrize("name", LAST)
def test_a_real_file_is_read_to_its_last_reading(shared_data: Path, name: str) -> None:
    rows, last = LAST[name]
    (test,) = read(shared_data, name).tests
    assert test.readings.num_rows == rows
    row = test.readings.slice(rows - 1).to_pylist()[0]
    assert {column: row[column] for column in last} == last


@pytest.mark.parametrize("name", STARTS)
def test_a_real_file_is_named_after_its_first_clock(shared_data: Path, name: str) -> None:
    (test,) = read(shared_data, name).tests
    assert test.test_id == STARTS[name]


def test_every_column_of_the_real_database_is_as_mdbtools_give_it(shared_data: Path) -> None:
    (test,) = read(shared_data, "arbin_86uA.res").tests
    (other,) = read(shared_data, "arbin_res_86uA_as_product_columns.csv").tests
    columns = [name for name in other.readings.column_names if name not in {"cell_id", "source_file"}]
    present = [name for name in columns if other.readings[name].null_count < other.readings.num_rows]
    assert len(present) == 13
    different = [name for name in present if test.readings[name].to_pylist() != other.readings[name].to_pylist()]
    assert different == []


def test_four_real_channels_are_four_cells_with_cycles_from_one_on(shared_data: Path) -> None:
    tests = read(shared_data, "arbin_four_channels.xlsx").tests
    assert [(test.channel, test.readings.num_rows) for test in tests] == [
        ("1-053", 67), ("1-059", 59), ("1-064", 58), ("1-066", 153),
    ]  # fmt: skip
    assert len({test.cell_id for test in tests}) == 4
    efficiency = [gains(test)[0][2] / gains(test)[0][1] for test in tests]
    assert efficiency == pytest.approx([0.8148, 0.8597, 0.7996, 0.6317], abs=5e-5)


def test_no_real_file_gives_the_name_of_a_person(shared_data: Path) -> None:
    for name in (*STARTS, "arbin_four_channels.xlsx"):
        for test in read(shared_data, name).tests:
            assert "Tester" not in str(test.about.metadata)
            assert test.about.reader
