"""Readers that other packages bring: they are found, and what is wrong with one is said."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from kernel.base.errors import BatteryError
from producer.files import in_folder, is_publishable
from producer.readers.registry import (
    ReaderClashError,
    is_told_by_content,
    readable_suffixes,
    reader_named,
    reader_of,
    registered_readers,
)
from producer.readers.sample import FileSample

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Install = dict[str, str]

READER = """
class Reader:
    name = {name!r}
    suffixes = {suffixes!r}
    def recognises(self, sample):
        return sample.head.startswith({start!r})
    def read(self, path, options):
        raise NotImplementedError
READER = Reader()
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that packages are installed in, for as long as a test runs."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    modules = set(sys.modules)
    registered_readers.cache_clear()
    yield folder
    registered_readers.cache_clear()
    for module in set(sys.modules) - modules:
        del sys.modules[module]


def install(site: Path, package: str, content: str, entry: str = "READER") -> None:
    """Install a package of one module that registers a reader."""
    (site / f"{package}.py").write_text(content)
    metadata = site / f"{package}-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(f"[battery.readers]\n{package} = {package}:{entry}\n")


def source(name: str = "lab", suffixes: tuple[str, ...] = (".lab",), start: bytes = b"LAB") -> str:
    return READER.format(name=name, suffixes=suffixes, start=start)


def test_arbin_workbooks_have_a_reader() -> None:
    arbin = reader_named("arbin")
    assert (arbin.reader.name, arbin.entry_point, arbin.module) == (
        "arbin", "producer.readers.arbin:READER", "producer.readers.arbin",
    )  # fmt: skip
    assert arbin.package.startswith("battery-pipeline ")
    assert {".xlsx", ".xls"} <= set(readable_suffixes())


def test_endings_that_many_makers_use_say_nothing() -> None:
    assert not {suffix for suffix in readable_suffixes() if is_told_by_content(suffix)}
    assert [is_told_by_content(suffix) for suffix in (".csv", ".TXT", ".parquet", ".022", ".22", ".xlsx")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip


def test_a_reader_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(BatteryError, match=r"^there is no reader arbim; the readers are arbin, arbin-res, .*table$"):
        reader_named("arbim")


def test_a_reader_of_another_package_is_asked_for_its_files(site: Path, tmp_path: Path) -> None:
    install(site, "lab_reader", source())
    assert {"arbin", "lab"} <= {one.reader.name for one in registered_readers()}
    assert is_publishable(".LAB")
    folder = tmp_path / "inbox"
    folder.mkdir()
    by_ending, by_content = folder / "a.lab", folder / "b.xlsx"
    by_ending.write_bytes(b"")
    by_content.write_bytes(b"LAB of 2024")
    assert in_folder(folder).files == [by_ending, by_content]
    readers = [reader_of(path, path.name) for path in (by_ending, by_content)]
    assert [one and one.entry_point for one in readers] == ["lab_reader:READER", "lab_reader:READER"]


def test_a_file_that_no_reader_claims_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("notes")
    assert reader_of(tmp_path / "a.txt", "a.txt") is None


@pytest.mark.parametrize(("name", "content"), [("a.lab", b"LAB"), ("a.lab", b"?")])
def test_two_readers_that_claim_one_file_are_named_with_their_packages(
    site: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    install(site, "one_reader", source("one"))
    install(site, "two_reader", source("two"))
    (tmp_path / name).write_bytes(content)
    line = (
        r"^a\.lab: several readers claim this file: one \(one_reader 1\.2\) and two \(two_reader 1\.2\); uninstall all "
        "but one of them$"
    )
    with pytest.raises(ReaderClashError, match=line):
        reader_of(tmp_path / name, "a.lab")


def test_two_readers_of_one_name_are_an_error_that_names_their_packages(site: Path) -> None:
    install(site, "one_reader", source())
    install(site, "two_reader", source())
    with pytest.raises(
        BatteryError, match=r"^the reader lab is registered by one_reader 1\.2 and two_reader 1\.2; unin"
    ):
        registered_readers()


@pytest.mark.parametrize(
    ("content", "entry", "said"),
    [
        ("import a_module_that_is_missing", "READER", "cannot be loaded (ModuleNotFoundError: No module named"),
        ("raise RuntimeError('two\\nlines')", "READER", "cannot be loaded (RuntimeError: two"),
        ("", "READER", "cannot be loaded (AttributeError: "),
        (source().replace("suffixes", "endings"), "READER", "(lab_reader:READER) has no suffixes"),
    ],
)
def test_a_reader_that_cannot_be_loaded_is_one_line_that_names_its_package(
    site: Path, content: str, entry: str, said: str
) -> None:
    install(site, "lab_reader", content, entry)
    with pytest.raises(BatteryError) as caught:
        registered_readers()
    line = str(caught.value)
    assert line.startswith("the reader lab_reader of lab_reader 1.2 ")
    assert said in line
    assert line.endswith("; update or uninstall lab_reader 1.2")
    assert "\n" not in line


def test_an_installation_without_any_reader_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    registered_readers.cache_clear()
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **_: ())
    with pytest.raises(BatteryError, match=r"no reader of files is installed .* install battery-pipeline again"):
        registered_readers()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"t,u,i\n0,3.7,0.1\n", True),
        (b"a\n\nZeit;U;I\n0:00:01;3,7;0,1\n", True),
        (b't\tu\ti\n"1"\t"3.7"\t-1e-3\n', True),
        (b"PAR1\x00\x00", True),
        (b"On Monday, Tuesday, and on 5, 6 March, cells were warm; see above.\n", False),
        (b"# Title\n\n- one, two\n- 1, 2\n", False),
        (b"", False),
    ],
)
def test_a_table_is_told_from_a_letter(content: bytes, expected: bool) -> None:
    assert FileSample(".txt", content).may_be_table is expected
