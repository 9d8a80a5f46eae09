"""The interface of readers: what a reader is given, what it returns, and how it refuses a file.

A reader turns the files of one format into tests with the columns of the contract. It knows files and the contract,
but no topics, stores or settings. A package registers a reader with one line, an entry point of the
group `battery.readers` (`producer/readers/registry.py`); `producer/readers/conformance.py` checks the
promises of this module, and docs/guides/add-a-reader.md shows a complete reader.

Every reader runs in a child process (`producer/child.py`). `READER_MEMORY_BYTES` limits its address space with
RLIMIT_AS, and `READER_TIMEOUT_SECONDS` its time. A crash there costs the one file that was being read. The child
imports the modules of all registered readers once, at its start and before its limits hold, so a module imports only
what it needs to read.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, Self

import numpy as np
import pyarrow as pa

from kernel.base.errors import BatteryError
from kernel.base.plain import one_line
from kernel.contract.about import NOTHING_SAID, About
from kernel.contract.reading import READING
from producer.readers.sample import FileSample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from pathlib import Path

    from producer.readers.mapping_file import MappingFile

__all__ = [
    "FILE_COLUMNS",
    "About",
    "BadWorkbookError",
    "FileSample",
    "ReadOptions",
    "Reader",
    "Test",
    "UndatedWorkbookError",
    "UnreadableWorkbookError",
    "Workbook",
    "repeated",
]

FILE_COLUMNS: Final = ("cell_id", "test_id", "source_file")
"""Columns of the contract that hold one value in a whole test: they follow from the file, not from its rows."""


LONGEST: Final = 1_000
"""How many characters of a problem an error shows."""


class BadWorkbookError(BatteryError):
    """A file that cannot be taken. The message is one line: the file, the place in it, the problem, and what to do.

    >>> print(BadWorkbookError("A.xlsx", "'high' is not a number", column="Voltage(V)", row=5))
    A.xlsx, column Voltage(V), row 5: 'high' is not a number

    A problem of more than `LONGEST` characters keeps its beginning and its end: a cell may hold megabytes.
    """

    def __init__(
        self, file: str, problem: str, *, sheet: str | None = None, column: str | None = None, row: int | None = None
    ) -> None:
        places = [file]
        places += [f"sheet {sheet}"] if sheet is not None else []
        places += [f"column {column}"] if column is not None else []
        places += [f"row {row}"] if row is not None else []
        if len(problem) > LONGEST:
            problem = f"{problem[: LONGEST // 2]}\N{HORIZONTAL ELLIPSIS}{problem[-LONGEST // 2 :]}"
        super().__init__(one_line(f"{', '.join(places)}: {problem}"))

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        """Go to another process as the line that it is: `Exception` would pass the line to `__init__` as a file."""
        return type(self).__new__, (type(self), str(self))


class UnreadableWorkbookError(BadWorkbookError):
    """A file that the disk fails to read. A later attempt may succeed, so nothing is remembered."""


class UndatedWorkbookError(BadWorkbookError):
    """A file whose dates can be read in several orders. A setting, or another file name, may decide."""


@dataclass(frozen=True)
class ReadOptions:
    """What the user says about a file. Everything but its name is optional.

    Attributes:
        name: the file's name in messages, and `source_file` of all its readings. The path may have another one.
        cell_id: the cell that the readings are of. By default it is taken from the name (`producer/readers/names.py`).
        dates: the order of dates such as 10/03/2024: `dmy`, `mdy` or `ymd`. By default the file must show it.
        channel_cells: the cell of each channel, by the channel's name in the file.
        mapping: what the columns of a table of no known format are.
    """

    name: str
    cell_id: str | None = None
    dates: str | None = None
    channel_cells: Mapping[str, str] = field(default_factory=dict)
    mapping: MappingFile | None = None


@dataclass(frozen=True)
class Test:
    """One test of a cell: at least one reading, in the order of the file, with the columns and types of `READING`.

    `test_id` is the first `date_time` in ISO 8601, `started_at` the same as a wall clock time without a zone. Whether
    the id is free is decided later, when the other tests of the cell are known (`producer/identity.py`). `channel` is
    the channel that the file names; it is empty where the file names none, and where the user names its cell. `about`
    is what stands with the test in the tables: what the reader assumed, what the file states, and which counters the
    reader computed. It travels with the messages of the test (`kernel/contract/about.py`).

    Raises:
        ValueError: the readings have other columns or types.
    """

    __test__ = False  # pytest must not take it for a test case

    cell_id: str
    test_id: str
    started_at: datetime
    readings: pa.Table
    channel: str = dataclasses.field(default="", compare=False)
    about: About = dataclasses.field(default=NOTHING_SAID, compare=False)

    def __post_init__(self) -> None:
        """Check the columns against the contract."""
        if not self.readings.schema.equals(READING):
            raise ValueError(f"a test's readings need the columns and types of READING, not {self.readings.schema}")

    @classmethod
    def of(
        cls,
        cell_id: str,
        source_file: str,
        columns: Mapping[str, pa.Array | pa.ChunkedArray],
        *,
        channel: str = "",
        about: About = NOTHING_SAID,
        started_at: datetime | None = None,
    ) -> Self:
        """Make a test from columns, by their names in `READING`; absent optional columns are null in every row.

        Columns of another type are cast, if no value changes. That imports `pyarrow.compute`, so a reader that needs
        casts imports it too.

        Args:
            cell_id: the cell.
            source_file: the file's name.
            columns: arrays of equal length n >= 1, in the units of the contract; `date_time` has at least one value.
            channel: the channel that the file names.
            about: what was assumed, what the file states, and which counters were computed.
            started_at: what to name the test after where no reading has a `date_time`.

        Raises:
            KeyError: a required column is absent.
            pa.ArrowInvalid: a value does not fit its column, or a required one is missing.
            ValueError: there is no reading, or none has a `date_time`.

        >>> from datetime import datetime
        >>> numbers = {name: pa.array([1]) for name in ("data_point", "step_index", "cycle_index")}
        >>> values = {name: pa.array([0.5]) for name in ("test_time(s)", "current(a)", "voltage(v)")}
        >>> clock = {"date_time": pa.array([datetime(2024, 3, 1, 9)])}
        >>> test = Test.of("CELL_1", "CELL_1.csv", numbers | values | clock)
        >>> test.test_id, test.readings.num_rows, test.readings.schema == READING
        ('2024-03-01T09:00:00', 1, True)
        """
        started_at = next((stamp.as_py() for stamp in columns["date_time"] if stamp.is_valid), started_at)
        if started_at is None:
            raise ValueError("no reading has a date_time, so the test has no name")
        test_id = started_at.isoformat()
        rows = len(columns["date_time"])
        texts = {"cell_id": cell_id, "test_id": test_id, "source_file": source_file}
        arrays = []
        for column in READING:
            if column.name in texts:
                arrays.append(repeated(texts[column.name], rows))
            elif column.name in columns:
                values = columns[column.name]
                if not column.nullable and values.null_count:
                    raise pa.ArrowInvalid(f"{column.name} is missing in {values.null_count} readings; all need it")
                arrays.append(values if values.type == column.type else values.cast(column.type))
            elif column.nullable:
                arrays.append(pa.nulls(rows, column.type))
            else:
                raise KeyError(column.name)
        return cls(cell_id, test_id, started_at, pa.Table.from_arrays(arrays, schema=READING), channel, about)


@dataclass(frozen=True)
class Workbook:
    """The content of a file of readings in any format: its tests, sorted by start and then by cell.

    `name` is that of `ReadOptions`; `cell_id` is the cell that the user, or else the file, names. Channels that ran at
    the same time are cells of their own, so each test has its own cell. Each of `notes` is a line for the user about
    how the file was read; it begins with the place in the file, such as the sheet.
    """

    name: str
    cell_id: str
    tests: tuple[Test, ...]
    notes: tuple[str, ...] = ()

    @property
    def row_count(self) -> int:
        """Readings of all tests."""
        return sum(test.readings.num_rows for test in self.tests)


class Reader(Protocol):
    """Reads the files of one format. It has no state: the same file gives the same workbook each time."""

    @property
    def name(self) -> str:
        """A short name in lower case, such as `arbin`. Two registered readers cannot have the same."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Suffixes of the files to look for in folders and ZIPs, in lower case with a dot: `(".xlsx", ".xls")`.

        A reader for files whose ending tells nothing, such as `.csv`, has none: it tells them by their content alone.
        """

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is surely of this format, by its first and last bytes and not by its name.

        A reader that is sure comes before one that only matches the suffix. So a reader of text formats says no where
        another text format may begin in the same way. It never raises.
        """

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a file whole, without changing it.

        Args:
            path: where the file is.
            options: what the user says about it.

        Returns:
            At least one test with at least one reading.

        Raises:
            BadWorkbookError: the file is empty, damaged, or of another format, or a value in it cannot be taken.
                Nothing is guessed or left out: half a test must not be published.
            UnreadableWorkbookError: the disk fails to read it.
            UndatedWorkbookError: its dates can be read in several orders.
            MemoryError: it takes more memory than the process may have. A reader never turns this into another error.
        """


def repeated(text: str, rows: int) -> pa.Array:
    """A column that holds the same text in every row, shape (rows,).

    It is made of buffers, since `pa.array` and `pa.scalar` would first import pandas where that is installed.
    """
    content = text.encode()
    ends = pa.py_buffer(np.array([0, len(content)], np.int32))
    return pa.repeat(pa.StringArray.from_buffers(1, ends, pa.py_buffer(content))[0], rows)
