"""A compaction makes few objects of many and changes nothing else, whoever dies or goes on meanwhile."""

from __future__ import annotations

import hashlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.committed import CELLS, Kept, Landed
from support.generated import cut, histories, logs, refused_at_first
from support.landed import WINDOW_SECONDS, fold, landed_tables, settled, state_of
from support.one_connection import OneConnection
from support.profiles import examples
from support.replayed import DAMAGE, at_point

import sink.care.compact
from dataflows.replay.replay import replay
from dataflows.replay.report import Outcome
from dataflows.replay.start import Start
from dataflows.replay.swap import reserve
from kernel.base.errors import BatteryError
from kernel.base.faults import Point
from kernel.contract.results import Span
from kernel.edges.warehouse import transaction
from sink.care.archive import Archive, archived
from sink.care.compact import Compaction, compact, mergeable
from sink.care.sweep import sweep
from sink.commit import Landing
from sink.draft import commit_id
from sink.manifest import KINDS, Commit, CommittedObject, object_key
from sink.writers import SupersededError, end_workers

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from kernel.contract.batch import Batch
    from sink.manifest import Manifest


NEWEST = "select writer_epoch, lane, max(committed_at) from internal._commits where seq < 10 group by all order by all"


def compacted(landed: Landed) -> Compaction:
    return compact(landed.settings, landed.store, landed.warehouse)


def rows(landed: Landed, commits: tuple[Commit, ...], lane: int, kind: str) -> pa.Table:
    """The rows of one kind in some commits' objects of a lane, in the order of the log."""
    tables = [
        pq.read_table(io.BytesIO(landed.store.get(found.key))).replace_schema_metadata()
        for commit in commits
        for found in commit.objects
        if commit.lane == lane and found.kind == kind
    ]
    return pa.concat_tables(tables)


def messages(landed: Landed, manifest: Manifest) -> dict[str, list[str]]:
    """What the archive gives back of each cell, a text a message, in its order."""
    archive = Archive(landed.store)
    batches = [batch for commit in manifest.commits for batch in archived(commit, archive)]
    texts: dict[str, list[str]] = {cell: [] for cell in CELLS}
    for batch in batches:
        for place, code in enumerate(batch.cell.tolist()):
            texts[batch.cell_ids[code]].append(shown(batch.take(np.arange(len(batch.offset)) == place)))
    return texts


def shown(batch: Batch) -> str:
    """All that there is in a batch, as a text."""
    values = dict(vars(batch)) | {"readings": batch.readings.to_pylist()}
    return repr({name: value.tolist() if hasattr(value, "tolist") else value for name, value in values.items()})


def test_runs_and_lanes_and_kinds_keep_their_order_and_every_table_its_checksum(landed: Landed) -> None:
    before, tables, newest = (
        landed.manifest(),
        landed.contents(),
        landed.query(NEWEST),
    )
    found = compacted(landed)
    after = landed.manifest()
    # Of each run and lane all commits but the newest of the lane, which is in the second run.
    assert [(commit.epoch, commit.lane, commit.seq) for commit in after.commits] == [
        (1, 0, 5), (1, 1, 5), (2, 0, 9), (2, 1, 9), (2, 0, 10), (2, 1, 10),
    ]  # fmt: skip
    assert (found.commits, found.merged, found.ok) == (18, 4, True)
    sizes = [sum(o.size for c in manifest.commits for o in c.objects) for manifest in (before, after)]
    assert [found.bytes_before, found.bytes_after] == sizes
    assert [found.objects_before, found.objects_after] == [
        sum(len(c.objects) for c in manifest.commits) for manifest in (before, after)
    ]
    for lane in (0, 1):
        for kind in KINDS:
            assert rows(landed, after.commits, lane, kind) == rows(landed, before.commits, lane, kind)
    assert messages(landed, after) == messages(landed, before)
    assert (after.reached, after.first) == (before.reached, before.first)
    assert landed.contents() == tables
    assert landed.query(NEWEST) == newest
    assert landed.faults() == []
    assert replay(landed.settings, Start(archive=True), dry_run=True).outcome is Outcome.IDENTICAL
    assert any(line.startswith("merged 18 commits into 4, of ") for line in found.lines())


