"""Cycles of one cell or several, laid on one another: voltage over charge, dQ/dV and dV/dQ, and a map over life."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from dashboard.address import BOUND, choose_many, choose_one
from dashboard.cycle.choice import ChoiceError, choose_cycles, parse_choice
from dashboard.cycle.readings import (
    LIFE_CYCLES,
    MOST_READINGS,
    ChosenCycles,
    charge_lines,
    chosen_curves,
    life_curves,
    rows_of,
    thinned,
    time_lines,
)
from dashboard.cycle.scale import BASES, MEASURED, offered_bases, plain_scale, relative_scale
from dashboard.escaping import literal
from dashboard.figures.cycle import (
    RANGE_NOTE,
    CellCurves,
    charge_of,
    differential_of,
    incremental_of,
    over_charge,
    over_time,
)
from dashboard.figures.life import over_life
from dashboard.figures.measures import column, cycles_of
from dashboard.figures.panels import FEW, MOST_CELLS
from dashboard.ranking import outliers_first
from dashboard.view import chart, choices, downloads, name_tab, show_marts
from dashboard.words.amounts import largest
from dashboard.words.tables import show_table
from kernel.base.errors import BatteryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    import numpy as np
    import numpy.typing as npt
    import plotly.graph_objects as go

    from dashboard.cycle.scale import ChargeScale
    from dashboard.view import Published
    from kernel.base.settings import Settings

FIRST_CHOICE: Final = "spread 10"

OFFERED: Final = (
    FIRST_CHOICE, "first, middle, last", "spread 50", "spread 100", "every 10", "every 50", "every 100",
    "reference tests", "all",
)  # fmt: skip
"""Choices of cycles to pick from; anything else can be typed."""

MOST_CYCLES: Final = 200
"""Cycles of a cell that are laid on one another: more lines cannot be told apart."""

MUCH_LARGER: Final = 5
"""Times that a cell is larger than another whose curves can then hardly be seen beside it."""

GRAMMAR: Final = (
    "Numbers and ranges such as `1, 50-100:10, 200` (every tenth from 50 to 100), "
    "`first, middle, last`, `every 50`, `spread 10` (ten over the whole life), `reference tests`, `all`."
)

FIRST_READINGS: Final = 1_000
"""Readings that the table shows."""

_READINGS_COLUMNS: Final = (
    "cell_id", "test_id", "cycle_index", "data_point", "test_time_s", "step_index", "step_time_s", "current_a",
    "voltage_v", "charge_counter_ah", "discharge_counter_ah", "temperature_c", "is_kept",
)  # fmt: skip


def show() -> None:
    """Draw the page."""
    show_marts("Cycle", _draw)


@dataclass(frozen=True)
class _View:
    """What a visitor looks at: the cells, rows of `battery_cells`, their chosen cycles, and what charge is shown by."""

    settings: Settings
    published: Published
    cells: Sequence[Mapping[str, Any]]
    chosen: Sequence[ChosenCycles]
    basis: str

    @property
    def named(self) -> str:
        return " and ".join(of.cell for of in self.chosen)

    @property
    def file_name(self) -> str:
        return "-".join(of.cell for of in self.chosen)

    def cycles(self, cell: str) -> pa.Table:
        return cycles_of(self.published.table("battery_cycles"), cell)

    def scale(self, *charge_ah: npt.NDArray[np.float64]) -> ChargeScale:
        """How charge is shown, where it is of such sizes in Ah."""
        if self.basis == MEASURED:
            return plain_scale(largest(*charge_ah))
        return relative_scale(self.basis, self.cells, {of.cell: of.rows for of in self.chosen})


def _draw(settings: Settings, published: Published) -> None:
    ranked = {row["cell_id"]: row for row in outliers_first(published.table("battery_cells"))}
    with choices():
        _settle_cells()
        names = choose_many(f"Cells (at most {MOST_CELLS})", list(ranked), "cell", list(ranked)[:1], MOST_CELLS)
        cells = [ranked[name] for name in names]
        text = _choose_text()
        basis, refused = _choose_basis(cells)
    if not names:
        st.info("Choose a cell.")
        return
    try:
        terms = parse_choice(text)
    except ChoiceError as error:
        st.error(literal(str(error)), icon=":material/error:")
        return
    chosen = []
    for name in names:
        cycles = cycles_of(published.table("battery_cycles"), name)
        choice = choose_cycles(terms, cycles)
        rows = rows_of(cycles, choice.numbers)
        drawn = thinned(rows, MOST_READINGS // len(names), MOST_CYCLES)
        chosen.append(ChosenCycles(name, drawn, choice.lacking, rows.num_rows))
    view = _View(settings, published, cells, chosen, basis)
    name_tab(f"Cycles of {view.named}")
    _say_what_differs(chosen)
    if not any(of.rows.num_rows for of in chosen):
        st.info("None of the cycles that are chosen is there. The button beside the box offers others.")
        return
    tabs = st.tabs(list(_TABS), key="view", bind=BOUND)
    for draw, tab in zip(_TABS.values(), tabs, strict=True):
        if tab.open:
            with tab:
                try:
                    draw(view)
                except BatteryError as error:
                    st.error(literal(str(error)), icon=":material/error:")
    if refused:
        st.caption(f"Not offered for charge: {literal('; '.join(refused))}.")


def _settle_cells() -> None:
    """Other pages choose one cell, and lead here with it."""
    chosen = st.session_state.get("cell")
    if isinstance(chosen, str):
        st.session_state["cell"] = st.query_params["cell"] = [chosen]


def _choose_text() -> str:
    """Let the visitor choose cycles; an address of an earlier version names each, as ?cycle=3&cycle=12."""
    if "cycles" not in st.session_state and "cycles" not in st.query_params:
        named = st.query_params.get_all("cycle")
        st.session_state["cycles"] = st.query_params["cycles"] = ", ".join(named) or FIRST_CHOICE
        if named:
            del st.query_params["cycle"]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="xsmall", wrap=False):
        text = st.text_input("Cycles", key="cycles", bind=BOUND, placeholder=FIRST_CHOICE, help=GRAMMAR)
        st.menu_button(
            ":material/list:",
            OFFERED,
            key="offered-cycles",
            help="Choices of cycles",
            on_click=_take_offered,
            wrap=False,
        )
    return text or FIRST_CHOICE


def _take_offered() -> None:
    st.session_state["cycles"] = st.session_state["offered-cycles"] or FIRST_CHOICE


def _choose_basis(cells: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """Let the visitor choose what charge is shown by, of what is known of all cells; and why not by the others."""
    offered, refused = offered_bases(cells)
    wanted = st.session_state.get("charge", st.query_params.get("charge"))
    if wanted in BASES and wanted not in offered:
        st.session_state["charge"] = st.query_params["charge"] = MEASURED
    return choose_one("Charge", offered, "charge", MEASURED), refused


def _say_what_differs(chosen: Sequence[ChosenCycles]) -> None:
    """Say where what is drawn is not what was asked for."""
    lines = [f"{of.cell} lacks {', '.join(of.lacking)}" for of in chosen if of.lacking]
    lines += [
        f"of {of.asked:,} cycles of {of.cell} {of.rows.num_rows:,} are drawn, spread evenly"
        for of in chosen
        if of.rows.num_rows < of.asked
    ]
    if lines:
        st.caption(f":orange[{literal('; '.join(lines))}.]")


def _show(figure: go.Figure, view: _View, name: str, title: str) -> bool:
    """Draw a figure, or say why there is none; whether there is one."""
    if not figure.data:
        st.info(f"{literal(view.named)}: {figure.layout.annotations[-1].text}.", icon=":material/info:")
        return False
    chart(figure, f"{view.file_name}-{name}", f"{title} of {view.named}")
    return True


def _show_over_charge(view: _View) -> None:
    lines = [(of.cell, charge_lines(view.settings, view.published, of)) for of in view.chosen]
    moved = [x for _, of_cell in lines for of_cycle in of_cell for x, _ in (of_cycle.charge, of_cycle.discharge)]
    is_few = len({of_cycle.number for _, of_cell in lines for of_cycle in of_cell}) <= FEW
    if _show(over_charge(lines, view.scale(*moved)), view, "charge", "Voltage over charge"):
        begin = "Charges are solid, discharges dashed" if is_few else "Charges rise, discharges fall"
        differ = " The cells differ in size: charge as % of initial lays them on one another." * _differ_in_size(view)
        st.caption(f"{begin}, each from 0. Lines join the readings of one step; rests are left out.{differ}")


def _differ_in_size(view: _View) -> bool:
    sizes = [cell["initial_capacity_ah"] for cell in view.cells if cell["initial_capacity_ah"]]
    return view.basis == MEASURED and len(sizes) > 1 and max(sizes) > MUCH_LARGER * min(sizes)


def _show_incremental(view: _View) -> None:
    curves = [chosen_curves(view.settings, view.published, of) for of in view.chosen]
    scale = view.scale(*(column(of_cell, "capacity_ah") for of_cell in curves))
    drawn = [CellCurves(of.cell, of.numbers, of_cell) for of, of_cell in zip(view.chosen, curves, strict=True)]
    if _show(incremental_of(drawn, scale), view, "dqdv", "Incremental capacity"):
        st.caption("At constant current, charges above 0 and discharges below. Triangles are peaks.")
        _show_peaks(pa.concat_tables(curves), view)


def _show_life(view: _View) -> None:
    most = LIFE_CYCLES // len(view.chosen)
    curves = [
        (of.cell, life_curves(view.settings, view.published, of.cell, view.cycles(of.cell), most))
        for of in view.chosen
    ]  # fmt: skip
    scale = _life_scale(view, curves)
    if _show(over_life(curves, scale), view, "life", "Incremental capacity over life"):
        counts = [f"{len(set(of_cell['cycle_number'].to_pylist())):,} of {cell}" for cell, of_cell in curves]
        st.caption(
            f"Complete cycles spread over the whole life ({literal(', '.join(counts))}), whichever are chosen above, "
            "without reference tests. The colours end at the 99th percentile of dQ/dV."
        )


def _life_scale(view: _View, curves: Sequence[tuple[str, pa.Table]]) -> ChargeScale:
    whole = [
        ChosenCycles(cell, rows_of(view.cycles(cell), sorted(set(of_cell["cycle_number"].to_pylist()))))
        for cell, of_cell in curves
    ]
    return replace(view, chosen=whole).scale(*(column(of_cell, "capacity_ah") for _, of_cell in curves))


def _show_differential(view: _View) -> None:
    curves = [chosen_curves(view.settings, view.published, of) for of in view.chosen]
    scale = view.scale(*(column(of_cell, "capacity_ah") for of_cell in curves))
    drawn = [CellCurves(of.cell, of.numbers, of_cell) for of, of_cell in zip(view.chosen, curves, strict=True)]
    if _show(differential_of(drawn, scale), view, "dvdq", "Differential voltage"):
        st.caption(f"At constant current, charges above 0 and discharges below. {RANGE_NOTE}")
        downloads(pa.concat_tables(curves), f"{view.file_name}-curves")


def _show_over_time(view: _View) -> None:
    few = [of.few(FEW) for of in view.chosen]
    lines = [(of.cell, time_lines(view.settings, view.published, of)) for of in few]
    if _show(over_time(lines), view, "time", "Voltage and current over time"):
        said = [
            f"{of.rows.num_rows} of the {whole.rows.num_rows} cycles of {of.cell}"
            for of, whole in zip(few, view.chosen, strict=True)
            if of.rows.num_rows < whole.rows.num_rows
        ]
        left_out = sum(len(of_cycle.left_out[0]) for _, of_cell in lines for of_cycle in of_cell)
        st.caption(
            (f"{literal(', '.join(said))}, spread evenly. " if said else "")
            + "Lines join the readings of one step; a step of one reading is a dot."
            + (f" Crosses: {left_out:,} readings that are left out of what is computed." if left_out else "")
        )


def _show_readings(view: _View) -> None:
    tables = [view.published.readings(of.cell, of.keys) for of in view.chosen if of.keys]
    if not tables:
        st.info("No cycle is chosen that the cells have.", icon=":material/info:")
        return
    readings = pa.concat_tables(tables)
    left_out = readings.num_rows - (pc.sum(readings["is_kept"]).as_py() or 0)
    used = f"{left_out:,} of them are left out of what is computed" if left_out else "all are used in what is computed"
    st.caption(f"{readings.num_rows:,} readings of the chosen cycles; {used}.")
    show_table(
        readings.slice(0, FIRST_READINGS), "battery_ts_cleaned", _READINGS_COLUMNS, key="readings", height=420,
        alt=f"The first readings of {view.named}",
    )  # fmt: skip
    if readings.num_rows > FIRST_READINGS:
        st.caption(f"The first {FIRST_READINGS:,}; the files have all.")
    downloads(readings, f"{view.file_name}-readings")


def _show_peaks(curves: pa.Table, view: _View) -> None:
    peaks = curves.filter(pc.is_valid(curves["peak_voltage_v"]))
    st.subheader("Peaks of dQ/dV")
    if not peaks.num_rows:
        st.info("No peak stands out.")
    else:
        columns = ["cell_id"] * (len(view.chosen) > 1) + [
            "cycle_number", "direction", "peak_voltage_v", "peak_height_ah_per_v", "peak_prominence_ah_per_v",
        ]  # fmt: skip
        charge = charge_of(curves)
        units = {"Ah/V": replace(charge, unit=f"{charge.unit}/V")} if len(view.chosen) == 1 else None
        show_table(peaks, "battery_ica", columns, key="peaks", alt="Peaks of the incremental capacity", units=units)
    downloads(curves, f"{view.file_name}-curves")


_TABS: Final[dict[str, Callable[[_View], None]]] = {
    "Voltage over charge": _show_over_charge,
    "dQ/dV": _show_incremental,
    "dQ/dV over life": _show_life,
    "dV/dQ": _show_differential,
    "Over time": _show_over_time,
    "Readings": _show_readings,
}
"""What can be looked at, each drawn when it is opened."""
