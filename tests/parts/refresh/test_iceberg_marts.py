"""The marts as Iceberg tables: those of the newest publication, with its columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.iceberg import iceberg_reader, loaded, operations_of, registered, scan

from kernel.base.errors import BatteryError
from refresh.export import export_marts
from refresh.marts import ExportedMarts

if TYPE_CHECKING:
    import duckdb
    from support.committed import Landed

CELLS = """
    select 'A' as cell_id, 7::bigint as cycles, ['first', 'second'] as tags,
           [{'rule': 'any', 'cycle_number': 12}] as eol_alternatives, timestamp '2026-01-01 12:00:00.25' as first_at
"""
GROUPS = "select 'G' as cell_group, 1.5::double as soh where false"


@pytest.fixture(scope="module")
def reader() -> duckdb.DuckDBPyConnection:
    return iceberg_reader()


def publish(landed: Landed, **marts: str) -> None:
    """Publish marts that have the rows of queries."""
    for name, query in marts.items():
        landed.query(f"create or replace table {name} as {query}")
    export_marts(landed.warehouse, landed.store)


def require_equal(landed: Landed, reader: duckdb.DuckDBPyConnection, *names: str) -> None:
    """The tables have the columns and rows of the objects of the newest publication."""
    places = ExportedMarts(landed.store).newest().places
    for name in names:
        table = reader.sql(f"from {scan(str(landed.folder / 'objects'), name)}")
        published = reader.read_parquet(str(landed.folder / "objects" / places[name]))
        assert (table.columns, table.types) == (published.columns, published.types)
        assert table.fetchall() == published.fetchall()


def test_marts_follow_each_publication_in_one_snapshot(landed: Landed, reader: duckdb.DuckDBPyConnection) -> None:
    publish(landed, battery_cells=CELLS, battery_groups=GROUPS)
    registered(landed)
    require_equal(landed, reader, "battery_cells", "battery_groups")
    publish(
        landed, battery_cells=f"{CELLS} union all by name (select 'B' as cell_id)", battery_groups="from battery_groups"
    )
    registered(landed)
    require_equal(landed, reader, "battery_cells", "battery_groups")
    assert operations_of(loaded(landed, "battery_cells")) == ["append", "overwrite"]
    assert "nothing new for 4 Iceberg tables" in str(registered(landed))


def test_a_publication_with_other_columns_gives_the_table_those(
    landed: Landed, reader: duckdb.DuckDBPyConnection
) -> None:
    publish(landed, battery_cells=CELLS)
    registered(landed)
    publish(landed, battery_cells="select cell_id, cycles::double as cycles, true as is_new, tags from battery_cells")
    registered(landed)
    require_equal(landed, reader, "battery_cells")


def test_publications_that_nobody_registered_are_passed_over(landed: Landed, reader: duckdb.DuckDBPyConnection) -> None:
    publish(landed, battery_cells=CELLS)
    registered(landed)
    for cycles in range(4):  # the objects of the first are gone by then
        publish(landed, battery_cells=CELLS.replace("7::", f"{cycles}::"))
    registered(landed)
    require_equal(landed, reader, "battery_cells")


def test_a_mart_with_a_column_that_iceberg_does_not_know_is_one_line(landed: Landed) -> None:
    publish(landed, battery_cells="select 'A' as cell_id, timestamp_ns '2026-01-01 12:00:00' as first_at")
    with pytest.raises(BatteryError, match=r"battery_cells cannot be an Iceberg table: .*first_at") as raised:
        registered(landed)
    assert "\n" not in str(raised.value)
    publish(landed, battery_cells=CELLS)
    registered(landed)
