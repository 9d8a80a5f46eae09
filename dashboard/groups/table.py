"""The table of groups of cells: how many cells each has, how healthy they are, how many have come to their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import streamlit as st

from dashboard.escaping import spreadsheet_safe
from dashboard.groups.classes import ALL
from dashboard.groups.panels import classes_here
from dashboard.view import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from dashboard.groups.choices import GroupChoice


def group_table(choice: GroupChoice, all_cells: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """One row a group of cells: how many they are, their states of health, and how many have come to their end.

    Args:
        choice: the visitor's.
        all_cells: ids of all cells of the publication.
        rows: of `battery_cells`, of the cells that are shown.
    """
    classes = classes_here(choice, all_cells)
    by_id = {row["cell_id"]: row for row in rows}
    members = {ALL: list(by_id)} if classes is None else classes.among(by_id)
    found = []
    for name, cells in members.items():
        health = _numbers(by_id[cell]["latest_soh"] for cell in cells)
        ends = _numbers(by_id[cell]["eol_cycle"] for cell in cells)
        found.append(
            {
                "group": name, "n": len(cells), "soh": _mean(100 * health), "soh_sd": _sd(100 * health),
                "ended": len(ends), "life": _mean(ends), "life_sd": _sd(ends),
                "knees": sum(by_id[cell]["knee_cycle"] is not None for cell in cells),
            }
        )  # fmt: skip
    return pa.Table.from_pylist(
        found,
        pa.schema(
            [("group", pa.string()), ("n", pa.int64()), ("soh", pa.float64()), ("soh_sd", pa.float64()),
             ("ended", pa.int64()), ("life", pa.float64()), ("life_sd", pa.float64()), ("knees", pa.int64())]
        ),
    )  # fmt: skip


def show_group_table(choice: GroupChoice, all_cells: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw `group_table`, with the groups under the name of what tells them apart."""
    column = st.column_config
    title = "group" if choice.colour is None else choice.colour.name
    st.dataframe(
        spreadsheet_safe(group_table(choice, all_cells, rows)), hide_index=True, key="group-figures",
        placeholder=UNKNOWN, alt="The groups of cells",
        column_config={
            "group": column.TextColumn(title, pinned=True),
            "n": column.NumberColumn("cells (n)", format="%d"),
            "soh": column.NumberColumn("mean SOH (%)", format="%.1f", help="Of the last complete cycle of each cell."),
            "soh_sd": column.NumberColumn("standard deviation", format="%.1f", help="Of the states of health, in %."),
            "ended": column.NumberColumn("past end of life", format="%d", help="Cells that have come to their end."),
            "life": column.NumberColumn(
                "mean cycle life", format="%.0f", help="Of the cells that have come to their end alone."
            ),
            "life_sd": column.NumberColumn("standard deviation of it", format="%.0f", help="In cycles."),
            "knees": column.NumberColumn("past a knee", format="%d"),
        },
    )  # fmt: skip


def _numbers(values: Iterable[float | None]) -> npt.NDArray[np.float64]:
    return np.array([value for value in values if value is not None], dtype=np.float64)


def _mean(values: npt.NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _sd(values: npt.NDArray[np.float64]) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None
