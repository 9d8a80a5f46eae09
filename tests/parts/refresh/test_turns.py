"""The turn of a host that publishes: one at a time, however many wait, and whatever each has written down."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import duckdb
import pytest
from pydantic import SecretStr

from kernel.base.settings import Settings
from kernel.edges.warehouse import open_warehouse, transaction
from refresh.turns import take_turn
from sink.tables import create_tables

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Database

    from kernel.edges.warehouse import Warehouse

SECONDS = 60
"""How long one thread waits for another, which takes none of it."""


@pytest.fixture
def warehouse(postgres_database: Database, tmp_path: Path) -> Warehouse:
    warehouse = open_warehouse(
        Settings(
            warehouse=postgres_database.address,
            warehouse_password=SecretStr(postgres_database.password),
            object_store=f"file://{tmp_path}",
        )
    )
    with warehouse.judge("prepare") as judge, transaction(judge):
        create_tables(judge)
    return warehouse


def await_waiting(database: Database, entered: threading.Event) -> bool:
    """Wait until somebody waits for a turn, or has it; whether somebody waits."""
    waiting = (
        "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' "
        "and pid <> pg_backend_pid()"
    )
    with database.connect() as owner:
        while not entered.is_set():
            if owner.execute(waiting).fetchall() != [(0,)]:
                return True
    return False


class Host:
    """A host that takes a turn in a thread of its own, and keeps it until it may go on."""

    def __init__(self, warehouse: Warehouse, number: int) -> None:
        self._warehouse = warehouse
        self._number = number
        self.entered, self.may_leave = threading.Event(), threading.Event()

    def publish(self) -> bool:
        """Take the turn, note what was published, and leave; whether it was the newest."""
        with take_turn(self._warehouse, self._number) as turn:
            self.entered.set()
            assert self.may_leave.wait(SECONDS)
            if turn.is_newest:
                turn.note({})
            return turn.is_newest


def test_a_host_that_has_waited_keeps_the_others_out_as_well(warehouse: Warehouse, postgres_database: Database) -> None:
    first, second, third = (Host(warehouse, number) for number in (1, 3, 2))
    with ThreadPoolExecutor() as pool:
        try:
            is_first = pool.submit(first.publish)
            assert first.entered.wait(SECONDS)
            is_second = pool.submit(second.publish)
            assert await_waiting(postgres_database, second.entered)
            first.may_leave.set()
            assert second.entered.wait(SECONDS)
            is_third = pool.submit(third.publish)
            assert await_waiting(postgres_database, third.entered), "two have the turn at once"
        finally:
            for host in (first, second, third):
                host.may_leave.set()
        assert [found.result(SECONDS) for found in (is_first, is_second, is_third)] == [True, True, False]


def test_an_error_of_what_is_published_is_not_called_one_of_the_record(warehouse: Warehouse) -> None:
    with pytest.raises(duckdb.ConversionException), take_turn(warehouse, 1):
        duckdb.sql("select 'one'::integer").fetchall()
