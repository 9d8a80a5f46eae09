"""Damaged tables and mapping files: each is read, or refused in one line that names the file."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.twins import bdf, table
from support.twins.cell import twin_cell

from producer.readers.base import BadWorkbookError, ReadOptions
from producer.readers.bdf import READER as BDF
from producer.readers.mapped import READER as TABLE
from producer.readers.mapping import MappingError, mapping_of
from producer.readers.mapping_file import MappingFile, as_mapping_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from producer.readers.base import Reader

CELL = twin_cell()
COUNT = 200


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Content with some bytes changed, a piece left out or doubled, or its end cut off."""
    at, length = chance.randrange(len(content)), chance.choice([1, 1, 4, 64, 1000])
    match chance.randrange(5):
        case 0:
            return content[:at] + chance.randbytes(length) + content[at + length :]
        case 1:
            return content[:at] + content[at + length :]
        case 2:
            return content[:at] + content[at : at + length] + content[at:]
        case 3:
            return content[:at]
    return content[:at] + chance.choice([b",", b"\n", b'"', b"-", b"e9", b";", b"\t", b"\xff", b"NaN"]) + content[at:]


def parquet(path: Path, columns: dict[str, list[object]]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


CASES: dict[str, tuple[Reader, Callable[[Path], Path]]] = {
    "bdf text": (BDF, lambda folder: bdf.write_csv(folder / "a.csv", bdf.machine_columns(CELL))),
    "bdf parquet": (BDF, lambda folder: bdf.write_parquet(folder / "a.parquet", bdf.machine_columns(CELL))),
    "table text": (TABLE, lambda folder: table.write_text(folder / "a.csv", table.columns_of(CELL))),
    "table parquet": (TABLE, lambda folder: parquet(folder / "a.parquet", table.columns_of(CELL))),
    "table workbook": (TABLE, lambda folder: table.write_workbook(folder / "a.xlsx", table.columns_of(CELL))),
}


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_table_is_read_or_refused_in_one_line(tmp_path: Path, name: str) -> None:
    reader, write = CASES[name]
    path = write(tmp_path)
    content, chance = path.read_bytes(), random.Random(name)  # noqa: S311  # the same files each time
    mapping = MappingFile("mapping.yaml", table.MAPPING)
    said = []
    for _ in range(COUNT):
        path.write_bytes(mutated(content, chance))
        try:
            assert reader.read(path, ReadOptions(path.name, mapping=mapping)).tests
        except BadWorkbookError as error:
            said.append(str(error))
    assert [line for line in said if not line.startswith(path.name) or "\n" in line] == []
    assert len(said) > COUNT // 10


def test_a_damaged_mapping_is_taken_or_refused_in_one_line() -> None:
    chance, said = random.Random(1), []  # noqa: S311  # the same files each time
    for _ in range(COUNT):
        try:
            assert mapping_of(MappingFile("m.yaml", as_mapping_text(mutated(table.MAPPING.encode(), chance)))).columns
        except MappingError as error:
            said.append(str(error))
    assert [line for line in said if not line.startswith("m.yaml") or "\n" in line] == []
    assert len(said) > COUNT // 10
