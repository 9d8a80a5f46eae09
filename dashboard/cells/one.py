"""One cell: what holds of it and by which source, and how what is told of it came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from dashboard.address import choose_one
from dashboard.cells.sources import held
from dashboard.escaping import literal, spreadsheet_safe
from dashboard.landing import with_short_wait
from dashboard.view import look
from dashboard.words.labels import label_of
from kernel.base.errors import BatteryError
from kernel.contract.cell_metadata import COLUMNS, in_order, value_text
from kernel.edges.warehouse import open_warehouse
from sink.cells.history import read_history

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from dashboard.cells.sources import Known
    from dashboard.cells.table import Told
    from kernel.base.settings import Settings
    from kernel.contract.cell_metadata import Value
    from sink.cells.change import CellChange

NOTHING = "(nothing)"


def words_of_column(name: str) -> str:
    """What a column is called on pages, with its unit; a free one by its name."""
    return str(label_of(COLUMNS[name].table_name)) if name in COLUMNS else name


def text_of(value: Value | None) -> str:
    """A value as a person writes it."""
    return NOTHING if value is None else value_text(value)


def show_one(
    settings: Settings, cells: Sequence[str], told: Told, elsewhere: Mapping[str, Sequence[Known]], changes: int
) -> None:
    """Let the visitor choose a cell, and draw what is known of it.

    Args:
        settings: where its history is.
        cells: those to choose from.
        told: what is told of them.
        elsewhere: what is known of them from elsewhere.
        changes: how often this visitor has changed something: the history is read again then.
    """
    st.subheader("One cell", anchor=False)
    cell = choose_one("Cell", cells, "cell", next(iter(told), cells[0]))
    holding = held(told.get(cell, {}), elsewhere.get(cell, ()))
    if holding:
        st.dataframe(
            spreadsheet_safe([
                {
                    "column": words_of_column(one.value.column),
                    "value": one.value.text,
                    "from": one.value.source,
                    "others say": "; ".join(f"{other.text} ({other.source})" for other in one.others) or None,
                }
                for one in holding
            ]),
            hide_index=True, key="cell-held", alt=f"What holds of {cell}, and where it is from", placeholder="-",
            height="content",
        )  # fmt: skip
    else:
        st.caption(f"Nothing is known of {literal(cell)} yet.")
    try:
        history = look(("history", settings, cell, changes), lambda: _history(settings, cell)).value
    except BatteryError as error:
        st.caption(f":orange[Its history cannot be read now: {literal(str(error))}]")
        return
    rows = history_rows(history)
    if rows:
        st.markdown("**History**, the newest first (UTC)")
        st.dataframe(
            spreadsheet_safe(rows), hide_index=True, key="cell-history",
            column_config={"when": st.column_config.DatetimeColumn("when", format="YYYY-MM-DD HH:mm:ss")},
            alt=f"What was told of {cell}, the newest first",
        )  # fmt: skip
        st.caption("The table `battery_cell_events` has it for queries. Names of people are not kept.")
    else:
        st.caption(f"Nothing has been told of {literal(cell)} yet.")


def history_rows(history: Sequence[tuple[datetime, CellChange]]) -> list[dict[str, object]]:
    """A row a value that was changed, the newest first."""
    return [
        {
            "when": at, "column": words_of_column(name),
            "before": text_of(change.before.get(name)), "after": text_of(change.after.get(name)),
        }
        for at, change in reversed(history)
        for name in in_order({*change.before, *change.after})
        if change.before.get(name) != change.after.get(name)
    ]  # fmt: skip


def _history(settings: Settings, cell: str) -> list[tuple[datetime, CellChange]]:
    file = settings.warehouse_address.file
    if file is not None and not file.exists():
        return []
    return read_history(open_warehouse(with_short_wait(settings)), cell)
