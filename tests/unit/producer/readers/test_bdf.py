"""Files of the Battery Data Format: names of all versions, units and signs of the file, and what is missing in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.places import ROOT
from support.twins import bdf
from support.twins.cell import assert_same_cycles, restarted, twin_cell

from producer.readers.base import BadWorkbookError, ReadOptions
from producer.readers.bdf import READER, best_names
from producer.readers.sample import FileSample

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from producer.readers.base import Test

CELL = twin_cell()
PRECISE = 1e-9


def read(path: Path, **options: object) -> Test:
    (test,) = READER.read(path, ReadOptions(path.name, **options)).tests  # type: ignore[arg-type]
    return test


@pytest.mark.parametrize("write", [bdf.write_csv, bdf.write_parquet])
@pytest.mark.parametrize(
    ("columns", "energies"), [(bdf.machine_columns, True), (bdf.label_columns, False)], ids=["machine", "labels"]
)
def test_a_file_gives_the_cycles_that_were_written(
    tmp_path: Path, write: Callable[..., Path], columns: Callable[..., dict[str, np.ndarray]], energies: bool
) -> None:
    test = read(write(tmp_path / "CELL_1.bdf", columns(CELL)))
    assert_same_cycles(test, CELL, PRECISE, energies=energies)
    assert test.test_id == str(CELL.date_time[0].astype("datetime64[s]"))
    assert test.about.metadata["time_zone"] == "UTC"


@pytest.mark.parametrize(
    ("ends", "zone"),
    [
        (("+01:00", "+01:00"), "UTC+01:00"),
        (("+0100", "+0200"), "UTC+01:00, UTC+02:00"),
        (("Z", "Z"), "UTC"),
        (("", ""), ""),
    ],
)
def test_the_offset_of_dates_is_kept_as_their_zone_and_their_wall_clock_stays(
    tmp_path: Path, ends: tuple[str, str], zone: str
) -> None:
    path = tmp_path / "CELL_1.csv"
    rows = "".join(f"{10 * n},3.7,0.1,2024-03-14T09:35:{n}0{end}\n" for n, end in enumerate(ends))
    path.write_text(f"Test Time / s,Voltage / V,Current / A,Date Time ISO\n{rows}")
    test = read(path)
    assert test.about.metadata.get("time_zone", "") == zone
    assert [str(stamp) for stamp in test.readings["date_time"].to_pylist()] == [
        "2024-03-14 09:35:00", "2024-03-14 09:35:10",
    ]  # fmt: skip


def test_three_columns_are_enough_and_what_was_made_of_them_is_said(tmp_path: Path) -> None:
    test = read(bdf.write_csv(tmp_path / "CELL_1.bdf.csv", bdf.minimal_columns(CELL)))
    assert_same_cycles(test, CELL, 2e-3, energies=False)
    assert set(test.about.integrated) == {
        "charge_capacity(ah)", "discharge_capacity(ah)", "charge_energy(wh)", "discharge_energy(wh)",
    }  # fmt: skip
    said = "; ".join(test.about.assumptions)
    for word in ("no steps", "no cycles", "no dates", "no capacities"):
        assert word in said


def test_the_cells_own_temperature_comes_before_that_of_the_room(tmp_path: Path) -> None:
    test = read(bdf.write_csv(tmp_path / "CELL_1.csv", bdf.machine_columns(CELL)))
    assert test.readings["temperature(c)"].to_pylist() == CELL.temperature.tolist()


def test_the_step_of_the_schedule_comes_before_a_count_of_steps(tmp_path: Path) -> None:
    test = read(bdf.write_csv(tmp_path / "CELL_1.csv", bdf.machine_columns(CELL)))
    assert test.readings["step_index"].to_pylist() == CELL.step.tolist()


def test_counts_in_radians_are_turned_back_and_it_is_said(tmp_path: Path) -> None:
    columns = bdf.machine_columns(CELL) | {"cycle_count": 2 * np.pi * CELL.cycle}
    test = read(bdf.write_csv(tmp_path / "CELL_1.csv", columns))
    assert test.readings["cycle_index"].to_pylist() == CELL.cycle.tolist()
    assert any("cycle_count counts in multiples of 2 pi" in one for one in test.about.assumptions)


def test_counts_that_are_neither_whole_nor_turns_are_refused_with_the_row(tmp_path: Path) -> None:
    count = CELL.cycle + np.where(np.arange(len(CELL)) == 7, 0.5, 0.0)
    path = bdf.write_csv(tmp_path / "CELL_1.csv", bdf.machine_columns(CELL) | {"cycle_count": count})
    with pytest.raises(BadWorkbookError, match=r"^CELL_1\.csv, column cycle_count, row 9: 1\.5 is not a whole number"):
        read(path)


def test_equal_test_times_are_taken_as_they_are(tmp_path: Path) -> None:
    time = CELL.test_time.copy()
    time[10] = time[9]
    test = read(bdf.write_csv(tmp_path / "CELL_1.csv", bdf.machine_columns(CELL) | {"test_time_second": time}))
    assert test.readings["test_time(s)"].to_pylist() == time.tolist()


def test_a_net_capacity_is_split_into_two_counters(tmp_path: Path) -> None:
    columns = bdf.machine_columns(CELL)
    for name in ("charging_capacity_ah", "discharging_capacity_ah", "charging_energy_wh", "discharging_energy_wh"):
        del columns[name]
    columns["net_capacity_ah"] = CELL.charge_capacity - CELL.discharge_capacity
    assert_same_cycles(read(bdf.write_csv(tmp_path / "CELL_1.csv", columns)), CELL, PRECISE, energies=False)


def test_counters_of_cycles_begin_anew_with_each_even_where_they_do_not_fall(tmp_path: Path) -> None:
    columns = {
        "test_time_second": [0.0, 10.0, 20.0, 30.0], "voltage_volt": [3.6, 3.7, 3.6, 3.8], "cycle_count": [1, 1, 2, 2],
        "current_ampere": [1.0, 1.0, 1.0, 1.0], "cycle_charging_capacity_ah": [0.0, 0.1, 0.2, 0.3],
        "cycle_discharging_capacity_ah": [0.0, 0.0, 0.0, 0.0],
    }  # fmt: skip
    test = read(bdf.write_csv(tmp_path / "a.csv", columns))
    assert test.readings["charge_capacity(ah)"].to_pylist() == pytest.approx([0.0, 0.1, 0.3, 0.4])


def exported(cells: dict[str, int]) -> dict[str, np.ndarray | list[str]]:
    """The columns of `bdf_timeseries` for some cells, each with so many tests: counters of cycles, empty columns."""
    columns: dict[str, list[object]] = {}
    for cell_id, tests in cells.items():
        for number in range(tests):
            one = replace(CELL, date_time=CELL.date_time + np.timedelta64(30 * number, "D"))
            parts: dict[str, Any] = {
                "cell_id": [cell_id] * len(one),
                "test_id": [str(one.date_time[0].astype("datetime64[s]"))] * len(one),
                "test_time_second": one.test_time,
                "voltage_volt": one.voltage,
                "current_ampere": one.current,
                "unix_time_second": bdf.unix_seconds(one),
                "cycle_count": one.cycle,
                "step_count": one.step_run,
                "ambient_temperature_celsius": np.full(len(one), np.nan),
                "step_id": one.step,
                "record_index": one.data_point,
                "step_time_second": one.step_time,
                "internal_resistance_ohm": np.full(len(one), np.nan),
                "cycle_charging_capacity_ah": restarted(one.charge_capacity, one.cycle),
                "cycle_discharging_capacity_ah": restarted(one.discharge_capacity, one.cycle),
                "power_watt": one.current * one.voltage,
            }
            for name, values in parts.items():
                columns.setdefault(name, []).extend(None if value != value else value for value in values)  # noqa: PLR0124
    return columns  # type: ignore[return-value]


@pytest.mark.parametrize("write", [bdf.write_csv, bdf.write_parquet])
def test_what_the_project_exports_is_read_back_cell_by_cell_and_test_by_test(
    tmp_path: Path, write: Callable[..., Path]
) -> None:
    path = write(tmp_path / "bdf_timeseries", exported({"B": 1, "A": 2}))
    workbook = READER.read(path, ReadOptions(path.name))
    first, later = "2024-03-14T09:35:15", "2024-04-13T09:35:15"
    assert [(test.cell_id, test.test_id) for test in workbook.tests] == [("A", first), ("B", first), ("A", later)]
    for test in workbook.tests:
        assert_same_cycles(test, CELL, PRECISE, energies=False)
        assert test.about.metadata == {}


def test_the_columns_of_the_projects_own_model_are_all_known() -> None:
    model = (ROOT / "dbt_project" / "models" / "marts" / "bdf_timeseries.sql").read_text()
    titles = [title for title in exported({"A": 1}) if title != "power_watt"]
    for title in titles:
        assert title in model
    quantities = {quantity for quantity, _ in best_names(titles).values()}
    assert len(quantities) == len(titles) - 1  # step_id before step_count


def test_the_user_names_the_cells_of_a_file_of_several(tmp_path: Path) -> None:
    path = bdf.write_csv(tmp_path / "lab.csv", exported({"A": 1, "B": 1}))

    def cells(**options: object) -> list[str]:
        return [test.cell_id for test in READER.read(path, ReadOptions(path.name, **options)).tests]  # type: ignore[arg-type]

    assert cells() == ["A", "B"]
    assert cells(cell_id="X") == ["X_A", "X_B"]
    assert cells(channel_cells={"B": "Y"}) == ["A", "Y"]
    with pytest.raises(BadWorkbookError, match=r"^lab\.csv: has no channel C, which --cell names, only A, B"):
        cells(channel_cells={"C": "Y"})


@pytest.mark.parametrize(
    ("header", "is_bdf"),
    [
        ("test_time_second,voltage_volt,current_ampere", True),
        ("current_ampere,voltage_millivolt,test_time_millisecond", True),
        ("Test Time / s,Voltage / V,Current / A", True),
        ("Current / mA;Voltage / mV;Test Time / h", True),
        ("Test_Time(s),Voltage(V),Current(A)", False),
        ("Record\tTestTime/Sec\tVoltage/V\tCurrent/mA", False),
        ("Test Time is in test_time_second", False),
    ],
)
def test_a_text_is_told_by_its_titles_in_either_form(header: str, is_bdf: bool) -> None:
    content = f"{header}\n1,2,3\n".encode()
    assert READER.recognises(FileSample(".txt", content)) is is_bdf


def test_parquet_of_other_columns_is_not_claimed(tmp_path: Path) -> None:
    path = bdf.write_parquet(tmp_path / "a.parquet", {"t": CELL.test_time, "u": CELL.voltage})
    assert not READER.recognises(FileSample.of(path))


def test_a_number_that_is_none_is_named_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("test_time_second,voltage_volt,current_ampere\n1,3.7,0.1\n2,high,0.1\n")
    with pytest.raises(BadWorkbookError, match=r"^a\.csv, column voltage_volt, row 3: 'high' is not a number"):
        read(path)


def test_an_unknown_unit_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("Test Time / fortnight,Voltage / V,Current / A\n1,3.7,0.1\n")
    with pytest.raises(BadWorkbookError, match=r"column Test Time / fortnight, row 1: has the unit 'fortnight'"):
        read(path)


def test_milliseconds_below_a_title_of_seconds_are_told_by_the_dates(tmp_path: Path) -> None:
    columns = bdf.machine_columns(CELL)
    as_written = read(bdf.write_csv(tmp_path / "A.csv", columns))
    times = {name: 1e3 * columns[name] for name in ("test_time_second", "step_time_second") if name in columns}
    test = read(bdf.write_csv(tmp_path / "B.csv", columns | times))
    assert test.readings["test_time(s)"].to_numpy() == pytest.approx(as_written.readings["test_time(s)"].to_numpy())
    assert "test_time_second holds ms by the dates; it was converted to s" in test.about.assumptions
    assert not any("by the dates" in line for line in as_written.about.assumptions)
