"""A verification keeps nobody waiting, says nothing false of what changes meanwhile, and takes little memory."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import duckdb
import pytest

from kernel.base.errors import BatteryError
from kernel.edges.objects import FolderStore
from sink.care import pieces
from sink.care.compact import compact
from sink.care.pieces import recount_all
from sink.care.recount import recount
from sink.care.sweep import sweep
from sink.care.verify import landing_checks, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.committed import Landed, Worker

    from kernel.edges.objects import StoredObject
    from sink.care.recount import Recount
    from sink.care.verify import Check


class Meanwhile(FolderStore):
    """The store of a landing, in which something happens as the first of its objects is about to be read.

    With `always` it happens again each time that they have been listed.
    """

    def __init__(self, landed: Landed, happens: Callable[[], object], *, always: bool = False) -> None:
        super().__init__(landed.folder / "objects")
        self._happens = happens
        self._always = always
        self._is_due = True

    def list(self, prefix: str) -> Iterator[StoredObject]:
        self._is_due |= self._always and prefix == "battery_ts_cleaned/"
        return super().list(prefix)

    def get(self, key: str) -> bytes:
        if key.startswith("battery_ts_cleaned/") and self._is_due:
            self._is_due = False
            self._happens()
        return super().get(key)


@pytest.fixture(autouse=True)
def without_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sink.care.verify._log", lambda *_: iter(()))


def verified(landed: Landed, happens: Callable[[], object] = lambda: None) -> dict[str, Check]:
    """The checks of a verification, by name; something happens while it reads the objects."""
    return {check.name: check for check in verify(landed.settings, Meanwhile(landed, happens), landed.warehouse)}


def wrong(checks: dict[str, Check]) -> list[str]:
    return [name for name, check in checks.items() if not check.ok]


@pytest.fixture
def worker(landed: Landed) -> Worker:
    """A run that has landed twice for each cell, and goes on."""
    worker = landed.worker()
    worker.commit(0, 1, 0, 1)
    return worker


def test_a_worker_commits_while_a_verification_reads_objects(landed: Landed, worker: Worker) -> None:
    before = len(landed.named())
    checks = verified(landed, lambda: worker.commit(0, 1))
    assert len(landed.named()) > before
    assert wrong(checks) == []
    # The objects are those of the look at the tables, and what was committed since is no leftover.
    assert checks["objects"].detail == f"{before} objects as committed"
    assert checks["leftovers"].detail.startswith("0 objects")
    assert wrong(verified(landed)) == []


@pytest.mark.usefixtures("worker")
def test_objects_that_are_merged_and_swept_while_others_are_read_are_not_lost(landed: Landed) -> None:
    before = landed.kept()

    def replace() -> None:
        compact(landed.settings, landed.store, landed.warehouse)
        sweep(landed.settings, landed.store, landed.warehouse)

    checks = verified(landed, replace)
    assert before - landed.kept()
    assert wrong(checks) == []
    assert checks["objects"].detail == f"{len(landed.named())} objects as committed"


def test_an_object_that_is_lost_is_missing_although_a_worker_goes_on(landed: Landed, worker: Worker) -> None:
    lost = max(landed.named())

    def lose() -> None:
        landed.store.delete(lost)
        worker.commit(0, 1)

    lose()
    checks = verified(landed, lambda: worker.commit(0, 1))
    assert checks["objects"].detail == f"{lost} is missing"
    assert wrong(checks) == ["objects", f"{lost.partition('/')[0]} = its objects"]


def test_objects_that_are_replaced_again_and_again_end_a_verification_with_what_to_do(
    landed: Landed, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sink.care.contents.ATTEMPTS", 2)
    rounds = 0

    def replace() -> None:
        nonlocal rounds
        rounds += 1
        worker.commit(0, 1, 0, 1)
        compact(landed.settings, landed.store, landed.warehouse)
        sweep(landed.settings, landed.store, landed.warehouse)

    store = Meanwhile(landed, replace, always=True)
    with pytest.raises(BatteryError, match=r"objects were replaced while they were read.* verify again when no"):
        verify(landed.settings, store, landed.warehouse)
    assert rounds == 2


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """A cell a piece, after each of which the warehouse is let go; what is in the list then happens."""
    happens: list[Callable[[], object]] = []
    monkeypatch.setattr(pieces, "PIECE_ROWS", 1)
    monkeypatch.setattr(pieces, "MOST_PIECES", 1_000)
    times = iter(range(1_000_000))

    def sleep(_: float) -> None:
        for one in happens:
            one()

    monkeypatch.setattr(pieces, "time", SimpleNamespace(monotonic=lambda: float(next(times)) * 2, sleep=sleep))
    return happens


def test_a_worker_commits_between_the_pieces_of_a_recount(
    landed: Landed, worker: Worker, small: list[Callable[[], object]]
) -> None:
    small.append(lambda: worker.commit(0, 1))
    before = len(landed.manifest().commits)
    assert wrong(verified(landed)) == []
    assert len(landed.manifest().commits) == before + 2  # a pause between the pieces of two cells


@pytest.mark.parametrize(
    ("damage", "counts"),
    [
        ("update internal._windows set reading_count = 99 where cell_id = 'CELL_2'", "differing_windows"),
        ("update internal._windows set voltage_last_v = 99 where cell_id = 'CELL_1'", "differing_windows"),
        ("insert into internal._windows select * replace ('CELL_3' as cell_id) from internal._windows",
         "differing_windows"),
        ("delete from internal._cycles where cell_id = 'CELL_1'", "differing_cycles"),
        ("insert into internal._cycles select * replace ('A' as cell_id) from internal._cycles", "differing_cycles"),
        ("insert into battery_ts_cleaned from battery_ts_cleaned where data_point = 3 limit 1", "repeated"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("worker")
def test_what_differs_is_counted_in_whichever_piece_it_is(
    landed: Landed, small: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch, damage: str, counts: str
) -> None:
    paused: list[None] = []
    small.append(lambda: paused.append(None))
    sound = recount_all(landed.warehouse)
    assert (sound.repeated, sound.differing_windows, sound.differing_cycles) == (0, 0, 0)
    landed.query(damage)
    found = recount_all(landed.warehouse)
    assert getattr(found, counts) > 0
    assert paused
    monkeypatch.undo()
    assert recount_all(landed.warehouse) == found


@pytest.mark.usefixtures("worker")
def test_a_cell_that_does_not_fit_in_little_memory_is_counted_with_more_and_the_next_with_little(
    landed: Landed, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recount_all(landed.warehouse)
    limits: list[str] = []

    def lacking(connection: duckdb.DuckDBPyConnection, cells: list[str], schema: str) -> Recount:
        nonlocal limits
        limits += [limit for (limit,) in connection.execute("select current_setting('memory_limit')").fetchall()]
        if len(limits) == 1:
            raise duckdb.OutOfMemoryException("failed to pin block")
        return recount(connection, cells, schema)

    monkeypatch.setattr(pieces, "recount", lacking)
    monkeypatch.setattr(pieces, "PIECE_ROWS", 1)
    monkeypatch.setattr(pieces, "PAUSE_SECONDS", 0)
    assert recount_all(landed.warehouse) == whole
    little, more, little_again = limits
    assert (little, little_again) == ("244.1 MiB", "244.1 MiB")
    assert more.endswith("GiB")


@contextmanager
def shown_by_views(landed: Landed) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same tables as where the rows are the objects alone: a view reads them."""
    with duckdb.connect() as connection:
        connection.execute(f"attach '{landed.folder / 'battery.duckdb'}' as file (read_only)")
        connection.execute("copy from database file to memory")
        connection.execute("detach file")
        connection.execute("drop table main.battery_ts_cleaned")
        connection.execute(
            "create view main.battery_ts_cleaned as "
            f"from read_parquet('{landed.folder}/objects/battery_ts_cleaned/*/*.parquet', hive_partitioning = false)"
        )
        yield connection


