"""Sheets of LANDT's workbooks: records among rows of steps, over several sheets, and side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openpyxl

from producer.readers.landt_sheets import record_sheets
from producer.readers.sheets.book import open_book
from producer.readers.sheets.parsed import ParsedSheets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from producer.readers.sheets.book import Sheet

HEADER: list[object] = ["Record", "TestTime", "Current/mA", "Voltage/V"]
STEPS: list[object] = ["Index", "Mode", "Period", ""]
EMPTY: list[object] = [""] * 4


def record(number: int) -> list[object]:
    return [float(number), 60.0 * number, 1.5, 3.25]


def found(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]]) -> list[tuple[Sheet, int]]:
    book = openpyxl.Workbook(write_only=True)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    with open_book(path, path.name) as opened:
        return list(record_sheets(ParsedSheets(opened, path)))


def rows_of(sheet: Sheet) -> list[list[object]]:
    return [list(sheet.row(index)) for index in range(sheet.row_count)]


def test_rows_of_steps_are_empty_up_to_the_next_titles_of_records(tmp_path: Path) -> None:
    step: list[object] = [1.0, "CC", 2.0, ""]
    rows: list[list[object]] = [
        ["LANDT"],
        HEADER,
        record(1),
        STEPS,
        step,
        STEPS,
        step,
        HEADER,
        record(2),
        HEADER,
        record(3),
    ]
    ((sheet, first_row),) = found(tmp_path / "A.xlsx", {"Sheet1": rows})
    assert (sheet.header, first_row) == (HEADER, 3)
    assert rows_of(sheet) == [record(1), *[EMPTY] * 5, record(2), EMPTY, record(3)]


def test_rows_of_steps_at_the_end_are_empty(tmp_path: Path) -> None:
    ((sheet, _),) = found(tmp_path / "A.xlsx", {"Sheet1": [HEADER, record(1), STEPS, [1.0, "CC"], ["x"], [2.0, "CV"]]})
    assert rows_of(sheet) == [record(1), *[EMPTY] * 4]


def test_a_text_among_records_stays_for_whoever_judges_it(tmp_path: Path) -> None:
    ((sheet, _),) = found(tmp_path / "A.xlsx", {"Sheet1": [HEADER, ["high", 60.0, 1.5, 3.25], ["", "x"], record(2)]})
    assert rows_of(sheet) == [["high", 60.0, 1.5, 3.25], ["", "x", "", ""], record(2)]


def test_records_go_on_in_a_sheet_without_a_header_behind_one_of_something_else(tmp_path: Path) -> None:
    sheets: dict[str, list[list[object]]] = {
        "Record-1": [HEADER, record(1)],
        "Cycle-Tab": [["Cycle"], [1.0]],
        "Record-2": [record(2)[:3], record(3)],
    }
    one, two = found(tmp_path / "A.xlsx", sheets)
    assert (one[0].name, one[1], rows_of(one[0])) == ("Record-1", 2, [record(1)])
    assert (two[0].name, two[0].header, two[1]) == ("Record-2", HEADER, 1)
    assert rows_of(two[0]) == [[*record(2)[:3], ""], record(3)]


def test_cycles_side_by_side_are_sheets_of_their_own_without_the_numbers_that_fill_them_up(tmp_path: Path) -> None:
    rows = [HEADER * 2, record(1) + record(1), [*record(2), 2.0, "", "", ""]]
    (one, first), (two, second) = found(tmp_path / "A.xlsx", {"Record-Tab": rows})
    assert (first, second, one.header, two.header) == (2, 2, HEADER, HEADER)
    assert (rows_of(one), rows_of(two)) == ([record(1), record(2)], [record(1), EMPTY])
