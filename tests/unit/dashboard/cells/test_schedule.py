"""The schedule that files name is the protocol of a cell, as known from elsewhere."""

from __future__ import annotations

import pyarrow as pa

from dashboard.cells.awaited import awaited_cells
from dashboard.cells.sources import STATED, Known, known_elsewhere
from kernel.base.settings import Settings


def test_the_schedule_of_its_files_is_known_of_a_cell_as_its_protocol() -> None:
    found = known_elsewhere(Settings(), ["X"], {"X": '{"schedule":"1C cycles.sdu"}'})
    assert found == {"X": (Known("protocol", "1C cycles.sdu", STATED),)}


def test_a_protocol_that_files_name_is_not_awaited_to_go() -> None:
    cells = pa.table({"cell_id": ["X"], "protocol": ["1C cycles.sdu"]})
    assert awaited_cells({}, cells) == []
    assert awaited_cells({"X": {"protocol": "told"}}, cells) == ["X"]
