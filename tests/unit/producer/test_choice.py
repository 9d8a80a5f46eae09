"""Which reader a file is given, and what is said where that cannot be told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from kernel.base.errors import BatteryError
from producer import choice as choice_module
from producer.choice import reader_for
from producer.files import Content, Refusal, WorkbookFile
from producer.readers.mapping_file import MappingFile
from producer.readers.registry import ReaderClashError

if TYPE_CHECKING:
    from pathlib import Path

ARBIN, TABLE, BDF = (f"producer.readers.{name}:READER" for name in ("arbin", "mapped", "bdf"))
BDF_TEXT = b"Test Time / s,Voltage / V,Current / A\n0,3.7,0.1\n"
SHARED, OWN = MappingFile("mapping.yaml", "columns:"), MappingFile("a.csv.mapping.yaml", "columns:", insists=True)


def workbook(path: Path, content: bytes = b"x", mapping: MappingFile | None = None) -> WorkbookFile:
    path.write_bytes(content)
    return WorkbookFile(Content.of(path), path.name, f"lab/{path.name}", mapping=mapping)


def test_a_workbook_is_read_by_the_reader_of_its_ending(tmp_path: Path) -> None:
    assert reader_for(workbook(tmp_path / "a.XLS"))[1] == ARBIN


def test_a_file_of_no_reader_is_told_by_its_content_and_remembered(tmp_path: Path) -> None:
    file = workbook(tmp_path / "download", b"%PDF-1.7")
    line = "lab/download: is a PDF; it holds no readings that can be published; leave it out"
    assert reader_for(file) == (file, Refusal(line, file.content.sha256, file.on_record))


def test_an_unknown_table_is_answered_with_the_command_that_proposes_a_mapping(tmp_path: Path) -> None:
    _, refusal = reader_for(workbook(tmp_path / "run 7.csv", b"t,u,i\n0,3.7,0.1\n"))
    assert isinstance(refusal, Refusal)
    assert f"; if it holds readings, `battery columns '{tmp_path}/run 7.csv'` proposes a mapping" in refusal.line


def test_an_unknown_table_of_a_zip_is_to_be_unpacked_before_its_columns_are_asked_for(tmp_path: Path) -> None:
    file = workbook(tmp_path / "member-0.csv", b"t,u,i\n0,3.7,0.1\n")
    member = replace(file, name="run.csv", origin="lab.zip!raw/run.csv", archive=file.content)
    _, refusal = reader_for(member)
    assert isinstance(refusal, Refusal)
    assert "; if it holds readings, unpack it: `battery columns run.csv` proposes a mapping" in refusal.line


@pytest.mark.parametrize(
    ("content", "mapping", "reader", "is_used"),
    [
        (b"t,u,i\n0,3.7,0.1\n", SHARED, TABLE, True),
        (b"t,u,i\n0,3.7,0.1\n", OWN, TABLE, True),
        (BDF_TEXT, SHARED, BDF, False),
        (BDF_TEXT, OWN, TABLE, True),
    ],
    ids=["unknown-shared", "unknown-own", "known-shared", "known-own"],
)
def test_a_mapping_of_the_file_comes_before_its_content_and_one_of_the_folder_after(
    tmp_path: Path, content: bytes, mapping: MappingFile, reader: str, is_used: bool
) -> None:
    file, chosen = reader_for(workbook(tmp_path / "a.csv", content, mapping))
    assert (chosen, file.mapping) == (reader, mapping if is_used else None)


def test_what_a_refusal_is_of_changes_with_the_mapping(tmp_path: Path) -> None:
    without = workbook(tmp_path / "a.csv")
    versions = {without.version} | {
        workbook(tmp_path / "a.csv", mapping=mapping).version
        for mapping in (SHARED, MappingFile("mapping.yaml", "columns: {}"))
    }
    assert len(versions) == 3
    assert without.version == without.content.sha256


def test_the_reader_that_the_user_names_comes_first(tmp_path: Path) -> None:
    assert reader_for(workbook(tmp_path / "a.csv", BDF_TEXT, OWN), "arbin")[1] == ARBIN
    with pytest.raises(BatteryError, match=r"^there is no reader arbim; the readers are arbin, .*table"):
        reader_for(workbook(tmp_path / "a.csv"), "arbim")


def test_a_file_that_two_readers_claim_is_refused_with_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clash(_: Path, name: str) -> None:
        raise ReaderClashError(f"{name}: several readers claim this file: one and two")

    monkeypatch.setattr(choice_module, "reader_of", clash)
    file = workbook(tmp_path / "a.xlsx")
    line = "lab/a.xlsx: several readers claim this file: one and two"
    assert reader_for(file) == (file, Refusal(line, file.content.sha256, file.on_record))


def test_a_file_that_is_gone_is_no_verdict_on_its_content(tmp_path: Path) -> None:
    file = workbook(tmp_path / "a.xlsx")
    file.content.path.unlink()
    _, refusal = reader_for(file)
    assert isinstance(refusal, Refusal)
    assert (refusal.line, refusal.sha256) == ("lab/a.xlsx: cannot be read: No such file or directory", None)
