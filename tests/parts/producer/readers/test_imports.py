"""What a process imports that reads one workbook and ends."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from support.cycling import cycled, workbook

if TYPE_CHECKING:
    from pathlib import Path


def test_reading_imports_nothing_that_takes_as_long_as_the_reading(tmp_path: Path) -> None:
    path = workbook(tmp_path / "A.xlsx", cycled(1))
    program = (
        "import sys, pathlib; from producer.readers.arbin import read_workbook; "
        "read_workbook(pathlib.Path(sys.argv[1])); "
        "print({'pandas', 'pyarrow.compute'} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"
