"""Single cycles of a cell, several on one another: voltage and current, voltage over charge, dQ/dV and dV/dQ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from dashboard.address import choose_many, choose_one
from dashboard.amounts import AH_COLUMN
from dashboard.curves import curves_of, with_charge
from dashboard.figures.ageing import cycles_of
from dashboard.figures.cycle import CycleReadings, differential, incremental, over_charge, over_time
from dashboard.landing import look_at_readings
from dashboard.ranking import outliers_first
from dashboard.view import chart, downloads, look, show_marts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dashboard.view import Published
    from kernel.base.settings import Settings

MOST_CYCLES: Final = 8
"""As many as there are colours."""

FRESH_READINGS_SECONDS: Final = 300.0


def show() -> None:
    """Draw the page."""
    show_marts("Cycle", _draw)


def first_choice(cycles: pa.Table) -> list[str]:
    """The first complete cycle, the one in the middle, and the last: how the cell has changed."""
    complete = cycles.filter(cycles["is_complete"])["cycle_number"].to_pylist() or cycles["cycle_number"].to_pylist()
    return [str(number) for number in dict.fromkeys((complete[0], complete[len(complete) // 2], complete[-1]))]


def _draw(settings: Settings, published: Published) -> None:
    cells = [row["cell_id"] for row in outliers_first(published.table("battery_cells"))]
    left, right = st.columns([1, 2])
    with left:
        cell = choose_one("Cell", cells, "cell", cells[0])
    cycles = cycles_of(published.table("battery_cycles"), cell)
    numbers = [str(number) for number in cycles["cycle_number"].to_pylist()]
    with right:
        chosen = choose_many(f"Cycles (at most {MOST_CYCLES})", numbers, "cycle", first_choice(cycles), MOST_CYCLES)
    if not chosen:
        st.info("Choose one cycle or several.")
        return
    wanted = [int(number) for number in chosen]
    rows = cycles.filter(pc.is_in(cycles["cycle_number"], value_set=pa.array(wanted, cycles["cycle_number"].type)))
    keys = list(zip(rows["test_id"].to_pylist(), rows["cycle_index"].to_pylist(), strict=True))
    seen = look(
        ("readings", settings, published.seen.value.name, cell, tuple(keys)),
        lambda: look_at_readings(settings, cell, keys),
        FRESH_READINGS_SECONDS,
    )
    _draw_cycles(cell, wanted, rows, seen.value, published)


def _draw_cycles(cell: str, wanted: Sequence[int], rows: pa.Table, readings: pa.Table, published: Published) -> None:
    of_number = dict(
        zip(
            rows["cycle_number"].to_pylist(),
            zip(rows["test_id"].to_pylist(), rows["cycle_index"].to_pylist(), strict=True),
            strict=True,
        )
    )
    drawn = [
        CycleReadings(
            number,
            with_charge(
                readings.filter(pc.and_(pc.equal(readings["test_id"], test), pc.equal(readings["cycle_index"], index)))
            ),
        )
        for number, (test, index) in ((number, of_number[number]) for number in wanted)
    ]
    named = ", ".join(map(str, wanted))
    chart(over_time(drawn), f"{cell}-time", f"Voltage and current of {cell} over time, cycles {named}")
    steps = published.table("battery_steps")
    curves = curves_of(readings, rows, steps.filter(pc.equal(steps["cell_id"], cell)))
    shown = [
        ("Voltage over charge", over_charge(drawn), "charge"),
        ("Incremental capacity", incremental(curves, wanted), "dqdv"),
        ("Differential voltage", differential(curves, wanted), "dvdq"),
    ]
    left, right = st.columns(2)
    for place, (title, figure, name) in zip((left, right, left), shown, strict=True):
        with place:
            st.subheader(title)
            chart(figure, f"{cell}-{name}", f"{title} of {cell}, cycles {named}")
    with right:
        _show_peaks(curves)
    st.subheader("Readings")
    st.caption(f"{readings.num_rows:,} readings; `is_kept` is false where `battery_cleaned` leaves one out.")
    downloads(readings, f"{cell}-readings")


def _show_peaks(curves: pa.Table) -> None:
    peaks = curves.filter(pc.is_valid(curves["peak_voltage_v"])).select(
        ["cycle_number", "direction", "peak_voltage_v", "peak_height_ah_per_v", "peak_prominence_ah_per_v"]
    )
    st.subheader("Peaks of dQ/dV")
    if not peaks.num_rows:
        st.info("No peak stands out.")
        return
    st.dataframe(
        peaks, hide_index=True, key="peaks", alt="Peaks of the incremental capacity",
        column_config={
            "cycle_number": "cycle",
            "peak_voltage_v": st.column_config.NumberColumn("voltage (V)", format="%.3f"),
            "peak_height_ah_per_v": st.column_config.NumberColumn("height (Ah/V)", format=AH_COLUMN),
            "peak_prominence_ah_per_v": st.column_config.NumberColumn("prominence (Ah/V)", format=AH_COLUMN),
        },
    )  # fmt: skip
    downloads(curves, "curves")
