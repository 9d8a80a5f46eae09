"""What a lab knows of a cell that no file says: columns with a meaning, and free ones by name.

A change travels as one message on a topic of its own (BATTERY_CELLS_TOPIC): the key is the cell, the value a JSON
object with all that is known of the cell after the change, so that the topic may be compacted. Free columns are texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from kernel.base.errors import BatteryError
from kernel.base.plain import plain
from kernel.contract.reading import SCHEMA_VERSION, TEXT_BYTES, Range

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Value = str | float | tuple[str, ...]
"""A value: a text, a number, or tags."""

Metadata = Mapping[str, Value]
"""What is known of one cell, by column; a column that nothing is known of is absent."""

VALUE_BYTES: Final = 4_000
"""Most bytes of one text."""

METADATA_BYTES: Final = 100_000
"""Most bytes of the JSON text of one cell."""

NAME_LETTERS: Final = 60
"""Most letters of the name of a free column."""


class Kind(StrEnum):
    """What the values of a column are."""

    TEXT = "text"
    NUMBER = "number"
    TAGS = "tags"


@dataclass(frozen=True)
class Column:
    """A column with a meaning: its name in the tables, what its values are, and the range of numbers."""

    table_name: str
    kind: Kind
    limits: Range = field(default=Range(-math.inf, math.inf))


_AMOUNT: Final = Range(1e-9, 1e5)
_VOLTAGE: Final = Range(-1e5, 1e5)

COLUMNS: Final[Mapping[str, Column]] = {
    "group": Column("cell_group", Kind.TEXT),
    "chemistry": Column("chemistry", Kind.TEXT),
    "format": Column("cell_format", Kind.TEXT),
    "protocol": Column("protocol", Kind.TEXT),
    "nominal_capacity_ah": Column("nominal_capacity_ah", Kind.NUMBER, _AMOUNT),
    "charge_limit_v": Column("charge_limit_v", Kind.NUMBER, _VOLTAGE),
    "discharge_limit_v": Column("discharge_limit_v", Kind.NUMBER, _VOLTAGE),
    "full_cycle_min_ah": Column("full_cycle_min_ah", Kind.NUMBER, Range(0, 1e5)),
    "full_cycle_max_v": Column("full_cycle_max_v", Kind.NUMBER, _VOLTAGE),
    "mass_g": Column("mass_g", Kind.NUMBER, Range(1e-9, 1e9)),
    "area_cm2": Column("area_cm2", Kind.NUMBER, Range(1e-9, 1e9)),
    "temperature_c": Column("temperature_c", Kind.NUMBER, Range(-273.15, 2000)),
    "tags": Column("tags", Kind.TAGS),
    "notes": Column("notes", Kind.TEXT),
}
"""The columns with a meaning, in the order in which they are shown; any other is free."""

_NAMES: Final = {column.table_name: name for name, column in COLUMNS.items()}

_RESERVED: Final = frozenset({"cell_id", "cell_pattern", "metadata"})

_ENCODER: Final = msgspec.json.Encoder(order="sorted")
_DECODER: Final = msgspec.json.Decoder(dict[str, str | float | list[str]])


def require_cell_id(cell_id: str) -> str:
    """Check the id of a cell.

    Raises:
        BatteryError: it is empty, too long, has spaces around it, or letters that are not printable.
    """
    if not 0 < len(cell_id.encode("utf-8", "replace")) <= TEXT_BYTES:
        raise BatteryError(
            f"a cell's id has 1 to {TEXT_BYTES} bytes; this one has {len(cell_id.encode(errors='replace'))}"
        )
    if cell_id != cell_id.strip() or plain(cell_id) != cell_id:
        raise BatteryError(f"{cell_id!r} is no cell's id: it has spaces around it or letters that cannot be printed")
    return cell_id


def column_name(name: str) -> str:
    """The column that a name means: the names in the tables (`cell_group`) mean the columns (`group`), too.

    >>> column_name(" Cell_Group "), column_name("electrolyte_ul")
    ('group', 'electrolyte_ul')

    Raises:
        BatteryError: it is no name, or so close to the name of a column with a meaning that it is likely a slip.
    """
    lowered = name.strip().lower()
    lowered = _NAMES.get(lowered, lowered)
    if lowered in COLUMNS:
        return lowered
    if lowered in _RESERVED:
        raise BatteryError(
            f"{lowered} is no column that can be set; the columns are {', '.join(COLUMNS)}, or free ones"
        )
    if not lowered.isidentifier() or len(lowered) > NAME_LETTERS:
        raise BatteryError(
            f"{name!r} is no name of a column: write letters, digits and _ only, such as electrolyte_ul, "
            f"at most {NAME_LETTERS}"
        )
    if near := get_close_matches(lowered, COLUMNS, n=1, cutoff=0.8):
        raise BatteryError(
            f"{lowered} is not a column with a meaning, but close to {near[0]}; write that, or another name"
        )
    return lowered


def parse_value(name: str, text: str, *, decimal_comma: bool = False) -> Value | None:
    """Read a value that a person wrote; None where the text is empty.

    >>> parse_value("mass_g", "45.5"), parse_value("tags", "b, a, b"), parse_value("lot", " 007 ")
    (45.5, ('a', 'b'), '007')

    Args:
        name: the column, as `column_name` returns it.
        text: the value.
        decimal_comma: whether numbers may have a comma in place of the point.

    Raises:
        BatteryError: it is no such value; says which column and why.
    """
    text = text.replace("\r\n", "\n").strip()
    if not text:
        return None
    match COLUMNS[name].kind if name in COLUMNS else Kind.TEXT:
        case Kind.NUMBER:
            try:
                # Python takes _ as part of a number.
                number = float(text.replace("_", "?").replace(",", "." if decimal_comma else ","))
            except ValueError:
                raise BatteryError(f"{name}: {text!r} is no number; write one such as 1.1") from None
            return _checked(name, number)
        case Kind.TAGS:
            return _checked(name, tuple(text.split(",")))
        case _:
            return _checked(name, text)


def value_text(value: Value) -> str:
    """A value as a person writes it; `parse_value` reads it again.

    >>> value_text(1.1), value_text(45.0), value_text(("a", "b")), value_text("007")
    ('1.1', '45', 'a, b', '007')
    """
    if isinstance(value, tuple):
        return ", ".join(value)
    return repr(value).removesuffix(".0") if isinstance(value, float) else value


def checked(metadata: Mapping[str, object]) -> dict[str, Value]:
    """Check what is known of a cell, by column; None and empty values are left out.

    Raises:
        BatteryError: a name or a value is no good, or two values contradict each other; says which.
    """
    known: dict[str, Value] = {}
    for name, value in metadata.items():
        column = column_name(name)
        if column in known:
            raise BatteryError(f"{column} is there twice")
        if value is not None and (checked_value := _checked(column, value)) not in {"", ()}:
            known[column] = checked_value
    upper, lower = known.get("charge_limit_v"), known.get("discharge_limit_v")
    if isinstance(upper, float) and isinstance(lower, float) and lower >= upper:
        raise BatteryError(f"discharge_limit_v ({lower:g} V) is not below charge_limit_v ({upper:g} V)")
    if (size := len(_ENCODER.encode(known))) > METADATA_BYTES:
        raise BatteryError(f"all that is known of the cell takes {size} bytes, at most {METADATA_BYTES} are kept")
    return known


def _checked(name: str, value: object) -> Value:
    """A value of a column, checked."""
    column = COLUMNS.get(name)
    kind = column.kind if column else Kind.TEXT
    if kind is Kind.NUMBER and column is not None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BatteryError(f"{name}: {value!r} is no number")
        if not column.limits.low <= value <= column.limits.high:  # which NaN is not, either
            raise BatteryError(f"{name}: {value:g} is outside of {column.limits.low:g} to {column.limits.high:g}")
        return float(value)
    if kind is Kind.TAGS:
        if isinstance(value, str) or not isinstance(value, list | tuple):
            raise BatteryError(f"{name}: {value!r} is no list of tags")
        if any(not isinstance(tag, str) or "," in tag for tag in value):
            raise BatteryError(f"{name}: a tag is a text without a comma")
        return tuple(sorted({tag for tag in (_text(name, str(tag)) for tag in value) if tag}))
    if not isinstance(value, str):
        raise BatteryError(f"{name}: {value!r} is no text")
    return _text(name, value)


def _text(name: str, text: str) -> str:
    text = text.strip()
    if len(text.encode("utf-8", "replace")) > VALUE_BYTES:
        raise BatteryError(
            f"{name}: the text takes {len(text.encode(errors='replace'))} bytes, at most {VALUE_BYTES} are kept"
        )
    if any(plain(line) != line for line in text.replace("\t", " ").split("\n")):
        raise BatteryError(f"{name}: {text!r} has letters that cannot be printed")
    return text


def changed(metadata: Metadata, change: Mapping[str, Value | None]) -> dict[str, Value]:
    """What is known of a cell after a change, in which None takes a value away.

    >>> changed({"group": "A", "mass_g": 45.0}, {"group": None, "lot": "007"})
    {'mass_g': 45.0, 'lot': '007'}

    Raises:
        BatteryError: the values contradict each other.
    """
    return checked({**metadata, **change})


def in_order(names: Iterable[str]) -> list[str]:
    """Names of columns in the order in which they are shown: those with a meaning, then the free ones."""
    present = set(names)
    return [*(name for name in COLUMNS if name in present), *sorted(present - COLUMNS.keys())]


def to_json(metadata: Metadata) -> bytes:
    """The value of the message."""
    return _ENCODER.encode(metadata)


def from_json(text: str | bytes) -> dict[str, Value]:
    """Read what `to_json` or another sender wrote.

    Raises:
        BatteryError: it is no such JSON; says why.
    """
    if len(text) > 2 * METADATA_BYTES:
        raise BatteryError(f"the message takes {len(text)} bytes")
    try:
        return checked(_DECODER.decode(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BatteryError(f"it is no JSON object of texts, numbers and lists of texts: {error}") from None


def from_landed(text: str) -> dict[str, Value]:
    """Read what has landed, which was checked when it did: by the release of then, whose rules may have been others."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in _DECODER.decode(text).items()}


