"""The archive gives back, from the objects, the messages as the fold saw them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import arrow, reading
from support.generated import cut, histories, in_parts, leaping, logs, refused_at_first
from support.landed import WINDOW_SECONDS, fold, landed_tables, settled, state_of
from support.profiles import examples

from kernel.contract.reading import ARROW
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import DuckDBFile
from sink.care.archive import Archive, archived
from sink.commit import Landing
from sink.manifest import read_manifest
from sink.parquet import DamagedObjectError

if TYPE_CHECKING:
    from dataflows.fold.states import CellStates
    from kernel.contract.batch import Batch
    from kernel.contract.results import Cleaned
    from sink.manifest import Manifest


def land(folder: Path, commits: list[list[Cleaned[CellStates]]]) -> tuple[FolderStore, Manifest]:
    """Commit results for real; the store, and the manifest as the warehouse has it."""
    store, warehouse = FolderStore(folder / "objects"), DuckDBFile(folder / "battery.duckdb", 30)
    landing = Landing(store, warehouse, WINDOW_SECONDS)
    landing.begin()
    for seq, results in enumerate(commits, 1):
        landing.commit(0, seq, results)
    with warehouse.connect("read the manifest", read_only=True) as connection:
        return store, read_manifest(connection)


def batches_of(manifest: Manifest, store: FolderStore) -> list[Batch]:
    archive = Archive(store)
    return [batch for commit in manifest.commits for batch in archived(commit, archive)]


@given(st.data())
@examples(0.25)
def test_folding_the_archive_gives_the_tables_and_the_state_that_the_log_gave(data: st.DataObject) -> None:
    log = data.draw(st.one_of(logs(), histories().flatmap(refused_at_first), histories().flatmap(in_parts)))
    results = fold(data.draw(cut(log)))
    with tempfile.TemporaryDirectory() as folder:
        store, manifest = land(Path(folder), data.draw(cut(results)))
        again = fold(batches_of(manifest, store))
    assert landed_tables([again]) == landed_tables([results])
    assert settled(state_of(again[-1])) == settled(state_of(results[-1]))
    assert sum(span.rows for result in again for span in result.spans) == sum(d.body.row_count for d in log)


@given(st.data())
@examples(0.4)
def test_counters_leap_from_the_archive_where_they_leaped_from_the_log(data: st.DataObject) -> None:
    results = fold(data.draw(cut(data.draw(leaping()))))
    with tempfile.TemporaryDirectory() as folder:
        store, manifest = land(Path(folder), data.draw(cut(results)))
        again = fold(batches_of(manifest, store))
    assert landed_tables([again]) == landed_tables([results])
    assert settled(state_of(again[-1])) == settled(state_of(results[-1]))


def test_a_part_that_came_late_comes_late_from_the_archive_too(tmp_path: Path) -> None:
    late = [("content-type", ARROW.encode()), ("late", b"true")]
    results = fold([[arrow([reading(1), reading(4)]), arrow([reading(2), reading(3)], offset=1, with_headers=late)]])
    store, manifest = land(tmp_path, [results])
    again = fold(batches_of(manifest, store))
    assert [result.landed.num_rows for result in again] == [4]
    assert landed_tables([again]) == landed_tables([results])


def four_messages() -> list[Cleaned[CellStates]]:
    """Each with a landed and a quarantined row."""
    log = [arrow([reading(2 * n + 1), reading(2 * n + 2, **{"voltage(v)": 99.0})], offset=n) for n in range(4)]
    return fold([[message] for message in log])


@pytest.fixture
def four_commits(tmp_path: Path) -> tuple[FolderStore, Manifest]:
    return land(tmp_path, [[result] for result in four_messages()])


def test_a_commit_is_put_together_in_slices(tmp_path: Path, monkeypatch: Any) -> None:
    store, manifest = land(tmp_path, [four_messages()])
    (commit,) = manifest.commits
    monkeypatch.setattr("sink.care.archive.SLICE", 3)
    slices = archived(commit, Archive(store))
    assert [batch.offset.tolist() for batch in slices] == [[0, 1, 2], [3]]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda store, key: store.delete(key), "is missing"),
        (lambda store, key: store.put(key, store.get(key)[:-1]), "bytes, not"),
        (lambda store, key: store.put(key, store.get(key)[::-1]), "has another checksum"),
    ],
)
def test_an_object_that_is_not_what_was_committed_is_named(
    four_commits: tuple[FolderStore, Manifest], damage: object, said: str
) -> None:
    store, manifest = four_commits
    key = manifest.commits[2].objects[0].key
    damage(store, key)  # type: ignore[operator]
    with pytest.raises(DamagedObjectError, match=f"{key} {said}|{key} has .* {said}"):
        batches_of(manifest, store)
