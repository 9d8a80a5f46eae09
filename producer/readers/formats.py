"""The formats that no reader reads, recognised by content, each with advice on how to publish its readings.

Only the first and the last kilobytes are read, and nothing is unpacked, since a file from outside may be anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kernel.base.plain import one_line
from producer.readers.mapping_file import columns_command
from producer.readers.sample import FileSample
from producer.readers.sheets.titles import NEEDED_TITLES

if TYPE_CHECKING:
    from pathlib import Path

_WITH_COLUMNS: Final = f"with the columns {', '.join(NEEDED_TITLES)} (the last two may be empty)"
_SAVE: Final = f"save its readings as an .xlsx workbook {_WITH_COLUMNS}"
_COMMAND: Final = columns_command("FILE")
_COLUMNS: Final = f"if it holds readings, {_COMMAND} proposes a mapping of its columns to read it by"
_NO_READINGS: Final = "it holds no readings that can be published; leave it out"


@dataclass(frozen=True)
class Format:
    """A format of files: its name with an article, and advice on how to have its readings published."""

    name: str
    advice: str

    def __str__(self) -> str:
        """Both in one line, to follow the file's name."""
        return f"is {self.name}; {self.advice}"

    def said_of(self, place: str, *, is_packed: bool = False) -> str:
        """The same, with the command that a person can paste where the advice has one.

        Args:
            place: where the file lies; of one in a ZIP or a packed file its name.
            is_packed: whether it has to be unpacked before the command finds it.

        >>> TEXT.said_of("run 7.csv", is_packed=True).partition("; ")[2][:65]
        "if it holds readings, unpack it: `battery columns 'run 7.csv'` pr"
        """
        command = f"{'unpack it: ' if is_packed else ''}{columns_command(one_line(place))}"
        return str(self).replace(_COMMAND, command)


def _unread(name: str, advice: str = _SAVE) -> Format:
    return Format(f"{name}, which has no reader yet", advice)


NDAX: Final = Format("a Neware .ndax file", "the reader neware-binary reads it")
OTHER_WORKBOOK: Final = Format("a workbook with another suffix", "save it as .xlsx")
EMPTY: Final = Format("empty", "export or copy it again")
TEXT: Final = Format("a text file of an unknown format", _COLUMNS)
UNKNOWN: Final = Format("of an unknown format", f"workbooks (.xlsx, .xls) and ZIPs of them are read; {_SAVE}")

_ZIP: Final = b"PK\x03\x04"
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_READ_SUFFIXES: Final = frozenset({".xlsx", ".xls", ".zip"})

_BY_FIRST_BYTES: Final[tuple[tuple[bytes, Format], ...]] = (
    (b"%PDF-", Format("a PDF", _NO_READINGS)),
    (b"\x89PNG", Format("a picture (PNG)", _NO_READINGS)),
    (b"\xff\xd8\xff", Format("a picture (JPEG)", _NO_READINGS)),
    (b"GIF8", Format("a picture (GIF)", _NO_READINGS)),
    (b"\x1f\x8b", Format("packed with gzip", "unpack it first")),
    (b"7z\xbc\xaf\x27\x1c", Format("a 7z archive", "unpack it, or pack it as a .zip")),
    (b"Rar!", Format("a RAR archive", "unpack it, or pack it as a .zip")),
    (b"\x89HDF\r\n", _unread("an HDF5 file (or a MATLAB file of version 7.3)")),
    (b"MATLAB 5.0 MAT-file", _unread("a MATLAB file")),
    (b"PAR1", Format("a Parquet file of unknown columns", _COLUMNS)),
    (b"ARROW1", _unread("an Arrow file")),
    (b"SQLite format 3", _unread("an SQLite database")),
)

_BY_FIRST_LINES: Final[tuple[tuple[str, Format], ...]] = (
    (r"\A\s*<(!doctype html|html)\b", Format("a web page, perhaps a server's error", "download the file itself")),
    (
        r"\A\s*<\?xml(?s:.)*urn:schemas-microsoft-com:office:spreadsheet",
        _unread("a spreadsheet in XML", "open it in a spreadsheet and save it as .xlsx"),
    ),
    (r"\A\s*<\?xml", Format("an XML file of an unknown format", f"if it holds readings, {_SAVE}")),
    (
        r"^(?=.*\bcycle[ _]?index)(?=.*\bdischarge[ _]?time)(?=.*\bv_?max[ _]on[ _]cycle)",
        Format("Arbin's statistics of cycles or steps", _NO_READINGS),
    ),
    (
        r"\A\s*[\[{]\s*[\]\"{]",
        Format("a JSON file", f"publish its readings to the topic, one object each, or {_SAVE}"),
    ),
)
_PATTERNS: Final = tuple((re.compile(pattern, re.IGNORECASE | re.MULTILINE), kind) for pattern, kind in _BY_FIRST_LINES)


def format_of(path: Path, *, name: str | None = None) -> str | None:
    """The format of a file that no reader reads, and advice, in one line to follow the file's name.

    None for a workbook or a ZIP, by both its suffix and its content.

    Args:
        path: where the file is.
        name: what it is called in the ZIP or packed file that it was unpacked from; None where it lies there itself.

    Raises:
        OSError: it cannot be read.
    """
    kind = recognise(FileSample.of(path))
    return None if kind is None else kind.said_of(name or str(path), is_packed=name is not None)


def recognise(sample: FileSample) -> Format | None:
    """The format of a file that no reader reads; None for a workbook or a ZIP, by both its suffix and its content."""
    head = sample.head
    if not head:
        return EMPTY
    if head.startswith((_ZIP, _OLE)):
        return _package(sample)
    for start, kind in _BY_FIRST_BYTES:
        if head.startswith(start):
            return kind
    if head[257:262] == b"ustar":
        return Format("a tar archive", "unpack it, or pack it as a .zip")
    return _text(sample)


def _package(sample: FileSample) -> Format | None:
    """The format of a ZIP or an old Office file; None if it may be a workbook."""
    head, tail = sample.head, sample.tail
    if head.startswith(_ZIP) and b".ndc" in head + tail and b"[Content_Types].xml" not in head + tail:
        return NDAX
    if sample.suffix in _READ_SUFFIXES:
        return None
    if head.startswith(_OLE):
        return Format("an Office file of an old kind", "if it is a workbook, save it as .xlsx")
    if b"[Content_Types].xml" in head + tail or b"opendocument.spreadsheet" in head:
        if b"word/document" in tail or b"ppt/" in tail:
            return Format("an Office document", _NO_READINGS)
        return OTHER_WORKBOOK
    return Format("a ZIP with another suffix", "rename it to .zip")


def _text(sample: FileSample) -> Format:
    text = sample.text
    if text is None:
        return UNKNOWN
    return next((kind for pattern, kind in _PATTERNS if pattern.search(text)), TEXT)