@dataclass(frozen=True)
class Received:
    """What a message of the topic says of its cell: metadata as JSON, or the `fault` why it counts for nothing."""

    cell_id: str
    metadata: str | None
    fault: str | None


def read_message(key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes | None]]) -> Received:
    """Read a message; whatever it holds, this returns.

    A message without a value takes everything away. One whose value is of no bytes is no such message: it is no JSON.
    """
    cell_id = (key or b"").decode("utf-8", "replace")
    try:
        _require_utf_8(key or b"")
        require_cell_id(cell_id)
        _require_version({name.lower(): content for name, content in headers}.get("schema-version"))
        return Received(cell_id, to_json(from_json(b"{}" if value is None else value)).decode(), None)
    except BatteryError as error:
        shown = plain((value or b"")[:200].decode("utf-8", "replace"))
        return Received(plain(cell_id[:TEXT_BYTES]), None, f"{error}; the message begins {shown!r}")


def _require_utf_8(key: bytes) -> None:
    try:
        key.decode()
    except UnicodeDecodeError:
        raise BatteryError(f"the key {key[:40]!r} is no cell's id: it is not UTF-8 text") from None


def _require_version(version: bytes | None) -> None:
    if version is not None and version != SCHEMA_VERSION.encode():
        raise BatteryError(f"schema-version is {version!r}, this pipeline reads {SCHEMA_VERSION}")
