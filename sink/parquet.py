"""Parquet that was stored, read back: the one place where bytes from an object store become rows.

They are decoded in the thread that asks. Where one of Arrow's own threads meets damaged bytes, what it raises may find
nobody to take it, and then the process aborts without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Sequence


class DamagedObjectError(BatteryError):
    """An object is missing, or is not what was committed; says which and how."""


def read_rows(data: bytes, key: str, *, rows: int | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of an object, which has `rows` of them and these `columns` where that is known of it.

    Raises:
        DamagedObjectError: it is no whole Parquet file, or holds other rows or columns.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(data), pre_buffer=False) as file:
            _require(key, file, rows, columns)
            return file.read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise DamagedObjectError(f"{key} is no whole Parquet file ({said})") from None


def _require(key: str, file: pq.ParquetFile, rows: int | None, columns: Sequence[str] | None) -> None:
    """Hold the footer against what is known."""
    found = file.metadata.num_rows
    if rows is not None and found != rows:
        raise DamagedObjectError(f"{key} holds {found} rows, not {rows}")
    names = file.schema_arrow.names
    if columns is not None and names != list(columns):
        odd = sorted(set(names) ^ set(columns)) or names
        raise DamagedObjectError(f"{key} has other columns than it should have: {', '.join(odd[:3])}")
