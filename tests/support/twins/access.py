"""Small Access databases (Jet 4), as much of one as holds tables of numbers and texts; no index, no memo.

The layout is that of the mdbtools project's HACKING: pages of 4096 bytes, of which page 2 defines the catalog.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PAGE: Final = 4096
CATALOG_PAGE: Final = 2
BYTE, SHORT, LONG, SINGLE, DOUBLE, TEXT = 2, 3, 4, 6, 7, 10
"""Types of columns."""

_FORMATS: Final = {BYTE: "<B", SHORT: "<h", LONG: "<i", SINGLE: "<f", DOUBLE: "<d"}
_DELETED: Final = 0x8000


@dataclass
class AccessTable:
    """A table to be written: `columns` are titles with types, `rows` have a value or None for each of them.

    `deleted` are indices of rows that are marked as deleted.
    """

    name: str
    columns: Sequence[tuple[str, int]]
    rows: Sequence[Sequence[Any]]
    deleted: Sequence[int] = ()


def write_access(path: Path, tables: Sequence[AccessTable], *, stated: int = 0) -> Path:
    """Write a database.

    Args:
        path: where.
        tables: what it holds.
        stated: by how many rows each table says that it has more than it has.
    """
    catalog = AccessTable(
        "MSysObjects",
        (("Id", LONG), ("Type", SHORT), ("Flags", LONG), ("Name", TEXT)),
        [],
    )
    pages: list[bytes] = [b"\0\1\0\0Standard Jet DB\0" + struct.pack("<I", 1), b"", b""]
    listed = [[CATALOG_PAGE, 1, -(2**31), "MSysObjects"]]
    for table in tables:
        listed.append([len(pages), 1, 0, table.name])
        pages += _table(table, len(pages), stated)
    first, *data = _table(AccessTable(catalog.name, catalog.columns, listed), CATALOG_PAGE, 0)
    pages[CATALOG_PAGE] = first
    pages += data
    path.write_bytes(b"".join(page.ljust(PAGE, b"\0") for page in pages))
    return path


def _table(table: AccessTable, page: int, stated: int) -> list[bytes]:
    """The page that defines a table, and those of its rows."""
    offset, fixed = 0, {}
    for title, kind in table.columns:
        if kind != TEXT:
            fixed[title] = offset
            offset += struct.calcsize(_FORMATS[kind])
    rows = len(table.rows) - len(table.deleted)
    varying = [kind for _, kind in table.columns].count(TEXT)
    count = len(table.columns)
    head = struct.pack("<HHI", 0x0102, 0, 0) + struct.pack("<IIIIIIII", 0, 0, rows + stated, 0, 0, 0, 0, 0)
    head += struct.pack("<BHHHIIII", 0x4E, count, varying, count, 0, 0, 0, 0)
    numbers = iter(range(varying))
    for index, (title, kind) in enumerate(table.columns):
        size = 500 if kind == TEXT else struct.calcsize(_FORMATS[kind])
        head += struct.pack("<BIHHH", kind, 0, index, next(numbers) if kind == TEXT else 0, index)
        head += struct.pack("<IHIHH", 0, 0x02 if kind == TEXT else 0x03, 0, fixed.get(title, 0), size)
    for title, _ in table.columns:
        name = title.encode("utf-16-le")
        head += struct.pack("<H", len(name)) + name
    if len(head) > PAGE:
        raise ValueError("a definition of one page is all that is written here")
    pages, records = [head], list[tuple[bytes, int]]()
    for index, row in enumerate(table.rows):
        record = _record(table.columns, row)
        room = PAGE - 14 - 2 * (len(records) + 1) - sum(map(len, (one for one, _ in records)))
        if len(record) > room:
            pages.append(_data(records, page))
            records = []
        records.append((record, _DELETED if index in table.deleted else 0))
    return [*pages, _data(records, page)] if records else pages


def _record(columns: Sequence[tuple[str, int]], row: Sequence[Any]) -> bytes:
    content, offsets, nulls = struct.pack("<H", len(columns)), [], 0
    texts = []
    for index, ((_, kind), value) in enumerate(zip(columns, row, strict=True)):
        nulls |= (value is not None) << index
        if kind == TEXT:
            texts.append("" if value is None else value)
        else:
            content += struct.pack(_FORMATS[kind], 0 if value is None else value)
    for text in texts:
        offsets.append(len(content))
        content += text.encode("utf-16-le")
    if texts:
        content += struct.pack("<H", len(content))
        content += b"".join(struct.pack("<H", offset) for offset in reversed(offsets))
        content += struct.pack("<H", len(texts))
    return content + nulls.to_bytes((len(columns) + 7) // 8, "little")


def _data(records: Sequence[tuple[bytes, int]], owner: int) -> bytes:
    """A page of rows, which stand from its end on."""
    end, offsets, content = PAGE, [], b""
    for record, flags in records:
        end -= len(record)
        offsets.append(end | flags)
        content = record + content
    head = struct.pack("<HHIIH", 0x0101, 0, owner, 0, len(records))
    head += b"".join(struct.pack("<H", offset) for offset in offsets)
    return head + bytes(end - len(head)) + content
