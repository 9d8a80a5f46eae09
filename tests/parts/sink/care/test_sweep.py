"""The sweep removes what nobody will ever commit, and nothing else, while a worker is running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.committed import Landed, Worker

from dataflows.replay.swap import replay_workspace, reserve, swap
from kernel.base.errors import BatteryError
from kernel.base.locks import exclusive_lock
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile
from sink.care.compact import compact
from sink.care.sweep import Swept, sweep
from sink.claim import adopt_store
from sink.manifest import LANDED_KIND, object_key
from sink.writers import SupersededError, require_current

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kernel.edges.objects import StoredObject


def put(store: FolderStore, epoch: int, seq: int, lane: int = 0) -> str:
    """An object as a commit, a replay or a compaction stores it; its key."""
    key = object_key(LANDED_KIND, lane, epoch, seq)
    store.put(key, b"stored")
    return key


def swept(landed: Landed) -> Swept:
    return sweep(landed.settings, landed.store, landed.warehouse)


def test_what_a_superseded_run_left_goes_and_what_the_running_one_is_about_to_commit_stays(landed: Landed) -> None:
    worker = landed.worker()
    orphan, in_flight = put(landed.store, 1, 6), put(landed.store, 3, worker.next_seq[0])
    found = swept(landed)
    assert (found.objects, found.bytes, found.doubt) == (1, len(b"stored"), None)
    assert list(found.lines()) == ["removed 1 objects of 6 bytes that no commit names"]
    assert landed.kept() == landed.named() | {in_flight}
    assert orphan not in landed.kept()
    landed.store.delete(in_flight)  # the commit's own has other bytes
    worker.commit(0, 1)
    assert landed.faults() == []
    assert swept(landed).objects == 0


def test_retired_objects_outlive_their_compaction_and_go_with_the_sweep(landed: Landed) -> None:
    before = landed.named()
    compact(landed.settings, landed.store, landed.warehouse)
    replaced = before - landed.named()
    assert replaced
    assert replaced < landed.kept()
    assert swept(landed).objects == len(replaced)
    assert landed.kept() == landed.named()
    assert landed.query("from internal._retired") == []


def test_an_older_copy_of_the_warehouse_removes_and_merges_nothing(landed: Landed) -> None:
    worker = landed.worker()
    copied = landed.folder / "older.duckdb"
    copied.write_bytes((landed.folder / "battery.duckdb").read_bytes())
    worker.commit(0, 0)
    put(landed.store, 1, 6)
    before = landed.kept()
    older = DuckDBFile(copied, 30)
    doubt = sweep(landed.settings, landed.store, older).doubt
    assert doubt is not None
    assert "the store holds objects of commits that the WAREHOUSE does not know, such as battery_" in doubt
    found = compact(landed.settings, landed.store, older)
    assert (found.merged, found.ok, landed.kept()) == (0, False, before)
    assert landed.faults() == []


def test_a_copy_from_before_a_compaction_and_its_sweep_removes_nothing(landed: Landed) -> None:
    """It names objects that are gone, and may know of the compaction whose objects it does not name."""
    copied = landed.folder / "older.duckdb"

    def copy(_: object) -> None:
        if not copied.exists():
            copied.write_bytes((landed.folder / "battery.duckdb").read_bytes())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sink.care.compact.fault_point", copy)
        compact(landed.settings, landed.store, landed.warehouse)
    swept(landed)
    before = landed.kept()
    doubt = sweep(landed.settings, landed.store, DuckDBFile(copied, 30)).doubt
    assert doubt is not None
    assert "the store lacks objects of the manifest, such as " in doubt
    assert landed.kept() == before
    assert landed.faults() == []


def test_a_commit_while_the_store_is_listed_is_no_reason_for_doubt(landed: Landed) -> None:
    worker = landed.worker()
    orphan = put(landed.store, 1, 6)

    class Busy(FolderStore):
        """A store that is listed while the worker commits."""

        commits = 1

        def list(self, prefix: str) -> Iterator[StoredObject]:
            yield from super().list(prefix)
            if self.commits:
                self.commits -= 1
                worker.commit(0, 0, 1)

    found = sweep(landed.settings, Busy(landed.folder / "objects"), landed.warehouse)
    assert (found.objects, found.doubt) == (1, None)
    assert orphan not in landed.kept()
    assert landed.faults() == []


def test_what_a_killed_replay_has_stored_goes_and_it_can_swap_no_more(landed: Landed) -> None:
    """As from another machine, whose lock is another one: the replay may only seem to be dead."""
    worker = landed.worker()
    epoch, manifest, _ = reserve(landed.warehouse, landed.store, 600)
    put(landed.store, epoch, 1)
    assert swept(landed).objects == 1
    with (
        landed.warehouse.connect("swap") as connection,
        pytest.raises(
            SupersededError, match=r"a sweep or compaction \(writer epoch \d+\) has removed what this replay"
        ),
    ):
        swap(landed.warehouse, connection, epoch, manifest, 600)
    worker.commit(0)
    assert landed.faults() == []


def test_a_replay_that_has_stored_nothing_yet_is_not_disturbed(landed: Landed) -> None:
    epoch, *_ = reserve(landed.warehouse, landed.store, 600)
    swept(landed)
    with landed.warehouse.connect("look") as connection:
        require_current(connection, epoch)


@pytest.mark.parametrize(
    ("running", "asked", "said"),
    [
        ("replay", sweep, "a replay is running in REPLAY_DIR=.*; wait for it, or stop it"),
        ("replay", compact, "a replay is running"),
        ("sweep", compact, "a sweep is running"),
        ("compaction", compact, "another compaction is running"),
    ],
)
def test_one_at_a_time_and_what_is_running_is_said(landed: Landed, running: str, asked: Any, said: str) -> None:
    before = landed.kept(), landed.contents()
    with exclusive_lock(landed.settings, running), pytest.raises(BatteryError, match=said):
        asked(landed.settings, landed.store, landed.warehouse)
    with (
        exclusive_lock(landed.settings, running),
        pytest.raises(BatteryError, match=f"{running} is running"),
        replay_workspace(landed.settings),
    ):
        pass
    assert (landed.kept(), landed.contents()) == before


def test_a_new_warehouse_that_has_adopted_an_old_store_removes_nothing(landed: Landed) -> None:
    before = landed.kept()
    new = DuckDBFile(landed.folder / "new.duckdb", 30)
    adopt_store(landed.store, new)
    Worker(landed.store, new).commit(0, 0, 0)
    compact(landed.settings, landed.store, new)
    sweep(landed.settings, landed.store, new)
    assert before < landed.kept()
    assert landed.faults() == []


def test_without_a_warehouse_none_is_made(tmp_path: Path) -> None:
    with pytest.raises(BatteryError, match="does not exist yet; `battery stream` makes it"):
        swept(Landed(tmp_path))
    assert not (tmp_path / "battery.duckdb").exists()
