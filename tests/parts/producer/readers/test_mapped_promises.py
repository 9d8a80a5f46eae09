"""The conformance kit on tables that a mapping file describes, as text and as a workbook."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.twins import table
from support.twins.cell import twin_cell

from producer.readers.conformance import CHECKS, BadFile, Case, Expected, recognises_its_files_alone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CELL = twin_cell()


def case(folder: Path, name: str) -> Case:
    columns = table.columns_of(CELL)
    bad = table.write_text(folder / "bad.csv", columns | {"Spannung": ["high", *columns["Spannung"][1:]]})
    sums = {"voltage(v)": float(CELL.voltage.sum()), "test_time(s)": float(CELL.test_time.sum())}
    write = table.write_text if name.endswith(".csv") else table.write_workbook
    return Case(
        "support.twins.table:READER",
        write(folder / name, columns),
        (Expected("CELL_1", "2024-03-14T09:35:15", len(CELL), sums),),
        (BadFile(bad, ("bad.csv, column Spannung, row 2: 'high'",)),),
        shows_truncation=name.endswith(".xlsx"),
    )


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return {name: case(tmp_path_factory.mktemp("table"), name) for name in ("CELL_1.csv", "CELL_1.xlsx")}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["CELL_1.csv", "CELL_1.xlsx"])
def test_the_reader_keeps_its_promises(
    cases: dict[str, Case], name: str, check: Callable[[Case, Path], None], tmp_path: Path
) -> None:
    if name == "CELL_1.xlsx" and check is recognises_its_files_alone:
        return  # workbooks are told by their sheets, which `arbin` opens
    check(cases[name], tmp_path)
