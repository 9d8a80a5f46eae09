"""The commit protocol on PostgreSQL, where lanes commit beside each other and any statement may fail by itself."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.committed import CELLS, WINDOW, Worker
from support.pipeline import commands
from support.postgres import PASSWORD
from support.warehouses import change, look, owned

from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.edges.warehouse import Postgres, open_warehouse
from sink.commit import Landing
from sink.peers import Peers

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from support.postgres import Database

    from kernel.edges.objects import FolderStore

SECONDS = 60
"""How long one thread waits for another, which takes none of it."""


@pytest.fixture
def settings(tmp_path: Path, postgres_database: Database) -> Settings:
    return Settings(
        object_store=f"file://{tmp_path / 'objects'}",
        warehouse=postgres_database.address,
        warehouse_password=postgres_database.password,  # type: ignore[arg-type]
        warehouse_lock_timeout_seconds=30,
    )


@pytest.fixture
def warehouse(settings: Settings) -> Postgres:
    warehouse = open_warehouse(settings)
    assert isinstance(warehouse, Postgres)
    return warehouse


def member(number: int, store: FolderStore, warehouse: Postgres) -> Landing:
    """The landing of one process of a cluster of two."""
    peers = Peers(number, ("one:1", "two:2"), "this run", SECONDS)
    return Landing(store, warehouse, WINDOW, run_id="this run", peers=peers)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_lanes_of_a_run_do_not_wait_for_each_other(
    store: FolderStore, warehouse: Postgres, settings: Settings, processes: int
) -> None:
    landings = [member(number, store, warehouse) for number in range(processes)]
    folded = Worker(store, warehouse, of=landings[0])  # it begins the run
    for landing in landings[1:]:
        landing.begin()
    slow, quick = landings[0], landings[-1]
    drafts = [landing.draft(lane, 1) for lane, landing in enumerate((slow, quick))]
    for lane, draft in enumerate(drafts):
        draft.add(folded.folded(lane))
    is_inside, may_go_on = threading.Event(), threading.Event()

    def states() -> pa.Table:
        is_inside.set()
        assert may_go_on.wait(SECONDS)
        return drafts[0].states()

    with ThreadPoolExecutor() as pool:
        try:
            landing_slowly = pool.submit(slow.land, drafts[0].store(), states)
            assert is_inside.wait(SECONDS)
            quick.land(drafts[1].store(), drafts[1].states)
            with look(settings) as connection:
                assert connection.execute("select distinct cell_id from battery_ts_cleaned").fetchall() == [(CELLS[1],)]
            assert not landing_slowly.done()
        finally:
            may_go_on.set()
        landing_slowly.result(SECONDS)
    with look(settings) as connection:
        landed = connection.execute("select distinct cell_id from battery_ts_cleaned order by all").fetchall()
    assert landed == [(cell,) for cell in CELLS]


@pytest.mark.parametrize(
    "table",
    [
        "main.battery_quarantine",
        "internal._windows",
        "internal._cycles",
        "internal._progress",
        "internal._commits",
        "internal._cell_state",
    ],
)
def test_a_statement_that_fails_leaves_nothing_landed(
    store: FolderStore, warehouse: Postgres, settings: Settings, table: str
) -> None:
    worker = Worker(store, warehouse)
    with owned(settings) as database:
        database.execute(
            "create function main.no_space() returns trigger language plpgsql as "
            "$$ begin raise exception 'No space left on device' using errcode = 'disk_full'; end $$"
        )
        trigger = (
            f"create trigger no_space before insert on {table} for each statement execute function main.no_space()"
        )
        database.execute(trigger.encode())
    with pytest.raises(BatteryError, match="No space left on device"):
        worker.commit(0)
    with look(settings) as connection:
        for name in ("battery_ts_cleaned", "battery_quarantine", "_windows", "_cycles", "_progress", "_commits"):
            assert connection.execute(f"select count(*) from {name}").fetchall() == [(0,)], name  # noqa: S608
    change(settings, "drop function main.no_space() cascade")
    Worker(store, warehouse).commit(0, 1)
    with look(settings) as connection:
        assert connection.execute("select count(distinct cell_id) from battery_ts_cleaned").fetchall() == [(2,)]


BEGIN = """
from kernel.base.settings import Settings
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.commit import Landing
settings = Settings()
Landing(open_store(settings), open_warehouse(settings), 600).begin()
"""


def test_runs_that_begin_at_once_in_an_empty_database_begin_one_after_the_other(
    settings: Settings, tmp_path: Path
) -> None:
    given = {**os.environ, "OBJECT_STORE": settings.object_store, "WAREHOUSE": settings.warehouse}
    given |= {"WAREHOUSE_PASSWORD": PASSWORD}
    runs = [commands.start(BEGIN, given, tmp_path) for _ in range(4)]
    for run in runs:
        said, _ = run.communicate(SECONDS)
        assert run.returncode == 0, said
    with look(settings) as connection:
        writers = connection.execute("select epoch, superseded_by from _writers order by epoch").fetchall()
    assert writers == [(1, 2), (2, 3), (3, 4), (4, None)]
