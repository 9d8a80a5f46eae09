"""Maccor's text exports: what they look like, how they are told, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.twins.cell import assert_same_cycles, twin_cell
from support.twins.maccor import write_maccor

from producer.readers.base import BadWorkbookError, FileSample, ReadOptions
from producer.readers.maccor import READER

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import Test

HEAD = "Rec#\tCyc#\tStep\tTest (Sec)\tStep (Sec)\tAmp-hr\tWatt-hr\tAmps\tVolts\tState\tES\tDPt Time\n"


def read(path: Path, **options: Any) -> Test:
    (test,) = READER.read(path, ReadOptions(path.name, **options)).tests
    return test


def rows(tmp_path: Path, *lines: str, head: str = HEAD) -> Path:
    path = tmp_path / "A.022"
    path.write_text(head + "".join(f"{line}\n" for line in lines))
    return path


def reading(number: int, state: str, amps: float, amp_hours: float, step: int = 1) -> str:
    return (
        f"{number}\t0\t{step}\t{10 * number}\t{number}\t{amp_hours}\t{amp_hours}\t{amps}\t3.5\t{state}\t1\t"
        f"12/19/2020 12:18:{number:02d}"
    )


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("times", ["d", "Sec", "Min", "Hr", "plain"])
def test_an_export_gives_the_cycles_of_the_cell_in_any_unit_of_time_and_with_a_sign_or_without(
    tmp_path: Path, times: str, *, signed: bool
) -> None:
    cell = twin_cell()
    test = read(write_maccor(tmp_path / "CELL_1.022", cell, signed=signed, times=times))
    assert_same_cycles(test, cell, 1e-8, first=0)
    assert test.readings["test_time(s)"].to_numpy() == pytest.approx(cell.test_time, abs=1e-6)
    assert test.readings["step_time(s)"].to_numpy() == pytest.approx(cell.step_time, abs=1e-6)
    assert test.readings["date_time"].to_numpy().tolist() == cell.date_time.tolist()
    assert any("no sign" in line for line in test.about.assumptions) is not signed


@pytest.mark.parametrize(
    ("variety", "first"),
    [
        ({"header_first": True}, 1),
        ({"am_pm": True}, 1),
        ({"thousands": True, "times": "Sec"}, 1),
        ({"thousands": True}, 990),
    ],
    ids=str,
)
def test_an_export_of_another_variety_gives_the_same(tmp_path: Path, variety: dict[str, Any], first: int) -> None:
    cell = twin_cell()
    cell = replace(cell, data_point=cell.data_point + first - 1)
    test = read(write_maccor(tmp_path / "CELL_1.txt", cell, **variety))
    assert_same_cycles(test, cell, 1e-8, first=0)
    assert test.readings["data_point"].to_numpy().tolist() == cell.data_point.tolist()
    assert test.readings["date_time"].to_numpy().tolist() == cell.date_time.tolist()


def test_temperatures_are_those_of_the_first_sensor_that_is_there(tmp_path: Path) -> None:
    cell = twin_cell()
    test = read(write_maccor(tmp_path / "a.txt", cell))
    assert test.readings["temperature(c)"].to_numpy() == pytest.approx(cell.temperature)
    none = read(write_maccor(tmp_path / "b.txt", cell, sensor=False))
    assert none.readings["temperature(c)"].null_count == len(cell)


def test_a_resistance_of_zero_was_not_measured(tmp_path: Path) -> None:
    cell = twin_cell()
    readings = read(write_maccor(tmp_path / "a.txt", cell)).readings
    assert readings["ac_impedance(ohm)"].null_count == len(cell)
    assert readings["internal_resistance(ohm)"].null_count == int((cell.direction == 0).sum())
    assert set(readings["internal_resistance(ohm)"].drop_null().to_pylist()) == {0.03125}


def test_the_file_name_in_the_header_is_kept_without_its_folders(tmp_path: Path) -> None:
    test = read(write_maccor(tmp_path / "a.txt", twin_cell()))
    assert test.about.metadata == {"test_name": "A.022", "cycler": "Maccor"}


@pytest.mark.parametrize("way", ["D", "C"])
@pytest.mark.parametrize("signed", [True, False])
def test_a_file_of_one_direction_alone_has_the_sign_of_its_state(tmp_path: Path, way: str, *, signed: bool) -> None:
    sign = {"C": 1, "D": -1}[way]
    amps = sign if signed else 1
    test = read(rows(tmp_path, reading(1, "R", 0, 0), *(reading(n, way, amps, n / 10, 2) for n in (2, 3, 4))))
    assert test.readings["current(a)"].to_pylist() == [0.0, sign, sign, sign]


def test_an_offset_of_the_other_sign_in_rests_does_not_make_an_unsigned_current_signed(tmp_path: Path) -> None:
    path = rows(
        tmp_path,
        reading(1, "R", -0.01, 0),
        *(reading(n, "C", 1, n / 10, 2) for n in (2, 3, 4)),
        reading(5, "R", -0.01, 0, 3),
        *(reading(n, "D", 1, n / 10, 4) for n in (6, 7)),
    )
    assert read(path).readings["current(a)"].to_pylist()[1:4] == [1.0, 1.0, 1.0]
    assert read(path).readings["current(a)"].to_pylist()[5:] == [-1.0, -1.0]


def test_a_state_that_says_no_direction_has_that_of_a_signed_current(tmp_path: Path) -> None:
    path = rows(
        tmp_path,
        reading(1, "C", 1, 0.1),
        reading(2, "D", -1, 0.1, 2),
        reading(3, "P", -1, 0.05, 3),
        reading(4, "P", -1, 0.25, 3),
    )
    test = read(path)
    assert test.readings["discharge_capacity(ah)"].to_pylist() == pytest.approx([0.0, 0.1, 0.15, 0.35])
    assert any(line.startswith("the state P says no direction") for line in test.about.assumptions)


def test_a_current_below_zero_shows_that_currents_have_signs_without_any_discharge(tmp_path: Path) -> None:
    path = rows(tmp_path, reading(1, "C", 1, 0.1), reading(2, "P", -1, 0.05, 2), reading(3, "P", -1, 0.25, 2))
    assert read(path).readings["discharge_capacity(ah)"].to_pylist() == pytest.approx([0.0, 0.05, 0.25])


def test_a_state_that_says_no_direction_goes_on_as_before_without_signs_and_that_is_said(tmp_path: Path) -> None:
    path = rows(tmp_path, reading(1, "C", 1, 0.1), reading(2, "D", 1, 0.05, 2), reading(3, "P", 1, 0.02, 3))
    test = read(path)
    assert test.readings["charge_capacity(ah)"].to_pylist() == pytest.approx([0.1, 0.1, 0.1])
    assert test.readings["discharge_capacity(ah)"].to_pylist() == pytest.approx([0.0, 0.05, 0.07])
    assert any("the state P says no direction, and no current has a sign" in line for line in test.about.assumptions)


def test_a_suspended_test_goes_on_in_its_step(tmp_path: Path) -> None:
    path = rows(
        tmp_path, reading(1, "C", 1, 0.1), reading(2, "S", 0, 0.1), reading(3, "S", 0, 0.1), reading(4, "C", 1, 0.3)
    )
    assert read(path).readings["charge_capacity(ah)"].to_pylist() == pytest.approx([0.1, 0.1, 0.1, 0.3])


def test_a_file_without_dates_of_readings_has_the_date_of_the_test(tmp_path: Path) -> None:
    head = "Today''s Date\t03/28/2022 12:50:27 PM\n\nDate of Test:\t08/23/2021 6:04:18 PM\n\n" + HEAD
    path = rows(
        tmp_path, *(reading(n, "C", 1, n / 10).rpartition("\t")[0] for n in (1, 2)), head=head.replace("\tDPt Time", "")
    )
    test = read(path)
    assert test.test_id == "2021-08-23T18:04:28"
    path.write_text(path.read_text().replace("08/23/2021", "08/33/2021"))
    with pytest.raises(BadWorkbookError, match=r"A\.022, column Date of Test, row 3: '08/33/2021"):
        read(path)
    assert any("dates the start of the test alone" in line for line in test.about.assumptions)


def test_dates_are_read_with_the_month_first_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    path = rows(tmp_path, *(reading(n, "C", 1, n / 10).replace("12/19/2020", "03/04/2020") for n in (1, 2)))
    assert read(path).test_id == "2020-03-04T12:18:01"
    assert read(path, dates="dmy").test_id == "2020-04-03T12:18:01"


def test_titles_of_newer_software_are_read_and_the_clock_tells_the_unit_of_its_times(tmp_path: Path) -> None:
    titles = "Rec Cycle_P Cycle_C Step Test_Time Step_Time Capacity Energy Current Voltage MD DPT_Time"
    head = titles.replace(" ", "\t").replace("_", " ") + "\n\t\t\t\t\t\n"
    lines = [f"{n}\t1\t7\t2\t{n}\t{n}\t{n / 10}\t{n / 5}\t1.5\t3.{n}\tD\t23-Nov-23 0{n}:56:24 PM" for n in (2, 3, 4)]
    test = read(rows(tmp_path, *lines, head=head))
    assert test.readings["test_time(s)"].to_pylist() == [7200.0, 10800.0, 14400.0]
    assert test.readings["cycle_index"].to_pylist() == [1, 1, 1]
    assert test.readings["current(a)"].to_pylist() == [-1.5, -1.5, -1.5]
    still = [line.rpartition("\t")[0] + "\t23-Nov-23 02:56:24 PM" for line in lines]
    with pytest.raises(BadWorkbookError, match="column Test Time: names no unit of time"):
        read(rows(tmp_path, *still, head=head))


def test_an_export_is_told_by_its_titles(tmp_path: Path) -> None:
    assert READER.recognises(FileSample.of(write_maccor(tmp_path / "a.txt", twin_cell())))
    assert READER.recognises(FileSample.of(write_maccor(tmp_path / "b.txt", twin_cell(), header_first=True)))
    for other in (
        "Record\tTestTime/Sec\tCurrent/mA\tVoltage/V\n",
        "Rec# is what Maccor calls a reading; volts, amps\n",
    ):
        assert not READER.recognises(FileSample(".txt", other.encode()))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("\t3.5\tC\t1\t12/19/2020 12:18:03", "\thigh\tC\t1\t12/19/2020 12:18:03", "column Volts, row 4: 'high' is not"),
        ("12:18:03", "12:88:03", "column DPt Time, row 4"),
        ("3\t0\t1\t30", "3\t\t1\t30", "column Cyc#, row 4: the cell is empty"),
        ("\t12/19/2020 12:18:03", "", "has 11 cells, and the header has 12"),
        ("Amps", "Ampere", "has no column for current"),
        ("Test (Sec)\tStep (Sec)", "A\tB", "no column for the time"),
        ("Rec#", "Records", "no line of titles that begins with Rec#"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_with_the_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = rows(tmp_path, *(reading(n, "C", 1, n / 10) for n in (1, 2, 3, 4)))
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(BadWorkbookError) as refusal:
        read(path)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_step_that_begins_with_more_than_the_one_before_gained_counts_whole(tmp_path: Path) -> None:
    """A charge of 0.2 Ah and the discharge of 0.3 Ah after it: each reading is the step's own."""
    path = rows(
        tmp_path,
        reading(1, "C", 1, 0.2),
        reading(2, "D", -1, 0.3, 2),
        reading(3, "C", 1, 0.1, 3),
        reading(4, "R", 0, 0, 4),
    )
    test = read(path)
    assert test.readings["charge_capacity(ah)"].to_pylist() == pytest.approx([0.2, 0.2, 0.3, 0.3])
    assert test.readings["discharge_capacity(ah)"].to_pylist() == pytest.approx([0.0, 0.3, 0.3, 0.3])


