"""Workbooks that would fill memory, or end the process that reads them: one of each kind, as small as it can be.

Each would take more than `MEMORY_BYTES`, which is enough for any small workbook.
"""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import quoteattr

import xlwt

from producer.readers.sheets.titles import HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MEMORY_BYTES: Final = 160 * 1024**2

_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"


def xlsx(path: Path, rows: str, *, part: str = "worksheets/sheet1.xml", texts: str = "") -> Path:
    """A workbook with one channel sheet: `rows` is the XML below its header, `part` where it lies."""
    header = "".join(f"<c t='inlineStr'><is><t>{name}</t></is></c>" for name in HEADER)
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_RELATIONS}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{_MAIN}" xmlns:r="{_RELATIONS}"><sheets>'
        '<sheet name="Channel_1-001" sheetId="1" r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{_PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{_RELATIONS}/worksheet" Target={quoteattr(part)}/><Relationship Id="rId2" '
        f'Type="{_RELATIONS}/sharedStrings" Target="sharedStrings.xml"/></Relationships>',
        f"xl/{part}": f'<worksheet xmlns="{_MAIN}"><sheetData><row r="1">{header}</row>{rows}</sheetData></worksheet>',
        "xl/sharedStrings.xml": f'<sst xmlns="{_MAIN}">{texts}</sst>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def xls(path: Path, cells: Mapping[tuple[int, int], str | float]) -> Path:
    """An old workbook with one channel sheet that holds the given cells."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("Channel_1-001")
    for column, name in enumerate(HEADER):
        sheet.write(0, column, name)
    for (row, column), cell in cells.items():
        sheet.write(row, column, cell)
    book.save(str(path))
    return path


FAR_CELL: Final = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'

BOMBS: Final[dict[str, Callable[[Path], Path]]] = {
    "far.xlsx": lambda path: xlsx(path, FAR_CELL),
    "row_beyond_numbers.xlsx": lambda path: xlsx(path, f'<row r="2"><c r="A{"9" * 5000}"><v>1</v></c></row>'),
    "row_far_down.xlsx": lambda path: xlsx(path, '<row r="99999999"><c><v>1</v></c></row>'),
    "far_in_small_letters.xlsx": lambda path: xlsx(path, FAR_CELL.replace("XFD", "xfd")),
    "far_behind_a_mark.xlsx": lambda path: xlsx(path, FAR_CELL.replace("<c ", "<c x='>>>' ")),
    "far_in_a_part_of_another_name.xlsx": lambda path: xlsx(path, FAR_CELL, part="worksheets/styles.xml"),
    "far_in_a_part_without_an_ending.xlsx": lambda path: xlsx(path, FAR_CELL, part="worksheets/sheet1.bin"),
    "many_times_one_text.xlsx": lambda path: xlsx(
        path,
        "".join(f'<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>' for row in range(2, 1002)),
        texts=f"<si><t>{'x' * 1_000_000}</t></si>",
    ),
    "one_long_text.xlsx": lambda path: xlsx(path, "", texts=f"<si><t>{'x' * 2 * MEMORY_BYTES}</t></si>"),
    "far.xls": lambda path: xls(path, {(65535, 255): "x"}),
    "many_times_one_text.xls": lambda path: xls(path, {(row, 0): "x" * 32_000 for row in range(1, 12_000)}),
}
"""How to make each, by the name that it has."""
