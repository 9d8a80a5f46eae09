"""Reading files of each format: rows/s to tests of the contract, compared with the library that it is read with.

The files are those that the tests write, of more cycles. The reference only has the library give the file's columns: it
looks for no header, and settles no sign, counter, cycle or clock. All is read in one process and after a first reading,
as a process that reads a folder does.
"""

from __future__ import annotations

import csv as lines_of
import io
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pyarrow import csv, parquet
from python_calamine import CalamineWorkbook

from benchmarks.figures import Figure, tell
from producer.readers.base import ReadOptions
from producer.readers.registry import reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.figures import Show

TESTS: Final = Path(__file__).parents[1] / "tests"
"""Where the writers of the files are: a benchmark reads what the tests hold to be right."""

ROUNDS: Final = 3
CYCLES: Final[Mapping[str, int]] = {"arbin_res": 60, "arbin_xlsx": 100, "neware_xlsx": 100, "landt_xlsx": 100}
"""Cycles of the simulated cell, 197 rows each, of those that are no texts; of texts and other binary files there are
`MANY`."""

MANY: Final = 1_500


def measure(show: Show, folder: Path, *, tiny: bool) -> None:
    """Read a file of each format by its reader and by its library, in turn, and show the figures.

    Args:
        show: prints a figure.
        folder: where the files are put.
        tiny: take few rows, for a quick check.
    """
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    from support.twins.cell import twin_cell  # noqa: PLC0415  # it is on the path now
    from support.twins.files import FILES  # noqa: PLC0415

    for kind, write in FILES.items():
        place = folder / kind
        place.mkdir()
        path = write(place, twin_cell(1 if tiny else CYCLES.get(kind, MANY)))
        reader = reader_of(path, path.name)
        if reader is None:
            raise ValueError(f"nothing reads {kind}")
        alone, ours = [], []
        for number in range(1 if tiny else ROUNDS + 1):
            started = time.perf_counter()
            (_layers if kind == "neware_layers" else _LIBRARIES[path.suffix])(path)
            between = time.perf_counter()
            rows = reader.reader.read(path, ReadOptions(path.name)).row_count
            if number or tiny:  # the first reading imports what the others use
                alone.append(rows / (between - started))
                ours.append(rows / (time.perf_counter() - between))
        tell(f"{kind}: {rows:,} rows, {median(ours):,.0f} rows/s, the library {median(alone):,.0f} rows/s")
        show(Figure(f"read_{kind}", median(ours), "rows/s", reference=median(alone)))
        shutil.rmtree(place)


def _layers(path: Path) -> None:
    """The columns of the records, and the cells of the lines of cycles and steps between them, with their places."""
    others: list[tuple[int | None, str]] = []

    def keep(row: csv.InvalidRow) -> str:
        others.append((row.number, row.text))
        return "skip"

    _text(path, keep)
    list(lines_of.reader(text for _, text in others))


def _text(path: Path, others: Callable[[csv.InvalidRow], str] = lambda _: "skip") -> None:
    """The columns below the longest header that a text has."""
    content = path.read_bytes()
    lines = content[:100_000].split(b"\n")
    mark = "\t" if content.count(b"\t", 0, 10_000) > content.count(b",", 0, 10_000) else ","
    header = max(range(min(60, len(lines))), key=lambda line: (lines[line].count(mark.encode()), -line))
    csv.read_csv(
        io.BytesIO(content),
        read_options=csv.ReadOptions(skip_rows=header, use_threads=False, encoding="latin-1"),
        parse_options=csv.ParseOptions(delimiter=mark, invalid_row_handler=others),
    )


def _workbook(path: Path) -> None:
    book = CalamineWorkbook.from_path(path)
    for name in book.sheet_names:
        rows = list(book.get_sheet_by_name(name).iter_rows())
        for column in zip(*rows[1:], strict=False):
            list(column)


def _res(path: Path) -> None:
    from access_parser import AccessParser  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra

    AccessParser(str(path)).parse_table("Channel_Normal_Table")


def _ndax(path: Path) -> None:
    import fastnda  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra

    fastnda.read(path)


def _mpr(path: Path) -> None:
    """The columns as Arrow has them: the library only maps the bytes of the file."""
    from galvani import MPRfile  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra

    data = MPRfile(str(path)).data
    pa.table({name: pa.array(data[name].copy()) for name in data.dtype.names})


def _parquet(path: Path) -> None:
    parquet.read_table(path, use_threads=False)


_LIBRARIES: Final[Mapping[str, Callable[[Path], None]]] = {
    ".csv": _text,
    ".txt": _text,
    ".mpt": _text,
    ".xlsx": _workbook,
    ".res": _res,
    ".ndax": _ndax,
    ".mpr": _mpr,
    ".parquet": _parquet,
}