def test_a_cell_without_current_is_read(tmp_path: Path) -> None:
    cell = twin_cell()
    still = replace(cell, current=np.zeros(len(cell)))
    assert read(write_maccor(tmp_path / "a.txt", still)).readings["current(a)"].to_numpy().any() == np.False_


DAY = (
    "Today's Date 03/20/2024  Date of Test:\t03/14/2024\t Filename:\tC:\\data\\A.022 Procedure: P 1C.000 20mA/g"
    "\tComment: \n"
)


def test_times_of_day_get_the_day_of_the_test_and_the_next_after_midnight(tmp_path: Path) -> None:
    lines = [
        f"{n}\t0\t1\t{600 * n}\t{600 * n}\t{n / 6}\t{n / 2}\t1\t3.5\tC\t1\t{clock}"
        for n, clock in enumerate(("23:45:10", "23:55:10", "00:05:10"), 1)
    ]
    test = read(rows(tmp_path, *lines, head=DAY + HEAD))
    assert [f"{one:%d %H:%M:%S}" for one in test.readings["date_time"].to_pylist()] == [
        "14 23:45:10",
        "14 23:55:10",
        "15 00:05:10",
    ]
    assert any("time of day alone" in line for line in test.about.assumptions)
    halves = [
        f"{line[:-8]}{clock}" for line, clock in zip(lines, ("11:45:10 PM", "11:55:10 PM", "12:05:10 AM"), strict=True)
    ]
    again = read(rows(tmp_path, *halves, head=DAY + HEAD))
    assert again.readings["date_time"].equals(test.readings["date_time"])