@given(st.data())
@examples(0.1)
def test_the_archive_of_merged_commits_gives_the_tables_and_the_state_that_the_log_gave(data: st.DataObject) -> None:
    log = data.draw(st.one_of(logs(), histories().flatmap(refused_at_first)))
    results = fold(data.draw(cut(log)))
    with tempfile.TemporaryDirectory() as folder:
        landed, warehouse = Landed(Path(folder)), Kept(Path(folder) / "battery.duckdb")
        landing = Landing(landed.store, warehouse, WINDOW_SECONDS)
        landing.begin()
        for seq, some in enumerate(data.draw(cut(results)), 1):
            landing.commit(0, seq, some)
        compact(landed.settings, landed.store, warehouse)
        warehouse.close()
        archive = Archive(landed.store)
        again = fold([batch for commit in landed.manifest().commits for batch in archived(commit, archive)])
        assert landed.faults() == []
    assert landed_tables([again]) == landed_tables([results])
    assert settled(state_of(again[-1])) == settled(state_of(results[-1]))


def test_a_second_compaction_merges_only_what_is_new(landed: Landed) -> None:
    compacted(landed)
    once = landed.manifest()
    again = compacted(landed)
    assert (again.merged, landed.manifest(), landed.kept()) == (0, once, landed.named())
    assert [*again.lines()][-1].startswith("nothing to merge: ")
    landed.worker().commit(0, 0, 0)
    compacted(landed)
    assert [(commit.epoch, commit.lane, commit.seq) for commit in landed.manifest().commits] == [
        (1, 0, 5), (1, 1, 5), (2, 1, 9), (2, 0, 10), (2, 1, 10), (5, 0, 12), (5, 0, 13),
    ]  # fmt: skip
    assert landed.faults() == []


