"""The cells: what the lab knows of them, as a table to edit, with what holds from elsewhere and how it came to be."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from dashboard.cells.awaited import awaited_cells
from dashboard.cells.desk import Desk, desk_of
from dashboard.cells.look import look_at_cells
from dashboard.cells.one import show_one, text_of, words_of_column
from dashboard.cells.rights import when_in_tables, why_no_editing
from dashboard.cells.save import save
from dashboard.cells.sheets import offer_column, offer_sheets
from dashboard.cells.sources import in_words, known_elsewhere
from dashboard.cells.table import CELL, ELSEWHERE
from dashboard.escaping import literal, spreadsheet_safe
from dashboard.view import RENEW_SECONDS, look, published_now, show
from dashboard.words.labels import meaning_of
from kernel.base.errors import BatteryError
from kernel.contract.cell_metadata import COLUMNS, Kind
from refresh.notice import read_notice

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from streamlit.elements.lib.column_types import ColumnConfig

    from dashboard.cells.look import CellsLook
    from dashboard.cells.sources import Known
    from dashboard.cells.table import Conflict, Fault, Reading, Told
    from kernel.base.settings import Settings

MOST_LINES: Final = 10
"""How many faults or conflicts are said one by one."""

NAMED: Final = 4
"""Cells that a line names at most."""

_DESK: Final = "table of cells"


def show_page() -> None:
    """Draw the page."""
    show("Cells", _draw)


def _draw(settings: Settings) -> None:
    seen = _look(settings, None if _is_open() else 0.0)
    cells, elsewhere = _cells(settings, seen)
    desk = _desk(seen, cells, elsewhere)
    reason = why_no_editing(settings, has_broker=seen.has_broker)
    if reason:
        st.info(reason, icon=":material/lock:")
    else:
        st.caption(
            "What no file says of your cells: type into the table, or add a row below for a cell that is yet to come. "
            "What is told here wins over what is known from elsewhere; an emptied field takes it away."
        )
    bar = st.container(horizontal=True, gap="small", key="cells-bar")
    desk.edited = _edit(desk, may_edit=reason is None)
    with bar:
        _offer(settings, desk, may_edit=reason is None)
    _say(desk)
    if reason is None:
        _show_conflicts(desk)
        _show_changes(settings, desk)
    st.fragment(_say_awaited, run_every=RENEW_SECONDS)(settings, seen.told)
    if cells:
        show_one(settings, cells, seen.told, elsewhere, desk.generation)


def _look(settings: Settings, fresh_seconds: float | None = None) -> CellsLook:
    return look(("cells", settings), lambda: look_at_cells(settings), fresh_seconds).value


def _cells(settings: Settings, seen: CellsLook) -> tuple[list[str], Mapping[str, Sequence[Known]]]:
    """All cells, those with readings and those only told of, and what is known of them from elsewhere."""
    stated: dict[str, str | None] = {}
    published: set[str] = set()
    with suppress(BatteryError):  # nothing has been published yet, or it cannot be read now
        table = published_now(settings).table("battery_cells")
        published = set(table["cell_id"].to_pylist())
        if "stated" in table.column_names:
            stated = dict(zip(table["cell_id"].to_pylist(), table["stated"].to_pylist(), strict=True))
    cells = sorted(published | seen.landed | set(seen.told))
    try:
        what = ("elsewhere", settings, tuple(cells), len(published))
        return cells, look(what, lambda: known_elsewhere(settings, cells, stated)).value
    except BatteryError as error:
        st.warning(literal(str(error)), icon=":material/error:")
        return cells, {}


def _desk(seen: CellsLook, cells: list[str], elsewhere: Mapping[str, Sequence[Known]]) -> Desk:
    """The visitor's table: the one they have changed, or what is told now."""
    words = {
        cell: said
        for cell in cells
        if (said := in_words(seen.told.get(cell, {}), elsewhere.get(cell, ()), has_readings=cell in seen.landed))
    }
    desk: Desk | None = st.session_state.get(_DESK)
    if desk is None:
        desk = st.session_state[_DESK] = desk_of(seen.told, cells, words)
    elif (desk.told, desk.cells) != (seen.told, cells) and not _is_changed(desk):
        desk.reread(seen.told, cells, words)
    elif not _is_open():  # the visitor was on another page: the editor begins anew
        desk.begin_again()
    return desk


