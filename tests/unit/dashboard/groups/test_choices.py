from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from support.aged import cycles_table
from support.grouped import described

pytest.importorskip("streamlit", reason="streamlit is not installed, which comes with the extra dashboard")

from dashboard.groups.choices import attributes_here

if TYPE_CHECKING:
    import pyarrow as pa

    from dashboard.view import Published


@dataclass
class Tables:
    """One publication."""

    name: str
    cells: pa.Table
    asked: list[str] = field(default_factory=list)

    @property
    def seen(self) -> Any:
        return SimpleNamespace(value=SimpleNamespace(name=self.name))

    def table(self, name: str) -> pa.Table:
        self.asked.append(name)
        return self.cells if name == "battery_cells" else cycles_table(3)


def test_what_a_lab_tells_later_is_there_with_the_next_publication() -> None:
    before = Tables("first", described(A={"cell_group": "fast"}))
    after = Tables("second", described(A={"cell_group": "slow", "chemistry": "LFP"}))
    assert "chemistry" not in attributes_here(cast("Published", before))
    found = attributes_here(cast("Published", after))
    assert (found["group"].values, found["chemistry"].values) == ({"A": "slow"}, {"A": "LFP"})
