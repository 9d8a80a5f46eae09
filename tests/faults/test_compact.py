"""Compaction and sweep beside a running worker, and killed for real."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from support.harness import finish, require_sound, send, traffic, wait_for
from support.pipeline import Pipeline
from support.replayed import manifest_keys, object_keys
from support.warehouses import Kind, change, every_warehouse

from dataflows.replay.replay import replay
from dataflows.replay.report import Outcome
from dataflows.replay.start import Start
from kernel.base.faults import VARIABLE, Point
from kernel.edges.objects import open_store
from kernel.edges.warehouse import open_warehouse
from sink.care.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


FEWER_ROWS = {
    Kind.DUCKDB: """update internal._commits set offsets = [{'topic_id': o.topic_id, 'partition': o."partition",
        'first': o."first", 'last': o."last", 'rows': o."rows" - 1} for o in offsets]""",
    Kind.POSTGRES: """update internal._commits set offsets = (
        select jsonb_agg(o || jsonb_build_object('rows', (o ->> 'rows')::bigint - 1))
        from jsonb_array_elements(offsets) as o
    )""",
}
"""What a manifest is that names fewer rows than have landed."""


def faults(pipeline: Pipeline, *, live: bool) -> list[str]:
    settings = pipeline.settings
    checks = verify(settings, open_store(settings), open_warehouse(settings), live=live)
    return [check.name for check in checks if not check.ok]


@every_warehouse
def test_compactions_and_sweeps_beside_a_running_worker_change_no_table(
    broker: int, tmp_path: Path, kind: Kind, new_warehouse: Callable[..., dict[str, str]]
) -> None:
    given = {"BATTERY_TOPIC": f"compact-{kind}", "OBJECT_GRACE_SECONDS": "0"}
    pipeline = Pipeline(tmp_path / "pipeline", broker, given | new_warehouse())
    worker = pipeline.start("stream")
    for turn in range(4):
        send(pipeline.settings, traffic(range(turn, turn + 1)))
        wait_for(worker, "committed")
    pipeline.extra[VARIABLE] = f"{Point.COMPACTION_STORED}:kill"
    finish(pipeline.start("compact"), -signal.SIGKILL)
    del pipeline.extra[VARIABLE]
    assert "merged " in pipeline.battery("compact")
    for turn in range(4, 7):
        send(pipeline.settings, traffic(range(turn, turn + 1)))
        wait_for(worker, "committed")
    worker.send_signal(signal.SIGTERM)
    finish(worker, 0)
    pipeline.battery("stream", "--until-end")
    tables = pipeline.checksums()
    assert '"ok": true' in pipeline.battery("compact", "--json")
    assert '"doubt": null' in pipeline.battery("sweep", "--json")
    assert object_keys(pipeline) == manifest_keys(pipeline)
    require_sound(pipeline, tables)
    for start in (Start(archive=True), Start(beginning=True)):
        assert replay(pipeline.settings, start, dry_run=True).outcome is Outcome.IDENTICAL


@every_warehouse
def test_messages_that_have_not_landed_are_no_fault_of_a_live_pipeline_and_others_are(
    broker: int, tmp_path: Path, kind: Kind, new_warehouse: Callable[..., dict[str, str]]
) -> None:
    """The worker is killed within an epoch: of some cells messages have landed, of others older ones have not."""
    extra = {"BATTERY_TOPIC": f"live-{kind}", "COMMIT_MAX_ROWS": "300", VARIABLE: f"{Point.BEFORE_COMMIT}@2:kill"}
    pipeline = Pipeline(tmp_path / "pipeline", broker, extra | new_warehouse())
    send(pipeline.settings, traffic(range(6)))
    finish(pipeline.start("stream"), -signal.SIGKILL)
    del pipeline.extra[VARIABLE]
    assert faults(pipeline, live=False) == ["log"]
    said = pipeline.battery("verify", "--live")
    assert "ok    lag: " in said
    assert "ok    lag: 0 messages" not in said
    change(pipeline.settings, FEWER_ROWS[kind])
    assert faults(pipeline, live=True) == ["log", "conservation"]


def test_every_reader_of_the_objects_ends_with_one_line_where_one_was_truncated(broker: int, tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path / "pipeline", broker, {"BATTERY_TOPIC": "truncated", "COMMIT_MAX_ROWS": "100"})
    send(pipeline.settings, traffic(range(6)))
    pipeline.battery("stream", "--until-end")
    ((key,),) = pipeline.query("select min(object_key) from internal._commits where kind = 'battery_ts_cleaned'")
    path = pipeline.folder / "objects" / key
    path.write_bytes(path.read_bytes()[:-100])
    for command, code in ((["compact"], 1), (["verify"], 1), (["replay", "--from-archive"], 2)):
        output = pipeline.battery(*command, code=code)
        assert any(key in line and "bytes, not" in line for line in output.splitlines()), output
        assert "Traceback" not in output
    pipeline.battery("replay", "--from-beginning")
    assert "everything adds up" in pipeline.battery("verify")