def _is_changed(desk: Desk) -> bool:
    return bool(desk.edits or desk.conflicts or desk.edited.num_rows > len(desk.cells))


def _is_open() -> bool:
    """Whether this page was drawn for the visitor just before, and not another one."""
    desk: Desk | None = st.session_state.get(_DESK)
    return desk is not None and _key(desk) in st.session_state


def _key(desk: Desk) -> str:
    return f"cells-editor-{desk.generation}"


def _edit(desk: Desk, *, may_edit: bool) -> pa.Table:
    """Draw the table; what the visitor has made of it."""
    return st.data_editor(
        desk.table, key=_key(desk), num_rows="add" if may_edit else "fixed", disabled=not may_edit, hide_index=True,
        column_config=_columns(desk.columns), placeholder="", height="auto",
        alt="The cells with what is told of them; empty where nothing is",
    )  # fmt: skip


def _columns(names: Sequence[str]) -> dict[str, ColumnConfig]:
    config: dict[str, Any] = {
        CELL: st.column_config.TextColumn("cell", pinned=True, width=110),
        ELSEWHERE: st.column_config.TextColumn(
            "known from elsewhere", disabled=True, width=170,
            help="What BATTERY_CELLS, the shipped cells.csv and the files of readings say where nothing is told here. "
            "A value that is told wins over them.",
        ),
    }  # fmt: skip
    for name in names:
        column = COLUMNS.get(name)
        meaning = meaning_of("battery_cells", column.table_name) if column else "A column of the lab."
        config[name] = st.column_config.TextColumn(
            words_of_column(name), help=f"{meaning} In a CSV file: `{name}`.",
            alignment="right" if column and column.kind is Kind.NUMBER else "left",
        )  # fmt: skip
    return config


def _offer(settings: Settings, desk: Desk, *, may_edit: bool) -> None:
    """Draw the buttons above the table."""
    if may_edit:
        offer_column(desk)
    offer_sheets(desk, may_edit=may_edit)
    if st.button("Read again", icon=":material/refresh:", help="What others have told since is shown; yours stays"):
        _reread(settings, desk)
        st.rerun()


def _reread(settings: Settings, desk: Desk) -> CellsLook:
    """Read what is told now into the visitor's table."""
    seen = _look(settings, 0.0)
    cells, elsewhere = _cells(settings, seen)
    words = {
        cell: in_words(seen.told.get(cell, {}), elsewhere.get(cell, ()), has_readings=cell in seen.landed)
        for cell in cells
    }
    desk.reread(seen.told, cells, words)
    return seen


def _say(desk: Desk) -> None:
    """What was done last."""
    if desk.said is not None:
        words, is_well = desk.said
        (st.success if is_well else st.error)(
            literal(words), icon=":material/check:" if is_well else ":material/error:"
        )


def _show_conflicts(desk: Desk) -> None:
    """What others have changed too, and the choice between theirs and the visitor's."""
    if not desk.conflicts:
        return
    st.warning(
        "Others have changed the same values since you read them. The table has theirs now; yours is not saved.  \n"
        + _lines([_conflict_in_words(one) for one in desk.conflicts]),
        icon=":material/call_split:",
    )
    with st.container(horizontal=True, gap="small"):
        if st.button("Keep theirs"):
            desk.conflicts, desk.said = [], None
            st.rerun()
        if st.button("Put mine into the table", help="Then look, and save"):
            mine: dict[str, dict[str, Any]] = {}
            for one in desk.conflicts:
                mine.setdefault(one.cell_id, {})[one.column] = one.mine
            desk.conflicts, desk.said = [], None
            desk.put(mine)
            st.rerun()


