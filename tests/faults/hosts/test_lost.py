"""Hosts of a cluster that are lost or slow: the tables are those of a single worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.harness import Log, require_sound, send, traffic
from support.hosts import (
    BOTH,
    FIRST_ROUNDS,
    LOST,
    judged_by_postgres,
    lose_hosts_at_random,
    require_tables_of_one_worker,
    stop,
)

if TYPE_CHECKING:
    from pathlib import Path

    from support.namespaces import Cluster
    from support.pipeline import Pipeline

pytestmark = pytest.mark.timeout(600)  # a cluster starts several times in most of them


def test_two_hosts_end_in_the_tables_of_a_single_worker(cluster: Cluster, pipeline: Pipeline, log: Log) -> None:
    for index in range(2):
        cluster.start(index, "--until-end", CLUSTER_SILENCE_SECONDS="60", LANES="2")  # it is a DuckDB file
    for host in cluster.hosts:
        assert "committed" in host.finish(), "a host has landed nothing"
    assert pipeline.query("select count(*) from internal._writers") == [(1,)]
    require_sound(pipeline, log.tables)


@pytest.mark.nightly  # by day hosts are lost on real servers
@pytest.mark.timeout(1500)
def test_hosts_that_are_lost_at_random_instants_cost_no_reading_of_a_file(
    cluster: Cluster, pipeline: Pipeline, tmp_path: Path
) -> None:
    messages = lose_hosts_at_random(cluster, pipeline, 20)
    require_tables_of_one_worker(pipeline, tmp_path, messages)


def test_a_host_that_is_lost_while_it_starts_is_waited_for(cluster: Cluster, pipeline: Pipeline, log: Log) -> None:
    for index in range(2):
        cluster.start(index, "--until-end")
    first, second = cluster.hosts
    second.wait_for("started a cluster")
    second.lose_power()  # its process has not reached the other one, which waits for it
    first.wait_for(LOST)
    second.return_power()
    cluster.start(1, "--until-end")
    for host in cluster.hosts:
        host.finish()
    require_sound(pipeline, log.tables)


def test_a_slow_host_slows_the_others_down_and_is_not_taken_for_lost(
    cluster: Cluster, pipeline: Pipeline, log: Log
) -> None:
    cluster.hosts[1].slow_down(400_000)
    for index in range(2):
        cluster.start(index, "--until-end", CLUSTER_SILENCE_SECONDS="60", LANES="2")  # it is a DuckDB file
    for host in cluster.hosts:
        assert LOST not in host.finish()
    assert pipeline.query("select count(*) from internal._writers") == [(1,)]
    require_sound(pipeline, log.tables)


@judged_by_postgres
def test_a_host_goes_on_when_the_first_one_stays_away_and_the_warehouse_shows_that_nobody_else_has(
    cluster: Cluster, pipeline: Pipeline, tmp_path: Path
) -> None:
    messages = send(pipeline.settings, traffic(FIRST_ROUNDS))
    first, second = cluster.start(0), cluster.start(1, CLUSTER_ABSENCE_SECONDS="1")
    second.wait_for("reading")
    first.lose_power()
    second.wait_for(LOST)
    second.wait_for("hosts=[1]")
    messages += send(pipeline.settings, traffic(range(6, 7)))
    second.wait_for("committed")
    first.return_power()
    cluster.start(0)
    for host in cluster.hosts:
        host.wait_for(BOTH)
        host.wait_for("reading")
    stop(first, second)
    require_tables_of_one_worker(pipeline, tmp_path, messages)
