"""The places lost, old or contradictory: the recovery store, the warehouse, and two workers on one of them."""

from __future__ import annotations

import json
import re
import shutil
import signal
import zlib
from typing import TYPE_CHECKING

from support.builders import as_json, reading
from support.harness import CELLS, Log, finish, read_undisturbed, require_sound, send, traffic, wait_for
from support.pipeline import Pipeline
from support.warehouses import every_warehouse, look, lose

from kernel.base.faults import VARIABLE, Point
from kernel.base.ports import free_port
from kernel.contract.reading import JSON
from kernel.edges.broker import embedded_broker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.forks import Process
    from support.harness import Sent


def kill(worker: Process) -> None:
    worker.send_signal(signal.SIGKILL)
    finish(worker, -signal.SIGKILL)


def test_a_recovery_store_lost_after_a_crash_costs_a_second_reading_and_nothing_else(
    pipeline: Pipeline, log: Log
) -> None:
    pipeline.extra |= {"COMMIT_MAX_ROWS": "700"}
    worker = pipeline.start("stream")
    wait_for(worker, "committed")
    kill(worker)
    shutil.rmtree(pipeline.folder / "recovery")
    output = pipeline.battery("stream", "--until-end")
    assert "start=beginning" in output
    require_sound(pipeline, log.tables)


def test_an_old_copy_of_the_recovery_store_costs_a_second_reading_and_nothing_else(tmp_path: Path) -> None:
    port = free_port()
    with embedded_broker(port):
        pipeline = Pipeline(tmp_path / "struck", port)
        send(pipeline.settings, traffic(range(5)))
        pipeline.battery("stream", "--until-end")
        shutil.copytree(pipeline.folder / "recovery", tmp_path / "old")
        messages = send(pipeline.settings, traffic(range(5, 10)))
        pipeline.battery("stream", "--until-end")
        send(pipeline.settings, traffic(range(10, 12)))
        shutil.rmtree(pipeline.folder / "recovery")
        shutil.copytree(tmp_path / "old", pipeline.folder / "recovery")
        output = pipeline.battery("stream", "--until-end")
        assert f"start={messages} " not in output, "the old copy was not used"
        undisturbed = read_undisturbed(tmp_path / "undisturbed", port, "battery_topic", messages)
        require_sound(pipeline, undisturbed.tables)


@every_warehouse
def test_a_lost_warehouse_is_refused_with_the_command_that_rebuilds_it_which_does(pipeline: Pipeline, log: Log) -> None:
    pipeline.battery("stream", "--until-end")
    lose(pipeline.settings)
    last = pipeline.battery("stream", "--until-end", code=2).strip().splitlines()[-1]
    assert "run `battery adopt`, then `battery replay --from-beginning`" in last
    pipeline.battery("adopt")
    last = pipeline.battery("stream", "--until-end", code=2).strip().splitlines()[-1]
    assert f"continues at offset {log.messages}, but WAREHOUSE=" in last
    assert "rebuild it with `battery replay --from-beginning`, then start again" in last
    pipeline.battery("replay", "--from-beginning")
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


@every_warehouse
def test_an_older_copy_of_the_warehouse_that_lacks_the_last_commit_of_one_lane_is_refused_and_goes_on_from_the_start(
    pipeline_of_its_own: Pipeline, tmp_path: Path, new_warehouse: Callable[..., dict[str, str]]
) -> None:
    pipeline = pipeline_of_its_own
    older, messages = land_around_a_copy(pipeline, tmp_path, new_warehouse)
    require_refused(pipeline, older)
    shutil.move(pipeline.folder / "recovery", tmp_path / "away")
    pipeline.battery("stream", "--until-end")
    undisturbed = read_undisturbed(tmp_path / "undisturbed", pipeline.port, pipeline.topic, messages)
    require_sound(pipeline, undisturbed.tables)
    assert "start=beginning" not in pipeline.battery("stream", "--until-end"), "the new recovery store is believed"


def test_an_older_copy_is_refused_by_a_recovery_store_that_saw_all_land_before(
    pipeline_of_its_own: Pipeline, tmp_path: Path, new_warehouse: Callable[..., dict[str, str]]
) -> None:
    pipeline = pipeline_of_its_own
    older, _ = land_around_a_copy(pipeline, tmp_path, new_warehouse)
    shutil.rmtree(pipeline.folder / "recovery")
    assert "start=beginning" in pipeline.battery("stream", "--until-end")
    require_refused(pipeline, older)


def land_around_a_copy(
    pipeline: Pipeline, folder: Path, new_warehouse: Callable[..., dict[str, str]]
) -> tuple[Callable[[], None], int]:
    """Land a log by two lanes, and copy the warehouse between the commits of one epoch, of the first and the second.

    Returns:
        What puts the copy in the place of the warehouse, and the number of messages.
    """
    pipeline.extra |= {"LANES": "2"}
    messages = send(pipeline.settings, traffic(range(6))) + send(pipeline.settings, last_in_lane_0())
    pipeline.extra[VARIABLE] = f"{Point.BEFORE_COMMIT}@2:kill"
    finish(pipeline.start("stream", "--until-end"), -signal.SIGKILL)
    del pipeline.extra[VARIABLE]
    older = new_warehouse(pipeline.settings)
    shutil.copytree(pipeline.folder, folder / "older")
    with look(pipeline.settings) as connection:
        landed = connection.execute('select max("offset") from _progress').fetchall()
        assert landed == [(messages - 1,)], "the copy holds the end of the log, but not all before it"
    pipeline.battery("stream", "--until-end")

    def put_back() -> None:
        pipeline.extra |= older
        for path in pipeline.folder.glob("battery.duckdb*"):
            path.unlink()
        for path in (folder / "older").glob("battery.duckdb*"):
            shutil.copy(path, pipeline.folder)

    return put_back, messages


