"""Public data sets by name.

The CALCE Battery Research Group (University of Maryland) publishes the CS2 and CX2 cells as one ZIP each and asks
to be cited wherever the data is shown.
"""

from __future__ import annotations

from typing import Final

CALCE: Final = {
    name: f"https://web.calce.umd.edu/batteries/data/{name}.zip"
    for name in (
        *(f"CS2_{cell}" for cell in (33, 34, 35, 36, 37, 38)),
        *(f"CX2_{cell}" for cell in (16, 33, 34, 35, 36, 37, 38)),
    )
}
"""CALCE data sets and where they are published."""


def dataset_url(name: str) -> str | None:
    """The URL of a CALCE data set, whatever the case of its name; None when there is none of that name."""
    return CALCE.get(name.upper())
