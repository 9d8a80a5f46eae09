"""Stored Parquet, read back: the one place where bytes from an object store become rows.

They are decoded in the thread of the caller. If one of Arrow's own threads meets damaged bytes, its error may be caught
by nobody, and then the process aborts without a message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class DamagedObjectError(BatteryError):
    """An object is missing, or is not what was committed; the message names it and says what is wrong."""


def read_rows(data: bytes, key: str, *, rows: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of an object.

    Args:
        data: its bytes.
        key: its key, for messages.
        rows: how many rows it must have; None if that is not known.
        columns: which columns it must have; None if that is not known.

    Raises:
        DamagedObjectError: it is no whole Parquet file, or has other rows or columns.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(data), pre_buffer=False) as file:
            _require(key, file, rows, columns)
            return file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _no_parquet(key, error) from None


def read_groups(data: bytes, key: str, *, rows: int, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The same rows, a row group at a time, so that few of them are in memory.

    Args:
        data: its bytes.
        key: its key, for messages.
        rows: how many rows it must have.
        columns: which columns it must have.

    Raises:
        DamagedObjectError: as `read_rows` does; some groups may have been given by then.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(data), pre_buffer=False) as file:
            _require(key, file, rows, columns)
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _no_parquet(key, error) from None


def _no_parquet(key: str, error: Exception) -> DamagedObjectError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return DamagedObjectError(f"{key} is no whole Parquet file ({reason})")


def _require(key: str, file: pq.ParquetFile, rows: int | None, columns: Sequence[str] | None) -> None:
    """Compare the footer with the rows and columns that are expected."""
    row_count = file.metadata.num_rows
    if rows is not None and row_count != rows:
        raise DamagedObjectError(f"{key} holds {row_count} rows, not {rows}")
    names = file.schema_arrow.names
    if columns is not None and names != list(columns):
        odd = sorted(set(names) ^ set(columns)) or names
        raise DamagedObjectError(f"{key} has other columns than it should have: {', '.join(odd[:3])}")
