"""A page on how one cell ages, complete in itself, for a mail or a paper: from the published marts' tables to HTML.

It is pure: the same tables give the same bytes. Files, settings and browsers are `battery/report.py`'s concern.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from plotly.offline import get_plotlyjs

from dashboard.amounts import decimals_of
from dashboard.figures.ageing import charge_times, efficiency, fade, resistance, temperature, threshold_ah
from dashboard.figures.cycle import differential, incremental
from dashboard.rules import METHODS, citation_of, end_in_words, end_threshold_ah, rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    import plotly.graph_objects as go
    import pyarrow as pa

UNKNOWN: Final = "-"
"""Stands where there is no figure."""

FLAGS: Final = {
    "spike_count": "voltage spikes",
    "temperature_spike_count": "temperature spikes",
    "gap_count": "gaps",
    "counter_reset_count": "counter resets",
    "counter_fell_count": "fallen counters",
    "counter_leap_count": "counters that leaped",
    "clock_jump_count": "clock jumps",
    "cycle_backwards_count": "cycle indices that fell",
    "value_dropped_count": "unusable values",
    "retried_count": "retried readings",
}
"""What pre-cleaning notices, by the columns of `battery_tests`."""

COUNTS: Final = {
    "reading_count": "readings that landed",
    "dropped_count": "of these left out of what is computed",
    "flagged_count": "of these with any flag",
    "spike_count": "suspected of a voltage spike",
    "reading_gap_count": "after a gap within a test, or more than an hour",
    "counter_reset_count": "at which a counter started anew",
    "clock_jump_count": "at which the wall clock jumped against the test clock",
    "quarantined_count": "readings quarantined, duplicates included",
}
"""How far the numbers can be trusted, by the columns of `battery_cells`."""


@dataclass(frozen=True)
class CellReport:
    """The published marts of one cell: its row of `battery_cells`, and its rows of the others, in order.

    `thresholds` are those that the marts were built with, by name.
    """

    cell: Mapping[str, Any]
    cycles: pa.Table
    steps: pa.Table
    gaps: pa.Table
    tests: pa.Table
    curves: pa.Table
    thresholds: Mapping[str, float]


@dataclass(frozen=True)
class Figure:
    """One figure of the report: a name for its file, a title, a caption with what must be said, and the drawing."""

    name: str
    title: str
    caption: str
    drawing: go.Figure


@dataclass(frozen=True)
class ReportInfo:
    """When the marts of the report were published (UTC), and the version of the pipeline."""

    published_at: datetime | None
    version: str


def draw_figures(report: CellReport) -> Iterator[Figure]:
    """The figures of a cell, on white; those that have nothing to show are left out."""
    cell, cycles = report.cell["cell_id"], report.cycles
    numbers = chosen_cycles(report.curves)
    named = ", ".join(map(str, numbers))
    bands = "Grey bands tell the tests apart."
    for figure in (
        Figure("fade", "Capacity fade", f"{_fade_in_words(report.cell)} {bands}", fade(report.cell, cycles)),
        Figure(
            "efficiency", "Efficiency",
            f"Coulombic and energy efficiency (%) of {cell} over the cycle number, between the ends of two complete "
            f"discharges. {bands}",
            efficiency(cycles),
        ),
        Figure(
            "resistance", "Resistance",
            f"Resistance (mΩ) of {cell} over the cycle number: the cycler's internal resistance, and the change of "
            f"voltage by that of current at a stated time after a discharge has set in. {bands}",
            resistance(cycles, report.steps),
        ),
        Figure(
            "temperature", "Temperature",
            f"Highest and mean temperature (°C) of each cycle of {cell} over the cycle number. {bands}",
            temperature(cycles),
        ),
        Figure(
            "charge-time", "Charge time",
            f"Time (min) charged at constant current and at constant voltage of each cycle of {cell} over the cycle "
            f"number. {bands}",
            charge_times(cycles),
        ),
        Figure(
            "dqdv", "Incremental capacity",
            f"Incremental capacity dQ/dV (Ah/V) of {cell} over the voltage (V) at constant current, cycles {named}; "
            "triangles are peaks.",
            incremental(report.curves, numbers),
        ),
        Figure(
            "dvdq", "Differential voltage",
            f"Differential voltage dV/dQ (V/Ah) of {cell} over the charge moved since the step began (Ah) at constant "
            f"current, cycles {named}.",
            differential(report.curves, numbers),
        ),
    ):  # fmt: skip
        if any(trace.x is not None and len(trace.x) for trace in figure.drawing.data):
            figure.drawing.update_layout(template="plotly_white", paper_bgcolor="white", plot_bgcolor="white")
            yield figure


def chosen_cycles(curves: pa.Table) -> list[int]:
    """The first, the middle and the last cycle that there are curves of: how the cell has changed."""
    numbers = sorted(set(curves["cycle_number"].to_pylist()))
    return list(dict.fromkeys((numbers[0], numbers[len(numbers) // 2], numbers[-1]))) if numbers else []


def write_page(
    report: CellReport,
    figures: Iterable[Figure],
    info: ReportInfo,
    *,
    file_name: str,
    images: Mapping[str, bytes] | None = None,
) -> str:
    """The report as one HTML page that asks nobody for anything.

    Args:
        report: of the cell.
        figures: of the cell.
        info: of the report.
        file_name: what figures that a reader saves are called by.
        images: the figures as PNG by name, for readers without JavaScript; None where there are none.

    Returns:
        The page, which is the same for the same arguments.
    """
    cell = report.cell
    config = {"displaylogo": False, "responsive": True}
    drawings = [
        {
            "name": figure.name,
            "title": figure.title,
            "caption": figure.caption,
            "html": figure.drawing.to_html(
                full_html=False, include_plotlyjs=False, div_id=f"figure-{figure.name}", default_width="100%",
                default_height=f"{figure.drawing.layout.height}px",
                config={
                    **config,
                    "toImageButtonOptions": {"format": "png", "filename": f"{file_name}-{figure.name}", "scale": 2},
                },
            ),
            "image": base64.b64encode(images[figure.name]).decode() if images else None,
        }
        for figure in figures
    ]  # fmt: skip
    return _TEMPLATES.get_template("report.html.jinja").render(
        cell=cell["cell_id"],
        key_figures=_key_figures(cell, report.thresholds),
        end=_end(cell),
        ends=_ends(cell),
        knee=_knee(cell),
        projection=_projection(cell),
        figures=drawings,
        plotlyjs=get_plotlyjs(),
        gaps=_gaps(report.gaps, decimals_of(report.cell)),
        recoveries=_recoveries(cell),
        tests=_tests(report.tests),
        counts=[(words, f"{cell[name]:,}") for name, words in COUNTS.items()],
        rules=rules(report.thresholds),
        citation=citation_of(cell["cell_id"]),
        provenance=_provenance(report, info),
        info=info,
        published=_published(info),
    )


def _key_figures(cell: Mapping[str, Any], thresholds: Mapping[str, float]) -> list[dict[str, str]]:
    """The numbers that are looked for first, each with its unit and what it goes by."""
    basis, digits_ah = cell["soh_basis"], decimals_of(cell)
    soh, ohm = cell["latest_soh"], cell["latest_internal_resistance_ohm"]
    of_basis = (
        f"of the {basis} capacity, {_number(cell[f'{basis}_capacity_ah'], digits_ah)} Ah" if basis else "no basis yet"
    )
    rows = (
        ("State of health", None if soh is None else 100 * soh, 1, "%", of_basis),
        ("Discharge capacity", cell["latest_capacity_ah"], digits_ah, "Ah", "of the last complete cycle"),
        ("Complete cycles", cell["complete_cycle_count"], 0, "cycles", f"of {cell['cycle_count']:,} cycles in all"),
        ("Equivalent full cycles", cell["equivalent_full_cycles"], 1, "cycles", "charge moved by twice the capacity"),
        ("Fade, whole life", cell["fade_ah_per_100_cycles"], digits_ah, "Ah per 100 cycles", "Theil-Sen slope"),
        (
            "Fade, recent",
            cell["recent_fade_ah_per_100_cycles"],
            digits_ah,
            "Ah per 100 cycles",
            f"last {thresholds['recent_cycles']:.0f} complete cycles",
        ),
        ("Internal resistance", None if ohm is None else 1000 * ohm, 1, "mΩ", "the cycler's, last that was measured"),
        ("End of life", cell["eol_cycle"], 0, "cycle", cell["eol_rule"]),
        ("Knee", cell["knee_cycle"], 0, "cycle", _range(cell, "knee", "95 % interval")),
        ("Projected end of life", cell["projected_eol_cycle"], 0, "cycle", _range(cell, "projected_eol", "plausible")),
    )
    return [
        {"label": label, "value": _number(value, digits), "unit": unit if value is not None else "", "note": note}
        for label, value, digits, unit, note in rows
    ]


def _range(cell: Mapping[str, Any], name: str, what: str) -> str:
    """The range of a cycle number, or that there is none."""
    if cell[f"{name}_cycle"] is None:
        return "none"
    return f"{what}: {_number(cell[f'{name}_low_cycle'], 0)} to {_number(cell[f'{name}_high_cycle'], 0, 'open')}"


def _end(cell: Mapping[str, Any]) -> str:
    """Whether the end of life has come, by which rule, and below what."""
    level = threshold_ah(cell)
    if level is None:
        return "Neither a nominal capacity nor a complete cycle is known: nothing tells the end of life yet."
    reached = f"was reached at cycle {cell['eol_cycle']}" if cell["eol_cycle"] is not None else "has not been reached"
    threshold = _number(level, decimals_of(cell))
    return f"The end of life {reached}, by the rule {cell['eol_rule']} with its threshold of {threshold} Ah."


def _ends(cell: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """The end of life by each rule, the default first: its name, what it says, the threshold in Ah, and the cycle."""
    ends = [(cell["eol_rule"], cell["eol_cycle"])]
    ends += [(other["rule"], other["cycle_number"]) for other in cell["eol_alternatives"] or []]
    return [
        (
            rule, end_in_words(rule) or UNKNOWN, _number(end_threshold_ah(cell, rule), decimals_of(cell)),
            _number(cycle, 0, "not reached"),
        )
        for rule, cycle in ends
    ]  # fmt: skip


def _knee(cell: Mapping[str, Any]) -> str:
    if cell["knee_cycle"] is None:
        return "No knee: the data insist on none so far."
    return (
        f"The fade begins to accelerate at cycle {cell['knee_cycle']:.0f}, with a 95 % interval from cycle "
        f"{cell['knee_low_cycle']:.0f} to {cell['knee_high_cycle']:.0f}. Method {cell['knee_method']}: "
        f"{METHODS.get(cell['knee_method'], 'not described here')}. Confidence {cell['knee_confidence']:.2f} of 1, "
        "which says how clear the knee is, not how probable."
    )


def _projection(cell: Mapping[str, Any]) -> str:
    if cell["projected_eol_cycle"] is not None:
        return (
            f"The end of life is projected at cycle {cell['projected_eol_cycle']:.0f}, between "
            f"{cell['projected_eol_low_cycle']:.0f} and {_number(cell['projected_eol_high_cycle'], 0, 'open')}: the "
            "range of the courses that the recent fade makes plausible, and no 95 % interval."
        )
    if cell["eol_cycle"] is not None:
        return "Nothing is projected, since the end of life has come."
    return "Nothing is projected: it is too early, or the fade is too flat."


def _fade_in_words(cell: Mapping[str, Any]) -> str:
    level = threshold_ah(cell)
    words = f"Discharge capacity (Ah) of {cell['cell_id']} over the cycle number."
    if level is None:
        return words
    return f"{words} Dashed: the threshold of {level:.{decimals_of(cell)}f} Ah by the rule {cell['eol_rule']}."


def _recoveries(cell: Mapping[str, Any]) -> str:
    return (
        f"In {cell['recovery_count']:,} of {cell['gap_count']:,} pauses the cell has recovered capacity, "
        f"{_number(cell['recovered_ah'] or 0.0, decimals_of(cell))} Ah together; the longest pause was "
        f"{_number(cell['longest_gap_h'], 1)} h."
    )


def _gaps(gaps: pa.Table, digits_ah: int) -> list[tuple[str, ...]]:
    return [
        (
            _moment(row["started_at"]), _moment(row["ended_at"]), _number(row["gap_h"], 1),
            _number(row["cycle_number"], 0), _number(row["capacity_before_ah"], digits_ah),
            _number(row["capacity_after_ah"], digits_ah),
            _number(row["recovered_ah"], digits_ah), "yes" if row["is_recovery"] else "no",
        )
        for row in gaps.to_pylist()
    ]  # fmt: skip


def _tests(tests: pa.Table) -> list[tuple[str, ...]]:
    return [
        (
            row["test_id"], row["source_file"] or UNKNOWN, _moment(row["started_at"]), _moment(row["ended_at"]),
            _number(row["cycle_count"], 0), _number(row["reading_count"], 0), row["counter_behaviour"],
            ", ".join(f"{row[name]:,} {words}" for name, words in FLAGS.items() if row.get(name)) or "none",
        )
        for row in tests.to_pylist()
    ]  # fmt: skip


def _provenance(report: CellReport, info: ReportInfo) -> list[tuple[str, str]]:
    files = dict.fromkeys(name for name in report.tests["source_file"].to_pylist() if name)
    return [
        ("Marts published", _published(info)),
        ("Pipeline", f"Battery Degradation Analytics Pipeline, version {info.version}"),
        ("Chemistry", report.cell["chemistry"] or UNKNOWN),
        ("Nominal capacity", f"{_number(report.cell['nominal_capacity_ah'], decimals_of(report.cell))} Ah"),
        ("Initial capacity", f"{_number(report.cell['initial_capacity_ah'], decimals_of(report.cell))} Ah"),
        (
            "First and last reading",
            f"{_moment(report.cell['first_at'])} to {_moment(report.cell['last_at'])}, cycler's clock",
        ),
        (f"Source files ({len(files)})", ", ".join(files) or "none: live readings"),
    ]


def _published(info: ReportInfo) -> str:
    return f"{info.published_at:%Y-%m-%d %H:%M:%S} UTC" if info.published_at else "at a time that is not known"


def _number(value: float | None, digits: int, unknown: str = UNKNOWN) -> str:
    return unknown if value is None else f"{value:,.{digits}f}"


def _moment(at: datetime | None) -> str:
    return UNKNOWN if at is None else f"{at:%Y-%m-%d %H:%M}"


_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
