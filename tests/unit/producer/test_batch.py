"""Which reader a workbook of a batch is given, and what is said where that cannot be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer import batch as batch_module
from producer.batch import reader_for
from producer.files import Content, Refusal, WorkbookFile
from producer.readers.registry import ReaderClashError

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def workbook(path: Path, content: bytes = b"x") -> WorkbookFile:
    path.write_bytes(content)
    return WorkbookFile(Content.of(path), path.name, f"lab/{path.name}")


def test_a_workbook_is_read_by_the_reader_of_its_ending(tmp_path: Path) -> None:
    assert reader_for(workbook(tmp_path / "a.XLS")) == "producer.readers.arbin:READER"


def test_a_file_of_no_reader_is_told_by_its_content_and_remembered(tmp_path: Path) -> None:
    file = workbook(tmp_path / "download", b"%PDF-1.7")
    line = "lab/download: is a PDF; it holds no readings that can be published; leave it out"
    assert reader_for(file) == Refusal(line, file.content.sha256, file.on_record)


def test_a_file_that_two_readers_claim_is_refused_with_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def clash(_: Path, name: str) -> None:
        raise ReaderClashError(f"{name}: several readers claim this file: one and two")

    monkeypatch.setattr(batch_module, "reader_of", clash)
    file = workbook(tmp_path / "a.xlsx")
    line = "lab/a.xlsx: several readers claim this file: one and two"
    assert reader_for(file) == Refusal(line, file.content.sha256, file.on_record)


def test_a_file_that_is_gone_is_no_verdict_on_its_content(tmp_path: Path) -> None:
    file = workbook(tmp_path / "a.xlsx")
    file.content.path.unlink()
    refusal = reader_for(file)
    assert isinstance(refusal, Refusal)
    assert (refusal.line, refusal.sha256) == ("lab/a.xlsx: cannot be read: No such file or directory", None)
