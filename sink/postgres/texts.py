"""Texts with NUL characters, which PostgreSQL does not store: they are escaped, and read as they were.

The escape is U+FFFE, which Unicode leaves to programs for themselves: NUL becomes U+FFFE `0`, and U+FFFE itself
becomes U+FFFE `1`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable

_ESCAPE: Final = "\ufffe"


def escape(rows: pa.Table) -> pa.Table:
    r"""The rows with all their texts as PostgreSQL can store them.

    >>> escape(pa.table({"payload": ["a\0b"]}))["payload"].to_pylist()
    ['a\ufffe0b']
    """
    return _each_text(rows, _escape)


def _each_text(rows: pa.Table, change: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> pa.Table:
    for index, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            rows = rows.set_column(index, field, change(rows.column(index)))
    return rows


def _escape(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    for found, put in ((_ESCAPE, f"{_ESCAPE}1"), ("\0", f"{_ESCAPE}0")):
        if pc.any(pc.match_substring(texts, found)).as_py():
            texts = pc.replace_substring(texts, found, put)
    return texts


def unescape(text: str) -> str:
    r"""A text of PostgreSQL as it was.

    >>> unescape("a\ufffe0b")
    'a\x00b'
    """
    return text.replace(f"{_ESCAPE}0", "\0").replace(f"{_ESCAPE}1", _ESCAPE) if _ESCAPE in text else text


def unescaped(column: str) -> str:
    """SQL of DuckDB that gives the texts of a column as they were.

    >>> unescaped("payload")
    "replace(replace(payload, chr(65534) || '0', chr(0)), chr(65534) || '1', chr(65534))"
    """
    return f"replace(replace({column}, chr(65534) || '0', chr(0)), chr(65534) || '1', chr(65534))"
