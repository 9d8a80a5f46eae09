"""The readings of a cell as files: of the Battery Data Format, CSV or Parquet, one file a test.

They come from what the last publication has left in the object store, so that worker and refresh may keep running; the
warehouse is asked only for what is not there.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from dashboard.escaping import spreadsheet_safe
from dashboard.report.name import file_name
from kernel.base.errors import BatteryError
from kernel.base.whole_files import replace_file
from kernel.edges.objects import open_to_look
from kernel.edges.warehouse import open_warehouse
from refresh.bdf import as_bdf
from refresh.publication import open_publication
from refresh.readings import readings_of_test
from refresh.unknown_cell import unknown_cell

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from kernel.base.settings import Settings

ENDINGS: Final = {"bdf": ".bdf.csv", "bdf-parquet": ".bdf.parquet", "csv": ".csv", "parquet": ".parquet"}
"""What the files of each format end in."""

_RANGE: Final = re.compile(r"(?P<first>\d+)(?:-(?P<last>\d+))?")
_MOST_CYCLES: Final = 1_000_000


@dataclass(frozen=True)
class ExportedFile:
    """A file that was written, of so many readings."""

    path: Path
    readings: int

    def __str__(self) -> str:
        """One line for a person."""
        return f"{self.path} ({self.readings} readings)"


def export_cell(
    settings: Settings,
    cell: str,
    folder: Path,
    form: str,
    *,
    tests: Collection[str] = (),
    cycles: Collection[int] | None = None,
    kept: bool = False,
    force: bool = False,
) -> Iterator[ExportedFile]:
    """Write the readings of a cell, one file a test; each file is whole or absent. A test without any has none.

    Args:
        settings: of the pipeline.
        cell: its id.
        folder: where to write; it is made where it is missing.
        form: a key of `ENDINGS`.
        tests: the ids of the tests to write; all of them where there is none.
        cycles: the numbers of the cycles over all tests of the cell (`cycle_number` of battery_cycles); None for all.
        kept: whether to leave out the readings that the models leave out.
        force: whether to replace files that are there.

    Yields:
        The files, as they are written.

    Raises:
        BatteryError: there is no such cell, test or cycle, nothing has been published yet, a file is there already, or
            readings or folder cannot be used.
    """
    wanted = _wanted(settings, cell, tests, cycles)
    paths = {test: folder / f"{name}{ENDINGS[form]}" for test, name in file_names(cell, list(wanted)).items()}
    if not force and (there := [path for path in paths.values() if path.exists()]):
        raise BatteryError(f"{there[0]} is there already; --force replaces it, --out names another folder")
    store = open_to_look(settings)
    warehouse = open_warehouse(settings) if settings.warehouse_address.holds_models else None
    is_written = False
    for test, numbers in wanted.items():
        readings = readings_of_test(store, warehouse, cell, test)
        if kept:
            readings = readings.filter(readings["is_kept"])
        content = as_bdf(readings) if form.startswith("bdf") else readings
        if numbers is not None:
            chosen = pc.is_in(readings["cycle_index"], value_set=pa.array(numbers, readings["cycle_index"].type))
            content = content.filter(chosen)
        if not content.num_rows:
            continue
        try:
            replace_file(paths[test], encoded(content, form, cell, test))
        except OSError as error:
            raise BatteryError(
                f"cannot write {paths[test]}: {error.strerror or error}; choose another folder with --out"
            ) from None
        is_written = True
        yield ExportedFile(paths[test], content.num_rows)
    if not is_written:
        raise BatteryError(f"cell {cell} has no readings to write: the models keep none of them; leave out --kept")


def _wanted(
    settings: Settings, cell: str, tests: Collection[str], cycles: Collection[int] | None
) -> Mapping[str, list[int] | None]:
    """The tests to write, each with its cycles as the cycler numbers them; None for all."""
    publication = open_publication(settings)
    published = publication.table("battery_tests")
    found = published.filter(pc.equal(published["cell_id"], cell))["test_id"].to_pylist()
    if not found:
        raise unknown_cell(cell, pc.unique(published["cell_id"]).to_pylist())
    for test in tests:
        if test not in found:
            raise BatteryError(f"cell {cell} has no test {test}; it has {', '.join(found)}")
    chosen = [test for test in found if not tests or test in tests]
    if cycles is None:
        return dict.fromkeys(chosen)
    numbered = publication.table("battery_cycles")
    of_cell = numbered.filter(pc.equal(numbered["cell_id"], cell)).select(["test_id", "cycle_index", "cycle_number"])
    kept = of_cell.filter(pc.is_in(of_cell["cycle_number"].cast(pa.int64()), value_set=pa.array(cycles, pa.int64())))
    by_test: dict[str, list[int] | None] = {}
    for test in chosen:
        if numbers := kept.filter(pc.equal(kept["test_id"], test))["cycle_index"].to_pylist():
            by_test[test] = numbers
    if not by_test:
        last = pc.max(of_cell["cycle_number"]).as_py()
        raise BatteryError(f"cell {cell} has none of these cycles in these tests; it has 1 to {last}")
    return by_test


def encoded(table: pa.Table, form: str, cell: str, test: str) -> bytes:
    """A table as the bytes of a file of a format; Parquet holds cell and test as metadata, too.

    A CSV file is likely opened in a spreadsheet, which would compute an id that begins like a formula: it is guarded.
    """
    content = io.BytesIO()
    if form == "csv":
        table = spreadsheet_safe(table)
    if form.endswith("parquet"):
        named = table.replace_schema_metadata({"cell_id": cell, "test_id": test})
        pq.write_table(named, content, compression="zstd")
    else:
        try:
            csv.write_csv(table, content, csv.WriteOptions(quoting_style="none", quoting_header="none"))
        except pa.ArrowInvalid:  # an id holds a comma or a quote
            content = io.BytesIO()
            csv.write_csv(table, content, csv.WriteOptions(quoting_style="needed"))
    return content.getvalue()


def file_names(cell: str, tests: Sequence[str]) -> dict[str, str]:
    """The stem of the name of the file of each test, which any file system can hold; all of them differ.

    >>> file_names("CS2_35", ["2010-08-16T13:44:57", "by hand"])
    {'2010-08-16T13:44:57': 'CS2_35__2010-08-16T134457', 'by hand': 'CS2_35__by hand'}
    """
    short = {test: file_name(f"{cell}__{test.replace(':', '')}") for test in tests}
    if len(set(short.values())) == len(short):
        return short
    return {test: file_name(f"{cell}__{test}") for test in tests}


def cycle_numbers(text: str) -> list[int]:
    """The numbers of cycles that a text lists.

    >>> cycle_numbers("1-3,10")
    [1, 2, 3, 10]

    Raises:
        BatteryError: it lists something else.
    """
    numbers: set[int] = set()
    for part in text.split(","):
        match = _RANGE.fullmatch(part.strip())
        first, last = (0, 0) if match is None else (int(match["first"]), int(match["last"] or match["first"]))
        if not 1 <= first <= last < first + _MOST_CYCLES:
            raise BatteryError(
                f"--cycles {text}: {part.strip() or 'nothing'} is no cycle or range of them; as in 1-100,500"
            )
        numbers.update(range(first, last + 1))
    return sorted(numbers)
