from __future__ import annotations

import stat
import zipfile
from typing import TYPE_CHECKING

import pytest

from producer.sources import BadSourceError, Found, find_files, workbooks_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Find = Callable[..., list[Found]]


@pytest.fixture
def find(tmp_path: Path) -> Find:
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def run(source: Path | str, limit: int = 1 << 30) -> list[Found]:
        files = find_files(str(source), tmp_path / "downloads")
        return [found for file in files for found in workbooks_of(file, scratch, limit)]

    return run


def zipped(path: Path, members: dict[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_folder_is_searched_through_and_lock_files_are_passed_over(find: Find, tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    for name in ("b.xlsx", "a/c.xls", "a/~$c.xlsx", ".hidden/d.xlsx", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    zipped(folder / "e.zip", {"in/f.xlsx": b"y"})
    assert [found.origin for found in find(folder)] == ["a/c.xls", "b.xlsx", "e.zip!in/f.xlsx"]


def test_members_of_a_zip_are_unpacked_below_the_scratch_folder_alone(find: Find, tmp_path: Path) -> None:
    path = zipped(
        tmp_path / "set.zip", {"S/a.xlsx": b"one", "S/b.xlsx": b"two", "S/read.me": b"", "__MACOSX/c.xlsx": b""}
    )
    first, second = find(path)
    assert (first.name, first.path.read_bytes(), first.archive) == ("a.xlsx", b"one", path)
    assert second.path.read_bytes() == b"two"
    assert {found.path.is_relative_to(tmp_path / "scratch") for found in (first, second)} == {True}


def test_a_member_named_with_backslashes_is_called_by_its_last_part(find: Find, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(zipped(path, {"S/G_2_8_20_10.xlsx": b"x"}).read_bytes().replace(b"S/G_2", b"S\\G_2"))
    assert [found.name for found in find(path)] == ["G_2_8_20_10.xlsx"]


def test_a_member_that_cannot_be_unpacked_is_one_line(find: Find, tmp_path: Path) -> None:
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        path = tmp_path / "set.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("a.xlsx", bytes(range(256)) * 40)
        raw = bytearray(path.read_bytes())
        raw[60:160] = b"\xff" * 100
        path.write_bytes(raw)
        with pytest.raises(BadSourceError, match="is no sound ZIP"):
            find(path)


def linked() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("a.xlsx")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


UNSAFE: dict[str, tuple[str | zipfile.ZipInfo, str]] = {
    "parent": ("../a.xlsx", "points outside"),
    "inner parent": ("x/../../a.xlsx", "points outside"),
    "absolute": ("/etc/a.xlsx", "points outside"),
    "drive": ("C:/a.xlsx", "points outside"),
    "backslash": ("..\\a.xlsx", "points outside"),
    "link": (linked(), "is a link"),
    "no text": ("a\n.xlsx", "has a name that is no text"),
}


@pytest.mark.parametrize("kind", UNSAFE)
def test_a_zip_with_an_unsafe_member_is_refused_whole(find: Find, tmp_path: Path, kind: str) -> None:
    member, said = UNSAFE[kind]
    path = zipped(tmp_path / "set.zip", {"good.xlsx": b"x", member: b"y"})
    with pytest.raises(BadSourceError, match=said):
        find(path)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [path]


def test_a_zip_that_unpacks_beyond_the_limit_is_refused_before_it_is_unpacked(find: Find, tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", {"a.xlsx": b"\0" * 1_000_000})
    with pytest.raises(BadSourceError, match="unpacks to 1000000 bytes, more than ZIP_MAX_BYTES=999999"):
        find(path, 999_999)
    assert find(path, 1_000_000)


def test_a_zip_that_lies_about_its_sizes_is_stopped(find: Find, tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", {"a.xlsx": b"\0" * 3_000_000})
    size = (3_000_000).to_bytes(4, "little")
    raw = path.read_bytes()
    path.write_bytes(raw.replace(size, (10).to_bytes(4, "little")))
    with pytest.raises(BadSourceError, match="ZIP"):
        find(path, 1000)


def test_an_encrypted_zip_is_refused(find: Find, tmp_path: Path) -> None:
    path = zipped(tmp_path / "set.zip", {"a.xlsx": b"x"})
    raw = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        raw[raw.index(mark) + place] |= 1
    path.write_bytes(raw)
    with pytest.raises(BadSourceError, match="is encrypted"):
        find(path)


def test_a_broken_zip_is_one_line(find: Find, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(zipped(tmp_path / "whole.zip", {"a.xlsx": b"x" * 1000}).read_bytes()[:60])
    with pytest.raises(BadSourceError, match="is no sound ZIP"):
        find(path)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere", "there is no nowhere; SOURCE is an .xlsx"),
        ("x" * 300, "there is no x"),
        ("empty", "holds no workbook"),
        ("a.csv", "neither"),
        ("http://[::1/x.zip", "is no complete URL"),
        ("http://127.0.0.1:99999/x.zip", "is no complete URL"),
        ("http://", "is no complete URL"),
    ],
)
def test_a_source_that_is_none_is_named(
    find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").touch()
    with pytest.raises(BadSourceError, match=said):
        find(source)


def test_the_real_sample_zip_holds_six_workbooks(find: Find, shared_data: Path) -> None:
    assert len(find(shared_data / "calce" / "CS2_35_sample.zip")) == 6