def test_what_shrinks_as_it_is_merged_is_merged_on_at_once_and_not_by_the_next_compaction(
    landed: Landed, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = landed.manifest().commits
    monkeypatch.setattr(
        sink.care.compact, "TARGET_BYTES", int(2.5 * max(sum(o.size for o in c.objects) for c in before))
    )
    found = compacted(landed)
    once = landed.manifest()
    assert (found.commits, len(once.commits)) == (18, 20 - found.commits + found.merged)
    assert found.objects_after == len(landed.named())
    assert compacted(landed).merged == 0
    assert landed.manifest() == once
    assert landed.kept() == landed.named()
    assert landed.faults() == []
    assert replay(landed.settings, Start(archive=True), dry_run=True).outcome is Outcome.IDENTICAL


def test_a_worker_goes_on_and_so_does_the_next_one(landed: Landed) -> None:
    worker = landed.worker()
    worker.commit(0, 0, 0, 1, 1, 1)
    before = landed.named()
    compacted(landed)
    live, replaced = landed.named(), before - landed.named()
    assert replaced < landed.kept()
    worker.commit(0, 1)
    assert replaced < landed.kept(), "the objects were retired after the run had begun, and readers may want them"
    next_one = landed.worker()
    assert next_one.next_seq == worker.next_seq
    assert next_one.states == worker.states
    next_one.commit(0)
    assert landed.kept() == landed.named()
    assert live < landed.kept()
    assert landed.faults() == []
    assert replay(landed.settings, Start(archive=True), dry_run=True).outcome is Outcome.IDENTICAL


def test_a_commit_that_a_worker_may_still_ask_for_is_not_merged(landed: Landed) -> None:
    """Its connection broke after the COMMIT: while it looks up what became of it, a compaction runs."""
    worker = landed.worker()
    worker.commit(0, 0)

    class Broken(OneConnection):
        def connect(self, purpose: str, *, read_only: bool = False) -> AbstractContextManager[Any]:
            if purpose == "look up a commit":
                compacted(landed)
            return landed.warehouse.connect(purpose, read_only=read_only)

    def lose(point: Point) -> None:
        if point is Point.AFTER_COMMIT and len(lost) < 1:
            lost.append(point)
            raise duckdb.ConnectionException("connection lost")

    lost: list[Point] = []
    worker.landing._warehouse = Broken()  # noqa: SLF001  # the connection breaks when the run has begun
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sink.commit.fault_point", lose)
        worker.commit(0)
    assert lost
    assert landed.faults() == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda store, key: store.delete(key), "is missing"),
        (lambda store, key: store.put(key, store.get(key)[:-1]), "bytes, not"),
        (lambda store, key: store.put(key, store.get(key)[::-1]), "has another checksum than"),
    ],
)
def test_a_damaged_object_is_left_alone_and_told_and_the_others_are_merged(
    landed: Landed, damage: Callable[..., None], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = landed.manifest().commits[3]
    key = damaged.objects[1].key
    damage(landed.store, key)
    before = landed.manifest().commits
    found = compacted(landed)
    assert (found.merged, found.ok) == (3, False)
    (told,) = found.left
    assert told.startswith(f"5 commits from {commit_id(1, 1, 1)} on: {key} ")
    assert said in told
    assert "`battery verify`" in told
    assert key in capsys.readouterr().out
    kept = [commit for commit in landed.manifest().commits if (commit.epoch, commit.lane) == (1, 1)]
    assert kept == [commit for commit in before if (commit.epoch, commit.lane) == (1, 1)]
    assert all(key in fault or "= its objects" in fault for fault in landed.faults())


def test_an_object_with_other_rows_than_its_commit_says_is_left_alone(landed: Landed) -> None:
    key = landed.manifest().commits[0].objects[0].key
    landed.query(f'update internal._commits set "rows" = "rows" + 1 where object_key = \'{key}\'')  # noqa: S608
    assert f"{key} holds 1 rows, not 2" in compacted(landed).left[0]
    assert any(key in fault for fault in landed.faults())


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def without_its_middle(data: bytes) -> bytes:
    """The footer says where the columns were."""
    return data[:20] + data[-len(data) // 2 :]


def with_flipped_bits(data: bytes) -> bytes:
    """In the pages of the columns; the footer is whole."""
    return data[:8] + bytes(byte ^ 0xFF for byte in data[8:120]) + data[120:]


def of_other_columns(data: bytes) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(data)).drop_columns(["cell_id"]), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (half, "is no whole Parquet file"),
        (without_its_middle, "is no whole Parquet file"),
        (with_flipped_bits, "is no whole Parquet file"),
        (of_other_columns, "has other columns than it should have: cell_id"),
    ],
)
def test_damage_that_the_manifest_does_not_know_of_is_told_in_one_line_by_whoever_reads_the_object(
    landed: Landed, damaged: Callable[[bytes], bytes], said: str
) -> None:
    """The bytes are those that were committed, and no Parquet that can be read."""
    key = landed.manifest().commits[0].objects[0].key
    data = damaged(landed.store.get(key))
    landed.store.put(key, data)
    landed.query(
        f"update internal._commits set bytes = {len(data)}, sha256 = '{hashlib.sha256(data).hexdigest()}' "  # noqa: S608
        f"where object_key = '{key}'"
    )
    (told,) = compacted(landed).left
    assert f"{key} {said}" in told
    assert any(f"{key} {said}" in fault for fault in landed.faults())
    with pytest.raises(BatteryError, match=f"the archive is damaged: {key} {said}.*--from-beginning") as raised:
        replay(landed.settings, Start(archive=True))
    assert "\n" not in told + str(raised.value)


STOPS = [
    Point.BEFORE_PUT, Point.AFTER_PUT, Point.COMPACTION_STORED, Point.COMPACTION_SWAPPING, Point.COMPACTION_SWAPPED,
]  # fmt: skip


def stop_at(monkeypatch: pytest.MonkeyPatch, point: Point, action: Callable[[], object], times: int = 2) -> None:
    """Do something when a compaction comes to a point for the second time, so that one group is merged by then."""
    passed: list[Point] = []

    def fault_point(here: Point) -> None:
        if here is point:
            passed.append(here)
            if len(passed) == times:
                action()

    monkeypatch.setattr("sink.care.compact.fault_point", fault_point)
    monkeypatch.setattr("sink.draft.fault_point", fault_point)


