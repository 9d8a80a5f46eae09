"""From which day a workbook counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import openpyxl
import pytest
import xlwt
from openpyxl.utils.datetime import CALENDAR_MAC_1904, CALENDAR_WINDOWS_1900

from producer.readers.sheets.epoch import counts_from_1904

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("since_1904", [False, True])
def test_an_xlsx_says_from_which_day_it_counts(tmp_path: Path, since_1904: bool) -> None:
    book = openpyxl.Workbook()
    book.epoch = CALENDAR_MAC_1904 if since_1904 else CALENDAR_WINDOWS_1900
    book.save(tmp_path / "A.xlsx")
    assert counts_from_1904(tmp_path / "A.xlsx") is since_1904


@pytest.mark.parametrize("since_1904", [False, True])
def test_an_xls_says_from_which_day_it_counts(tmp_path: Path, since_1904: bool) -> None:
    book = xlwt.Workbook()
    book.dates_1904 = since_1904
    book.add_sheet("A")
    book.save(str(tmp_path / "A.xls"))
    assert counts_from_1904(tmp_path / "A.xls") is since_1904
