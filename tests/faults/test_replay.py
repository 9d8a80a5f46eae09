"""Replays beside a running worker, killed at any point, and under the eyes of readers."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

import duckdb
import pytest
from support.harness import Log, finish, read_undisturbed, require_sound, send, traffic, wait_for
from support.pipeline import LANDING_TABLES, Pipeline
from support.replayed import damage, manifest_keys, object_keys
from support.warehouses import Kind, every_warehouse, look, on_every_warehouse

from kernel.base.faults import VARIABLE, Point
from sink.tables import full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def landed(
    log: Log, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Callable[[Kind], Pipeline]:
    """Pipelines in which the log has landed, one of each kind that is asked for."""

    @cache
    def land(kind: Kind) -> Pipeline:
        given = {} if kind is Kind.DUCKDB else request.getfixturevalue("postgres_server").database().places
        folder = tmp_path_factory.mktemp("landed") / "pipeline"
        pipeline = log.pipeline(folder, COMMIT_MAX_ROWS="700", **given)
        pipeline.battery("stream", "--until-end")
        return pipeline

    return land


@pytest.fixture
def damaged(
    landed: Callable[[Kind], Pipeline],
    log: Log,
    tmp_path: Path,
    kind: Kind,
    new_warehouse: Callable[..., dict[str, str]],
) -> Iterator[Pipeline]:
    """A copy of it with a damaged table, so that a replay has something to swap; it removes what it replaces."""
    whole = landed(kind)
    shutil.copytree(whole.folder, tmp_path / "struck")
    given = {"COMMIT_MAX_ROWS": "700", "OBJECT_GRACE_SECONDS": "0"}
    pipeline = log.pipeline(tmp_path / "struck", **given, **new_warehouse(whole.settings))
    damage(pipeline)
    yield pipeline
    pipeline.end()


@on_every_warehouse("point", [Point.REPLAY_BUILT, Point.REPLAY_STORED, Point.REPLAY_SWAPPING], [Point.REPLAY_SWAPPING])
def test_a_replay_killed_before_its_swap_leaves_the_live_tables_alone(
    damaged: Pipeline, log: Log, point: Point
) -> None:
    before = damaged.checksums()
    damaged.extra[VARIABLE] = f"{point}:kill"
    finish(damaged.start("replay", "--from-beginning"), -signal.SIGKILL)
    assert damaged.checksums() == before
    del damaged.extra[VARIABLE]
    damaged.battery("stream", "--until-end")  # a new run of the worker begins over what the replay has left
    assert damaged.checksums() == before
    assert "swapped: " in damaged.battery("replay", "--from-beginning")
    require_sound(damaged, log.tables)
    require_no_leftovers(damaged)


@every_warehouse
def test_a_replay_killed_after_its_swap_has_swapped_and_the_next_run_clears_up(damaged: Pipeline, log: Log) -> None:
    damaged.extra[VARIABLE] = f"{Point.REPLAY_SWAPPED}:kill"
    finish(damaged.start("replay", "--from-archive"), -signal.SIGKILL)
    del damaged.extra[VARIABLE]
    require_sound(damaged, log.tables)
    assert "identical: " in damaged.battery("replay", "--from-beginning")
    require_no_leftovers(damaged)


def require_no_leftovers(pipeline: Pipeline) -> None:
    assert object_keys(pipeline) == manifest_keys(pipeline)
    assert list((pipeline.folder / "replay").iterdir()) == [pipeline.folder / "replay" / "lock"]


def test_a_replay_that_is_asked_to_end_clears_up_and_changes_nothing(damaged: Pipeline) -> None:
    before = damaged.checksums()
    holder = duckdb.connect(str(damaged.folder / "battery.duckdb"), read_only=True)
    replay = damaged.start("replay", "--from-beginning")
    wait_for(replay, "waiting for the warehouse")
    replay.send_signal(signal.SIGTERM)
    finish(replay, 128 + signal.SIGTERM)
    holder.close()
    assert damaged.checksums() == before
    require_no_leftovers(damaged)


@every_warehouse
@pytest.mark.parametrize("workers", [pytest.param("1", marks=pytest.mark.nightly), "2"])
def test_a_worker_runs_on_under_a_replay_and_starts_again_by_itself_from_tables_that_were_swapped(
    broker: int, tmp_path: Path, workers: str, kind: Kind, new_warehouse: Callable[..., dict[str, str]]
) -> None:
    topic = {"BATTERY_TOPIC": f"under-{workers}-{kind}", "BATTERY_TOPIC_PARTITIONS": "2", "RUN_ID": "some other day's"}
    pipeline = Pipeline(tmp_path / "struck", broker, topic | new_warehouse())
    send(pipeline.settings, traffic(range(4)))
    worker = pipeline.start("stream", "--workers", workers)
    wait_for(worker, "committed")
    assert "identical: " in pipeline.battery("replay", "--from-beginning")
    send(pipeline.settings, traffic(range(4, 7)))
    wait_for(worker, "committed")
    with look(pipeline.settings) as connection:
        runs = connection.execute("select count(*) from internal._writers where kind = 'worker'").fetchall()
    assert runs == [(1,)], "the worker had to begin again although nothing was swapped"
    damage(pipeline)
    assert "swapped: " in pipeline.battery("replay", "--from-beginning")
    send(pipeline.settings, traffic(range(7, 10)))
    wait_for(worker, "the tables have been replayed")
    wait_for(worker, "committed")
    worker.send_signal(signal.SIGTERM)
    finish(worker, 0)
    pipeline.battery("stream", "--until-end")
    undisturbed = read_undisturbed(
        tmp_path / "undisturbed", broker, topic["BATTERY_TOPIC"], 0, BATTERY_TOPIC_PARTITIONS="2"
    )
    require_sound(pipeline, undisturbed.tables)
    pipeline.end()


READ = """
import sys, time
from kernel.base.settings import Settings
from kernel.edges.warehouse import open_warehouse
seen = set()
warehouse = open_warehouse(Settings())
while open(sys.argv[1]).read() != "stop":
    time.sleep(0.01)  # others want the file too
    with warehouse.connect("look", read_only=True) as connection:
        found = str(connection.execute(sys.argv[2]).fetchall())
    if found not in seen:
        seen.add(found)
        print(found, flush=True)
"""


@every_warehouse
def test_readers_see_the_tables_before_or_after_a_swap_and_never_half_of_it(
    damaged: Pipeline, log: Log, tmp_path: Path
) -> None:
    sql = " union all ".join(
        f"select '{table}', count(*), sum(hash(t)::hugeint) from {full_name(table)} as t"  # noqa: S608
        for table in (*LANDING_TABLES, "_commits")
    )
    del damaged.extra["OBJECT_GRACE_SECONDS"]  # they read
    before = str(damaged.query(sql))
    (tmp_path / "go").write_text("on")
    reader = subprocess.Popen(
        [sys.executable, "-c", READ, str(tmp_path / "go"), sql],
        env=damaged.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None
    assert reader.stdout.readline().strip() == before
    damaged.battery("replay", "--from-beginning")
    assert reader.stdout.readline().strip() == str(damaged.query(sql)) != before
    (tmp_path / "go").write_text("stop")
    assert reader.stdout.read() == ""
    reader.wait()
    require_sound(damaged, log.tables)
