from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pytest
from support.aged import cycles_table
from support.grouped import described

pytest.importorskip("streamlit", reason="streamlit is not installed, which comes with the extra dashboard")

from dashboard.figures.fleet import AS_MEASURED, TO_FIRST, TO_NOMINAL, scaled_measure
from dashboard.figures.means import SD
from dashboard.groups.attributes import attributes_of
from dashboard.groups.choices import GroupChoice
from dashboard.groups.classes import classes_of
from dashboard.groups.mean_charts import MeansOf, MeansSource

if TYPE_CHECKING:
    from dashboard.view import Published

CELLS = described(
    A={"cell_group": "fast", "chemistry": "LCO", "nominal_capacity_ah": 2.0, "initial_capacity_ah": 2.0},
    B={"cell_group": "fast", "chemistry": "LFP", "initial_capacity_ah": 2.0},
    C={"cell_group": "slow", "chemistry": "LFP", "initial_capacity_ah": 2.0},
)
GROUPS = pa.table(
    {
        "cell_group": ["fast", "slow"], "cycle_number": pa.array([10, 10], pa.int32()), "cell_count": [2, 1],
        "soh_mean": [0.123, 0.456], "soh_median": [0.1, 0.4], "soh_sd": [0.01, None], "soh_min": [0.1, 0.4],
        "soh_max": [0.2, 0.5],
    }
)  # fmt: skip
"""With means that no cell has, so that it shows where they come from."""


@dataclass
class Tables:
    """A publication of cells that have lived for some cycles."""

    cycles: int
    names: tuple[str, ...] = ("battery_groups",)

    @property
    def seen(self) -> Any:
        return SimpleNamespace(value=SimpleNamespace(places=dict.fromkeys(self.names)))

    def table(self, name: str) -> pa.Table:
        if name == "battery_groups":
            return GROUPS
        return pa.concat_tables([cycles_table(self.cycles, cell) for cell in "ABC"])


def means(
    tables: Tables, cells: str = "ABC", colour: str = "group", of: MeansOf | None = None
) -> dict[tuple[str, float], float]:
    of = of or MeansOf("soh", "cycle")
    attribute = attributes_of(CELLS)[colour]
    rows = [row for row in CELLS.to_pylist() if row["cell_id"] in cells]
    source = MeansSource(
        cast("Published", tables), GroupChoice(attribute, None, (), SD), classes_of(attribute, "ABC"), rows, of,
        scaled_measure(rows, of.measure, of.scale),
    )  # fmt: skip
    found = source.rows(list(cells)).to_pylist()
    return {(row["class"], row["position"]): row["mean"] for row in found}


def test_means_of_whole_groups_are_read_from_the_mart() -> None:
    assert means(Tables(101)) == pytest.approx({("fast", 10): 12.3, ("slow", 10): 45.6})
    assert means(Tables(101), "AB") == pytest.approx({("fast", 10): 12.3})


@pytest.mark.parametrize(
    ("tables", "cells", "colour", "of"),
    [
        (Tables(101), "AC", "group", None),  # a filter has left a part of a group
        (Tables(101), "ABC", "chemistry", None),
        (Tables(100), "ABC", "group", None),  # each cycle number has its own mean
        (Tables(101, ()), "ABC", "group", None),  # published by an earlier version
        (Tables(101), "ABC", "group", MeansOf("soh", "efc")),
        (Tables(101), "ABC", "group", MeansOf("soh", "cycle", TO_FIRST)),
        (Tables(101), "ABC", "group", MeansOf("capacity", "cycle", AS_MEASURED)),
    ],
)
def test_other_means_are_computed_from_the_cycles(tables: Tables, cells: str, colour: str, of: MeansOf | None) -> None:
    found = means(tables, cells, colour, of)
    assert len(found) > 2
    assert 12.3 not in found.values()


def test_values_relative_to_the_nominal_capacity_are_those_of_the_cells_that_have_one() -> None:
    found = means(Tables(3), of=MeansOf("capacity", "cycle", TO_NOMINAL))
    assert found == pytest.approx({("fast", 1): 49.5, ("fast", 2): 49.0, ("fast", 3): 48.5})
