"""Which run has begun last, as supervisors read it in the warehouse."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dataflows.hosts.last_run import last_run
from kernel.base.errors import BatteryError
from sink.commit import Landing

if TYPE_CHECKING:
    from kernel.edges.objects import FolderStore
    from kernel.edges.warehouse import DuckDBFile


def test_the_last_run_is_the_one_that_began_last(store: FolderStore, warehouse: DuckDBFile) -> None:
    with pytest.raises(BatteryError, match="does not exist"):
        last_run(warehouse)
    for run_id in ("first", "second"):
        Landing(store, warehouse, 600, run_id=run_id).begin()
        assert last_run(warehouse) == run_id
    Landing(store, warehouse, 600).begin()
    assert last_run(warehouse) is None  # a worker by itself: a run of no cluster


def test_a_warehouse_in_which_no_run_has_begun_has_no_last_one(warehouse: DuckDBFile) -> None:
    with warehouse.connect("make it"):
        pass
    assert last_run(warehouse) is None
