"""ZIPs from outside: what is unpacked of them, and what is refused without anything else being touched."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import struct
import zipfile
from typing import TYPE_CHECKING

import pytest

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from producer import archive as archive_module
from producer.archive import Unpacker
from producer.files import Content, File, PassedOver, Refusal, WorkbookFile
from producer.unzip import MEMORY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Find = Callable[..., list[WorkbookFile | Refusal | PassedOver]]


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def find(scratch: Path) -> Find:
    def run(path: Path, **limits: int) -> list[WorkbookFile | Refusal | PassedOver]:
        with Unpacker(Settings(**limits), scratch) as unpacker:  # type: ignore[arg-type]
            return list(unpacker.workbooks_of(File(path, path.name), Content.of(path)))

    return run


def zipped(path: Path, members: dict[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refused(found: list[WorkbookFile | Refusal | PassedOver]) -> list[str]:
    return [one.line for one in found if isinstance(one, Refusal)]


def contents(found: list[WorkbookFile | Refusal | PassedOver]) -> dict[str, bytes]:
    return {one.name: one.content.path.read_bytes() for one in found if isinstance(one, WorkbookFile)}


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_members_of_a_zip_are_unpacked_below_the_scratch_folder_alone(
    find: Find, scratch: Path, tmp_path: Path
) -> None:
    path = zipped(
        tmp_path / "set.zip", {"S/a.xlsx": b"one", "S/b.xlsx": b"two", "S/read.me": b"", "__MACOSX/c.xlsx": b""}
    )
    found = find(path)
    assert contents(found) == {"a.xlsx": b"one", "b.xlsx": b"two"}
    *workbooks, others = found
    assert isinstance(others, PassedOver)
    assert [file.name for file, _ in others.files] == ["set.zip!S/read.me"]
    for one in workbooks:
        assert isinstance(one, WorkbookFile)
        assert one.archive == Content.of(path)
        assert one.content == Content.of(one.content.path)
        assert one.content.path.is_relative_to(scratch)
    assert [one.origin for one in found if isinstance(one, WorkbookFile)] == ["set.zip!S/a.xlsx", "set.zip!S/b.xlsx"]


def test_a_member_is_unpacked_only_when_it_is_asked_for(scratch: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "set.zip", {f"{number}.xlsx": b"x" for number in range(5)})
    with Unpacker(Settings(), scratch) as unpacker:
        found = unpacker.workbooks_of(File(path, "set.zip"), Content.of(path))
        for number in range(1, 4):
            assert isinstance(next(found), WorkbookFile)
            assert len(list(scratch.rglob("member-*"))) == number


def test_a_member_named_with_backslashes_is_called_by_its_last_part(find: Find, tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(zipped(path, {"S/G_2_8_20_10.xlsx": b"x"}).read_bytes().replace(b"S/G_2", b"S\\G_2"))
    assert contents(find(path)) == {"G_2_8_20_10.xlsx": b"x"}


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_member_that_is_damaged_is_one_line_and_the_others_are_unpacked(
    find: Find, scratch: Path, tmp_path: Path, method: int
) -> None:
    path = zipped(tmp_path / "set.zip", {"a.xlsx": os.urandom(9_000), "b.xlsx": b"two"}, method)
    raw = bytearray(path.read_bytes())
    raw[60:160] = b"\xff" * 100
    path.write_bytes(raw)
    found = find(path)
    (line,) = refused(found)
    assert line.startswith("set.zip!a.xlsx: is damaged (")
    assert contents(found) == {"b.xlsx": b"two"}
    assert len(list(scratch.rglob("member-*"))) == 1


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
    "no text": ("a\n.xlsx", "has an unprintable name"),
}


@pytest.mark.parametrize("kind", UNSAFE)
def test_a_zip_with_an_unsafe_member_is_refused_whole(find: Find, scratch: Path, tmp_path: Path, kind: str) -> None:
    member, said = UNSAFE[kind]
    path = zipped(tmp_path / "set.zip", {"good.xlsx": b"x", member: b"y"})
    (line,) = refused(find(path))
    assert said in line
    assert files_in(scratch) == []


def test_a_zip_that_unpacks_beyond_the_limit_is_refused_before_it_is_unpacked(
    find: Find, scratch: Path, tmp_path: Path
) -> None:
    path = zipped(tmp_path / "bomb.zip", {"a.xlsx": b"\0" * 1_000_000})
    (line,) = refused(find(path, zip_max_bytes=999_999))
    assert line.endswith("unpacks to 1000000 bytes, more than ZIP_MAX_BYTES=999999")
    assert files_in(scratch) == []
    assert refused(find(path, zip_max_bytes=1_000_000)) == []


def test_a_workbook_of_a_zip_beyond_the_limit_is_refused_before_it_is_unpacked_and_the_others_are_not(
    find: Find, tmp_path: Path
) -> None:
    path = zipped(tmp_path / "bomb.zip", {"a.xlsx": b"\0" * 1_000_000, "b.xlsx": b"two"})
    found = find(path, workbook_max_bytes=999_999)
    assert refused(found) == ["bomb.zip!a.xlsx: unpacks to 1000000 bytes, more than WORKBOOK_MAX_BYTES=999999"]
    assert contents(found) == {"b.xlsx": b"two"}


def test_a_zip_that_lies_about_its_sizes_is_stopped(find: Find, scratch: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", {"a.xlsx": b"\0" * 3_000_000, "b.xlsx": b"two"})
    size = (3_000_000).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(size, (10).to_bytes(4, "little")))
    found = find(path, zip_max_bytes=1000)
    (line,) = refused(found)
    assert line.startswith("bomb.zip!a.xlsx: is damaged")
    assert sum(path.stat().st_size for path in files_in(scratch)) <= 1000
    assert contents(found) == {"b.xlsx": b"two"}


def with_a_large_dictionary(path: Path) -> Path:
    """A ZIP whose member asks for 4 GiB of memory to be unpacked with LZMA, as its header may say."""
    zipped(path, {"a.xlsx": b"x" * 100_000, "b.xlsx": b"two"}, zipfile.ZIP_LZMA)
    usual = lzma._encode_filter_properties({"id": lzma.FILTER_LZMA1})  # type: ignore[attr-defined]  # noqa: SLF001
    large = usual[:1] + struct.pack("<I", 2**32 - 1)
    path.write_bytes(path.read_bytes().replace(usual, large, 1))
    return path


def with_one_block(path: Path) -> Path:
    """A ZIP whose member unpacks to hundreds of megabytes from the first bytes that are read of it."""
    return zipped(path, {"a.xlsx": bytes(300 * 2**20), "b.xlsx": b"two"}, zipfile.ZIP_BZIP2)


@pytest.mark.parametrize("make", [with_a_large_dictionary, with_one_block])
def test_a_member_that_takes_much_memory_to_unpack_is_one_line_and_the_others_are_unpacked(
    find: Find, tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    found = find(make(tmp_path / "bomb.zip"))
    assert refused(found) == [f"bomb.zip!a.xlsx: takes more than {MEMORY_BYTES} bytes of memory to unpack"]
    assert contents(found) == {"b.xlsx": b"two"}


def test_a_zip_of_too_many_members_is_one_line(find: Find, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_module, "MEMORY_BYTES", 2**21)
    path = zipped(tmp_path / "bomb.zip", {f"{number}.xlsx": b"" for number in range(20_000)})
    assert refused(find(path)) == [f"bomb.zip: reading it took more than {2**21} bytes of memory; unpack it yourself"]


def test_an_encrypted_zip_is_refused(find: Find, tmp_path: Path) -> None:
    path = zipped(tmp_path / "set.zip", {"a.xlsx": b"x"})
    raw = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        raw[raw.index(mark) + place] |= 1
    path.write_bytes(raw)
    (line,) = refused(find(path))
    assert "is encrypted" in line


def test_a_broken_zip_is_one_line_wherever_it_was_cut(find: Find, tmp_path: Path) -> None:
    whole = zipped(tmp_path / "whole.zip", {"a.xlsx": b"x" * 1000}).read_bytes()
    path = tmp_path / "set.zip"
    for cut in range(0, len(whole), 8):
        path.write_bytes(whole[:cut])
        (line,) = refused(find(path))
        assert "is not a valid ZIP" in line
        assert "\n" not in line


def test_no_room_to_unpack_is_no_fault_of_the_zip(scratch: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "set.zip", {"a.xlsx": b"x"})
    with Unpacker(Settings(), scratch) as unpacker:
        list(unpacker.workbooks_of(File(path, "set.zip"), Content.of(path)))
        found: Iterator[object] = unpacker.workbooks_of(File(path, "set.zip"), Content.of(path))
        for one in scratch.iterdir():
            one.rename(tmp_path / one.name)
        scratch.rmdir()
        with pytest.raises(BatteryError, match=r"cannot unpack there, .*; TMPDIR names another place"):
            next(found)
        scratch.mkdir()


@pytest.mark.parametrize(
    ("name", "members", "is_workbook"),
    [
        ("download", {"[Content_Types].xml": b""}, True),
        ("download", {"a.xlsx": b""}, False),
        ("a.xlsx", {"a.xlsx": b""}, True),
        ("a.zip", {"[Content_Types].xml": b""}, False),
    ],
)
def test_what_a_file_is_is_told_by_its_name_or_else_by_its_content(
    scratch: Path, tmp_path: Path, name: str, members: dict[str | zipfile.ZipInfo, bytes], is_workbook: bool
) -> None:
    path = zipped(tmp_path / name, members)
    with Unpacker(Settings(), scratch) as unpacker:
        assert unpacker.is_workbook(File(path, name)) is is_workbook


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (
            {".hidden": b"", "lab/a.csv": b"t,u\n", "z.csv": b""},
            r"a\.zip holds no file of readings; it holds lab/a\.csv, z\.csv; lab/a\.csv: it is a text file of",
        ),
        ({"a.pdf": b"%PDF-1.7"}, r"a\.zip holds no file of readings; it holds a\.pdf; a\.pdf is a PDF; it holds no"),
        ({"other.zip": b"PK\x03\x04"}, r"a\.zip holds no file of readings; it holds other\.zip$"),
        ({}, r"a\.zip holds no file of readings; it holds no file at all$"),
    ],
)
def test_a_zip_without_a_workbook_is_named_by_what_it_holds(
    scratch: Path, tmp_path: Path, members: dict[str | zipfile.ZipInfo, bytes], said: str
) -> None:
    path = zipped(tmp_path / "a.zip", members)
    with Unpacker(Settings(), scratch) as unpacker:
        (refused,) = unpacker.workbooks_of(File(path, "a.zip"), Content.of(path))
    assert isinstance(refused, Refusal)
    assert re.match(said, refused.line)


def test_the_real_sample_zip_holds_six_workbooks(find: Find, shared_data: Path) -> None:
    assert len(contents(find(shared_data / "calce" / "CS2_35_sample.zip"))) == 6


BDF_TEXT = b"Test Time / s,Voltage / V,Current / A\n0,3.7,0.1\n1,3.6,0.1\n"
TABLE_TEXT = b"t,u,i\n0,3.7,0.1\n1,3.6,0.1\n"


def taken_from(scratch: Path, path: Path, *, is_found: bool = False, **settings: int) -> list[object]:
    with Unpacker(Settings(**settings), scratch) as unpacker:  # type: ignore[arg-type]
        return list(unpacker.workbooks_of(File(path, path.name, is_found), Content.of(path)))


def test_texts_in_a_zip_are_told_by_their_content_and_the_others_named(scratch: Path, tmp_path: Path) -> None:
    members: dict[str | zipfile.ZipInfo, bytes] = {
        "lab/a.csv": BDF_TEXT,
        "lab/b.022": BDF_TEXT,
        "c.txt": b"hello",
        "d.csv.gz": b"x",
        "e.pdf": b"%PDF-1.7",
    }
    one, two, others = taken_from(scratch, zipped(tmp_path / "a.zip", members))
    assert isinstance(one, WorkbookFile)
    assert isinstance(two, WorkbookFile)
    assert isinstance(others, PassedOver)
    assert [(file.name, file.origin) for file in (one, two)] == [
        ("a.csv", "a.zip!lab/a.csv"), ("b.022", "a.zip!lab/b.022"),
    ]  # fmt: skip
    reasons = {file.name: reason for file, reason in others.files}
    assert others.count == 3
    assert "it is a text file of an unknown format" in reasons["a.zip!c.txt"]
    assert "a packed file in a ZIP is not opened" in reasons["a.zip!d.csv.gz"]
    assert "files that end in .pdf are not read" in reasons["a.zip!e.pdf"]


def test_a_mapping_file_in_a_zip_is_for_its_folder_or_for_one_file(scratch: Path, tmp_path: Path) -> None:
    members: dict[str | zipfile.ZipInfo, bytes] = {
        "a/x.csv": TABLE_TEXT, "a/mapping.yaml": b"one", "a/y.csv": TABLE_TEXT, "a/y.csv.mapping.yaml": b"two",
        "b/z.csv": TABLE_TEXT, "b/w.log": TABLE_TEXT, "b/w.log.mapping.yaml": b"three",
    }  # fmt: skip
    found = taken_from(scratch, zipped(tmp_path / "a.zip", members))
    mappings = {one.name: one.mapping and one.mapping.text for one in found if isinstance(one, WorkbookFile)}
    assert mappings == {"x.csv": "one", "y.csv": "two", "w.log": "three"}
    (others,) = (one for one in found if isinstance(one, PassedOver))
    assert [file.name for file, _ in others.files] == ["a.zip!b/z.csv"]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_packed_file_is_opened_and_its_inner_name_counts(
    scratch: Path, tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"CELL_1.csv{suffix}"
    path.write_bytes(pack(BDF_TEXT))
    (file,) = taken_from(scratch, path)
    assert isinstance(file, WorkbookFile)
    assert (file.name, file.origin) == ("CELL_1.csv", f"CELL_1.csv{suffix}!CELL_1.csv")
    assert file.content.path.read_bytes() == BDF_TEXT
    assert file.on_record.place.endswith(f"CELL_1.csv{suffix}!CELL_1.csv")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv.gz", gzip.compress(bytes(100_000)), "a.csv.gz unpacks to more than WORKBOOK_MAX_BYTES=50000; split it"),
        ("a.csv.bz2", bz2.compress(bytes(100_000)), "a.csv.bz2 unpacks to more than WORKBOOK_MAX_BYTES=50000; split"),
        ("a.csv.gz", gzip.compress(BDF_TEXT)[:-9], "a.csv.gz is not a valid .gz file ("),
        ("a.csv.gz", b"hello", "a.csv.gz is not a valid .gz file (Not a gzipped file"),
        ("a.csv.bz2", b"hello", "a.csv.bz2 is not a valid .bz2 file (Invalid data stream)"),
        ("a.zip.gz", gzip.compress(b"PK"), "a.zip.gz holds a ZIP, which is not opened in turn; unpack it first"),
    ],
    ids=["large-gz", "large-bz2", "cut-gz", "no-gz", "no-bz2", "zip-in-gz"],  # gzip writes the time into its bytes
)
def test_a_packed_file_that_is_damaged_or_too_large_is_one_line(
    scratch: Path, tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    (refused,) = taken_from(scratch, tmp_path / name, workbook_max_bytes=50_000)
    assert isinstance(refused, Refusal)
    assert refused.line.startswith(says)
    assert "\n" not in refused.line
    assert [one for one in scratch.rglob("*") if one.is_file()] == []


def test_a_packed_file_without_readings_is_passed_over_where_it_was_found(scratch: Path, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt.gz"
    path.write_bytes(gzip.compress(b"hello"))
    (others,) = taken_from(scratch, path, is_found=True)
    assert isinstance(others, PassedOver)
    ((file, reason),) = others.files
    assert (file.name, others.count) == ("notes.txt.gz", 1)
    assert "text file of an unknown format" in reason
    (named,) = taken_from(scratch, path)
    assert isinstance(named, WorkbookFile)


def test_a_zip_that_is_one_file_of_readings_is_not_unpacked(scratch: Path, tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"Step.xml": b"x", "data.ndc": b"x"})
    with Unpacker(Settings(), scratch) as unpacker:
        assert unpacker.is_workbook(File(path, "a.zip"))
        assert not unpacker.is_workbook(File(zipped(tmp_path / "b.zip", {"a.xlsx": b"x"}), "b.zip"))
