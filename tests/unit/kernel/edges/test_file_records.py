"""Files that were not taken, on record in the object store."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kernel.base.errors import BatteryError
from kernel.edges.file_records import FileRecords, FileState, SourceFile
from kernel.edges.objects import FolderStore

if TYPE_CHECKING:
    from pathlib import Path

BAD = SourceFile("bad.xlsx", "/inbox/bad.xlsx", "aaa")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


def test_a_record_says_which_file_when_how_often_and_why(store: FolderStore) -> None:
    FileRecords(store).refuse(BAD, "it is damaged", "CELL_1")
    FileRecords(store).refuse(BAD, "it is damaged", "CELL_1")
    (record,) = FileRecords(store).all()
    assert (record.file, record.cell_id, record.state, record.reason, record.count) == (
        "bad.xlsx", "CELL_1", FileState.REFUSED, "it is damaged", 2,
    )  # fmt: skip
    assert record.first_at is not None
    assert record.last_at is not None
    assert record.first_at <= record.last_at
    assert "bad.xlsx for cell CELL_1: refused" in str(record)
    assert "2 times since" in str(record)
    (found,) = store.list("files/")
    told = json.loads(store.get(found.key))
    assert set(told) >= {"file", "cell_id", "reason", "first_at", "last_at", "count"}
    assert told["last_at"].endswith("Z")


@pytest.mark.parametrize(
    ("taken", "is_settled"),
    [
        (SourceFile("bad.xlsx", "/inbox/bad.xlsx", "bbb"), True),  # mended in its place
        (SourceFile("good name.xlsx", "/inbox/good name.xlsx", "aaa"), True),  # taken under another name
        (SourceFile("bad.xlsx", "/inbox/other/bad.xlsx", "bbb"), False),  # another file of that name
    ],
)
def test_a_file_that_is_taken_is_no_longer_refused(store: FolderStore, taken: SourceFile, is_settled: bool) -> None:
    FileRecords(store).refuse(BAD, "it is damaged", None)
    FileRecords(store).take(taken)
    assert (FileRecords(store).all() == []) is is_settled


def test_what_was_dismissed_comes_back_with_another_content_or_reason(store: FolderStore) -> None:
    FileRecords(store).refuse(BAD, "it is damaged", None)
    FileRecords(store).dismiss(f"file:{BAD.id}")
    FileRecords(store).refuse(BAD, "it is damaged", None)
    assert [record.state for record in FileRecords(store).all()] == [FileState.DISMISSED]
    FileRecords(store).refuse(SourceFile(BAD.name, BAD.place, "bbb"), "it is damaged", None)
    assert [record.state for record in FileRecords(store).all()] == [FileState.REFUSED]
    with pytest.raises(BatteryError, match="no file file:0000 is on record"):
        FileRecords(store).dismiss("file:0000")


def test_files_that_are_passed_over_are_forgotten_when_they_are_gone(store: FolderStore) -> None:
    notes = SourceFile("notes.txt", "/inbox/notes.txt")
    other = SourceFile("x.txt", "/inbox2/x.txt")
    FileRecords(store).pass_over([(notes, "no workbook")], "/inbox/")
    FileRecords(store).pass_over([(other, "no workbook")], "/inbox2/")
    FileRecords(store).refuse(BAD, "it is damaged", None)
    FileRecords(store).pass_over([], "/inbox/")
    assert {(record.file, record.state) for record in FileRecords(store).all()} == {
        ("x.txt", FileState.PASSED_OVER),
        ("bad.xlsx", FileState.REFUSED),
    }


def test_notes_of_an_earlier_version_are_refused_files_until_they_are_taken_or_dismissed(store: FolderStore) -> None:
    store.put("refused/reader=0123/digest", b"old.xlsx: it is no sound ZIP; copy it again\n")
    store.put("refused/reader=4567/digest", b"old.xlsx: it is no sound ZIP; copy it again\n")
    store.put("refused/reader=0123/other", b"older.xlsx: it is empty\n")
    found = FileRecords(store).all()
    assert {(record.file, record.state, record.last_at) for record in found} == {
        ("old.xlsx", FileState.REFUSED, None),
        ("older.xlsx", FileState.REFUSED, None),
    }
    FileRecords(store).take(SourceFile("old.xlsx", "/inbox/old.xlsx", "ccc"), note="digest")
    (rest,) = FileRecords(store).all()
    assert "at an unknown time" in str(rest)
    FileRecords(store).dismiss(rest.id)
    assert FileRecords(store).all() == []


def test_a_record_that_is_damaged_is_a_refused_file_too(store: FolderStore) -> None:
    store.put("files/0123456789ab.json", b"{")
    (record,) = FileRecords(store).all()
    assert record.state is FileState.REFUSED
    assert "files/0123456789ab.json in the object store is damaged" in record.reason
    FileRecords(store).dismiss(record.id)
    assert [found.state for found in FileRecords(store).all()] == [FileState.DISMISSED]
