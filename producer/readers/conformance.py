"""The conformance kit: what every reader promises (`producer/readers/base.py`), as checks that a reader's tests run.

It needs no test framework. With pytest, a reader's test file is this:

    import pytest
    from producer.readers.conformance import CHECKS, Case, Expected

    CASE = Case(
        "my_package.my_reader:READER",
        Path(__file__).with_name("CELL_1.my"),
        (Expected("CELL_1", "2024-03-01T09:00:00", 1234, {"discharge_capacity(ah)": 567.8}),),
    )

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_the_reader_keeps_its_promises(check, tmp_path):
        check(CASE, tmp_path)

Give a case for each variety of the format. Each check takes a case and an empty folder; where the reader fails it, it
raises `BrokenPromiseError`.
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Final, cast

from kernel.base.errors import BatteryError
from kernel.contract.reading import READING
from producer.child import Child, Limits, WorkEndedError, limit_memory
from producer.readers.base import (
    BadWorkbookError,
    FileSample,
    ReadOptions,
    UnreadableWorkbookError,
    Workbook,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from producer.readers.base import Reader

SUM_TOLERANCE: Final = 1e-9
"""Relative difference up to which two sums of a column are the same."""

SHORT_OF_MEMORY_BYTES: Final = (256 * 1024, 2 * 1024**2, 16 * 1024**2)
"""Limits under which a reader may end without a result, but must not call the file bad."""

READ_SECONDS: Final = 120.0

OTHER_FILES: Final = {
    "text": b"Minutes of the meeting; those present\n" * 20,
    "binary": bytes(range(256)) * 8,
    "PNG": b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "PDF": b"%PDF-1.7\n" + b"x" * 1000,
    "ZIP": b"PK\x03\x04" + bytes(1000),
    "zeros": bytes(4096),
}
"""Files that are of no cycler: a reader neither recognises nor reads them."""


class BrokenPromiseError(AssertionError):
    """A reader does not do what `producer.readers.base.Reader` promises."""


@dataclass(frozen=True)
class Expected:
    """A test that a file holds: its cell, id and number of readings, and for some columns the sum of their values."""

    cell_id: str
    test_id: str
    rows: int
    sums: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class BadFile:
    """A file that must be refused, and what the message must contain: `("column Voltage(V)", "row 5")`."""

    path: Path
    says: tuple[str, ...] = ()


@dataclass(frozen=True)
class Case:
    """A good file, and what a reader must give for it.

    Attributes:
        entry_point: the reader as `module:object`, as its entry point names it.
        path: the file; it is only read.
        tests: the tests that it holds, sorted by start and then by cell.
        bad_files: damaged varieties of the file.
        shows_truncation: whether the format lets a reader see that the end of a file is missing.
        memory_bytes: the memory in which the file must be readable.
    """

    entry_point: str
    path: Path
    tests: tuple[Expected, ...]
    bad_files: tuple[BadFile, ...] = ()
    shows_truncation: bool = True
    memory_bytes: int = 512 * 1024**2

    @property
    def reader(self) -> Reader:
        """The reader."""
        return cast("Reader", resolve_name(self.entry_point))

    @property
    def options(self) -> ReadOptions:
        """The file's name, and nothing else."""
        return ReadOptions(self.path.name)

    def read(self) -> Workbook:
        """What the reader gives for the good file."""
        return self.reader.read(self.path, self.options)


def describes_itself(case: Case, folder: Path) -> None:  # noqa: ARG001  # all checks are called alike
    """The reader has a short name in lower case, and endings in lower case with a dot; ZIPs are opened by others.

    A reader that tells its files by their content alone has no endings.
    """
    reader = case.reader
    _require(bool(reader.name) and reader.name == reader.name.lower().strip(), f"the name is {reader.name!r}")
    _require(isinstance(reader.suffixes, tuple), f"the suffixes are {reader.suffixes!r}")
    for suffix in reader.suffixes:
        good = suffix.startswith(".") and suffix == suffix.lower().strip() and suffix != ".zip"
        _require(good, f"{suffix!r} is no ending that a reader can have")


def recognises_its_files_alone(case: Case, folder: Path) -> None:  # noqa: ARG001
    """The reader claims the file by its content or by its ending, and no file of another kind by its content."""
    reader, sample = case.reader, FileSample.of(case.path)
    claims = reader.recognises(sample) or sample.suffix in reader.suffixes
    _require(claims, f"{case.path.name} is not recognised, and {sample.suffix} is none of {reader.suffixes}")
    for kind, content in {**OTHER_FILES, "empty file": b""}.items():
        other = FileSample(".dat", content, content)
        _require(not reader.recognises(other), f"a file of another kind ({kind}) is recognised")


def gives_the_columns_of_the_contract(case: Case, folder: Path) -> None:  # noqa: ARG001
    """All tests have exactly the columns and types of READING; what every reading needs is there, and finite."""
    _require_contract(case.read())


