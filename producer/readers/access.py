"""Tables of Access databases, as columns.

access-parser finds the tables, their columns and their pages; numbers are then taken out of all records of a table at
once, since it makes Python objects of them one by one (some 4,000 records a second). Where it fails and mdbtools are
installed, those export the tables.
"""

from __future__ import annotations

import logging
import shutil
import struct
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from errno import ENOMEM
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import numpy as np
import pyarrow as pa
from pyarrow import csv

from kernel.base.extras import missing_extra
from kernel.base.plain import one_line
from producer.readers.base import BadWorkbookError, UnreadableWorkbookError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Columns: TypeAlias = "dict[str, Any]"
"""The columns of a table by their titles: arrays of numbers of shape (n,), or lists of texts."""

JET: Final = (b"Standard Jet DB", b"Standard ACE DB")
"""What stands behind the first four bytes of an Access database."""

EXPORTER: Final = "mdb-export"
"""The program of mdbtools that writes a table as text."""

_DTYPES: Final = {2: "u1", 3: "<i2", 4: "<i4", 6: "<f4", 7: "<f8", 8: "<f8"}
"""Types of columns of numbers, as Access numbers them, and as numpy calls them."""

_PAGE_BYTES: Final = 4096
_DEFINITION: Final = 0x0102
"""How a page begins that defines a table; the number of the next such page of the table stands behind it."""

_DELETED, _ELSEWHERE, _OFFSET = 0x8000, 0x4000, 0x1FFF
"""Flags of a record in a page's list, and the part that says where it begins."""


class Database(Protocol):
    """Where the tables of a file come from."""

    def table(self, name: str, *, is_text: bool = False) -> Columns | None:
        """The columns of a table in the order of the file; None where there is no such table.

        Args:
            name: its name.
            is_text: whether columns of texts are wanted; otherwise only those of numbers are read.
        """


@contextmanager
def open_database(path: Path, name: str) -> Iterator[Database]:
    """Lend the tables of an Access database; what goes wrong while they are read becomes one line.

    Raises:
        BadWorkbookError: it is none, it is damaged, or what reads it is not installed.
        UnreadableWorkbookError: its disk does not give it.
        MemoryError: there is too little memory.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
        size = path.stat().st_size
    except OSError as error:
        if error.errno == ENOMEM:
            raise MemoryError from None
        raise UnreadableWorkbookError(name, f"cannot be read: {error.strerror or error}") from None
    if not size:
        raise BadWorkbookError(name, "the file is empty; export or copy it again")
    if not head[4:].startswith(JET):
        raise BadWorkbookError(name, "is no Access database, as Arbin's .res is; export or copy it again")
    if size % 2048:
        raise BadWorkbookError(name, "is truncated or damaged (it ends within a page); export or copy it again")
    yield _Either(path, name)


class _Either:
    """Tables by access-parser, or by mdbtools from the first table on that it cannot give."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._parsed: _Parsed | None = None
        self._problem = ""

    def table(self, name: str, *, is_text: bool = False) -> Columns | None:
        if not self._problem:
            try:
                if self._parsed is None:
                    self._parsed = _Parsed.of(self._path)
                return self._parsed.table(name, is_text=is_text)
            except (MemoryError, BadWorkbookError):
                raise
            except ImportError:
                self._problem = str(missing_extra("reading Access databases, such as Arbin's .res,", "readers"))
            except Exception as error:  # noqa: BLE001  # of a damaged file it raises whatever comes
                self._problem = f"is truncated or damaged ({_reason(error)}); export or copy it again"
            self._parsed = None
        if shutil.which(EXPORTER) is None:
            raise BadWorkbookError(self._name, self._problem)
        return _exported(self._path, self._name, name)


def _reason(error: Exception) -> str:
    text = one_line(str(error).strip())
    return f"{type(error).__name__}: {text[:80]}" if text else type(error).__name__


@dataclass(frozen=True)
class _Parsed:
    """Tables by access-parser."""

    parser: Any

    @classmethod
    def of(cls, path: Path) -> _Parsed:
        # In the reading child alone, and of an extra.
        from access_parser import AccessParser  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415

        _require_ends(path)
        for logger in ("access_parser", "access_parser.utils"):
            logging.getLogger(logger).setLevel(logging.CRITICAL)  # it prints whole pages
        return cls(AccessParser(str(path)))

    def table(self, name: str, *, is_text: bool = False) -> Columns | None:
        if name not in self.parser.catalog:
            return None
        table = self.parser.get_table(name)
        if table is None:
            raise ValueError(f"{name} has no definition")
        columns = [*table.columns.values()]
        if is_text:
            return dict(table.parse())
        fixed = [column for column in columns if column.type in _DTYPES and column.column_flags.fixed_length]
        records = None if self.parser.page_size != _PAGE_BYTES else _records(table.table.linked_pages)
        if records is None:
            parsed = table.parse()
            found: Columns = {
                column.col_name_str: np.array(
                    [np.nan if value is None else value for value in parsed[column.col_name_str] or []], np.float64
                )
                for column in fixed
            }
        else:
            found = _numbers(table.table.linked_pages, records, fixed, table.table_header.column_count)
        stated, size = table.table_header.number_of_rows, len(next(iter(found.values()), ()))
        if size != stated:
            raise ValueError(f"{name} should have {stated} rows, and has {size}")
        return found


