"""How far the landing is, as a producer asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from kernel.edges.warehouse import DuckDBFile
from sink.care.landed import landed_offsets
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path


def test_the_last_offset_is_told_by_cell_log_and_partition(tmp_path: Path) -> None:
    warehouse = DuckDBFile(tmp_path / "battery.duckdb", 1)
    with warehouse.connect("write") as connection:
        create_tables(connection)
        connection.execute(
            "insert into internal._progress values ('A', 'log-1', 0, 7), ('A', 'log-2', 0, 3), ('B', 'log-1', 1, 9)"
        )
    assert landed_offsets(warehouse) == {("A", "log-1", 0): 7, ("A", "log-2", 0): 3, ("B", "log-1", 1): 9}


def test_where_the_warehouse_cannot_be_asked_nothing_has_landed_and_that_is_said(tmp_path: Path) -> None:
    absent, empty, broken = (DuckDBFile(tmp_path / name, 0.1) for name in ("absent", "empty", "broken"))
    with empty.connect("make it"):
        pass
    (tmp_path / "broken").write_bytes(b"no warehouse" * 1000)
    with structlog.testing.capture_logs() as said:
        assert [landed_offsets(warehouse) for warehouse in (absent, empty, broken)] == [{}, {}, {}]
    assert [line["event"] for line in said] == ["cannot tell what has landed, so it is published again"] * 3
