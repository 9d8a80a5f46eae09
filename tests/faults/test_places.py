"""The places lost, old or contradictory: the recovery store, the warehouse, and two workers on one of them."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING

from support.harness import Log, finish, read_undisturbed, require_sound, send, traffic, wait_for
from support.pipeline import Pipeline
from support.warehouses import every_warehouse, lose

from kernel.base.ports import free_port
from kernel.edges.broker import embedded_broker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.forks import Process


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
