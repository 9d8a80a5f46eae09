"""One cell: what it is, its fade with the rule of its end of life, its other figures, its cycles and its report."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from dashboard.address import choose_one, choose_whether
from dashboard.alerts import show_alerts_of_cell
from dashboard.cell.facts import facts_of, in_a_line
from dashboard.cell.figures import figures_of
from dashboard.cell.marts import CellMarts, marts_of_cell
from dashboard.cell.notes import notes_of
from dashboard.cell.pulses import pulse_resistance_of
from dashboard.escaping import literal, spreadsheet_safe
from dashboard.figures.ageing import AXES, column, threshold_ah
from dashboard.navigation import go
from dashboard.ranking import outliers_first
from dashboard.report.name import file_name
from dashboard.report.page import ReportInfo, draw_figures, write_page
from dashboard.report.text import NO_THRESHOLD, ends_of
from dashboard.view import UNKNOWN, chart, choices, downloads, key_figures, retitle, show_marts
from dashboard.words.amounts import Amount, capacity_amount_of, largest, resistance_amount
from dashboard.words.rules import end_in_words, end_rule, end_threshold_ah
from dashboard.words.said import assumed_rows, stated_rows
from dashboard.words.tables import cycle_kinds, show_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dashboard.cell.facts import Fact
    from dashboard.cell.figures import Figure
    from dashboard.cell.pulses import PulseResistance
    from dashboard.view import Published
    from kernel.base.settings import Settings

FIRST_COLUMNS: Final = (
    "cycle_number", "discharge_capacity_ah", "charge_capacity_ah", "coulombic_efficiency", "energy_efficiency", "soh",
    "cycle_kind", "internal_resistance_ohm",
)  # fmt: skip
"""Of the table of cycles, what is looked for first; the rest comes behind."""

TEST_COLUMNS: Final = (
    "source_file", "started_at", "ended_at", "cycle_count", "reading_count", "flagged_count", "counter_behaviour",
    "reader", "test_id",
)  # fmt: skip

GAP_COLUMNS: Final = (
    "started_at", "ended_at", "gap_h", "cycle_number", "capacity_before_ah", "capacity_after_ah", "recovered_ah",
    "is_recovery",
)  # fmt: skip

TABLE_HEIGHT: Final = 320
"""Of the table of cycles, in pixels."""

SHORT_TABLE: Final = 7
"""Rows that need no more than that."""

MINUTES: Final = Amount("min", 1 / 60, 1)
"""How charge times are shown."""


def show() -> None:
    """Draw the page."""
    show_marts("Cell", _draw)


def _draw(settings: Settings, published: Published) -> None:
    names = [row["cell_id"] for row in outliers_first(published.table("battery_cells"))]
    with choices():
        chosen = choose_one("Cell", names, "cell", names[0])
        retitle(f"Cell {chosen}")
        axis = choose_one("Over", list(AXES), "over", "cycle", lambda key: AXES[key].title)
    marts = _marts(published, chosen)
    cell = marts.cell
    facts = facts_of(cell, marts.cycles, marts.steps, marts.tests)
    st.markdown(literal(in_a_line(facts)), help=_in_full(facts))
    pulses = pulse_resistance_of(marts.steps, marts.thresholds)
    key_figures(_key_figures(cell, pulses))
    for note in notes_of(cell, marts.cycles, marts.steps, marts.thresholds):
        st.markdown(f":orange[:material/info:] {literal(note.sentence)}", help=note.detail or None)
    show_alerts_of_cell(settings, published, chosen)
    first, end = st.container(), st.container()
    below = st.container(horizontal=True, vertical_alignment="center")
    with below:  # where it takes no room above the chart
        bands = marts.tests.num_rows > 1 and choose_whether("Tests as bands", "bands", first=True)
    figures = _figures(published, settings, published.seen.value.name, chosen, axis, bands)
    if figures and figures[0].name == "fade":
        with first:
            chart(figures[0].drawing, f"{chosen}-fade", figures[0].caption)
    with end:
        _show_end(cell)
    with below:
        _show_report(marts, published)
        if st.button("Look at its cycles", key="its-cycles", icon=":material/show_chart:"):
            go("cycle", cell=chosen)
    _show_figures([figure for figure in figures if figure.name != "fade"], chosen)
    if not any(figure.name == "resistance" for figure in figures):
        st.caption(literal(pulses.sentence))
    _show_cycles(marts)
    _show_tests(marts)
    _show_said(marts)


@st.cache_resource(max_entries=64, show_spinner="drawing")
def _figures(
    _published: Published,
    settings: Settings,  # noqa: ARG001  # a part of the cache's key
    publication: str,  # noqa: ARG001  # a part of the cache's key
    cell: str,
    axis: str,
    bands: bool,
) -> list[Figure]:
    """The figures of a cell, drawn once for all who look at it."""
    return list(figures_of(_marts(_published, cell), axis, bands=bands))


def _marts(published: Published, cell: str) -> CellMarts:
    has_thresholds = "battery_thresholds" in published.seen.value.places
    return marts_of_cell(published.table, cell, has_thresholds=has_thresholds)


def _in_full(facts: list[Fact]) -> str:
    """The facts one by one, with what they go by."""
    return "\n".join(
        f"- {fact.about}: {literal(fact.value)}" + (f" ({literal(fact.basis)})" if fact.basis else "") for fact in facts
    )


def _key_figures(cell: Mapping[str, Any], pulses: PulseResistance) -> dict[str, str]:
    amount, ohm = capacity_amount_of(cell), resistance_amount(pulses.latest_ohm)

    def whole(value: float | None) -> str:
        return UNKNOWN if value is None else f"{value:,.0f}"

    figures = {
        "SOH (%)": UNKNOWN if cell["latest_soh"] is None else f"{100 * cell['latest_soh']:.1f}",
        f"capacity ({amount.unit})": amount.text(cell["latest_capacity_ah"], UNKNOWN),
        "complete cycles": f"{cell['complete_cycle_count']:,}",
        "end of life (cycle)": "not reached" if cell["eol_cycle"] is None else whole(cell["eol_cycle"]),
        "projected end (cycle)": whole(cell["projected_eol_cycle"]),
        "knee (cycle)": whole(cell["knee_cycle"]),
        "equivalent full cycles": UNKNOWN
        if cell["equivalent_full_cycles"] is None
        else f"{cell['equivalent_full_cycles']:,.1f}",
        f"resistance at {pulses.time} ({ohm.unit})": ohm.text(pulses.latest_ohm, UNKNOWN),
    }
    if not cell["complete_cycle_count"]:
        return {"cycles": f"{cell['cycle_count']:,}", "readings": f"{cell['reading_count']:,}"}
    return {label: figure for label, figure in figures.items() if figure != UNKNOWN}


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
    """The end of life with its rule in words, and what other rules say."""
    level = threshold_ah(cell)
    if level is None:
        st.caption(NO_THRESHOLD)
        return
    amount = capacity_amount_of(cell)
    st.caption(
        f"End of life: {_end_in_words(cell)} Rule: {literal(end_rule(cell['eol_rule']))}, "
        f"{amount.text(level)} {amount.unit}.",
        help=f"`battery_cells.eol_rule`: `{cell['eol_rule']}`",
    )
    if not cell["complete_cycle_count"]:
        return
    ends = ends_of(cell)
    with st.expander("End of life by other rules"):
        st.dataframe(
            [
                {
                    "rule": end_in_words(rule) or rule, "threshold": amount.text(end_threshold_ah(cell, rule)),
                    "cycle": cycle,
                }
                for rule, cycle in ends.items()
            ],
            hide_index=True, key="rules", placeholder="not reached", alt="End of life by each rule, the default first",
            column_config={
                "rule": st.column_config.TextColumn(
                    "the end of life is the", width="large",
                    help="`battery_cells.eol_alternatives`: " + ", ".join(f"`{name}`" for name in ends),
                ),
                "threshold": f"threshold ({amount.unit})",
                "cycle": "cycle",
            },
        )  # fmt: skip


def _show_report(marts: CellMarts, published: Published) -> None:
    """A button that makes the report and hands it over; it is made once somebody wants it."""
    cell = marts.cell["cell_id"]
    name = file_name(cell)

    def page() -> str:
        info = ReportInfo(published.seen.value.published_at, version("battery-pipeline"))
        return write_page(marts, draw_figures(marts), info, file_name=name)

    st.download_button(
        "Report", page, f"{name}.html", "text/html", key="report", on_click="ignore", icon=":material/description:",
        help="One page on this cell, complete in itself, with the same figures, the rules and their literature. "
        "`battery report` writes it too, and its figures as PNG.",
    )  # fmt: skip


def _show_figures(figures: list[Figure], cell: str) -> None:
    """The other figures, two beside one another."""
    for first in range(0, len(figures), 2):
        for place, figure in zip(st.columns(2), figures[first : first + 2], strict=False):
            with place:
                _show_figure(figure, cell)


def _show_figure(figure: Figure, cell: str) -> None:
    st.subheader(figure.title)
    chart(figure.drawing, f"{cell}-{figure.name}", figure.caption)
    st.caption(literal(figure.caption))


def _show_cycles(marts: CellMarts) -> None:
    cycles = marts.cycles
    st.subheader("Cycles")
    behind = {*FIRST_COLUMNS, "cell_id", "is_complete", "is_reference_test"}
    show_table(
        cycles.append_column("cycle_kind", cycle_kinds(cycles)), "battery_cycles",
        [*FIRST_COLUMNS, *(name for name in cycles.column_names if name not in behind)], key="cycles",
        alt=f"Cycles of {marts.cell['cell_id']}", units=_units(marts),
        height=TABLE_HEIGHT if cycles.num_rows > SHORT_TABLE else None,
    )  # fmt: skip
    downloads(cycles, f"{marts.cell['cell_id']}-cycles")


def _units(marts: CellMarts) -> dict[str, Amount]:
    """How amounts of this cell are shown."""
    ohm = resistance_amount(largest(column(marts.cycles, "internal_resistance_ohm")))
    return {"Ah": capacity_amount_of(marts.cell), "Ω": ohm, "s": MINUTES}


def _show_tests(marts: CellMarts) -> None:
    cell, tests, gaps = marts.cell["cell_id"], marts.tests, marts.gaps
    pauses = f", {_count(gaps.num_rows, 'pause')} between them" if gaps.num_rows else ""
    with st.expander(_count(tests.num_rows, "test") + pauses):
        for rows, name, first, key, alt in (
            (tests, "battery_tests", TEST_COLUMNS, "tests", f"Tests of {cell}"),
            (gaps, "battery_gaps", GAP_COLUMNS, "gaps", f"Pauses between the tests of {cell}"),
        ):
            if rows.num_rows:
                rest = [column for column in rows.column_names if column not in {*first, "cell_id", "assumptions"}]
                show_table(rows, name, [*first, *rest], key=key, alt=alt, units=_units(marts))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _show_said(marts: CellMarts) -> None:
    """What readers assumed of the cell's tests, and what its files state of it, where there is any."""
    cell = marts.cell["cell_id"]
    assumed, stated = assumed_rows(marts.tests), stated_rows(marts.cell)
    if not assumed and not stated:
        return
    about = [_count(len(assumed), "assumption") + " about its files"] if assumed else []
    about += [_count(len(stated), "value") + " that its files state"] if stated else []
    with st.expander(", ".join(about)):
        for rows, key, alt in (
            (assumed, "assumed", f"What was assumed about the files of {cell}"),
            (stated, "stated", f"What the files of {cell} state"),
        ):
            if rows:
                st.dataframe(spreadsheet_safe(rows), hide_index=True, key=key, alt=alt)
