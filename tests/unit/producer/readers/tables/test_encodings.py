"""The bytes of a text as UTF-8: what stands before them, and what a disk gives of them."""

from __future__ import annotations

import os
from errno import EIO, ENOMEM
from pathlib import Path
from types import SimpleNamespace

import pytest

from producer.readers.base import UnreadableWorkbookError
from producer.readers.tables import encodings
from producer.readers.tables.encodings import PREAMBLE_BYTES, first_lines, read_utf8

ROWS = b"n,time,I,U\n" + b"1,0,0.5,3.5\n" * (PREAMBLE_BYTES // 6)


def read(path: Path) -> bytes:
    return bytes(memoryview(read_utf8(path, path.name)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_mark_at_the_beginning_is_no_part_of_the_text(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(ROWS.decode().encode(encoding))
    assert read(path) == ROWS


def test_a_file_that_became_shorter_while_it_was_read_has_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(ROWS)
    sizes = SimpleNamespace(fstat=lambda file: SimpleNamespace(st_size=os.fstat(file).st_size + 4096))
    monkeypatch.setattr(encodings, "os", sizes)
    assert read(path) == ROWS


@pytest.mark.parametrize(("number", "error"), [(ENOMEM, MemoryError), (EIO, UnreadableWorkbookError)])
def test_a_file_that_does_not_fit_into_memory_is_not_said_to_be_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(error):
        read_utf8(tmp_path / "a.csv", "a.csv")


def test_long_lines_are_as_many_as_short_ones() -> None:
    lines = [f"{at}{' ' * 2000}" for at in range(300)]
    content = "\n".join([*lines, "last", ""]).encode()
    assert first_lines(content, 300)[:300] == tuple(lines)
    assert first_lines(content, 400)[-2:] == ("last", "")