def die() -> None:
    raise SystemExit


@pytest.mark.parametrize("point", STOPS)
def test_a_compaction_killed_at_any_point_leaves_the_landing_whole_and_the_next_one_clears_up(
    landed: Landed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], point: Point
) -> None:
    tables = landed.contents()
    stop_at(monkeypatch, point, die)
    with pytest.raises(SystemExit):
        compacted(landed)
    monkeypatch.undo()
    assert (landed.contents(), landed.faults()) == (tables, [])
    landed.store.put(object_key(KINDS[0], 0, 3, 999), b"of a group later than any commit of a lane")
    stored = {key for key in landed.kept() if "/000003-" in key}
    unnamed = stored - landed.named()
    assert (len(unnamed) > 1) == (point is not Point.COMPACTION_SWAPPED)
    worker = landed.worker()
    worker.commit(0, 1)
    assert stored <= landed.kept(), "a run of the worker has removed what a compaction may be about to commit"
    assert "older copy" not in capsys.readouterr().out
    reserve(landed.warehouse, landed.store, 600)
    assert stored <= landed.kept(), "a replay has"
    assert sweep(landed.settings, landed.store, landed.warehouse).doubt is None
    assert landed.kept() == landed.named()
    worker.commit(0, 1)
    assert compacted(landed).ok
    assert landed.faults() == []
    assert landed.named() <= landed.kept()


def test_what_a_compaction_is_about_to_commit_is_left_alone_by_workers_and_replays(
    landed: Landed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def others() -> None:
        landed.worker().commit(0, 1)
        reserve(landed.warehouse, landed.store, 600)

    stop_at(monkeypatch, Point.COMPACTION_STORED, others)
    assert compacted(landed).merged == 4
    assert landed.named() <= landed.kept()
    assert landed.faults() == []


def sweep_elsewhere(landed: Landed) -> None:
    sweep(landed.settings_with("another"), landed.store, landed.warehouse)


def swap(landed: Landed) -> None:
    epoch, *_ = reserve(landed.warehouse, landed.store, 600)
    with landed.warehouse.connect("swap") as connection, transaction(connection):
        end_workers(connection, epoch, 600)


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (sweep_elsewhere, r"another compaction or sweep has begun \(writer epoch 4\) since this compaction began"),
        (swap, r"a replay has swapped the tables \(writer epoch 4\) since this compaction began"),
    ],
)
def test_a_sweep_elsewhere_or_a_swap_ends_a_compaction_and_leaves_the_landing_whole(
    landed: Landed, monkeypatch: pytest.MonkeyPatch, by: Callable[[Landed], object], said: str
) -> None:
    tables = landed.contents()
    stop_at(monkeypatch, Point.COMPACTION_STORED, lambda: by(landed))
    with pytest.raises(SupersededError, match=said):
        compacted(landed)
    assert (landed.contents(), landed.faults()) == (tables, [])
    assert len([commit for commit in landed.manifest().commits if "000003-" in commit.commit]) == 1


