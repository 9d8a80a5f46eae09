"""Arbin's .res files where mdbtools read them: a program of another process."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support.twins.arbin import RES_READINGS, followed, res_rows, write_res
from support.twins.cell import assert_same_cycles, twin_cell

from producer.readers.arbin_res import READER
from producer.readers.base import BadWorkbookError, ReadOptions

if TYPE_CHECKING:
    from pathlib import Path

CELL = twin_cell()
EXPORTER = """#!/bin/sh
[ -f "{folder}/$2" ] || {{ echo "$2 not found" >&2; exit 1; }}
while read -r line; do echo "$line"; done < "{folder}/$2"
"""


@pytest.fixture
def exporter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files a program named as that of mdbtools gives as tables, where access-parser is missing."""
    folder = tmp_path / "tables"
    folder.mkdir()
    program = folder / "mdb-export"
    program.write_text(EXPORTER.format(folder=folder))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "access_parser", None)
    return folder


def test_mdbtools_read_the_tables_where_the_library_cannot(tmp_path: Path, exporter: Path) -> None:
    titles = ",".join(f'"{title}"' for title, _ in RES_READINGS)
    lines = "\n".join(",".join(map(str, row)) for row in reversed(res_rows(CELL)))
    (exporter / "Channel_Normal_Table").write_text(f"{titles}\n{lines}\n")
    (exporter / "Global_Table").write_text('"Test_ID","Test_Name","Channel_Index"\n1,"Twin",12\n')
    path = write_res(tmp_path / "A.res", [], [])
    (test,) = READER.read(path, ReadOptions(path.name)).tests
    assert_same_cycles(followed(test), CELL, 1e-12)
    assert test.about.metadata == {"channel": "12", "test_name": "Twin"}


def test_what_mdbtools_cannot_read_is_refused_with_what_they_say(tmp_path: Path, exporter: Path) -> None:
    (exporter / "mdb-export").write_text("#!/bin/sh\necho 'no page 7' >&2; exit 1\n")
    path = write_res(tmp_path / "A.res", [], [])
    with pytest.raises(BadWorkbookError, match=r"A.res: is truncated or damaged \(mdb-export: no page 7\)"):
        READER.read(path, ReadOptions(path.name))
