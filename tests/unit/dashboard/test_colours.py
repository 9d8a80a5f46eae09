from __future__ import annotations

from datetime import datetime, timedelta
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.looking import contrast, parts

from dashboard.colours import DASHES, FIRST, deal_inks, ink_of, inks_of, next_colours
from dashboard.figures.style import COLOURS, MUTED

NAMES = st.lists(st.text(min_size=1, max_size=8), unique=True, max_size=60)
PAGES = ("#ffffff", "#0e1117", "#171614")
"""White, and the dark pages of two versions of Streamlit."""

# G. M. Machado et al., 2009, severity 1.0, for linear RGB.
SIGHT = {
    "usual": np.eye(3),
    "without red": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "without green": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(colour: str, sight: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """CIELAB of a colour as such eyes see it."""
    rgb = np.array(parts(colour)[:3]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(sight @ linear, 0, 1) / (TO_XYZ @ np.ones(3))
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("colour", [*COLOURS, MUTED])
@pytest.mark.parametrize("page", PAGES)
def test_every_colour_can_be_seen_on_a_light_and_on_a_dark_page(colour: str, page: str) -> None:
    assert contrast(colour, page) >= 3.0


@pytest.mark.parametrize("sight", SIGHT)
def test_eyes_without_red_or_green_tell_the_colours_apart(sight: str) -> None:
    for one, other in combinations(COLOURS, 2):
        apart = np.linalg.norm(lab(one, SIGHT[sight]) - lab(other, SIGHT[sight]))
        assert apart > 12, (one, other, apart)


@given(NAMES)
def test_as_many_cells_as_there_are_inks_have_different_ones(names: list[str]) -> None:
    inks = deal_inks(names)
    assert list(inks) == names
    for first in range(0, len(names), len(COLOURS)):
        together = [inks[name].colour for name in names[first : first + len(COLOURS)]]
        assert len(set(together)) == len(together)
    most = len(COLOURS) * len(DASHES)
    assert len(set(list(inks.values())[:most])) == min(len(names), most)


@given(NAMES, NAMES)
def test_cells_that_are_added_later_change_no_ink(names: list[str], later: list[str]) -> None:
    added = [name for name in later if name not in names]
    before, after = deal_inks(names), deal_inks([*names, *added])
    assert {name: after[name] for name in names} == before


def test_cells_are_dealt_inks_in_the_order_in_which_their_tests_began() -> None:
    began = datetime(2020, 1, 1)  # noqa: DTZ001  # a cycler's clock
    cells = pa.table(
        {"cell_id": ["C", "A", "B"], "first_at": pa.array([began, None, began - timedelta(1)], pa.timestamp("us"))}
    )
    assert inks_of(cells) == deal_inks(["B", "C", "A"])
    more = pa.concat_tables([cells.slice(0, 1), cells.slice(2, 1), cells.slice(1, 1)])
    assert inks_of(more) == inks_of(cells)


def test_further_series_of_a_cell_have_other_colours_than_its_own() -> None:
    for colour in COLOURS:
        ink = deal_inks([colour])[colour]
        assert ink.colour not in next_colours(ink, len(COLOURS) - 1)
    assert ink_of({}, "A") == FIRST
