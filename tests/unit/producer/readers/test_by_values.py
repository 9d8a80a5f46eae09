"""What the values of columns tell of their units, and what stays a guess that is said."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.twins import table
from support.twins.cell import assert_same_cycles, in_one, twin_cell

from producer.readers.base import ReadOptions
from producer.readers.look import look
from producer.readers.mapped import READER
from producer.readers.mapping_file import MappingFile
from producer.readers.proposal import propose

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from producer.readers.base import Test

CELL = twin_cell()
HOUR = CELL.test_time / 3600
DATES = [f"{one:%d.%m.%Y %H:%M:%S}" for one in CELL.date_time.astype("datetime64[s]").tolist()]


def lines_of(path: Path) -> dict[str, str]:
    """The lines of a proposal by the title that they begin with."""
    lines = propose(look(path), path.name).splitlines()
    return {line.strip().partition('"')[2].partition('"')[0]: line.strip() for line in lines if '": ' in line}


def written(folder: Path, columns: Mapping[str, Iterable[object]]) -> Path:
    return table.write_text(folder / "a.csv", {name: list(values) for name, values in columns.items()})


def with_dates(title: str, times: Iterable[object]) -> dict[str, Iterable[object]]:
    return {title: times, "Datum": DATES, "I [A]": CELL.current, "U [V]": CELL.voltage}


def read(path: Path) -> Test:
    text = propose(look(path), path.name)
    (test,) = READER.read(path, ReadOptions(path.name, mapping=MappingFile("m.yaml", text))).tests
    return test


@pytest.mark.parametrize(
    ("times", "unit", "said"),
    [
        (1, "V", "V by its values, 2.7 to 4.2"),
        (1e3, "mV", "mV by its values, 2700 to 4200; write V if it is a pack"),
        (1e6, "uV", "uV by its values, 2.7e+06 to 4.2e+06"),
    ],
)
def test_a_voltage_without_unit_is_told_by_its_size_and_that_is_said(
    tmp_path: Path, times: float, unit: str, said: str
) -> None:
    line = lines_of(written(tmp_path, {"t [s]": CELL.test_time, "i [A]": CELL.current, "u": times * CELL.voltage}))["u"]
    assert line == f'"u": {{quantity: voltage, unit: {unit}}}  # the title has no unit; {said}'


def test_a_voltage_of_no_single_cell_is_asked_whether_it_is_a_packs(tmp_path: Path) -> None:
    line = lines_of(written(tmp_path, {"t [s]": CELL.test_time, "i [A]": CELL.current, "u": 14 * CELL.voltage}))["u"]
    assert "{quantity: voltage, unit: V}  # unsure: " in line
    assert "37.8 to 58.8 V is more than one cell has: is it a pack?" in line


def test_a_voltage_whose_unit_the_title_writes_is_left_as_it_is(tmp_path: Path) -> None:
    lines = lines_of(written(tmp_path, {"t [s]": CELL.test_time, "i [A]": CELL.current, "U [V]": 400 * CELL.voltage}))
    assert lines["U [V]"] == '"U [V]": voltage'


@pytest.mark.parametrize(("times", "unit"), [(1, "A"), (1e3, "mA")])
def test_the_size_of_a_current_tells_no_unit_and_the_likelier_one_is_to_be_checked(
    tmp_path: Path, times: float, unit: str
) -> None:
    lines = lines_of(written(tmp_path, {"t [s]": CELL.test_time, "i": times * CELL.current, "u [V]": CELL.voltage}))
    assert (
        f"unit: {unit}}}  # unsure: the title has no unit; its size, up to {times * 1.6:.4g}, does not tell A from mA"
        in (lines["i"])
    )
    assert "check it" in lines["i"]


@pytest.mark.parametrize(
    ("current", "capacity", "unit"),
    [(1.0, "Q+ (Ah)", "A"), (1e3, "Q+ (Ah)", "mA"), (1e6, "Q+ (mAh)", "uA"), (1e3, "Q+ (mAh)", "mA")],
)
def test_the_capacity_tells_the_unit_of_the_current_that_moved_it(
    tmp_path: Path, current: float, capacity: str, unit: str
) -> None:
    charge = CELL.charge_capacity * (1e3 if "mAh" in capacity else 1.0)
    columns = {"t [s]": CELL.test_time, "i": current * CELL.current, "u [V]": CELL.voltage, capacity: charge}
    line = lines_of(written(tmp_path, columns))["i"]
    said = "the title has no unit; the capacity gains what the current moves then"
    assert line == f'"i": {{quantity: current, unit: {unit}}}  # {said}'


def test_the_current_tells_the_unit_of_a_capacity_and_that_the_one_of_an_energy(tmp_path: Path) -> None:
    columns = {
        "t [s]": CELL.test_time, "I [mA]": 1e3 * CELL.current, "u [V]": CELL.voltage,
        "Ladung": 1e3 * CELL.charge_capacity, "Entladung": 1e3 * CELL.discharge_capacity,
        "Energie Ladung": 1e3 * CELL.charge_energy,
    }  # fmt: skip
    lines = lines_of(written(tmp_path, columns))
    assert '"Ladung": {quantity: charge_capacity, unit: mAh}  # the title' in lines["Ladung"]
    assert '"Entladung": {quantity: discharge_capacity, unit: mAh}  # the title' in lines["Entladung"]
    assert '"Energie Ladung": {quantity: charge_energy, unit: mWh}  # the title' in lines["Energie Ladung"]


def test_where_neither_has_a_unit_it_is_said_which_go_together(tmp_path: Path) -> None:
    columns = {
        "t [s]": CELL.test_time, "i": 1e3 * CELL.current, "u": 1e3 * CELL.voltage, "q": 1e3 * CELL.charge_capacity,
    }  # fmt: skip
    lines = lines_of(written(tmp_path, columns))
    for title, unit in (("i", "mA"), ("q", "mAh")):
        assert f"unit: {unit}}}  # unsure: " in lines[title]
        assert "(A goes with Ah here, mA with mAh)" in lines[title]


def test_a_charge_that_is_off_by_what_no_unit_explains_is_no_doubt_of_units(tmp_path: Path) -> None:
    columns = {
        "t [s]": CELL.test_time, "I [A]": CELL.current, "u [V]": CELL.voltage, "Q+ [Ah]": 5 * CELL.charge_capacity,
    }  # fmt: skip
    assert lines_of(written(tmp_path, columns))["I [A]"] == '"I [A]": current'


def test_units_of_titles_by_which_the_charge_does_not_agree_are_doubted(tmp_path: Path) -> None:
    columns = {
        "t [s]": CELL.test_time, "I [A]": 1e3 * CELL.current, "u [V]": CELL.voltage, "Q+ [Ah]": CELL.charge_capacity,
    }  # fmt: skip
    line = lines_of(written(tmp_path, columns))["I [A]"]
    assert "# unsure: with its unit and that of the time it moves about 1000 times what the capacity gains" in line


@pytest.mark.parametrize(("seconds", "unit"), [(1.0, "s"), (60.0, "min"), (3600.0, "h"), (1e-3, "ms")])
def test_dates_tell_the_unit_of_a_time(tmp_path: Path, seconds: float, unit: str) -> None:
    columns = with_dates("Zeit", CELL.test_time / seconds)
    assert lines_of(written(tmp_path, columns))["Zeit"] == (
        f'"Zeit": {{quantity: test_time, unit: {unit}}}  # the title has no unit; {unit} by the dates'
    )


def test_a_unit_of_a_title_that_the_dates_deny_is_doubted(tmp_path: Path) -> None:
    columns = with_dates("Zeit [s]", CELL.test_time / 60)
    assert (
        "{quantity: test_time, unit: min}  # unsure: the unit is s by the title, and min by the dates"
        in (lines_of(written(tmp_path, columns))["Zeit [s]"])
    )


def test_a_capacity_tells_the_unit_of_a_time_where_there_are_no_dates(tmp_path: Path) -> None:
    columns = {"Zeit": HOUR, "I [A]": CELL.current, "U [V]": CELL.voltage, "Q+ [Ah]": CELL.charge_capacity}
    assert '"Zeit": {quantity: test_time, unit: h}  # the title' in lines_of(written(tmp_path, columns))["Zeit"]


@pytest.mark.parametrize(("apart", "unit"), [(10.0, "s"), (10 / 60, "min"), (10 / 3600, "h"), (10_000.0, "ms")])
def test_without_either_the_spacing_of_the_readings_makes_a_guess(tmp_path: Path, apart: float, unit: str) -> None:
    columns = {"Zeit": [n * apart for n in range(9)], "I [A]": [1.0] * 9, "U [V]": [3.7] * 9}
    assert (
        f"unit: {unit}}}  # unsure: the title has no unit; {unit} is a guess: readings are 10 s apart then"
        in (lines_of(written(tmp_path, columns))["Zeit"])
    )


def test_times_by_their_look_are_durations_dates_or_unix_seconds(tmp_path: Path) -> None:
    start = datetime(2024, 3, 1, 10)  # noqa: DTZ001  # a wall clock
    columns: dict[str, list[object]] = {
        "time": [f"{26 + n}:00:0{n}" for n in range(4)],
        "I [A]": [1.0] * 4,
        "U [V]": [3.7] * 4,
    }
    assert '"time": {quantity: test_time, unit: duration}' in lines_of(written(tmp_path, columns))["time"]
    columns["time"] = [f"{start + timedelta(seconds=n)}" for n in range(4)]
    assert lines_of(written(tmp_path, columns))["time"] == '"time": date_time  # its values are dates'
    columns["time"] = [1_700_000_000 + n for n in range(4)]
    assert '"time": date_time  # its values count Unix seconds' in lines_of(written(tmp_path, columns))["time"]
    del columns["time"]
    line = lines_of(written(tmp_path, {"timestamp": [0.0, 10.0, 20.0, 30.0], **columns}))["timestamp"]
    assert line.startswith('"timestamp": {quantity: test_time, unit: s}  # unsure')


def test_a_temperature_in_kelvin_is_told_by_its_values(tmp_path: Path) -> None:
    columns = {"t [s]": CELL.test_time, "I [A]": CELL.current, "U [V]": CELL.voltage, "Temp": CELL.temperature + 273.15}
    assert '"Temp": {quantity: temperature, unit: K}  # the title' in lines_of(written(tmp_path, columns))["Temp"]


def test_a_temperature_that_may_be_in_degrees_celsius_stays_a_guess_of_those(tmp_path: Path) -> None:
    columns = {"t [s]": CELL.test_time, "I [A]": CELL.current, "U [V]": CELL.voltage, "Temp": CELL.temperature}
    line = lines_of(written(tmp_path, columns))["Temp"]
    assert line.startswith('"Temp": {quantity: temperature, unit: C}')
    assert "by its values" not in line


def test_a_time_that_begins_again_may_be_that_of_the_step(tmp_path: Path) -> None:
    columns = {"Time": CELL.step_time, "I [A]": CELL.current, "U [V]": CELL.voltage, "Q+ [Ah]": CELL.charge_capacity}
    assert "may be step_time" in lines_of(written(tmp_path, columns))["Time"]


def test_a_counter_that_begins_again_tells_units_by_what_it_gains_in_between(tmp_path: Path) -> None:
    single = in_one(CELL.charge_capacity, CELL.discharge_capacity, CELL.direction)
    columns = {"t [s]": CELL.test_time, "i": 1e3 * CELL.current, "u [V]": CELL.voltage, "Capacity [Ah]": single}
    assert lines_of(written(tmp_path, columns))["i"].startswith('"i": {quantity: current, unit: mA}  # the title')


def test_of_two_columns_of_one_quantity_that_with_the_fewer_doubts_tells_the_units_of_others(tmp_path: Path) -> None:
    columns = {
        "i": 17 * CELL.temperature, "t [s]": CELL.test_time, "Current [A]": CELL.current, "u [V]": CELL.voltage,
        "Ladung": 1e3 * CELL.charge_capacity,
    }  # fmt: skip
    line = lines_of(written(tmp_path, columns))["Ladung"]
    assert line.startswith('"Ladung": {quantity: charge_capacity, unit: mAh}')
    assert "does not tell Ah from mAh" not in line


def test_a_small_current_is_rather_in_milli_where_the_voltage_is(tmp_path: Path) -> None:
    columns = {"t [s]": CELL.test_time, "i": CELL.current, "u [mV]": 1e3 * CELL.voltage}
    assert '"i": {quantity: current, unit: mA}  # unsure' in lines_of(written(tmp_path, columns))["i"]


def test_a_time_that_never_begins_again_is_that_of_the_test_whatever_neware_calls_so(tmp_path: Path) -> None:
    columns = {"Time": CELL.test_time, "I [A]": CELL.current, "U [V]": CELL.voltage, "Q+ [Ah]": CELL.charge_capacity}
    assert "unsure" not in lines_of(written(tmp_path, columns))["Time"]


def test_columns_in_milli_with_decimal_commas_and_no_units_are_proposed_as_they_land(tmp_path: Path) -> None:
    path = table.write_text(
        tmp_path / "Zelle 7.csv",
        {
            "Zeit": HOUR.tolist(), "Datum": DATES, "Strom": (1e3 * CELL.current).tolist(),
            "Spannung": (1e3 * CELL.voltage).tolist(), "Ladung": (1e3 * CELL.charge_capacity).tolist(),
            "Entladung": (1e3 * CELL.discharge_capacity).tolist(), "Schritt": CELL.step.tolist(),
            "Zyklus": CELL.cycle.tolist(),
        },
        delimiter=";", decimal=",",
    )  # fmt: skip
    assert_same_cycles(read(path), CELL, 1e-9, energies=False)


def test_a_parquet_file_with_nanoseconds_is_proposed_as_it_lands(tmp_path: Path) -> None:
    stamps = CELL.date_time.astype("datetime64[ns]") + np.timedelta64(7, "ns")
    columns = {"timestamp": pa.array(stamps), "I": CELL.current, "V": CELL.voltage, "cycle": CELL.cycle}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert_same_cycles(read(tmp_path / "a.parquet"), CELL, 2e-3, energies=False)
