"""What an error about a file says."""

from __future__ import annotations

from producer.readers.base import LONGEST, BadWorkbookError


def test_a_cell_of_megabytes_leaves_an_error_readable() -> None:
    said = str(BadWorkbookError("A.csv", f"{'7' * 2_000_000} is not a number; fix the cell", row=5))
    assert said.startswith("A.csv, row 5: 777")
    assert said.endswith("777 is not a number; fix the cell")
    assert len(said) < LONGEST + 50
