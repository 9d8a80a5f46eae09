"""The order in which cells are shown: those that age unlike the others come first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ageing.outliers import FAR, modified_z
from dashboard.figures.ageing import column

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

ALL, ENDED, KNEE, OUTLIERS = "all", "ended", "knee", "outliers"
SHOWN: Final = {
    ALL: "all cells",
    OUTLIERS: "cells that stand out",
    ENDED: "cells past their end of life",
    KNEE: "cells past a knee",
}

JUDGED: Final = {
    "fade": "fade_ah_per_100_cycles",
    "recent fade": "recent_fade_ah_per_100_cycles",
    "resistance": "latest_internal_resistance_ohm",
}
"""The columns by which cells are compared with the others; fades are taken as a share of the cell's capacity."""


WORDS: Final = {
    "fade": ("slower fade", "faster fade"),
    "recent fade": ("slower recent fade", "faster recent fade"),
    "resistance": ("lower resistance", "higher resistance"),
}
"""What a cell that is below, or above, the others has."""


def outliers_first(cells: pa.Table) -> list[dict[str, Any]]:
    """Rows of `battery_cells`, those that stand out first, then by state of health, the lowest first.

    Each has `stands_out`, what it does so by ("faster recent fade (z 5.1)"), or None; and `score`, how far.
    """
    rows: list[dict[str, Any]] = cells.to_pylist()
    basis = np.array([row["nominal_capacity_ah"] or row["initial_capacity_ah"] or np.nan for row in rows])
    scores = {
        name: modified_z(column(cells, of) / (1.0 if name == "resistance" else basis)) for name, of in JUDGED.items()
    }
    for number, row in enumerate(rows):
        name = max(scores, key=lambda judged: abs(float(scores[judged][number])))
        score = float(scores[name][number])
        row["score"] = abs(score)
        row["stands_out"] = f"{WORDS[name][score > 0]} (z {abs(score):.1f})" if abs(score) > FAR else None
    return sorted(
        rows,
        key=lambda row: (
            -row["score"] if row["stands_out"] else 0.0,
            row["latest_soh"] if row["latest_soh"] is not None else np.inf,
            row["cell_id"],
        ),
    )


def chosen_cells(rows: Sequence[Mapping[str, Any]], which: str) -> list[dict[str, Any]]:
    """The rows of the cells of which that is so, a key of `SHOWN`, in the same order."""
    wanted: dict[str, Callable[[Mapping[str, Any]], bool]] = {
        ALL: lambda _: True,
        ENDED: lambda row: row["eol_cycle"] is not None,
        KNEE: lambda row: row["knee_cycle"] is not None,
        OUTLIERS: lambda row: row["stands_out"] is not None,
    }
    return [dict(row) for row in rows if wanted[which](row)]
