"""One store belongs to one pipeline: whoever comes with the warehouse of another is refused and changes nothing."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from support.committed import WINDOW, Landed, Worker

from dataflows.replay.replay import replay
from dataflows.replay.start import Start
from dataflows.replay.swap import remove_replaced, reserve
from kernel.base.errors import BatteryError
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile, transaction
from refresh.publish import publish
from sink.care.compact import compact
from sink.care.sweep import sweep
from sink.care.verify import verify
from sink.claim import (
    CLAIM_KEY,
    EPOCHS_IN_FLIGHT,
    MARK_KEY,
    DamagedClaimError,
    ForeignStoreError,
    adopt_store,
    claim_store,
    read_claim,
)
from sink.commit import Landing
from sink.manifest import LANDED_KIND, object_key, read_manifest
from sink.tables import create_tables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sink.manifest import Manifest


def content(store: FolderStore) -> dict[str, bytes]:
    """All objects of a store, whatever they are."""
    return {found.key: store.get(found.key) for found in store.list("")}


def drop_claim(landed: Landed) -> None:
    """Leave it as an earlier version did, which knew of no claims."""
    landed.store.delete(CLAIM_KEY)
    with landed.warehouse.connect("an earlier version") as connection:
        connection.execute("drop table internal._pipeline")


@pytest.fixture
def other(landed: Landed) -> DuckDBFile:
    """The warehouse of another host, which has landed in a store of its own: its epochs and sequences are the same."""
    warehouse = DuckDBFile(landed.folder / "other.duckdb", 30)
    Worker(FolderStore(landed.folder / "other-objects"), warehouse).commit(0, 1, 0)
    return warehouse


def test_an_empty_store_is_claimed_by_the_first_run_for_good(store: FolderStore, warehouse: DuckDBFile) -> None:
    Landing(store, warehouse, WINDOW).begin()
    claim = read_claim(store)
    assert claim is not None
    assert claim_store(store, warehouse) == claim
    with warehouse.connect("look") as connection:
        assert connection.execute("select distinct pipeline from internal._writers").fetchall() == [(claim.pipeline,)]


@pytest.mark.parametrize("host", ["with a warehouse of its own", "with a new warehouse"])
@pytest.mark.parametrize("command", ["worker", "replay", "sweep", "compact", "publish"])
def test_a_second_host_is_refused_and_changes_nothing(
    landed: Landed, other: DuckDBFile, host: str, command: str
) -> None:
    foreign = landed.settings.model_copy(update={"warehouse": str(landed.folder / "other.duckdb")})
    if host == "with a new warehouse":
        other = DuckDBFile(landed.folder / "new.duckdb", 30)
        foreign = landed.settings.model_copy(update={"warehouse": str(landed.folder / "new.duckdb")})
        with other.connect("be new") as connection:
            create_tables(connection)
    commands: dict[str, Callable[[], object]] = {
        "worker": Landing(landed.store, other, WINDOW).begin,
        "replay": lambda: replay(foreign, Start(archive=True)),
        "sweep": lambda: sweep(foreign, landed.store, other),
        "compact": lambda: compact(foreign, landed.store, other),
        "publish": lambda: publish_nothing(other, landed.store),
    }
    before = content(landed.store)
    with pytest.raises(ForeignStoreError, match=r"belongs to pipeline .*WAREHOUSE to .*battery adopt") as caught:
        commands[command]()
    assert "\n" not in str(caught.value)
    assert content(landed.store) == before
    assert landed.faults() == []


def publish_nothing(warehouse: DuckDBFile, store: FolderStore) -> None:
    """A publication whose models are all shown already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refresh.publish._replace", lambda *_: set())
        patch.setattr("refresh.publish.audited_models", lambda _: set())
        with warehouse.connect("have models") as connection:
            for schema in ("building", "main"):
                connection.execute(f"create schema if not exists {schema}")
                connection.execute(f"create table if not exists {schema}._refreshed (model varchar)")
        publish(warehouse, store)


def test_of_two_hosts_that_start_at_once_over_an_empty_store_one_is_refused(store: FolderStore, tmp_path: Path) -> None:
    warehouses = [DuckDBFile(tmp_path / f"{number}.duckdb", 30) for number in range(4)]

    def start(warehouse: DuckDBFile) -> str:
        try:
            return claim_store(store, warehouse).pipeline
        except ForeignStoreError:
            return "refused"

    with ThreadPoolExecutor(len(warehouses)) as pool:
        found = list(pool.map(start, warehouses))
    assert found.count("refused") == len(warehouses) - 1