def gives_the_expected_tests(case: Case, folder: Path) -> None:  # noqa: ARG001
    """Cells, ids, numbers of readings and sums are the expected ones."""
    workbook = case.read()
    given = [(test.cell_id, test.test_id, test.readings.num_rows) for test in workbook.tests]
    expected = [(test.cell_id, test.test_id, test.rows) for test in case.tests]
    _require(given == expected, f"the tests are {given}, not {expected}")
    _require(workbook.row_count == sum(test.rows for test in case.tests), "row_count is not that of all tests")
    for test, wanted in zip(workbook.tests, case.tests, strict=True):
        for column, total in wanted.sums.items():
            got = math.fsum(value for value in test.readings.column(column).to_pylist() if value is not None)
            same = math.isclose(got, total, rel_tol=SUM_TOLERANCE)
            _require(same, f"test {test.test_id}: the sum of {column} is {got!r}, not {total!r}")


def names_every_reading(case: Case, folder: Path) -> None:  # noqa: ARG001
    """Every reading has its test's cell and id, and the name of the file; the id is the test's first `date_time`."""
    workbook = case.read()
    _require(workbook.name == case.path.name, f"the workbook's name is {workbook.name!r}, not {case.path.name!r}")
    for test in workbook.tests:
        texts = {"cell_id": test.cell_id, "test_id": test.test_id, "source_file": case.path.name}
        for column, text in texts.items():
            values = set(test.readings.column(column).to_pylist())
            _require(values == {text}, f"test {test.test_id}: {column} is {values}, not {text!r} alone")
        first = next((stamp for stamp in test.readings.column("date_time").to_pylist() if stamp is not None), None)
        _require(first == test.started_at, f"test {test.test_id} starts at {test.started_at}, its clock at {first}")
        is_id = test.started_at.tzinfo is None and test.test_id == test.started_at.isoformat()
        _require(is_id, f"test_id is {test.test_id!r}, not started_at in ISO 8601 without a zone")


def keeps_the_order(case: Case, folder: Path) -> None:  # noqa: ARG001
    """Tests are sorted by start and then by cell; within a test of a good file `data_point` rises."""
    tests = case.read().tests
    order = [(test.started_at, test.cell_id) for test in tests]
    _require(order == sorted(order), f"the tests are not sorted by start and cell: {order}")
    for test in tests:
        points = test.readings.column("data_point").to_pylist()
        rises = all(one < two for one, two in pairwise(points))
        _require(rises, f"test {test.test_id}: data_point does not rise")


def takes_what_the_user_says(case: Case, folder: Path) -> None:
    """A cell that the user names comes before the file's; a file at another path has the name that it is given."""
    options = ReadOptions("Other name.dat", cell_id="A cell of the user's")
    moved = Path(shutil.copy(case.path, folder / f"moved{case.path.suffix}"))
    workbook = case.reader.read(moved, options)
    _require(workbook.cell_id == options.cell_id, f"the cell is {workbook.cell_id!r}, not the user's")
    for test in workbook.tests:
        _require(test.cell_id.startswith(options.cell_id or ""), f"the cell of a test is {test.cell_id!r}")
        names = set(test.readings.column("source_file").to_pylist())
        _require(names == {options.name}, f"source_file is {names}, not the name that was given")


def leaves_the_file_as_it_was(case: Case, folder: Path) -> None:
    """Reading changes neither the file nor its folder."""
    path = Path(shutil.copy2(case.path, folder / case.path.name))
    content, modified = path.read_bytes(), path.stat().st_mtime_ns
    case.reader.read(path, case.options)
    files = sorted(one.name for one in folder.iterdir())
    _require(files == [path.name], f"the folder of the file holds {files} after reading")
    unchanged = path.read_bytes() == content and path.stat().st_mtime_ns == modified
    _require(unchanged, "reading has changed the file")


def reads_the_same_twice(case: Case, folder: Path) -> None:  # noqa: ARG001
    """The same file gives the same workbook each time."""
    _require(case.read() == case.read(), "the same file gives two results")


def refuses_other_files(case: Case, folder: Path) -> None:
    """An empty file and files of other kinds are refused in one line; a missing one is no verdict on any content."""
    for kind, content in {**OTHER_FILES, "empty": b""}.items():
        path = folder / f"{kind}{case.path.suffix}"
        path.write_bytes(content)
        _require(_refusal(case, path) is not None, f"a file of another kind ({kind}) is read")
    refusal = _refusal(case, folder / f"missing{case.path.suffix}")
    _require(isinstance(refusal, UnreadableWorkbookError), f"a missing file gives {refusal!r}")


