"""The thresholds of the models, for the rules that pages and reports print.

A publication holds the thresholds that its marts were built with, in the table `battery_thresholds`. One of an earlier
version may lack some or all of them; the variables of the dbt project that is installed stand in for those.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

PROJECT: Final = Path(__file__).resolve().parents[2] / "dbt_project"


def thresholds_of(published: pa.Table | None) -> Mapping[str, float]:
    """The thresholds by name, each in the unit that `battery_thresholds` states.

    Args:
        published: the table `battery_thresholds`, or None for a publication that has none.
    """
    rows = [] if published is None else published.to_pylist()
    return {**_installed(), **{row["name"]: row["value"] for row in rows}}


def seeded_limits(pattern: str) -> tuple[float, float]:
    """What `seeds/cells.csv` sets for cells of a pattern: the least capacity of a full cycle in Ah, and its V.

    Raises:
        KeyError: the seed has no line for that pattern.
    """
    with (PROJECT / "seeds" / "cells.csv").open(newline="") as lines:
        limits = {
            row["cell_pattern"]: (row["full_cycle_min_ah"], row["full_cycle_max_v"]) for row in csv.DictReader(lines)
        }
    least_ah, highest_v = limits[pattern]
    return float(least_ah), float(highest_v)


@cache
def _installed() -> dict[str, float]:
    """The variables of the installed project that are plain numbers."""
    variables = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    return {name: float(value) for name, value in variables.items() if isinstance(value, int | float)}
