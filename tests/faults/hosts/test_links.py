"""Hosts of a cluster that are cut off from each other, or taken away for a while: none lands twice."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from support.harness import send, traffic
from support.hosts import ALONE, BOTH, FIRST_ROUNDS, LOST, judged_by_postgres, require_tables_of_one_worker, stop

from kernel.base.faults import VARIABLE, Point

if TYPE_CHECKING:
    from pathlib import Path

    from support.namespaces import Cluster
    from support.pipeline import Pipeline

pytestmark = pytest.mark.timeout(600)  # a cluster starts several times in most of them

PATIENT = {"CLUSTER_ABSENCE_SECONDS": "600"}
"""A host that does not go on by itself while a test runs."""


@judged_by_postgres
def test_a_host_that_goes_on_beyond_a_cut_link_lands_nothing_once_the_other_has_begun_anew(
    cluster: Cluster, pipeline: Pipeline, tmp_path: Path
) -> None:
    cluster.environment |= {"CLUSTER_ABSENCE_SECONDS": "1"}
    messages = send(pipeline.settings, traffic(FIRST_ROUNDS))
    first = cluster.start(0)
    # The second host is suspended with a commit in its hands: objects are stored, the transaction has not begun.
    second = cluster.start(1, **{VARIABLE: f"{Point.AFTER_PUT}@1:stop", **PATIENT})
    second.wait_for("pausing")
    second.signal_supervisor(signal.SIGSTOP)
    second.cut()
    first.wait_for(LOST)
    first.wait_for("hosts=[0]")
    first.wait_for("began a run")
    # It wakes and can still reach log, objects and warehouse, though not the other host.
    for process in second.processes:
        os.kill(process, signal.SIGCONT)
    second.wait_for("was superseded by run")
    second.signal_supervisor(signal.SIGCONT)
    second.wait_for("starting all again")
    second.wait_for(ALONE)  # and begins no run of its own
    stop(second)
    second.heal()
    messages += send(pipeline.settings, traffic(range(6, 7)))
    cluster.start(1)
    for host in cluster.hosts:
        host.wait_for(BOTH)
        host.wait_for("reading")
    stop(first, second)
    late = (
        "select count(*) from internal._commits as landed join internal._writers as old on old.epoch = writer_epoch "
        "join internal._writers as new on new.epoch = old.superseded_by where committed_at > new.started_at"
    )
    assert pipeline.query(late) == [(0,)]
    require_tables_of_one_worker(pipeline, tmp_path, messages)


def test_a_link_that_is_cut_and_healed_leaves_the_first_host_alone_meanwhile(
    cluster: Cluster, pipeline: Pipeline, tmp_path: Path
) -> None:
    cluster.environment |= {"CLUSTER_ABSENCE_SECONDS": "1"}
    messages = send(pipeline.settings, traffic(FIRST_ROUNDS))
    first, second = cluster.start(0), cluster.start(1, **PATIENT)
    second.wait_for("reading")
    second.cut()
    for host in cluster.hosts:
        host.wait_for(LOST)
    first.wait_for("hosts=[0]")
    messages += send(pipeline.settings, traffic(range(6, 7)))
    first.wait_for("committed")
    assert "hosts=[1]" not in second.output.read_text()
    second.heal()
    for host in cluster.hosts:
        host.wait_for(BOTH)
        host.wait_for("reading")
    stop(first, second)
    require_tables_of_one_worker(pipeline, tmp_path, messages)


def test_a_host_that_is_stopped_and_comes_back_is_done_without_meanwhile(
    cluster: Cluster, pipeline: Pipeline, tmp_path: Path
) -> None:
    cluster.environment |= {"CLUSTER_ABSENCE_SECONDS": "1"}
    messages = send(pipeline.settings, traffic(FIRST_ROUNDS))
    first, second = (cluster.start(index) for index in range(2))
    second.wait_for("reading")
    stop(second)
    assert LOST not in second.output.read_text()
    first.wait_for("hosts=[0]")
    messages += send(pipeline.settings, traffic(range(6, 7)))
    first.wait_for("committed")
    second = cluster.start(1)
    first.wait_for("to go on with host 1")
    second.wait_for("reading")
    stop(first, second)
    require_tables_of_one_worker(pipeline, tmp_path, messages)
