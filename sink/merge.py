"""How parts of a window or a cycle merge, with each other and into what has landed: one rule for each column.

Sums add up and extremes stay extreme. The last value is that of the last part that has one. A final part makes its
window or cycle final for good. DuckDB and PostgreSQL say the same in other words; `sink.tables` and
`sink.postgres.fill` put them into a statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    import pyarrow as pa

SUM_UNITS: Final = ("_nv", "_na", "_nc", "_no", "_pah", "_pwh")
"""Endings of the columns with sums of whole numbers, in nano-V, -A, -degC and -ohm, pico-Ah and pico-Wh."""

_LATEST: Final = ("voltage_last_v", "current_last_a", "temperature_last_c")
_NEWEST: Final = ("as_of_offset",)


@dataclass(frozen=True)
class MergedColumn:
    """A column of a table of merged parts: `merged` merges staged parts, `update` sets what has landed, as SQL."""

    name: str
    merged: str
    update: str


def merged_columns(schema: pa.Schema, keys: Collection[str], last: str, new: str) -> list[MergedColumn]:
    """How each column but the keys merges.

    Args:
        schema: of the parts.
        keys: the columns that identify a window or a cycle.
        last: SQL for the value of the last part that has one, `{column}`, by the column `part`.
        new: what the merged parts are called; what has landed is called `old`.
    """
    return [_merged(name, last.format(column=name), new) for name in schema.names if name not in keys]


def _merged(name: str, last: str, new: str) -> MergedColumn:
    came = f"{new}.{name}"
    if name.endswith((*SUM_UNITS, "_count")):
        total = f"case when {came} is null then old.{name} else coalesce(old.{name}, 0) + {came} end"
        return MergedColumn(name, f"sum({name})", f"{name} = {total}")
    if name in _LATEST:
        return MergedColumn(name, last, f"{name} = coalesce({came}, old.{name})")
    if name in _NEWEST:
        return MergedColumn(name, last, f"{name} = {came}")
    if name == "is_final":
        return MergedColumn(name, f"bool_or({name})", f"{name} = old.{name} or {came}")
    least = "_min_" in name or name == "started_at"
    of_two, of_all = ("least", "min") if least else ("greatest", "max")
    return MergedColumn(name, f"{of_all}({name})", f"{name} = {of_two}(old.{name}, {came})")
