"""Workbooks as labs really hand them over, good and bad."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import msoffcrypto.format.ooxml
import openpyxl
import pytest
import xlwt
from openpyxl.chart import LineChart
from openpyxl.styles import Font
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900

from kernel.contract.reading import READING
from producer.readers.arbin import read_workbook
from producer.readers.base import BadWorkbookError
from producer.readers.names import cell_id_of, exported_on
from producer.readers.sheets.titles import HEADER
from producer.simulate import simulate_cell, simulate_tests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

START = datetime(2010, 8, 16, 23, 59, 30)  # noqa: DTZ001  # a cycler's wall clock has no zone


def rows(count: int = 3, first: int = 1, start: datetime = START) -> list[list[Any]]:
    return [
        [
            point, 30.0 * point, start + timedelta(seconds=30 * (point - first)), 30.0 * point, 1, 1,
            0.0, round(3.7 + point / 1000, 3), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
        ]
        for point in range(first, first + count)
    ]  # fmt: skip


def save(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    book = openpyxl.Workbook(write_only=True)
    for name, cells in sheets.items():
        sheet = book.create_sheet(name)
        for row in cells:
            sheet.append(row)
    book.save(path)
    return path


def good(path: Path, **more: list[list[Any]]) -> Path:
    return save(path, {"Info": [["TEST REPORT"]], "Channel_1-008": [list(HEADER), *rows()], **more})


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("CS2_35_8_17_10.xlsx", "CS2_35"),
        ("CS2_35_08_07_2010.xls", "CS2_35"),
        ("CX2_16_10_1_11.xlsx", "CX2_16"),
        ("cell 7.xlsx", "cell 7"),
        ("CS2_35.xlsx", "CS2_35"),
        ("SPLIT_Channel_1_Wb_2.xlsx", "SPLIT_Channel_1"),
        ("SPLIT_Channel_1_Wb_12_3_1_24.xlsx", "SPLIT_Channel_1"),
        ("SPLIT_3_1_24_wb_2.xlsx", "SPLIT"),
        ("X (1).xlsx", "X"),
        ("X - Copy.xlsx", "X"),
        ("X - Copy (2).xlsx", "X"),
        ("Copy of X.xlsx", "X"),
        ("Copy (2) of X_3_1_24.xlsx", "X"),
        ("X copy 2.xlsx", "X"),
        ("X.XLSX", "X"),
        ("CS2_35_8_17_10 (1) (2).xlsx", "CS2_35"),
        ("(1).xlsx", "(1)"),
        ("X(1).xlsx", "X(1)"),
        ("Wb_1.xlsx", "Wb_1"),
        ("Copy.xlsx", "Copy"),
    ],
)
def test_the_cell_is_read_off_the_name_without_its_export_date(name: str, cell: str) -> None:
    assert cell_id_of(name) == cell


def test_exports_of_one_test_are_ordered_by_their_date_and_not_by_their_letters() -> None:
    names = ["CS2_35_2_4_11.xlsx", "CS2_35_02_10_2011.xlsx", "CS2_35_12_30_10.xlsx", "CS2_35.xlsx"]
    assert sorted(names, key=exported_on) == [names[3], names[2], names[0], names[1]]
    assert exported_on("Copy of CS2_35_2_4_11 (1).XLSX") == exported_on(names[0]) == (11, 2, 4)


def test_a_simulated_workbook_reads_back_exactly(tmp_path: Path) -> None:
    paths = simulate_cell(tmp_path, "SIM_01", cycles=6, seed=1, cycles_per_file=3)
    exports = simulate_tests("SIM_01", cycles=6, seed=1, cycles_per_file=3)
    for path, export in zip(paths, exports, strict=True):
        (test,) = read_workbook(path).tests
        assert test == export.test
        assert test.readings.schema == READING


def test_a_test_is_named_by_its_first_clock_stamp_and_a_stamp_at_midnight_is_one(tmp_path: Path) -> None:
    (test,) = read_workbook(good(tmp_path / "A_1_1_10.xlsx")).tests
    assert (test.test_id, test.started_at) == ("2010-08-16T23:59:30", START)
    assert test.readings["date_time"].to_pylist()[1] == datetime(2010, 8, 17)  # noqa: DTZ001


def test_the_caller_may_name_the_cell(tmp_path: Path) -> None:
    workbook = read_workbook(good(tmp_path / "A_1_1_10.xlsx"), cell_id="MINE")
    assert workbook.cell_id == "MINE"
    assert set(workbook.tests[0].readings["cell_id"].to_pylist()) == {"MINE"}


def test_a_sheet_that_goes_on_belongs_to_the_same_test(tmp_path: Path) -> None:
    path = good(tmp_path / "A.xlsx", **{"Channel_1-008_1": [list(HEADER), *rows(2, first=4)]})
    (test,) = read_workbook(path).tests
    assert test.readings["data_point"].to_pylist() == [1, 2, 3, 4, 5]


def test_a_sheet_that_starts_anew_is_another_test_by_its_start(tmp_path: Path) -> None:
    earlier = START - timedelta(days=1)
    path = good(tmp_path / "A.xlsx", **{"Channel_1-009": [list(HEADER), *rows(2, start=earlier)]})
    assert [test.started_at for test in read_workbook(path).tests] == [earlier, START]


def test_two_channels_that_start_in_the_same_second_are_two_cells(tmp_path: Path) -> None:
    path = good(tmp_path / "A.xlsx", **{"Channel_1-009": [list(HEADER), *rows(2)]})
    assert [(test.cell_id, test.test_id) for test in read_workbook(path).tests] == [
        ("A_1-008", "2010-08-16T23:59:30"),
        ("A_1-009", "2010-08-16T23:59:30"),
    ]


def test_sheets_of_information_and_statistics_are_no_data(tmp_path: Path) -> None:
    path = good(tmp_path / "A.xlsx", **{"Statistics_1-008": [list(HEADER), *rows(9)]})
    assert read_workbook(path).row_count == 3


def test_a_sheet1_with_the_header_of_a_channel_is_one(tmp_path: Path) -> None:
    assert read_workbook(save(tmp_path / "A.xlsx", {"Sheet1": [list(HEADER), *rows()]})).row_count == 3


def test_an_xls_workbook_is_read_too_whatever_it_is_called(tmp_path: Path) -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Channel_1-008")
    stamp = xlwt.easyxf(num_format_str="YYYY-MM-DD HH:MM:SS")
    for number, cells in enumerate([list(HEADER), *rows()]):
        for column, cell in enumerate(cells):
            sheet.write(number, column, cell, *([stamp] if isinstance(cell, datetime) else []))
    for name in ("A.xls", "B.xlsx"):
        book.save(str(tmp_path / name))
        (test,) = read_workbook(tmp_path / name).tests
        assert test.readings["voltage(v)"].to_pylist() == [3.701, 3.702, 3.703]
        assert test.started_at == START


def test_numbers_as_text_and_a_clock_as_text_or_serial_number_are_accepted(tmp_path: Path) -> None:
    cells = rows()
    cells[0][7] = "3.75"
    cells[1][2] = "08/17/2010 00:00:00"
    cells[2][2] = 40407.25
    (test,) = read_workbook(save(tmp_path / "A.xlsx", {"Channel_1": [list(HEADER), *cells]})).tests
    assert test.readings["voltage(v)"].to_pylist()[0] == 3.75
    assert test.readings["date_time"].to_pylist()[1:] == [
        datetime(2010, 8, 17),  # noqa: DTZ001
        datetime(2010, 8, 17, 6),  # noqa: DTZ001
    ]


def test_a_temperature_column_is_found_by_its_usual_names(tmp_path: Path) -> None:
    cells = [[*row, 25.5] for row in rows()]
    (test,) = read_workbook(save(tmp_path / "A.xlsx", {"Channel_1": [[*HEADER, "Aux_Temperature(C)_1"], *cells]})).tests
    assert test.readings["temperature(c)"].to_pylist() == [25.5] * 3


def test_an_optional_column_may_be_absent_or_empty(tmp_path: Path) -> None:
    cells = [row[:13] for row in rows()]
    cells[1][12] = None
    (test,) = read_workbook(save(tmp_path / "A.xlsx", {"Channel_1": [list(HEADER[:13]), *cells]})).tests
    assert test.readings["dv/dt(v/s)"].null_count == 1
    assert test.readings["internal_resistance(ohm)"].null_count == 3


def test_energies_may_be_empty(tmp_path: Path) -> None:
    cells = [[*row[:10], None, None] for row in rows()]
    (test,) = read_workbook(save(tmp_path / "A.xlsx", {"Channel_1": [list(HEADER[:12]), *cells]})).tests
    assert test.readings["charge_energy(wh)"].null_count == test.readings["discharge_energy(wh)"].null_count == 3


def test_empty_rows_are_passed_over(tmp_path: Path) -> None:
    cells: list[list[Any]] = [list(HEADER), *rows(2), [], [], *rows(1, first=3), []]
    assert read_workbook(save(tmp_path / "A.xlsx", {"Channel_1": cells})).row_count == 3


def test_rows_and_columns_of_a_sheet_count_where_the_header_begins_further_right(tmp_path: Path) -> None:
    cells: list[list[Any]] = [[None, None, *row] for row in [list(HEADER), *rows(2), [], *rows(1, first=3)]]
    path = save(tmp_path / "A.xlsx", {"Channel_1": cells})
    (test,) = read_workbook(path).tests
    assert test.readings["data_point"].to_pylist() == [1, 2, 3]
    cells[4][2 + 7] = "high"
    with pytest.raises(BadWorkbookError, match=r"column Voltage\(V\), row 5: 'high' is not a number"):
        read_workbook(save(path, {"Channel_1": cells}))


def test_numbers_of_a_header_in_milli_units_are_converted_exactly(tmp_path: Path) -> None:
    header = [name.replace("(A)", "(mA)").replace("(Ah)", "(mAh)").replace("(Wh)", "(mWh)") for name in HEADER]
    cells = rows()
    for row in cells:
        row[6], row[8] = 1000.0, 700.0
    (test,) = read_workbook(save(tmp_path / "A.xlsx", {"Channel_1": [header, *cells]})).tests
    assert test.readings["current(a)"].to_pylist() == [1.0] * 3
    assert test.readings["charge_capacity(ah)"].to_pylist() == [0.7] * 3
    cells[1][6] = "1e3"
    cells[1][8] = None
    (test,) = read_workbook(save(tmp_path / "B.xlsx", {"Channel_1": [header, *cells]})).tests
    assert test.readings["current(a)"].to_pylist() == [1.0] * 3
    assert test.readings["charge_capacity(ah)"].to_pylist() == [0.7, None, 0.7]


DOUBT = (
    "7.2 Wh of charge over 0.002 Ah would be 3600 V, and the voltage is 3.703 V at most; a unit in the header may be"
)


@pytest.mark.parametrize(("unit", "said"), [("(Ah)", ()), ("(mAh)", (f"sheet Channel_1: {DOUBT} wrong",))])
def test_units_that_cannot_be_right_together_are_said(tmp_path: Path, unit: str, said: tuple[str, ...]) -> None:
    header = [name.replace("Charge_Capacity(Ah)", f"Charge_Capacity{unit}") for name in HEADER]
    cells = rows()
    for number, row in enumerate(cells):
        row[8], row[10] = float(number), 3.6 * number
    assert read_workbook(save(tmp_path / "A.xlsx", {"Channel_1": [header, *cells]})).notes == said


@pytest.mark.parametrize(("energy", "current"), [(3.7, 1.0), (0.0037, 0.001), (0.0, 0.001), (1.0, 0.001)])
def test_a_prefix_that_voltages_and_energies_deny_is_none(tmp_path: Path, energy: float, current: float) -> None:
    header = [name.replace("(A", "(mA") for name in HEADER]
    cells = rows()
    for number, row in enumerate(cells):
        row[6], row[7], row[8], row[10] = 1.0, 3.7, float(number), energy * number
    (test,) = read_workbook(save(tmp_path / "A.xlsx", {"Channel_1": [header, *cells]})).tests
    assert set(test.readings["current(a)"].to_pylist()) == {current}
    assert test.readings["charge_capacity(ah)"].to_pylist() == [current * number for number in range(len(cells))]


def test_names_over_two_lines_are_read_and_said_in_one(tmp_path: Path) -> None:
    header = [name.replace("(", "\n(") for name in HEADER]
    path = save(tmp_path / "A.xlsx", {"Channel_1": [[*header, "Current\n(mA)\x85"], *rows()]})
    assert read_workbook(path).notes == (
        "sheet Channel_1: column Current (mA) is passed over, as Current (A) stands before it",
    )
    with pytest.raises(BadWorkbookError) as caught:
        read_workbook(save(tmp_path / "A.xlsx", {"Channel\x85_1": [header, *rows(0)]}))
    assert str(caught.value) == "A.xlsx, sheet Channel\ufffd_1: has a header but no readings"


def test_names_with_blanks_are_read_as_those_with_underscores(tmp_path: Path) -> None:
    spaced = [name.replace("_", " ").replace("(", " (") for name in HEADER]
    plain = read_workbook(good(tmp_path / "A.xlsx")).tests[0]
    for sheet in ("Channel_1_1", "Sheet1"):
        (test,) = read_workbook(save(tmp_path / "A.xlsx", {sheet: [spaced, *rows()]})).tests
        assert test.readings.equals(plain.readings)


def test_readings_without_a_data_point_are_numbered_on_over_the_sheets_of_a_test_and_it_is_said(tmp_path: Path) -> None:
    more = rows(2, first=4)
    later = rows(2, start=START + timedelta(days=9))
    sheets = {
        "Channel_1_1": [list(HEADER[1:]), *(row[1:] for row in rows())],
        "Channel_1_2": [list(HEADER[1:]), *(row[1:] for row in more)],
        "Channel_1_3": [list(HEADER[1:]), *(row[1:] for row in later)],
    }
    workbook = read_workbook(save(tmp_path / "A.xlsx", sheets))
    assert [test.readings["data_point"].to_pylist() for test in workbook.tests] == [[1, 2, 3, 4, 5], [1, 2]]
    assert workbook.notes[0] == ("sheet Channel_1_1: the file has no Data_Point; readings were numbered in their order")


def test_a_sheet1_without_a_data_point_is_a_channel_and_one_of_statistics_is_none(tmp_path: Path) -> None:
    statistics = [[name for name in HEADER if name not in {"Data_Point", "Step_Index"}]]
    sheets = {"Sheet1": [list(HEADER[1:]), *(row[1:] for row in rows())], "Sheet2": statistics}
    assert read_workbook(save(tmp_path / "A.xlsx", sheets)).row_count == 3


def test_an_empty_row_is_passed_over_where_no_reading_has_a_number(tmp_path: Path) -> None:
    cells: list[list[Any]] = [list(HEADER[1:]), rows()[0][1:], [], rows()[1][1:]]
    (test,) = read_workbook(save(tmp_path / "A.xlsx", {"Channel_1": cells})).tests
    assert test.readings["data_point"].to_pylist() == [1, 2]


@pytest.mark.parametrize("state", ["hidden", "veryHidden"])
def test_a_hidden_channel_is_read_and_it_is_said(tmp_path: Path, state: Literal["hidden", "veryHidden"]) -> None:
    start = START + timedelta(days=1)
    path = good(tmp_path / "A.xlsx", **{"Channel_1-009": [list(HEADER), *rows(2, start=start)]})
    book = openpyxl.load_workbook(path)
    book["Channel_1-009"].sheet_state = state
    book.save(path)
    workbook = read_workbook(path)
    assert workbook.row_count == 5
    assert workbook.notes == ("sheet Channel_1-009: is hidden, and was read",)
    assert read_workbook(good(path)).notes == ()


def with_column(path: Path, column: int, cells: list[Any], sheet: str = "Channel_1") -> Path:
    """A workbook in which one column holds other cells."""
    table = rows(len(cells))
    for row, cell in zip(table, cells, strict=True):
        row[column] = cell
    return save(path, {sheet: [list(HEADER), *table]})


def test_a_clock_in_numbers_counts_from_the_day_of_the_workbook(tmp_path: Path) -> None:
    path = with_column(tmp_path / "A.xlsx", 2, [43890.37569444445, 43890.37638888889])
    book = openpyxl.load_workbook(path)
    book.epoch = CALENDAR_MAC_1904
    book.save(path)
    (test,) = read_workbook(path).tests
    assert test.readings["date_time"].to_pylist() == [
        datetime(2024, 3, 1, 9, 1),  # noqa: DTZ001
        datetime(2024, 3, 1, 9, 2),  # noqa: DTZ001
    ]
    assert test.test_id == "2024-03-01T09:01:00"


def test_dates_in_texts_are_read_in_the_order_that_the_column_shows(tmp_path: Path) -> None:
    for form in ("%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S"):
        stamps = [datetime(2024, 3, 10, 23, 59, 30) + timedelta(seconds=30 * n) for n in range(3)]  # noqa: DTZ001
        (test,) = read_workbook(with_column(tmp_path / "A.xlsx", 2, [f"{stamp:{form}}" for stamp in stamps])).tests
        assert test.readings["date_time"].to_pylist() == stamps


def test_dates_in_texts_that_nothing_decides_are_refused_and_read_as_it_is_said(tmp_path: Path) -> None:
    path = with_column(tmp_path / "A.xlsx", 2, ["", "10/03/2024 20:01:00", "10/03/2024 20:01:30"])
    with pytest.raises(
        BadWorkbookError,
        match=r"A.xlsx, sheet Channel_1, column Date_Time, row 3: '10/03/2024 20:01:00' may be 2024-03-10",
    ):
        read_workbook(path)
    for order, month, day in (("dmy", 3, 10), ("mdy", 10, 3)):
        (test,) = read_workbook(path, dates=order).tests
        assert test.started_at == datetime(2024, month, day, 20, 1)  # noqa: DTZ001
    named = read_workbook(path, name="CELL_3_20_24.xlsx").tests[0]
    assert named.started_at == datetime(2024, 3, 10, 20, 1)  # noqa: DTZ001


def test_a_sheet_whose_dates_are_open_is_read_in_the_order_of_the_others(tmp_path: Path) -> None:
    tables = []
    for first, day in ((1, 10), (4, 11), (7, 13)):
        table = rows(3, first=first)
        for number, row in enumerate(table):
            row[2] = f"{day}/03/2024 20:0{number}:00"
        tables.append([list(HEADER), *table])
    sheets = {f"Channel_1_{number}": table for number, table in enumerate(tables)}
    starts = [test.started_at for test in read_workbook(save(tmp_path / "A.xlsx", sheets)).tests]
    assert starts[0] == datetime(2024, 3, 10, 20)  # noqa: DTZ001


DAY_COUNTS = [30 / 86_400, 1 + 30 / 86_400, 70 + 30 / 86_400]


@pytest.mark.parametrize("epoch", [CALENDAR_WINDOWS_1900, CALENDAR_MAC_1904])
@pytest.mark.parametrize(
    ("form", "cells"),
    [("[h]:mm:ss", DAY_COUNTS), ("h:mm:ss", DAY_COUNTS), ("@", ["0:00:30", "1d 00:00:30", "70-00:00:30"])],
)
def test_test_times_that_are_durations_are_read_as_seconds(
    tmp_path: Path, form: str, cells: list[Any], epoch: datetime
) -> None:
    book = openpyxl.load_workbook(good(tmp_path / "A.xlsx"))
    book.epoch = epoch
    for row, value in enumerate(cells, start=2):
        cell = book["Channel_1-008"].cell(row, 2)
        cell.value, cell.number_format = value, form
    book.save(tmp_path / "A.xlsx")
    (test,) = read_workbook(tmp_path / "A.xlsx").tests
    assert test.readings["test_time(s)"].to_pylist() == [30.0, 86_430.0, 70 * 86_400.0 + 30.0]


def test_durations_under_a_name_without_a_unit_are_read_and_numbers_are_refused(tmp_path: Path) -> None:
    table = rows(2)
    header = ["Test_Time" if name == "Test_Time(s)" else name for name in HEADER]
    with pytest.raises(BadWorkbookError, match=r"column Test_Time, row 2: 30.0 is not a duration"):
        read_workbook(save(tmp_path / "A.xlsx", {"Channel_1": [header, *table]}))
    for number, row in enumerate(table):
        row[1] = f"26:0{number}:00"
    (test,) = read_workbook(save(tmp_path / "A.xlsx", {"Channel_1": [header, *table]})).tests
    assert test.readings["test_time(s)"].to_pylist() == [93_600.0, 93_660.0]


def encrypted(path: Path) -> Path:
    locked = io.BytesIO()
    msoffcrypto.format.ooxml.OOXMLFile(io.BytesIO(good(path).read_bytes())).encrypt("secret", locked)
    path.write_bytes(locked.getvalue())
    return path


def changed(path: Path, row: int, column: int, value: object) -> Path:
    cells: list[list[Any]] = [list(HEADER), *rows()]
    cells[row][column] = value
    return save(path, {"Channel_1-008": cells})


def without(path: Path, column: int) -> Path:
    return save(
        path,
        {"Channel_1-008": [[cell for n, cell in enumerate(r) if n != column] for r in [list(HEADER), *rows()]]},
    )


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def zip_of(path: Path, *members: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in members:
            archive.writestr(name, "x")
    return path


def damaged(path: Path, member: str, change: Callable[[bytes], bytes | None], sound: Path | None = None) -> Path:
    """A sound archive around a damaged part, as a failing disk or export leaves it."""
    with zipfile.ZipFile(sound or good(path)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    found = change(parts.pop(member))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (parts | ({} if found is None else {member: found})).items():
            archive.writestr(name, content)
    return path


SHEET = "xl/worksheets/sheet2.xml"

BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "half a sheet": (
        lambda path: damaged(path, SHEET, lambda xml: xml[: len(xml) // 2]),
        "A.xlsx: is truncated or damaged",
    ),
    "no sheet": (lambda path: damaged(path, SHEET, lambda _: None), "A.xlsx: is truncated or damaged"),
    "no number": (
        lambda path: damaged(path, SHEET, lambda xml: xml.replace(b"<v>30</v>", b"<v>3O</v>")),
        "A.xlsx: is truncated or damaged",
    ),
    "no list of sheets": (
        lambda path: damaged(path, "xl/workbook.xml", lambda xml: xml[:100]),
        "A.xlsx: is truncated or damaged",
    ),
    "a channel that goes on without a header": (
        lambda path: good(path, **{"Channel_1-008_2": rows(3, first=4)}),
        "A.xlsx, sheet Channel_1-008_2: has none of the columns of a channel",
    ),
    "a day beyond calendars": (
        lambda path: changed(path, 2, 2, 1e12),
        "column Date_Time, row 3: 1000000000000.0 is not a valid date",
    ),
    "a day before calendars": (lambda path: changed(path, 2, 2, -1e7), "row 3: -10000000.0 is not a valid date"),
    "infinite day": (lambda path: changed(path, 2, 2, 1e300), "is not a valid date"),
    "missing file": (lambda path: path, "A.xlsx: cannot be read: No such file"),
    "empty file": (lambda path: written(path, b""), "A.xlsx: the file is empty"),
    "truncated": (lambda path: written(path, good(path).read_bytes()[:2000]), "A.xlsx: is truncated"),
    "no workbook": (lambda path: written(path, b"hello " * 200), "A.xlsx: is not a workbook"),
    "a web page": (
        lambda path: written(path, b"<!DOCTYPE html><html>Not found"),
        "A.xlsx: is a web page, perhaps a server's error; download the file itself",
    ),
    "a text of another maker": (
        lambda path: written(path, b"Today's Date 01/01/2020\nRec#\tCyc#\tStep\n"),
        "A.xlsx: is not a workbook",
    ),
    "Neware .ndax": (
        lambda path: zip_of(path, "Step.xml", "data.ndc"),
        "A.xlsx: is a Neware .ndax file; the reader neware-binary reads it",
    ),
    "password": (encrypted, "A.xlsx: is protected by a password"),
    "no channel": (
        lambda path: save(path, {"Info": [["x"]], "Summary": [["y"]]}),
        "A.xlsx: is a table without a mapping file; `battery columns ",
    ),
    "no header": (
        lambda path: save(path, {"Channel_1-008": [["hello"], [1.0]]}),
        "A.xlsx, sheet Channel_1-008: has none of the columns of a channel",
    ),
    "an empty channel": (
        lambda path: save(path, {"Channel_1-008": []}),
        "A.xlsx, sheet Channel_1-008: has none of the columns of a channel",
    ),
    "no rows": (
        lambda path: save(path, {"Channel_1-008": [list(HEADER)]}),
        "A.xlsx, sheet Channel_1-008: has a header but no readings",
    ),
    "no voltage": (lambda path: without(path, 7), "A.xlsx, sheet Channel_1-008, column voltage(v): is missing"),
    "unknown unit": (
        lambda path: save(path, {"Channel_1-008": [[name.replace("(A)", "(hp)") for name in HEADER], *rows()]}),
        "A.xlsx, sheet Channel_1-008, column Current(hp): has the unit 'hp', which is not known here",
    ),
    "LANDT": (
        lambda path: save(path, {"Record-Tab": [["Record", "TestTime/Sec", "Current/mA"], [1, 0, 0]]}),
        "A.xlsx: has no sheet with the titles of records",
    ),
    "days taken for months": (
        lambda path: with_column(
            path,
            2,
            [datetime(2024, 10, 3, 23, 59, 30), datetime(2024, 11, 3), datetime(2024, 11, 3, 0, 0, 30)],  # noqa: DTZ001
        ),
        "column Date_Time, row 3: 2024-11-03 00:00:00 leaps from 2024-10-03 23:59:30, and would go on as",
    ),
    "no counter": (lambda path: without(path, 9), "column discharge_capacity(ah): is missing"),
    "no clock": (lambda path: without(path, 2), "column date_time: is missing"),
    "text": (
        lambda path: changed(path, 2, 7, "high"),
        "A.xlsx, sheet Channel_1-008, column Voltage(V), row 3: 'high' is not a number",
    ),
    "hole": (
        lambda path: changed(path, 3, 6, None),
        "A.xlsx, sheet Channel_1-008, column Current(A), row 4: the cell is empty",
    ),
    "no number of a reading": (
        lambda path: changed(path, 2, 0, None),
        "A.xlsx, sheet Channel_1-008, column Data_Point, row 3: the cell is empty",
    ),
    "fraction": (lambda path: changed(path, 1, 5, 1.5), "column Cycle_Index, row 2: 1.5 is not a whole number"),
    "huge": (lambda path: changed(path, 1, 4, 1e12), "column Step_Index, row 2: 1000000000000"),
    "a year of no cycler": (
        lambda path: changed(path, 2, 2, "0001-01-01 00:00:00"),
        "column Date_Time, row 3: 0001-01-01 00:00:00 is in the year 1, when nothing was measured",
    ),
    "clock": (lambda path: changed(path, 2, 2, "yesterday"), "column Date_Time, row 3: 'yesterday' is not a date"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_workbook_is_one_line_that_names_the_place(tmp_path: Path, kind: str) -> None:
    make, said = BAD[kind]
    with pytest.raises(BadWorkbookError) as caught:
        read_workbook(make(tmp_path / "A.xlsx"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_formatted_empty_cells_do_not_count(tmp_path: Path) -> None:
    book = openpyxl.load_workbook(stray_row(tmp_path / "A.xlsx"))
    sheet = book["Channel_1-008"]
    sheet["XFD1"].font = Font(bold=True)
    sheet["A1048576"] = None
    sheet["Z1048576"].font = Font(bold=True)
    book.save(tmp_path / "A.xlsx")
    assert read_workbook(tmp_path / "A.xlsx").row_count == 3


def test_a_workbook_without_a_telling_name_is_known_by_its_content(tmp_path: Path) -> None:
    assert read_workbook(good(tmp_path / "A.xlsx").rename(tmp_path / "12345")).row_count == 3


def stray_row(path: Path) -> Path:
    cells: list[list[Any]] = [list(HEADER), *rows()]
    book = openpyxl.Workbook()
    for row in cells:
        book.active.append(row)  # type: ignore[union-attr]
    book.active.title = "Channel_1-008"  # type: ignore[union-attr]
    book.active["A1048576"] = 4  # type: ignore[index]
    book.save(path)
    return path


def test_empty_sheets_and_charts_beside_a_channel_are_passed_over(tmp_path: Path) -> None:
    book = openpyxl.load_workbook(good(tmp_path / "A.xlsx"))
    book.create_sheet("Channel_1-009")
    book.create_sheet("Channel_Chart").append(["a chart"])
    book.create_chartsheet("Channel_1-008_Chart").add_chart(LineChart())
    book.save(tmp_path / "A.xlsx")
    assert read_workbook(tmp_path / "A.xlsx").row_count == 3
