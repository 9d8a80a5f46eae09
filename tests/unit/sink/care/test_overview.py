"""The overview of a warehouse."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb
import pytest
from pydantic import SecretStr

from kernel.base.settings import Settings
from sink.care.overview import (
    RECENT_REFUSALS,
    Overview,
    OverviewFile,
    look_at_overview,
    renew_overview,
    take_overview,
)
from sink.tables import NoTablesError, create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

AT = datetime(2026, 11, 26, 12)  # noqa: DTZ001  # UTC, as the tables have it


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(warehouse=str(tmp_path / "lab.duckdb"))
    with opened(made) as connection:
        create_tables(connection)
        quarantine(connection, "out_of_range", 3)
    return made


@contextmanager
def opened(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(settings.warehouse) as connection:
        yield connection


def quarantine(connection: duckdb.DuckDBPyConnection, reason: str, rows: int) -> None:
    connection.executemany(
        'insert into battery_quarantine (cell_id, reason, detail, payload, topic_id, partition, "offset", row, '
        "row_count) values ('A', ?, 'why', ?, 't', 0, ?, 0, 1)",
        [[reason, "x" * 1000, number] for number in range(rows)],
    )


def rows_of(settings: Settings, table: str = "reasons", column: str = "rows") -> list[object]:
    values: list[object] = look_at_overview(settings).tables[table][column].to_pylist()
    return values


def test_a_look_sees_the_warehouse_as_it_is(settings: Settings) -> None:
    assert rows_of(settings) == [3]
    with opened(settings) as connection:
        quarantine(connection, "duplicate", 5)
    assert rows_of(settings) == [5, 3]
    assert look_at_overview(settings).held is None


@pytest.mark.parametrize("damage", [b"", b"no arrow", None], ids=["empty", "other", "cut"])
def test_a_damaged_overview_counts_as_none(settings: Settings, tmp_path: Path, damage: bytes | None) -> None:
    renew_overview(settings)
    path = tmp_path / "lab.duckdb.overview"
    path.write_bytes(path.read_bytes()[:-100] if damage is None else damage)
    assert OverviewFile(path, tmp_path / "lab.duckdb").read() is None
    assert rows_of(settings) == [3]


def test_an_overview_with_one_damaged_byte_counts_as_none(settings: Settings, tmp_path: Path) -> None:
    renew_overview(settings)
    path = tmp_path / "lab.duckdb.overview"
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert OverviewFile(path, tmp_path / "lab.duckdb").read() is None, place


def test_what_lands_before_an_overview_is_written_is_not_taken_for_what_it_has_seen(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = OverviewFile.keep

    def late(file: OverviewFile, overview: Overview, state: str) -> None:
        with opened(settings) as connection:  # the warehouse is free by now
            quarantine(connection, "duplicate", 5)
        keep(file, overview, state)

    with monkeypatch.context() as patched:
        patched.setattr(OverviewFile, "keep", late)
        assert rows_of(settings) == [3]
    assert rows_of(settings) == [5, 3]


def test_what_lands_before_a_worker_writes_its_overview_is_not_taken_for_what_it_has_seen(settings: Settings) -> None:
    file = OverviewFile.of(settings.warehouse_address)
    assert file is not None
    with opened(settings) as connection:
        quarantine(connection, "conflict", 4)
        file.take(connection)
    with opened(settings) as connection:
        quarantine(connection, "duplicate", 5)
    file.write()
    assert rows_of(settings) == [5, 4, 3]


def test_a_worker_whose_lanes_are_at_work_leaves_an_overview_all_the_same(settings: Settings) -> None:
    file = OverviewFile.of(settings.warehouse_address)
    assert file is not None
    with opened(settings) as connection, opened(settings) as other:
        other.begin()
        other.execute("create table unfinished (x integer)")
        quarantine(connection, "conflict", 4)
        file.take(connection)
        other.rollback()
    file.write()
    read = file.read()
    assert read is not None
    assert read[0].tables["reasons"]["rows"].to_pylist() == [4, 3]
    assert rows_of(settings) == [4, 3]


def test_a_warehouse_that_was_put_in_the_place_of_another_with_its_size_and_time_is_looked_at(
    settings: Settings, tmp_path: Path
) -> None:
    path, other = tmp_path / "lab.duckdb", tmp_path / "other.duckdb"
    shutil.copy2(path, other)
    for place, reason in ((path, "conflict"), (other, "duplicate")):
        with duckdb.connect(place) as connection:
            connection.execute("update battery_quarantine set reason = ?", [reason])
    assert rows_of(settings, column="reason") == ["conflict"]
    status = path.stat()
    assert other.stat().st_size == status.st_size
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.replace(path)
    assert rows_of(settings, column="reason") == ["duplicate"]


def test_an_overview_survives_its_file(settings: Settings, tmp_path: Path) -> None:
    file = OverviewFile(tmp_path / "another", tmp_path / "lab.duckdb")
    with opened(settings) as connection:
        connection.execute(
            "insert into internal._dbt_runs values ('one', ?, 2.0, 'build', null, true, true, ['a'], "
            "[{node: 'model.a', kind: 'model', status: 'success', seconds: 1.0, failures: null, message: 'OK'}])",
            [AT],
        )
        taken = take_overview(connection)
    file.keep(taken, file.state())
    read = file.read()
    assert read is not None
    assert read[1]
    assert read[0].at == taken.at
    assert {name: table.to_pylist() for name, table in read[0].tables.items()} == {
        name: table.to_pylist() for name, table in taken.tables.items()
    }


def test_there_are_the_newest_entries_of_each_reason_and_the_beginning_of_their_payloads(settings: Settings) -> None:
    with opened(settings) as connection:
        quarantine(connection, "duplicate", RECENT_REFUSALS + 2)
    refusals = look_at_overview(settings).tables["refusals"].to_pylist()
    assert [row["id"] for row in refusals if row["reason"] == "duplicate"][:2] == ["t:0:201:0", "t:0:200:0"]
    assert len(refusals) == RECENT_REFUSALS + 3
    assert {len(row["payload"]) for row in refusals} == {500}


def test_a_worker_takes_an_overview_now_and_then_and_leaves_it_once_the_warehouse_is_closed(
    settings: Settings, tmp_path: Path
) -> None:
    file = OverviewFile(tmp_path / "another", tmp_path / "lab.duckdb")
    for rows, seen in ((4, 4), (5, 4)):  # the second commit follows at once
        with opened(settings) as connection:
            quarantine(connection, "duplicate", rows - seen or rows)
            file.take(connection, now=False)
        file.write()
        read = file.read()
        assert read is not None
        assert read[0].tables["reasons"]["rows"].to_pylist() == [4, 3]
        assert read[1] is (rows == seen)


def test_a_worker_that_cannot_take_an_overview_goes_on(settings: Settings, tmp_path: Path) -> None:
    file = OverviewFile(tmp_path / "another", tmp_path / "lab.duckdb")
    with opened(settings) as connection:
        connection.execute("drop table internal._commits cascade")
        file.take(connection)
    file.write()
    assert file.read() is None


def test_a_warehouse_without_landing_tables_says_what_to_do(tmp_path: Path) -> None:
    empty = Settings(warehouse=str(tmp_path / "lab.duckdb"))
    with opened(empty):
        pass
    with pytest.raises(NoTablesError, match="run `battery stream` first"):
        look_at_overview(empty)
    renew_overview(empty)  # which is no fault


def test_a_warehouse_that_admits_readers_has_no_file() -> None:
    assert OverviewFile.of(Settings(warehouse="md:lab", motherduck_token=SecretStr("secret")).warehouse_address) is None
