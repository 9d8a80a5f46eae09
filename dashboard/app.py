"""The dashboard's page: how every cell ages, and what the stream has landed.

Streamlit runs this file from top to bottom for every visitor and every click. What it shows is looked up at most every
`FRESH_SECONDS`, in one short look that gives the warehouse back at once: a DuckDB file admits one process at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

import plotly.graph_objects as go
import streamlit as st

from battery.errors import BatteryError
from battery.settings import Settings, load_settings
from sink.tables import require_tables
from sink.warehouse import open_warehouse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import duckdb

FRESH_SECONDS: Final = 10

FULL: Final = "c.discharge_capacity_ah > 0.3 and c.voltage_min_v <= 2.8"
"""What makes a cycle a full one: neither broken off nor cut short."""

AGEING: Final = f"""
    select
        c.cell_id,
        count(*) filter ({FULL}) as full_cycles,
        arg_min(c.discharge_capacity_ah, c.started_at) filter ({FULL}) as first_ah,
        arg_max(c.discharge_capacity_ah, c.started_at) filter ({FULL}) as last_ah,
        sum(c.reading_count) as rows,
        (select coalesce(sum(q.row_count), 0) from battery_quarantine as q where q.cell_id = c.cell_id) as quarantined
    from battery_cell_cycles as c
    group by c.cell_id
    order by c.cell_id
"""  # noqa: S608  # names come from this module alone

CHOSEN: Final = "cell"
"""The query parameter that holds the chosen cells, one value each; a single empty one means none."""

CAPACITIES: Final = """
    select cell_id, cycle, discharge_capacity_ah
    from (
        select
            cell_id,
            discharge_capacity_ah,
            row_number() over (partition by cell_id order by started_at, cycle_index) as cycle
        from battery_cell_cycles
    )
    where discharge_capacity_ah > 0
    order by cell_id, cycle
"""
"""Cycles are numbered over a cell's whole life, those without a discharge included; only the latter are left out."""


class Cell(TypedDict):
    """How one cell ages: capacities in Ah, the last one relative to the first in %; None without a full cycle."""

    cell: str
    full_cycles: int
    first_ah: float | None
    last_ah: float | None
    relative_percent: float | None
    landed: int
    quarantined: int


class Curve(TypedDict):
    """A cell's discharge capacity in Ah over its cycle number."""

    cycle: list[int]
    capacity_ah: list[float]


class Stream(TypedDict):
    """What the stream has landed; times are UTC."""

    commits: int
    last_commit: datetime | None
    rows: int
    quarantined: dict[str, int]


class Look(TypedDict):
    """What one look at the warehouse has found, as plain data: Streamlit's cache cannot pickle this file's classes."""

    cells: list[Cell]
    curves: dict[str, Curve]
    stream: Stream


def find_cells(connection: duckdb.DuckDBPyConnection) -> list[Cell]:
    """How each cell ages, by its id."""
    return [
        Cell(
            cell=cell,
            full_cycles=full,
            first_ah=first,
            last_ah=last,
            relative_percent=None if first is None else 100 * last / first,
            landed=landed,
            quarantined=quarantined,
        )
        for cell, full, first, last, landed, quarantined in connection.execute(AGEING).fetchall()
    ]


def find_curves(connection: duckdb.DuckDBPyConnection) -> dict[str, Curve]:
    """The discharge capacities of each cell that has any."""
    curves: dict[str, Curve] = {}
    for cell, cycle, capacity in connection.execute(CAPACITIES).fetchall():
        curve = curves.setdefault(cell, Curve(cycle=[], capacity_ah=[]))
        curve["cycle"].append(cycle)
        curve["capacity_ah"].append(capacity)
    return curves


def find_stream(connection: duckdb.DuckDBPyConnection) -> Stream:
    """Commits, rows and what was quarantined, by reason."""
    [(commits, last_commit, rows)] = connection.execute(
        'select count(distinct "commit"), max(committed_at), (select count(*) from battery_ts_cleaned) from _commits'
    ).fetchall()
    quarantined = connection.execute(
        "select reason, sum(row_count)::bigint from battery_quarantine group by reason order by reason"
    ).fetchall()
    return Stream(commits=commits, last_commit=last_commit, rows=rows, quarantined=dict(quarantined))


