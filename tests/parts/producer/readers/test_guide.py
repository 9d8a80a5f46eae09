"""The guide to adding a reader: its example is a whole reader, and its test passes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from support.places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "data_point,test_time(s),date_time,step_index,cycle_index,current(a),voltage(v)"
ROWS = (
    "1,60,2024-03-01T09:01:00,1,1,0.5,3.1",
    "2,120,2024-03-01T09:02:00,1,1,0.5,3.2",
    "3,180,2024-03-01T09:03:00,1,1,0.5,3.3",
)


def test_the_reader_of_the_guide_keeps_the_promises_that_its_test_checks(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guides" / "add-a-reader.md").read_text()
    reader, test = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "example.py").write_text(reader)
    (tmp_path / "test_example.py").write_text(test)
    (tmp_path / "CELL_1.example").write_text("\n".join([HEADER, *ROWS, ""]))
    (tmp_path / "bad.example").write_text("\n".join([HEADER, *ROWS, "4,much,2024-03-01T09:04:00,1,1,0.5,3.3", ""]))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "test_example.py"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "PYTEST_ADDOPTS": ""},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^15 passed", done.stdout, re.MULTILINE), done.stdout
