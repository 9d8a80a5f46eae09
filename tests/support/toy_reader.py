"""A reader of a made-up text format, sound or with one fault, to hold the conformance kit against.

A file is a line `#TOY`, a line of five numbers for each reading (point, seconds, cycle, ampere, volt), a line `#END`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from kernel.contract.reading import READING
from producer.readers.base import About, BadWorkbookError, Test, UnreadableWorkbookError, Workbook
from producer.readers.names import cell_id_of

if TYPE_CHECKING:
    from pathlib import Path

    from producer.readers.base import FileSample, ReadOptions

START: Final = datetime(2024, 3, 1, 9)  # noqa: DTZ001  # a cycler's wall clock has no zone
COLUMNS: Final = ("data_point", "test_time(s)", "cycle_index", "current(a)", "voltage(v)")
_ALLOCATED_BYTES: Final = 64 * 1024**2
_READS: list[str] = []

FAULTS: Final = (
    "shouts_its_name", "claims_every_file", "drops_a_value", "gives_milliamperes", "forgets_the_file",
    "reverses_the_readings", "ignores_the_user", "writes_beside_the_file", "remembers_earlier_reads", "reads_anything",
    "needs_no_end", "lets_errors_through", "tells_no_row", "knows_its_process", "blames_the_file_for_memory",
)  # fmt: skip


@dataclass(frozen=True)
class ToyReader:
    fault: str = ""
    suffixes: tuple[str, ...] = (".toy",)

    @property
    def name(self) -> str:
        return "TOY" if self.fault == "shouts_its_name" else "toy"

    def recognises(self, sample: FileSample) -> bool:
        return sample.head.startswith(b"#TOY\n") or self.fault == "claims_every_file"

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        columns: dict[str, pa.Array] = {
            name: pa.array(values, READING.field(name).type)
            for name, values in zip(COLUMNS, self._rows(path, options.name), strict=True)
        }
        columns["step_index"] = pa.array([1] * len(columns["data_point"]), pa.int32())
        columns["date_time"] = pa.array(
            [START + timedelta(seconds=s) for s in columns["test_time(s)"].to_pylist()], pa.timestamp("us")
        )
        if self.fault == "reverses_the_readings":
            columns["data_point"] = columns["data_point"][::-1]
        if self.fault == "ignores_the_user":
            options = replace(options, cell_id=None)
        cell = options.cell_id or cell_id_of(options.name)
        file = "other" if self.fault == "forgets_the_file" else options.name
        test = Test.of(cell, file, columns, about=About(assumptions=("the file has no steps: all is one",)))
        if self.fault == "drops_a_value":
            place = READING.get_field_index("voltage(v)")
            nulls = pa.nulls(test.readings.num_rows, pa.float64())
            test = replace(test, readings=test.readings.set_column(place, READING.field(place), nulls))
        return Workbook(options.name, cell, (test,), self._notes(path))

    def _rows(self, path: Path, name: str) -> list[list[float]]:
        try:
            lines = path.read_bytes().decode("ascii", "replace").splitlines()
        except OSError as error:
            raise UnreadableWorkbookError(name, f"cannot be read: {error.strerror}") from None
        if self.fault == "reads_anything":
            return [[1.0], [0.0], [1.0], [0.5], [3.0]]
        if self.fault == "blames_the_file_for_memory":
            try:
                bytearray(_ALLOCATED_BYTES)
            except MemoryError:
                raise BadWorkbookError(name, "is too large") from None
        if lines[:1] != ["#TOY"] or (lines[-1] != "#END" and self.fault != "needs_no_end"):
            raise BadWorkbookError(name, "is truncated or no toy file; export it again")
        if self.fault == "needs_no_end":
            lines = [line for line in lines if len(line.split()) == len(COLUMNS)]
        rows = [self._row(name, number, line) for number, line in enumerate(lines, 1) if not line.startswith("#")]
        if self.fault == "gives_milliamperes":
            rows = [[*row[:3], 1000 * row[3], row[4]] for row in rows]
        return [list(values) for values in zip(*rows, strict=True)]

    def _row(self, name: str, number: int, line: str) -> list[float]:
        try:
            point, seconds, cycle, ampere, volt = map(float, line.split())
        except ValueError:
            if self.fault == "lets_errors_through":
                raise
            row = None if self.fault == "tells_no_row" else number
            raise BadWorkbookError(name, "is not five numbers; export it again", row=row) from None
        return [point, seconds, cycle, ampere, volt]

    def _notes(self, path: Path) -> tuple[str, ...]:
        if self.fault == "writes_beside_the_file":
            path.with_suffix(".cache").touch()
        if self.fault == "remembers_earlier_reads":
            _READS.append(path.name)
            return (f"read {len(_READS)} times",)
        return (f"read by process {os.getpid()}",) if self.fault == "knows_its_process" else ()


READER: Final = ToyReader()
BROKEN: Final = SimpleNamespace(**{fault: ToyReader(fault) for fault in FAULTS})


def toy(path: Path, *, rows: int = 40, line: str = "") -> Path:
    """Write a toy file; `line` takes the place of the third reading."""
    lines = [f"{point} {60.0 * point} 1 0.5 {3 + point / 100}" for point in range(1, rows + 1)]
    if line:
        lines[2] = line
    path.write_text("\n".join(["#TOY", *lines, "#END"]) + "\n")
    return path
