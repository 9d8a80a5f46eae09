"""Files that there is no reader for: what they are, told by their content, and how to go on."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

import pytest

from producer.readers.formats import format_of
from producer.readers.sheets.book import NEEDED
from producer.readers.sheets.titles import NEEDED_TITLES

if TYPE_CHECKING:
    from pathlib import Path


def packed(*members: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in members:
            archive.writestr(name, "x")
    return content.getvalue()


SAMPLES = {
    "Neware .ndax": packed("Step.xml", "data.ndc"),
    "Parquet": b"PAR1\x15\x04\x15",
    "PDF": b"%PDF-1.7\n",
    "picture (PNG)": b"\x89PNG\r\n\x1a\n",
    "RAR": b"Rar!\x1a\x07",
    "gzip": b"\x1f\x8b\x08\x00",
    "HDF5": b"\x89HDF\r\n\x1a\n",
    "MATLAB": b"MATLAB 5.0 MAT-file, Platform",
    "web page": b"<!DOCTYPE html><html>Not found",
    "JSON": b'[{"cell_id": "A"}]',
    "spreadsheet in XML": b'<?xml version="1.0"?>\n<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">',
    "Arbin's statistics of cycles": (
        b"Date_Time ,Test Time (s),Cycle Index,Current (A),Voltage (V),Charge Capacity (Ah),Charge Time (s),"
        b"Discharge Time (s),V_Max_On_Cycle (V)\n\t03/13/2022 11:31:13.985,10.0,1,0,3.7,0,0,0,0\n"
    ),
    "text file of an unknown format": b"Date of the meeting; those present\n",
    "of an unknown format": b"\x00\x07\x99\x00\x13",
    "workbook with another suffix": packed("[Content_Types].xml", "xl/workbook.xml"),
    "Office document": packed("[Content_Types].xml", "word/document.xml"),
    "ZIP with another suffix": packed("a.xlsx"),
    "empty": b"",
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_file_is_told_by_its_content_and_the_advice_is_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "whatever.dat"
    path.write_bytes(SAMPLES[kind])
    said = format_of(path) or ""
    assert kind in said
    what, _, advice = said.partition("; ")
    assert what.startswith("is ")
    assert advice
    assert "\n" not in said


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.xlsx", packed("[Content_Types].xml")), ("a.ZIP", packed("a.xlsx")), ("a.xls", b"PK\x03\x04")],
)
def test_a_workbook_and_a_zip_by_their_names_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert format_of(tmp_path / name) is None


def test_what_is_called_a_workbook_is_told_by_its_content_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.xls").write_bytes(b"<!DOCTYPE html>")
    assert "web page" in (format_of(tmp_path / "a.xls") or "")


def test_a_text_that_speaks_of_columns_is_no_export(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Files\nTime_sec, Current_Amp, Cycle_Index, Test_Time(s) and Voltage(V)\n")
    assert "text file of an unknown format" in (format_of(tmp_path / "README.md") or "")


def test_text_in_another_encoding_is_text(tmp_path: Path) -> None:
    page = "<!DOCTYPE html><p>25 °C</p>"
    (tmp_path / "a.txt").write_bytes(page.encode("utf-16"))
    assert "web page" in (format_of(tmp_path / "a.txt") or "")
    (tmp_path / "b.txt").write_bytes(page.encode("latin-1"))
    assert "web page" in (format_of(tmp_path / "b.txt") or "")


def test_every_real_file_of_another_maker_is_told(shared_data: Path) -> None:
    makers = {"neware.ndax": ".ndax"}
    folder = shared_data / "foreign"
    if not folder.is_dir():
        pytest.skip("the files of other makers are not here")
    said = {name: format_of(folder / name) or "" for name in makers}
    assert {name: line for name, line in said.items() if makers[name] not in line} == {}


def test_the_columns_that_are_advised_are_all_a_sheet_needs() -> None:
    assert {name.lower() for name in NEEDED_TITLES} == set(NEEDED) - {"data_point"}
