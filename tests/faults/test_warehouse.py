"""The warehouse failing under the worker: held by another process, out of space, gone in the middle of a COMMIT."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

from support.harness import Log, finish, require_sound, wait_for
from support.warehouses import every_warehouse, lose

from kernel.base.faults import VARIABLE, Point

if TYPE_CHECKING:
    from support.forks import Process
    from support.pipeline import Pipeline

HOLD_SECONDS = 30
HOLD = """
import duckdb, sys, time
while True:
    try:
        connection = duckdb.connect(sys.argv[1])
        break
    except duckdb.IOException:
        time.sleep(0.01)
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def test_a_warehouse_that_another_process_holds_for_half_a_minute_is_waited_for(pipeline: Pipeline, log: Log) -> None:
    pipeline.extra |= {"COMMIT_MAX_ROWS": "60"}  # some dozens of commits, for the holder to come in between
    worker = pipeline.start("stream", "--until-end")
    wait_for(worker, "committed")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(pipeline.folder / "battery.duckdb"), str(HOLD_SECONDS)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    wait_for(worker, "waiting for the warehouse: another process holds it")
    assert holder.poll() is None, "the worker waited for nobody"
    finish(worker, 0)
    assert holder.wait(10) == 0, "the worker did not wait for the holder"
    require_sound(pipeline, log.tables)


def fill_the_disk(worker: Process) -> None:
    """Let no file of the worker grow beyond what an object needs: its warehouse fails as on a full disk."""
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (32 * 1024, resource.RLIM_INFINITY))


def test_a_warehouse_without_space_ends_the_worker_with_nothing_lost(pipeline: Pipeline, log: Log) -> None:
    pipeline.extra |= {"COMMIT_MAX_ROWS": "700"}
    worker = pipeline.start("stream", "--until-end")
    wait_for(worker, "committed")
    fill_the_disk(worker)
    output = finish(worker, 2)
    assert re.search(r"^battery: commit \S+ failed 5 times: .*", output.strip().splitlines()[-1]), output
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


def test_space_that_is_free_again_in_time_lets_the_commit_happen(pipeline: Pipeline, log: Log) -> None:
    pipeline.extra |= {"COMMIT_MAX_ROWS": "700"}
    worker = pipeline.start("stream", "--until-end")
    wait_for(worker, "committed")
    fill_the_disk(worker)
    wait_for(worker, "the warehouse failed, trying again")
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    finish(worker, 0)
    require_sound(pipeline, log.tables)


@every_warehouse
def test_a_connection_lost_after_commit_was_sent_lands_nothing_twice(pipeline: Pipeline, log: Log) -> None:
    pipeline.extra |= {"COMMIT_MAX_ROWS": "700", VARIABLE: f"{Point.AFTER_COMMIT}@2:lose"}
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


@every_warehouse
def test_a_connection_lost_before_commit_was_sent_lands_it_once(pipeline: Pipeline, log: Log) -> None:
    pipeline.extra |= {"COMMIT_MAX_ROWS": "700", VARIABLE: f"{Point.BEFORE_COMMIT}@2:lose"}
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


@every_warehouse
def test_a_warehouse_that_is_removed_under_the_worker_is_missed(pipeline: Pipeline, log: Log) -> None:
    pipeline.extra |= {"COMMIT_MAX_ROWS": "1"}
    worker = pipeline.start("stream")
    wait_for(worker, "committed")
    lose(pipeline.settings)
    last = finish(worker, 2).strip().splitlines()[-1]
    assert "it was removed under the running worker" in last
    assert "`battery replay --from-beginning`" in last
    del pipeline.extra["COMMIT_MAX_ROWS"]
    pipeline.battery("adopt")
    pipeline.battery("replay", "--from-beginning")
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)
