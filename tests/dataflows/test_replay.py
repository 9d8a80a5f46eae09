"""Replay: what has landed built anew beside the live tables, compared, and swapped in where it differs."""

from __future__ import annotations

import shutil
import signal
import time
from contextlib import contextmanager
from dataclasses import replace as changed
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from builders import arrow, reading
from confluent_kafka import Producer
from conftest import Pipeline
from faults.harness import Log, as_json, finish, read_undisturbed, require_sound, send, traffic

import dataflows.course
import dataflows.feeds
import dataflows.replay
import dataflows.validate
from battery.broker import embedded_broker, free_port
from battery.errors import BatteryError
from battery.faults import Point
from battery.message import headers
from battery.objects import open_store
from battery.reading import INSTRUMENT_RANGE, JSON, Range
from battery.topic import open_topic
from dataflows.clean import clean
from dataflows.replay import Outcome, Start, replay
from dataflows.state import CellState
from sink.beside import SWAPPED, beside, reserve
from sink.commit import Landing
from sink.compare import content_of
from sink.manifest import stored_objects
from sink.verify import verify
from sink.warehouse import open_warehouse
from sink.writers import ReplayedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from battery.topic import Message

DAMAGE = 'update battery_ts_cleaned set "voltage(v)" = 1 where data_point = 3'


@pytest.fixture(scope="module")
def log(broker: int, tmp_path_factory: pytest.TempPathFactory) -> Log:
    """A log that an undisturbed worker has read."""
    folder = tmp_path_factory.mktemp("undisturbed") / "pipeline"
    messages = send(Pipeline(folder, broker, {"BATTERY_TOPIC": "replay"}).settings, traffic(range(8)))
    return read_undisturbed(folder, broker, "replay", messages, COMMIT_MAX_ROWS="400")


