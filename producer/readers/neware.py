"""The reader of Neware's text and workbook exports: flat and layered texts of BTSDA, and workbooks of BTS and BTSDA.

Counters begin again with each step, which the data has to show; times may be those of the step alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from errno import ENOMEM
from typing import TYPE_CHECKING, Final

from producer.readers.base import BadWorkbookError, UnreadableWorkbookError, Workbook
from producer.readers.names import cell_id_of
from producer.readers.neware_names import (
    NAMES,
    NEEDED,
    STATES,
    head_of_layers,
    mended,
    names_cycles,
    names_records,
    require_times,
    titles_of,
    untold,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from producer.readers.base import ReadOptions, Test
    from producer.readers.record import Record
    from producer.readers.sample import FileSample
    from producer.readers.sheets.parsed import ParsedSheets
    from producer.readers.tables.texts import Text

_BOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_DETAIL: Final = re.compile(r"^\s*detail_\d+_\d+_\d+", re.IGNORECASE)
_PREAMBLE: Final = 30
"""So many lines may stand before the header of a text."""


@dataclass(frozen=True)
class NewareReader:
    """Reads Neware's text and workbook exports; see `producer.readers.base.Reader`.

    It recognises texts alone: what the sheets of a workbook hold cannot be seen in its first and last bytes, so
    whoever opens workbooks asks `claims_sheets`.
    """

    name: str = "neware"
    suffixes: tuple[str, ...] = ()

    def recognises(self, sample: FileSample) -> bool:
        """Tell whether a file is a text with the titles of Neware's records, flat or in layers."""
        text = sample.text
        if text is None:
            return False
        lines = text.split("\n")
        return _header(lines) is not None or _layers(lines) is not None

    def read(self, path: Path, options: ReadOptions) -> Workbook:
        """Read a text, or all channels of a workbook.

        Raises:
            BadWorkbookError: it has no records, a cell of it cannot be taken, or it has none of the channels that
                `channel_cells` names, and no `cell_id` is given.
            UnreadableWorkbookError: its disk does not give it.
            UndatedWorkbookError: its dates may be in several orders.
        """
        try:
            with path.open("rb") as file:
                is_book = file.read(4) in _BOOKS
        except OSError as error:
            if error.errno == ENOMEM:
                raise MemoryError from None
            raise UnreadableWorkbookError(options.name, f"cannot be read: {error.strerror or error}") from None
        if is_book:
            from producer.readers.sheets.book import open_book  # noqa: PLC0415  # the parent reads no file
            from producer.readers.sheets.parsed import ParsedSheets  # noqa: PLC0415

            with open_book(path, options.name) as book:
                return self.read_sheets(ParsedSheets(book, path), options)
        cell_id = options.cell_id or cell_id_of(options.name)
        return Workbook(options.name, cell_id, (self._text(path, options, cell_id),))

    def read_sheets(self, sheets: ParsedSheets, options: ReadOptions) -> Workbook:
        """Read all channels of an open workbook; see `producer.readers.sheets.parsed.SheetReader`."""
        from producer.readers.make import as_test  # noqa: PLC0415
        from producer.readers.neware_sheets import cells_of, read_channels  # noqa: PLC0415

        channels, stated = read_channels(sheets, options)
        cell_id, named = options.cell_id or cell_id_of(options.name), set(options.channel_cells.values())
        tests = [
            as_test(
                channel.record,
                cell,
                options.name,
                self.name,
                metadata=stated | ({"channel": channel.name} if channel.name else {}),
                channel="" if cell in named else channel.name,
            )
            for channel, cell in zip(channels, cells_of(channels, cell_id, options), strict=True)
        ]
        tests.sort(key=lambda test: (test.started_at, test.cell_id))
        return Workbook(options.name, cell_id, tuple(tests))

    def _text(self, path: Path, options: ReadOptions, cell_id: str) -> Test:
        from producer.readers.make import as_test  # noqa: PLC0415
        from producer.readers.neware_layers import read_layers, record_of_layers  # noqa: PLC0415
        from producer.readers.tables.texts import Text  # noqa: PLC0415

        text = Text.of(path, options.name)
        head = _layers(text.head)
        record = _flat_record(text, options) if head is None else record_of_layers(read_layers(text, head), options)
        return as_test(record, cell_id, options.name, self.name)


READER: Final = NewareReader()


def claims_sheets(headers: Iterable[tuple[str, Sequence[object]]]) -> bool:
    """Whether the sheets of a workbook, each with its name and first row, are those of a Neware export."""
    return any(names_records(header) or names_cycles(header) or _DETAIL.match(name) for name, header in headers)


def _header(lines: Sequence[str]) -> int | None:
    """The index of the header of a flat text."""
    for index, line in enumerate(lines[:_PREAMBLE]):
        if line[:1] not in {",", ";", "\t"} and names_records(titles_of(line)):
            return index
    return None


def _layers(lines: Sequence[str]) -> int | None:
    """The index of the first of the three headers of a text in layers."""
    return head_of_layers(lines[: _PREAMBLE + 2])


def _flat_record(text: Text, options: ReadOptions) -> Record:
    from producer.readers.neware_meaning import mend  # noqa: PLC0415
    from producer.readers.record import record_of  # noqa: PLC0415
    from producer.readers.tables.texts import read_table  # noqa: PLC0415

    header = _header(text.head)
    if header is None:
        raise BadWorkbookError(
            options.name,
            "has no header with Neware's titles (DataPoint, Step Type, Current(A), Voltage(V) and others); export the "
            "records with BTSDA",
        )
    lines = [mended(line) if index == header else line for index, line in enumerate(text.head)]
    table, found = read_table(replace(text, head=tuple(lines)), header, NAMES, needed=NEEDED)
    require_times(table, found)
    record = record_of(table, found, states=STATES, dates=options.dates, usual_dates="mdy")
    mend(record, untold(table.texts(found["state"].title)) if "state" in found else None)
    return record
