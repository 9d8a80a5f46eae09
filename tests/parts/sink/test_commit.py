"""The commit protocol on an embedded store and warehouse, with each of its steps failing in turn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from support.builders import CELL, TOPIC_ID, arrow, json_message, reading
from support.landed import clean_cell, state_of
from support.one_connection import OneConnection
from support.schemas import look_in_both

from dataflows.fold.state import CellState
from kernel.base.errors import BatteryError
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile
from sink.claim import CLAIM_KEY, EPOCHS_IN_FLIGHT, ForeignStoreError, adopt_store, claim_store
from sink.commit import Landing
from sink.peers import Peers
from sink.writers import SupersededError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dataflows.fold.states import CellStates
    from kernel.contract.results import Cleaned

WINDOW = 600


def result(points: range, offset: int, state: CellState | None = None) -> Cleaned[CellStates]:
    found = clean_cell(state or CellState(), [arrow([reading(p) for p in points], offset=offset)])
    assert found is not None
    return found


def table(warehouse: DuckDBFile, sql: str) -> list[tuple[Any, ...]]:
    with warehouse.connect("look", read_only=True) as connection:
        look_in_both(connection)
        return connection.execute(sql).fetchall()


def keys(store: FolderStore) -> list[str]:
    return [found.key for found in store.list("battery_")]


def test_a_commit_lands_rows_object_progress_and_state_together(store: FolderStore, warehouse: DuckDBFile) -> None:
    landing = Landing(store, warehouse, WINDOW)
    landing.begin()
    landed = result(range(1, 4), offset=5)
    landing.commit(0, 1, [landed])
    assert table(warehouse, "select count(*) from battery_ts_cleaned") == [(3,)]
    assert table(warehouse, "from internal._progress") == [(CELL, TOPIC_ID, 0, 5)]
    assert table(warehouse, "select state from internal._cell_state") == [(state_of(landed).to_json().decode(),)]
    assert table(warehouse, 'select object_key, kind, "rows", writer_epoch, seq from internal._commits') == [
        ("battery_ts_cleaned/lane=00/000001-000000000001.parquet", "battery_ts_cleaned", 3, 1, 1)
    ]
    assert keys(store) == ["battery_ts_cleaned/lane=00/000001-000000000001.parquet"]


def test_the_next_run_takes_up_where_the_last_one_committed(store: FolderStore, warehouse: DuckDBFile) -> None:
    first = Landing(store, warehouse, WINDOW)
    first.begin()
    landed = result(range(1, 4), offset=5)
    first.commit(0, 1, [landed])
    standing = Landing(store, warehouse, WINDOW).begin()
    assert standing.epoch == 2
    assert CellState.from_json(standing.states[CELL]) == state_of(landed)
    assert standing.committed == {(TOPIC_ID, 0): 5}
    assert standing.next_seq == {0: 2}


def test_an_older_run_cannot_commit_any_more(store: FolderStore, warehouse: DuckDBFile) -> None:
    zombie = Landing(store, warehouse, WINDOW)
    zombie.begin()
    Landing(store, warehouse, WINDOW).begin()
    with pytest.raises(SupersededError, match=r"writer epoch 1.*superseded by run 2"):
        zombie.commit(0, 1, [result(range(1, 4), offset=0)])
    assert table(warehouse, "select count(*) from battery_ts_cleaned") == [(0,)]


class OnlyClaimed:
    """A store that may be asked whose it is, and nothing else."""

    def __init__(self, store: FolderStore) -> None:
        self._store = store

    def list(self, prefix: str) -> Any:
        assert prefix == CLAIM_KEY
        return self._store.list(prefix)

    def get(self, key: str) -> bytes:
        assert key == CLAIM_KEY
        return self._store.get(key)


def peer(number: int, patience: float = 30.0) -> Peers:
    return Peers(number, ("one:1", "two:2"), "this run", patience)


def member(number: int, store: Any, warehouse: DuckDBFile, patience: float = 30.0) -> Landing:
    """The landing of one process of a cluster."""
    return Landing(store, warehouse, WINDOW, run_id="this run", peers=peer(number, patience))


def test_one_process_of_a_cluster_begins_the_run_and_the_others_join_it_without_a_look_at_the_objects(
    store: FolderStore, warehouse: DuckDBFile
) -> None:
    with ThreadPoolExecutor() as pool:
        joining = pool.submit(member(1, OnlyClaimed(store), warehouse).begin)  # before there is anything to join
        begun = member(0, store, warehouse).begin()
        assert joining.result() == begun
    assert table(warehouse, "select epoch, run_id from internal._writers") == [(1, "this run")]


@pytest.mark.parametrize("owned", [False, True], ids=["nobody's", "another's"])
def test_a_process_that_reaches_another_store_than_the_run_joins_nothing_and_stores_nothing(
    store: FolderStore, warehouse: DuckDBFile, tmp_path: Path, owned: bool
) -> None:
    other = FolderStore(tmp_path / "another disk")
    if owned:
        claim_store(other, DuckDBFile(tmp_path / "another.duckdb", lock_timeout_seconds=30))
    before = keys(other)
    member(0, store, warehouse).begin()
    whose = "belongs to pipeline [0-9a-f]+" if owned else "is nobody's"
    with pytest.raises(ForeignStoreError, match=f"{whose}, and is not that of the run"):
        member(1, other, warehouse).begin()
    assert keys(other) == before


def test_a_process_of_a_cluster_gives_up_where_the_run_does_not_begin_and_takes_no_epoch(
    store: FolderStore, warehouse: DuckDBFile
) -> None:
    Landing(store, warehouse, WINDOW, run_id="another run").begin()
    with pytest.raises(BatteryError, match=r"process 1 at two:2 has waited 0.4 s .* for process 0 at one:1 to begin"):
        member(1, store, warehouse, patience=0.4).begin()
    assert table(warehouse, "select count(*) from internal._writers") == [(1,)]


def test_a_process_that_joins_a_run_of_another_window_width_is_refused(
    store: FolderStore, warehouse: DuckDBFile
) -> None:
    member(0, store, warehouse).begin()
    with pytest.raises(BatteryError, match="WINDOW_SECONDS=60, but the windows in the warehouse are 600 s wide"):
        Landing(store, warehouse, 60, run_id="this run", peers=peer(1)).begin()


def test_a_run_id_begins_one_run_only(store: FolderStore, warehouse: DuckDBFile) -> None:
    member(0, store, warehouse).begin()
    with pytest.raises(BatteryError, match=r"RUN_ID=this run is that of an earlier start \(writer epoch 1\)"):
        member(0, store, warehouse).begin()


def test_a_process_joins_no_run_that_has_ended(store: FolderStore, warehouse: DuckDBFile) -> None:
    member(0, store, warehouse).begin()
    Landing(store, warehouse, WINDOW).begin()
    with pytest.raises(SupersededError, match=r"writer epoch 1.*superseded by run 2"):
        member(1, store, warehouse).begin()


def test_an_older_run_that_looks_up_what_the_newer_one_has_landed_is_told_so(
    store: FolderStore, warehouse: DuckDBFile
) -> None:
    messages = [arrow([reading(p) for p in (1, 2, 3, 4)], offset=0), arrow([reading(p) for p in (2, 3, 4)], offset=1)]
    repeating = clean_cell(CellState(), messages)
    assert repeating is not None
    assert repeating.repeated.num_rows == 3
    older, newer = Landing(store, warehouse, WINDOW), Landing(store, warehouse, WINDOW)
    older.begin()
    newer.begin()
    newer.commit(0, 1, [repeating])
    with pytest.raises(SupersededError, match=r"writer epoch 1.*superseded by run 2"):
        older.commit(0, 1, [repeating])


def test_messages_are_never_landed_a_second_time(store: FolderStore, warehouse: DuckDBFile) -> None:
    landing = Landing(store, warehouse, WINDOW)
    landing.begin()
    landing.commit(0, 1, [result(range(1, 4), offset=5)])
    with pytest.raises(BatteryError, match="refused to land messages a second time"):
        landing.commit(0, 2, [result(range(1, 4), offset=5)])
    assert table(warehouse, "select count(*) from battery_ts_cleaned") == [(3,)]


class Failing(OneConnection):
    """A warehouse whose statements fail where asked."""

    def __init__(
        self, warehouse: DuckDBFile, *, before: str | None = None, after_commit: bool = False, times: int = 99
    ) -> None:
        self._warehouse = warehouse
        self.before = before
        self.after_commit = after_commit
        self.times = times

    @contextmanager
    def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        with self._warehouse.connect(purpose, read_only=read_only) as connection:
            if purpose == "commit" and self.before and self.times:
                self.times -= 1
                yield _Faulty(connection, self.before)  # type: ignore[misc]
            else:
                yield connection
        if purpose == "commit" and self.after_commit:
            raise duckdb.ConnectionException("connection lost")


class _Faulty:
    def __init__(self, connection: duckdb.DuckDBPyConnection, before: str) -> None:
        self._connection = connection
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, sql: str, *arguments: Any) -> duckdb.DuckDBPyConnection:
        if self._before in sql:
            raise duckdb.IOException("disk full")
        return self._connection.execute(sql, *arguments)


@pytest.mark.parametrize(
    "before",
    [
        "into battery_ts_cleaned",
        "into internal._windows",
        "into internal._progress",
        "into internal._cell_state",
        "into internal._commits",
    ],
)
def test_a_statement_that_fails_leaves_nothing_landed(store: FolderStore, warehouse: DuckDBFile, before: str) -> None:
    failing = Failing(warehouse, before=before)
    landing = Landing(store, failing, WINDOW)
    landing.begin()
    with pytest.raises(BatteryError, match="disk full"):
        landing.commit(0, 1, [result(range(1, 4), offset=5)])
    for name in ("battery_ts_cleaned", "_windows", "_cycles", "_progress", "_cell_state", "_commits"):
        assert table(warehouse, f"select count(*) from {name}") == [(0,)]  # noqa: S608


def leave_an_orphan(store: FolderStore, warehouse: DuckDBFile, seq: int = 1) -> None:
    landing = Landing(store, Failing(warehouse, before="into internal._commits"), WINDOW)
    landing.begin()
    with pytest.raises(BatteryError):
        landing.commit(0, seq, [result(range(1, 4), offset=5)])


def test_an_orphan_object_is_removed_once_the_next_run_has_committed(store: FolderStore, warehouse: DuckDBFile) -> None:
    leave_an_orphan(store, warehouse)
    leave_an_orphan(store, warehouse)
    assert len(keys(store)) == 2
    landing = Landing(store, warehouse, WINDOW)
    landing.begin()
    assert len(keys(store)) == 2
    landing.commit(0, 1, [result(range(1, 4), offset=5)])
    assert keys(store) == ["battery_ts_cleaned/lane=00/000003-000000000001.parquet"]


def test_an_orphan_that_cannot_be_removed_keeps_no_commit_from_landing_and_goes_with_a_later_one(
    store: FolderStore, warehouse: DuckDBFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_an_orphan(store, warehouse)
    (orphan,) = keys(store)
    restarted = Landing(store, warehouse, WINDOW)
    restarted.begin()
    with monkeypatch.context() as failing:
        failing.setattr(FolderStore, "delete", refuse)
        restarted.commit(0, 1, [result(range(1, 4), offset=0)])
    assert orphan in keys(store)
    restarted.commit(0, 2, [result(range(4, 6), offset=1)])
    assert orphan not in keys(store)


def refuse(*_: object) -> None:
    raise BatteryError("the store is down")


def test_an_orphan_that_outlived_its_removal_is_removed_later(store: FolderStore, warehouse: DuckDBFile) -> None:
    leave_an_orphan(store, warehouse)
    key = keys(store)[0]
    data = store.get(key)
    second = Landing(store, warehouse, WINDOW)
    second.begin()
    first = result(range(1, 4), offset=5)
    second.commit(0, 1, [first])
    store.put(key, data)  # the run died before it removed the object
    third = Landing(store, warehouse, WINDOW)
    third.begin()
    third.commit(0, 2, [result(range(4, 6), 6, state_of(first))])
    assert key not in keys(store)


@pytest.mark.parametrize("commits_since", [2, 5])
def test_an_older_copy_of_the_warehouse_removes_nothing(
    store: FolderStore, warehouse: DuckDBFile, tmp_path: Any, commits_since: int
) -> None:
    landing = Landing(store, warehouse, WINDOW)
    landing.begin()
    steps = [result(range(1, 4), offset=0)]
    landing.commit(0, 1, steps)
    copied = tmp_path / "copy.duckdb"
    copied.write_bytes((tmp_path / "battery.duckdb").read_bytes())
    for number in range(1, commits_since + 1):
        steps.append(result(range(3 * number + 1, 3 * number + 4), number, state_of(steps[-1])))
        landing.commit(0, number + 1, [steps[-1]])
    before = keys(store)
    older = Landing(store, type(warehouse)(copied, 30), WINDOW)
    older.begin()
    older.commit(0, 2, [steps[1]])
    assert set(before) < set(keys(store))


def test_a_take_over_and_a_commit_at_the_same_moment_do_not_both_happen(tmp_path: Any) -> None:
    """As on MotherDuck, where transactions run side by side: cursors of one connection do too."""
    shared = duckdb.connect(str(tmp_path / "shared.duckdb"))

    class Shared(OneConnection):
        @contextmanager
        def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:  # noqa: ARG002
            cursor = shared.cursor()
            yield _TakenOver(cursor) if purpose == "commit" else cursor  # type: ignore[misc]

    class _TakenOver(_Faulty):
        """Another run begins after this commit has looked at the fence and before it ends."""

        def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
            super().__init__(connection, "nothing")

        def commit(self) -> None:
            try:
                Landing(FolderStore(tmp_path / "objects"), Shared(), WINDOW).begin()
            except BatteryError as error:
                refused.append(str(error))
            self._connection.commit()

    refused: list[str] = []
    landing = Landing(FolderStore(tmp_path / "objects"), Shared(), WINDOW)
    landing.begin()
    landing.commit(0, 1, [result(range(1, 4), offset=0)])
    assert [error for error in refused if "onflict" in error], "the other run began beside the commit"
    assert shared.execute("select max(epoch) from internal._writers").fetchone() == (1,)


def test_a_warehouse_that_fails_for_a_moment_is_tried_again(store: FolderStore, warehouse: DuckDBFile) -> None:
    failing = Failing(warehouse, before="into internal._commits", times=2)
    landing = Landing(store, failing, WINDOW)
    landing.begin()
    landing.commit(0, 1, [result(range(1, 4), offset=5)])
    assert table(warehouse, "select count(*) from battery_ts_cleaned") == [(3,)]


def test_a_commit_whose_acknowledgement_was_lost_is_looked_up_and_not_repeated(
    store: FolderStore, warehouse: DuckDBFile
) -> None:
    landing = Landing(store, Failing(warehouse, after_commit=True), WINDOW)
    landing.begin()
    landing.commit(0, 1, [result(range(1, 4), offset=5)])
    assert table(warehouse, "select count(*) from battery_ts_cleaned") == [(3,)]


def test_a_new_warehouse_that_has_adopted_an_old_store_overwrites_and_removes_nothing(
    store: FolderStore, warehouse: DuckDBFile, tmp_path: Any
) -> None:
    old = Landing(store, warehouse, WINDOW)
    old.begin()
    old.commit(0, 1, [result(range(1, 4), offset=5)])
    other = type(warehouse)(tmp_path / "other.duckdb", 30)
    adopt_store(store, other)
    new = Landing(store, other, WINDOW)
    assert new.begin().epoch == 1 + EPOCHS_IN_FLIGHT + 1
    new.commit(0, 1, [result(range(1, 4), offset=5)])
    assert len(keys(store)) == 2


def test_another_window_width_is_refused(store: FolderStore, warehouse: DuckDBFile) -> None:
    Landing(store, warehouse, 600).begin()
    with pytest.raises(BatteryError, match="WINDOW_SECONDS=60, but the windows in the warehouse are 600 s wide"):
        Landing(store, warehouse, 60).begin()


def test_a_late_test_adds_to_windows_that_were_closed_long_ago(store: FolderStore, warehouse: DuckDBFile) -> None:
    landing = Landing(store, warehouse, WINDOW)
    landing.begin()
    first = result(range(1, 31), offset=0)
    late = clean_cell(state_of(first), [arrow([reading(1, test_id="late", **{"voltage(v)": 4.0})], offset=1)])
    assert late is not None
    landing.commit(0, 1, [first])
    landing.commit(0, 2, [late])
    assert table(
        warehouse,
        "select reading_count, voltage_min_v, voltage_mean_v, voltage_max_v, is_final from battery_cell_windows "
        "order by window_start limit 1",
    ) == [(20, 3.7, (19 * 3.7 + 4.0) / 20, 4.0, True)]


def test_a_commit_that_needs_more_memory_than_the_warehouse_was_given_gets_it(tmp_path: Path) -> None:
    path = tmp_path / "battery.duckdb"
    narrow = DuckDBFile(path, 60, {"threads": "1", "memory_limit": "6MB"})
    landing = Landing(FolderStore(tmp_path / "objects"), narrow, WINDOW)
    landing.begin()
    landing.commit(0, 1, [result(range(1, 30_001), 0)])
    assert table(DuckDBFile(path, 60), "select count(*) from battery_ts_cleaned") == [(30_000,)]


def test_a_commit_of_long_payloads_gets_the_memory_that_its_checkpoint_needs(tmp_path: Path) -> None:
    path = tmp_path / "battery.duckdb"
    landing = Landing(
        FolderStore(tmp_path / "objects"), DuckDBFile(path, 60, {"threads": "1", "memory_limit": "20MB"}), WINDOW
    )
    landing.begin()
    rows = [reading(point, **{"voltage(v)": "x" * 60_000}) for point in range(100)]
    refused = clean_cell(CellState(), [json_message(rows, offset=offset) for offset in range(12)])
    assert refused is not None
    landing.commit(0, 1, [refused])
    assert table(DuckDBFile(path, 60), "select count(*) from battery_quarantine") == [(1_200,)]