def test_a_refused_run_does_not_end_the_one_that_is_right(landed: Landed, tmp_path: Path) -> None:
    """The right warehouse over a wrong store, by a mistake in the settings, while the worker runs."""
    worker = landed.worker()
    foreign = FolderStore(tmp_path / "foreign")
    Landing(foreign, DuckDBFile(tmp_path / "foreign.duckdb", 30), WINDOW).begin()
    with pytest.raises(ForeignStoreError):
        Landing(foreign, landed.warehouse, WINDOW).begin()
    worker.commit(0)
    assert landed.faults() == []


def test_a_store_of_an_earlier_version_is_claimed_where_all_its_objects_are_known(landed: Landed) -> None:
    drop_claim(landed)
    pipeline = landed.query("select distinct pipeline from internal._writers")
    assert [(claim_store(landed.store, landed.warehouse).pipeline,)] == pipeline
    landed.worker().commit(0)
    assert landed.faults() == []


def test_a_store_of_an_earlier_version_with_objects_of_unknown_writers_is_refused(landed: Landed) -> None:
    drop_claim(landed)
    new = DuckDBFile(landed.folder / "new.duckdb", 30)
    with pytest.raises(ForeignStoreError, match="objects of a pipeline that the WAREHOUSE does not know, such as"):
        Landing(landed.store, new, WINDOW).begin()
    assert read_claim(landed.store) is None


def test_what_another_pipeline_left_under_the_same_epochs_before_claims_is_never_removed(landed: Landed) -> None:
    """Both hosts have written: of an object that this manifest does not name nobody can tell whose it is."""
    drop_claim(landed)
    shared = object_key(LANDED_KIND, 0, 1, 6)
    landed.store.put(shared, b"committed by the other host")
    landed.worker().commit(0, 1)
    compact(landed.settings, landed.store, landed.warehouse)
    sweep(landed.settings, landed.store, landed.warehouse)
    assert landed.store.get(shared) == b"committed by the other host"
    assert landed.faults() == []


def test_an_adopted_store_keeps_all_that_the_other_pipeline_names(landed: Landed, other: DuckDBFile) -> None:
    before = content(landed.store)
    adoption = adopt_store(landed.store, other)
    assert adoption.claim.spared == 2 + EPOCHS_IN_FLIGHT
    assert adoption.spared_objects > 0
    settings = landed.settings.model_copy(update={"warehouse": str(landed.folder / "other.duckdb")})
    newcomer = Worker(landed.store, other)
    newcomer.commit(0, 1, 0, 1)
    Worker(landed.store, other).commit(0, 1)
    compact(settings, landed.store, other)
    sweep(settings, landed.store, other)
    after = content(landed.store)
    kept = before.keys() - {CLAIM_KEY, MARK_KEY}
    assert {key: after.get(key) for key in kept} == {key: before[key] for key in kept}
    assert landed.faults() == []


def test_what_a_replay_has_replaced_stays_where_another_pipeline_may_name_it(landed: Landed) -> None:
    *_, claim = reserve(landed.warehouse, landed.store, WINDOW)
    old = min(landed.named())
    with landed.warehouse.connect("replace") as connection, transaction(connection):
        connection.execute("insert into internal._retired values (?)", [old])
    spared = type(claim)(claim.pipeline, 10, claim.host, claim.claimed_at)
    assert remove_replaced(landed.warehouse, landed.store, spared) == 0
    assert old in landed.kept()
    assert remove_replaced(landed.warehouse, landed.store, claim) == 1
    assert old not in landed.kept()


def test_the_pipeline_whose_store_was_adopted_is_refused_from_then_on(landed: Landed, other: DuckDBFile) -> None:
    adopt_store(landed.store, other)
    with pytest.raises(ForeignStoreError):
        landed.worker()
    assert adopt_store(landed.store, landed.warehouse).previous == claim_of(other)


def claim_of(warehouse: DuckDBFile) -> str:
    with warehouse.connect("look") as connection:
        ((pipeline,),) = connection.execute("select pipeline from internal._pipeline").fetchall()
    return str(pipeline)


def test_adopting_what_is_ones_own_changes_nothing(landed: Landed) -> None:
    before = content(landed.store)
    assert "nothing to adopt" in str(adopt_store(landed.store, landed.warehouse))
    assert content(landed.store) == before


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"pipeline": "a"}', b"\xff"])
def test_a_claim_that_cannot_be_read_is_said_and_adopting_writes_it_anew(landed: Landed, damage: bytes) -> None:
    landed.store.put(CLAIM_KEY, damage)
    with pytest.raises(DamagedClaimError, match=f"{CLAIM_KEY} in the OBJECT_STORE.*`battery adopt`"):
        landed.worker()
    adopt_store(landed.store, landed.warehouse)
    landed.worker().commit(0)
    assert landed.faults() == []


