"""Workbooks that labs have and that were read wrong once, each of a kind; skipped where they are not at hand."""

from __future__ import annotations

import csv
from datetime import datetime
from typing import TYPE_CHECKING

import openpyxl
import pytest

from producer.readers.arbin import read_workbook

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import Workbook


@pytest.fixture(name="folder")
def _folder(shared_data: Path) -> Path:
    folder = shared_data.parent / "inputs" / "workbooks"
    if not folder.is_dir():
        pytest.skip("the input workbooks are not here")
    return folder


def gains(workbook: Workbook, ampere: float) -> bool:
    """Whether each cycle of a workbook's first test has gained an hour of a current in both directions."""
    readings = workbook.tests[0].readings
    cycles = readings["cycle_index"].to_pylist()[-1]
    return all(
        readings[f"{way}_capacity(ah)"].to_pylist()[-1] == pytest.approx(cycles * ampere)
        for way in ("charge", "discharge")
    ) and set(readings["current(a)"].to_pylist()) == {0.0, ampere, -ampere}


def test_current_in_milliamperes(folder: Path) -> None:
    # The column Current(mA) of this file holds 1.0; its voltages, and its energies in Wh, are those of an ampere.
    workbook = read_workbook(folder / "MILLI_3_1_24.xlsx")
    assert gains(workbook, 1.0)
    assert "Current(mA), Charge_Capacity(mAh), Discharge_Capacity(mAh) are taken as A and Ah" in workbook.notes[0]


def test_names_with_blanks(folder: Path) -> None:
    assert gains(read_workbook(folder / "SPACED_3_1_24.xlsx"), 1.0)


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("D1904N_3_1_24.xlsx", "2024-03-01T09:01:00", "2024-03-01T15:36:00"),
        ("DMY1_3_10_24.xlsx", "2024-03-10T20:01:00", "2024-03-11T04:48:00"),
        ("DMY2_3_12_24.xlsx", "2024-03-12T20:01:00", "2024-03-13T04:48:00"),
        ("TXTSLISO_3_1_24.xlsx", "2024-03-01T09:01:00", "2024-03-01T15:36:00"),
    ],
)
def test_clocks(folder: Path, name: str, first: str, last: str) -> None:
    (test,) = read_workbook(folder / name).tests
    stamps = test.readings["date_time"].to_pylist()
    assert (stamps[0].isoformat(), stamps[-1].isoformat()) == (first, last)
    assert (max(stamps), test.test_id) == (stamps[-1], first)


def test_test_times_in_hours_minutes_and_seconds(folder: Path) -> None:
    workbook = read_workbook(folder / "DURATION_3_1_24.xlsx")
    assert workbook.tests[0].readings["test_time(s)"].to_pylist()[::395] == [60.0, 23_760.0]
    assert gains(workbook, 1.0)


def test_a_hidden_sheet(folder: Path) -> None:
    workbook = read_workbook(folder / "HIDDEN_3_1_24.xlsx")
    assert workbook.row_count == 396 + 1116
    assert "sheet Channel_1-009: is hidden, and was read" in workbook.notes


def test_a_real_workbook_without_a_data_point(shared_data: Path) -> None:
    path = shared_data / "foreign" / "arbin_mits8_no_data_point.xlsx"
    if not path.is_file():
        pytest.skip("the files of other makers are not here")
    workbook = read_workbook(path)
    (test,) = workbook.tests
    assert test.readings["data_point"].to_pylist() == list(range(1, 312))
    assert test.started_at == datetime(2020, 10, 19, 11, 31, 46, 582000)  # noqa: DTZ001
    assert test.readings["charge_capacity(ah)"].to_pylist()[-1] == pytest.approx(0.005702703, abs=1e-9)
    assert test.readings["discharge_capacity(ah)"].to_pylist()[-1] == pytest.approx(0.011054898, abs=1e-9)
    assert workbook.notes


def as_a_spreadsheet_saves_it(path: Path, target: Path, names: dict[str, str], added: dict[str, object]) -> Path:
    """A text export as a person saves it as .xlsx: numbers are numbers, and some columns renamed or added."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        header, *table = csv.reader(file)
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")
    sheet.append([*(names.get(title, title) for title in header), *added])
    for row in table:
        sheet.append([*map(number, row), *added.values()])
    book.save(target)
    return target


def number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


@pytest.mark.parametrize(
    ("name", "names", "added", "rows"),
    [
        ("arbin_mits10.csv", {}, {}, 13),
        ("arbin_res_86uA_as_product_columns.csv", {}, {}, 2150),
        ("battery_archive.csv", {}, {"Step_Index": 1}, 15),
    ],
)
def test_the_advice_for_a_text_export_can_be_followed(
    shared_data: Path, tmp_path: Path, name: str, names: dict[str, str], added: dict[str, object], rows: int
) -> None:
    path = shared_data / "foreign" / name
    if not path.is_file():
        pytest.skip("the files of other makers are not here")
    workbook = read_workbook(as_a_spreadsheet_saves_it(path, tmp_path / "A.xlsx", names, added))
    assert (len(workbook.tests), workbook.row_count) == (1, rows)


@pytest.mark.parametrize(("name", "reader"), [("landt_b.xlsx", "landt"), ("neware_bts_detail.xlsx", "neware")])
def test_a_real_workbook_of_another_maker_is_given_to_its_reader(shared_data: Path, name: str, reader: str) -> None:
    path = shared_data / "foreign" / name
    if not path.is_file():
        pytest.skip("the files of other makers are not here")
    assert {test.about.reader for test in read_workbook(path).tests} == {reader}
