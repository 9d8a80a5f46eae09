"""The chart of the means of groups of cells, and what has to be said below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st

from dashboard.colours import FIRST
from dashboard.escaping import literal
from dashboard.figures.fleet import AS_MEASURED, SCALES, TO_FIRST, TO_NOMINAL, measure_title, scaled_measure
from dashboard.figures.means import HEIGHT, SD, mean_limits, means
from dashboard.figures.measures import AXES
from dashboard.groups.classes import one_class
from dashboard.groups.means import class_means, counts_in_words, means_of_groups, width_of
from dashboard.groups.panels import MOST_IN_COLOUR, NAMED, classes_here, draw_charts, largest_first, named
from dashboard.words.thresholds import thresholds_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plotly.graph_objects import Figure

    from dashboard.figures.measures import Measure
    from dashboard.groups.choices import GroupChoice
    from dashboard.groups.classes import Classes
    from dashboard.view import Published


@dataclass(frozen=True)
class MeansOf:
    """What means are drawn of: a measure, over an axis, as measured or relative to something."""

    measure: str
    axis: str
    scale: str = AS_MEASURED


def draw_means(
    published: Published,
    choice: GroupChoice,
    all_cells: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    of: MeansOf,
) -> None:
    """Draw the means of the groups of some cells, or say why there are none.

    Args:
        published: what was published.
        choice: the visitor's.
        all_cells: ids of all cells of the publication.
        rows: of `battery_cells`, of the cells that are drawn.
        of: what the means are of.
    """
    if of.axis == "date":
        st.info(
            "Means are taken over cycle numbers or equivalent full cycles: on one day cells of a group are of different"
            " ages. Choose one of these under “Over”."
        )
        return
    cells = [row["cell_id"] for row in rows]
    classes = classes_here(choice, all_cells) or one_class(all_cells, FIRST)
    drawn, others = largest_first(classes.among(cells), MOST_IN_COLOUR)
    shown = scaled_measure(rows, of.measure, of.scale)
    source = MeansSource(published, choice, classes, rows, of, shown)

    def rows_of(some: Sequence[str]) -> pa.Table:
        return source.rows([cell for cell in some if classes.of[cell] in drawn])

    everything = rows_of(cells)
    if not everything.num_rows:
        relative = "" if of.scale == AS_MEASURED else f", {SCALES[of.scale]}"
        st.info(f"None of these cells has a {shown.words} over {AXES[of.axis].title}{relative} yet.")
        return
    limits = mean_limits(everything, choice.band)
    titles = (AXES[of.axis].title, f"mean {measure_title(shown, of.scale)}")

    def draw(some: list[str], height: int | None) -> Figure | None:
        found = everything if some == cells else rows_of(some)
        if not found.num_rows:
            return None
        return means(
            found, _counts(found, classes), classes.inks, titles, shown.unit if of.scale == AS_MEASURED else "%",
            band=choice.band, limits=limits, height=height or HEIGHT,
        )  # fmt: skip

    lines = draw_charts(
        f"means-{of.measure}", choice, all_cells, cells, draw,
        f"Mean {shown.words} of {len(drawn)} groups of cells over {AXES[of.axis].title}",
    )  # fmt: skip
    if others:
        lines.append(f"The {MOST_IN_COLOUR} largest groups; not drawn: {named(others)}.")
    st.caption(" ".join([*_means_lines(everything, choice, of, source.width), *lines]))


class MeansSource:
    """Where the rows of means come from: the mart of groups where it means the same, else the cycles.

    It means the same for the state of health of whole groups over cycle numbers, rounded as it rounds them.
    """

    def __init__(
        self, published: Published, choice: GroupChoice, classes: Classes, rows: Sequence[Mapping[str, Any]],
        of: MeansOf, shown: Measure,
    ) -> None:  # fmt: skip
        places = published.seen.value.places
        cycles = published.table("battery_cycles")
        cells = pa.array([row["cell_id"] for row in rows], pa.string())
        self._cycles = cycles.filter(pc.is_in(cycles["cell_id"], value_set=cells))
        thresholds = thresholds_of(published.table("battery_thresholds") if "battery_thresholds" in places else None)
        self.width = width_of(self._cycles, AXES[of.axis].column, thresholds["group_cycles"])
        """What positions are rounded to multiples of."""
        self._classes, self._of, self._shown = classes, of, shown
        self._factors = {
            row["cell_id"]: factor for row in rows if (factor := _factor(row, shown.scale, of.scale)) is not None
        }
        self._told = {} if choice.colour is None else choice.colour.values
        self._groups: pa.Table | None = None
        if (
            (of.measure, of.axis, of.scale) == ("soh", "cycle", AS_MEASURED)
            and choice.colour is not None
            and choice.colour.key == "cell_group"
            and self.width == thresholds["group_cycles"]
            and "battery_groups" in places
        ):
            self._groups = published.table("battery_groups")

    def rows(self, cells: Sequence[str]) -> pa.Table:
        """The rows of means of some cells."""
        groups = {self._classes.of[cell] for cell in cells}
        chosen = set(cells)
        is_whole = all(
            cell in chosen and cell in self._told for cell, group in self._classes.of.items() if group in groups
        )
        if self._groups is not None and is_whole and groups <= set(self._groups["cell_group"].to_pylist()):
            return means_of_groups(self._groups, sorted(groups), self._shown.scale)
        return class_means(
            self._cycles, {cell: self._classes.of[cell] for cell in cells}, self._shown.column,
            AXES[self._of.axis].column, self.width, factors=self._factors, of_first=self._of.scale == TO_FIRST,
        )  # fmt: skip


def _means_lines(rows: pa.Table, choice: GroupChoice, of: MeansOf, width: float) -> list[str]:
    """What the lines are, and where n changes."""
    unit = "cycles" if of.axis == "cycle" else AXES[of.axis].title
    each = "each cycle number" if of.axis == "cycle" and width == 1 else f"each {width:g} {unit}"
    lines = [
        f"Lines: the mean of the cells of a group at {each}, over complete cycles that are no reference tests; each "
        "cell counts once. Band: "
        + ("± the sample standard deviation of the cells." if choice.band == SD else "lowest to highest cell.")
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