@pytest.fixture(scope="module")
def landed(log: Log, tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A pipeline in which that log has landed, in several commits."""
    pipeline = log.pipeline(tmp_path_factory.mktemp("landed") / "pipeline", COMMIT_MAX_ROWS="400")
    pipeline.battery("stream", "--until-end")
    return pipeline


@pytest.fixture
def live(landed: Pipeline, log: Log, tmp_path: Path) -> Iterator[Pipeline]:
    """A copy of it, for a test to damage and replay."""
    shutil.copytree(landed.folder, tmp_path / "live")
    pipeline = log.pipeline(tmp_path / "live", COMMIT_MAX_ROWS="300")
    yield pipeline
    pipeline.end()


def execute(pipeline: Pipeline, sql: str) -> None:
    with duckdb.connect(str(pipeline.folder / "battery.duckdb")) as connection:
        connection.execute(sql)


def object_keys(pipeline: Pipeline) -> list[str]:
    return sorted(found.key for found in stored_objects(open_store(pipeline.settings)))


def manifest_keys(pipeline: Pipeline) -> list[str]:
    return [key for (key,) in pipeline.query("select object_key from _commits order by all")]


EVERYTHING = (
    Start(beginning=True),
    Start(archive=True),
    Start(offsets={0: 0}),
    Start(offsets={0: 37}),
    Start(offsets={0: 10_000}),
    Start(time=datetime(2020, 1, 1, tzinfo=UTC)),
    Start(time=datetime(2120, 1, 1, tzinfo=UTC)),
)


@pytest.mark.parametrize("start", EVERYTHING, ids=str)
def test_a_replay_of_unchanged_code_is_identical_and_changes_nothing(live: Pipeline, log: Log, start: Start) -> None:
    before = object_keys(live)
    report = replay(live.settings, start)
    assert (report.outcome, report.messages) == (Outcome.IDENTICAL, log.messages)
    assert [*report.lines()][-1] == "identical: the live tables are what the messages say; nothing was changed"
    require_sound(live, log.tables)
    assert object_keys(live) == before
    assert not (live.folder / "replay" / "in-progress").exists()


def test_a_moment_in_the_log_begins_with_its_first_message_of_that_time(
    live: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every message of this log is stamped within the same second; the middle one of the stamps is the moment.
    stamps = [stamp for (stamp,) in live.query("select distinct streamed_at from battery_ts_cleaned order by all")]
    moment = stamps[len(stamps) // 2]
    ((expected,),) = live.query(f"select min(kafka_offset) from battery_ts_cleaned where streamed_at >= '{moment}'")  # noqa: S608
    read: list[int | None] = []
    read_log = dataflows.feeds.read_log

    def noted(*arguments: Any) -> Iterator[list[Message]]:
        read.append(arguments[3])
        return read_log(*arguments)

    monkeypatch.setattr(dataflows.feeds, "read_log", noted)
    assert replay(live.settings, Start(time=moment.replace(tzinfo=UTC))).outcome is Outcome.IDENTICAL
    # A refused message in between has no reading that could tell its time.
    assert read[0] is not None
    assert expected - 3 <= read[0] <= expected


@pytest.mark.parametrize(
    "damage",
    [
        DAMAGE,
        "delete from battery_ts_cleaned where data_point < 50",
        "insert into battery_ts_cleaned from battery_ts_cleaned where data_point = 3",
        "delete from battery_quarantine where reason = 'not_finite'",
        "delete from battery_retries",
        "update _windows set flagged_count = flagged_count + 1",
        "delete from _cycles",
        'update _progress set "offset" = 0',
        "update _cell_state set state = '{}'",
        ("update _commits set offsets = [{'topic_id': o.topic_id, 'partition': o.\"partition\", 'first': o.\"first\", "
         "'last': o.\"last\", 'rows': o.\"rows\" + 1} for o in offsets]"),
        "drop table battery_ts_cleaned",
    ],
)  # fmt: skip
def test_a_replay_from_the_beginning_mends_what_was_damaged(live: Pipeline, log: Log, damage: str) -> None:
    execute(live, damage)
    before = object_keys(live)
    assert replay(live.settings, Start(beginning=True)).outcome is Outcome.SWAPPED
    require_sound(live, log.tables)
    assert object_keys(live) == manifest_keys(live)
    assert not set(object_keys(live)) & set(before)


def test_a_replay_says_how_many_rows_differ_by_column_and_reason(live: Pipeline, log: Log) -> None:
    cells = "cell_id = 'CELL_1' and data_point in (3, 4)"
    execute(live, f'update battery_ts_cleaned set "voltage(v)" = 1, quality = 2 where {cells}')  # noqa: S608
    execute(live, "delete from battery_ts_cleaned where data_point = 5")
    execute(live, "update battery_quarantine set reason = 'out_of_range' where reason = 'not_finite'")
    ((refused,),) = live.query("select count(*) from battery_quarantine where reason = 'out_of_range'")
    report = replay(live.settings, Start(beginning=True), dry_run=True)
    assert report.outcome is Outcome.DIFFERENT
    lines = [*report.lines()]
    rows = log.tables["battery_ts_cleaned"][0]
    for line in (
        f"battery_ts_cleaned differs: {rows - 8} rows live, {rows} replayed",
        "  rows: 0 only live, 8 only replayed",
        "  voltage(v): 2 rows differ",
        "  quality: 2 rows differ",
        f"  reason: {refused} rows differ",
        f"quarantined as not_finite: 0 rows live, {refused} replayed",
        f"quarantined as out_of_range: {refused} rows live, 0 replayed",
        "different: nothing was changed, for this was a dry run",
    ):
        assert line in lines
    assert live.query("select count(*) from battery_ts_cleaned") == [(rows - 8,)]


def test_other_cleaning_rules_are_told_by_reason_and_column_and_hold_from_then_on(
    live: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A rule that refuses more, and one that flags more.
    monkeypatch.setattr(dataflows.validate, "INSTRUMENT_RANGE", INSTRUMENT_RANGE | {"voltage(v)": Range(-10, 3.65)})
    monkeypatch.setattr(dataflows.course, "CLOCK_JUMP_US", -1)
    ((refused, kept),) = live.query(
        'select count(*) filter ("voltage(v)" > 3.65), count(*) filter ("voltage(v)" <= 3.65) from battery_ts_cleaned'
    )
    report = replay(live.settings, Start(beginning=True))
    assert report.outcome is Outcome.SWAPPED
    known, judged_otherwise = report.comparison.reasons["duplicate"]
    assert report.comparison.reasons["out_of_range"] == (0, refused + known - judged_otherwise)
    (readings,) = [table for table in report.comparison.tables if table.table == "battery_ts_cleaned"]
    assert (readings.only_live, readings.only_replayed) == (refused, 0)
    assert 0 < readings.columns["quality"] <= kept
    checks = verify(live.settings, open_store(live.settings), open_warehouse(live.settings))
    assert [check for check in checks if not check.ok] == []
    assert replay(live.settings, Start(beginning=True)).outcome is Outcome.IDENTICAL
    assert replay(live.settings, Start(archive=True)).outcome is Outcome.IDENTICAL


def test_windows_of_another_width_are_built_by_a_replay_and_hold_from_then_on(live: Pipeline) -> None:
    live.extra["WINDOW_SECONDS"] = "120"
    assert "windows in the warehouse are 600 s wide" in live.battery("stream", "--until-end", code=2)
    report = replay(live.settings, Start(beginning=True))
    assert report.outcome is Outcome.SWAPPED
    assert {table.table for table in report.comparison.tables} - {"_cell_state"} == {"_windows"}
    live.battery("stream", "--until-end")
    checks = verify(live.settings, open_store(live.settings), open_warehouse(live.settings))
    assert [check for check in checks if not check.ok] == []


def test_an_object_that_is_lost_or_damaged_is_written_anew(live: Pipeline, log: Log) -> None:
    store = open_store(live.settings)
    lost, damaged, *_ = object_keys(live)
    store.delete(lost)
    store.put(damaged, store.get(damaged)[::-1])
    with pytest.raises(BatteryError, match=rf"the archive is damaged: {lost} is missing; .*--from-beginning"):
        replay(live.settings, Start(archive=True))
    report = replay(live.settings, Start(beginning=True))
    assert report.outcome is Outcome.SWAPPED
    assert [line for line in report.damaged if lost in line or damaged in line] == [*report.damaged]
    assert report.comparison.identical
    require_sound(live, log.tables)


def test_a_replay_from_the_archive_needs_no_broker(live: Pipeline, log: Log) -> None:
    execute(live, DAMAGE)
    unreachable = changed_settings(live, kafka_bootstrap_servers=f"127.0.0.1:{free_port()}")
    assert replay(unreachable, Start(archive=True)).outcome is Outcome.SWAPPED
    require_sound(live, log.tables)


def changed_settings(pipeline: Pipeline, **changes: Any) -> Any:
    return pipeline.settings.model_copy(update=changes)


def test_without_a_manifest_the_archive_is_refused_and_the_log_rebuilds_all(live: Pipeline, log: Log) -> None:
    (live.folder / "battery.duckdb").unlink()
    with pytest.raises(BatteryError, match=r"the WAREHOUSE holds no manifest, .*--from-beginning"):
        replay(live.settings, Start(archive=True))
    assert replay(live.settings, Start(beginning=True)).outcome is Outcome.SWAPPED
    require_sound(live, log.tables)
    assert f"start={log.messages} " in live.battery("stream", "--until-end")
    require_sound(live, log.tables)


def test_live_tables_that_are_ahead_of_their_manifest_are_not_replayed_from_it(live: Pipeline) -> None:
    last = 'list_max(list_transform(offsets, o -> o."last"))'
    execute(live, f'delete from _commits where {last} = (select max("offset") from _progress)')  # noqa: S608
    with pytest.raises(BatteryError, match="beyond what their manifest accounts for"):
        replay(live.settings, Start(archive=True))


def test_a_cell_of_several_partitions_is_replayed_only_in_the_order_in_which_it_landed(
    broker: int, tmp_path: Path
) -> None:
    pipeline = Pipeline(tmp_path, broker, {"BATTERY_TOPIC": "spread", "BATTERY_TOPIC_PARTITIONS": "2"})
    settings = pipeline.settings
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for point, partition in ((1, 1), (2, 0), (3, 1)):
        said = headers(JSON, "live")
        producer.produce(settings.battery_topic, as_json(reading(point)), b"CELL_1", partition=partition, headers=said)
        producer.produce(settings.battery_topic, b"no key", partition=partition, headers=said)
        assert producer.flush(30) == 0
        pipeline.battery("stream", "--until-end")
    with pytest.raises(BatteryError, match=r"cell CELL_1 came over more than one partition .*--from-archive"):
        replay(settings, Start(beginning=True))
    assert replay(settings, Start(archive=True)).outcome is Outcome.IDENTICAL


def test_messages_without_a_key_have_no_order_and_need_none(broker: int, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, broker, {"BATTERY_TOPIC": "keyless", "BATTERY_TOPIC_PARTITIONS": "2"})
    settings = pipeline.settings
    open_topic(settings, create=True)
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for partition in (1, 0):
        producer.produce(settings.battery_topic, b"no key", partition=partition, headers=headers(JSON, "live"))
        assert producer.flush(30) == 0
        assert "more than one partition" not in pipeline.battery("stream", "--until-end")
    assert replay(settings, Start(beginning=True)).outcome is Outcome.IDENTICAL


def test_a_warehouse_may_have_any_name(live: Pipeline, log: Log) -> None:
    execute(live, DAMAGE)
    (live.folder / "battery.duckdb").rename(live.folder / "replay.duckdb")
    other = changed_settings(live, warehouse=str(live.folder / "replay.duckdb"))
    assert replay(other, Start(beginning=True)).outcome is Outcome.SWAPPED
    (live.folder / "replay.duckdb").rename(live.folder / "battery.duckdb")
    require_sound(live, log.tables)


def expired(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, before: int) -> None:
    """Let the log begin with an offset, as retention would."""
    read_log = dataflows.feeds.read_log

    def shortened(*arguments: Any) -> Iterator[list[Message]]:
        settings, topic, partition, start, last = arguments
        if start is not None and start < before:
            raise dataflows.feeds.OffsetGoneError("gone")
        yield from read_log(settings, topic, partition, before if start is None else start, last)

    monkeypatch.setattr(dataflows.feeds, "read_log", shortened)
    assert pipeline.folder.exists()


def test_a_log_that_no_longer_reaches_back_is_refused_with_the_choices(
    live: Pipeline, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    expired(live, monkeypatch, before=20)
    execute(live, DAMAGE)
    damaged = live.checksums()
    with pytest.raises(BatteryError, match=r"offsets 0 to 19 are gone.*--from-archive.*--from-offset 0:20 from there"):
        replay(live.settings, Start(beginning=True))
    with pytest.raises(BatteryError, match=r"offset 5 is gone.*--from-archive"):
        replay(live.settings, Start(offsets={0: 5}))
    assert live.checksums() == damaged
    assert replay(live.settings, Start(offsets={0: 20})).outcome is Outcome.SWAPPED
    require_sound(live, log.tables)


def test_a_log_that_ends_before_what_has_landed_is_refused(live: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataflows.feeds, "read_log", lambda *_: iter(()))
    with pytest.raises(BatteryError, match=r"offsets 0 to \d+, which have landed, are gone"):
        replay(live.settings, Start(beginning=True))


def test_messages_of_another_log_come_from_the_archive_and_are_not_forgotten(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, free_port(), {"COMMIT_MAX_ROWS": "300"})
    for rounds in (range(3), range(5)):
        with embedded_broker(pipeline.port):
            send(pipeline.settings, traffic(rounds))
            pipeline.battery("stream", "--until-end")
            before = pipeline.checksums()
            if len(rounds) == 3:
                continue
            with pytest.raises(BatteryError, match=r"readings of 1 other logs.*--from-archive.*--from-offset 0:0"):
                replay(pipeline.settings, Start(beginning=True))
            execute(pipeline, DAMAGE)
            for start in (Start(offsets={0: 0}), Start(archive=True)):
                replay(pipeline.settings, start)
                require_sound(pipeline, before)


def test_a_replay_never_swaps_into_less(live: Pipeline) -> None:
    # As if neither progress nor manifest knew what has landed last.
    execute(live, 'update _progress set "offset" = least("offset", 30)')
    execute(
        live,
        """
        update _commits set offsets = [{'topic_id': o.topic_id, 'partition': o."partition", 'first': o."first",
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

    monkeypatch.setattr(dataflows.replay, "clean", forgetful)
    before = live.checksums()
    with pytest.raises(
        BatteryError, match="the replay does not add up, the live tables are as they were: conservation"
    ):
        replay(live.settings, Start(beginning=True))
    assert live.checksums() == before


def at_point(monkeypatch: pytest.MonkeyPatch, point: Point, action: Callable[[], None]) -> None:
    """Do something when a replay comes to a point for the first time."""
    done: list[Point] = []

    def passed(here: Point) -> None:
        if here is point and not done:
            done.append(here)
            action()

    monkeypatch.setattr(dataflows.replay, "fault_point", passed)
    monkeypatch.setattr("sink.beside.fault_point", passed)


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
    at_point(monkeypatch, Point.REPLAY_STORED, lambda: shutil.copy(file, tmp_path / "older.duckdb") and None)
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
            seen.append({table: content_of(reader, table) for table in SWAPPED})

    look()
    at_point(monkeypatch, Point.REPLAY_SWAPPING, look)
    assert replay(live.settings, Start(beginning=True)).outcome is Outcome.SWAPPED
    look()
    before, during, after = seen
    assert during == before != after
    require_sound(live, log.tables)


def test_what_a_worker_stored_when_a_replay_ended_it_is_removed_by_the_next_run(live: Pipeline, log: Log) -> None:
    execute(live, DAMAGE)
    settings = live.settings
    worker = Landing(open_store(settings), open_warehouse(settings), settings.window_seconds)
    standing = worker.begin()
    assert replay(settings, Start(beginning=True)).outcome is Outcome.SWAPPED
    ((topic_id, _),) = standing.committed
    state = CellState.from_json(standing.states["CELL_1"])
    late = clean(state, [arrow([reading(5_000)], offset=log.messages, topic_id=topic_id)], settings.window_seconds)
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
    monkeypatch.setattr(dataflows.replay, "time", wait)
    report = replay(pipeline.settings, Start(beginning=True))
    assert (report.outcome, report.ahead) == (Outcome.IDENTICAL, 0)


def test_a_second_replay_at_the_same_time_is_refused(live: Pipeline) -> None:
    with (
        beside(live.settings),
        pytest.raises(
            BatteryError, match=r"another replay is running in REPLAY_DIR=.*/replay; wait for it, or stop it"
        ),
    ):
        replay(live.settings, Start(beginning=True))


def test_a_replay_that_another_one_has_overtaken_does_not_swap(live: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from another machine, whose REPLAY_DIR is another one."""
    execute(live, DAMAGE)
    damaged = live.checksums()
    overtake = lambda: reserve(open_warehouse(live.settings), open_store(live.settings), 600)  # noqa: E731
    at_point(monkeypatch, Point.REPLAY_STORED, overtake)
    with pytest.raises(BatteryError, match=r"another replay .* has begun since this one, which has changed nothing"):
        replay(live.settings, Start(beginning=True))
    assert live.checksums() == damaged


def test_a_swap_and_a_commit_at_the_same_moment_do_not_both_happen(live: Pipeline, log: Log) -> None:
    """As on MotherDuck, where transactions run side by side: cursors of one connection do too."""
    execute(live, DAMAGE)
    settings = live.settings
    shared = duckdb.connect(str(live.folder / "battery.duckdb"))

    class Shared:
        @contextmanager
        def connect(self, purpose: str, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:  # noqa: ARG002
            yield shared.cursor()

    worker = Landing(open_store(settings), Shared(), settings.window_seconds)
    standing = worker.begin()
    state = CellState.from_json(standing.states["CELL_1"])
    ((topic_id, _),) = standing.committed
    late = clean(state, [arrow([reading(5_000)], offset=log.messages, topic_id=topic_id)], settings.window_seconds)
    assert late is not None
    failed: list[str] = []

    def commit_now() -> None:
        try:
            worker.commit(0, standing.next_seq[0], [late])
        except BatteryError as error:
            failed.append(str(error))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataflows.replay, "open_warehouse", lambda _: Shared())
        at_point(patch, Point.REPLAY_SWAPPING, commit_now)
        report = replay(settings, Start(beginning=True))
    assert report.outcome is Outcome.SWAPPED
    assert len(failed) == 1, "the worker has committed beside the swap"
    shared.close()
    require_sound(live, log.tables)
