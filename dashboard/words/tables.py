"""Tables as pages show them: columns in plain words with units, codes in words, and nothing where there is no value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from dashboard.escaping import spreadsheet_safe
from dashboard.words.codes import UNKNOWN, words_of
from dashboard.words.labels import Label, label_of, tooltip_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from streamlit.elements.lib.column_types import ColumnConfig

    from dashboard.words.amounts import Amount

PERCENT: Final = "%"

FLAGS: Final = {"is_complete", "is_reference_test", "is_recovery", "is_peak", "is_reset_at_start", "is_kept"}
"""Columns of truth values, which are drawn as ticks."""

CODES: Final = frozenset(
    {"kind", "counter_behaviour", "reason", "outcome", "status", "soh_basis", "eol_rule", "reader"}
)
"""Columns whose values are codes, which are shown in words."""


def column_config_of(
    table: str, columns: Iterable[str], units: Mapping[str, Amount] | None = None
) -> dict[str, ColumnConfig]:
    """Streamlit's column configuration of columns of a mart: label with unit, format, and meaning as the tooltip.

    The values are those of `as_shown`: shares in percent, and amounts in the units that are given.

    Args:
        table: the mart, or another table whose columns the pages show.
        columns: its columns.
        units: how amounts are shown, by their unit in the mart ("Ah", "Ω"), such as mAh for a coin cell.
    """
    return {name: _config(table, name, label_of(name), (units or {}).get(label_of(name).unit)) for name in columns}


def as_shown(rows: pa.Table, columns: Iterable[str], units: Mapping[str, Amount] | None = None) -> pa.Table:
    """Columns of a mart with values as they are shown: shares in percent, codes in words, amounts in their units.

    Columns that the table lacks, and those that are empty throughout, are left out. Texts are safe in a spreadsheet.

    Args:
        rows: of the mart.
        columns: those to show, in their order.
        units: as in `column_config_of`.
    """
    shown: dict[str, pa.ChunkedArray] = {}
    for name in columns:
        if name not in rows.column_names or (rows.num_rows and rows[name].null_count == rows.num_rows):
            continue
        values, label = rows[name], label_of(name)
        amount = (units or {}).get(label.unit)
        if label.unit == PERCENT:
            values = pc.multiply(values, 100.0)
        elif amount is not None:
            values = pc.multiply(values, amount.factor)
        elif name in CODES:
            values = pa.chunked_array(
                [[None if code is None else words_of(name, code) for code in values.to_pylist()]], pa.string()
            )
        shown[name] = values
    return spreadsheet_safe(pa.table(shown))


def show_table(
    rows: pa.Table, table: str, columns: Iterable[str], *, key: str, alt: str,
    units: Mapping[str, Amount] | None = None, height: int | None = None,
) -> None:  # fmt: skip
    """Draw columns of a mart, with labels, units and tooltips; what has no value is shown as `UNKNOWN`.

    Args:
        rows: of the mart.
        table: its name.
        columns: those to show, in their order; those that are empty throughout are left out.
        key: of the element.
        alt: what it shows, for those who cannot see it.
        units: as in `column_config_of`.
        height: in pixels; None for as high as it needs to be.
    """
    values = as_shown(rows, columns, units)
    if not values.num_columns:
        return
    st.dataframe(
        values, hide_index=True, height="auto" if height is None else height, key=key, alt=alt, placeholder=UNKNOWN,
        column_config=column_config_of(table, values.column_names, units),
    )  # fmt: skip


def cycle_kinds(cycles: pa.Table) -> pa.ChunkedArray:
    """What kind each cycle is, in words: complete, a reference test, or cut short.

    Args:
        cycles: rows of `battery_cycles`.
    """
    complete, reference = (
        pc.fill_null(cycles[name], fill_value=False) for name in ("is_complete", "is_reference_test")
    )
    return pc.if_else(reference, "reference test", pc.if_else(complete, "complete", "cut short"))


def _config(table: str, name: str, label: Label, amount: Amount | None) -> ColumnConfig:
    tooltip = tooltip_of(table, name)
    if amount is not None:
        return st.column_config.NumberColumn(
            f"{label.words} ({amount.unit})", help=tooltip, format=f"%.{amount.decimals}f"
        )
    if name in FLAGS:
        return st.column_config.CheckboxColumn(str(label), help=tooltip)
    if name.endswith("_at"):
        return st.column_config.DatetimeColumn(str(label), help=tooltip, format="YYYY-MM-DD HH:mm")
    if label.decimals is not None:
        grouped = "localized" if label.decimals == 0 and not name.endswith(("number", "index", "cycle")) else None
        return st.column_config.NumberColumn(str(label), help=tooltip, format=grouped or f"%.{label.decimals}f")
    if label.unit:
        return st.column_config.NumberColumn(str(label), help=tooltip, format="%.5g")
    return st.column_config.Column(str(label), help=tooltip)
