"""The conformance kit: the readers of this project keep their promises, and a reader that breaks one is caught."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openpyxl
import pytest
import xlwt
from support.cycling import cycled, workbook, workbook_of
from support.toy_reader import FAULTS, toy

from producer.readers import conformance
from producer.readers.conformance import CHECKS, BadFile, BrokenPromiseError, Case, Expected
from producer.readers.sheets.titles import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.cycling import Row

    Check = Callable[[Case, Path], None]

ARBIN = "producer.readers.arbin:READER"
TEST_ID = "2024-03-01T09:01:00"


def expected(cell_id: str, readings: list[Row]) -> Expected:
    """What a test of these readings is, summed here and not by the reader."""
    columns = ("test_time(s)", "voltage(v)", "charge_capacity(ah)", "discharge_energy(wh)")
    places = [[title.lower() for title in HEADER].index(column) for column in columns]
    sums = {column: sum(row[place] for row in readings) for column, place in zip(columns, places, strict=True)}
    return Expected(cell_id, TEST_ID, len(readings), sums)


def changed(path: Path, row: int, column: int, value: str) -> Path:
    book = openpyxl.load_workbook(path)
    book["Channel_1-001"].cell(row, column, value)
    book.save(path)
    return path


def xlsx_case(folder: Path) -> Case:
    bad = changed(workbook(folder / "bad.xlsx", cycled(1)), 5, 8, "high")
    says = ("bad.xlsx, sheet Channel_1-001, column Voltage(V), row 5: 'high' is not a number",)
    path = workbook(folder / "CELL_1_3_2_24.xlsx", cycled(2))
    return Case(ARBIN, path, (expected("CELL_1", cycled(2)),), (BadFile(bad, says),))


def channels_case(folder: Path) -> Case:
    path = workbook_of(folder / "CELL_2.xlsx", {"Channel_1-002": cycled(1, 1.0), "Channel_1-001": cycled(2)})
    return Case(ARBIN, path, (expected("CELL_2_1-001", cycled(2)), expected("CELL_2_1-002", cycled(1, 1.0))))


def xls_case(folder: Path) -> Case:
    book = xlwt.Workbook()
    sheet = book.add_sheet("Channel_1-001")
    clock = xlwt.easyxf(num_format_str="yyyy-mm-dd hh:mm:ss")
    for number, row in enumerate([list(HEADER[:12]), *cycled(2)]):
        for column, cell in enumerate(row):
            if column == HEADER.index("Date_Time") and number:
                sheet.write(number, column, cell, clock)
            else:
                sheet.write(number, column, cell)
    path = folder / "CELL_3.xls"
    book.save(str(path))
    return Case(ARBIN, path, (expected("CELL_3", cycled(2)),))


def toy_case(folder: Path, entry_point: str = "support.toy_reader:READER") -> Case:
    bad = toy(folder / "bad.toy", line="3 180.0 1 much 3.03")
    sums = {"current(a)": 20.0, "voltage(v)": 128.2}
    forty = Expected("CELL_4", TEST_ID, 40, sums)
    return Case(entry_point, toy(folder / "CELL_4.toy"), (forty,), (BadFile(bad, ("bad.toy, row 4",)),))


CASES: dict[str, Callable[[Path], Case]] = {
    "xlsx": xlsx_case,
    "channels": channels_case,
    "xls": xls_case,
    "toy": toy_case,
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in CASES.items()}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CASES)
def test_a_reader_keeps_its_promises(cases: dict[str, Case], name: str, check: Check, tmp_path: Path) -> None:
    check(cases[name], tmp_path)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("shouts_its_name", conformance.describes_itself),
        ("claims_every_file", conformance.recognises_its_files_alone),
        ("drops_a_value", conformance.gives_the_columns_of_the_contract),
        ("gives_milliamperes", conformance.gives_the_expected_tests),
        ("forgets_the_file", conformance.names_every_reading),
        ("reverses_the_readings", conformance.keeps_the_order),
        ("ignores_the_user", conformance.takes_what_the_user_says),
        ("writes_beside_the_file", conformance.leaves_the_file_as_it_was),
        ("remembers_earlier_reads", conformance.reads_the_same_twice),
        ("reads_anything", conformance.refuses_other_files),
        ("needs_no_end", conformance.refuses_a_truncated_file),
        ("lets_errors_through", conformance.survives_damage),
        ("tells_no_row", conformance.says_what_is_wrong),
        ("knows_its_process", conformance.reads_in_a_child),
        ("blames_the_file_for_memory", conformance.passes_on_that_memory_is_short),
    ],
)
def test_a_broken_promise_is_found(tmp_path: Path, fault: str, check: Check) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    with pytest.raises(BrokenPromiseError):
        check(toy_case(tmp_path, f"support.toy_reader:BROKEN.{fault}"), folder)


def test_every_check_has_a_fault_that_it_finds() -> None:
    (marks,) = (mark for mark in test_a_broken_promise_is_found.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {check for _, check in marks.args[1]} == set(CHECKS)
    assert {fault for fault, _ in marks.args[1]} == set(FAULTS)
