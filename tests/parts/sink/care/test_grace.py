"""Objects that were replaced stay for those who read them, where the rows are the objects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr
from support.committed import Worker

from dataflows.replay.swap import remove_replaced
from kernel.base.settings import Settings
from kernel.edges.objects import FolderStore
from kernel.edges.warehouse import open_warehouse
from refresh.host_models import open_models, take_landing
from sink.care.compact import compact
from sink.care.sweep import sweep
from sink.claim import claim_store
from sink.manifest import LANDED_KIND, landing_objects

if TYPE_CHECKING:
    from support.postgres import Database

GRACE_SECONDS = 3600.0


@pytest.fixture
def settings(tmp_path: Path, postgres_database: Database, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A pipeline in PostgreSQL in which two lanes have landed some commits, whose host works in this folder."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(
        object_store=f"file://{tmp_path / 'objects'}",
        warehouse=postgres_database.address,
        warehouse_password=SecretStr(postgres_database.password),
        replay_dir=tmp_path / "replay",
        kafka_bootstrap_servers="127.0.0.1:1",
        object_grace_seconds=GRACE_SECONDS,
    )
    worker = Worker(store(settings), open_warehouse(settings))
    for _ in range(4):
        worker.commit(0, 1)
    return settings


def store(settings: Settings) -> FolderStore:
    return FolderStore(Path(settings.object_store.removeprefix("file://")))


def stored(settings: Settings) -> set[str]:
    return {found.key for found in landing_objects(store(settings))}


def retired(settings: Settings) -> set[str]:
    with open_warehouse(settings).connect("look", read_only=True) as connection:
        return {key for (key,) in connection.execute("select object_key from internal._retired").fetchall()}


def pass_the_grace(settings: Settings) -> None:
    """Let what was replaced have been replaced as long ago as the grace."""
    with open_warehouse(settings).judge("let time pass") as judge:
        judge.execute("update internal._retired set retired_at = retired_at - ? * interval '1 second'", [GRACE_SECONDS])


def test_a_landing_that_was_taken_is_read_after_a_compaction_and_a_sweep(settings: Settings) -> None:
    models = open_models(settings)
    take_landing(models)
    query = f"select count(*), sum(hash(t)::hugeint) from {LANDED_KIND} as t"  # noqa: S608
    with models.connect("look", read_only=True) as connection:
        before = connection.execute(query).fetchall()
    assert compact(settings, store(settings), open_warehouse(settings)).merged > 0
    sweep(settings, store(settings), open_warehouse(settings))
    with models.connect("look", read_only=True) as connection:
        assert connection.execute(query).fetchall() == before


def test_what_was_replaced_goes_with_the_first_sweep_after_the_grace(settings: Settings) -> None:
    compact(settings, store(settings), open_warehouse(settings))
    replaced = retired(settings)
    sweep(settings, store(settings), open_warehouse(settings))
    assert replaced
    assert replaced <= stored(settings)
    pass_the_grace(settings)
    sweep(settings, store(settings), open_warehouse(settings))
    assert not replaced & stored(settings)
    assert retired(settings) == set()


def test_a_run_of_the_worker_removes_only_what_is_past_the_grace(settings: Settings) -> None:
    compact(settings, store(settings), open_warehouse(settings))
    replaced = retired(settings)
    Worker(store(settings), open_warehouse(settings)).commit(0)
    assert replaced <= stored(settings)
    pass_the_grace(settings)
    Worker(store(settings), open_warehouse(settings)).commit(0)
    assert not replaced & stored(settings)


def test_a_replay_removes_what_it_has_replaced_after_the_grace(settings: Settings) -> None:
    compact(settings, store(settings), open_warehouse(settings))
    replaced, warehouse = retired(settings), open_warehouse(settings)
    claim = claim_store(store(settings), warehouse)
    assert remove_replaced(warehouse, store(settings), claim) == 0
    pass_the_grace(settings)
    assert remove_replaced(warehouse, store(settings), claim) == len(replaced)
