"""A page on how one cell ages, complete in itself, for a mail or a paper: figures and HTML from the published marts.

The functions are pure: the same tables give the same bytes. `dashboard/report_text.py` writes the words and the tables;
`battery/report.py` reads the marts, runs the browser and writes the files.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
from plotly.offline import get_plotlyjs

from dashboard import report_text
from dashboard.amounts import capacity_amount_of
from dashboard.figures.ageing import charge_times, efficiency, fade, resistance, temperature
from dashboard.figures.cycle import charge_of, differential, incremental
from dashboard.rules import citation_of, rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    import plotly.graph_objects as go
    import pyarrow as pa


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
    charge = charge_of(report.curves).unit
    bands = "Grey bands tell the tests apart."
    for figure in (
        Figure("fade", "Capacity fade", f"{report_text.fade_caption(report.cell)} {bands}", fade(report.cell, cycles)),
        Figure(
            "efficiency", "Efficiency",
            f"Coulombic and energy efficiency (%) of {cell} over the cycle number, between the ends of two complete "
            f"discharges. {bands}",
            efficiency(cycles),
        ),
        Figure(
            "resistance", "Resistance",
            f"Resistance of {cell} over the cycle number: the cycler's internal resistance, and the change of "
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
            f"Incremental capacity dQ/dV ({charge}/V) of {cell} over the voltage (V) at constant current, cycles "
            f"{named}; triangles are peaks.",
            incremental(report.curves, numbers),
        ),
        Figure(
            "dvdq", "Differential voltage",
            f"Differential voltage dV/dQ (V/{charge}) of {cell} over the charge moved since the step began ({charge}) "
            f"at constant current, cycles {named}.",
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
        key_figures=report_text.key_figures(cell, report.thresholds),
        end=report_text.end_sentence(cell),
        ends=report_text.end_rows(cell),
        knee=report_text.knee_text(cell),
        projection=report_text.projection_text(cell),
        figures=drawings,
        plotlyjs=get_plotlyjs(),
        gaps=report_text.gap_rows(report.gaps, capacity_amount_of(cell)),
        unit=capacity_amount_of(cell).unit,
        recoveries=report_text.recovery_sentence(cell),
        tests=report_text.test_rows(report.tests),
        counts=report_text.count_rows(cell),
        rules=rules(report.thresholds),
        citation=citation_of(cell["cell_id"]),
        provenance=report_text.provenance_rows(cell, report.tests, info.published_at, info.version),
        info=info,
        published=report_text.publication_time(info.published_at),
    )


_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
