"""The swap of replayed tables: whole or not at all, never into less, whoever else reads, writes or interrupts."""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import replace as changed
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from support.builders import arrow, reading
from support.harness import Log, finish, read_undisturbed, require_sound, send, traffic
from support.landed import clean_cell
from support.one_connection import OneConnection
from support.pipeline import Pipeline
from support.replayed import DAMAGE, at_point, execute, manifest_keys, object_keys

import dataflows.forward
import dataflows.replay.replay
from dataflows.fold.clean import clean
from dataflows.fold.state import CellState
from dataflows.replay.replay import replay
from dataflows.replay.report import Outcome
from dataflows.replay.start import Start
from dataflows.replay.swap import SWAPPED, replay_workspace, reserve
from kernel.base.errors import BatteryError
from kernel.base.faults import Point
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.care.compare import content_of
from sink.commit import Landing
from sink.tables import full_name
from sink.writers import ReplayedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_warehouse_may_have_any_name(live: Pipeline, log: Log) -> None:
    execute(live, DAMAGE)
    (live.folder / "battery.duckdb").rename(live.folder / "replay.duckdb")
    other = live.settings.model_copy(update={"warehouse": str(live.folder / "replay.duckdb")})
    assert replay(other, Start(beginning=True)).outcome is Outcome.SWAPPED
    (live.folder / "replay.duckdb").rename(live.folder / "battery.duckdb")
    require_sound(live, log.tables)


def test_a_replay_never_swaps_into_less(live: Pipeline) -> None:
    # As if neither progress nor manifest knew what has landed last.
    execute(live, 'update internal._progress set "offset" = least("offset", 30)')
    execute(
        live,
        """
        update internal._commits set offsets = [{'topic_id': o.topic_id, 'partition': o."partition", 'first': o."first",
        'last': least(o."last", 30), 'rows': o."rows"} for o in offsets]
    """,
    )
    before = live.checksums()
    with pytest.raises(BatteryError, match="the replay misses messages of which the live tables hold rows"):
        replay(live.settings, Start(beginning=True))
    assert live.checksums() == before


