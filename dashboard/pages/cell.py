"""One cell: its fade with the rule of its end of life, efficiency, resistance, temperature, and how far it will go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import streamlit as st

from dashboard.address import choose_one, choose_whether
from dashboard.amounts import capacity_amount_of
from dashboard.escaping import literal, spreadsheet_safe
from dashboard.figures.ageing import (
    AXES,
    charge_times,
    cycles_of,
    efficiency,
    fade,
    resistance,
    temperature,
    threshold_ah,
)
from dashboard.ranking import outliers_first
from dashboard.said import assumed_rows, stated_rows
from dashboard.view import UNKNOWN, chart, downloads, key_figures, show_marts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from dashboard.view import Published
    from kernel.base.settings import Settings


def show() -> None:
    """Draw the page."""
    show_marts("Cell", _draw)


def _draw(settings: Settings, published: Published) -> None:  # noqa: ARG001
    cells = {row["cell_id"]: row for row in outliers_first(published.table("battery_cells"))}
    left, middle, right = st.columns(3, vertical_alignment="bottom")
    with left:
        chosen = choose_one("Cell", list(cells), "cell", next(iter(cells)))
    with middle:
        axis = choose_one("Over", list(AXES), "over", "cycle", lambda key: AXES[key].title)
    with right:
        bands = choose_whether("Tests as bands", "bands", first=True)
    cell, cycles = cells[chosen], cycles_of(published.table("battery_cycles"), chosen)
    _show_figures(cell)
    chart(fade(cell, cycles, axis, bands=bands), f"{chosen}-fade", _fade_in_words(cell))
    _show_end(cell)
    steps = published.table("battery_steps")
    steps = steps.filter(pc.equal(steps["cell_id"], chosen))
    shown = [
        ("Efficiency", efficiency(cycles, axis, bands=bands), "efficiency"),
        ("Resistance", resistance(cycles, steps, axis, bands=bands), "resistance"),
        ("Temperature", temperature(cycles, axis, bands=bands), "temperature"),
        ("Charge time", charge_times(cycles, axis, bands=bands), "charge-time"),
    ]
    for first in range(0, len(shown), 2):
        for place, (title, figure, name) in zip(st.columns(2), shown[first : first + 2], strict=True):
            with place:
                st.subheader(title)
                chart(figure, f"{chosen}-{name}", f"{title} of {chosen} over {AXES[axis].title}")
    _show_tests(published, chosen)
    _show_said(published, cell)
    st.subheader("Cycles")
    st.dataframe(
        spreadsheet_safe(cycles.drop_columns(["cell_id"])),
        hide_index=True,
        height=320,
        key="cycles",
        alt=f"Cycles of {chosen}",
    )
    downloads(cycles, f"{chosen}-cycles")


def _show_figures(cell: Mapping[str, Any]) -> None:
    amount = capacity_amount_of(cell)

    def whole(value: float | None) -> str:
        return UNKNOWN if value is None else f"{value:.0f}"

    figures = {
        "SOH (%)": UNKNOWN if cell["latest_soh"] is None else f"{100 * cell['latest_soh']:.1f}",
        f"capacity ({amount.unit})": amount.text(cell["latest_capacity_ah"], UNKNOWN),
        "complete cycles": f"{cell['complete_cycle_count']:,}",
        "equivalent full cycles": UNKNOWN
        if cell["equivalent_full_cycles"] is None
        else f"{cell['equivalent_full_cycles']:.1f}",
        "end of life (cycle)": whole(cell["eol_cycle"]),
        "projected end (cycle)": whole(cell["projected_eol_cycle"]),
        "knee (cycle)": whole(cell["knee_cycle"]),
    }
    key_figures(figures)


def _fade_in_words(cell: Mapping[str, Any]) -> str:
    level = threshold_ah(cell)
    words = [f"Discharge capacity of {cell['cell_id']} over its life, {cell['complete_cycle_count']} complete cycles."]
    if level is not None:
        amount = capacity_amount_of(cell)
        shown = f"{amount.factor * level:.{amount.decimals - 1}f} {amount.unit}"
        words.append(f"End of life below {shown}: {_end_in_words(cell)}")
    return " ".join(words)


def _end_in_words(cell: Mapping[str, Any]) -> str:
    if cell["eol_cycle"] is not None:
        return f"reached at cycle {cell['eol_cycle']}."
    if cell["projected_eol_cycle"] is not None:
        high = cell["projected_eol_high_cycle"]
        until = f"{high:.0f}" if high is not None else "open"
        return (
            f"projected at cycle {cell['projected_eol_cycle']:.0f}, between {cell['projected_eol_low_cycle']:.0f} and "
            f"{until}, a range of plausible courses."
        )
    return "not reached, and too early, or too flat, to project."


def _show_end(cell: Mapping[str, Any]) -> None:
    """The rule in words, and what other rules say."""
    level = threshold_ah(cell)
    if level is None:
        st.caption("Neither a nominal capacity nor a complete cycle is known: the end of life is still open.")
        return
    amount = capacity_amount_of(cell)
    threshold = f"{amount.text(level)} {amount.unit}"
    st.caption(f"Rule {literal(cell['eol_rule'])}: threshold {threshold}; {_end_in_words(cell)}")
    alternatives = cell["eol_alternatives"] or []
    with st.expander("End of life by other rules"):
        st.dataframe(
            [{"rule": other["rule"], "cycle": other["cycle_number"]} for other in alternatives], hide_index=True,
            key="rules", alt="End of life by other rules",
        )  # fmt: skip


def _show_tests(published: Published, cell: str) -> None:
    tests, gaps = published.table("battery_tests"), published.table("battery_gaps")
    tests, gaps = (table.filter(pc.equal(table["cell_id"], cell)).drop_columns(["cell_id"]) for table in (tests, gaps))
    with st.expander(f"{tests.num_rows} tests, {gaps.num_rows} pauses between them"):
        _show_table(tests.sort_by("ordered_at"), "tests", f"Tests of {cell}")
        _show_table(gaps.sort_by("started_at"), "gaps", f"Pauses between the tests of {cell}")


def _show_said(published: Published, cell: Mapping[str, Any]) -> None:
    """What readers assumed of the cell's tests, and what its files state of it, where there is any."""
    tests = published.table("battery_tests")
    assumed = assumed_rows(tests.filter(pc.equal(tests["cell_id"], cell["cell_id"])).sort_by("ordered_at"))
    stated = stated_rows(cell)
    if not assumed and not stated:
        return
    with st.expander(f"{len(assumed)} assumptions about its files, {len(stated)} values that they state"):
        for rows, key, alt in (
            (assumed, "assumed", f"What was assumed about the files of {cell['cell_id']}"),
            (stated, "stated", f"What the files of {cell['cell_id']} state"),
        ):
            if rows:
                st.dataframe(spreadsheet_safe(rows), hide_index=True, key=key, alt=alt)


def _show_table(table: pa.Table, key: str, alt: str) -> None:
    if table.num_rows:
        st.dataframe(spreadsheet_safe(table), hide_index=True, key=key, alt=alt)