def _conflict_in_words(one: Conflict) -> str:
    column = literal(f"{words_of_column(one.column)} of {one.cell_id}")
    return (
        f"{column}: {literal(text_of(one.read))} when you read it, **{literal(text_of(one.now))}** now, "
        f"{literal(text_of(one.mine))} by you"
    )


def _show_changes(settings: Settings, desk: Desk) -> None:
    """What would change, what cannot be taken, and the button that saves it."""
    reading = desk.read()
    if reading.faults:
        st.error(
            "Nothing can be saved before this is put right.  \n"
            + _lines([fault_in_words(one) for one in reading.faults]),
            icon=":material/error:",
        )  # fmt: skip
    if not reading.count:
        if reading.faults and st.button("Drop my changes"):
            _drop(desk)
        return
    values, cells = _many(reading.count, "value"), _many(len(reading.changes), "cell")
    st.markdown(f"**Not saved yet: {values} of {cells}**")
    st.dataframe(
        spreadsheet_safe(change_rows(reading, desk.told)), hide_index=True, key="cells-changes",
        alt="What changes when it is saved", height="auto",
    )  # fmt: skip
    with st.container(horizontal=True, gap="small"):
        if st.button(f"Save {values}", type="primary", icon=":material/save:", disabled=bool(reading.faults)):
            _save(settings, desk, reading)
        if st.button("Drop my changes"):
            _drop(desk)


def change_rows(reading: Reading, told: Told) -> list[dict[str, str]]:
    """A row a value that changes: what is told now, and what will be."""
    return [
        {
            "cell": cell, "column": words_of_column(name), "told now": text_of(told.get(cell, {}).get(name)),
            "after saving": text_of(value),
        }
        for cell, change in reading.changes.items()
        for name, value in change.items()
    ]  # fmt: skip


def fault_in_words(fault: Fault) -> str:
    """Where something cannot be taken, and why, as Markdown."""
    cell = f", cell {fault.cell_id}" if fault.cell_id else ""
    column = "" if fault.column is None else f", {'cell' if fault.column == CELL else words_of_column(fault.column)}"
    where = f"row {fault.row + 1}{cell}{column}"
    return f"**{literal(where)}**: {literal(fault.why)}"


def _lines(lines: Sequence[str]) -> str:
    more = len(lines) - MOST_LINES
    return "\n".join(
        ["", *(f"- {line}" for line in lines[:MOST_LINES]), *([f"- and {more:,} more"] if more > 0 else [])]
    )


def _many(count: int, noun: str) -> str:
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def _drop(desk: Desk) -> None:
    desk.said = None
    desk.forget()
    st.rerun()


def _save(settings: Settings, desk: Desk, reading: Reading) -> None:
    with st.spinner("saving"):
        saved = save(settings, reading.changes, desk.told)
    if saved.is_overtaken:
        desk.said = "Nothing was saved.", False
        _reread(settings, desk)
    elif saved.is_made:
        what = f"{_many(reading.count, 'value')} of {_many(len(reading.changes), 'cell')}"
        later = f" It lands later: {saved.why_not}" if saved.why_not else ""
        desk.said = f"Saved at {datetime.now(UTC):%H:%M:%S} UTC: {what}.{later}", True
        desk.forget()
        _reread(settings, desk)
    else:
        desk.said = f"Nothing was saved. {saved.why_not}", False
    st.rerun()


def _say_awaited(settings: Settings, told: Told) -> None:
    """Which cells' values the tables do not have yet, and what brings them there."""
    try:
        awaited = awaited_cells(told, published_now(settings).table("battery_cells"))
    except BatteryError:
        return
    if not awaited:
        if told:
            st.caption("The tables have all that is told of cells with readings.")
        return
    notice = read_notice(settings)
    names = ", ".join(literal(cell) for cell in awaited[:NAMED])
    more = f" and {len(awaited) - NAMED:,} more" if len(awaited) > NAMED else ""
    how = (
        "It is being modelled now."
        if notice is not None and notice.state in {"modelling", "waiting"}
        else when_in_tables(settings)
    )
    st.caption(f":orange[The tables do not have yet what is told of {names}{more}.] {how}")
