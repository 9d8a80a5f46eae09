"""What a user may name, what is found there, and what is said where it is nothing."""

from __future__ import annotations

import os
import socket
import zipfile
from typing import TYPE_CHECKING

import pytest

from kernel.base.settings import Settings
from producer.files import BadSourceError, File, PassedOver, Refusal, as_text, in_folder
from producer.sources import find_files

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_is_searched_through_and_lock_files_are_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    for name in ("b.xlsx", "a/c.xls", "a/~$c.xlsx", ".hidden/d.xlsx", "notes.txt", "e.zip"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    found = find_files(str(folder), Settings())
    assert [one.origin for one in found if isinstance(one, File)] == ["a/c.xls", "b.xlsx", "e.zip"]


def test_a_folder_that_cannot_be_looked_into_is_one_line_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "a.xlsx").touch()
    scandir = os.scandir

    def refusing(path: str) -> object:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied", path)  # as for a user without rights, which root is not
        return scandir(path)

    monkeypatch.setattr("producer.files.os.scandir", refusing)
    found = [one for one in find_files(str(tmp_path), Settings()) if not isinstance(one, PassedOver)]
    assert found == [
        Refusal(f"the folder {tmp_path}/closed cannot be opened: Permission denied"),
        File(tmp_path / "a.xlsx", "a.xlsx"),
    ]


def test_pipes_sockets_and_links_to_nothing_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.xlsx")
    (tmp_path / "nowhere.xlsx").symlink_to(tmp_path / "gone")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(tmp_path / "socket.xlsx"))
        assert in_folder(tmp_path) == ([], [], [])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "there is no nowhere; SOURCE is an .xlsx"),
        ("x" * 300, "there is no x"),
        ("empty", "holds no workbook"),
        ("a.csv", "a.csv is empty; export or copy it again"),
        ("cell.ndax", r"cell.ndax is a Neware \.ndax file, which has no reader yet; export the records to Excel"),
        ("notes", "notes is a text file of an unknown format; if it holds readings, save its readings as"),
        ("pipe.xlsx", "pipe.xlsx is neither a file nor a folder but a pipe or a device"),
        ("http://[::1/x.zip", "is not a complete URL"),
        ("http://127.0.0.1:99999/x.zip", "is not a complete URL"),
        ("http://", "is not a complete URL"),
    ],
)
def test_a_source_that_is_none_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").touch()
    (tmp_path / "notes").write_text("nothing much")
    with zipfile.ZipFile(tmp_path / "cell.ndax", "w") as archive:
        archive.writestr("data.ndc", b"x")
    os.mkfifo("pipe.xlsx")
    with pytest.raises(BadSourceError, match=said):
        find_files(source, Settings())


@pytest.mark.parametrize(
    "source", ["htps://ann:secret@lab.example/x.zip?key=secret", "https://ann:secret@:1:1/?secret"]
)
def test_a_source_that_is_none_is_named_without_its_secrets(source: str) -> None:
    with pytest.raises(BadSourceError) as caught:
        find_files(source, Settings())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Zelle ä.xlsx", "Zelle ä.xlsx"),
        ("caf\udce9.xlsx", "caf\ufffd.xlsx"),
        ("a\nb\x1b[31m.xlsx", "a\ufffdb\ufffd[31m.xlsx"),
        ("x" * 300 + ".xlsx", "x" * 195 + ".xlsx"),
    ],
)
def test_a_name_is_one_line_of_text_whatever_it_is_on_disk(name: str, shown: str) -> None:
    assert as_text(name) == shown
