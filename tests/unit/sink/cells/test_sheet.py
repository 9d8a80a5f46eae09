"""Metadata of cells as a CSV file: written, read back unchanged, and refused with line and column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.base.errors import BatteryError
from kernel.base.plain import plain
from sink.cells.sheet import read_csv, to_csv

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.contract.cell_metadata import Value

KNOWN: dict[str, dict[str, Value]] = {
    "A;1": {"group": 'fast, "hot"', "mass_g": 0.1 + 0.2, "tags": ("a", "b"), "notes": "two\nlines; =1+1"},
    "B": {"lot": "007", "größe": "1,5"},
}


def test_what_is_written_is_read_back_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "cells.csv"
    file.write_text(to_csv(KNOWN), encoding="utf-8", newline="")
    assert read_csv(file).changes(clear=False) == KNOWN


letters = st.sampled_from("=+-@'\",;\t\n|# 01.eE") | st.characters(exclude_categories=["C", "Zl", "Zp"])
texts = st.text(letters, min_size=1, max_size=12).map(str.strip).filter(bool)


@given(
    st.dictionaries(
        texts.filter(lambda text: plain(text) == text),
        st.fixed_dictionaries({"notes": texts, "lot": texts}),
        min_size=1,
    )
)
def test_any_text_is_read_back_unchanged(
    tmp_path_factory: pytest.TempPathFactory, known: dict[str, dict[str, Value]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_text(to_csv(known), encoding="utf-8", newline="")
    assert read_csv(file).changes(clear=False) == known


def test_an_empty_cell_leaves_a_value_unless_it_is_to_clear_it(tmp_path: Path) -> None:
    file = tmp_path / "cells.csv"
    file.write_text("cell_id,group,mass_g\nA,,45\n\n,,\n")
    sheet = read_csv(file)
    assert sheet.empty_count == 1
    assert sheet.changes(clear=False) == {"A": {"mass_g": 45.0}}
    assert sheet.changes(clear=True) == {"A": {"group": None, "mass_g": 45.0}}


def test_a_file_that_a_spreadsheet_wrote_may_have_a_mark_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    file = tmp_path / "cells.csv"
    file.write_bytes(b"\xef\xbb\xbfCell_ID;Cell_Group;mass_g;tags\r\nA;fast;45,5;a, b\r\n")
    assert read_csv(file).changes(clear=True) == {"A": {"group": "fast", "mass_g": 45.5, "tags": ("a", "b")}}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "line 1: no column cell_id"),
        (b"group\nA\n", "line 1: no column cell_id"),
        (b"cell_pattern,group\nA*,x\n", "line 1: cell_pattern is no column"),
        (b"cell_id,mass\nA,1\n", "line 1: mass is not a column with a meaning, but close to mass_g"),
        (b"cell_id,group,cell_group\nA,1,2\n", "line 1: the column group is there twice"),
        (b"cell_id,group\nA,x,y\n", "line 2: 3 fields, but the header has 2"),
        (b"cell_id,group\nA,x\nA,y\n", "line 3: cell A is there twice"),
        (b"cell_id,mass_g\nA,1\nB,heavy\n", "line 3: mass_g: 'heavy' is no number"),
        (b'cell_id,group\nA,"x\n', "line 2: a quotation mark is opened and not closed"),
        (b"cell_id,group\n,\n", "names no cell: below its header there is no line"),
        (b"cell_id,group,\nA,x,y\n", "line 2: 3 fields, but the header has 2"),
        (b"\n\ncell,group\nA,x\n", "line 3: no column cell_id"),
        (b"cell_id,group\n,x\n", "line 2: a cell's id has"),
        (b"cell_id,notes\nA,gr\xfcn\n", "is not UTF-8 text"),
    ],
)
def test_a_file_is_refused_with_the_line_that_is_wrong(tmp_path: Path, content: bytes, complaint: str) -> None:
    file = tmp_path / "cells.csv"
    file.write_bytes(content)
    with pytest.raises(BatteryError, match=complaint):
        read_csv(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BatteryError, match=r"none\.csv cannot be read: No such file"):
        read_csv(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "content",
    [
        b"cell_id\tgroup\tmass_g\nA\tfast\t45,5\n",
        b"sep=;\r\ncell_id;group;mass_g\r\nA;fast;45,5\r\n",
        b"\xef\xbb\xbfSEP=,\ncell_id,group,mass_g\nA,fast,45.5\n",
        b"cell_id,group,mass_g,,\nA,fast,45.5,,\n,,,,\n",
        b"cell_id,group,mass_g\nA,fast,45.5,,\n",
        b"\n,,\ncell_id,group,mass_g\nA,fast,45.5\n",
    ],
    ids=["tabs", "separator line", "mark and separator line", "empty columns", "longer line", "empty lines above"],
)
def test_a_file_is_read_as_spreadsheets_write_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "cells.csv"
    file.write_bytes(content)
    assert read_csv(file).changes(clear=True) == {"A": {"group": "fast", "mass_g": 45.5}}


def test_what_a_spreadsheet_would_compute_is_written_as_text_and_read_back(tmp_path: Path) -> None:
    known: dict[str, dict[str, Value]] = {
        "=cmd|'/c calc'!A1": {"group": "@SUM(1)", "temperature_c": -5.0, "tags": ("=1", "a")},
        "-5": {"notes": "'=1", "group": "-7.5", "lot": "'quoted'"},
    }
    text = to_csv(known)
    assert text.splitlines()[1:] == ["'=cmd|'/c calc'!A1,'@SUM(1),-5,\"'=1, a\",,", "-5,-7.5,,,''=1,'quoted'"]
    file = tmp_path / "cells.csv"
    file.write_text(text, encoding="utf-8", newline="")
    assert read_csv(file).changes(clear=False) == known
