"""Charts of groups of cells: one, or a panel for each value of an attribute, with what has to be said below them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from dashboard.colours import FIRST
from dashboard.escaping import literal, spreadsheet_safe
from dashboard.figures.fleet import AS_MEASURED, PANEL_HEIGHT, TO_FIRST, TO_NOMINAL, measure_title, scaled_measure
from dashboard.figures.means import drawn_classes, mean_limits, means
from dashboard.figures.measures import AXES
from dashboard.figures.scatter import correlation_lines, placed, ranges_of, scatter
from dashboard.figures.style import COLOURS
from dashboard.groups.attributes import Attribute, Kind
from dashboard.groups.classes import ALL, Classes, classes_of, one_class
from dashboard.groups.means import class_means, counts_in_words, means_of_groups, width_of
from dashboard.navigation import go
from dashboard.view import UNKNOWN, chart
from dashboard.words.thresholds import thresholds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    import plotly.graph_objects as go_figures

    from dashboard.colours import Ink
    from dashboard.groups.choices import GroupChoice
    from dashboard.view import Published

    Draw = Callable[[list[str], int | None], go_figures.Figure | None]

MOST_PANELS: Final = 6
"""Panels on a page: those with the most cells."""

MOST_IN_COLOUR: Final = len(COLOURS)
"""Groups in colour: as many as eyes tell apart."""

NAMED: Final = 4
"""Groups, or changes of n, that a line names at most."""

STYLE: Final = """
<style>
.st-key-panels { flex-wrap: wrap; }
.st-key-panels > div { flex: 1 1 22rem; min-width: min(22rem, 100%); }
</style>
"""
"""Panels side by side as far as there is room, on a phone one below the other."""


@dataclass(frozen=True)
class MeansOf:
    """What means are drawn of: a measure, over an axis, as measured or relative to something."""

    measure: str
    axis: str
    scale: str = AS_MEASURED


def classes_here(choice: GroupChoice, all_cells: Sequence[str]) -> Classes | None:
    """The classes that give cells their colours; None where each cell has its own."""
    return None if choice.colour is None else classes_of(choice.colour, all_cells)


def draw_charts(
    name: str, choice: GroupChoice, all_cells: Sequence[str], cells: list[str], draw: Draw, alt: str,
    show: Callable[[go_figures.Figure, str, str], object] = chart,
) -> list[str]:  # fmt: skip
    """Draw one chart of some cells, or a panel for each value of what the visitor chose for panels.

    Args:
        name: of the chart.
        choice: the visitor's.
        all_cells: ids of all cells of the publication.
        cells: ids of those that are drawn, one of which can be at least.
        draw: the drawing of some of them at a height, None for its own; None where none of them can be drawn.
        alt: what the chart shows.
        show: puts a drawing on the page, by its name and what it shows.

    Returns:
        What has to be said of the panels.
    """
    if choice.panels is None:
        figure = draw(cells, None)
        if figure is not None:
            show(figure, name, alt)
        return []
    classes = classes_of(choice.panels, all_cells)
    members = classes.among(cells)
    foremost, others = drawn_classes(members, MOST_PANELS)
    empty = []
    st.html(STYLE)
    with st.container(horizontal=True, gap="medium", key="panels"):
        for number, (panel, count) in enumerate(foremost.items()):
            figure = draw(members[panel], PANEL_HEIGHT)
            if figure is None:
                empty.append(panel)
                continue
            with st.container(gap="small"):
                st.markdown(f"**{literal(panel)}** · n = {count:,}")
                show(figure, f"{name}-{number + 1}", f"{panel}: {alt}")
    lines = []
    if others:
        total = sum(others.values())
        lines.append(
            f"The {MOST_PANELS} largest of {len(members)} panels; not drawn: {_named(others)} ({total} cells)."
        )
    if empty:
        lines.append(f"Nothing to draw of {', '.join(map(literal, empty[:NAMED]))}.")
    return lines


def draw_means(
    published: Published, choice: GroupChoice, all_cells: Sequence[str], cells: list[str],
    rows: Sequence[Mapping[str, Any]], of: MeansOf,
) -> bool:  # fmt: skip
    """Draw the means of the groups of some cells; whether there is anything to draw.

    Args:
        published: what was published.
        choice: the visitor's.
        all_cells: ids of all cells of the publication.
        cells: ids of those that are drawn.
        rows: of `battery_cells`, of those.
        of: what the means are of.
    """
    if of.axis == "date":
        st.info(
            "Means are taken over cycle numbers or equivalent full cycles: on one day cells of a group are of different"
            " ages. Choose one of these under “Over”."
        )
        return False
    cycles = published.table("battery_cycles")
    classes = classes_here(choice, all_cells) or one_class(all_cells, FIRST)
    shown = scaled_measure(rows, of.measure, of.scale)
    unit = shown.unit if of.scale == AS_MEASURED else "%"
    usual = thresholds_of(
        published.table("battery_thresholds") if "battery_thresholds" in published.seen.value.places else None
    )["group_cycles"]
    of_cells = cycles.filter(pc.is_in(cycles["cell_id"], value_set=pa.array(cells, pa.string())))
    width = width_of(of_cells, AXES[of.axis].column, usual)
    drawn, others = drawn_classes(classes.among(cells), MOST_IN_COLOUR)

    def rows_of(chosen: list[str]) -> pa.Table:
        mart = _of_mart(published, choice, chosen, of, width, usual)
        if mart is not None:
            return mart
        factors = {row["cell_id"]: _factor(row, shown.scale, of.scale) for row in rows}
        return class_means(
            of_cells, {cell: classes.of[cell] for cell in chosen if classes.of[cell] in drawn}, shown.column,
            AXES[of.axis].column, width, of_first=of.scale == TO_FIRST,
            factors={cell: factor for cell, factor in factors.items() if factor is not None},
        )  # fmt: skip

    everything = rows_of(cells)
    if not everything.num_rows:
        return False
    limits = mean_limits(everything, choice.band)
    titles = (AXES[of.axis].title, f"mean {measure_title(shown, of.scale)}")

    def draw(chosen: list[str], height: int | None) -> go_figures.Figure | None:
        found = everything if chosen == cells else rows_of(chosen)
        if not found.num_rows:
            return None
        counts = {name: n for name, n in _counts(found, classes).items() if name in drawn}
        return means(
            found, counts, classes.inks, titles, unit, band=choice.band, limits=limits,
            **({} if height is None else {"height": height}),
        )  # fmt: skip

    lines = draw_charts(
        f"means-{of.measure}", choice, all_cells, cells, draw,
        f"mean {shown.words} of {len(drawn)} groups of cells over {AXES[of.axis].title}",
    )  # fmt: skip
    st.caption(" ".join([*_means_lines(everything, choice, of, width), *lines, *_undrawn(others)]))
    return True


def _means_lines(rows: pa.Table, choice: GroupChoice, of: MeansOf, width: float) -> list[str]:
    """What the lines are, and where n changes."""
    unit = "cycles" if of.axis == "cycle" else AXES[of.axis].title
    each = "each cycle number" if of.axis == "cycle" and width == 1 else f"each {width:g} {unit}"
    lines = [
        f"Lines: the mean of the cells of a group at {each}, over complete cycles that are no reference tests; each "
        "cell counts once. Band: "
        + ("± the sample standard deviation of the cells." if choice.band == "sd" else "lowest to highest cell.")
    ]
    ends = {name: counts_in_words(rows, name) for name in rows["class"].unique().to_pylist()}
    falling = {name: counts for name, counts in ends.items() if len(counts) > 1}
    for name, counts in list(falling.items())[:NAMED]:
        said = ", ".join(f"{count} to {position:,.5g}" for count, position in counts[:NAMED])
        more = f" and so on to {counts[-1][0]} at {counts[-1][1]:,.5g}" if len(counts) > NAMED else ""
        lines.append(f"n of {literal(name)} falls as cells end: {said}{more}.")
    if len(falling) > NAMED:
        lines.append(f"n falls in {len(falling) - NAMED} more groups.")
    alone = [name for name, counts in ends.items() if any(count == 1 for count, _ in counts)]
    if alone:
        lines.append("Dotted: one cell, which is no mean and has no band.")
    return lines


def _of_mart(
    published: Published, choice: GroupChoice, cells: Sequence[str], of: MeansOf, width: float, usual: float
) -> pa.Table | None:
    """The rows of the mart of groups where it means the same: the state of health of whole groups over cycles."""
    colour = choice.colour
    if colour is None or colour.key != "cell_group" or (of.measure, of.axis, of.scale) != ("soh", "cycle", AS_MEASURED):
        return None
    groups = {colour.values[cell] for cell in cells if cell in colour.values}
    chosen = set(cells)
    is_whole = all(cell in chosen for cell, group in colour.values.items() if group in groups)
    if width != usual or not is_whole or any(cell not in colour.values for cell in cells):
        return None
    if "battery_groups" not in published.seen.value.places:
        return None
    rows = means_of_groups(published.table("battery_groups"), [str(group) for group in groups])
    for name in ("mean", "sd", "low", "high"):
        rows = rows.set_column(rows.column_names.index(name), name, pc.multiply(rows[name], 100.0))
    return rows


def _factor(row: Mapping[str, Any], scale: float, relative_to: str) -> float | None:
    """What the values of a cell are multiplied by; None where what they are relative to is not known."""
    if relative_to == TO_NOMINAL:
        return 100.0 / row["nominal_capacity_ah"] if row["nominal_capacity_ah"] else None
    return 100.0 if relative_to == TO_FIRST else scale


def _counts(rows: pa.Table, classes: Classes) -> dict[str, int]:
    """Cells of each class that has means: the most at any position, in the order of the classes."""
    most = rows.group_by("class").aggregate([("cell_count", "max")])
    counts = dict(zip(most["class"].to_pylist(), most["cell_count_max"].to_pylist(), strict=True))
    return {name: counts[name] for name in classes.order if name in counts}


def draw_measures(
    choice: GroupChoice, all_cells: Sequence[str], cells: list[str], inks: Mapping[str, Ink],
    x: Attribute, y: Attribute,
) -> bool:  # fmt: skip
    """Draw two measures of some cells against one another, with their correlation; whether any cell has both."""
    drawn = placed(x, y, cells)
    if not drawn:
        return False
    continuous = choice.colour is not None and choice.colour.kind is Kind.NUMBER
    classes = classes_here(choice, all_cells)
    if classes is not None:
        classes = classes.foremost(drawn, MOST_IN_COLOUR)
    groups = {cell: cell for cell in all_cells} if classes is None else classes.of
    ranges = ranges_of(x, y, drawn)

    def draw(chosen: list[str], height: int | None) -> go_figures.Figure | None:
        return scatter(
            x, y, chosen, groups, inks if classes is None else classes.inks,
            by=choice.colour if continuous else None, legend=classes is not None, ranges=ranges,
            **({} if height is None else {"height": height}),
        )  # fmt: skip

    lines = draw_charts(
        "measures", choice, all_cells, cells, draw,
        f"{y.label.words} over {x.label.words} of {len(drawn)} cells", _show_points,
    )  # fmt: skip
    st.markdown(literal(correlation_lines(x, y, cells)[0]))
    lines = [*correlation_lines(x, y, cells)[1:], *lines, "Choose a point to open its cell."]
    if continuous and choice.colour is not None:
        absent = sum(cell not in choice.colour.values for cell in drawn)
        if absent:
            lines.insert(0, f"{absent} cells are not drawn, {choice.colour.missing}, which gives the colours.")
    if choice.panels is not None:
        lines += _panel_correlations(choice.panels, all_cells, cells, x, y)
    st.caption(" ".join(map(literal, lines)))
    return True


def _panel_correlations(
    panels: Attribute, all_cells: Sequence[str], cells: list[str], x: Attribute, y: Attribute
) -> list[str]:
    members = classes_of(panels, all_cells).among(cells)
    drawn, _ = drawn_classes(members, MOST_PANELS)
    return [f"{name}: {correlation_lines(x, y, members[name])[0]}" for name in drawn]


def _show_points(figure: go_figures.Figure, name: str, alt: str) -> None:
    """A chart of which a chosen point leads to its cell."""
    if points := chart(figure, name, alt, selectable=True):
        cell = points[0].get("customdata")
        go("cell", cell=str(cell[0] if isinstance(cell, list) else cell))


def group_table(choice: GroupChoice, all_cells: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """One row a group of cells: how many they are, their states of health, and how many have come to their end.

    Args:
        choice: the visitor's.
        all_cells: ids of all cells of the publication.
        rows: of `battery_cells`, of the cells that are shown.
    """
    classes = classes_here(choice, all_cells)
    by_id = {row["cell_id"]: row for row in rows}
    members = {ALL: list(by_id)} if classes is None else classes.among(by_id)
    found = []
    for name, cells in members.items():
        health = _numbers(by_id[cell]["latest_soh"] for cell in cells)
        ends = _numbers(by_id[cell]["eol_cycle"] for cell in cells)
        found.append(
            {
                "group": name, "n": len(cells), "soh": _mean(100 * health), "soh_sd": _sd(100 * health),
                "ended": len(ends), "life": _mean(ends), "life_sd": _sd(ends),
                "knees": sum(by_id[cell]["knee_cycle"] is not None for cell in cells),
            }
        )  # fmt: skip
    return pa.Table.from_pylist(
        found,
        pa.schema(
            [("group", pa.string()), ("n", pa.int64()), ("soh", pa.float64()), ("soh_sd", pa.float64()),
             ("ended", pa.int64()), ("life", pa.float64()), ("life_sd", pa.float64()), ("knees", pa.int64())]
        ),
    )  # fmt: skip


def show_group_table(table: pa.Table, title: str) -> None:
    """Draw it, with the group under the name of what tells groups apart."""
    column = st.column_config
    st.dataframe(
        spreadsheet_safe(table), hide_index=True, key="group-figures", placeholder=UNKNOWN,
        alt="The groups of cells",
        column_config={
            "group": column.TextColumn(title, pinned=True),
            "n": column.NumberColumn("cells (n)", format="%d"),
            "soh": column.NumberColumn("mean SOH (%)", format="%.1f", help="Of the last complete cycle of each cell."),
            "soh_sd": column.NumberColumn("standard deviation", format="%.1f", help="Of the states of health, in %."),
            "ended": column.NumberColumn("past end of life", format="%d", help="Cells that have come to their end."),
            "life": column.NumberColumn(
                "mean cycle life", format="%.0f", help="Of the cells that have come to their end alone."
            ),
            "life_sd": column.NumberColumn("standard deviation of it", format="%.0f", help="In cycles."),
            "knees": column.NumberColumn("past a knee", format="%d"),
        },
    )  # fmt: skip


def _numbers(values: Any) -> Any:  # noqa: ANN401
    return np.array([value for value in values if value is not None], dtype=np.float64)


def _mean(values: Any) -> float | None:  # noqa: ANN401
    return float(values.mean()) if len(values) else None


def _sd(values: Any) -> float | None:  # noqa: ANN401
    return float(values.std(ddof=1)) if len(values) > 1 else None


def _named(groups: Mapping[str, int]) -> str:
    more = f" and {len(groups) - NAMED} more" if len(groups) > NAMED else ""
    return ", ".join(literal(name) for name in list(groups)[:NAMED]) + more


def _undrawn(others: Mapping[str, int]) -> list[str]:
    if not others:
        return []
    return [f"The {MOST_IN_COLOUR} largest groups; not drawn: {_named(others)}."]
