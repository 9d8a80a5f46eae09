"""The commit protocol on PostgreSQL, where lanes commit beside each other and any statement may fail by itself."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from support.builders import arrow, message, reading
from support.committed import CELLS, WINDOW, Worker
from support.delivered import decode
from support.generated import cut, logs
from support.landed import clean_cell, fold, rows_of
from support.pipeline import LANDING_TABLES, checksum_of, commands
from support.postgres import PASSWORD
from support.profiles import examples
from support.schemas import look_in_both
from support.warehouses import change, look, lose, owned

from dataflows.fold.state import CellState
from kernel.base.errors import BatteryError
from kernel.base.settings import Settings
from kernel.contract.about import About, TestAbout
from kernel.contract.reading import JSON
from kernel.edges.objects import open_store
from kernel.edges.warehouse import Postgres as PostgresWarehouse
from kernel.edges.warehouse import open_warehouse, transaction
from sink.commit import Landing
from sink.leftovers import find_leftovers
from sink.manifest import landing_objects
from sink.peers import Peers
from sink.postgres.fence import PATIENCE_SECONDS, take_over
from sink.tables import create_tables
from sink.writers import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.delivered import Delivery
    from support.postgres import Database, Postgres

    from dataflows.fold.states import CellStates
    from kernel.contract.results import Cleaned
    from kernel.edges.objects import FolderStore

SECONDS = 60
"""How long one thread waits for another, which takes none of it."""


def at(database: Database, folder: Path) -> Settings:
    """Settings of a pipeline whose judge is that database."""
    return Settings(
        object_store=f"file://{folder / 'objects'}",
        warehouse=database.address,
        warehouse_password=database.password,  # type: ignore[arg-type]
        warehouse_lock_timeout_seconds=30,
    )


@pytest.fixture
def settings(tmp_path: Path, postgres_database: Database) -> Settings:
    return at(postgres_database, tmp_path)


@pytest.fixture
def warehouse(settings: Settings) -> PostgresWarehouse:
    warehouse = open_warehouse(settings)
    assert isinstance(warehouse, PostgresWarehouse)
    return warehouse


def member(number: int, store: FolderStore, warehouse: PostgresWarehouse) -> Landing:
    """The landing of one process of a cluster of two."""
    peers = Peers(number, ("one:1", "two:2"), "this run", SECONDS)
    return Landing(store, warehouse, WINDOW, run_id="this run", peers=peers)


@pytest.mark.parametrize("processes", [1, 2])
def test_the_lanes_of_a_run_do_not_wait_for_each_other(
    store: FolderStore, warehouse: PostgresWarehouse, settings: Settings, processes: int
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
    store: FolderStore, warehouse: PostgresWarehouse, settings: Settings, table: str
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


def test_tables_that_are_gone_are_missed_by_whoever_looks_up_or_lands(
    store: FolderStore, warehouse: PostgresWarehouse, settings: Settings
) -> None:
    worker = Worker(store, warehouse)
    worker.commit(0)
    keys = pa.table({"cell_id": ["CELL_1"], "test_id": ["A"], "data_point": pa.array([1], pa.int64())})
    lose(settings)
    with pytest.raises(BatteryError, match="it was removed under the running worker"):
        worker.landing._landed_rows(keys)  # noqa: SLF001  # a commit asks for it only where readings come back
    with pytest.raises(BatteryError, match="it was removed under the running worker"):
        worker.landing._has_landed("000001-00-000000000001")  # noqa: SLF001  # and for this after a failure
    with pytest.raises(BatteryError, match="it was removed under the running worker"):
        worker.commit(0)


def test_messages_are_never_landed_a_second_time(
    store: FolderStore, warehouse: PostgresWarehouse, settings: Settings
) -> None:
    worker = Worker(store, warehouse)
    message = worker.folded(0)
    worker.landing.commit(0, 1, [message])
    with pytest.raises(BatteryError, match="refused to land messages a second time"):
        worker.landing.commit(0, 2, [message])
    with look(settings) as connection:
        assert connection.execute("select count(*) from battery_ts_cleaned").fetchall() == [(2,)]
        assert connection.execute("select count(*) from battery_quarantine").fetchall() == [(1,)]


BEGIN = """
from kernel.base.settings import Settings
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.commit import Landing
from sink.leftovers import find_leftovers
from sink.manifest import landing_objects
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
        said, _ = run.communicate(4 * SECONDS)
        assert run.returncode == 0, said
    with look(settings) as connection:
        writers = connection.execute("select epoch, superseded_by from _writers order by epoch").fetchall()
    assert writers == [(1, 2), (2, 3), (3, 4), (4, None)]


