"""Neware's text and workbook exports, as its software writes the simulated cell."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.asked import Asked
from support.twins.cell import assert_same_cycles, restarted, twin_cell
from support.twins.neware import TYPES, details, flat, layered, layered_sheet, records, workbook

from producer.readers.base import BadWorkbookError, FileSample
from producer.readers.neware import READER, claims_sheets
from producer.readers.neware_meaning import mend
from producer.readers.record import Record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


CELL = twin_cell()
ALL = len(CELL)
ONE_SHEET = {"Detail_14_1_3": (0, ALL)}


ASKED = Asked(READER)
read, only = ASKED.read, ASKED.only


@pytest.mark.parametrize(
    ("name", "write", "rel"),
    [
        ("flat.csv", flat, 1e-7),
        ("flat.txt", lambda path: flat(path, mark="\t"), 1e-7),
        ("layers.csv", layered, 1e-7),
        ("layers.txt", lambda path: layered(path, mark="\t"), 1e-7),
        ("details.xlsx", lambda path: details(path, ONE_SHEET), 1e-12),
        ("layers.xlsx", layered_sheet, 1e-7),
        ("records.xlsx", records, 1e-12),
        ("records.xls", records, 1e-12),
    ],
)
def test_each_export_of_the_cell_gives_its_cycles(
    tmp_path: Path, name: str, write: Callable[[Path], Path], rel: float
) -> None:
    test = only(write(tmp_path / name))
    assert_same_cycles(test, CELL, rel)
    readings = test.readings
    assert readings["test_time(s)"].to_numpy() == pytest.approx(CELL.test_time)
    assert readings["step_time(s)"].to_numpy() == pytest.approx(CELL.step_time)
    assert readings["step_index"].to_numpy().tolist() == CELL.step.tolist()
    assert np.array_equal(readings["date_time"].to_numpy(), CELL.date_time)


IN_CHINESE = {
    "DataPoint": "数据序号", "Cycle Index": "循环号", "Step Index": "工步号", "Step Number": "工步序号",
    "Step Type": "工步类型", "Step Time": "工步时间", "Total Time": "总时间", "Chg. Time": "充电时间",
    "Chg. Cap.": "充电容量", "DChg. Cap.": "放电容量", "Chg. Energy": "充电能量", "DChg. Energy": "放电能量",
    "Current": "电流", "Voltage": "电压", "Capacity": "容量", "Energy": "能量", "Date": "绝对时间", "Power": "功率",
    "Time": "时间", "T1(?)": "temp1_1", "CC DChg": "恒流放电", "CC Chg": "恒流充电", "CV Chg": "恒压充电",
    "Rest": "搁置",
}  # fmt: skip
"""What the software writes where it speaks Chinese."""


def test_records_with_a_status_alone_are_told_by_the_words_for_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "A.txt"
    path.write_text(
        "Record ID\tCycle ID\tStep ID\tStatus\tTime (h:min:s.ms)\tVoltage(V)\tCurrent(mA)\tCapacity(mAh)\n"
        "1\t1\t1\tCC_Chg\t0:00:00.000\t3.0\t1000.0\t0.0\n2\t1\t1\tCC_Chg\t0:30:00.000\t3.5\t1000.0\t500.0\n"
        "3\t1\t2\tCC_DChg\t0:00:00.000\t3.4\t-1000.0\t0.0\n4\t1\t2\tCC_DChg\t0:15:00.000\t3.0\t-1000.0\t250.0\n"
    )
    assert READER.recognises(FileSample.of(path))
    readings = only(path).readings
    assert readings["charge_capacity(ah)"].to_pylist() == [0.0, 0.5, 0.5, 0.5]
    assert readings["discharge_capacity(ah)"].to_pylist() == [0.0, 0.0, 0.0, 0.25]


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8-sig"])
@pytest.mark.parametrize("write", [flat, layered])
def test_an_export_in_chinese_gives_the_same_as_one_in_english(
    tmp_path: Path, write: Callable[[Path], Path], encoding: str
) -> None:
    english = write(tmp_path / "A.csv")
    said = english.read_text()
    for word, in_chinese in IN_CHINESE.items():
        said = said.replace(word, in_chinese)
    path = tmp_path / "chinese" / "A.csv"
    path.parent.mkdir()
    path.write_bytes(said.encode(encoding))
    assert READER.recognises(FileSample.of(path))
    assert only(path).readings.equals(only(english).readings)


def test_times_beyond_a_day_are_read(tmp_path: Path) -> None:
    assert ",24:" in flat(tmp_path / "a.csv").read_text()
    assert only(tmp_path / "a.csv").readings["test_time(s)"].to_numpy()[-1] > 86_400


def test_times_of_steps_alone_become_times_of_the_test_and_it_is_said(tmp_path: Path) -> None:
    about = only(details(tmp_path / "a.xlsx", ONE_SHEET)).about
    assert "the file has times of steps alone; test times were made of them" in about.assumptions


def test_a_total_time_that_begins_again_gives_way_to_the_times_of_steps(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.csv", dataclasses.replace(CELL, test_time=restarted(CELL.test_time, CELL.cycle)))
    test = only(path)
    assert test.readings["test_time(s)"].to_numpy() == pytest.approx(CELL.test_time)
    assert "the time of the test begins again in the file" in test.about.assumptions


def test_equal_test_times_are_kept(tmp_path: Path) -> None:
    path = flat(tmp_path / "a.csv")
    lines = path.read_text().splitlines()
    cells = lines[3].split(",")
    cells[4:6] = lines[2].split(",")[4:6]
    path.write_text("\n".join([*lines[:3], ",".join(cells), *lines[4:]]))
    assert np.diff(only(path).readings["test_time(s)"].to_numpy())[1] == 0


def test_a_temperature_whose_degree_sign_was_lost_is_read(tmp_path: Path) -> None:
    temperature = only(flat(tmp_path / "a.csv")).readings["temperature(c)"].to_numpy()
    assert temperature == pytest.approx(CELL.temperature)


def test_a_pulse_step_goes_the_way_of_its_current(tmp_path: Path) -> None:
    path = details(tmp_path / "a.xlsx", ONE_SHEET)
    as_pulses = [*TYPES[:8], "Pulse"]
    assert_same_cycles(only(flat(tmp_path / "a.csv", types=as_pulses)), CELL, 1e-7)
    text = layered(tmp_path / "layers.csv")
    lines = [line.replace("CC DChg", "Pulse") if ",9," in line else line for line in text.read_text().splitlines()]
    text.write_text("\n".join(lines))
    assert sum("Pulse" in line for line in lines) == 3
    assert_same_cycles(only(text), CELL, 1e-7)
    assert_same_cycles(only(path), CELL, 1e-12)


def test_layers_are_told_apart_where_all_have_as_many_cells_and_decimals_stand_behind_a_comma(tmp_path: Path) -> None:
    text = layered(tmp_path / "layers.csv", mark=";")
    head, below = (lines := text.read_text().replace(".", ",").splitlines())[:3], lines[3:]
    filled = [line + ";" * (10 - line.count(";")) for line in below]
    assert {line.count(";") for line in filled} == {10}
    text.write_text("\r\n".join([*(line.replace(",", ".") for line in head), *filled]))
    assert_same_cycles(only(text), CELL, 1e-7)


def test_sheets_of_one_channel_continue_each_other(tmp_path: Path) -> None:
    sheets = {"Detail_14_1_3": (0, 200), "Detail_14_1_3_2": (200, ALL)}
    test = only(details(tmp_path / "a.xlsx", sheets))
    assert_same_cycles(test, CELL, 1e-12)
    assert test.channel == test.about.metadata["channel"] == "14-1-3"
    assert_same_cycles(
        only(details(tmp_path / "b.xlsx", {"Detail_14_1_3": (0, 200), "Detail_14_1_4": (200, ALL)})), CELL, 1e-12
    )


def test_several_channels_are_several_cells(tmp_path: Path) -> None:
    path = details(tmp_path / "lab.xlsx", {"Detail_14_1_3": (0, ALL), "Detail_14_1_4": (0, 300)})
    cells = [(test.cell_id, test.channel, test.readings.num_rows) for test in read(path).tests]
    assert cells == [("lab_14-1-3", "14-1-3", ALL), ("lab_14-1-4", "14-1-4", 300)]
    named = read(path, channel_cells={"14-1-3": "A"})
    assert [(test.cell_id, test.channel) for test in named.tests] == [("A", ""), ("lab_14-1-4", "14-1-4")]
    with pytest.raises(BadWorkbookError, match="has no channel 9-9-9, which --cell names, only 14-1-3, 14-1-4"):
        read(path, channel_cells={"9-9-9": "A"})


def test_what_a_workbook_states_is_kept_without_names_of_persons(tmp_path: Path) -> None:
    assert only(records(tmp_path / "a.xlsx")).about.metadata == {
        "barcode": "B-0017",
        "mass_g": "0.0125",
        "nominal_capacity_ah": "1",
        "schedule": "three cycles",
    }


def test_texts_are_recognised_and_those_of_others_are_not(tmp_path: Path) -> None:
    for path in (flat(tmp_path / "a.dat"), layered(tmp_path / "b.dat")):
        assert READER.recognises(FileSample.of(path))
    arbin = b"Data_Point,Test_Time(s),Step_Index,Cycle_Index,Current(A),Voltage(V)\n"
    assert not READER.recognises(FileSample(".csv", arbin))
    assert not READER.recognises(FileSample(".csv", b"Cycle Index,Capacity\n1,2\n2,3\n"))


def test_sheets_of_records_are_claimed() -> None:
    assert claims_sheets([("Info", ["x"]), ("Detail_14_1_3", [])])
    assert claims_sheets([("record", ["DataPoint", "Step Type", "Current(A)", "Voltage(V)"])])
    assert claims_sheets([("Sheet1", ["Cycle Index", "Chg. Cap.(Ah)", "DChg. Cap.(Ah)"])])
    assert not claims_sheets([("Channel_1-008", ["Data_Point", "Step_Index", "Current(A)", "Voltage(V)"])])
    assert not claims_sheets([("Cycle_14_1_3", ["Channel", "ToTal of Cycle"])])


def lines_of(path: Path, number: int, change: Callable[[str], str]) -> Path:
    lines = path.read_text().splitlines()
    lines[number - 1] = change(lines[number - 1])
    path.write_text("\n".join(lines) + "\n")
    return path


def sheet_without_times(path: Path) -> Path:
    return workbook(path, {"record": [["DataPoint", "Step Type", "Current(A)", "Voltage(V)"], [1, "Rest", 0.0, 3.0]]})


TITLES = "Record Index,Status,Cycle,Step,Cur(mA),Voltage(V),CapaCity(mAh),Energy(mWh),Relative Time(h:min:s.ms),Date"
ROWS = (
    "1,CC_Chg,1,1,100,3.1,0,0,0:00:00.000,2021-05-20 23:36:19",
    "2,CC_Chg,1,1,100,3.2,50,155,0:30:00.000,2021-05-21 00:06:19",
    "3,CC_DChg,1,2,-100,3.2,0,0,0:00:00.000,2021-05-21 00:06:20",
    "4,CC_DChg,1,2,-100,3.0,40,120,0:24:00.000,2021-05-21 00:30:20",
)
"""An hour of 0.1 A: 50 mAh in and 40 mAh out."""


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({}, {}),
        ({"Record Index": "Record number", "Step": "Steps", "Status": "State"}, {}),
        ({"Record Index": "Record ID", "Cycle": "Cycle ID", "Step": "Step ID", "Status": "Step Name"}, {}),
        (
            {"Cur(mA)": "Current(\u00b5A)", "Voltage(V)": "Vol(mV)"},
            {"100": "100000", "-100": "-100000", "3.1": "3100", "3.2": "3200", "3.0": "3000"},
        ),
        (
            {"CapaCity(mAh)": "Cap(mAs)", "Energy(mWh)": "Energy(mWs)"},
            {",50,155": ",180000,558000", ",40,120": ",144000,432000"},
        ),
        ({}, {"-100": "100"}),
    ],
    ids=["BTS", "numbers", "ids", "micro", "seconds", "unsigned"],
)
def test_titles_and_units_of_other_versions_mean_the_same(
    tmp_path: Path, theirs: dict[str, str], ours: dict[str, str]
) -> None:
    titles, rows = TITLES, "\n".join(ROWS)
    for old, new in theirs.items():
        titles = f",{titles},".replace(f",{old},", f",{new},").strip(",")
    for old, new in ours.items():
        rows = (
            rows.replace(f",{old},", f",{new},")
            if not old.startswith(",") and "." not in old
            else rows.replace(old, new)
        )
    path = tmp_path / "a.csv"
    path.write_text(f"{titles}\n{rows}\n")
    assert READER.recognises(FileSample.of(path))
    last = only(path).readings.to_pylist()[-1]
    names = ("current(a)", "charge_capacity(ah)", "discharge_capacity(ah)", "charge_energy(wh)", "discharge_energy(wh)")
    assert [last[name] for name in names] == pytest.approx([-0.1, 0.05, 0.04, 0.155, 0.12])


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a word for a number": (
        lambda folder: lines_of(flat(folder / "a.csv"), 5, lambda line: line.replace(",0.0000,", ",high,")),
        r"^a\.csv, column Current\(A\), row 5: 'high' is not a number",
    ),
    "a short line": (
        lambda folder: lines_of(flat(folder / "a.csv"), 7, lambda line: line[:40]),
        r"^a\.csv, row 7: has \d+ cells, and the header has 17",
    ),
    "an unknown unit": (
        lambda folder: lines_of(flat(folder / "a.csv"), 1, lambda line: line.replace("Current(A)", "Current(hp)")),
        r"^a\.csv, column Current\(hp\), row 1: has the unit 'hp', which is not known here",
    ),
    "no times": (
        lambda folder: lines_of(flat(folder / "a.csv"), 1, lambda line: line.replace("Time", "Thyme")),
        r"^a\.csv: has no column of times",
    ),
    "no header": (
        lambda folder: lines_of(flat(folder / "a.csv"), 1, lambda line: line.replace("Voltage", "Vault")),
        r"^a\.csv: has no header with Neware's titles",
    ),
    "a short record of a layered text": (
        lambda folder: lines_of(layered(folder / "a.csv"), 6, lambda line: line[:-20]),
        r"^a\.csv, row 6: has \d+ cells, and the header of records has 11",
    ),
    "a word in a record of a layered text": (
        lambda folder: lines_of(layered(folder / "a.csv"), 6, lambda line: line.replace(",0.0,", ",high,")),
        r"^a\.csv, column Current\(mA\), row 6: 'high' is not a number",
    ),
    "a cycle without a number": (
        lambda folder: lines_of(layered(folder / "a.csv"), 4, lambda line: f"x{line}"),
        r"^a\.csv, row 4: 'x1' is no number of a cycle",
    ),
    "a record before any step": (
        lambda folder: lines_of(layered(folder / "a.csv"), 4, lambda line: line[:0]),
        r"^a\.csv, row 5: is a record before any step",
    ),
    "layers without records": (
        lambda folder: cut(layered(folder / "a.csv"), 4),
        r"^a\.csv, row 1: has headers of cycles, steps and records, but no records",
    ),
    "a sheet without times": (
        lambda folder: sheet_without_times(folder / "a.xlsx"),
        r"^a\.xlsx, sheet record: has no column of times",
    ),
    "a workbook without records": (
        lambda folder: workbook(folder / "a.xlsx", {"Sheet1": [["x"]]}),
        r"^a\.xlsx: has no sheet of Neware's records",
    ),
    "an empty file": (lambda folder: cut(flat(folder / "a.csv"), 0), r"^a\.csv: the file is empty"),
}


def cut(path: Path, lines: int) -> Path:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:lines]))
    return path


@pytest.mark.parametrize("fault", BAD)
def test_a_bad_file_is_refused_in_one_line_with_its_place(tmp_path: Path, fault: str) -> None:
    make, said = BAD[fault]
    with pytest.raises(BadWorkbookError, match=said) as caught:
        read(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_nothing_of_its_content(tmp_path: Path) -> None:
    with pytest.raises(BadWorkbookError, match=r"^a\.csv: cannot be read: No such file"):
        read(tmp_path / "a.csv")


def test_a_direction_is_told_by_the_current_only_where_both_agree() -> None:
    current = np.array([1.0, 1.0, -1.0, -1.0])
    unknown = np.array([False, True, True, False])
    record = Record(current, np.ones(4), direction=np.array([1, 0, 0, -1]))
    mend(record, unknown)
    assert record.direction is not None
    assert record.direction.tolist() == [1, 1, -1, -1]
    record = Record(np.abs(current), np.ones(4), direction=np.array([1, 0, 0, -1]))
    mend(record, unknown)
    assert record.direction is not None
    assert record.direction.tolist() == [1, 0, 0, -1]