@st.cache_data(ttl=FRESH_SECONDS, show_spinner="looking at the warehouse")
def look(settings: Settings) -> Look:
    """Look at the warehouse, or remember a look that is still fresh.

    Raises:
        BatteryError: there is no warehouse yet, it holds no landing tables, or it cannot be opened.
    """
    with open_warehouse(settings).connect("show the dashboard", read_only=True) as connection:
        require_tables(connection)
        return Look(cells=find_cells(connection), curves=find_curves(connection), stream=find_stream(connection))


def capacity_chart(curves: dict[str, Curve], cells: Sequence[str]) -> go.Figure:
    """Discharge capacity over cycle number, a line for each of the cells."""
    figure = go.Figure()
    for cell in cells:
        curve = curves.get(cell, Curve(cycle=[], capacity_ah=[]))
        figure.add_scatter(x=curve["cycle"], y=curve["capacity_ah"], name=cell, mode="lines")
    figure.update_layout(
        xaxis_title="cycle number", yaxis_title="discharge capacity (Ah)", showlegend=True, hovermode="x unified"
    )
    return figure


def choose_cells(cells: Sequence[str]) -> list[str]:
    """Let the visitor choose among the cells; the address of the page holds the choice, at first all of them."""

    def remember() -> None:
        st.query_params[CHOSEN] = st.session_state[CHOSEN] or ""

    asked = dict.fromkeys(st.query_params.get_all(CHOSEN) or cells)
    chosen = [cell for cell in asked if cell in cells]
    if st.session_state.get(CHOSEN) != chosen:
        st.session_state[CHOSEN] = chosen
    return st.multiselect("Cells", cells, key=CHOSEN, on_change=remember)


def show_cells(found: Look) -> None:
    """Draw the table of cells and the chart of those that are chosen."""
    st.dataframe(
        found["cells"],
        hide_index=True,
        column_config={
            "cell": "cell",
            "full_cycles": "full cycles",
            "first_ah": st.column_config.NumberColumn("first capacity (Ah)", format="%.4f"),
            "last_ah": st.column_config.NumberColumn("last capacity (Ah)", format="%.4f"),
            "relative_percent": st.column_config.NumberColumn("last relative to first (%)", format="%.2f"),
            "landed": "rows landed",
            "quarantined": "rows quarantined",
        },
    )
    chosen = choose_cells([cell["cell"] for cell in found["cells"]])
    st.plotly_chart(capacity_chart(found["curves"], chosen), key="capacity")


def show_stream(stream: Stream) -> None:
    """Draw what the stream has landed."""
    st.subheader("Stream")
    last = stream["last_commit"]
    figures = {
        "commits": f"{stream['commits']:,}",
        "last commit (UTC)": f"{last:%Y-%m-%d %H:%M:%S}" if last else "never",
        "rows landed": f"{stream['rows']:,}",
        "rows quarantined": f"{sum(stream['quarantined'].values()):,}",
    }
    for column, (label, figure) in zip(st.columns(len(figures)), figures.items(), strict=True):
        column.metric(label, figure)
    if stream["quarantined"]:
        st.dataframe(
            [{"reason": reason, "rows quarantined": rows} for reason, rows in stream["quarantined"].items()],
            hide_index=True,
        )


def show_page() -> None:
    """Look at the warehouse and draw the page; without anything to show, say what to do."""
    st.set_page_config(page_title="Battery degradation", layout="wide")
    st.title("Battery degradation")
    try:
        found = look(load_settings())
    except BatteryError as error:
        st.info(str(error))
        return
    if found["cells"]:
        show_cells(found)
    else:
        st.info("no cell has landed yet; publish workbooks with `battery produce` and land them with `battery stream`")
    show_stream(found["stream"])


if __name__ == "__main__":
    show_page()
