"""Which reader reads a file: the one that the user, a mapping file or the content names."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from producer.files import Refusal
from producer.readers.formats import format_of
from producer.readers.registry import TABLE, ReaderClashError, reader_named, reader_of
from producer.readers.sample import FileSample

if TYPE_CHECKING:
    from producer.files import WorkbookFile

_OFFICE: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How an .xlsx and an .xls file begin."""


def reader_for(file: WorkbookFile, insisted: str | None = None) -> tuple[WorkbookFile, str | Refusal]:
    """A file as it is to be read, with the entry point of its reader, or why there is none.

    The reader that the user names comes first, then a mapping file that insists, then who recognises the content, then
    any other mapping file. One that is not used is left out; a workbook keeps it, as only its sheets tell whose it is.

    Raises:
        BatteryError: there is no reader of that name.
    """
    path, mapping = file.content.path, file.mapping
    if insisted is not None:
        return file, reader_named(insisted).entry_point
    try:
        registered = reader_named(TABLE) if mapping is not None and mapping.insists else reader_of(path, file.origin)
        if registered is not None:
            uses = registered.reader.name == TABLE or FileSample.of(path).head.startswith(_OFFICE)
            return file if uses else replace(file, mapping=None), registered.entry_point
        if mapping is not None:
            return file, reader_named(TABLE).entry_point
        kind = format_of(path, name=None if file.archive is None else file.name)
        return file, Refusal(f"{file.origin}: {kind or 'has no reader'}", file.version, file.on_record)
    except ReaderClashError as error:
        return file, Refusal(str(error), file.version, file.on_record)
    except OSError as error:
        return file, Refusal(f"{file.origin}: cannot be read: {error.strerror or error}", None, file.on_record)
