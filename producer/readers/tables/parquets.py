"""Parquet files as tables: only the columns that names claim are read."""

from __future__ import annotations

from contextlib import contextmanager
from errno import ENOMEM
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq

from producer.readers.base import BadWorkbookError, UnreadableWorkbookError
from producer.readers.tables.table import Table
from producer.readers.tables.titles import TitleError, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from producer.readers.tables.titles import Column, Finder, Names

PARQUET: Final = b"PAR1"
"""How a Parquet file begins, and ends."""


@contextmanager
def open_parquet(path: Path, name: str) -> Iterator[pq.ParquetFile]:
    """Lend a Parquet file; what goes wrong while it is read becomes one line.

    Raises:
        BadWorkbookError: it is damaged, or no Parquet file.
        UnreadableWorkbookError: its disk does not give it.
        MemoryError: there is too little memory.
    """
    try:
        with path.open("rb") as file, pq.ParquetFile(file, pre_buffer=False) as parquet:
            yield parquet
    except UnicodeDecodeError as error:
        raise _damaged(name, error) from None
    except pa.ArrowException as error:
        if isinstance(error, MemoryError):
            raise
        raise _damaged(name, error) from None
    except OSError as error:
        if error.errno == ENOMEM:
            raise MemoryError from None
        if error.errno is None:  # Arrow's over content that it did not expect
            raise _damaged(name, error) from None
        raise UnreadableWorkbookError(name, f"cannot be read: {error.strerror or error}") from None


def _damaged(name: str, error: Exception) -> BadWorkbookError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return BadWorkbookError(name, f"is no Parquet file, or a damaged one ({reason}); export or copy it again")


def parquet_titles(path: Path, name: str) -> list[str]:
    """The names of the columns of a Parquet file, as it writes them.

    Raises:
        BadWorkbookError: as `open_parquet` does.
    """
    with open_parquet(path, name) as parquet:
        return list(parquet.schema_arrow.names)


def parquet_table(
    path: Path, name: str, names: Names | Finder, *, needed: Sequence[str]
) -> tuple[Table, dict[str, Column]]:
    """Read the columns of a Parquet file that names claim.

    Args:
        path: where the file is.
        name: what to call it in errors.
        names: what the format calls its columns.
        needed: quantities without which it holds no readings.

    Returns:
        The table, whose rows are numbered from 1, and for each quantity its column.

    Raises:
        BadWorkbookError: it is damaged, a needed column is missing, a column holds lists, or there is no row.
        UnreadableWorkbookError: its disk does not give it.
        MemoryError: there is too little memory.
    """
    with open_parquet(path, name) as parquet:
        titles = list(parquet.schema_arrow.names)
        try:
            found = columns_of(titles, names)
        except TitleError as error:
            raise BadWorkbookError(name, str(error), column=error.title) from None
        missing = [one for one in needed if one not in found]
        if missing:
            raise BadWorkbookError(
                name,
                f"has no column for {', '.join(one.replace('_', ' ') for one in missing)}, only "
                f"{', '.join(titles[:20])}; export it with these columns",
            )
        wanted = [column.title for column in found.values()]
        if not parquet.metadata.num_rows:
            raise BadWorkbookError(name, "has columns but no readings; export it again")
        read = parquet.read(columns=wanted, use_threads=False)
        columns = {title: _plain(read.column(title), title, name) for title in wanted}
    return Table(name, columns, first_row=1), found


def _plain(column: pa.ChunkedArray, title: str, name: str) -> pa.ChunkedArray:
    """A column as numbers, texts, times or durations, whatever Parquet stores it as."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        column = column.cast(pa.string())
        kind = column.type
    if pa.types.is_string(kind):
        column.validate(full=True)  # a damaged file has bytes that are no UTF-8
        return column
    if pa.types.is_boolean(kind):
        return column.cast(pa.int8())
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        return column.cast(pa.float64())
    if pa.types.is_date(kind):
        return column.cast(pa.timestamp("us"))
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.timestamp("us"))
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_timestamp(kind)
        or pa.types.is_duration(kind)
        or pa.types.is_null(kind)
    ):
        return column
    raise BadWorkbookError(
        name, f"holds values of the type {kind}; export it with numbers, texts or times", column=title
    )
