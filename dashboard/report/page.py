"""A page on how one cell ages, complete in itself, for a mail or a paper: figures and HTML from the published marts.

The functions are pure: the same tables give the same bytes. `dashboard/report/text.py` writes the words and the tables;
`battery/report.py` reads the marts, runs the browser and writes the files.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jinja2
from plotly.offline import get_plotlyjs

from dashboard.cell.facts import facts_of, in_a_line
from dashboard.cell.figures import figures_of
from dashboard.cell.notes import notes_of
from dashboard.cell.pulses import pulse_resistance_of
from dashboard.report import text as report_text
from dashboard.words.amounts import capacity_amount_of
from dashboard.words.rules import citation_of, rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from dashboard.cell.figures import Figure
    from dashboard.cell.marts import CellMarts


@dataclass(frozen=True)
class ReportInfo:
    """When the marts of the report were published (UTC), and the version of the pipeline."""

    published_at: datetime | None
    version: str


def draw_figures(marts: CellMarts) -> Iterator[Figure]:
    """The figures of a cell, on white; those that have nothing to show are left out."""
    for figure in figures_of(marts):
        figure.drawing.update_layout(template="plotly_white", paper_bgcolor="white", plot_bgcolor="white")
        yield figure


def write_page(
    marts: CellMarts,
    figures: Iterable[Figure],
    info: ReportInfo,
    *,
    file_name: str,
    images: Mapping[str, bytes] | None = None,
) -> str:
    """The report as one HTML page that asks nobody for anything.

    Args:
        marts: of the cell.
        figures: of the cell.
        info: of the report.
        file_name: what figures that a reader saves are called by.
        images: the figures as PNG by name, for readers without JavaScript; None where there are none.

    Returns:
        The page, which is the same for the same arguments.
    """
    cell = marts.cell
    facts = facts_of(cell, marts.cycles, marts.steps, marts.tests)
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
        facts=in_a_line(facts),
        notes=notes_of(cell, marts.cycles, marts.steps, marts.thresholds),
        key_figures=report_text.key_figures(cell, marts.thresholds, pulse_resistance_of(marts.steps, marts.thresholds)),
        end=report_text.end_sentence(cell),
        ends=report_text.end_rows(cell),
        knee=report_text.knee_text(cell),
        projection=report_text.projection_text(cell),
        figures=drawings,
        plotlyjs=get_plotlyjs(),
        gaps=report_text.gap_rows(marts.gaps, capacity_amount_of(cell)),
        unit=capacity_amount_of(cell).unit,
        recoveries=report_text.recovery_sentence(cell),
        tests=report_text.test_rows(marts.tests),
        counts=report_text.count_rows(cell),
        rules=rules(marts.thresholds),
        citation=citation_of(cell["cell_id"]),
        provenance=report_text.provenance_rows(cell, facts, marts.tests, info.published_at, info.version),
        info=info,
        published=report_text.publication_time(info.published_at),
    )


_TEMPLATES: Final = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
    trim_blocks=True, lstrip_blocks=True,
)  # fmt: skip
