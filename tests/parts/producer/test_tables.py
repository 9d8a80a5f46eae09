"""Tables of no known format in what is published: mapping files, readers that are insisted on, and cells of names."""

from __future__ import annotations

import gzip
import json
import threading
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from support.cycling import cycled, workbook
from support.twins import bdf, table
from support.twins.cell import twin_cell

from kernel.base.errors import BatteryError
from kernel.edges.file_records import FileRecords
from kernel.edges.objects import open_store
from producer.command import produce
from producer.inbox import watch_folder
from producer.publish import Options, Summary, publish
from producer.readers.mapping_file import MappingFile

if TYPE_CHECKING:
    from pathlib import Path

    from kernel.base.settings import Settings

CELL = twin_cell()
ROWS = len(CELL)


def notes(settings: Settings) -> list[dict[str, object]]:
    store = open_store(settings)
    return [json.loads(store.get(one.key)) for one in store.list("published/")]


def counted(summary: Summary) -> tuple[int, int, int, int]:
    """Files that were published, skipped, refused and passed over."""
    return summary.workbooks, summary.skipped, len(summary.failed), summary.others


def test_a_folder_of_tables_is_read_or_named_with_the_reason(settings: Settings, inbox: Path) -> None:
    bdf.write_csv(inbox / "CELL_1.bdf.csv", bdf.machine_columns(CELL))
    packed = bdf.write_csv(inbox / "CELL_2.csv", bdf.label_columns(CELL))
    (inbox / "CELL_2.csv.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    (inbox / "lab").mkdir()
    table.write_text(inbox / "lab" / "CELL_3.csv", table.columns_of(CELL))
    (inbox / "lab" / "mapping.yaml").write_text(table.MAPPING)
    table.write_text(inbox / "CELL_4.csv", table.columns_of(CELL))
    (inbox / "notes.txt.gz").write_bytes(gzip.compress(b"hello"))
    summary = publish(settings, [str(inbox)], Options())
    assert summary.failed == []
    assert sorted(summary.passed_over) == ["CELL_4.csv", "notes.txt.gz"]
    assert (summary.workbooks, summary.rows) == (3, 3 * ROWS)
    found = notes(settings)
    assert sorted((str(note["cell_id"]), str(note["reader"])) for note in found) == [
        ("CELL_1", "bdf"), ("CELL_2", "bdf"), ("CELL_3", "table"),
    ]  # fmt: skip
    assert [bool(note["mapping"]) for note in found if note["reader"] == "table"] == [True]
    reasons = {record.file: record.reason for record in FileRecords(open_store(settings)).all()}
    assert f"`battery columns {inbox / 'CELL_4.csv'}` proposes a mapping" in reasons["CELL_4.csv"]
    assert counted(publish(settings, [str(inbox)], Options())) == (0, 3, 0, 2)


def test_a_table_that_was_refused_is_read_again_once_a_mapping_is_there_or_is_mended(
    settings: Settings, inbox: Path
) -> None:
    path = table.write_text(inbox / "CELL_1.csv", table.columns_of(CELL))
    beside = inbox / "CELL_1.csv.mapping.yaml"
    watching = Options(leave_refused=True)
    beside.write_text(table.MAPPING.replace("unit: mV", "unit: mX"))
    (line,) = publish(settings, [str(path)], watching).failed
    assert line.startswith("CELL_1.csv: CELL_1.csv.mapping.yaml, line 4, columns.Spannung.unit: 'mX' is not one of V, ")
    assert publish(settings, [str(path)], watching).left_alone == [line]
    beside.write_text(table.MAPPING)
    assert counted(publish(settings, [str(path)], watching)) == (1, 0, 0, 0)
    assert FileRecords(open_store(settings)).all() == []


def test_a_mapping_that_changes_after_a_table_was_published_needs_again_and_that_is_said(
    settings: Settings, inbox: Path
) -> None:
    path = table.write_text(inbox / "CELL_1.csv", table.columns_of(CELL))
    (inbox / "mapping.yaml").write_text(table.MAPPING)
    assert counted(publish(settings, [str(path)], Options())) == (1, 0, 0, 0)
    (inbox / "mapping.yaml").write_text(table.MAPPING + "# as before\n")
    summary = publish(settings, [str(path)], Options())
    assert counted(summary) == (0, 1, 0, 0)
    assert summary.remarks == [
        "CELL_1.csv: skipped, it was published before mapping.yaml was as it is now; --again reads it by that"
    ]
    assert counted(publish(settings, [str(path)], Options(again=True))) == (1, 0, 0, 0)


def test_a_reader_is_insisted_on_and_another_one_later_needs_again(settings: Settings, inbox: Path) -> None:
    path = bdf.write_csv(inbox / "CELL_1.csv", bdf.machine_columns(CELL))
    (line,) = publish(settings, [str(path)], Options(reader="table")).failed
    assert (
        line == f"CELL_1.csv: is a table without a mapping file; `battery columns {inbox / 'CELL_1.csv'}` proposes one"
    )
    assert counted(publish(settings, [str(path)], Options(reader="bdf"))) == (1, 0, 0, 0)
    summary = publish(settings, [str(path)], Options(reader="table"))
    assert summary.remarks == ["CELL_1.csv: skipped, it was published as read by bdf; --again reads it by table"]


def test_a_mapping_of_the_command_is_for_all_files_and_one_of_the_settings_for_unknown_ones(
    settings: Settings, inbox: Path
) -> None:
    bdf.write_csv(inbox / "a.csv", bdf.machine_columns(CELL))
    table.write_text(inbox / "b.csv", table.columns_of(CELL))
    insisting = Options(mapping=MappingFile("m.yaml", table.MAPPING, insists=True))
    (line,) = publish(settings, [str(inbox)], insisting).failed
    assert line.startswith("a.csv: no line has all columns that m.yaml names")
    fallback = Options(mapping=MappingFile("m.yaml", table.MAPPING))
    assert counted(publish(settings, [str(inbox / "a.csv"), str(inbox / "b.csv")], fallback))[:2] == (1, 1)


def test_the_cell_is_found_in_a_files_name_or_path_by_a_pattern(settings: Settings, inbox: Path) -> None:
    (inbox / "LAB_9").mkdir()
    bdf.write_csv(inbox / "2024-03_C07_rt.csv", bdf.machine_columns(CELL))
    bdf.write_csv(inbox / "LAB_9" / "export.csv", bdf.label_columns(CELL))
    bdf.write_csv(inbox / "other.csv", bdf.minimal_columns(CELL))
    options = Options(cell_pattern=r"(?P<cell>C\d+|LAB_\d)")
    summary = publish(settings, [str(inbox)], options)
    assert summary.failed == [r"other.csv: (?P<cell>C\d+|LAB_\d) finds no cell in its name; rename it, or give --cell"]
    assert sorted(str(note["cell_id"]) for note in notes(settings)) == ["C07", "LAB_9"]
    assert counted(publish(settings, [str(inbox / "other.csv")], Options("X", cell_pattern="(?P<cell>Y)")))[0] == 1


def test_cells_of_a_column_are_published_each_as_its_own(settings: Settings, inbox: Path) -> None:
    columns = table.columns_of(CELL)
    columns["Zelle"] = ["A" if number < ROWS // 2 else "B" for number in range(ROWS)]
    path = table.write_text(inbox / "lab.csv", columns)
    (inbox / "lab.csv.mapping.yaml").write_text(table.MAPPING.replace("columns:\n", "columns:\n  Zelle: cell\n"))
    summary = publish(settings, [str(path)], Options())
    assert summary.remarks == ["lab.csv: it holds several cells: A, B; --cell NAME=ID names one"]
    (note,) = notes(settings)
    assert sorted(note["cells"]) == ["A", "B"]  # type: ignore[call-overload]


def test_a_workbook_that_no_reader_knows_is_read_by_the_mapping_of_its_folder(settings: Settings, inbox: Path) -> None:
    table.write_workbook(inbox / "CELL_1.xlsx", table.columns_of(CELL))
    workbook(inbox / "CELL_2.xlsx", cycled(1))
    (line,) = publish(settings, [str(inbox)], Options()).failed
    assert (
        line
        == f"CELL_1.xlsx: is a table without a mapping file; `battery columns {inbox / 'CELL_1.xlsx'}` proposes one"
    )
    (inbox / "mapping.yaml").write_text(table.MAPPING)
    assert counted(publish(settings, [str(inbox)], Options(leave_refused=True))) == (1, 1, 0, 0)
    assert {(note["cell_id"], note["reader"], bool(note["mapping"])) for note in notes(settings)} == {
        ("CELL_1", "table", True), ("CELL_2", "arbin", False),
    }  # fmt: skip


def test_an_inbox_reads_a_table_once_its_mapping_arrives(settings: Settings, inbox: Path) -> None:
    stop = threading.Event()
    watching = watch_folder(settings, inbox, Options(), stop)
    table.write_text(inbox / "CELL_1.csv", table.columns_of(CELL))
    assert next(watching).passed_over == ["CELL_1.csv"]
    (inbox / "writing").write_text(table.MAPPING)
    (inbox / "writing").rename(inbox / "mapping.yaml")
    while not (summary := next(watching)).workbooks:
        assert not summary.failed
    stop.set()
    assert FileRecords(open_store(settings)).all() == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--reader", "arbim"], "there is no reader arbim; the readers are arbin, "),
        (["--cell-pattern", "("], r"--cell-pattern '\(' is no regular expression"),
        (["--cell-pattern", "x"], r"--cell-pattern 'x' needs a group \(\?P<cell>"),
        (["--mapping", "nowhere.yaml"], "the mapping file nowhere.yaml cannot be read: No such file"),
        (["--mapping", "bad.yaml"], "bad.yaml, line 1, colums: is not known; the keys are columns, "),
    ],
)
def test_an_option_that_cannot_be_meant_is_one_line_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("colums: {}\n")
    with pytest.raises(BatteryError, match=rf"^{says}"):
        CliRunner().invoke(produce, ["a.csv", *arguments], obj=False, catch_exceptions=False)
