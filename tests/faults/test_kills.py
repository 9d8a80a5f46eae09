"""The worker killed: at every named point of a commit, at random instants, and asked to end."""

from __future__ import annotations

import random
import re
import signal
import time
from typing import TYPE_CHECKING

from support.harness import Log, finish, require_sound, wait_for
from support.warehouses import every_warehouse, every_warehouse_nightly, on_every_warehouse

from kernel.base.faults import VARIABLE, Point

if TYPE_CHECKING:
    from support.pipeline import Pipeline

EACH_MESSAGE = {"COMMIT_MAX_ROWS": "1"}
"""Lets every result be committed by itself, so that a worker has some hundred commits to make."""

WITHIN_COMMIT = [
    f"{Point.AFTER_PUT}@3",
    f"{Point.IN_TRANSACTION}@2",
    f"{Point.IN_TRANSACTION}@11",
    f"{Point.BEFORE_COMMIT}@3",
    f"{Point.AFTER_COMMIT}@3",
]
"""Where a kind of warehouse makes a difference."""
POINTS = [
    f"{Point.POLLED}@1",
    f"{Point.BEFORE_PUT}@3",
    *WITHIN_COMMIT,
    f"{Point.SNAPSHOT}@1",
    f"{Point.NEXT_EPOCH}@1",
]


@on_every_warehouse("point", POINTS, WITHIN_COMMIT)
def test_a_worker_killed_at_a_named_point_ends_in_the_same_tables(pipeline: Pipeline, log: Log, point: str) -> None:
    # Some four commits in one epoch, of up to three objects and eight statements each.
    pipeline.extra |= {"COMMIT_MAX_ROWS": "700", VARIABLE: f"{point}:kill"}
    finish(pipeline.start("stream"), -signal.SIGKILL)
    del pipeline.extra[VARIABLE]
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


@every_warehouse
def test_a_worker_killed_at_random_instants_ends_in_the_same_tables(
    pipeline: Pipeline, log: Log, kill_seed: int
) -> None:
    chance = random.Random(kill_seed)  # noqa: S311  # repeatable on purpose
    pipeline.extra |= EACH_MESSAGE
    for kill in range(5):
        worker = pipeline.start("stream")
        if kill == kill_seed % 5:
            time.sleep(chance.uniform(0.0, 1.5))  # anywhere in its start
        else:
            wait_for(worker, "reading")
            time.sleep(chance.uniform(0.0, 0.6))
        assert worker.poll() is None, "the worker ended by itself"
        worker.send_signal(signal.SIGKILL)
        worker.communicate()
    del pipeline.extra["COMMIT_MAX_ROWS"]
    ((landed,),) = pipeline.query("select count(*) from battery_ts_cleaned")
    assert landed < log.tables["battery_ts_cleaned"][0], "the worker had nothing left to do when it was killed"
    pipeline.battery("stream", "--until-end")
    require_sound(pipeline, log.tables)


@every_warehouse_nightly
def test_a_worker_that_is_asked_to_end_commits_within_its_interval_and_is_taken_up_without_rework(
    pipeline: Pipeline, log: Log
) -> None:
    interval = 2
    # The first rows are committed early, and the rest of what was read waits for the epoch to close.
    pipeline.extra |= {"COMMIT_INTERVAL_SECONDS": str(interval), "COMMIT_MAX_ROWS": "700"}
    worker = pipeline.start("stream")
    said = wait_for(worker, "committed")
    asked = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    output = "".join(said) + finish(worker, 0)
    assert time.monotonic() - asked < interval + 2
    last_landed = max(int(last) for last in re.findall(r"offsets=0:\d+-(\d+)", output))
    rest = pipeline.battery("stream", "--until-end")
    assert f"start={last_landed + 1} " in rest
    require_sound(pipeline, log.tables)
