"""What does not fit in memory while something is counted again."""

from __future__ import annotations

import duckdb

from sink.care.pieces import bounded

SPILLING = "create or replace temporary table many as select hash(i) as hash from range(12_000_000) as t(i)"


def test_a_database_that_has_spilled_within_bounds_can_spill_beyond_them() -> None:
    with duckdb.connect() as connection:
        with bounded(connection):
            connection.execute("set memory_limit = '64MB'")
            connection.execute(SPILLING)
            ((spilled,),) = connection.execute("select sum(size) from duckdb_temporary_files()").fetchall()
            assert spilled > 0
            connection.execute("drop table many")
        connection.execute("set memory_limit = '64MB'")
        connection.execute(SPILLING)
        assert connection.execute("select count(*) from many").fetchall() == [(12_000_000,)]
