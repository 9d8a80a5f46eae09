"""Layered texts of Neware whose records have quotes or cells too many, and which line of the file is named if any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.asked import Asked
from support.twins.cell import assert_same_cycles, twin_cell
from support.twins.neware import layered

from producer.readers.base import BadWorkbookError
from producer.readers.neware import READER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Edit = Callable[[str], str]

CELL = twin_cell()
HEADERS, FAR = 3, 400
"""Lines of titles, and the index of a line far below, with many lines of cycles and steps above it."""

only = Asked(READER).only


def edited(path: Path, records: Edit, *, title: str = "", at: dict[int, Edit] | None = None) -> Path:
    """The simulated cell in layers, with other records, and single lines by their index changed besides."""
    lines = layered(path, CELL).read_text().splitlines()
    lines[2] += title
    is_record = [line.startswith(",,") for line in lines]
    lines[HEADERS:] = [
        records(line) if is_one else line for line, is_one in zip(lines[HEADERS:], is_record[HEADERS:], strict=True)
    ]
    for index, edit in (at or {}).items():
        assert is_record[index]
        lines[index] = edit(lines[index])
    path.write_text("\n".join(lines) + "\n")
    return path


def as_it_is(line: str) -> str:
    return line


def without_last_cell(line: str) -> str:
    return line.rpartition(",")[0]


def test_a_delimiter_in_quotes_is_no_end_of_a_cell(tmp_path: Path) -> None:
    path = edited(tmp_path / "a.csv", lambda line: f'{line},"held, then left"', title=",Note")
    assert_same_cycles(only(path), CELL, 1e-7)


def test_a_delimiter_in_the_quotes_of_one_record_alone_is_none_either(tmp_path: Path) -> None:
    path = edited(tmp_path / "a.csv", lambda line: f"{line},", title=",Note", at={FAR: lambda line: f'{line}"1, 2"'})
    assert_same_cycles(only(path), CELL, 1e-7)


@pytest.mark.parametrize("title", ["", ","], ids=["below titles without", "below titles with one"])
def test_an_empty_cell_at_the_end_of_all_records_is_passed_over(tmp_path: Path, title: str) -> None:
    assert_same_cycles(only(edited(tmp_path / "a.csv", lambda line: f"{line},", title=title)), CELL, 1e-7)


@pytest.mark.parametrize(
    ("records", "title", "edit", "says"),
    [
        (as_it_is, "", without_last_cell, "has 10 cells, and the header of records has 11"),
        (as_it_is, "", lambda line: f"{line},", "has 12 cells, and the header of records has 11"),
        (lambda line: f"{line},", "", without_last_cell, "has 11 cells, and most have 12"),
        (
            lambda line: f'{line},"a, b"',
            ",Note",
            lambda line: line.replace(',"a, b"', ""),
            "has 11 cells, and the header of records has 12",
        ),
        (as_it_is, "", lambda line: f"{line[:9]}\r{line[9:]}", "has 4 cells, and the header has 11"),
    ],
    ids=["short", "long", "short of an empty one", "short among quoted ones", "broken in two"],
)
def test_a_record_of_other_cells_is_named_by_its_line_in_the_file(
    tmp_path: Path, records: Edit, title: str, edit: Edit, says: str
) -> None:
    path = edited(tmp_path / "a.csv", records, title=title, at={FAR: edit})
    with pytest.raises(BadWorkbookError, match=rf"^a\.csv, row {FAR + 1}: {says}; export or copy it again$"):
        only(path)


def test_a_cell_with_a_wrong_value_is_named_by_its_line_in_the_file(tmp_path: Path) -> None:
    path = edited(tmp_path / "a.csv", as_it_is, at={FAR: lambda line: f"{line}x"})
    with pytest.raises(BadWorkbookError, match=rf"^a\.csv, column T1\(°C\), row {FAR + 1}: '.*x' is not a number"):
        only(path)
