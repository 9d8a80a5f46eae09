"""The report on one cell, from the published marts to files in a folder; the warehouse is not opened."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from dashboard.report.name import file_name
from kernel.base.errors import BatteryError
from kernel.base.extras import missing_extra
from refresh.unknown_cell import unknown_cell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dashboard.cell.marts import CellMarts
    from kernel.base.settings import Settings
    from refresh.publication import Publication


def report(settings: Settings, cell: str, folder: Path, *, png: bool | None) -> Iterator[str]:
    """Write the page on a cell, and its figures as PNG.

    Args:
        settings: of the pipeline.
        cell: its id.
        folder: where to write; it is made where it is missing.
        png: whether to write the figures too; None writes them where there is a browser to draw them.

    Yields:
        Lines to print: the path of each file, and why there are no figures where there are none.

    Raises:
        BatteryError: there is no such cell, no marts, no extra or no place to write to; or no browser where `png`.
    """
    try:
        from dashboard.report.page import ReportInfo, draw_figures, write_page  # noqa: PLC0415
        from dashboard.report.paper import NoBrowserError, draw_pngs  # noqa: PLC0415  # an extra
        from refresh.publication import open_publication  # noqa: PLC0415
    except ImportError:
        raise missing_extra("the report", "dashboard") from None
    publication = open_publication(settings)
    cell_report = read_cell_report(publication, cell)
    figures = list(draw_figures(cell_report))
    images: dict[str, bytes] = {}
    complaint = None
    if png is not False:
        try:
            images = draw_pngs({figure.name: figure.drawing for figure in figures})
        except NoBrowserError as error:
            if png:
                raise NoBrowserError(f"{error}; --no-png writes the page alone") from error
            complaint = f"{error}: the page is written alone"
    name = file_name(cell)
    info = ReportInfo(publication.published_at, version("battery-pipeline"))
    page = write_page(cell_report, figures, info, file_name=name, images=images)
    files = {f"{name}.html": page.encode()}
    files |= {f"{name}-{figure}.png": image for figure, image in images.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for written, data in files.items():
            (folder / written).write_bytes(data)
            yield str(folder / written)
    except OSError as error:
        raise BatteryError(
            f"cannot write the report to {folder}: {error.strerror or error}; choose another folder with --out"
        ) from None
    if complaint:
        yield complaint


def read_cell_report(publication: Publication, cell: str) -> CellMarts:
    """Read what a publication of the marts holds on a cell.

    Raises:
        BatteryError: it has no such cell, or the marts cannot be read.
    """
    from dashboard.cell.marts import marts_of_cell  # noqa: PLC0415  # an extra

    try:
        return marts_of_cell(publication.table, cell, has_thresholds="battery_thresholds" in publication.names)
    except KeyError:
        raise unknown_cell(cell, publication.table("battery_cells")["cell_id"].to_pylist()) from None
