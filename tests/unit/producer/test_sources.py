"""What a user may name, what is found there, and what is said where it is nothing."""

from __future__ import annotations

import os
import socket
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
        File(tmp_path / "a.xlsx", "a.xlsx", is_found=True),
    ]


BDF_TEXT = b"Test Time / s,Voltage / V,Current / A\n0,3.7,0.1\n"
TABLE = b"t,u,i\n0,3.7,0.1\n"


def found_in(folder: Path, *, insists: bool = False) -> tuple[list[str], list[str]]:
    """Names of the files of a folder that are read, and of those that are passed over."""
    found = find_files(str(folder), Settings(), insists=insists)
    others = [file.name for one in found if isinstance(one, PassedOver) for file, _ in one.files]
    return [one.origin for one in found if isinstance(one, File)], others


def test_texts_tables_and_numbered_files_of_a_folder_are_told_by_their_content(tmp_path: Path) -> None:
    for name in ("a.csv", "b.txt", "c.022", "d.dat"):
        (tmp_path / name).write_bytes(BDF_TEXT)
        (tmp_path / f"no_{name}").write_bytes(TABLE)
    (tmp_path / "e.log").write_bytes(BDF_TEXT)
    read, others = found_in(tmp_path)
    assert read == ["a.csv", "b.txt", "c.022", "d.dat"]
    assert others == ["e.log", "no_a.csv", "no_b.txt", "no_c.022", "no_d.dat"]


def test_a_mapping_file_makes_tables_readable_and_is_none_itself(tmp_path: Path) -> None:
    for name in ("a.csv", "b.log", "c.log", "sub/d.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(TABLE)
    (tmp_path / "mapping.yaml").write_text("columns: {}")
    (tmp_path / "b.log.mapping.yaml").write_text("columns: {}")
    (tmp_path / "notes.txt").write_text("On 3, 4 and 5 March, cells 7, 8 and 9 were\nwarm; see above.\n")
    assert found_in(tmp_path) == (["a.csv", "b.log"], ["c.log", "notes.txt", "sub/d.csv"])


def test_a_reader_that_is_insisted_on_is_given_every_table_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TABLE)
    (tmp_path / "b.log").write_bytes(TABLE)
    assert found_in(tmp_path, insists=True) == (["a.csv"], ["b.log"])


def test_packed_files_of_a_folder_are_opened_where_they_may_hold_readings(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "b.xlsx.bz2", "c.gz", "d.tar.gz", "e.zip.gz", "f.pdf.gz"):
        (tmp_path / name).write_bytes(b"x")
    read, others = found_in(tmp_path)
    assert (read, others) == (["a.csv.gz", "b.xlsx.bz2", "c.gz"], ["d.tar.gz", "e.zip.gz", "f.pdf.gz"])


def test_a_named_file_is_told_by_its_content_whatever_its_ending_is(tmp_path: Path) -> None:
    (tmp_path / "cell.log").write_bytes(BDF_TEXT)
    assert find_files(str(tmp_path / "cell.log"), Settings()) == [File(tmp_path / "cell.log", "cell.log")]


def test_a_file_that_becomes_readable_is_seen_as_it_is_now(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(TABLE)
    with pytest.raises(BadSourceError, match=r"a\.csv is a text file of an unknown format"):
        find_files(str(tmp_path / "a.csv"), Settings())
    (tmp_path / "a.csv").write_bytes(BDF_TEXT)
    assert found_in(tmp_path) == (["a.csv"], [])


def test_pipes_sockets_and_links_to_nothing_in_a_folder_are_passed_over(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.xlsx")
    (tmp_path / "nowhere.xlsx").symlink_to(tmp_path / "gone")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(tmp_path / "socket.xlsx"))
        assert in_folder(tmp_path) == ([], [], [])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", r"there is no nowhere; SOURCE is a file of a cycler, a \.zip"),
        ("x" * 300, "there is no x"),
        ("empty", "holds no file of readings and no ZIP$"),
        ("a.csv", "a.csv is empty; export or copy it again"),
        ("cell.pdf", "cell.pdf is a PDF; it holds no readings that can be published; leave it out"),
        ("notes", "notes is a text file of an unknown format; if it holds readings, `battery columns notes` proposes"),
        ("my notes", "if it holds readings, `battery columns 'my notes'` proposes a mapping of its columns"),
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
    (tmp_path / "my notes").write_text("nothing much")
    (tmp_path / "cell.pdf").write_bytes(b"%PDF-1.7")
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
