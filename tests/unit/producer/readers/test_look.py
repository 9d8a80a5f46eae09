"""The beginning of a table as it is shown: what looking at it costs, and whose a workbook is."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import openpyxl
import pytest

from producer.readers import look as module
from producer.readers.look import ARBIN, look
from producer.readers.sheets.book import open_book
from producer.readers.sheets.claims import OF_ANY_TABLE, BookHeads, other_reader
from producer.readers.sheets.parsed import ParsedSheets
from producer.readers.sheets.titles import HEADER

if TYPE_CHECKING:
    from pathlib import Path

NEWARE = ["DataPoint", "Cycle Index", "Step Type", "Current(A)", "Voltage(V)", "Chg. Cap.(Ah)"]
LANDT = ["Record", "TestTime/Sec", "Current/mA", "Voltage/V", "Capacity/mAh"]


def test_a_look_at_a_large_text_takes_no_memory_for_what_it_does_not_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SAMPLED_BYTES", 64 * 1024)
    path = tmp_path / "a.csv"
    path.write_text("time,volts\n" + "1.25,3.75\n" * 800_000)
    tracemalloc.start()
    try:
        found = look(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.titles == ("time", "volts")
    assert len(found.seen[0].numbers) == pytest.approx(64 * 1024 / 10, rel=1e-2)
    assert most < path.stat().st_size / 2


@pytest.mark.parametrize(
    ("sheets", "reader"),
    [
        ({"Channel_1-001": ["time", "amps"]}, ARBIN),
        ({"Sheet1": list(HEADER)}, ARBIN),
        ({"unit": ["x", "y"], "record": NEWARE}, "neware"),
        ({"Sheet1": LANDT}, "landt"),
        ({"Sheet1": ["time", "amps", "volts"]}, None),
        ({"Info": list(HEADER)}, None),
    ],
    ids=str,
)
def test_a_workbook_is_said_to_be_whose_it_will_be_read_by(
    tmp_path: Path, sheets: dict[str, list[str]], reader: str | None
) -> None:
    path, book = tmp_path / "A.xlsx", openpyxl.Workbook(write_only=True)
    for name, header in sheets.items():
        sheet = book.create_sheet(name)
        sheet.append(header)
        sheet.append([float(number) for number in range(len(header))])
    book.save(path)
    assert look(path).reader == reader
    if "Channel_1-001" in sheets:
        return
    with open_book(path, path.name) as opened:
        taken_by = other_reader(BookHeads(ParsedSheets(opened, path)))
    assert reader == (ARBIN if taken_by is None else None if taken_by is OF_ANY_TABLE else taken_by.name)
