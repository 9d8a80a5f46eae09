from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from support.aged import traces

from dashboard.colours import Ink
from dashboard.figures.means import RANGE, SD, mean_limits, means

TITLES = ("cycle number", "mean state of health (%)")
INKS = {"fast": Ink("#1F77C9"), "slow": Ink("#D55E00")}


def rows(**groups: list[tuple[float, int, float, float | None]]) -> pa.Table:
    """Rows of means by group: position, cells, mean and standard deviation; the range is twice as wide."""
    found = [
        {
            "class": group, "position": position, "cell_count": cells, "mean": mean, "sd": sd,
            "low": mean - 2 * (sd or 0), "high": mean + 2 * (sd or 0),
        }
        for group, points in groups.items()
        for position, cells, mean, sd in points
    ]  # fmt: skip
    return pa.Table.from_pylist(
        found,
        pa.schema(
            [("class", pa.string()), ("position", pa.float64()), ("cell_count", pa.int64()), ("mean", pa.float64()),
             ("sd", pa.float64()), ("low", pa.float64()), ("high", pa.float64())]
        ),
    )  # fmt: skip


FADING = rows(fast=[(1, 3, 100.0, 1.0), (2, 3, 90.0, 2.0), (3, 1, 80.0, None), (4, 2, 70.0, 3.0)])


def drawn(table: pa.Table, band: str = SD, **counts: int) -> dict[str, Any]:
    return traces(means(table, counts, INKS, TITLES, "%", band=band))


def test_the_band_is_one_standard_deviation_on_either_side_wherever_two_cells_are_left() -> None:
    band = drawn(FADING, fast=3)["fast, ± standard deviation"]
    assert band.x.tolist() == pytest.approx([1, 2, 2, 1, np.nan, 4, 4], nan_ok=True)
    assert band.y.tolist() == pytest.approx([101, 92, 88, 99, np.nan, 73, 67], nan_ok=True)
    assert band.fill == "toself"
    assert band.showlegend is False


def test_the_band_can_reach_from_the_lowest_to_the_highest_cell() -> None:
    band = drawn(FADING, RANGE, fast=3)["fast, lowest to highest"]
    assert band.y.tolist() == pytest.approx([102, 94, 86, 98, np.nan, 76, 64], nan_ok=True)


def test_one_cell_is_dotted_and_is_no_part_of_the_line_of_means() -> None:
    lines = drawn(FADING, fast=3)
    assert lines["fast (n = 3)"].y.tolist() == pytest.approx([100, 90, np.nan, 70], nan_ok=True)
    assert lines["fast, one cell"].y.tolist() == pytest.approx([np.nan, np.nan, 80, np.nan], nan_ok=True)
    assert lines["fast, one cell"].line.dash == "dot"
    assert lines["fast, one cell"].showlegend is False


def test_a_group_of_one_cell_stands_in_the_legend_and_has_no_band() -> None:
    lines = drawn(rows(slow=[(1, 1, 99.0, None), (2, 1, 98.0, None)]), slow=1)
    assert set(lines) == {"slow (n = 1)"}
    assert lines["slow (n = 1)"].showlegend is True
    assert lines["slow (n = 1)"].line.dash == "dot"


def test_a_point_says_its_mean_its_spread_and_n() -> None:
    said = drawn(FADING, fast=3)["fast (n = 3)"].customdata
    assert said[1] == "at 2: 90.00 ± 2.00, 86.00 to 94.00 %, n = 3"
    assert said[2] == "at 3: 80.00 %, one cell"


def test_groups_have_their_inks_and_only_those_that_are_asked_for_are_drawn() -> None:
    table = pa.concat_tables([FADING, rows(slow=[(1, 2, 95.0, 1.0)])])
    lines = drawn(table, slow=2)
    assert set(lines) == {"slow (n = 2)", "slow, ± standard deviation"}
    assert lines["slow (n = 2)"].line.color == INKS["slow"].colour


def test_the_axis_holds_all_means_and_a_wild_band_does_not_flatten_them() -> None:
    steady = [(float(number), 3, 100.0 - number / 10, 0.5) for number in range(60)]
    limits = mean_limits(rows(fast=[*steady, (60.0, 2, 94.0, 900.0)]))
    assert limits is not None
    assert 80 < limits[0] < 94
    assert 100 < limits[1] < 120
    assert mean_limits(FADING.slice(0, 0)) is None


def test_names_of_groups_are_no_markup() -> None:
    table = rows(fast=[(1, 2, 95.0, 1.0)])
    table = table.set_column(0, "class", pa.array(["<b>{x}"]))
    figure = means(table, {"<b>{x}": 2}, {"<b>{x}": Ink("#1F77C9")}, TITLES, "%")
    assert all("<b>" not in trace.name and "<b>" not in (trace.hovertemplate or "") for trace in figure.data)