def test_times_of_day_without_the_date_of_the_test_give_no_clock(tmp_path: Path) -> None:
    test = read(rows(tmp_path, "1\t0\t1\t0\t0\t0\t0\t1\t3.5\tC\t1\t11:49:32"))
    assert test.readings["date_time"].null_count == 1


def test_the_procedure_stands_behind_the_name_of_the_file(tmp_path: Path) -> None:
    about = read(rows(tmp_path, reading(1, "C", 1, 0.1), head=DAY + HEAD)).about
    assert (about.metadata["test_name"], about.metadata["schedule"]) == ("A.022", "P 1C.000 20mA/g")


def test_an_export_without_numbers_of_readings_and_with_thousands_apart_is_read(tmp_path: Path) -> None:
    head = "Cyc#,Step,TestTime(s),StepTime(s),Capacity(Ah),Watt-hr,Current(A),Voltage(V),DPt Time,Temp 1\n"
    ways = [(11, 3.5, 0.1), (13, 3.9, -0.1)]
    lines = [
        f'869,{step},"{5_577_600 + 1800 * (4 * at + n):,}.47",  0d 00:{30 * n // 60:02d}:00.05,'
        f'"{1000 + 750 * n:,}.5000",'
        f'"{1000 + 2250 * n:,}.00","1,500.0000",{volts + change * n:.4f},1,30.08'
        for at, (step, volts, change) in enumerate(ways)
        for n in range(4)
    ]
    path = rows(tmp_path, *lines, head=head)
    assert READER.recognises(FileSample.of(path))
    test = read(path)
    assert test.readings["test_time(s)"].to_pylist()[:2] == [5_577_600.47, 5_579_400.47]
    assert np.sign(test.readings["current(a)"].to_numpy()).tolist() == [1] * 4 + [-1] * 4
    assert test.readings["discharge_capacity(ah)"].to_pylist()[-1] == pytest.approx(3250.5)
    assert test.readings["date_time"].null_count == 8


