"""LANDT's exports: one counter for both directions, times of several kinds, and sheets in several layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.asked import Asked
from support.twins.cell import TwinCell, assert_same_cycles, restarted, twin_cell
from support.twins.landt import HEADER, as_shown, records, with_times, write_text, write_workbook

from producer.readers.base import FileSample, UnreadableWorkbookError
from producer.readers.landt import READER, claims_sheets

if TYPE_CHECKING:
    from pathlib import Path

PRECISION = 2e-5
"""What five decimals of mAh leave of a gain of each step, as a share of a cycle of this cell."""


ASKED = Asked(READER)
read, only, refusal = ASKED.read, ASKED.only, ASKED.refusal


@pytest.fixture(scope="module")
def cell() -> TwinCell:
    return twin_cell()


@pytest.fixture(scope="module")
def rows(cell: TwinCell) -> list[list[object]]:
    return records(cell)


def test_a_workbook_gives_the_cell_s_cycles(tmp_path: Path, cell: TwinCell, rows: list[list[object]]) -> None:
    test = only(write_workbook(tmp_path / "CELL_1.xlsx", rows))
    assert_same_cycles(test, cell, PRECISION)
    assert (test.cell_id, test.test_id, test.channel) == ("CELL_1", "2024-03-14T09:35:15", "")
    assert test.readings["step_time(s)"].to_pylist() == cell.step_time.tolist()
    assert test.readings["temperature(c)"].to_pylist() == cell.temperature.tolist()
    assert test.readings["date_time"].to_pylist() == cell.date_time.tolist()
    assert test.readings["step_index"].to_pylist() == cell.step_run.tolist()


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_a_text_gives_the_cell_s_cycles(
    tmp_path: Path, cell: TwinCell, rows: list[list[object]], delimiter: str
) -> None:
    assert_same_cycles(only(write_text(tmp_path / "CELL_1.csv", rows, delimiter=delimiter)), cell, PRECISION)


@pytest.mark.parametrize("is_text", [True, False])
@pytest.mark.parametrize("titles", [("TestTime", "StepTime"), ("TestTime/Sec", "StepTime/Sec")])
def test_times_may_be_times_of_day_and_timedeltas_and_texts_in_one_column(
    tmp_path: Path, cell: TwinCell, rows: list[list[object]], titles: tuple[str, str], is_text: bool
) -> None:
    header = [HEADER[0], *titles, *HEADER[3:]]
    shown = with_times(rows, as_shown)
    if is_text:
        test = only(write_text(tmp_path / "CELL_1.csv", shown, header=header))
    else:
        assert {type(row[1]).__name__ for row in shown} == {"time", "timedelta", "str"}
        test = only(write_workbook(tmp_path / "CELL_1.xlsx", shown, header=header))
    assert test.readings["test_time(s)"].to_pylist() == cell.test_time.tolist()
    assert_same_cycles(test, cell, PRECISION)


def test_the_counter_holds_in_a_rest_and_goes_on_when_the_same_direction_resumes(tmp_path: Path) -> None:
    counted = [("RateD", -1, 0.0), ("RateD", -1, 2.0), ("R", 0, 2.0), ("RateD", -1, 2.0), ("RateD", -1, 3.0)]
    counted += [("R", 0, 3.0), ("RateC", 1, 0.5), ("RateC", 1, 2.5)]
    header = ("Record", "TestTime/Sec", "Current/mA", "Capacity/mAh", "Voltage/V", "Cycle-Index", "Step-State")
    rows = [[at, 60 * at, way, mah, 3.5, 1, state] for at, (state, way, mah) in enumerate(counted, 1)]
    readings = only(write_text(tmp_path / "CELL_1.csv", rows, header=header)).readings
    assert readings["discharge_capacity(ah)"].to_pylist() == pytest.approx(
        [0, 0.002, 0.002, 0.002, 0.003, 0.003, 0.003, 0.003]
    )
    assert readings["charge_capacity(ah)"].to_pylist() == pytest.approx([0] * 6 + [0.0005, 0.0025])


def test_a_state_that_says_nothing_leaves_the_direction_to_the_current(tmp_path: Path) -> None:
    header = ("Record", "TestTime/Sec", "Current/mA", "Capacity/mAh", "Voltage/V", "Step-State")
    counted = [("C_CC", 10, 0.0), ("C_CC", 10, 5.0), ("Pulse", -10, 1.0), ("Pulse", -10, 4.0), ("R", 1, 4.0)]
    rows = [[at, 60 * at, ma, mah, 3.5, state] for at, (state, ma, mah) in enumerate(counted, 1)]
    readings = only(write_text(tmp_path / "CELL_1.csv", rows, header=header)).readings
    assert readings["discharge_capacity(ah)"].to_pylist() == pytest.approx([0, 0, 0.001, 0.004, 0.004])
    assert readings["charge_capacity(ah)"].to_pylist() == pytest.approx([0, 0.005, 0.005, 0.005, 0.005])


def test_units_of_the_titles_count(tmp_path: Path, cell: TwinCell, rows: list[list[object]]) -> None:
    header = [title.replace("/mA", "/uA") for title in HEADER]
    in_micro = [[*row[:3], 1e3 * float(str(row[3])), 1e3 * float(str(row[4])), *row[5:]] for row in rows]
    assert_same_cycles(only(write_text(tmp_path / "CELL_1.csv", in_micro, header=header)), cell, PRECISION)


def test_a_dash_is_no_temperature(tmp_path: Path, cell: TwinCell) -> None:
    test = only(write_workbook(tmp_path / "CELL_1.xlsx", records(cell, with_temperature=False)))
    assert test.readings["temperature(c)"].null_count == len(cell)


def test_a_header_may_stand_below_other_rows_of_the_only_sheet(
    tmp_path: Path, cell: TwinCell, rows: list[list[object]]
) -> None:
    above: list[list[object]] = [["LANDT"], [], ["Mass/mg", 0.81]]
    assert_same_cycles(
        only(write_workbook(tmp_path / "CELL_1.xlsx", rows, above=above, sheet="Sheet1", others=())), cell, PRECISION
    )
    rows = [*rows[:6], [*rows[6][:7], "high", *rows[6][8:]], *rows[7:]]
    path = write_workbook(tmp_path / "bad.xlsx", rows, above=above, sheet="Sheet1", others=())
    assert refusal(path).startswith("bad.xlsx, sheet Sheet1, column Voltage/V, row 11: 'high' is not a number")


def test_rows_of_steps_between_the_records_are_passed_over_and_rows_keep_their_numbers(
    tmp_path: Path, cell: TwinCell, rows: list[list[object]]
) -> None:
    def layered(rows: list[list[object]]) -> list[list[object]]:
        layers: list[list[object]] = []
        for step in np.unique(cell.step_run):
            titles = ["Index", "Mode", "Period", "Capacity/mAh"]
            layers += [[*titles], [int(step), "CC", "1:00:00", 1.0], list(HEADER)]
            layers += [row for row, of in zip(rows, cell.step_run, strict=True) if of == step]
        return layers

    path = write_workbook(tmp_path / "CELL_1.xlsx", layered(rows)[3:], above=layered(rows)[:2], others=())
    assert_same_cycles(only(path), cell, PRECISION)
    bad = [*rows]
    bad[20] = [*rows[20][:3], "much", *rows[20][4:]]  # the 6th record of step 2, below 15 + 3 rows of step 1
    path = write_workbook(tmp_path / "bad.xlsx", layered(bad)[3:], above=layered(bad)[:2], others=())
    assert "column Current/mA, row 27: 'much'" in refusal(path)


def test_a_long_test_goes_on_in_sheets_without_a_header(
    tmp_path: Path, cell: TwinCell, rows: list[list[object]]
) -> None:
    path = write_workbook(tmp_path / "CELL_1.xlsx", rows[:200], further=[rows[200:400], rows[400:]])
    assert_same_cycles(only(path), cell, PRECISION)


def test_further_sheets_may_be_wider_or_empty(tmp_path: Path, cell: TwinCell, rows: list[list[object]]) -> None:
    wider = [[*row, "", "note"] for row in rows[200:]]
    path = write_workbook(tmp_path / "CELL_1.xlsx", rows[:200], further=[wider, []])
    assert_same_cycles(only(path), cell, PRECISION)


def test_cycles_may_stand_side_by_side(tmp_path: Path, cell: TwinCell, rows: list[list[object]]) -> None:
    cycles = [[row for row, of in zip(rows, cell.cycle, strict=True) if of == number] for number in (1, 2, 3)]
    longest = max(map(len, cycles))
    filled = [[*cycle, *([len(rows) + at, *[""] * 16] for at in range(longest - len(cycle)))] for cycle in cycles]
    filled[1] += [[9999, *[""] * 16]]  # a number of a record and nothing else fills up a column
    beside = [[cell for row in line for cell in row] for line in zip(*(part[:longest] for part in filled), strict=True)]
    path = write_workbook(
        tmp_path / "CELL_1.xlsx", beside, header=HEADER * 3, above=[["Cycle 1", *[""] * 16, "Cycle 2"]], others=()
    )
    assert_same_cycles(only(path), cell, PRECISION)


NEWER = (
    "channel_index,cycle_index,step_index,date_time_iso_string,test_time_s,step_time_s,current_A,voltage_V,"
    "discharge_capacity_Ah,charge_capacity_Ah,discharge_energy_Wh,charge_energy_Wh,Pressure_Psi,temperature_1_C,step_name"
)


def newer(path: Path, cell: TwinCell, *, preamble: str = "cell model:,,,\ncell id: A-7,,,\ntest: ,,,\n") -> Path:
    """The cell in the newer text, whose counters begin again with each cycle and whose rows end in a comma."""
    counters = [
        restarted(one, cell.cycle)
        for one in (cell.discharge_capacity, cell.charge_capacity, cell.discharge_energy, cell.charge_energy)
    ]
    names = {1: "charge CC", -1: "discharge CC", 0: "rest"}
    lines = [
        f"{cell.data_point[at]},{cell.cycle[at]},{cell.step[at]},{cell.date_time[at].item():%m/%d/%Y %H:%M:%S},"
        f"{cell.test_time[at]:.3f},{cell.step_time[at]:.3f},{cell.current[at]:.4f},{cell.voltage[at]:.4f},"
        f"{','.join(f'{counter[at]:.9f}' for counter in counters)},0,{cell.temperature[at]},"
        f"{names[int(cell.direction[at])]},"
        for at in range(len(cell))
    ]
    path.write_text(preamble + "\n".join([NEWER, *lines]) + "\n")
    return path


def test_the_newer_text_has_units_behind_underscores_and_a_counter_for_each_direction(
    tmp_path: Path, cell: TwinCell
) -> None:
    path = newer(tmp_path / "CELL_1.csv", cell)
    test = only(path)
    assert_same_cycles(test, cell, 1e-7)
    assert READER.recognises(FileSample.of(path))
    assert test.readings["date_time"].to_pylist() == cell.date_time.tolist()
    assert test.readings["temperature(c)"].to_pylist() == cell.temperature.tolist()
    assert test.about.metadata == {"item": "A-7"}
    path.write_text(path.read_text().replace(",2.7000,", ",low,", 1))
    assert "column voltage_V, row 179: 'low'" in refusal(path)


def test_an_error_in_a_further_sheet_says_its_place(tmp_path: Path, rows: list[list[object]]) -> None:
    bad = [*rows[200:250], [*rows[250][:4], "?", *rows[250][5:]]]
    path = write_workbook(tmp_path / "CELL_1.xlsx", rows[:200], further=[bad])
    assert refusal(path).startswith("CELL_1.xlsx, sheet Record-Tab_1, column Capacity/mAh, row 51: '?'")


def test_sheets_whose_records_begin_again_are_cells_of_their_own(
    tmp_path: Path, cell: TwinCell, rows: list[list[object]]
) -> None:
    path = write_workbook(tmp_path / "LOT_1.xlsx", rows, further=[[HEADER, *rows]])
    workbook = read(path)
    assert [(test.cell_id, test.channel) for test in workbook.tests] == [
        ("LOT_1_Record-Tab", "Record-Tab"),
        ("LOT_1_Record-Tab_1", "Record-Tab_1"),
    ]
    for test in workbook.tests:
        assert_same_cycles(test, cell, PRECISION)
    named = read(path, channel_cells={"Record-Tab": "A", "Record-Tab_1": "B"})
    assert [test.cell_id for test in named.tests] == ["A", "B"]


@pytest.mark.parametrize(
    "head",
    [
        b"Record,TestTime/Sec,StepTime/Sec,Current/mA,Capacity/mAh,Voltage/V\n",
        b'\xef\xbb\xbf"Record","TestTime/Sec","Current/uA","Voltage/V"\r\n',
        b"Index\tTestTime\tVoltage/V\tCurrent/mA\n",
    ],
)
def test_a_text_is_recognised_by_its_titles(head: bytes) -> None:
    assert READER.recognises(FileSample(".csv", head))


@pytest.mark.parametrize(
    "head",
    [
        b"Record Index,Relative Time(h:min:s.ms),Voltage(V)\n",
        b"Notes\nRecord,TestTime/Sec,Voltage/V\n",
        b"Rec#,Test (Sec),Volts\n",
        b"PK\x03\x04xl/Record,TestTime,Voltage",
    ],
)
def test_another_file_is_not_recognised(head: bytes) -> None:
    assert not READER.recognises(FileSample(".csv", head))


def test_a_workbook_is_claimed_by_its_sheets() -> None:
    assert claims_sheets([("Cycle-Tab", ["Cycle"]), ("Record-Tab", [*HEADER])])
    assert claims_sheets([("Sheet1", [*HEADER])])
    assert claims_sheets([("Sheet1", ["Index", "Mode", "Period"])])
    assert not claims_sheets([("record", ["DataPoint", "Cycle Index", "Voltage(V)"]), ("Info", [])])
    assert not claims_sheets([("Channel_1-001", ["Data_Point", "Test_Time(s)", "Voltage(V)"])])


def test_a_missing_column_is_named_with_its_place(tmp_path: Path, rows: list[list[object]]) -> None:
    header = [title if title != "Voltage/V" else "Volt" for title in HEADER]
    said = refusal(write_text(tmp_path / "a.csv", rows, header=header))
    assert said.startswith("a.csv: has no line with the titles of records")
    header = [title if title != "Current/mA" else "Amount" for title in HEADER]
    assert refusal(write_text(tmp_path / "a.csv", rows, header=header)).startswith(
        "a.csv, row 1: has no column for current"
    )
    assert refusal(write_workbook(tmp_path / "a.xlsx", rows, header=header)).startswith(
        "a.xlsx: has no sheet with the titles of records"
    )
    header = [title if title != "Current/mA" else "Current/" for title in HEADER]
    assert refusal(write_workbook(tmp_path / "a.xlsx", rows, header=header)).startswith(
        "a.xlsx, sheet Record-Tab, column Current/: names no unit"
    )


def test_a_cut_row_is_named_with_its_place(tmp_path: Path, rows: list[list[object]]) -> None:
    path = write_text(tmp_path / "a.csv", rows[:10])
    path.write_text(path.read_text().rstrip("\n")[:-20])
    assert refusal(path).startswith("a.csv, row 11: has ")


def test_words_for_numbers_are_named_with_their_place(tmp_path: Path, rows: list[list[object]]) -> None:
    for title, word in (
        ("Capacity/mAh", "full"),
        ("TestTime/Sec", "soon"),
        ("Cycle-Index", "1.5"),
        ("SysTime", "noon"),
    ):
        at = HEADER.index(title)
        bad = [*rows[:4], [*rows[4][:at], word, *rows[4][at + 1 :]], *rows[5:8]]
        assert refusal(write_text(tmp_path / "a.csv", bad)).startswith(f"a.csv, column {title}, row 6: ")
        assert refusal(write_workbook(tmp_path / "a.xlsx", bad)).startswith(
            f"a.xlsx, sheet Record-Tab, column {title}, row 6: "
        )


def test_a_file_without_records_is_refused(tmp_path: Path) -> None:
    assert "has a header but no readings" in refusal(write_workbook(tmp_path / "a.xlsx", []))
    assert "has a header but no readings" in refusal(write_text(tmp_path / "a.csv", []))
    with pytest.raises(UnreadableWorkbookError):
        read(tmp_path / "missing.csv")
