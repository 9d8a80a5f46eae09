"""What was sent in the place of a refused reading: all of it, and not only the columns that the contract knows.

Only what is refused is looked up here: a message is read once more, whole, when the first of its rows is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
import pyarrow as pa

from kernel.contract.body import UndecodableError
from kernel.contract.json_body import json_rows
from kernel.contract.reading import ARROW_START, READING
from kernel.contract.show import python_row, show_bytes, show_row
from kernel.contract.unpack import read_plain
from kernel.contract.weight import Limits, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_JUDGED: Final = Limits(rows=2**31 - 1, size=2**62)
"""Whoever asks has read the message before, within the limits of the worker."""

_UNREADABLE: Final = (UndecodableError, TooLargeError, pa.ArrowException, OSError, ValueError, LookupError)


def sent_rows(value: bytes | None) -> Callable[[int], Mapping[str, object] | None]:
    """Whatever stood in a row of a message that has been read before; None where that is not known.

    Columns that are no single values are named with their type.
    """
    if value is None:
        return lambda _: None
    try:
        if value.startswith(ARROW_START):
            table, schema = read_plain(value, _JUDGED)
            nested = {field.name: f"({field.type})" for field in schema if field.name not in table.schema.names}
            return lambda row: {**python_row(table, row), **nested}
        rows = json_rows(value)
    except _UNREADABLE:
        return lambda _: None

    def member(row: int) -> Mapping[str, object] | None:
        row_value = rows[row] if row < len(rows) else None
        return row_value if isinstance(row_value, dict) else None

    return member


def sent_texts(value: bytes | None, rows: Sequence[int]) -> Sequence[str | None]:
    """The same of some rows as JSON text; None where the columns of the contract are all that there was.

    This is for readings that may have landed before, of which there may be very many.
    """
    if value is None:
        return [None] * len(rows)
    try:
        if not value.startswith(ARROW_START):
            return _members(value, rows)
        with pa.ipc.open_stream(pa.py_buffer(value)) as reader:
            only_contract = set(reader.schema.names) <= set(READING.names)
    except _UNREADABLE:
        return [None] * len(rows)
    if only_contract:
        return [None] * len(rows)
    sent = sent_rows(value)
    return [None if (row_values := sent(row)) is None else show_row(row_values) for row in rows]


def _members(value: bytes, rows: Sequence[int]) -> Sequence[str | None]:
    """Members of a JSON text as they stand there."""
    try:
        if value.lstrip()[:1] == b"{":
            msgspec.json.decode(value, type=msgspec.Raw)  # two bytes a character begin so as well
            return [show_bytes(value)] * len(rows)
        members = msgspec.json.decode(value, type=list[msgspec.Raw])
        return [show_bytes(bytes(members[row])) for row in rows]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # not quite JSON, such as with NaN
        sent = sent_rows(value)
        return [None if (row_values := sent(row)) is None else show_row(row_values) for row in rows]


class Sent:
    """What was sent in messages, m of them, each of which is read again when it is asked for."""

    def __init__(self, values: Sequence[bytes | None]) -> None:
        self._values = values
        self._latest: tuple[int, Callable[[int], Mapping[str, object] | None]] | None = None

    def row(self, message: int, row: int) -> Mapping[str, object] | None:
        """All that stood in a row of a message; None where that is not known."""
        if self._latest is None or self._latest[0] != message:  # whoever asks goes from message to message
            self._latest = message, sent_rows(self._values[message])
        return self._latest[1](row)

    def texts(self, message: int, rows: Sequence[int]) -> Sequence[str | None]:
        """As `sent_texts`, of a message."""
        return sent_texts(self._values[message], rows)
