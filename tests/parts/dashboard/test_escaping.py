"""Text from outside is shown letter by letter, wherever pages, figures and spreadsheets would act on it."""

from __future__ import annotations

import csv
import io
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
import streamlit
from streamlit.testing.v1 import AppTest
from support.aged import CELL, cycles_table, notes
from support.fleet_figures import compare, fleet
from support.pipeline import Pipeline

from dashboard.escaping import in_figure, literal, spreadsheet_safe
from dashboard.view import downloads
from kernel.base.settings import Settings
from kernel.edges.file_records import FileRecords, SourceFile
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path


def test_markdown_is_shown_as_it_was_written_and_code_stays_code() -> None:
    assert literal("![x](javascript:1) <b>:red[a]") == r"!\[x\](javascript:1) \<b>\:red\[a\]"
    assert literal("a *b* _c_ $d$ :material/home: &lt;") == r"a \*b\* \_c\_ \$d\$ \:material/home: \&lt;"
    assert literal("cell :red at 13:44") == r"cell \:red at 13:44"  # a directive, which shows nothing
    assert literal("WAREHOUSE=/data/my_lab/a-b.duckdb: held") == "WAREHOUSE=/data/my_lab/a-b.duckdb: held"
    assert literal("run `battery stream --until-end`") == "run `battery stream --until-end`"
    assert literal("a\nb\u202ec") == r"a\\nb\\u202ec"


def test_a_cell_s_name_is_no_markup_of_a_figure() -> None:
    evil = '<a href="http://evil">x</a>%{x}'
    assert in_figure("CS2_35") == "CS2_35"
    wild: list[Any] = [0.999] * 30
    wild[3] = 30.0
    cycles = cycles_table(cell=evil, coulombic_efficiency=wild)
    cells = [{**CELL, "cell_id": evil}]
    for drawn in (
        compare(cycles, cells, "ce", "cycle", {}),
        compare(cycles, cells, "capacity", "cycle", {}, groups={evil: evil}),
        fleet(cells, cycles, "cycle", [evil], {}),
        fleet(cells, cycles, "cycle", [], {}),
    ):
        assert drawn is not None
        for line in drawn.data:
            shown = [line.name, line.hovertemplate, *(line.text or [])]
            if line.customdata is not None:
                shown += list(line.customdata)
            assert "<a" not in " ".join(map(str, shown))
            assert "%{x}" not in line.hovertemplate
        assert "<a" not in notes(drawn)


@pytest.mark.parametrize(
    ("text", "saved"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("-5", "-5"),
        ("+1.5e-3", "+1.5e-3"),
        ("CS2_35", "CS2_35"),
        ("a=1", "a=1"),
        ("", ""),
        (None, None),
    ],
)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_text_that_a_spreadsheet_would_compute_begins_with_an_apostrophe(
    text: str | None, saved: str | None, kind: pa.DataType
) -> None:
    table = pa.table({"text": pa.array([text]).cast(pa.string()).cast(kind), "number": [-5.0]})
    assert spreadsheet_safe(table).to_pylist() == [{"text": saved, "number": -5.0}]


def test_a_table_is_downloaded_so_that_a_spreadsheet_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    offered: dict[str, Any] = {}
    monkeypatch.setattr(streamlit, "download_button", lambda label, data, *_, **__: offered.update({label: data}))
    downloads(pa.table({"cell_id": ["=HYPERLINK(1)", "-1"], "soh": [-0.5, None]}), "cells")
    rows = list(csv.reader(io.StringIO(offered["CSV"]().decode())))
    assert rows == [["cell_id", "soh"], ["'=HYPERLINK(1)", "-0.5"], ["-1", ""]]


@pytest.fixture
def landed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    """A pipeline in which nothing has landed, nobody's broker, and the settings of a page."""
    streamlit.cache_resource.clear()
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    pipeline = Pipeline(tmp_path, 1)
    for setting in Settings.model_fields:
        if setting.upper() in pipeline.environment:
            monkeypatch.setenv(setting.upper(), pipeline.environment[setting.upper()])
    with open_warehouse(pipeline.settings).connect("make the tables") as connection:
        create_tables(connection)
    return pipeline


def stream_page() -> AppTest:
    streamlit.cache_resource.clear()
    drawn = AppTest.from_string("from dashboard.pages import stream; stream.show_page()", default_timeout=60).run()
    assert not drawn.exception
    return drawn


def test_nothing_has_been_refused_is_said_where_neither_a_row_nor_a_file_was(landed: Pipeline) -> None:
    assert [box.value for box in stream_page().success] == ["Nothing has been refused."]
    file = SourceFile("=bad[x](javascript:1).xlsx", "/inbox/bad.xlsx", "aaa")
    FileRecords(open_store(landed.settings)).refuse(file, "it is no sound workbook", "CELL_1")
    drawn = stream_page()
    assert not drawn.success
    assert any("1 file has been refused" in box.value for box in drawn.warning)
    (row,) = next(table for table in drawn.dataframe if "state" in table.value).value.to_dict("records")
    assert (row["file"], row["cell_id"], row["reason"], row["state"], row["count"]) == (
        "'=bad[x](javascript:1).xlsx", "CELL_1", "it is no sound workbook", "refused", 1,
    )  # fmt: skip
    FileRecords(open_store(landed.settings)).dismiss(row["id"])
    assert [box.value for box in stream_page().success] == ["Nothing has been refused."]


def test_refused_files_are_shown_before_anything_has_landed(landed: Pipeline) -> None:
    (landed.folder / "battery.duckdb").unlink()
    FileRecords(open_store(landed.settings)).refuse(SourceFile("a.xlsx", "/a.xlsx"), "it is empty", None)
    drawn = stream_page()
    assert any("state" in table.value for table in drawn.dataframe)


def test_a_store_that_does_not_answer_is_no_reason_to_say_that_nothing_was_refused(
    landed: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    (landed.folder / "file").touch()
    monkeypatch.setenv("OBJECT_STORE", f"file://{landed.folder / 'file' / 'objects'}")
    monkeypatch.setattr("dashboard.landing.open_to_look", open_store)
    drawn = stream_page()
    assert not drawn.success
    assert any("Which files were refused is unknown" in box.value for box in drawn.warning)