@pytest.fixture(scope="module")
def with_tables(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A database with empty landing tables, to be copied."""
    database = postgres_server.database()
    with open_warehouse(at(database, tmp_path_factory.mktemp("empty"))).judge("create") as judge, transaction(judge):
        create_tables(judge)
    with database.connect() as owner:
        owner.execute(END_OTHERS)
    return database


END_OTHERS = (
    "select pg_terminate_backend(pid, 10000) from pg_stat_activity "
    "where datname = current_database() and usename = current_user and pid <> pg_backend_pid()"
)


def land(settings: Settings, commits: Sequence[Sequence[Cleaned[CellStates]]]) -> dict[str, tuple[Any, ...]]:
    """Land results, a commit a group; row count and checksum of every landing table."""
    warehouse = open_warehouse(settings)
    landing = Landing(open_store(settings), warehouse, WINDOW)
    landing.begin()
    for seq, results in enumerate(commits, start=1):
        landing.commit(0, seq, results)
    with warehouse.connect("look", read_only=True) as connection:
        look_in_both(connection)
        found = {table: rows_of(connection, checksum_of(table))[0] for table in LANDING_TABLES}
    return found | {"states of the next run": (Landing(open_store(settings), warehouse, WINDOW).begin().states,)}


@examples(0.1)
@given(calls=logs().flatmap(cut))
def test_the_tables_are_those_of_a_duckdb_file_whatever_lands(
    postgres_server: Postgres, with_tables: Database, calls: list[list[Delivery]]
) -> None:
    require_same_tables(postgres_server, with_tables, [[result] for result in fold(calls)])


HOSTILE = [
    "\0",
    "a\0b\0",
    "\ufffe",
    "\ufffe0",
    "\ufffe1\0",
    "\\N",
    "\\",
    "'\"",
    "a\tb\nc\r",
    "\u00e9 e\u0301",
    "\U0001f50b",
]


def test_texts_that_postgres_does_not_store_or_escapes_are_read_as_they_were(
    postgres_server: Postgres, with_tables: Database
) -> None:
    commits = []
    for offset, text in enumerate(HOSTILE):
        cell_id = f"CELL{text}"
        rows = [reading(point, cell_id=cell_id, test_id=text, source_file=text) for point in (1, 2)]
        of: dict[str, Any] = {"key": cell_id.encode(), "offset": 2 * offset}
        said = TestAbout(text, About(text, (text,), {text: text}))
        messages = [arrow(rows, about=said, **of)]
        messages.append(decode(message(text.encode(), **of | {"offset": 2 * offset + 1}, encoding=JSON)))
        cleaned = clean_cell(CellState(), messages)
        assert cleaned is not None
        commits.append([cleaned])
    tables = require_same_tables(postgres_server, with_tables, commits)
    assert tables["battery_quarantine"][0] >= len(HOSTILE)
    assert tables["battery_about"][0] == len(HOSTILE)


def require_same_tables(
    server: Postgres, empty: Database, commits: Sequence[Sequence[Cleaned[CellStates]]]
) -> dict[str, tuple[Any, ...]]:
    """Land results in a DuckDB file and in PostgreSQL; what both then hold."""
    database = server.database(copy_of=empty.name)
    try:
        with TemporaryDirectory() as folder:
            file = Settings(object_store=f"file://{folder}/objects", warehouse=f"{folder}/battery.duckdb")
            expected = land(file, commits)
            assert land(at(database, Path(folder) / "judged"), commits) == expected
    finally:
        server.drop(database)
    return expected


def test_a_take_over_waits_for_another_one_that_is_at_work_and_ends_it_not(
    settings: Settings, warehouse: PostgresWarehouse
) -> None:
    """As for the swap of a replay, which may copy for minutes."""
    at_work = threading.Event()

    def swap() -> None:
        with warehouse.judge("swap") as judge, transaction(judge):
            take_over(judge, Writer.WORKER)
            at_work.set()
            judge.execute("select pg_sleep(?)", [PATIENCE_SECONDS * 2.5])

    with ThreadPoolExecutor() as pool:
        swapping = pool.submit(swap)
        assert at_work.wait(SECONDS)
        with PostgresWarehouse(settings).judge("begin") as judge, transaction(judge):
            take_over(judge, Writer.WORKER)
            assert swapping.done()
        swapping.result(SECONDS)  # raises where it was ended


def test_an_object_that_a_compaction_replaces_meanwhile_is_no_leftover(
    store: FolderStore, warehouse: PostgresWarehouse, settings: Settings
) -> None:
    Worker(store, warehouse).commit(0, 1)
    stored = list(landing_objects(store))
    Landing(store, warehouse, WINDOW).begin()  # its writer has ended

    class Between:
        """A session in which a compaction commits after the first of two statements that look for keys."""

        def __init__(self, session: Any) -> None:
            self._session = session
            self._looks = 0

        def execute(self, sql: str, *values: Any) -> Any:
            answer = self._session.execute(sql, *values)
            if sql.startswith("select object_key from internal."):
                self._looks += 1
                if self._looks == 1:
                    change(settings, "insert into internal._retired select object_key from internal._commits")
                    change(settings, "delete from internal._commits")
            return answer

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

    with warehouse.judge("look") as session:
        found = find_leftovers(Between(session), stored, 99, 0)  # type: ignore[arg-type]
    assert not any(found.unfinished.values())
