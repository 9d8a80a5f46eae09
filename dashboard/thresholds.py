"""The thresholds of the models, read from the dbt project for the rules that pages and reports print."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Final

import yaml

PROJECT: Final = Path(__file__).resolve().parent.parent / "dbt_project"


def threshold(name: str) -> float:
    """A variable of `dbt_project.yml`, in the unit that its comment there says.

    Raises:
        KeyError: the project has no variable of that name.
    """
    return float(_variables()[name])


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
def _variables() -> dict[str, str | float]:
    variables: dict[str, str | float] = yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["vars"]
    return variables