def test_commits_that_have_changed_since_they_were_read_are_left_alone(
    landed: Landed, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = landed.manifest().commits[1]

    def change() -> None:
        landed.query(f"update internal._commits set sha256 = 'other' where \"commit\" = '{changed.commit}'")  # noqa: S608

    stop_at(monkeypatch, Point.COMPACTION_STORED, change)
    found = compacted(landed)
    assert found.merged == 3
    assert found.left == (f"5 commits from {changed.commit} on: they have changed since they were read",)
    assert changed.commit in {commit.commit for commit in landed.manifest().commits}


def compact_elsewhere(landed: Landed) -> None:
    """As on another machine, whose lock is another one."""
    assert compact(landed.settings_with("another"), landed.store, landed.warehouse).merged == 4


@pytest.mark.parametrize("outcome", [Outcome.IDENTICAL, Outcome.SWAPPED])
def test_a_replay_under_which_commits_are_merged_goes_on(
    landed: Landed, monkeypatch: pytest.MonkeyPatch, outcome: Outcome
) -> None:
    tables = landed.contents()
    if outcome is Outcome.SWAPPED:
        landed.query(DAMAGE)
    at_point(monkeypatch, Point.REPLAY_BUILT, lambda: compact_elsewhere(landed))
    assert replay(landed.settings, Start(archive=True)).outcome is outcome
    assert (landed.contents(), landed.faults()) == (tables, [])
    assert landed.named() <= landed.kept()


def test_a_replay_whose_objects_a_compaction_has_removed_does_not_swap(
    landed: Landed, monkeypatch: pytest.MonkeyPatch
) -> None:
    landed.query(DAMAGE)
    tables = landed.contents()
    at_point(monkeypatch, Point.REPLAY_STORED, lambda: compact_elsewhere(landed))
    with pytest.raises(SupersededError, match="has removed what this replay had stored, which has changed nothing"):
        replay(landed.settings, Start(archive=True))
    assert landed.contents() == tables
    assert landed.named() <= landed.kept()


def test_a_landing_with_a_cell_over_several_partitions_is_left_alone(landed: Landed) -> None:
    landed.query(
        "insert into internal._progress select cell_id, topic_id, 7, 0 from internal._progress where cell_id = 'CELL_2'"
    )
    before = landed.manifest()
    found = compacted(landed)
    assert (found.merged, found.ok, landed.manifest()) == (0, True, before)
    assert [*found.lines()][-1].startswith("nothing was merged: cell CELL_2 came over more than one partition")


def commit(
    seq: int,
    *,
    epoch: int = 1,
    lane: int = 0,
    topics: tuple[str, ...] = ("log",),
    size: int = 10,
    left: bool = False,
    kind: str = KINDS[0],
) -> Commit:
    name = commit_id(epoch, lane, seq) + " left" * left
    spans = tuple(Span(topic, 0, seq, seq, 1) for topic in topics)
    return Commit(name, epoch, lane, seq, spans, (CommittedObject(f"key-{name}", kind, 1, size, ""),))


@pytest.mark.parametrize(
    ("commits", "groups"),
    [
        ([commit(1), commit(2), commit(3)], [[1, 2]]),
        ([commit(1), commit(2)], []),
        ([commit(1), commit(2), commit(3, epoch=2), commit(4, epoch=2), commit(5, epoch=2)], [[1, 2], [3, 4]]),
        ([commit(1), commit(2, topics=("b",)), commit(3), commit(4)], []),
        ([commit(1), commit(2), commit(3, topics=("log", "b")), commit(4), commit(5), commit(6)], [[1, 2], [4, 5]]),
        ([commit(n, topics=("log", "b")) for n in (1, 2, 3)], []),
        ([commit(1), commit(1, lane=1), commit(2), commit(2, lane=1), commit(3)], [[1, 2]]),
        ([commit(1, size=60), commit(2, size=40), commit(3), commit(4), commit(5)], [[1, 2], [3, 4]]),
        ([commit(1, size=200), commit(2), commit(3), commit(4)], [[2, 3]]),
        ([commit(1), commit(2), commit(3, left=True), commit(4), commit(5), commit(6)], [[1, 2], [4, 5]]),
        ([commit(n) for n in range(1, 8)], [[1, 2, 3, 4], [5, 6]]),
        ([commit(n, kind="battery_quarantine") for n in range(1, 6)], [[1, 2], [3, 4]]),
    ],
    ids=[
        "all but the newest",
        "too few",
        "runs",
        "logs",
        "several logs",
        "only such",
        "lanes",
        "bytes",
        "large",
        "left alone",
        "rows",
        "refused rows",
    ],
)
def test_what_is_merged(commits: list[Commit], groups: list[list[int]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sink.care.compact, "TARGET_BYTES", 100)
    monkeypatch.setattr(sink.care.compact, "MAX_ROWS", 4)
    monkeypatch.setattr(sink.care.compact, "MAX_REFUSED", 2)
    found = mergeable(commits, {commit.commit for commit in commits if "left" in commit.commit})
    assert [[commit.seq for commit in group] for group in found] == groups
