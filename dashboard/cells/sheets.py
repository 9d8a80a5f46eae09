"""CSV files of what is told: one that is dropped goes into the table, and what is told comes out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import streamlit as st

from kernel.base.errors import BatteryError
from kernel.base.plain import one_line
from kernel.contract.cell_metadata import COLUMNS, column_name
from sink.cells.sheet import parse_csv, to_csv

if TYPE_CHECKING:
    from dashboard.cells.desk import Desk

MOST_MB: Final = 20
"""The largest file that is taken, MB: 500 cells with long notes are 2."""

_ROUND: Final = "round of sheets"


def offer_sheets(desk: Desk, *, may_edit: bool) -> None:
    """Draw the buttons for a CSV file in and out."""
    if may_edit:
        with st.popover(
            "CSV in", icon=":material/upload:", help="As `battery cells import` takes it", key=_key(desk, "sheet")
        ):
            clear = st.checkbox("An empty field takes the value away", key="sheet-clear")
            place = int(st.session_state.get(_ROUND, 0))
            file = st.file_uploader(
                "A line a cell, named in the column cell_id; each other column is a value", "csv", key=f"sheet-{place}",
                max_upload_size=MOST_MB,
            )  # fmt: skip
            if file is not None:
                st.session_state[_ROUND] = place + 1
                desk.said = take_sheet(desk, file.getvalue(), one_line(file.name), clear=clear)
                st.rerun()
    st.download_button(
        "CSV out", lambda: csv_of(desk), "cells.csv", "text/csv", key="csv-cells", on_click="ignore",
        icon=":material/download:", help="What is told, as `battery cells export` writes it, a line for every cell",
    )  # fmt: skip


def take_sheet(desk: Desk, content: bytes, name: str, *, clear: bool) -> tuple[str, bool]:
    """Put what a file says into the table, or nothing of it; what became of it in words, and whether it was taken."""
    try:
        sheet = parse_csv(content, name)
    except BatteryError as error:
        return f"Nothing was taken from the file. {error}", False
    before = desk.read().count
    desk.put(sheet.changes(clear=clear))
    count = desk.read().count - before
    empty = (
        f"; {sheet.empty_count} empty fields leave the values as they are" if sheet.empty_count and not clear else ""
    )
    cells = "1 cell" if len(sheet.cells) == 1 else f"{len(sheet.cells)} cells"
    return f"{name}: {cells} read, {count} values differ from what is told{empty}. Look, then save.", True


def csv_of(desk: Desk) -> str:
    """What is told, with a line for each cell of the table, also those of which nothing is told."""
    return to_csv({cell: desk.told.get(cell, {}) for cell in desk.cells})


def offer_column(desk: Desk) -> None:
    """Draw the place to add a free column."""
    with (
        st.popover(
            "Add a column",
            icon=":material/add:",
            help="A column of your own, such as electrolyte_ul",
            key=_key(desk, "column"),
        ),
        st.form("new column", border=False, clear_on_submit=True),
    ):
        name = st.text_input("Name", placeholder="electrolyte_ul")
        if st.form_submit_button("Add") and name.strip():
            desk.said = take_column(desk, name)
            st.rerun()


def _key(desk: Desk, name: str) -> str:
    """Of a box that closes once it has made another table, and stays open where something was refused."""
    return f"cells-{name}-{desk.generation}"


def take_column(desk: Desk, name: str) -> tuple[str, bool]:
    """Add a free column; what became of it in words, and whether it was added."""
    try:
        column = column_name(name)
    except BatteryError as error:
        return f"No column was added. {error}", False
    if column in COLUMNS or column in desk.columns:
        return f"The column {column} is there already.", False
    desk.add_column(column)
    return f"The column {column} is there, and stays once a value of it is saved.", True