def test_verification_says_that_the_store_is_another_pipelines(
    landed: Landed, other: DuckDBFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sink.care.verify._log", lambda *_: iter(()))
    checks = {check.name: check for check in verify(landed.settings, landed.store, other)}
    assert not checks["store"].ok
    assert json.loads(landed.store.get(CLAIM_KEY))["pipeline"] in checks["store"].detail
    checks = {check.name: check for check in verify(landed.settings, landed.store, landed.warehouse)}
    assert checks["store"].ok


def test_of_two_copies_of_one_warehouse_neither_replaces_an_object_of_the_other(landed: Landed) -> None:
    """As where both begin at the same moment, before either has left a mark: their ids and epochs are the same."""
    copied = copy_of(landed)
    worker = landed.worker()
    landed.store.delete(MARK_KEY)
    copy = Worker(landed.store, copied)
    worker.commit(0)
    before = content(landed.store)
    copy.landing.commit(0, copy.next_seq[0], [copy.folded(0)])  # the same object, to the byte
    copy.next_seq[0] += 1
    copy.states |= copy.folded(0).states
    worker.commit(0)
    with pytest.raises(BatteryError, match="a second copy of this WAREHOUSE writes to the same store"):
        copy.landing.commit(0, copy.next_seq[0], [copy.folded(1)])
    after = content(landed.store)
    kept = before.keys() - {MARK_KEY}
    assert {key: after.get(key) for key in kept} == {key: before[key] for key in kept}
    assert landed.faults() == []


def copy_of(landed: Landed, name: str = "copy.duckdb") -> DuckDBFile:
    """A copy of the warehouse as it is now, such as a backup."""
    copied = landed.folder / name
    copied.write_bytes((landed.folder / "battery.duckdb").read_bytes())
    return DuckDBFile(copied, 30)


@pytest.mark.parametrize("who", ["a worker", "a replay", "a sweep", "a compaction"])
def test_a_backup_of_one_commit_ago_removes_nothing_that_has_been_committed_since(landed: Landed, who: str) -> None:
    """The object of the last commit is where one that was never committed would be."""
    worker = landed.worker()
    worker.commit(0)
    backup = copy_of(landed)
    worker.commit(0)
    settings = landed.settings.model_copy(update={"warehouse": str(landed.folder / "copy.duckdb")})
    if who == "a worker":
        Worker(landed.store, backup).commit(0, 1)
        Worker(landed.store, backup).commit(0, 1)
    elif who == "a replay":
        reserve(backup, landed.store, WINDOW)
    elif who == "a sweep":
        assert "another copy of the WAREHOUSE has written" in str(sweep(settings, landed.store, backup).doubt)
    else:
        assert compact(settings, landed.store, backup).merged == 0
    assert landed.faults() == []


def test_two_copies_that_begin_by_turns_remove_nothing_of_each_other(landed: Landed) -> None:
    """Each would take the epoch that the other has taken."""
    backup = copy_of(landed)
    landed.worker()
    copy = Worker(landed.store, backup)
    assert epochs(landed.warehouse) & epochs(backup) == {1, 2}
    copy.commit(0)
    landed.worker().commit(1)
    landed.worker().commit(1)
    assert landed.faults() == []
    assert {found.key for commit in read(backup).commits for found in commit.objects} <= landed.kept()


def epochs(warehouse: DuckDBFile) -> set[int]:
    """Those that the runs of a warehouse have taken."""
    with warehouse.connect("look", read_only=True) as connection:
        return {epoch for (epoch,) in connection.execute("select epoch from internal._writers").fetchall()}


def test_what_a_replay_of_a_backup_has_replaced_stays_since_the_newer_warehouse_names_it(landed: Landed) -> None:
    worker = landed.worker()
    worker.commit(0)
    backup = copy_of(landed)
    worker.commit(0)
    *_, claim = reserve(backup, landed.store, WINDOW)
    with backup.connect("replace all") as connection:
        connection.execute("insert into internal._retired select object_key from internal._commits")
    assert remove_replaced(backup, landed.store, claim) == 0
    assert landed.faults() == []


def read(warehouse: DuckDBFile) -> Manifest:
    with warehouse.connect("look", read_only=True) as connection:
        return read_manifest(connection)


def test_a_worker_whose_warehouse_is_the_newest_removes_what_it_has_left(landed: Landed) -> None:
    worker = landed.worker()
    worker.commit(0)
    orphan = object_key(LANDED_KIND, 0, 3, worker.next_seq[0])
    landed.store.put(orphan, b"of a commit that was not to be")
    landed.worker().commit(0)
    assert orphan not in landed.kept()
    claim = read_claim(landed.store)
    assert claim is not None
    assert claim.spared == 0


def test_a_mark_that_is_damaged_or_lost_stops_nobody(landed: Landed) -> None:
    for damage in (b"", b"[]", b'{"epoch": 1, "more": 2}'):
        landed.store.put(MARK_KEY, damage)
        landed.worker().commit(0)
        assert landed.faults() == []
