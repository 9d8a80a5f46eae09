"""Messages that are JSON: an object or an array of them, or many messages of one good reading each in one pass."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import astuple

from kernel.contract.body import NO_FLAGS, NO_READINGS, Body, Fault, UndecodableError
from kernel.contract.reading import READING_NULLABLE, Reason
from kernel.contract.show import PAYLOAD_CHARS, first_line, show_json
from kernel.contract.values import read_columns

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from kernel.contract.weight import Limits

_JSON_TYPES: Final[dict[pa.DataType, set[type]]] = {
    pa.string(): {str, type(None)},
    pa.float64(): {float, int, type(None)},
    pa.int64(): {int, type(None)},
    pa.int32(): {int, type(None)},
    pa.timestamp("us"): {str, type(None)},
}
"""Kinds of JSON values that a column takes as they are."""

_KINDS: Final[dict[pa.DataType, Any]] = {
    pa.string(): str | None,
    pa.float64(): float | None,
    pa.int64(): Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None,
    pa.int32(): Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)] | None,
    pa.timestamp("us"): str | None,
}

_SINGLE: Final = msgspec.json.Decoder(
    msgspec.defstruct(
        "_Single",
        [(f"column_{index}", _KINDS[field.type], None) for index, field in enumerate(READING_NULLABLE)],
        rename={f"column_{index}": field.name for index, field in enumerate(READING_NULLABLE)},
        gc=False,
    )
)

_ZONED: Final = r"^([12]\d{3}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?)(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$"
"""A clock with a zone, whose wall time counts."""

_CACHED: Final = 1_000
"""Messages that are read at a time: as many as a processor's cache holds, with all that becomes of them."""


def read_json(value: bytes, limits: Limits) -> Body:
    """Read a JSON object, or an array of them; unknown fields are ignored, numbers may be strings.

    Raises:
        UndecodableError: it is no JSON.
        TooLargeError: it is beyond the limits.
    """
    limits.require_json(value)
    if value.count(b",") >= limits.rows:  # each row but the last has one behind it
        with suppress(msgspec.DecodeError, RecursionError):  # which is told below
            limits.require_rows(len(msgspec.json.decode(value, type=list[msgspec.Raw])))
    rows = json_rows(value)
    limits.require_rows(len(rows))
    no_objects = [index for index, row in enumerate(rows) if not isinstance(row, dict)]
    objects: list[Mapping[str, object]] = [row if isinstance(row, dict) else {} for row in rows]

    def values(name: str) -> list[object]:
        return [row.get(name) for row in objects]

    def column(field: pa.Field) -> pa.Array:
        items = values(field.name)
        if set(map(type, items)) - _JSON_TYPES[field.type]:  # Arrow would cut 1.5 to 1 and take true for 1
            raise pa.ArrowInvalid("not all of one kind")
        return (
            pa.array(items, pa.string()).cast(field.type)
            if pa.types.is_timestamp(field.type)
            else pa.array(items, field.type)
        )

    body = read_columns(len(rows), column, values, lambda row: objects[row])
    if not no_objects:
        return body
    keep = ~np.isin(body.rows, np.asarray(no_objects, dtype=np.int32))
    faults = tuple(
        Fault(row, Reason.UNDECODABLE, "a reading is a JSON object", show_json(rows[row])[:PAYLOAD_CHARS])
        for row in no_objects
    )
    return Body(
        body.readings.filter(pa.array(keep)), body.rows[keep], body.value_dropped[keep], (*body.faults, *faults)
    )


def json_rows(value: bytes) -> list[object]:
    """What a JSON text holds: the members of an array, or the one thing that it is.

    Raises:
        UndecodableError: it is no JSON.
    """
    try:
        decoded: object = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            decoded = json.loads(value)  # Python's own encoder writes NaN, which is not JSON
        except (ValueError, RecursionError) as error:
            raise UndecodableError(f"not JSON: {first_line(error)}") from None
    except RecursionError:
        raise UndecodableError("not JSON: nested too deeply") from None
    return decoded if isinstance(decoded, list) else [decoded]


def decode_uniform_json(values: Sequence[bytes | None], limits: Limits) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
    """Read in one pass those JSON messages that hold one reading whose values are all of their columns' types.

    Args:
        values: what the messages hold, n of them.
        limits: what each of them may come to.

    Returns:
        Their readings in order, and which of the messages those are, shape (n,). `read_json` would read them alike, and
        is who says what the others hold.
    """
    longest = limits.longest_json
    short = [value if value is None or len(value) <= longest else None for value in values]
    parts = [_read_some(short[start : start + _CACHED]) for start in range(0, len(short), _CACHED)]
    return (
        pa.concat_batches([NO_READINGS, *(readings for readings, _ in parts)]),
        np.concatenate([NO_FLAGS, *(usable for _, usable in parts)]),
    )


def _read_some(values: Sequence[bytes | None]) -> tuple[pa.RecordBatch, npt.NDArray[np.bool_]]:
    read = _SINGLE.decode
    usable = np.ones(len(values), dtype=np.bool_)
    rows = []
    for index, value in enumerate(values):
        try:
            rows.append(astuple(read(value)))  # type: ignore[arg-type]  # None is refused as any other value
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, TypeError):
            usable[index] = False
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(READING_NULLABLE)
    arrays, readable = [], np.ones(len(rows), dtype=np.bool_)
    for field, column in zip(READING_NULLABLE, columns, strict=True):
        if pa.types.is_timestamp(field.type):
            array, readable = _clocks(pa.array(column, pa.string()))
        else:
            array = pa.array(column, field.type)
        arrays.append(array)
    readings = pa.RecordBatch.from_arrays(arrays, schema=READING_NULLABLE)
    if not readable.all():
        readings = readings.filter(pa.array(readable))
        usable[np.flatnonzero(usable)[~readable]] = False
    return readings, usable


def _clocks(texts: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Read time stamps, and tell which could be read as they are; the others are null."""
    kind = pa.timestamp("us")
    readable = np.ones(len(texts), dtype=np.bool_)
    with suppress(pa.ArrowInvalid):
        return texts.cast(kind), readable
    texts = pc.replace_substring_regex(texts, _ZONED, r"\1")
    with suppress(pa.ArrowInvalid):
        return texts.cast(kind), readable
    for index, text in enumerate(texts):
        try:
            text.cast(kind)
        except pa.ArrowInvalid:
            readable[index] = False
    return pc.if_else(pa.array(readable), texts, None).cast(kind), readable