def test_a_replay_that_does_not_add_up_leaves_the_live_tables_alone(
    live: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forgetful(*arguments: Any) -> Any:
        cleaned = clean(*arguments)
        return cleaned and changed(cleaned, landed=cleaned.landed.slice(1))

    monkeypatch.setattr(dataflows.forward, "clean", forgetful)
    before = live.checksums()
    with pytest.raises(
        BatteryError, match="the replay does not add up, the live tables are as they were: conservation"
    ):
        replay(live.settings, Start(beginning=True))
    assert live.checksums() == before


@pytest.mark.parametrize("point", [Point.REPLAY_BUILT, Point.REPLAY_STORED, Point.REPLAY_SWAPPING])
def test_an_interrupted_replay_leaves_tables_and_store_as_they_were(
    live: Pipeline, monkeypatch: pytest.MonkeyPatch, point: Point
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    execute(live, DAMAGE)
    before = live.checksums(), object_keys(live)
    at_point(monkeypatch, point, interrupt)
    with pytest.raises(KeyboardInterrupt):
        replay(live.settings, Start(beginning=True))
    assert live.checksums() == before[0]
    if point is Point.REPLAY_SWAPPING:  # only the warehouse could say how the swap has ended: the next replay clears up
        replay(live.settings, Start(beginning=True), dry_run=True)
    assert object_keys(live) == before[1]
    assert not (live.folder / "replay" / "in-progress").exists()


def test_a_replay_interrupted_just_after_its_swap_removes_nothing_that_is_live(
    live: Pipeline, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    execute(live, DAMAGE)
    at_point(monkeypatch, Point.REPLAY_SWAPPED, interrupt)
    with pytest.raises(KeyboardInterrupt):
        replay(live.settings, Start(beginning=True))
    require_sound(live, log.tables)


def test_an_older_copy_of_the_warehouse_that_knows_of_a_replay_removes_nothing(
    live: Pipeline, log: Log, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    execute(live, DAMAGE)
    file = live.folder / "battery.duckdb"
    at_point(monkeypatch, Point.REPLAY_STORED, lambda: shutil.copy(file, tmp_path / "older.duckdb"))
    assert replay(live.settings, Start(beginning=True)).outcome is Outcome.SWAPPED
    swapped, stored = file.read_bytes(), object_keys(live)
    shutil.copy(tmp_path / "older.duckdb", file)
    with pytest.raises(BatteryError, match="the archive is damaged"):
        replay(live.settings, Start(archive=True))
    assert object_keys(live) == stored
    file.write_bytes(swapped)
    require_sound(live, log.tables)


def test_who_reads_while_a_swap_is_under_way_sees_the_tables_before_it(
    live: Pipeline, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(live, DAMAGE)
    seen: list[dict[str, tuple[int, int]]] = []

    def look() -> None:
        """Read in the same process: there a DuckDB file is read and written at once, as on MotherDuck."""
        with duckdb.connect(str(live.folder / "battery.duckdb")) as reader:
            seen.append({table: content_of(reader, full_name(table)) for table in SWAPPED})

    look()
    at_point(monkeypatch, Point.REPLAY_SWAPPING, look)
    assert replay(live.settings, Start(beginning=True)).outcome is Outcome.SWAPPED
    look()
    before, during, after = seen
    assert during == before != after
    require_sound(live, log.tables)


def test_what_a_worker_stored_when_a_replay_ended_it_is_removed_by_the_next_run(live: Pipeline, log: Log) -> None:
    execute(live, DAMAGE)
    live.extra["COMMIT_MAX_ROWS"] = "1000000"  # so that the replay's sequence ends before the one of the worker
    settings = live.settings
    worker = Landing(open_store(settings), open_warehouse(settings), settings.window_seconds)
    standing = worker.begin()
    assert replay(settings, Start(beginning=True)).outcome is Outcome.SWAPPED
    assert live.query("select max(seq) + 1 from internal._commits") < [(standing.next_seq[0],)]
    ((topic_id, _),) = standing.committed
    state = CellState.from_json(standing.states["CELL_1"])
    late = clean_cell(state, [arrow([reading(5_000)], offset=log.messages, topic_id=topic_id)])
    assert late is not None
    with pytest.raises(ReplayedError):
        worker.commit(0, standing.next_seq[0], [late])
    assert len(object_keys(live)) == len(manifest_keys(live)) + 1
    again = Landing(open_store(settings), open_warehouse(settings), settings.window_seconds)
    again.begin()
    again.commit(0, 100, [late])
    assert object_keys(live) == manifest_keys(live)


@pytest.mark.parametrize(
    ("point", "start"), [(Point.REPLAY_BUILT, Start(beginning=True)), (Point.REPLAY_STORED, Start(archive=True))]
)
def test_a_worker_that_lands_more_meanwhile_is_caught_up_with(
    broker: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: Point, start: Start
) -> None:
    topic = {"BATTERY_TOPIC": f"more-{point}-{start.archive}", "COMMIT_MAX_ROWS": "300"}
    pipeline = Pipeline(tmp_path / "live", broker, topic)
    send(pipeline.settings, traffic(range(3)))
    pipeline.battery("stream", "--until-end")
    execute(pipeline, DAMAGE)

    def land_more() -> None:
        """A new run of the worker begins, commits, and clears up what it takes for leftovers."""
        send(pipeline.settings, traffic(range(3, 8)))
        pipeline.battery("stream", "--until-end")

    at_point(monkeypatch, point, land_more)
    assert replay(pipeline.settings, start).outcome is Outcome.SWAPPED
    require_sound(pipeline, read_undisturbed(tmp_path / "undisturbed", broker, topic["BATTERY_TOPIC"], 0).tables)
    assert object_keys(pipeline) == manifest_keys(pipeline)


def test_a_worker_that_ended_within_an_epoch_is_overtaken_and_that_is_said(log: Log, tmp_path: Path) -> None:
    pipeline = log.pipeline(tmp_path / "live", COMMIT_MAX_ROWS="300", BATTERY_FAULT=f"{Point.BEFORE_COMMIT}@2:kill")
    finish(pipeline.start("stream"), -signal.SIGKILL)
    report = replay(pipeline.settings, Start(beginning=True))
    assert report.outcome is Outcome.SWAPPED
    assert f"of {report.ahead} cells it has messages that had not landed yet" in "\n".join(report.lines())
    del pipeline.extra["BATTERY_FAULT"]
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


def test_a_worker_within_an_epoch_is_waited_for(log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = log.pipeline(tmp_path / "live", COMMIT_MAX_ROWS="300", BATTERY_FAULT=f"{Point.BEFORE_COMMIT}@2:kill")
    finish(pipeline.start("stream"), -signal.SIGKILL)
    del pipeline.extra["BATTERY_FAULT"]
    wait = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: pipeline.battery("stream", "--until-end"))
    monkeypatch.setattr(dataflows.replay.replay, "time", wait)
    report = replay(pipeline.settings, Start(beginning=True))
    assert (report.outcome, report.ahead) == (Outcome.IDENTICAL, 0)


def test_a_second_replay_at_the_same_time_is_refused(live: Pipeline) -> None:
    with (
        replay_workspace(live.settings),
        pytest.raises(
            BatteryError, match=r"another replay is running in REPLAY_DIR=.*/replay; wait for it, or stop it"
        ),
    ):
        replay(live.settings, Start(beginning=True))


def test_a_replay_that_another_one_has_overtaken_does_not_swap(live: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from another machine, whose REPLAY_DIR is another one."""
    execute(live, DAMAGE)
    damaged = live.checksums()
    warehouse, store = open_warehouse(live.settings), open_store(live.settings)
    at_point(monkeypatch, Point.REPLAY_STORED, lambda: reserve(warehouse, store, 600))
    with pytest.raises(BatteryError, match=r"another replay .* has begun since this one, which has changed nothing"):
        replay(live.settings, Start(beginning=True))
    assert live.checksums() == damaged


def test_a_swap_and_a_commit_at_the_same_moment_do_not_both_happen(live: Pipeline, log: Log) -> None:
    """As on MotherDuck, where transactions run side by side: cursors of one connection do too."""
    execute(live, DAMAGE)
    settings = live.settings
    shared = duckdb.connect(str(live.folder / "battery.duckdb"))

    class Shared(OneConnection):
        @contextmanager
        def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:  # noqa: ARG002
            yield shared.cursor()

    worker = Landing(open_store(settings), Shared(), settings.window_seconds)
    standing = worker.begin()
    state = CellState.from_json(standing.states["CELL_1"])
    ((topic_id, _),) = standing.committed
    late = clean_cell(state, [arrow([reading(5_000)], offset=log.messages, topic_id=topic_id)])
    assert late is not None
    failed: list[str] = []

    def commit_now() -> None:
        try:
            worker.commit(0, standing.next_seq[0], [late])
        except BatteryError as error:
            failed.append(str(error))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataflows.replay.replay, "open_warehouse", lambda _: Shared())
        at_point(patch, Point.REPLAY_SWAPPING, commit_now)
        report = replay(settings, Start(beginning=True))
    assert report.outcome is Outcome.SWAPPED
    assert len(failed) == 1, "the worker has committed beside the swap"
    shared.close()
    require_sound(live, log.tables)
