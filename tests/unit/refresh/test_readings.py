"""The readings that a publication leaves in the store, and looks at them while the warehouse is held."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from support.one_connection import OneConnection

from kernel.base.errors import BatteryError
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile, HeldError
from refresh import readings
from refresh.readings import FOLDER, INDEX, export_readings, readings_of
from sink.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import duckdb

CYCLES = [("1", 1), ("1", 2), ("2", 1)]

READING = """
    insert into battery_ts_cleaned by name
    select
        cell as cell_id, test as test_id, 'a.xlsx' as source_file, point as data_point, point * 10.0 as "test_time(s)",
        '2026-01-01'::timestamp as date_time, 1.0 as "step_time(s)", 1 as step_index, 1 + point // 3 as cycle_index,
        0.5 as "current(a)", 3.0 + point as "voltage(v)", 0.1 as "charge_capacity(ah)",
        0.0 as "discharge_capacity(ah)", 20.0 as "temperature(c)", 0 as quality,
        0 as kafka_partition, 0 as kafka_offset, point as kafka_row, '2026-01-01'::timestamp as streamed_at
    from (select unnest(range(5)) as point, $cell as cell, $test as test) order by point desc
"""


class Held(OneConnection):
    """A warehouse that another process has."""

    @contextmanager
    def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        raise HeldError(f"another process has it: cannot {purpose}, {read_only=}")
        yield


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "objects")


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBFile:
    """Two tests of one cell and one of another, five readings each; the models leave out one reading of the first."""
    made = DuckDBFile(tmp_path / "lab.duckdb", lock_timeout_seconds=1)
    with made.connect("make it") as connection:
        create_tables(connection)
        for cell, test in (("A", "1"), ("A", "2"), ("B/C", "1")):
            connection.execute(READING, {"cell": cell, "test": test})
        connection.execute(
            "create table battery_cleaned as from battery_ts_cleaned "
            "where not (cell_id = 'A' and test_id = '1' and data_point = 3)"
        )
        connection.execute(
            "create table battery_tests as select cell_id, test_id, count(*) as reading_count "
            "from battery_ts_cleaned group by all"
        )
        connection.execute(
            "create table internal._refreshed as "
            "select 'battery_cleaned' as model, cell_id, test_id, 'first' as built_by from battery_tests"
        )
    return made


def change(warehouse: DuckDBFile, *statements: str) -> None:
    with warehouse.connect("change it") as connection:
        for statement in statements:
            connection.execute(statement)


def keys(store: FolderStore) -> set[str]:
    return {stored.key for stored in store.list(FOLDER)} - {INDEX}


def test_exported_readings_are_those_of_the_warehouse(warehouse: DuckDBFile, store: FolderStore) -> None:
    from_warehouse = readings_of(None, warehouse, "A", CYCLES)
    assert export_readings(warehouse, store) == 15
    assert readings_of(store, Held(), "A", CYCLES) == from_warehouse
    assert from_warehouse["data_point"].to_pylist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert from_warehouse["is_kept"].to_pylist() == [True, True, True, False, True, True, True, True]
    assert from_warehouse["voltage_v"].to_pylist() == [3.0, 4.0, 5.0, 6.0, 7.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize("at_a_time", [1, 7, 1_000])
def test_readings_are_written_in_pieces_of_whole_tests(
    warehouse: DuckDBFile, store: FolderStore, monkeypatch: pytest.MonkeyPatch, at_a_time: int
) -> None:
    monkeypatch.setattr(readings, "BATCH_ROWS", at_a_time)
    assert export_readings(warehouse, store) == 15
    assert readings_of(store, Held(), "B/C", [("1", 2)])["data_point"].to_pylist() == [3, 4]


def test_only_tests_that_have_changed_are_written_again(warehouse: DuckDBFile, store: FolderStore) -> None:
    export_readings(warehouse, store)
    first = keys(store)
    assert export_readings(warehouse, store) == 0
    change(
        warehouse,
        "update internal._refreshed set built_by = 'second' where cell_id = 'A' and test_id = '2'",
        "delete from battery_cleaned where cell_id = 'A' and test_id = '2'",
    )
    assert export_readings(warehouse, store) == 5
    assert readings_of(store, Held(), "A", [("2", 1)])["is_kept"].to_pylist() == [False] * 3
    assert first < keys(store)  # a reader may have the index of before
    change(warehouse, "update internal._refreshed set built_by = 'third' where cell_id = 'B/C'")
    export_readings(warehouse, store)
    assert len(keys(store)) == 4
    assert len(first - keys(store)) == 1


def test_what_has_not_been_exported_yet_comes_from_the_warehouse(warehouse: DuckDBFile, store: FolderStore) -> None:
    export_readings(warehouse, store)
    change(
        warehouse,
        "update battery_ts_cleaned set cycle_index = 9 where cell_id = 'A' and test_id = '1' and data_point = 4",
    )
    assert readings_of(store, warehouse, "A", [("1", 9)])["data_point"].to_pylist() == [4]
    assert readings_of(store, Held(), "A", [("1", 2), ("1", 9)])["data_point"].to_pylist() == [3, 4]
    with pytest.raises(HeldError):
        readings_of(store, Held(), "D", [("1", 1)])
    with pytest.raises(BatteryError, match="there are no readings of these cycles of D any more"):
        readings_of(store, warehouse, "D", [("1", 1)])


@pytest.mark.parametrize("gone", [True, False], ids=["removed", "damaged"])
def test_an_object_that_cannot_be_read_is_asked_of_the_warehouse(
    warehouse: DuckDBFile, store: FolderStore, *, gone: bool
) -> None:
    export_readings(warehouse, store)
    for key in keys(store):
        store.delete(key) if gone else store.put(key, b"no rows")
    assert readings_of(store, warehouse, "A", CYCLES) == readings_of(None, warehouse, "A", CYCLES)


def test_a_damaged_index_is_written_again(warehouse: DuckDBFile, store: FolderStore) -> None:
    export_readings(warehouse, store)
    store.put(INDEX, b"no rows")
    assert export_readings(warehouse, store) == 15
    assert readings_of(store, Held(), "A", CYCLES).num_rows == 8
