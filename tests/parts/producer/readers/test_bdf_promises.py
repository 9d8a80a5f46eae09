"""The conformance kit on files of the Battery Data Format, as text and as Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.twins import bdf
from support.twins.cell import twin_cell

from producer.readers.conformance import CHECKS, BadFile, Case, Expected

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CELL = twin_cell()


def case(folder: Path, write: Callable[..., Path], name: str) -> Case:
    columns = bdf.machine_columns(CELL)
    bad = bdf.write_csv(folder / "bad.csv", columns | {"voltage_volt": ["high", *CELL.voltage[1:].astype(str)]})
    sums = {"voltage(v)": float(CELL.voltage.sum()), "test_time(s)": float(CELL.test_time.sum())}
    expected = Expected("CELL_1", "2024-03-14T09:35:15", len(CELL), sums)
    return Case(
        "producer.readers.bdf:READER",
        write(folder / name, columns),
        (expected,),
        (BadFile(bad, ("bad.csv, column voltage_volt, row 2: 'high'",)),),
        shows_truncation=name.endswith(".parquet"),
    )


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    writers = {"CELL_1.csv": bdf.write_csv, "CELL_1.parquet": bdf.write_parquet}
    return {name: case(tmp_path_factory.mktemp("bdf"), write, name) for name, write in writers.items()}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["CELL_1.csv", "CELL_1.parquet"])
def test_the_reader_keeps_its_promises(
    cases: dict[str, Case], name: str, check: Callable[[Case, Path], None], tmp_path: Path
) -> None:
    check(cases[name], tmp_path)