def _require_ends(path: Path) -> None:
    """Refuse definitions of tables whose pages lead back to one of them: the library would follow them for ever.

    Raises:
        ValueError: there are such.
    """
    following: dict[int, int] = {}
    with path.open("rb") as file:
        page = 0
        while content := file.read(256 * _PAGE_BYTES):
            heads = np.frombuffer(content[: len(content) // _PAGE_BYTES * _PAGE_BYTES], "<u4").reshape(
                -1, _PAGE_BYTES // 4
            )[:, :2]
            for at in np.flatnonzero((heads[:, 0] & 0xFFFF == _DEFINITION) & (heads[:, 1] != 0)).tolist():
                following[page + at] = int(heads[at, 1])
            page += len(heads)
    for start, next_page in following.items():
        seen, at = {start}, next_page
        while at in following and at not in seen:
            seen.add(at)
            at = following[at]
        if at in seen:
            raise ValueError(f"page {at} follows itself")


def _records(pages: list[bytes]) -> list[tuple[Any, Any]] | None:
    """Where the records of each page begin and end; None where one stands on another page."""
    found = []
    for page in pages:
        count = struct.unpack_from("<H", page, 12)[0]
        listed = np.frombuffer(page, "<u2", count, 14).astype(np.int64)
        if (listed & (_DELETED | _ELSEWHERE) == _ELSEWHERE).any():
            return None
        starts = listed & _OFFSET
        ends = np.concatenate(([len(page)], starts[:-1])) if count else starts
        kept = listed & _DELETED == 0
        if (starts > ends).any() or (starts < 14 + 2 * count).any():
            raise ValueError("a page's records overlap")
        found.append((starts[kept], ends[kept]))
    return found


def _numbers(pages: list[bytes], records: list[tuple[Any, Any]], columns: list[Any], count: int) -> Columns:
    """The numbers of some columns in all records, NaN where a cell is empty; each of shape (n,)."""
    null_bytes = (count + 7) // 8
    longest = 2 + max((column.fixed_offset + np.dtype(_DTYPES[column.type]).itemsize for column in columns), default=0)
    parts: dict[str, list[Any]] = {column.col_name_str: [] for column in columns}
    for page, (starts, ends) in zip(pages, records, strict=True):
        if not len(starts):
            continue
        if (ends - starts < longest + null_bytes).any():
            raise ValueError("a record is too short")
        content = np.frombuffer(page, np.uint8)
        nulls = content[(ends - null_bytes)[:, None] + np.arange(null_bytes)]
        for column in columns:
            dtype = np.dtype(_DTYPES[column.type])
            at = starts + 2 + column.fixed_offset
            values = content[at[:, None] + np.arange(dtype.itemsize)].copy().view(dtype)[:, 0]
            is_there = nulls[:, column.column_id // 8] >> (column.column_id % 8) & 1 == 1
            if dtype.kind == "f" or not is_there.all():
                with np.errstate(invalid="ignore"):  # damage may look like a NaN that signals
                    values = np.where(is_there, values.astype(np.float64), np.nan)
            parts[column.col_name_str].append(values)
    return {name: np.concatenate(values) if values else np.zeros(0, np.float64) for name, values in parts.items()}


def _exported(path: Path, file: str, name: str) -> Columns | None:
    """A table by mdbtools; dates of type Date are written as numbers by Arbin, so none are texts."""
    done = subprocess.run([shutil.which(EXPORTER) or EXPORTER, str(path), name], capture_output=True, check=False)
    if done.returncode or not done.stdout:
        reason = one_line(done.stderr.decode(errors="replace").strip())[:200]
        if "not found" in reason.casefold() or "does not exist" in reason.casefold():
            return None
        raise BadWorkbookError(file, f"is truncated or damaged ({EXPORTER}: {reason}); export or copy it again")
    table = csv.read_csv(BytesIO(done.stdout))
    found: Columns = {}
    for title in table.column_names:
        column = table.column(title)
        if pa.types.is_integer(column.type) and not column.null_count:
            found[title] = column.to_numpy()
        elif pa.types.is_string(column.type):
            found[title] = column.to_pylist()
        else:
            found[title] = np.array([np.nan if one is None else one for one in column.to_pylist()], np.float64)
    return found
