"""What the name of a file says: the cell, and when the file was exported."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Final

_EXPORT_DATE: Final = re.compile(r"_(?P<month>\d{1,2})_(?P<day>\d{1,2})_(?P<year>\d{2}|\d{4})$")
_WORKBOOK_PART: Final = re.compile(r"_Wb_\d+$", re.IGNORECASE)
_COPY: Final = re.compile(r"( \(\d+\)|( -)? copy( \d+)?)$", re.IGNORECASE)
_FIRST_ENDING: Final = re.compile(r"\.bdf$", re.IGNORECASE)
"""What stands before the ending of a file of the Battery Data Format: CELL_1.bdf.csv."""
_COPY_OF: Final = re.compile(r"^copy( \(\d+\))? of ", re.IGNORECASE)


def cell_id_of(name: str) -> str:
    """The cell that a file name tells: the name without ending, export date, part number and marks of a copy.

    >>> cell_id_of("CS2_35_8_17_10.xlsx"), cell_id_of("CS2_35_8_17_10 (1).xlsx"), cell_id_of("Copy of CS2_35.XLSX")
    ('CS2_35', 'CS2_35', 'CS2_35')
    >>> cell_id_of("SPLIT_Channel_1_Wb_2.xlsx"), cell_id_of("CELL_1.bdf.parquet")
    ('SPLIT_Channel_1', 'CELL_1')
    """
    stem = _original(name)
    return _WORKBOOK_PART.sub("", _EXPORT_DATE.sub("", _WORKBOOK_PART.sub("", stem))) or stem


def exported_on(name: str) -> tuple[int, int, int]:
    """The export date in a file name as year (of the century), month and day; zeros when there is none.

    It orders exports of one test. It does not tell when a test began.

    >>> exported_on("CS2_35_8_17_10.xlsx")
    (10, 8, 17)
    """
    date = _EXPORT_DATE.search(_WORKBOOK_PART.sub("", _original(name)))
    return (int(date["year"]) % 100, int(date["month"]), int(date["day"])) if date else (0, 0, 0)


def _original(name: str) -> str:
    """A file name without its ending and without what desktops and browsers add to the name of a copy."""
    stem = _FIRST_ENDING.sub("", PurePath(name).stem)
    while (bare := _COPY_OF.sub("", _COPY.sub("", stem))) and bare != stem:
        stem = bare
    return stem