@pytest.mark.usefixtures("worker")
def test_where_the_rows_are_the_objects_they_are_read_and_counted_too(landed: Landed) -> None:
    with shown_by_views(landed) as connection:
        checks = {check.name: check for check in landing_checks(connection, landed.store)}
        connection.execute("update internal._windows set voltage_last_v = 99")
        connection.execute("delete from internal._cycles")
        damaged = {check.name: check for check in landing_checks(connection, landed.store)}
    assert wrong(checks) == []
    own = {check.name: check for check in landed_checks(landed)}
    name = "battery_ts_cleaned = its objects"
    rows = own.pop(name).detail.split()[0]
    assert checks.pop(name).detail == f"{rows} rows in the objects, which are the table"
    assert checks == own
    assert wrong(damaged) == ["windows", "cycles"]


def landed_checks(landed: Landed) -> list[Check]:
    with landed.warehouse.connect("look", read_only=True) as connection:
        return landing_checks(connection, landed.store)


@pytest.mark.usefixtures("worker")
def test_where_the_rows_are_the_objects_a_damaged_one_is_told_and_ends_nothing(landed: Landed) -> None:
    key = min(key for key in landed.named() if key.startswith("battery_ts_cleaned/"))
    with shown_by_views(landed) as connection:
        landed.store.put(key, b"damaged")
        checks = {check.name: check for check in landing_checks(connection, landed.store)}
    assert checks["objects"].detail.startswith(f"{key} has 7 bytes, not ")
    assert {"once", "windows", "cycles", "conservation", "battery_ts_cleaned = its objects"} < set(wrong(checks))
    assert checks["windows"].detail == "not counted, since objects that hold the rows are not as committed"