def refuses_a_truncated_file(case: Case, folder: Path) -> None:
    """A file whose end is missing is refused in one line, unless it holds the same readings all the same."""
    content, whole = case.path.read_bytes(), case.read()
    path = folder / case.path.name
    for length in (len(content) // 2, len(content) * 9 // 10, len(content) - 16):
        path.write_bytes(content[:length])
        try:
            workbook = _read(case, path)
        except BadWorkbookError:
            continue
        _require_contract(workbook)
        lost = case.shows_truncation and workbook.tests != whole.tests
        _require(not lost, f"a file cut to {length} of {len(content)} bytes is read as one of fewer readings")


def survives_damage(case: Case, folder: Path) -> None:
    """Zeros in the middle of a file give a refusal in one line, or readings that keep the contract."""
    content = case.path.read_bytes()
    path = folder / case.path.name
    for part in (1, 2, 3):
        start = len(content) * part // 4
        path.write_bytes(content[:start] + bytes(64) + content[start + 64 :])
        try:
            _require_contract(_read(case, path))
        except BadWorkbookError:
            continue


def says_what_is_wrong(case: Case, folder: Path) -> None:  # noqa: ARG001
    """Each bad file of the case is refused in one line that names the file and the place in it."""
    for bad in case.bad_files:
        refusal = _refusal(case, bad.path)
        _require(refusal is not None, f"{bad.path.name} is read")
        for text in bad.says:
            _require(text in str(refusal), f"{bad.path.name}: the line lacks {text!r}: {refusal}")


def reads_in_a_child(case: Case, folder: Path) -> None:
    """The reader works in another process within the case's memory, and what it gives there can be handed back."""
    given = _in_child(case, folder)
    _require(isinstance(given, Workbook) and given == case.read(), f"a child process gives another result: {given!r}")


def passes_on_that_memory_is_short(case: Case, folder: Path) -> None:
    """Where memory runs out the reader ends with MemoryError, or is killed; it never calls the file bad."""
    for memory_bytes in SHORT_OF_MEMORY_BYTES:
        given = _in_child(case, folder, memory_bytes)
        fine = isinstance(given, Workbook) or (isinstance(given, WorkEndedError) and given.cause in {"memory", "died"})
        _require(fine, f"with {memory_bytes} bytes of memory the reader says: {given!r}")


CHECKS: Final[tuple[Callable[[Case, Path], None], ...]] = (
    describes_itself,
    recognises_its_files_alone,
    gives_the_columns_of_the_contract,
    gives_the_expected_tests,
    names_every_reading,
    keeps_the_order,
    takes_what_the_user_says,
    leaves_the_file_as_it_was,
    reads_the_same_twice,
    refuses_other_files,
    refuses_a_truncated_file,
    survives_damage,
    says_what_is_wrong,
    reads_in_a_child,
    passes_on_that_memory_is_short,
)
"""All checks. Each takes a case and an empty folder, and raises `BrokenPromiseError` where the reader fails it."""


def read_file(case: Case, short_bytes: int | None) -> Workbook:
    """Read the good file, and again with little memory where `short_bytes` says how much; a child runs this."""
    workbook = case.read()
    if short_bytes is not None:
        limit_memory(short_bytes)
        workbook = case.read()
    return workbook


def _in_child(case: Case, folder: Path, short_bytes: int | None = None) -> object:
    """What comes of reading the good file in a child: a workbook, or the error."""
    child = Child(Limits(case.memory_bytes, READ_SECONDS), folder, __name__, case.entry_point.partition(":")[0])
    try:
        return child.result(read_file, case, short_bytes)
    except (BatteryError, WorkEndedError) as error:
        return error
    finally:
        child.end()


def _read(case: Case, path: Path) -> Workbook:
    """Read a file that may be bad.

    Raises:
        BadWorkbookError: as the reader does.
        BrokenPromiseError: the reader raises anything else, or its message is not one line that names the file.
    """
    try:
        return case.reader.read(path, ReadOptions(path.name))
    except BadWorkbookError as error:
        line = str(error)
        named = line.startswith(path.name) and "\n" not in line and len(line) > len(path.name) + 2
        _require(named, f"a refusal is one line that begins with the file's name, not {line!r}")
        raise
    except Exception as error:
        raise BrokenPromiseError(f"{path.name}: the reader raises {error!r} in place of BadWorkbookError") from error


def _refusal(case: Case, path: Path) -> BadWorkbookError | None:
    try:
        _read(case, path)
    except BadWorkbookError as error:
        return error
    return None


def _require_contract(workbook: Workbook) -> None:
    """Hold a workbook's tests against the contract."""
    _require(bool(workbook.tests), "there is no test")
    for test in workbook.tests:
        readings = test.readings
        _require(readings.num_rows > 0, f"test {test.test_id} has no reading")
        given: Sequence[tuple[str, str]] = [(one.name, str(one.type)) for one in readings.schema]
        wanted = [(one.name, str(one.type)) for one in READING]
        _require(given == wanted, f"test {test.test_id} has other columns: {sorted(set(given) ^ set(wanted))}")
        readings.validate(full=True)
        for column in READING:
            values = readings.column(column.name)
            present = column.nullable or not values.null_count
            _require(present, f"test {test.test_id}: {column.name} is missing in {values.null_count} readings")
            if str(column.type) == "double":
                finite = all(value is None or math.isfinite(value) for value in values.to_pylist())
                _require(finite, f"test {test.test_id}: {column.name} holds a value that is not finite")


def _require(holds: bool, what_else: str) -> None:
    if not holds:
        raise BrokenPromiseError(what_else)