def require_refused(pipeline: Pipeline, put_back: Callable[[], None]) -> None:
    """Put an older copy of the warehouse in its place, and require that the worker notices."""
    put_back()
    last = pipeline.battery("stream", "--until-end", code=2).strip().splitlines()[-1]
    assert re.search(r"RECOVERY_DIR=\S+ continues after offset \d+ of cell 'CELL_\d', but WAREHOUSE=", last)
    assert "move RECOVERY_DIR away" in last


def last_in_lane_0() -> Iterator[Sent]:
    """A message of a cell of the lane that commits first."""
    (cell, *_) = [cell for cell in CELLS if zlib.crc32(cell.encode()) % 2 == 0]
    yield as_json(reading(500, cell_id=cell)), JSON, cell, None


@every_warehouse
def test_of_two_hosts_over_one_object_store_the_second_is_refused_by_every_command_and_harms_nothing(
    pipeline: Pipeline, log: Log, tmp_path: Path, new_warehouse: Callable[..., dict[str, str]]
) -> None:
    pipeline.battery("stream", "--until-end")
    store = {"OBJECT_STORE": f"file://{pipeline.folder / 'objects'}"}
    second = Pipeline(tmp_path / "second", pipeline.port, pipeline.extra | new_warehouse() | store)
    for command in (("stream", "--until-end"), ("replay", "--from-beginning"), ("stream", "--until-end")):
        last = second.battery(*command, code=2).strip().splitlines()[-1]
        assert "the OBJECT_STORE belongs to pipeline" in last
        assert "`battery adopt`" in last
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)

    second.battery("adopt")
    second.battery("stream", "--until-end")
    require_sound(second, log.tables)
    assert "the OBJECT_STORE belongs to pipeline" in pipeline.battery("stream", "--until-end", code=2)
    checks = json.loads(pipeline.battery("verify", "--json", code=1))["checks"]
    assert [check["name"] for check in checks if not check["ok"]] == ["store"], "what the first has landed is whole"


def test_the_way_out_of_a_damaged_warehouse_works(pipeline: Pipeline, log: Log) -> None:
    pipeline.battery("stream", "--until-end")
    warehouse = pipeline.folder / "battery.duckdb"
    warehouse.write_bytes(warehouse.read_bytes()[:100_000])
    for command in (["stream", "--until-end"], ["verify"], ["compact"]):
        last = pipeline.battery(*command, code=2).strip().splitlines()[-1]
        assert last.startswith(f"battery: WAREHOUSE={warehouse} is damaged")
        assert "move it and battery.duckdb.wal away" in last
        assert "`battery adopt` and `battery replay --from-beginning`" in last
    warehouse.rename(warehouse.with_name("damaged"))
    pipeline.battery("adopt")
    pipeline.battery("replay", "--from-beginning")
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)
    assert "everything adds up" in pipeline.battery("verify")


def test_a_warehouse_that_is_damaged_under_the_worker_is_told_with_the_way_out(tmp_path: Path) -> None:
    port = free_port()
    with embedded_broker(port):
        pipeline = Pipeline(tmp_path / "struck", port)
        worker = pipeline.start("stream")
        send(pipeline.settings, traffic(range(4)))
        wait_for(worker, "committed")
        warehouse = pipeline.folder / "battery.duckdb"
        warehouse.write_bytes(b"no database " * 1000)
        messages = send(pipeline.settings, traffic(range(4, 6)))
        last = finish(worker, 2).strip().splitlines()[-1]
        assert last.startswith(f"battery: WAREHOUSE={warehouse} is damaged")
        warehouse.rename(warehouse.with_name("damaged"))
        pipeline.battery("adopt")
        pipeline.battery("replay", "--from-beginning")
        pipeline.battery("stream", "--until-end")
        undisturbed = read_undisturbed(tmp_path / "undisturbed", port, "battery_topic", messages)
        require_sound(pipeline, undisturbed.tables)


@every_warehouse
def test_of_two_workers_on_one_warehouse_exactly_one_survives_and_the_other_says_why(
    tmp_path: Path, new_warehouse: Callable[..., dict[str, str]]
) -> None:
    port = free_port()
    with embedded_broker(port):
        pipeline = Pipeline(tmp_path / "struck", port, new_warehouse())
        send(pipeline.settings, traffic(range(4)))
        older = pipeline.start("stream")
        wait_for(older, "committed")
        pipeline.extra |= {"RECOVERY_DIR": str(tmp_path / "another-recovery")}
        newer = pipeline.start("stream")
        wait_for(newer, "reading")
        messages = send(pipeline.settings, traffic(range(4, 10)))
        last = finish(older, 2).strip().splitlines()[-1]
        assert "this run (writer epoch 1) was superseded by run 2: only one pipeline may write a warehouse" in last
        wait_for(newer, "committed")
        assert newer.poll() is None
        newer.send_signal(signal.SIGTERM)
        finish(newer, 0)
        pipeline.battery("stream", "--until-end")
        undisturbed = read_undisturbed(tmp_path / "undisturbed", port, "battery_topic", messages)
        require_sound(pipeline, undisturbed.tables)
