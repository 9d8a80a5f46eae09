"""How refused readings and messages are shown as text, for the quarantine and for details."""

from __future__ import annotations

import json
import math
import reprlib
from typing import TYPE_CHECKING, Final

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAYLOAD_CHARS: Final = 64 * 1024
"""Most characters of a refused message that the quarantine keeps; the log has the rest."""

QUOTED_CHARS: Final = 80
"""Most characters of a bad value that a detail quotes."""

_BRIEF: Final = reprlib.Repr()
"""Shows any value, however long or deeply nested."""
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = QUOTED_CHARS


def python_row(readings: pa.RecordBatch | pa.Table, row: int) -> dict[str, object]:
    """One row as Python values; what Python cannot hold, such as a clock in the year 300,000, as text."""
    return {name: python_value(readings.column(index)[row]) for index, name in enumerate(readings.schema.names)}


def python_value(scalar: pa.Scalar) -> object:
    """One value as Python has it; what Python cannot hold as text."""
    kind = scalar.type
    try:
        # Arrow would make nanoseconds an object of pandas where there is pandas, and of Python where there is none.
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            return scalar.cast(pa.timestamp("us", kind.tz), safe=False).as_py()
        if pa.types.is_duration(kind) and kind.unit == "ns":
            return scalar.cast(pa.duration("us"), safe=False).as_py()
        return scalar.as_py()
    except (ValueError, OverflowError, LookupError, pa.ArrowException):
        return f"{scalar.type} {getattr(scalar, 'value', '')}".strip()


def show_row(row: Mapping[str, object]) -> str:
    """A refused reading as JSON text for the quarantine; values that JSON does not know become text."""
    shown = {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
        if value is not None
    }
    return show_json(shown)[:PAYLOAD_CHARS]


def show_rows(rows: Sequence[Mapping[str, object]]) -> str:
    """The same of several, as a list where there is more than one; no more of them than fit."""
    if len(rows) == 1:
        return show_row(rows[0])
    texts, left = [], PAYLOAD_CHARS
    for row in rows:
        texts.append(show_row(row))
        left -= len(texts[-1])
        if left < 0:
            break
    return f"[{', '.join(texts)}]"[:PAYLOAD_CHARS]


def show_json(value: object) -> str:
    """A value as JSON text; one that was decoded may still be nested too deeply to be written again."""
    try:
        return json.dumps(value, default=str)
    except RecursionError:
        return json.dumps(_BRIEF.repr(value))


def show_bytes(value: bytes | None) -> str | None:
    """A message's bytes as text; what is no text is shown as hexadecimal digits."""
    if value is None:
        return None
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\\x" + value[: PAYLOAD_CHARS // 2].hex()
    return text.replace("\x00", "\ufffd")[:PAYLOAD_CHARS]


def quoted(value: object) -> str:
    """A bad value as a detail quotes it: at most `QUOTED_CHARS` characters."""
    return _BRIEF.repr(value)[:QUOTED_CHARS]


def first_line(error: BaseException) -> str:
    """The first line that an error says, or the name of its class where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
