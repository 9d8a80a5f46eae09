"""Whose a workbook is: Arbin's, that of a reader that knows its sheets, or that of any table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import openpyxl
import pytest
from support.twins.arbin import mits7, res_rows, res_test, write_book, write_res, write_text
from support.twins.cell import restarted, twin_cell

from kernel.contract.reading import COUNTERS
from producer.readers import landt, mapped, neware
from producer.readers.arbin import READER, read_workbook
from producer.readers.arbin_res import READER as RES
from producer.readers.base import BadWorkbookError, ReadOptions
from producer.readers.sheets.book import open_book
from producer.readers.sheets.claims import BookHeads, other_reader
from producer.readers.sheets.parsed import ParsedSheets
from producer.readers.sheets.titles import HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from producer.readers.base import Reader

CELL = twin_cell()
NEWARE = ["DataPoint", "Cycle Index", "Step Type", "Current(A)", "Voltage(V)", "Chg. Cap.(Ah)"]
LANDT = ["Record", "TestTime/Sec", "Current/mA", "Voltage/V", "Capacity/mAh"]


def save(path: Path, **sheets: list[Any]) -> Path:
    book = openpyxl.Workbook(write_only=True)
    for name, header in sheets.items():
        book.create_sheet(name).append(header)
    book.save(path)
    return path


def taker(path: Path) -> Reader | None:
    with open_book(path, path.name) as book:
        return other_reader(BookHeads(ParsedSheets(book, path)))


@pytest.mark.parametrize(
    ("sheets", "reader"),
    [
        ({"Sheet1": list(HEADER)}, None),
        ({"unit": ["x"], "record": NEWARE}, neware.READER),
        ({"Sheet1": LANDT}, landt.READER),
        ({"Sheet1": ["time", "amps", "volts"]}, mapped.READER),
        ({"Info": list(HEADER)}, mapped.READER),
        ({"Empty": []}, mapped.READER),
    ],
    ids=str,
)
def test_a_workbook_goes_to_whoever_knows_its_sheets(
    tmp_path: Path, sheets: dict[str, list[str]], reader: Reader | None
) -> None:
    assert taker(save(tmp_path / "A.xlsx", **sheets)) is reader


def test_a_workbook_with_a_sheet_that_is_named_like_a_channels_is_arbins(tmp_path: Path) -> None:
    with pytest.raises(BadWorkbookError, match=r"sheet Channel_1-001, column test_time\(s\): is missing"):
        read_workbook(save(tmp_path / "A.xlsx", **{"Channel_1-001": NEWARE}))


def test_a_sheet_is_not_read_before_somebody_comes_to_it_and_then_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "A.xlsx", first=["x"], second=["y"])
    read: list[str] = []
    first_row = ParsedSheets.first_row

    def noted(sheets: ParsedSheets, name: str) -> Sequence[object]:
        read.append(name)
        return first_row(sheets, name)

    monkeypatch.setattr(ParsedSheets, "first_row", noted)
    with open_book(path, path.name) as book:
        heads = BookHeads(ParsedSheets(book, path))
        assert next(iter(heads)) == ("first", ["x"])
        assert read == ["first"]
        assert list(heads) == list(heads) == [("first", ["x"]), ("second", ["y"])]
        assert read == ["first", "second"]


def test_a_workbook_that_nobody_knows_is_answered_with_the_command_that_proposes_a_mapping(tmp_path: Path) -> None:
    path = save(tmp_path / "A.xlsx", Sheet1=["time", "amps", "volts"])
    with pytest.raises(BadWorkbookError, match=r"`battery columns .*A\.xlsx` proposes"):
        read_workbook(path)


def test_the_cell_is_read_back_from_a_workbook_with_what_its_info_sheet_states(tmp_path: Path) -> None:
    path = write_book(tmp_path / "CELL_1.xlsx", CELL)
    (test,) = READER.read(path, ReadOptions(path.name)).tests
    assert test.readings["cycle_index"].to_pylist() == CELL.cycle.tolist()
    charge = restarted(CELL.charge_capacity, CELL.cycle)
    assert test.readings["charge_capacity(ah)"].to_numpy() == pytest.approx(charge, rel=1e-14, abs=0)
    assert test.about.reader == "arbin"
    assert test.about.metadata == {
        "channel": "1-008", "test_name": "Twin of a test", "started_at": "2024-03-14T09:35:15",
        "schedule": "cycle.sdu", "item": "B 7", "nominal_capacity_ah": "1.1",
    }  # fmt: skip


def test_a_test_whose_readings_were_numbered_says_so(tmp_path: Path) -> None:
    path = write_book(tmp_path / "A.xlsx", CELL)
    book = openpyxl.load_workbook(path)
    book["Channel_1-008"].delete_cols(1)
    book.save(path)
    (test,) = READER.read(path, ReadOptions(path.name)).tests
    assert test.about.assumptions == ("the file has no Data_Point; readings were numbered in their order",)
    assert test.readings["data_point"].to_pylist() == CELL.data_point.tolist()


def test_of_several_sensors_of_temperature_the_first_with_values_counts(tmp_path: Path) -> None:
    path = write_book(tmp_path / "A.xlsx", CELL)
    book = openpyxl.load_workbook(path)
    sheet = book["Channel_1-008"]
    last = sheet.max_column
    sheet.cell(1, last + 1, "Temperature (C)_1")
    sheet.cell(1, last + 2, "Temperature (C)_2")
    for row, value in enumerate(CELL.temperature.tolist(), 2):
        sheet.cell(row, last + 2, value)
    book.save(path)
    (test,) = READER.read(path, ReadOptions(path.name)).tests
    assert test.readings["temperature(c)"].to_pylist() == CELL.temperature.tolist()


def test_a_workbook_a_text_and_a_database_of_one_test_have_the_same_counters(tmp_path: Path) -> None:
    pytest.importorskip("access_parser", reason="the extra readers is not installed")
    paths = [
        write_book(tmp_path / "A.xlsx", CELL),
        write_text(tmp_path / "A.csv", mits7(CELL)),
        write_res(tmp_path / "A.res", res_rows(CELL), [res_test()]),
    ]
    readers: tuple[Reader, ...] = (READER, READER, RES)
    tests = [one.read(path, ReadOptions(path.name)).tests[0] for one, path in zip(readers, paths, strict=True)]
    for name in COUNTERS:
        book, text, database = (test.readings[name].to_numpy() for test in tests)
        assert text == pytest.approx(book, rel=1e-14, abs=0)
        assert text.tolist() == database.tolist()
