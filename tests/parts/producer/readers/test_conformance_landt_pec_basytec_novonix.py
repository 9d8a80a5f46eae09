"""The readers of LANDT, PEC, Basytec and Novonix keep the promises of readers."""

from __future__ import annotations

from datetime import time, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support.twins import basytec, landt, novonix, pec
from support.twins.cell import twin_cell

from producer.readers.base import BadWorkbookError, ReadOptions
from producer.readers.conformance import CHECKS, BadFile, Case, Expected
from producer.readers.landt import READER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Check = Callable[[Case, Path], None]

MUTATED = 200
CUT = 0.2
"""So many mutated files of each, and the share of those that lose their end as well."""

MUTATIONS = [*b'09.-,;\t"\n\r exX\x00', 0xB0, 0xFF]
"""What a byte becomes: digits, delimiters, quotes, ends of lines, letters, zero, and bytes that are no UTF-8."""

CELL = twin_cell()
STARTED = "2024-03-14T09:35:15"


def expected(cell_id: str = "CELL_1") -> Expected:
    """What a test of the simulated cell is; times of files in hours are not whole seconds, so they are not summed."""
    return Expected(cell_id, STARTED, len(CELL), {"voltage(v)": float(CELL.voltage.sum())})


def case(reader: str, path: Path, bad: Path, says: str, *tests: Expected) -> Case:
    return Case(
        f"producer.readers.{reader}:READER",
        path,
        tests or (expected(),),
        (BadFile(bad, (bad.name, says)),),
        shows_truncation=path.suffix == ".xlsx",
    )


def landt_workbook(folder: Path) -> Case:
    rows = landt.records(CELL)
    bad = landt.write_workbook(folder / "bad.xlsx", [*rows[:3], [*rows[3][:7], "high", *rows[3][8:]]])
    # Arbin's reader is given every workbook, since its sheets are inside; it hands this one on
    return case("arbin", landt.write_workbook(folder / "CELL_1.xlsx", rows), bad, "column Voltage/V, row 5")


def landt_text(folder: Path) -> Case:
    rows = landt.records(CELL)
    bad = landt.write_text(folder / "bad.csv", [*rows[:3], [*rows[3][:7], "high", *rows[3][8:]]])
    return case("landt", landt.write_text(folder / "CELL_1.csv", rows), bad, "column Voltage/V, row 5")


def pec_text(folder: Path) -> Case:
    lines = pec.lines_of(pec.Placed(CELL))
    bad = pec.write_text(folder / "bad.csv", [*lines[:3], lines[3].replace("187,1,", "187,1,,")])
    return case("pec", pec.write_text(folder / "CELL_1.csv", lines), bad, "row 12: has ")


def pec_text_of_two(folder: Path) -> Case:
    lines = [line for place in "12" for line in pec.lines_of(pec.Placed(CELL, position=place))]
    bad = pec.write_text(folder / "bad.csv", [*lines[:3], lines[3].replace("187,1,", "187,1,,")])
    path = pec.write_text(folder / "CELL_1.csv", lines)
    return case("pec", path, bad, "row 12", *(expected(f"CELL_1_SBT0550-001-{place}") for place in "12"))


def basytec_text(folder: Path) -> Case:
    columns = basytec.columns_of(CELL)
    bad = basytec.write_text(folder / "bad.txt", columns | {"U[V]": ["high", *columns["U[V]"][1:]]})
    return case("basytec", basytec.write_text(folder / "CELL_1.txt", columns), bad, "column U[V], row 13")


def novonix_text(folder: Path) -> Case:
    columns = novonix.columns_of(CELL)
    bad = novonix.write_text(folder / "bad.csv", columns | {"Potential (V)": ["high", *columns["Potential (V)"][1:]]})
    return case("novonix", novonix.write_text(folder / "CELL_1.csv", columns), bad, "column Potential (V), row 22")


CASES: dict[str, Callable[[Path], Case]] = {
    made.__name__: made for made in (landt_workbook, landt_text, pec_text, pec_text_of_two, basytec_text, novonix_text)
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    return {name: make(tmp_path_factory.mktemp(name)) for name, make in CASES.items()}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", CASES)
def test_a_reader_keeps_its_promises(cases: dict[str, Case], name: str, check: Check, tmp_path: Path) -> None:
    check(cases[name], tmp_path)


@pytest.mark.parametrize("name", [name for name in CASES if name != "landt_workbook"])
def test_mutated_files_end_in_a_table_or_in_one_line(cases: dict[str, Case], name: str, tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    good, content = cases[name], cases[name].path.read_bytes()
    path = tmp_path / good.path.name
    lines, tables = [], 0
    for _ in range(MUTATED):
        mutated = bytearray(content)
        for at in random.integers(0, len(content), random.integers(1, 5)):
            mutated[at] = random.choice(MUTATIONS)
        is_cut = random.random() < CUT
        path.write_bytes(mutated[: random.integers(1, len(content))] if is_cut else mutated)
        try:
            good.reader.read(path, ReadOptions(path.name))
            tables += 1
        except BadWorkbookError as error:
            lines.append(str(error))
    assert [line for line in lines if not line.startswith(path.name) or "\n" in line] == []
    assert tables
    assert lines


def test_workbooks_with_mutated_cells_end_in_a_table_or_in_one_line(tmp_path: Path) -> None:
    random = np.random.default_rng(11)
    rows = landt.records(CELL)[10:22]
    wrong = [
        "",
        "-",
        "high",
        "6-14:26:49",
        1e300,
        -1.0,
        0,
        True,
        STARTED,
        time(9, 30),
        timedelta(days=2),
        CELL.date_time[0].item(),
    ]
    lines, tables = [], 0
    for _ in range(MUTATED):
        table: list[list[object]] = [list(landt.HEADER), *map(list, rows)]
        for _ in range(random.integers(1, 4)):
            row = table[random.integers(len(table))]
            row[random.integers(len(row))] = wrong[random.integers(len(wrong))]
        path = landt.write_workbook(tmp_path / "CELL_1.xlsx", table[1:], header=table[0], others=())
        try:
            READER.read(path, ReadOptions(path.name))
            tables += 1
        except BadWorkbookError as error:
            lines.append(str(error))
    assert [line for line in lines if not line.startswith(path.name) or "\n" in line] == []
    assert tables
    assert lines
