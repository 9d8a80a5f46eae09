"""The reader of Arbin's exports: .xlsx and .xls workbooks with a sheet for each channel, and texts.

Exports differ in detail from lab to lab; what is certain is the header. A workbook is judged whole before anybody
sees a row of it. The modules of `sheets/` do the work: `book` opens, `convert` makes columns, `channels` finds tests.
`arbin_text` reads texts.

What texts and other workbooks need is imported where one comes: that takes longer than a workbook takes to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from errno import ENOMEM
from typing import TYPE_CHECKING, Final

from kernel.base.plain import one_line
from producer.readers.base import (
    About,
    BadWorkbookError,
    FileSample,
    ReadOptions,
    Test,
    UnreadableWorkbookError,
    Workbook,
)
from producer.readers.names import cell_id_of
from producer.readers.sheets.book import OLE, ZIP, channel_sheets, names_channels, open_book
from producer.readers.sheets.channels import cell_of_channel, channels_of, run_together, tests_of
from producer.readers.sheets.convert import Book, joined, read_sheets
from producer.readers.sheets.info import said_of, stated
from producer.readers.sheets.parsed import ParsedSheets
from producer.readers.trace import Span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from producer.readers.sheets.convert import Columns
    from producer.readers.sheets.parsed import SheetReader


@dataclass(frozen=True)
class ArbinReader:
    """Reads .xlsx and .xls workbooks and text exports; see `producer.readers.base.Reader`.

    Every Office workbook comes here, since its sheets cannot be seen in its first and last bytes.
    """

    name: str = "arbin"
    suffixes: tuple[str, ...] = (".xlsx", ".xls")

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is an Office workbook by its first and last bytes, or a text with Arbin's titles."""
        return _is_workbook(sample) or _is_text(sample)

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a text, or every channel sheet of a workbook.

        Raises:
            BadWorkbookError: it is no export, has no readings, or a single cell of it cannot be taken; or it has none
                of the channels that `channel_cells` names, and no `cell_id` is given.
            UnreadableWorkbookError: its disk does not give it.
            UndatedWorkbookError: its dates may be in several orders.
        """
        if _is_text(_sample(path, options.name)):
            from producer.readers.arbin_text import read_text  # noqa: PLC0415

            return read_text(path, options, self.name)
        with open_book(path, options.name) as book:
            parsed = ParsedSheets(book, path)
            other = _other_reader(parsed)
            if other is not None:
                return other.read_sheets(parsed, options)
            sheets = read_sheets(Book(options.name, path, options.dates), channel_sheets(options.name, parsed))
            said = stated(book)
        tests = _tests(options, sheets, self.name, said)
        tests.sort(key=lambda test: (test.started_at, test.cell_id))
        notes = tuple(one_line(note) for columns in sheets for note in columns.notes)
        return Workbook(options.name, options.cell_id or cell_id_of(options.name), tuple(tests), notes)


def _is_workbook(sample: FileSample) -> bool:
    ends = sample.head + sample.tail
    is_xlsx = sample.head.startswith(ZIP) and b"[Content_Types].xml" in ends and b"xl/" in ends
    return is_xlsx or sample.head.startswith(OLE)


def _is_text(sample: FileSample) -> bool:
    if sample.head.startswith((ZIP, OLE)):
        return False
    from producer.readers.arbin_text import is_arbin_text  # noqa: PLC0415

    return is_arbin_text(sample)


def _sample(path: Path, name: str) -> FileSample:
    try:
        return FileSample.of(path)
    except OSError as error:
        if error.errno == ENOMEM:
            raise MemoryError from None
        raise UnreadableWorkbookError(name, f"cannot be read: {error.strerror or error}") from None


def _other_reader(sheets: ParsedSheets) -> SheetReader | None:
    """The reader that takes a workbook without a sheet that is named like a channel's; None where Arbin's has to."""
    if names_channels(sheets.names):
        return None
    from producer.readers.sheets.claims import BookHeads, other_reader  # noqa: PLC0415

    return other_reader(BookHeads(sheets))


READER: Final = ArbinReader()


def read_workbook(
    path: Path,
    *,
    name: str | None = None,
    cell_id: str | None = None,
    dates: str | None = None,
    channel_cells: Mapping[str, str] | None = None,
) -> Workbook:
    """Read an Arbin workbook in this process; see `ReadOptions` for what may be said of it.

    A bad file may take all memory or end this process; so what publishes reads in a child (`producer/spool.py`).

    Raises:
        BadWorkbookError: as `ArbinReader.read` does.
    """
    return READER.read(path, ReadOptions(name or path.name, cell_id, dates, channel_cells or {}))


def _tests(
    options: ReadOptions, sheets: Sequence[Columns], reader: str, said: Mapping[str, Mapping[str, str]]
) -> list[Test]:
    """The tests that some sheets fill, each with the cell that it is of and the channel that it ran in.

    Raises:
        BadWorkbookError: none of the channels that the user names is there.
    """
    spans = [sheet.span() for sheet in sheets]
    channels = channels_of([sheet.sheet for sheet in sheets], spans)
    sheets_of_tests = tests_of(channels, spans)
    of_test = [channels[test[0]] for test in sheets_of_tests]
    several = run_together(of_test, [Span(spans[test[0]].first, spans[test[-1]].last) for test in sheets_of_tests])
    cell_id, named = options.cell_id or cell_id_of(options.name), options.channel_cells
    cells = [cell_of_channel(channel, cell_id, named, several=several) for channel in of_test]
    if named and options.cell_id is None and not set(cells) & set(named.values()):
        wanted, present = " or ".join(named), ", ".join(dict.fromkeys(channels))
        raise BadWorkbookError(
            options.name,
            f"has no channel {wanted}, which --cell names, only {present}; name one of these, or the cell alone",
        )
    return [
        Test.of(
            cell,
            options.name,
            joined([sheets[sheet] for sheet in test]).arrays,
            channel="" if cell in named.values() else channel,
            about=About(
                reader,
                tuple(dict.fromkeys(line for sheet in test for line in sheets[sheet].assumed)),
                said_of(channel, said),
            ),
        )
        for cell, channel, test in zip(cells, of_test, sheets_of_tests, strict=True)
    ]