NEWER = (
    "Rec,Cycle P,Cycle C,Step,Test Time [s],Step Time [s],Capacity [Ah],Energy [Wh],Current [A],Voltage [V],Md,"
    "Temperature Cell [degC]\n"
)


@pytest.mark.parametrize(
    ("procedure", "counted", "cycles"),
    [((0, 0, 0), (1, 1, 2), [1, 1, 2]), ((0, 1, 0), (1, 2, 3), [1, 2, 3]), ((0, 1, 1), (1, 1, 1), [0, 1, 1])],
)
def test_cycles_are_those_that_were_counted_unless_only_the_procedure_has_any(
    tmp_path: Path, procedure: tuple[int, ...], counted: tuple[int, ...], cycles: list[int]
) -> None:
    lines = [
        f"{n},{p},{c},{n},{10 * n},0,0.1,0.3,1,3.5,C,25.5"
        for n, (p, c) in enumerate(zip(procedure, counted, strict=True), 1)
    ]
    readings = read(rows(tmp_path, *lines, head=NEWER)).readings
    assert readings["cycle_index"].to_pylist() == cycles
    assert readings["temperature(c)"].to_pylist() == [25.5] * 3


@pytest.mark.parametrize(("stated", "month"), [("4 March 2020, 11:17:10 PM", 3), ("3-Apr-20 11:17:10 PM", 4)])
def test_a_date_of_the_test_with_the_name_of_its_month_tells_the_order_of_the_others(
    tmp_path: Path, stated: str, month: int
) -> None:
    head = f"Today's Date:\t5 June 2020\tDate of Test:\t{stated}\n" + HEAD
    lines = [reading(n, "C", 1, n / 10).replace("12/19/2020", "04/03/2020") for n in (1, 2)]
    test = read(rows(tmp_path, *lines, head=head))
    assert test.readings["date_time"].to_pylist()[0].month == month
    assert not any("usually" in line for line in test.about.assumptions)


@pytest.mark.parametrize("more", ["\tVAR1\tVAR2\tVAR3", "\tVAR1", ""])
@pytest.mark.parametrize("cells", ["\t0.0", "\t0.0\t0.0\t", ""])
def test_titles_and_cells_of_variables_may_differ_in_number(tmp_path: Path, more: str, cells: str) -> None:
    lines = [reading(n, "C", 1, n / 10) + cells for n in (1, 2, 3)]
    test = read(rows(tmp_path, *lines, head=HEAD.replace("\n", f"{more}\n")))
    assert test.readings["charge_capacity(ah)"].to_pylist() == pytest.approx([0.1, 0.2, 0.3])


def test_points_between_thousands_are_taken_out_where_decimals_stand_behind_a_comma(tmp_path: Path) -> None:
    lines = [
        f"{n}\t0\t1\t{time}\t{time}\t{amp_hours}\t0,3\t1.500,25\t3,5\tC\t1\t12/19/2020 12:18:{n:02d}"
        for n, (time, amp_hours) in enumerate((("999,5", "416,66"), ("1.000,5", "417,07"), ("1.001", "1.417,5")), 1)
    ]
    readings = read(rows(tmp_path, *lines)).readings
    assert readings["test_time(s)"].to_pylist() == [999.5, 1000.5, 1001.0]
    assert readings["current(a)"].to_pylist() == [1500.25] * 3
    assert readings["charge_capacity(ah)"].to_pylist() == pytest.approx([416.66, 417.07, 1417.5])
